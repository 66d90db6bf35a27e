"""Pictures of batches of images: grids (the original's sprites) and PNG files."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdgan.core.files import write_bytes

if TYPE_CHECKING:
    from PIL.Image import Image


def image_grid(
    images: np.ndarray, columns: int | None = None, *, stretch: bool = False, invert: bool = False, gap: int = 0
) -> np.ndarray:
    """Lays images out row by row in one picture.

    Args:
        images: uint8 (N, H, W, C), C = 1 or 3.
        columns: Images per row; ceil(sqrt(N)) by default. Cells without an image stay black.
        stretch: Scale each image to use the whole range 0..255, as the original's sprites do (a constant image
            becomes black); otherwise the pixels are copied.
        invert: Show each image as its negative (255 - pixel), after it is stretched.
        gap: Pixels between images, white.

    Returns:
        uint8 (rows * (H + gap) - gap, columns * (W + gap) - gap, C) with rows = ceil(N / columns).

    Raises:
        ValueError: Images that are not uint8 (N, H, W, 1 or 3), or none.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or len(images) == 0:
        raise ValueError(f"image_grid takes uint8 images (N, H, W, 1 or 3), N >= 1; not {images.dtype} {images.shape}.")
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    picture = np.zeros((rows, height + gap, columns, width + gap, channels), np.uint8)
    picture[:, height:] = picture[:, :, :, width:] = 255
    for index, image in enumerate(images):
        image = _stretched(image) if stretch else image
        picture[index // columns, :height, index % columns, :width] = 255 - image if invert else image
    picture = picture.reshape(rows * (height + gap), columns * (width + gap), channels)
    return picture[: len(picture) - gap, : picture.shape[1] - gap]


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """A picture, (..., H, W, C), whose pixels are squares of `factor` x `factor` equal ones."""
    return image.repeat(factor, axis=-3).repeat(factor, axis=-2)


def png_bytes(image: np.ndarray, *, optimize: bool = True) -> bytes:
    """The PNG file of one picture, uint8 (H, W, 1 or 3) or (H, W); `optimize` makes it smaller, and is slower."""
    buffer = io.BytesIO()
    to_pillow(image).save(buffer, format="PNG", optimize=optimize)
    return buffer.getvalue()


def save_png(path: str | os.PathLike, image: np.ndarray) -> Path:
    """Writes one picture, uint8 (H, W, 1 or 3) or (H, W), as a PNG, atomically; its folder is made if missing."""
    write_bytes(path, png_bytes(image))
    return Path(path)


def save_folder(path: str | os.PathLike, images: np.ndarray, first: int = 0) -> Path:
    """Writes each of the images, uint8 (N, H, W, C), as `path`/000000.png, `path`/000001.png, ...

    Args:
        path: The folder, made if missing.
        images: uint8 (N, H, W, C).
        first: The number of the first one, for folders that are filled part by part.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    partial = path / ".partial"
    for index, image in enumerate(images, first):
        # For 32x32 images, optimised files are smaller by 1 % and take seven times as long. Renamed, but not synced
        # to the disk one by one, as `core.files.atomic` would do.
        partial.write_bytes(png_bytes(image, optimize=False))
        os.replace(partial, path / f"{index:06d}.png")
    return path


def to_pillow(image: np.ndarray) -> Image:
    """A picture, uint8 (H, W, 1 or 3) or (H, W), as Pillow's image, of mode "L" or "RGB"."""
    from PIL import Image

    return Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image)


def _stretched(image: np.ndarray) -> np.ndarray:
    pixels = image.astype(np.float32)
    pixels -= pixels.min()
    return (pixels / (pixels.max() or 1) * 255).astype(np.uint8)
