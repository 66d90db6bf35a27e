"""The Ray engine: the numbers of the local one, runs that survive their process, schedulers."""

from __future__ import annotations

import sys

import pytest

from mmdgan.cli import program
from mmdgan.sweeps.folder import SweepFolder
from mmdgan.sweeps.table import csv_text
from tests.helpers.command_line import status
from tests.helpers.sweep_helpers import start, tiny_base, write_spec


def test_without_ray_the_extra_is_named(tiny_architecture, tmp_path, monkeypatch, capsys):
    base = tiny_base(tiny_architecture, results=str(tmp_path / "R"))
    file = write_spec(tmp_path, base, "grid={'lr_dis': [1e-4]}")
    monkeypatch.setitem(sys.modules, "ray", None)
    assert status("sweep", str(file), "--engine=ray") == program.BAD_USE
    assert "pip install 'mmdgan[ray]'" in capsys.readouterr().err


def test_a_scheduler_wants_rounds_and_scores(tiny_architecture, tmp_path, capsys):
    base = tiny_base(tiny_architecture, results=str(tmp_path / "R"))
    file = write_spec(tmp_path, base, "grid={'lr_dis': [1e-4]}")
    assert status("sweep", str(file), "--engine=ray", "--scheduler=asha") == program.BAD_USE
    assert "single round" in capsys.readouterr().err
    base = tiny_base(tiny_architecture, results=str(tmp_path / "R"), rounds=2)
    file = write_spec(tmp_path, base, "grid={'lr_dis': [1e-4]}", name="other")
    assert status("sweep", str(file), "--engine=ray", "--scheduler=asha") == program.BAD_USE
    assert "metric fid is not among the base's metrics" in capsys.readouterr().err


@pytest.mark.slow
def test_both_engines_give_the_same_table(tiny_architecture, tmp_path):
    """To the last bit, with a run that diverges; and what one engine has done, the other does not repeat."""
    tables = {}
    for engine in ("local", "ray"):
        place = tmp_path / engine
        place.mkdir()
        options = {"results": str(place / "R"), "metrics": ("swd",), "score_count": 64, "keep_best": "none"}
        base = tiny_base(tiny_architecture, **options)
        parts = "points=[{'lr_dis': 1e-4}, {'lr_dis': 1e-3}, {'divergence_limit': 1e-9}], metric='swd'"
        file = write_spec(place, base, parts)
        process = start(place, str(file), f"--engine={engine}", "--jobs=2", "--threads=1")
        text = process.communicate(timeout=200)[0]
        assert process.returncode == 0 and "Done: 2 finished, 1 diverged." in text, text
        folder = SweepFolder(place / "R" / "sweeps" / "tiny")
        assert {outcome.engine for _, outcome in folder.states()} == {engine}
        lines = csv_text(folder.states(), "swd").splitlines()
        tables[engine] = [line.split(",")[:7] for line in lines]  # without the seconds
    assert tables["local"] == tables["ray"] and "SWD mean" in ",".join(tables["ray"][0])
    process = start(tmp_path / "ray", "tiny.py", "--engine=local")
    assert "(2 finished, 1 diverged)" in process.communicate(timeout=60)[0]
