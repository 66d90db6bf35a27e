"""The verb import-tf1."""

from __future__ import annotations

import dataclasses
import shlex
import sys
import types

import pytest

from mmdgan.cli.flags import parse
from mmdgan.runs.experiment import Experiment
from tests.helpers.command_line import all_flags, status


@pytest.mark.parametrize(
    ("size", "steps", "said"), [(None, 9, "--loss=rep_b"), (None, 3, "--max_step=8"), (16, 9, "--score_size=16")]
)
def test_import_tf1_says_what_to_do_next(tiny_run, monkeypatch, capsys, size, steps, said):
    """The run that training goes on with: --restart would move it aside, other outputs would not fit."""
    given = dataclasses.replace(tiny_run[0], restart=True, max_step=steps, loss="hinge" if size else "rep_b")
    asked = []
    module = types.ModuleType("mmdgan.runs.import_tf1")
    module.import_run = lambda prefix, experiment, *_: asked.append((prefix, experiment)) or tiny_run[1]
    monkeypatch.setitem(sys.modules, "mmdgan.runs.import_tf1", module)
    assert status("import-tf1", "cifar.ckpt-60", *all_flags(given)) == 0
    assert asked == [("cifar.ckpt-60", given)]
    text, run = capsys.readouterr().out, tiny_run[1]
    assert f"cifar.ckpt-60 is now the run {run}, after step 4." in text
    assert f"sample {run}" in text and f"evaluate {run}" in text
    command = shlex.split(next(line for line in text.splitlines() if line.startswith("Train it on:")))
    flags = [word for word in command if word.startswith("--")]
    expected = dataclasses.replace(given, restart=False, max_step=max(steps, 8), score_size=size)
    assert parse(Experiment(), flags, usage="").options == expected
    assert said in flags
