"""The verbs that train nothing: summary, losses, import-tf1."""

from __future__ import annotations

import dataclasses
import runpy
import shlex
import sys
import types

import pytest

from mmdgan.cli import program as main
from mmdgan.cli.flags import parse
from mmdgan.runs.experiment import Experiment
from tests.cli.test_program import _flags, _status
from tests.conftest import PROJECT


def test_the_first_try_is_one_that_is_there(capsys, monkeypatch, tmp_path):
    script = PROJECT / "experiments" / "my_test_sample.py"
    monkeypatch.chdir(tmp_path)
    assert _status("--help") == 0
    program, word = capsys.readouterr().out.split("First try: ")[1].split()
    assert program == "python" and (tmp_path / word).resolve() == script
    # A wheel has no scripts: its command trains what the script does.
    monkeypatch.setattr(main, "__file__", str(tmp_path / "site-packages" / "mmdgan" / "cli.py"))
    assert _status("--help") == 0
    words = capsys.readouterr().out.split("First try: ")[1].split()
    asked = parse(Experiment(), words[words.index("train") + 1 :], usage="").options
    preset = runpy.run_path(str(script))["PRESET"]
    for name in ("data", "architecture", "loss", "batch_size", "lr_dis", "lr_gen", "max_step"):
        assert getattr(asked, name) == getattr(preset, name), name


def test_summary_shows_both_networks(capsys):
    assert _status("summary", "cifar10/DCGAN") == 0
    text = capsys.readouterr().out
    assert "3,811,907" in text and "5,983,760" in text
    assert _status("summary", "cifar10/DCGAN", "--score_size=1") == 0
    assert "5,860,865" in capsys.readouterr().out


def test_summary_of_a_single_network(capsys, tmp_path):
    (tmp_path / "my.py").write_text(
        'LIST = [{"name": "a", "out": 4}, {"name": "b", "op": "d", "in_reshape": [64], "out": 2, "bias": "cb"}]\n'
        'GRAPH = {"layers": LIST, "links": [{"from": ["input"], "to": ["a"]}, {"from": ["a"], "to": ["b"]}],\n'
        '         "outputs": ["b"]}\n'
    )
    for name in ("LIST", "GRAPH"):
        reference = f"{tmp_path}/my.py:{name}"
        assert _status("summary", reference, "--input_shape=3,4,4", "--num_class=5") == 0
        # conv 3*3*3*4 + 4; dense 64*2, a bias of 2 for each of 5 classes
        assert "112" in (text := capsys.readouterr().out) and "138" in text
        assert _status("summary", reference) == main.BAD_USE
        assert "single network" in capsys.readouterr().err
        assert _status("summary", reference, "--input_shape=3,4,4", "--num_class=5", "--score_size=3") == main.BAD_USE
        assert "leave --score_size out" in capsys.readouterr().err


def test_summary_of_conditional_networks(capsys):
    assert _status("summary", "sample/PROJECTION_SMALL", "--num_class=10", "--score_size=1") == 0
    assert "l8_s" in capsys.readouterr().out


def test_losses_lists_every_loss_without_tensorflow(run_script, capsys):
    from mmdgan import losses

    assert _status("losses") == 0
    text = capsys.readouterr().out
    words = set(text.replace(",", " ").split())
    assert set(losses.names()) <= words
    code = "import sys, mmdgan.cli as cli; cli.main(['losses']); print({'tensorflow', 'numpy'} & set(sys.modules))"
    assert run_script("-c", code).stdout.endswith("\nset()\n")
    assert _status("train", "--help") == 0
    assert "python -m mmdgan losses" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("size", "steps", "said"), [(None, 9, "--loss=rep_b"), (None, 3, "--max_step=8"), (16, 9, "--score_size=16")]
)
def test_import_tf1_says_what_to_do_next(tiny_run, monkeypatch, capsys, size, steps, said):
    """The run that training goes on with: --restart would move it aside, other outputs would not fit."""
    given = dataclasses.replace(tiny_run[0], restart=True, max_step=steps, loss="hinge" if size else "rep_b")
    asked = []
    module = types.ModuleType("mmdgan.runs.import_tf1")
    module.import_run = lambda prefix, experiment: asked.append((prefix, experiment)) or tiny_run[1]
    monkeypatch.setitem(sys.modules, "mmdgan.runs.import_tf1", module)
    assert _status("import-tf1", "cifar.ckpt-60", *_flags(given)) == 0
    assert asked == [("cifar.ckpt-60", given)]
    text, run = capsys.readouterr().out, tiny_run[1]
    assert f"cifar.ckpt-60 is now the run {run}, after step 4." in text
    assert f"sample {run}" in text and f"evaluate {run}" in text
    command = shlex.split(next(line for line in text.splitlines() if line.startswith("Train it on:")))
    flags = [word for word in command if word.startswith("--")]
    expected = dataclasses.replace(given, restart=False, max_step=max(steps, 8), score_size=size)
    assert parse(Experiment(), flags, usage="").options == expected
    assert said in flags
