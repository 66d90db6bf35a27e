"""The fixed codes over a run: frames are the cells of the grids, pixel by pixel."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from mmdgan.core.errors import DataError
from mmdgan.report import evolution_frames
from mmdgan.runs.folder import RunFolder


@pytest.fixture
def folder(tiny_run, tmp_path):
    """A copy of the run's configuration and samples: grids of 2 x 3 after steps 2 and 4."""
    run = RunFolder.open(tiny_run[1])
    shutil.copytree(run.path / "samples", tmp_path / "samples")
    shutil.copy(run.config_file, tmp_path)
    return RunFolder(tmp_path)


def pixels(folder, step):
    return np.asarray(Image.open(folder.grid_file(step)))


def test_frames_are_the_grids_under_a_strip(folder):
    steps, frames = evolution_frames(folder)
    assert steps == [2, 4] and frames.dtype == np.uint8
    strip = frames.shape[1] - 2 * 32
    assert frames.shape == (2, strip + 64, 96, 3) and 8 <= strip <= 40
    for step, frame in zip(steps, frames, strict=True):
        np.testing.assert_array_equal(frame[strip:], pixels(folder, step))
    # Dark letters on white, of another step each.
    assert (frames[:, :strip].max(axis=(1, 2, 3)) == 255).all() and (frames[:, :strip].min(axis=(1, 2, 3)) < 80).all()
    assert (frames[0, :strip] != frames[1, :strip]).any()


def test_the_upper_left_cells_are_chosen(folder):
    steps, frames = evolution_frames(folder, rows=1, columns=2)
    assert frames.shape[2] == 64
    for step, frame in zip(steps, frames, strict=True):
        np.testing.assert_array_equal(frame[-32:], pixels(folder, step)[:32, :64])


def test_steps_are_in_the_order_of_numbers_and_one_grid_is_one_frame(folder):
    shutil.copy(folder.grid_file(4), folder.grid_file(10))
    assert evolution_frames(folder)[0] == [2, 4, 10]
    for step in (2, 4):
        folder.grid_file(step).unlink()
    steps, frames = evolution_frames(folder)
    assert steps == [10] and len(frames) == 1


def test_grids_of_another_width_show_other_codes_and_are_left_out(folder):
    Image.fromarray(np.zeros((64, 128, 3), np.uint8)).save(folder.grid_file(1))
    Image.fromarray(np.zeros((32, 96, 3), np.uint8)).save(folder.grid_file(3))
    steps, frames = evolution_frames(folder)
    assert steps == [2, 3, 4] and frames.shape[2] == 96
    np.testing.assert_array_equal(frames[2, -32:], pixels(folder, 4)[:32])  # one row in all


def test_grey_grids_stay_grey(folder):
    for step in (2, 4):
        Image.fromarray(pixels(folder, step)[..., 0]).save(folder.grid_file(step))
    assert evolution_frames(folder)[1].shape[3] == 1


def test_mistakes_are_named(folder):
    Image.fromarray(np.zeros((65, 96, 3), np.uint8)).save(folder.grid_file(3))
    with pytest.raises(DataError, match=r"3.png is 96 x 65 pixels, not made of images of 32 x 32"):
        evolution_frames(folder)
    folder.grid_file(3).write_bytes(b"no picture")
    with pytest.raises(DataError, match="3.png cannot be read"):
        evolution_frames(folder)
    shutil.rmtree(folder.path / "samples")
    with pytest.raises(DataError, match="holds no grids yet"):
        evolution_frames(folder)
