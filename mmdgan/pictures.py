"""Pictures of batches of images: grids (the original's sprites) and PNG files."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np


def image_grid(images: np.ndarray, columns: int | None = None, *, stretch: bool = False) -> np.ndarray:
    """Lays images out row by row in one picture.

    Args:
      images: uint8 (N, H, W, C), C = 1 or 3.
      columns: images per row; ceil(sqrt(N)) by default. Cells without an image stay black.
      stretch: scale each image to use the whole range 0..255, as the original's sprites do (a constant image
        becomes black); otherwise the pixels are copied.

    Returns:
      uint8 (ceil(N / columns) * H, columns * W, C).

    Raises:
      ValueError: images that are not uint8 (N, H, W, 1 or 3), or none.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or len(images) == 0:
        raise ValueError(f"image_grid takes uint8 images (N, H, W, 1 or 3), N >= 1; not {images.dtype} {images.shape}.")
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    cells = np.zeros((rows * columns, height, width, channels), np.uint8)
    cells[:count] = _stretched(images) if stretch else images
    cells = cells.reshape(rows, columns, height, width, channels)
    return cells.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


def save_png(path: str | os.PathLike, image: np.ndarray) -> Path:
    """Writes one picture, uint8 (H, W, 1 or 3) or (H, W), as a PNG; its folder is made if missing.

    The file appears under its name only when it is complete.
    """
    from PIL import Image

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    partial = path.with_name(f".{path.name}.partial")
    Image.fromarray(image).save(partial, format="PNG", optimize=True)
    os.replace(partial, path)
    return path


def save_folder(path: str | os.PathLike, images: np.ndarray) -> Path:
    """Writes each of the images, uint8 (N, H, W, C), as `path`/000000.png, `path`/000001.png, ..."""
    path = Path(path)
    for index, image in enumerate(images):
        save_png(path / f"{index:06d}.png", image)
    return path


def _stretched(images: np.ndarray) -> np.ndarray:
    pixels = images.astype(np.float32)
    pixels -= pixels.min(axis=(1, 2, 3), keepdims=True)
    top = pixels.max(axis=(1, 2, 3), keepdims=True)
    return (pixels / np.where(top > 0, top, 1) * 255).astype(np.uint8)
