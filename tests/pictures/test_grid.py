"""mmdgan.pictures against loops over the pixels, and PNG files against what Pillow reads back."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mmdgan.pictures.grid import enlarge, image_grid, png_bytes, save_folder, save_png


def _images(count: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 5, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("count", "columns"), [(6, 3), (5, 3), (1, 4), (7, None)])
def test_grid_places_images_row_by_row(count, columns, channels):
    images = _images(count, channels)
    grid = image_grid(images, columns)
    wide = columns or 3
    rows = -(-count // wide)
    assert grid.shape == (rows * 4, wide * 5, channels)
    for cell in range(rows * wide):
        row, column = divmod(cell, wide)
        found = grid[row * 4 : row * 4 + 4, column * 5 : column * 5 + 5]
        np.testing.assert_array_equal(found, images[cell] if cell < count else np.zeros_like(found))


def test_stretched_images_use_the_whole_range_and_constant_ones_are_black():
    images = np.full((2, 2, 2, 1), 7, np.uint8)
    images[0, :, :, 0] = [[50, 60], [70, 90]]
    with np.errstate(all="raise"):
        grid = image_grid(images, 2, stretch=True)
    # The spec's sprite: subtract the minimum, divide by the new maximum, times 255, truncated.
    np.testing.assert_array_equal(grid[:, :2, 0], [[0, 63], [127, 255]])
    np.testing.assert_array_equal(grid[:, 2:, 0], 0)


def test_inverted_images_are_negatives_and_empty_cells_stay_black():
    images = _images(3)
    grid = image_grid(images, 2, invert=True)
    np.testing.assert_array_equal(grid[:4, 5:].astype(int), 255 - images[1].astype(int))
    np.testing.assert_array_equal(grid[4:, 5:], 0)
    # Stretched first: the brightest pixel, 90, becomes 255 and then 0.
    images = np.array([50, 60, 70, 90], np.uint8).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(image_grid(images, stretch=True, invert=True)[..., 0], [[255, 192], [128, 0]])


def test_enlarged_pixels_are_squares():
    image = _images(2)
    large = enlarge(image, 3)
    assert large.shape == (2, 12, 15, 3)
    for row in range(12):
        for column in range(15):
            np.testing.assert_array_equal(large[:, row, column], image[:, row // 3, column // 3])


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8)],
)
def test_other_arrays_are_rejected(images):
    with pytest.raises(ValueError, match="uint8"):
        image_grid(images)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_pixels_and_leaves_nothing_else(tmp_path, channels):
    image = _images(1, channels)[0]
    path = save_png(tmp_path / "new" / "a.png", image)
    np.testing.assert_array_equal(np.array(Image.open(path)).reshape(image.shape), image)
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(png_bytes(image)))).reshape(image.shape), image)


def test_folder_holds_one_file_per_image(tmp_path):
    images = _images(3)
    save_folder(tmp_path / "all", images)
    files = sorted((tmp_path / "all").iterdir())
    assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
    np.testing.assert_array_equal(np.array(Image.open(files[2])), images[2])
    save_folder(tmp_path / "all", images[:1], first=3)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "all" / "000003.png")), images[0])
