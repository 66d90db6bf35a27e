"""The verb `runs`: states, scores and sizes of runs made by hand; what --clean removes and what it keeps."""

import io
import json
import os
import sys
import time

import pytest

from mmdgan.cli import program, runs
from mmdgan.core.lock import FolderLock
from mmdgan.runs.folder import RunFolder, newest_runs
from mmdgan.runs.scores import append_scores
from mmdgan.training import divergence
from tests.helpers.command_line import status


def make_run(path, step=4, max_step=4, age=0.0, **fields):
    """A directory with what a run of so many steps leaves."""
    (path / "checkpoints").mkdir(parents=True)
    experiment = {"loss": "rep", "max_step": max_step, "results": "Results", "data": "sample", "run_name": path.name}
    (path / "config.json").write_text(json.dumps({"experiment": experiment | fields, "architecture": {}}))
    for ending in ("index", "data-00000-of-00001"):
        (path / "checkpoints" / f"ckpt-{step}.{ending}").write_bytes(b"x" * 1000)
    for place in (path / "config.json", path / "checkpoints"):
        os.utime(place, (time.time() - age, time.time() - age))
    return RunFolder(path)


def score(value, metric="FD[classifier]"):
    return {"metric": metric, "value": value, "count": 10, "count_real": 10, "feature_hash": "h", "resize": "clean"}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A finished run, a stopped one, one that diverged, one that went on after that, and one of a sweep."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "Results" / "sample"
    finished = make_run(folder / "finished", age=7300)
    for step, value in ((2, 3.5), (4, 7.25)):
        append_scores(finished.metrics_file, step, "train", [score(value), score(2.0, "KD[classifier]")])
    os.utime(finished.metrics_file, (time.time() - 7300,) * 2)
    make_run(folder / "stopped", step=2, age=600)
    for name, step in (("diverged", 2), ("went on", 4)):
        run = make_run(folder / name, step=step, max_step=9, age=300)
        divergence.record(run.path, divergence.Diverged(3, "loss_gen", float("nan")), None, 0)
    make_run(tmp_path / "Results" / "sweeps" / "s" / "sample" / "x", age=900_000)
    return tmp_path / "Results"


def test_states(results):
    states = {run.path.name: run.state() for run in newest_runs(results)}
    expected = {"finished": "finished", "stopped": "stopped", "diverged": "diverged", "went on": "stopped"}
    assert states == {**expected, "x": "finished"}
    with FolderLock(results / "sample" / "stopped"):
        assert RunFolder(results / "sample" / "stopped").state() == "running"


def test_the_table(results, capsys):
    assert status("runs") == 0
    rows = {line.split("  ")[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[2:]}
    assert list(rows)[-3:] == ["Results/sample/stopped", "Results/sample/finished", "Results/sweeps/s/sample/x"]
    size = sum(file.stat().st_size for file in (results / "sample" / "finished").rglob("*") if file.is_file())
    expected = f"rep 4/4 FD[classifier] 3.5 finished {size / 1024:.1f} KiB 2 h"
    assert rows["Results/sample/finished"] == expected.split()


def test_a_damaged_run_is_named_and_passed_over(results, capsys):
    assert status("runs") == 0
    table = capsys.readouterr().out
    (results / "sample" / "broken").mkdir()
    (results / "sample" / "broken" / "config.json").write_text("{}")
    assert status("runs") == 0
    sentence, rest = capsys.readouterr().out.split("\n", 1)
    assert sentence.startswith("Passed over: Results/sample/broken/config.json is no run's configuration")
    assert rest == table


def test_a_narrow_terminal_gets_two_lines_a_run(results, capsys, monkeypatch):
    monkeypatch.setattr(runs, "terminal_columns", lambda stream: 60)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert runs.runs([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 60 and lines[lines.index("Results/sample/finished") + 1].endswith(" KiB, 2 h ago")


@pytest.mark.parametrize("verb", ["sample", "interpolate", "evaluate", "report", "export", "compare"])
def test_verbs_without_a_run_list_the_newest_five(results, capsys, verb):
    for number in range(3):
        make_run(results / "sample" / f"new{number}")
    assert status(verb) == program.BAD_USE
    shown = [line.split("  ")[1] for line in capsys.readouterr().err.splitlines() if line.startswith("  ")]
    assert sorted(shown[:3]) == [f"Results/sample/new{number}" for number in range(3)]
    assert len(shown) == 5 and "Results/sample/finished" not in shown


def test_without_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (status("runs"), status("sample")) == (program.BAD_USE, program.BAD_USE)
    first, second = capsys.readouterr().err.splitlines()
    assert "there is no run in Results; " in first and "train` makes one" in first and "train` makes one" in second


@pytest.fixture
def removable(results):
    """A run moved aside, its successor, features; and what looks alike and is kept."""
    for name in ("finished-old-1", "stopped-old-2", "lone-old-1"):
        make_run(results / "sample" / name)
    features = results.parent / "Data" / "features"
    (features / "abc").mkdir(parents=True)
    (features / "abc" / "facts.json").write_text("{}")
    (features / "classifier.npz").write_text("weights")
    return {results / "sample" / "finished-old-1", results / "sample" / "stopped-old-2", features / "abc"}


def test_clean_asks_and_removes_only_what_is_replaced_or_can_be_computed(results, removable, monkeypatch, capsys):
    everything = {path for path in results.parent.rglob("*") if path.is_dir()}
    assert status("runs", "--clean") == program.BAD_USE  # standard input of a test is no terminal
    assert "no terminal to ask at; add --yes" in capsys.readouterr().err

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for answer in ("n\n", "\n"):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert runs.runs(["--clean"]) == 0 and all(path.is_dir() for path in everything)
    with FolderLock(results / "sample" / "stopped-old-2"):  # something is training: no features are removed either
        assert runs.runs(["--clean", "--yes"]) == 0
    gone = {path for path in everything if not path.exists()}
    assert {path for path in gone if path in removable} == {results / "sample" / "finished-old-1"}
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert runs.runs(["--clean"]) == 0
    kept = {path for path in everything if not any(path == part or part in path.parents for part in removable)}
    assert {path for path in everything if path.exists()} == kept
    assert (results.parent / "Data" / "features" / "classifier.npz").is_file()
    assert runs.runs(["--clean"]) == 0 and "Nothing to remove" in capsys.readouterr().out
