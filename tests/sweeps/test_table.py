"""The tables of a sweep: rows and columns, means over seeds, what diverged, the best run, the authors' numbers."""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
import types
from pathlib import Path

import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.core.text import command
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps.folder import Outcome, SweepFolder
from mmdgan.sweeps.spec import Sweep, expand
from mmdgan.sweeps.table import best, csv_text, own_cells, pivot, published_text, table_rows
from tests.helpers.command_line import status


def finished(point, value, name="FD[classifier]"):
    """A run with a score."""
    scores = (
        {"metric": name, "value": value, "spread": None},
        {"metric": "KD[classifier]", "value": -value, "spread": 0.1},
    )
    return point, Outcome(point.run, "finished", 9, scores, seconds=3.0)


@pytest.fixture
def states():
    """Two losses, two rates, three seeds: all kinds of outcomes."""
    base = Experiment(architecture="cifar10/DCGAN", data="cifar10", max_step=9)
    grid = {"loss": ["rep", "rep_b"], "lr_dis": [1e-4, 5e-4], "seed": [0, 1, 2]}
    points = expand(Sweep(name="t", base=base, grid=grid))
    found = [finished(point, value) for point, value in zip(points, [1.0, 2.0, 4.0, 30.0, 31.0], strict=False)]
    found += [(points[5], Outcome(points[5].run, "diverged", 3))]
    found += [(point, Outcome(point.run, "diverged", 3)) for point in points[6:9]]
    return (
        found + [(points[9], Outcome(points[9].run, "running"))] + [(p, Outcome(p.run, "waiting")) for p in points[10:]]
    )


def test_cells_hold_means_over_seeds_and_count_what_diverged(states):
    found = pivot(states, "fid", ["loss"], ["lr_dis"])
    spread = statistics.stdev([1.0, 2.0, 4.0])
    assert table_rows(found) == [
        ["loss \\ lr_dis", "0.0001", "0.0005"],
        ["rep", f"2.333 ± {spread:.2g} (3)", "30.5 ± 0.71 (2) (1 of 3 diverged)"],
        ["rep_b", "diverged (3 of 3)", "running"],
    ]
    assert found.score == "FD[classifier]"
    assert table_rows(pivot(states, "kid", ["loss"], ["lr_dis"]))[1][1].startswith("-2.333")
    assert table_rows(pivot(states, "fid", ["seed"]))[0] == [
        "seed \\ loss,lr_dis",
        *(f"{loss}, {rate}" for loss in ("rep", "rep_b") for rate in (0.0001, 0.0005)),
    ]
    assert table_rows(pivot(states, "fid")) == table_rows(found)


def test_wrong_rows_and_columns_are_named(states):
    for rows, columns, words in (
        (["los"], [], "did you mean loss"),
        (["lr"], [], "lr_gen"),
        (["loss"], ["loss"], "is in rows and in columns"),
        (["loss"], ["seed"], "leave out lr_dis"),
    ):
        with pytest.raises(ConfigError, match=words):
            pivot(states, "fid", rows, columns)
    assert "they have" not in "".join(pivot(states, "fid").notes)
    assert pivot(states, "swd").notes == ("No run has swd; they have FD[classifier], KD[classifier].",)


def test_best_knows_which_way_is_better(states):
    assert best(states, "fid")[1].value("FD[classifier]") == 1.0
    states[2] = finished(states[2][0], 0.5, "CS[classifier]")
    states[3] = finished(states[3][0], 7.0, "CS[classifier]")
    assert best(states, "is")[0] is states[3][0]
    with pytest.raises(ConfigError, match="no finished run has the score coverage"):
        best(states, "coverage")


def test_csv_has_a_line_per_run(states):
    rows = list(csv.DictReader(io.StringIO(csv_text(states, "kid"))))
    assert len(rows) == 12 and list(rows[0])[:7] == [
        "run",
        "loss",
        "lr_dis",
        "seed",
        "status",
        "step",
        "KD[classifier]",
    ]
    assert rows[1]["FD[classifier]"] == "2.0" and rows[5]["status"] == "diverged" and rows[5]["FD[classifier]"] == ""


def test_the_authors_numbers_stand_in_the_same_cells(states):
    """Theirs for K = 64, lr_gen = 2e-4: read from the CSV here."""
    with open("Results/published/paper_results.csv", newline="") as file:
        theirs = {
            (line["loss"], line["lr_dis"]): float(line["value"])
            for line in csv.DictReader(file)
            if (line["dataset"], line["block"], line["variant"]) == ("cifar10", "pico_vs_pim", "K=64")
            and (line["lr_gen"], line["metric"]) == ("2e-04", "FID")
            and line["loss"] in ("rep", "rmb")
            and line["value"] != "NaN"
        }
    text = published_text(pivot(states, "fid", ["loss"], ["lr_dis"]))
    line = next(line for line in text.splitlines() if line.startswith("rep "))
    assert line.split()[1:] == [f"{theirs['rep', rate]:.4g}" for rate in ("1e-04", "5e-04")]
    assert published_text(pivot(states, "fid", ["loss", "lr_dis"])).splitlines()[2].split() == ["loss,lr_dis", "FID"]
    assert "FD[classifier] is another score than FID" in text and "100,000 steps, not 9" in text
    assert "is not the paper's network" not in text
    assert published_text(pivot(states, "swd")) != "" and "another score" not in published_text(pivot(states, "swd"))
    # Nothing of theirs is at another λ, or at rates that they did not try.
    base = states[0][0].experiment
    assert own_cells(dataclasses.replace(base, rep_lambda=-1.0)) == []
    assert own_cells(dataclasses.replace(base, lr_dis=3e-4)) == []
    pim = own_cells(dataclasses.replace(base, spectral="pim"))
    assert [row.variant for row in pim] == ["PIM"]


def test_the_command_line_lists_runs_without_starting_any(capsys, tmp_path):
    assert status("sweep", "experiments/sweeps/example.py", "--dry_run", f"--results={tmp_path}") == 0
    text = capsys.readouterr().out
    assert "8 runs" in text and "--loss=rep_b --lr_dis=1e+30 --optimizer=sgd" in text and not list(tmp_path.iterdir())
    for words, expected in (
        (["tabel"], "did you mean table"),
        (["experiments/sweeps/example.py", "--jobs=0"], "jobs is 0"),
        (["experiments/sweeps/example.py", "--gpus=1"], "gpus is for Ray alone"),
        (["best", "nosuch", f"--results={tmp_path}"], "there is no sweep nosuch"),
    ):
        assert status("sweep", *words) == 2
        assert expected in capsys.readouterr().err


def test_the_best_run_and_the_command_that_goes_on_with_it(states, capsys, monkeypatch):
    folder = types.SimpleNamespace(states=lambda: states, read=lambda: {"metric": "fid"})
    monkeypatch.setattr("mmdgan.cli.sweep.find_folder", lambda *_: folder)
    assert status("sweep", "best", "t") == 0
    run = states[0][0].experiment.folder().path
    assert f"Train it on:  {command('train', run, '--max_step', 18)}" in capsys.readouterr().out.splitlines()
    longer = dataclasses.replace(states[0][0].experiment, max_step=1000)
    states[0] = states[0][0]._replace(experiment=longer, seconds=60.0), states[0][1]  # which end it at step 9
    assert status("sweep", "best", "t") == 0
    assert "Again, apart: mmdgan train --lr_dis=0.0001 --max_step=9\n" in capsys.readouterr().out
    for verb in ("best", "status"):
        assert status("sweep", verb, "t", "--csv=x.csv") == 2
        assert "there is no flag --csv" in capsys.readouterr().err


def test_changed_networks_are_refused(tmp_path, tiny_architecture):
    """The file of an architecture may change while its name stays."""
    mine = tmp_path / "mine.py"
    text = Path(tiny_architecture.partition(":")[0]).read_text()
    mine.write_text(text)
    base = Experiment(architecture=f"{mine}:TINY", data="sample", metrics=(), results=str(tmp_path))
    sweep, folder = Sweep(name="t", base=base, grid={"seed": [0, 1]}), SweepFolder(tmp_path / "sweeps" / "t")
    folder.begin("t", "fid", base, expand(sweep))
    folder.begin("t", "fid", base, expand(sweep))
    mine.write_text(text.replace('"out": 6', '"out": 5'))
    with pytest.raises(ConfigError, match="not those with which seed=0 was begun"):
        folder.begin("t", "fid", base, expand(sweep))
