"""Folders of images: the sorted folders are classes 0, 1, ..., each read in the order of its file names."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.base import BLOCK, Blocks, ImageSource
from mmdgan.errors import DataError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".gif"})
TRAIN = "train"


def find(path: Path, shape: tuple[int, int, int], num_class: int) -> ImageSource | None:
    """Recognises class folders; in a folder that has a sub-folder `train`, those of `train`.

    Args:
        path: what a person named.
        shape: (C, H, W) that every image must have; C is 3, and other colour modes are converted.
        num_class: the number of classes that there must be.

    Returns:
        the source, or None when the path is not a folder with sub-folders.

    Raises:
        DataError: another number of folders, or a folder without images.
    """
    root = path / TRAIN if (path / TRAIN).is_dir() else path
    if not root.is_dir():
        return None
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        return None
    if len(folders) != num_class:
        names = ", ".join(folder.name for folder in folders[:12]) + (", ..." if len(folders) > 12 else "")
        raise DataError(f"{root} holds {len(folders)} folders where {num_class} classes are expected: {names}.")
    files, labels, others, size = [], [], 0, 0
    for label, folder in enumerate(folders):
        entries = sorted((entry for entry in os.scandir(folder) if entry.is_file()), key=lambda entry: entry.name)
        images = [entry for entry in entries if Path(entry.name).suffix.lower() in EXTENSIONS]
        if not images:
            raise DataError(f"{folder} holds no images ({', '.join(sorted(EXTENSIONS))}).")
        others += len(entries) - len(images)
        size += sum(entry.stat().st_size for entry in images)
        files += [Path(entry.path) for entry in images]
        labels += [label] * len(images)
    return ImageSource(
        origin=Origin("class folders", str(path.resolve()), len(files), size),
        count=len(files),
        class_names=tuple(folder.name for folder in folders),
        blocks=lambda: _blocks(files, np.array(labels, np.int64), shape),
        note=f"{others} other files are left aside" if others else "",
    )


def _blocks(files: list[Path], labels: np.ndarray, shape: tuple[int, int, int]) -> Blocks:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(files), BLOCK):
            part = slice(start, start + BLOCK)
            yield np.stack(list(pool.map(lambda file: read_image(file, shape), files[part]))), labels[part]


def read_image(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Reads one image.

    Args:
        file: of any format that Pillow reads.
        shape: (3, H, W) that it must have; grey, palette and other modes are converted to RGB.

    Returns:
        uint8 (3, H, W).

    Raises:
        DataError: an image that cannot be read or has another size; it names the file.
    """
    from PIL import Image

    _, height, width = shape
    try:
        with Image.open(file) as image:
            if image.size != (width, height):
                raise DataError(
                    f"{file} is {image.size[0]}x{image.size[1]} pixels where {width}x{height} are expected: "
                    "resize the images before."
                )
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} cannot be read as an image ({error}): mend it or take it out.") from error
    return pixels.transpose(2, 0, 1)
