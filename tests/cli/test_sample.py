"""The verbs sample and interpolate, on runs of tiny networks: what a person asks for and what is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdgan import sampling
from mmdgan.cli import program
from mmdgan.cli.interpolate import InterpolateOptions, interpolate
from mmdgan.cli.sample import SampleOptions, sample
from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.data.pipeline import channels_last
from mmdgan.runs.folder import RunFolder
from mmdgan.sampling import paths


@pytest.fixture(scope="module")
def generator(tiny_run):
    return RunFolder(tiny_run[1]).load_generator()[0]


@pytest.fixture(scope="module")
def conditional(conditional_run):
    return RunFolder(conditional_run[1]).load_generator()[0]


@pytest.fixture
def run(tiny_run, tmp_path) -> Path:
    """A copy of the run, to be written to."""
    return Path(shutil.copytree(tiny_run[1], tmp_path / "run"))


def _png(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def _cells(picture: np.ndarray, side: int = 32) -> np.ndarray:
    """A grid's images, (rows, columns, H, W, C)."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    return picture.reshape(rows, side, columns, side, 3).transpose(0, 2, 1, 3, 4)


@pytest.mark.parametrize(
    ("argv", "codes", "shape"),
    [
        (["--count=6", "--columns=3"], lambda: sampling.random_codes(6, 8), (2, 3)),
        (["--count=4", "--truncation=0.3"], lambda: sampling.truncated_codes(4, 8, 0.3), (2, 2)),
        (["--codes=sine", "--mesh=2,5", "--seed=3"], lambda: sampling.sine_codes((5, 2), 8, 3), (2, 5)),
        (["--codes=feature", "--mesh=2,5"], lambda: sampling.feature_codes((2, 5), 8), (2, 5)),
        (
            ["--codes=feature", "--mesh=2,3", "--grid_range=4", "--seed=1"],
            lambda: sampling.feature_codes((2, 3), 8, 1, 4.0),
            (2, 3),
        ),
    ],
)
def test_each_kind_of_codes(tiny_run, generator, tmp_path, argv, codes, shape):
    assert sample([str(tiny_run[1]), f"--out={tmp_path}/a.png", *argv]) == 0
    cells = _cells(_png(tmp_path / "a.png"))
    assert cells.shape[:2] == shape
    np.testing.assert_array_equal(cells.reshape(-1, 32, 32, 3), sampling.generate(generator, codes()))
    assert sample([str(tiny_run[1]), f"--out={tmp_path}/a.npz", *(a for a in argv if "columns" not in a)]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["images"], cells.reshape(-1, 32, 32, 3))


def test_codes_of_a_file_with_and_without_labels(tiny_run, conditional_run, generator, conditional, tmp_path, capsys):
    codes, labels = sampling.random_codes(5, 8, 9), np.array([3, 1, 4, 1, 9], np.int32)
    np.save(tmp_path / "mine.npy", codes)
    np.savez(tmp_path / "mine.npz", codes=codes, labels=labels)
    out = tmp_path / "a.npz"
    sample([str(tiny_run[1]), f"--codes={tmp_path}/mine.npy", f"--out={out}"])
    np.testing.assert_array_equal(np.load(out)["images"], sampling.generate(generator, codes))
    assert "5 samples of step 4" in capsys.readouterr().out
    sample([str(conditional_run[1]), f"--codes={tmp_path}/mine.npz", f"--out={out}", "--count=4"])
    made = np.load(out)
    np.testing.assert_array_equal(made["labels"], labels[:4])
    np.testing.assert_array_equal(made["images"], sampling.generate(conditional, codes[:4], labels[:4, None]))
    sample([str(conditional_run[1]), f"--codes={tmp_path}/mine.npy", f"--out={out}", "--class=7"])
    assert np.load(out)["labels"].tolist() == [7] * 5


def test_a_mesh_is_of_one_class(conditional_run, conditional, tmp_path, capsys):
    codes = sampling.sine_codes((3, 2), 8)
    for argv, number, said in (([], 0, "class 0 (--class gives another)"), (["--class=4"], 4, "class 4")):
        sample([str(conditional_run[1]), "--codes=sine", "--mesh=2,3", f"--out={tmp_path}/a.png", *argv])
        expected = sampling.generate(conditional, codes, np.full((6, 1), number))
        np.testing.assert_array_equal(_cells(_png(tmp_path / "a.png")).reshape(-1, 32, 32, 3), expected)
        assert f"6 samples of step 2, {said}: " in capsys.readouterr().out


def test_stretched_and_inverted_grids(tiny_run, generator, tmp_path):
    images = sampling.generate(generator, sampling.random_codes(2, 8))
    sample([str(tiny_run[1]), "--count=2", "--stretch", "--invert", f"--out={tmp_path}/a.png"])
    cells = _cells(_png(tmp_path / "a.png"))[0].astype(int)
    for image, shown in zip(images.astype(float), cells, strict=True):
        np.testing.assert_allclose(shown, 255 - (image - image.min()) / np.ptp(image) * 255, atol=1.01)
        assert shown.min() == 0 and shown.max() == 255


def test_real_images_lie_beside_the_samples(tiny_run, tmp_path, capsys):
    from mmdgan.runs.train import open_data

    experiment, path = tiny_run
    for name in ("a.png", "a.npz", "folder"):
        sample([str(path), "--count=4", "--real", "--seed=1", f"--out={tmp_path / name}"])
        assert "4 real images: " in capsys.readouterr().out
    real = np.load(tmp_path / "a_real.npz")["images"]
    np.testing.assert_array_equal(_cells(_png(tmp_path / "a_real.png")).reshape(4, 32, 32, 3), real)
    np.testing.assert_array_equal(np.stack([_png(file) for file in sorted((tmp_path / "folder_real").iterdir())]), real)
    data = open_data(experiment)
    everything = {image.tobytes() for image in channels_last(data.take(np.arange(data.count))[0])}
    assert len({image.tobytes() for image in real}) == 4
    assert all(image.tobytes() in everything for image in real)


def test_real_images_are_of_the_samples_classes(conditional_run, tmp_path):
    from mmdgan.runs.train import open_data

    experiment, path = conditional_run
    sample([str(path), "--count=13", "--real", f"--out={tmp_path}/a.npz"])
    made, real = np.load(tmp_path / "a.npz"), np.load(tmp_path / "a_real.npz")
    np.testing.assert_array_equal(real["labels"], made["labels"])
    data = open_data(experiment)
    images, labels = data.take(np.arange(data.count))
    pairs = zip(channels_last(images), np.reshape(labels, -1), strict=True)
    classes = {image.tobytes(): int(label) for image, label in pairs}
    assert [classes[image.tobytes()] for image in real["images"]] == [i % 10 for i in range(13)]
    assert len({image.tobytes() for image in real["images"]}) == 13


def test_different_requests_have_different_names(run):
    np.save(run / "mine.npy", sampling.random_codes(3, 8))
    asked = [
        ["--count=3"],
        ["--count=2"],
        ["--count=3", "--seed=1"],
        ["--count=3", "--step=2"],
        ["--count=3", "--truncation=0.5"],
        ["--count=3", "--columns=1"],
        ["--count=3", "--stretch"],
        ["--count=3", "--invert"],
        ["--codes=sine", "--mesh=1,2"],
        ["--codes=sine", "--mesh=2,1"],
        ["--codes=feature", "--mesh=1,2"],
        ["--codes=feature", "--mesh=1,2", "--grid_range=3"],
        [f"--codes={run}/mine.npy"],
    ]
    folder = run / "samples"
    for argv in asked:
        before = set(folder.iterdir())
        sample([str(run), *argv])
        assert len(set(folder.iterdir()) - before) == 1, argv
    names = {file.name for file in folder.iterdir()}
    assert {"4_3.png", "2_3.png", "4_3_seed1.png", "4_sine_1x2.png", "4_feature_1x2_range3.png"} < names


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--count=0"], "count is 0; give at least 1"),
        (["--columns=0"], "columns is 0; give at least 1"),
        (["--codes=sin"], r"codes is 'sin' \(did you mean sine\?\); it is random, sine, feature, or a .npy"),
        (["--codes=nowhere.npz"], "nowhere.npz does not exist"),
        (["--mesh=3,3"], "--mesh is given, but codes is random: mesh belongs to --codes=sine or --codes=feature"),
        (["--mesh=3"], "it takes 2 values"),
        (["--codes=sine", "--mesh=0,3"], "mesh is 0,3; give ROWS,COLS"),
        (["--codes=feature", "--mesh=9,3"], "mesh of 9 rows needs as many components, but the codes have 8"),
        (["--codes=feature", "--mesh=2,3", "--grid_range=-1"], "grid is -1"),
        (["--codes=sine", "--grid_range=3"], "--grid_range is given, but codes is sine"),
        (["--codes=sine", "--count=3"], "--count is given, but codes is sine: count of a mesh is what --mesh says"),
        (["--codes=sine", "--truncation=1"], "--truncation is given, but codes is sine"),
        (["--truncation=0"], "truncation is 0; give a number greater than 0"),
        (["--truncation=-0.5"], "truncation is -0.5"),
        (["--stretch", "--out=a.npz"], "--stretch is given, but out is a.npz: stretch belongs to a .png"),
        (["--invert", "--out=a"], "--invert is given, but out is a:"),
        (["--columns=3", "--out=a.npz"], "--columns is given, but out is a.npz"),
        (["--count=100000"], r"would be 10,144 pixels wide and 10,\d+ high, more than viewers open"),
    ],
)
def test_requests_that_contradict_themselves(tiny_run, argv, sentence):
    with pytest.raises(ConfigError, match=sentence):
        sample([str(tiny_run[1]), *argv])
    assert not (tiny_run[1] / "samples" / "4_0.png").exists()


def test_files_of_codes_that_do_not_fit(tiny_run, conditional_run, tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((3, 9)))
    np.savez(tmp_path / "labels.npz", codes=np.zeros((3, 8)), labels=[0, 10, 2])

    def refused(path: Path, name: str, *argv: str) -> str:
        with pytest.raises(ConfigError) as error:
            sample([str(path), f"--codes={tmp_path / name}", *argv])
        return str(error.value)

    assert "wide.npy have 9 components, but the generator takes 8;" in refused(tiny_run[1], "wide.npy")
    assert "labels.npz holds labels, but the run is unconditional" in refused(tiny_run[1], "labels.npz")
    assert "labels.npz are 0 to 10; the run has the classes 0 to 9" in refused(conditional_run[1], "labels.npz")
    assert "class is 2, but" in refused(conditional_run[1], "labels.npz", "--class=2")
    np.save(tmp_path / "few.npy", np.zeros((3, 8)))
    assert "holds 3 codes; give at most that" in refused(tiny_run[1], "few.npy", "--count=4")


def test_a_folder_that_holds_other_pictures_is_refused(tiny_run, tmp_path):
    sample([str(tiny_run[1]), "--count=3", f"--out={tmp_path}/all"])
    with pytest.raises(ConfigError, match="holds other files, such as 000002.png"):
        sample([str(tiny_run[1]), "--count=2", f"--out={tmp_path}/all"])
    sample([str(tiny_run[1]), "--count=4", f"--out={tmp_path}/all"])
    assert len(list((tmp_path / "all").iterdir())) == 4


def test_the_best_checkpoint_is_asked_for_by_name(tiny_run, monkeypatch, capsys, tmp_path):
    with pytest.raises(CheckpointError, match="no best checkpoint"):
        sample([str(tiny_run[1]), "--step=best"])
    with pytest.raises(CheckpointError, match="no best checkpoint"):
        interpolate([str(tiny_run[1]), "--step=best"])
    with pytest.raises(ConfigError, match="it takes a whole number or best"):
        sample([str(tiny_run[1]), "--step=bets"])


def test_the_projector_gets_the_critics_view(tiny_run, monkeypatch, capsys, tmp_path):
    from mmdgan.report import critic_view, projector

    asked = []

    class View:
        score_data = score_gen = np.zeros((7, 2))

    monkeypatch.setattr(
        critic_view, "view_critic", lambda folder, step, seed: asked.append((folder, step, seed)) or View
    )
    monkeypatch.setattr(projector, "write_projector", lambda folder, view: tmp_path / "written")
    sample([str(tiny_run[1]), "--count=2", "--step=2", "--seed=5", "--projector", f"--out={tmp_path}/a.png"])
    assert asked == [(RunFolder(tiny_run[1]), 2, 5)]
    text = capsys.readouterr().out
    assert f"7 real and 7 generated images: {tmp_path}/written" in text and "tensorboard --logdir" in text


def test_paths_as_a_picture_and_an_animation(run, generator, capsys):
    assert interpolate([str(run), "--rows=2", "--frames=5", "--mode=sine", "--seed=1"]) == 0
    images = sampling.generate(generator, paths("sine", 2, 5, 8, 1).reshape(10, 8)).reshape(2, 5, 32, 32, 3)
    stem = run / "samples" / "4_sine_2x5_seed1"
    np.testing.assert_array_equal(_cells(_png(stem.with_suffix(".png"))), images)
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
        np.testing.assert_array_equal(_cells(_png(out)).reshape(12, 32, 32, 3), expected)
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


def test_flags_are_explained_without_tensorflow(run_script):
    code = "import sys, mmdgan.cli as cli; cli.main(['{}', '--help'])"
    for verb, options in (("sample", SampleOptions), ("interpolate", InterpolateOptions)):
        shown = run_script("-X", "importtime", "-c", code.format(verb))
        for field in options.__dataclass_fields__:
            assert f"--{field.rstrip('_')}" in shown.stdout
        modules = {line.rsplit("|", 1)[-1].strip() for line in shown.stderr.splitlines()}
        assert "mmdgan.cli.sample" in modules and not {"tensorflow", "numpy", "PIL", "matplotlib"} & modules
    assert program.VERBS["interpolate"].run is interpolate
