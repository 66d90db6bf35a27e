"""Many images in a file or a folder, written part by part: no more than one batch of them is in memory."""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan.core.errors import ConfigError
from mmdgan.core.files import atomic, is_named_as_file

if TYPE_CHECKING:
    import numpy as np


# A part of a path on any system, which is not hidden.
_FOLDER_NAME = re.compile(r"[^\W_](?:[\w .,()+-]{0,98}[\w)])?")


def check_image_target(
    path: str | os.PathLike | None,
    count: int | None = None,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] = (),
) -> None:
    """Refuses places where images should not be written, before any is made.

    Args:
        path: *.npz, *.png or a folder; None stands for a *.png.
        count: Number of images that a folder gets, if it is known.
        labels, class_names: Of these images, as `save_batches` takes them.

    Raises:
        ConfigError: The name looks like another kind of file and would be taken for a folder, or the folder holds
            other files, which would stay among the new images.
    """
    if path is None:
        return
    path = Path(path)
    if path.suffix.lower() in (".npz", ".png"):
        return
    if is_named_as_file(path):
        raise ConfigError(f"{path} would be a folder; name a .npz, a .png (a grid), or a folder without an ending.")
    if count is not None and path.is_dir():
        folders = class_folders(labels, class_names) or [""] * count
        new = {(path / name / f"{index:06d}.png") for index, name in enumerate(folders)}
        made = {path / name for name in folders}
        left = sorted(
            str(file.relative_to(path))
            for folder in {path, *made}
            for file in (folder.iterdir() if folder.is_dir() else ())
            if file not in new and file not in made
        )
        if left:
            raise ConfigError(
                f"{path} holds other files, such as {left[0]}, which would be taken for samples; name another folder."
            )


def save_batches(
    path: str | os.PathLike,
    batches: Iterable[tuple[int, np.ndarray]],
    count: int,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] = (),
) -> Path:
    """Writes images while they are made, in the format that the path's ending names.

    Args:
        path: *.npz (key `images`), which appears when it is complete; or a folder, which gets one PNG per image, in
            sub-folders if the images are of several classes, as `python -m mmdgan prepare` reads them.
        batches: (index of the first image, uint8 (B, H, W, C)), in order, as of `sampling.generate_batches`.
        count: Images in all.
        labels: int (N, 1) or None: the key `labels` of a *.npz, (N,).
        class_names: One name per class, for the key `class_names` or the sub-folders; empty for none.

    Raises:
        ConfigError: A place that cannot be written to.
    """
    path = Path(path)
    with write_errors(path):
        if path.suffix.lower() == ".npz":
            return _save_npz(path, batches, count, labels, class_names)
        from mmdgan.pictures import grid

        folders = class_folders(labels, class_names)
        for start, images in batches:
            if folders is None:
                grid.save_folder(path, images, start)
                continue
            for index, image in enumerate(images, start):
                grid.save_folder(path / folders[index], image[None], index)
        return path


def class_folders(labels: np.ndarray | None, class_names: Sequence[str] = ()) -> list[str] | None:
    """The sub-folder of each image, named after its class; None for images of one class, or of none.

    Classes without names, or with names that no folder can have, have their numbers, with leading zeros: so the
    folders' names are in the order of the classes.
    """
    import numpy as np

    if labels is None or len(np.unique(labels)) < 2:
        return None
    numbers = np.reshape(labels, -1)
    if len({name.lower() for name in class_names}) > numbers.max() and all(map(_FOLDER_NAME.fullmatch, class_names)):
        return [class_names[int(number)] for number in numbers]
    width = len(str(int(numbers.max())))
    return [f"{int(number):0{width}d}" for number in numbers]


@contextlib.contextmanager
def write_errors(path: str | os.PathLike) -> Iterator[None]:
    """Turns a failure to write within the block into a ConfigError that names the place."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror or error}); name another place.") from error


def _save_npz(
    path: Path,
    batches: Iterable[tuple[int, np.ndarray]],
    count: int,
    labels: np.ndarray | None,
    class_names: Sequence[str],
) -> Path:
    """What np.savez_compressed writes, without the whole array."""
    import numpy as np

    # Stronger compression makes generated images no smaller.
    with atomic(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            for start, images in batches:
                if start == 0:
                    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *images.shape[1:])}
                    np.lib.format.write_array_header_1_0(file, header)
                file.write(np.ascontiguousarray(images).data)
        arrays = {} if labels is None else {"labels": np.reshape(labels, -1)}
        arrays |= {"class_names": np.array(class_names)} if arrays and class_names else {}
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    return path
