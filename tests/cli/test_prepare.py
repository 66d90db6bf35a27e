"""The verb `prepare` as a person calls it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mmdgan.cli import prepare, program
from mmdgan.core.text import format_value
from mmdgan.data.preparation import prepare as prepare_module
from mmdgan.design import files
from tests.helpers.command_line import status


@pytest.fixture
def photos(tmp_path):
    """Five images of two kinds; one of them is torn."""
    rng = np.random.default_rng(0)
    for number in range(5):
        folder = tmp_path / "photos" / ("cats", "dogs")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (10, 12, 3), np.uint8)).save(folder / f"{number}.png")
    (tmp_path / "photos" / "dogs" / "3.png").write_bytes(b"torn")
    return tmp_path / "photos"


def test_from_images_to_a_data_set(photos, tmp_path, capsys):
    words = ["prepare", f"folder:{photos}", "--name=mine", "--size=8", f"--data_root={tmp_path / 'Data'}"]
    assert status(*words) == program.BAD_USE
    error = capsys.readouterr().err
    assert error.startswith("mmdgan: ") and "3.png cannot be read as an image" in error and error.count("\n") == 1
    assert status(*words, "--skip_broken") == 0
    text = capsys.readouterr().out
    size = (tmp_path / "Data" / "mine" / "mine-00000-of-00001.tfrecords").stat().st_size
    assert f"mine: 4 RGB images of 8x8 pixels, 2 classes; {size} bytes in {tmp_path}/Data/mine\n" in text
    assert "1 broken image left out: " in text and "3.png" in text
    assert f"train --data mine --data_root {tmp_path}/Data --architecture FILE:NAME   # whose images are 3,8,8" in text
    sidecar = json.loads((tmp_path / "Data" / "mine" / "mine.json").read_text())
    assert sidecar["class_names"] == ["cats", "dogs"] and sidecar["count"] == 4
    assert status(*words, "--skip_broken") == 0
    assert "mine is in" in capsys.readouterr().out


def test_verify(photos, tmp_path, capsys):
    root = tmp_path / "Data"
    status("prepare", f"folder:{photos}", "--name=mine", "--size=8", "--skip_broken", f"--data_root={root}")
    capsys.readouterr()
    for words in (["--verify", str(root / "mine")], [f"--verify={root / 'mine'}"]):
        assert status("prepare", *words) == 0
        assert "mine: 4 images in 1 file, all sound\n" in capsys.readouterr().out
    shard = root / "mine" / "mine-00000-of-00001.tfrecords"
    content = bytearray(shard.read_bytes())
    content[300] ^= 1
    shard.write_bytes(content)
    assert status("prepare", "--verify", str(root / "mine")) == program.BAD_USE
    text = capsys.readouterr().out
    assert "Record 1 of" in text and "problem" in text.splitlines()[-1]
    assert status("prepare", "--verify", str(tmp_path / "nowhere")) == program.BAD_USE
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the command takes WHAT"),
        (["a", "b"], "the command takes WHAT; it was given a b"),
        (["cifar10", "--sorce=x"], "no flag --sorce (did you mean --source?)"),
        (["cifar10", "--crop=left"], "the valid values are center, none"),
        (["cifar10", "--verify=x"], "it was given cifar10"),
        (["--verify=none"], "verify is none"),
        (["cifar10", "--workers=0"], "workers is 0"),
        (["cifr10"], "did you mean cifar10"),
    ],
)
def test_mistakes_are_sentences(words, message, capsys):
    assert status("prepare", *words) == program.BAD_USE
    assert message in capsys.readouterr().err


def test_every_flag_is_passed_on(monkeypatch):
    """The flags are the options of `prepare`, but for verify."""
    seen = {}

    class Stop(Exception):
        pass

    def record(what, options, say):
        seen.update(vars(options), what=what)
        raise Stop

    monkeypatch.setattr(prepare_module, "prepare", record)
    given = {"source": "a", "download": True, "split": "test", "checksum": True, "size": 9, "crop": "none"}
    given |= {"skip_broken": True, "labels": "source", "attributes": ("x", "y"), "mapping": "m", "name": "n"}
    given |= {"data_root": "d", "workers": 3, "channels": 1}
    with pytest.raises(Stop):
        prepare.prepare(["celeba", *(f"--{name}={format_value(value)}" for name, value in given.items())])
    assert seen == {"what": "celeba", "verify": None, **given}


def test_help_and_preparing_need_no_tensorflow(run_script, photos):
    done = run_script("-m", "mmdgan", "prepare", "--help")
    assert "--skip_broken" in done.stdout and "folder:photos --name mine" in done.stdout
    code = (
        "import sys, mmdgan.cli as cli\n"
        f"cli.main(['prepare', 'folder:{photos / 'cats'}', '--name=x', '--size=8'])\n"
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = run_script("-c", code)
    assert done.stdout.endswith("\nset()\n"), done.stderr


def test_the_architectures_that_are_proposed_fit_the_images_and_no_shape_of_the_presets_is_forgotten():
    known = {preset.name: preset for preset in files.presets()}
    assert set(prepare._PRESETS) == {p.gen.output_shape for p in known.values() if len(p.gen.output_shape) == 3}
    for shape, (plain, small, conditional) in prepare._PRESETS.items():
        proposed = [known[name] for name in (plain, small, conditional) if name is not None]
        assert {preset.gen.output_shape for preset in proposed} == {shape}
        assert [bool(preset.classes) for preset in proposed] == [False, False, True][: len(proposed)]
        assert known[small].dis.parameters < known[plain].dis.parameters / 3


def test_what_to_train_is_told(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(prepare, "program", lambda: "mmdgan")
    words = ["prepare", f"folder:{photos}", "--size=32", "--skip_broken", f"--data_root={tmp_path}"]
    assert status(*words, "--name=kinds") == 0
    told = capsys.readouterr().out.splitlines()[-3:]
    train = f"train --data kinds --data_root {tmp_path}"
    assert told[0] == f"First try:    mmdgan {train} --architecture sample/DCGAN_SMALL --max_step 2000"
    assert told[1] == f"Train on it:  mmdgan {train} --architecture cifar10/DCGAN   # many hours without a GPU"
    assert told[2] == f"By classes:   mmdgan {train} --architecture sample/PROJECTION_SMALL --num_class 2 --loss hinge"
    assert status(*words, "--name=plain", "--labels=none") == 0
    told = capsys.readouterr().out.splitlines()[-1]
    train = f"train --data plain --data_root {tmp_path} --architecture cifar10/DCGAN --classifier_data sample"
    assert told == f"Train on it:  mmdgan {train}   # many hours without a GPU"
