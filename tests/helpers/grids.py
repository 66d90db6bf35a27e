"""Grids of images in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def png(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def cells(picture: np.ndarray, side: int = 32) -> np.ndarray:
    """A grid's images, (rows, columns, H, W, C)."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    return picture.reshape(rows, side, columns, side, 3).transpose(0, 2, 1, 3, 4)
