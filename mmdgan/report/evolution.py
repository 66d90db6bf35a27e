"""The images of a run's fixed codes over its steps, from the grids of pictures made after each round."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.runs.folder import RunFolder


def evolution_frames(
    folder: RunFolder, rows: int = 8, columns: int = 8, strip: bool = True
) -> tuple[list[int], np.ndarray]:
    """One frame per grid of pictures: its upper left cells, under a strip that names the step.

    A run that was resumed with another number of columns (`--grid`) shows other codes in the same place: grids that
    are not as wide as the newest are left out.

    Args:
        folder: The run.
        rows: Rows of cells; fewer if a grid has fewer.
        columns: Columns of cells; fewer if the grids have fewer.
        strip: Whether a strip above each frame names its step.

    Returns:
        The steps, ascending, and frames, uint8 (T, strip + rows H, columns W, C), C = 1 or 3.

    Raises:
        DataError: The run has no grid yet, or one that cannot be read or is not made of cells of the run's size.
    """
    files = folder.grid_file(0).parent.glob("*.png")
    steps = sorted(int(file.stem) for file in files if file.stem.isdecimal())
    if not steps:
        raise DataError(f"{folder.grid_file(0).parent} holds no grids yet; train the run up to its first round.")
    height, width = cell_shape(folder)
    grids = {step: _read(folder.grid_file(step), height, width) for step in steps}
    newest = grids[max(grids)]
    grids = {step: grid for step, grid in grids.items() if grid.shape[1:] == newest.shape[1:]}
    rows = min(rows, *(grid.shape[0] // height for grid in grids.values()))
    columns = min(columns, newest.shape[1] // width)
    cells = [grid[: rows * height, : columns * width] for grid in grids.values()]
    if strip:
        cells = [np.concatenate([_strip(step, cell), cell]) for step, cell in zip(grids, cells, strict=True)]
    return list(grids), np.stack(cells)


def cell_shape(folder: RunFolder) -> tuple[int, int]:
    """Height and width of the images of a run."""
    _, height, width = folder.read_config()["architecture"]["input"][0]
    return height, width


def _read(file: Path, height: int, width: int) -> np.ndarray:
    """A grid of pictures, uint8 (rows H, columns W, C)."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise DataError(f"The grid {file} cannot be read ({error}); delete it, or restore it.") from error
    if pixels.shape[0] % height or pixels.shape[1] % width:
        raise DataError(
            f"The grid {file} is {pixels.shape[1]} x {pixels.shape[0]} pixels, not made of images of {width} x "
            f"{height}; move it out of that folder."
        )
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _strip(step: int, cells: np.ndarray) -> np.ndarray:
    """The step as dark text on white, as wide as the cells: uint8 (h, W, C)."""
    from PIL import Image, ImageDraw, ImageFont

    text, width = f"step {step:,}", cells.shape[1]
    size = max(8, min(24, width // 12))
    while size > 8 and ImageFont.load_default(size).getlength(text) > width - 4:
        size -= 1
    image = Image.new("L", (width, size + size // 2), 255)
    anchor = (width // 2, image.height // 2)
    ImageDraw.Draw(image).text(anchor, text, fill=30, font=ImageFont.load_default(size), anchor="mm")
    return np.repeat(np.asarray(image)[..., None], cells.shape[2], axis=2)
