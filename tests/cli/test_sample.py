"""The verbs sample and interpolate, on runs of tiny networks: what a person asks for and what is written."""

from __future__ import annotations

import re
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
from tests.helpers.command_line import status
from tests.helpers.grids import cells, png

PLAIN = ("--scale=1", "--gap=0")
"""A grid whose cells are the images, pixel by pixel."""


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
    assert sample([str(tiny_run[1]), f"--out={tmp_path}/a.png", *PLAIN, *argv]) == 0
    shown = cells(png(tmp_path / "a.png"))
    assert shown.shape[:2] == shape
    np.testing.assert_array_equal(shown.reshape(-1, 32, 32, 3), sampling.generate(generator, codes()))
    assert sample([str(tiny_run[1]), f"--out={tmp_path}/a.npz", *(a for a in argv if "columns" not in a)]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["images"], shown.reshape(-1, 32, 32, 3))


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


@pytest.mark.parametrize(
    ("word", "label"), [("10", 2), ("0", 0), ("1", 1), ("01", 1), ("cat", 5), ("2", 4), ("9", None), ("dog", None)]
)
def test_a_class_is_named(conditional_run, monkeypatch, tmp_path, capsys, word, label):
    names = ("0", "1", "10", "11", "2", "3", "4", "5", "6", "7")
    if word in ("cat", "dog"):
        names = (*names[:5], "cat", *names[6:])
    monkeypatch.setattr(RunFolder, "class_names", lambda self: names)
    argv = ["sample", str(conditional_run[1]), "--count=2", f"--class={word}", f"--out={tmp_path}/a.npz"]
    if label is None:
        assert status(*argv) == program.BAD_USE
        assert f"class is {word}; " in capsys.readouterr().err
        return
    assert status(*argv) == 0
    made = np.load(tmp_path / "a.npz")
    assert made["labels"].tolist() == [label] * 2 and made["class_names"].tolist() == [*names]
    named = "" if names[label] == str(label) else f" ({names[label]})"
    assert f"class {label}{named}: " in capsys.readouterr().out


def test_a_mesh_is_of_one_class(conditional_run, conditional, tmp_path, capsys):
    codes = sampling.sine_codes((3, 2), 8)
    for argv, number, said in (([], 0, "class 0 (--class gives another)"), (["--class=4"], 4, "class 4")):
        sample([str(conditional_run[1]), "--codes=sine", "--mesh=2,3", f"--out={tmp_path}/a.png", *PLAIN, *argv])
        expected = sampling.generate(conditional, codes, np.full((6, 1), number))
        np.testing.assert_array_equal(cells(png(tmp_path / "a.png")).reshape(-1, 32, 32, 3), expected)
        assert f"6 samples of step 2, {said}: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("count", "argv", "scale", "gap"),
    [(64, [], 4, 2), (4, [], 16, 2), (400, [], 1, 2), (6, ["--scale=3", "--gap=5"], 3, 5), (4, PLAIN, 1, 0)],
)
def test_grids_are_large_enough_to_see(tiny_run, generator, tmp_path, count, argv, scale, gap):
    """64 images of 32 pixels fill 1,024, and gaps of a few pixels lie between them."""
    sample([str(tiny_run[1]), f"--count={count}", f"--out={tmp_path}/a.png", *argv])
    found, side = png(tmp_path / "a.png"), 32 * scale + gap
    columns = int(np.ceil(count**0.5))
    rows = -(-count // columns)
    assert found.shape == (rows * side - gap, columns * side - gap, 3)
    images = sampling.generate(generator, sampling.random_codes(count, 8))
    for index in (0, 1, columns, count - 1):
        top, left = index // columns * side, index % columns * side
        np.testing.assert_array_equal(
            found[top : top + 32 * scale : scale, left : left + 32 * scale : scale], images[index]
        )
        assert (found[top : top + 32 * scale, left + 32 * scale : left + side] == 255).all()


def test_stretched_and_inverted_grids(tiny_run, generator, tmp_path):
    images = sampling.generate(generator, sampling.random_codes(2, 8))
    sample([str(tiny_run[1]), "--count=2", "--stretch", "--invert", *PLAIN, f"--out={tmp_path}/a.png"])
    row = cells(png(tmp_path / "a.png"))[0].astype(int)
    for image, shown in zip(images.astype(float), row, strict=True):
        np.testing.assert_allclose(shown, 255 - (image - image.min()) / np.ptp(image) * 255, atol=1.01)
        assert shown.min() == 0 and shown.max() == 255


def test_real_images_lie_beside_the_samples(tiny_run, tmp_path, capsys):
    from mmdgan.runs.train import open_data

    experiment, path = tiny_run
    for name, more in (("a.png", PLAIN), ("a.npz", ()), ("folder", ())):
        sample([str(path), "--count=4", "--real", "--seed=1", f"--out={tmp_path / name}", *more])
        assert "4 real images: " in capsys.readouterr().out
    real = np.load(tmp_path / "a_real.npz")["images"]
    np.testing.assert_array_equal(cells(png(tmp_path / "a_real.png")).reshape(4, 32, 32, 3), real)
    np.testing.assert_array_equal(np.stack([png(file) for file in sorted((tmp_path / "folder_real").iterdir())]), real)
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
        (["--count=0"], "count is 0; give a whole number of at least 1"),
        (["--columns=0"], "columns is 0; give a whole number of at least 1"),
        (["--codes=sin"], r"codes is 'sin' \(did you mean sine\?\); it is random, sine, feature, or a .npy"),
        (["--codes=nowhere.npz"], "nowhere.npz does not exist"),
        (["--mesh=3,3"], "--mesh is given, but codes is random: mesh belongs to --codes=sine or --codes=feature"),
        (["--mesh=3"], "it takes 2 values"),
        (["--codes=sine", "--mesh=0,3"], "mesh is 0,3; give ROWS,COLS"),
        (["--codes=feature", "--mesh=9,3"], "mesh of 9 rows needs as many components, but the codes have 8"),
        (["--codes=feature", "--mesh=2,3", "--grid_range=-1"], "grid is -1"),
        (["--codes=sine", "--grid_range=3"], "--grid_range is given, but codes is sine"),
        (["--codes=sine", "--count=3"], "--count is given, but codes is sine: count of a mesh is set by --mesh"),
        (["--codes=sine", "--truncation=1"], "--truncation is given, but codes is sine"),
        (["--truncation=0"], "truncation is 0; give a number greater than 0"),
        (["--truncation=-0.5"], "truncation is -0.5"),
        (["--stretch", "--out=a.npz"], "--stretch is given, but out is a.npz: stretch belongs to a .png"),
        (["--invert", "--out=a"], "--invert is given, but out is a:"),
        (["--columns=3", "--out=a.npz"], "--columns is given, but out is a.npz"),
        (["--count=100000"], r"would be 10,776 pixels wide and 10,\d+ high, more than viewers open"),
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
    from mmdgan.report import critic_view

    asked = []

    class View:
        score_data = score_gen = np.zeros((7, 2))

    monkeypatch.setattr(
        critic_view, "view_critic", lambda folder, step, seed: asked.append((folder, step, seed)) or View
    )
    monkeypatch.setattr(critic_view, "write_projector", lambda folder, view: tmp_path / "written")
    sample([str(tiny_run[1]), "--count=2", "--step=2", "--seed=5", "--projector", f"--out={tmp_path}/a.png"])
    assert asked == [(RunFolder(tiny_run[1]), 2, 5)]
    text = capsys.readouterr().out
    assert (
        f"7 real and 7 generated images: {tmp_path}/written" in text
        and f"See them: {RunFolder(tiny_run[1]).tensorboard}   #" in text
    )


def test_flags_are_explained_without_tensorflow(run_script):
    code = "import sys, mmdgan.cli as cli; cli.main(['{}', '--help'])"
    for verb, options in (("sample", SampleOptions), ("interpolate", InterpolateOptions)):
        shown = run_script("-X", "importtime", "-c", code.format(verb))
        for field in options.__dataclass_fields__:
            assert f"--{field.rstrip('_')}" in shown.stdout
        modules = {line.rsplit("|", 1)[-1].strip() for line in shown.stderr.splitlines()}
        assert "mmdgan.cli.sample" in modules and not {"tensorflow", "numpy", "PIL", "matplotlib"} & modules
    assert program.VERBS["interpolate"].run is interpolate


@pytest.mark.parametrize("step", [None, 2])
def test_sample_in_every_form(tiny_run, tmp_path, step, capsys):
    run, at = str(tiny_run[1]), [] if step is None else [f"--step={step}"]
    assert status("sample", run, "--count=7", f"--out={tmp_path}/a.npz", *at) == 0
    assert status("sample", run, "--count=7", f"--out={tmp_path}/folder", *at) == 0
    assert status("sample", run, "--count=7", f"--out={tmp_path}/a.png", *PLAIN, *at) == 0
    assert set(np.load(tmp_path / "a.npz")) == {"images"}
    images = np.load(tmp_path / "a.npz")["images"]
    assert images.dtype == np.uint8 and images.shape == (7, 32, 32, 3)
    files = sorted((tmp_path / "folder").iterdir())
    np.testing.assert_array_equal(np.stack([np.array(Image.open(file)) for file in files]), images)
    assert np.array(Image.open(tmp_path / "a.png")).shape == (96, 96, 3)
    assert f"7 samples of step {step or 4}" in capsys.readouterr().out


def test_samples_of_a_conditional_run(conditional_run, tmp_path, capsys):
    run, out = str(conditional_run[1]), tmp_path / "a.npz"

    def arrays(*argv: str) -> tuple[np.ndarray, np.ndarray]:
        assert status("sample", run, f"--out={out}", *argv) == 0
        made = np.load(out)
        return made["images"], made["labels"]

    images, labels = arrays("--count=23")
    assert labels.dtype == np.int32 and labels.tolist() == [i % 10 for i in range(23)]
    threes, labels = arrays("--count=23", "--class=3")
    assert labels.tolist() == [3] * 23
    np.testing.assert_array_equal(threes[3::10], images[3::10])
    assert (threes[4::10] != images[4::10]).any()
    assert status("sample", run, "--count=9", f"--out={tmp_path}/a.png", *PLAIN) == 0
    grid = np.array(Image.open(tmp_path / "a.png")).reshape(3, 32, 3, 32, 3).transpose(0, 2, 1, 3, 4)
    for column in range(3):  # three columns: the classes 0, 1, 2
        of_class, _ = arrays("--count=9", f"--class={column}")
        np.testing.assert_array_equal(grid[:, column], of_class[column::3])
    assert status("sample", run, "--count=2", "--class=7") == 0
    assert "2_2_class7.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("run", "number", "sentence"),
    [
        ("conditional_run", 10, "class is 10; .* has the classes 0 to 9"),
        ("conditional_run", -1, "class is -1; .* has the classes 0 to 9"),
        ("tiny_run", 0, "class is 0, but .* is unconditional"),
    ],
)
def test_classes_that_a_run_does_not_have(run, number, sentence, request, capsys):
    assert status("sample", str(request.getfixturevalue(run)[1]), f"--class={number}") == program.BAD_USE
    assert re.search(sentence, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--out={folder}/a.jpg"], "a.jpg would be a folder; name a .npz, a .png"),
        (["--out={folder}/file/a.npz"], "file/a.npz cannot be written"),
        (["--out={folder}/file/a.PNG"], "file/a.PNG cannot be written"),
        (["--seed=-1"], "seed is -1"),
    ],
)
def test_samples_that_cannot_be_made_or_written(tiny_run, tmp_path, capsys, flags, sentence):
    (tmp_path / "file").write_text("")
    argv = [flag.format(folder=tmp_path) for flag in flags]
    assert status("sample", str(tiny_run[1]), "--count=2", *argv) == program.BAD_USE
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_samples_depend_on_seed_and_step_alone(tiny_run, tmp_path):
    run, out = str(tiny_run[1]), tmp_path / "a.npz"

    def images(*argv: str) -> np.ndarray:
        assert status("sample", run, f"--out={out}", *argv) == 0
        return np.load(out)["images"]

    five = images("--count=5")
    np.testing.assert_array_equal(images("--count=9")[:5], five)
    assert not np.array_equal(images("--count=5", "--seed=1"), five)
    assert not np.array_equal(images("--count=5", "--step=2"), five)


def test_sample_of_a_missing_step_names_those_that_exist(tiny_run, capsys):
    assert status("sample", str(tiny_run[1]), "--step=3") == program.BAD_USE
    assert "2, 4" in capsys.readouterr().err
