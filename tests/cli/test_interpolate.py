"""The verb interpolate, on runs of tiny networks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmdgan import sampling
from mmdgan.cli.interpolate import interpolate
from mmdgan.core.errors import ConfigError
from mmdgan.sampling import paths
from tests.helpers.grids import cells, png


def test_paths_as_a_picture_and_an_animation(run, generator, capsys):
    assert interpolate([str(run), "--rows=2", "--frames=5", "--mode=sine", "--seed=1"]) == 0
    images = sampling.generate(generator, paths("sine", 2, 5, 8, 1).reshape(10, 8)).reshape(2, 5, 32, 32, 3)
    stem = run / "samples" / "4_sine_2x5_seed1"
    np.testing.assert_array_equal(cells(png(stem.with_suffix(".png"))), images)
    film = Image.open(stem.with_suffix(".gif"))
    # Two images side by side, three times as large.
    assert film.n_frames == 5 and film.size == (192, 96) and film.info["duration"] == 100
    film.seek(2)
    shown = np.array(film.convert("RGB")).astype(int)
    expected = np.hstack(list(images[:, 2])).repeat(3, axis=0).repeat(3, axis=1)
    assert np.abs(shown - expected).mean() < 3
    assert capsys.readouterr().out.count("2 paths of 5 images of step 4: ") == 2


def test_a_path_is_of_one_class(conditional_run, conditional, tmp_path):
    codes = paths("slerp", 3, 4, 8, loop=True).reshape(12, 8)
    for argv, classes in (([], [0, 1, 2]), (["--class=6"], [6, 6, 6])):
        out = tmp_path / "a.png"
        interpolate([str(conditional_run[1]), "--rows=3", "--frames=4", "--loop", f"--out={out}", *argv])
        expected = sampling.generate(conditional, codes, np.repeat(classes, 4)[:, None])
        np.testing.assert_array_equal(cells(png(out)).reshape(12, 32, 32, 3), expected)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_an_mp4_is_made_when_it_is_asked_for(tiny_run, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    interpolate([str(tiny_run[1]), "--rows=1", "--frames=4", "--seconds=0.05", f"--out={tmp_path}/new/a.mp4"])
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.mp4"]
    assert b"ftyp" in (tmp_path / "new" / "a.mp4").read_bytes()[:16]


def test_seconds_are_those_of_the_whole_animation(tiny_run, tmp_path):
    interpolate([str(tiny_run[1]), "--rows=1", "--frames=4", "--seconds=2", f"--out={tmp_path}/my.walk"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["my.walk.gif", "my.walk.png"]
    assert Image.open(tmp_path / "my.walk.gif").info["duration"] == 500


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--mode=slurp"], r"mode is 'slurp' \(did you mean slerp\?\)"),
        (["--rows=0"], "rows is 0"),
        (["--frames=1"], "frames is 1; a path has at least 2"),
        (["--frames=2", "--loop"], "frames is 2; a loop has at least 3"),
        (["--frames=90000"], "more than viewers open"),
        (["--out=a.npz"], "a.npz is none of .png, .gif and .mp4"),
        (["--out=."], "is a folder; give the files' name in it too"),
        (["--seconds=0"], "seconds is 0"),
        (["--seconds=-3"], "seconds is -3"),
        (["--seconds=0.1"], r"24 frames in 0.1 s are too fast for a GIF.*at least 0.48, or name a .mp4"),
        (["--seconds=2", "--out=a.png"], "--seconds belongs to an animation, but out is a.png"),
        (["--out={folder}/file/a"], "a.png cannot be written"),
        (["--class=1"], "is unconditional"),
        (["--seed=-1"], "seed is -1"),
    ],
)
def test_paths_that_cannot_be_made(tiny_run, tmp_path, argv, sentence):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=sentence):
        interpolate([str(tiny_run[1]), *(word.format(folder=tmp_path) for word in argv)])
