"""The figure of sweeps: which scores it draws and where, the authors' grid, and that it works with what there is."""

from __future__ import annotations

import csv

import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps.folder import Outcome, SweepFolder
from mmdgan.sweeps.spec import Sweep, expand
from paper import sweep_scores
from paper.sweep_scores import SweepFigureOptions, make_figure, published_dots, sweep_dots


@pytest.fixture
def folder(tmp_path) -> SweepFolder:
    """Eight runs: five with a score, one diverged, one failed, one not begun."""
    base = Experiment(architecture="sample/DCGAN_SMALL", data="sample", results=str(tmp_path), metrics=())
    sweep = Sweep(name="s", base=base, grid={"rep_lambda": [-1, 1], "lr_dis": [1e-4, 1e-3], "lr_gen": [2e-4, 5e-4]})
    made = SweepFolder(tmp_path / "sweeps" / "s")
    points = made.begin("s", "fid", base, expand(sweep))
    for number, point in enumerate(points[:5]):
        score = {"metric": "FD[classifier]", "value": 10.0 * (number + 1), "spread": None}
        made.write(Outcome(point.run, "finished", 9, (score,)))
    made.write(Outcome(points[5].run, "diverged", 3, error="loss_gen is nan"))
    made.write(Outcome(points[6].run, "failed", error="no room"))
    return made


def test_dots_are_the_results_so_far(folder):
    dots = sweep_dots([str(folder.path)], SweepFigureOptions())
    expected = [(-1.0, 1e-4, 2e-4, 10.0), (-1.0, 1e-4, 5e-4, 20.0), (-1.0, 1e-3, 2e-4, 30.0), (-1.0, 1e-3, 5e-4, 40.0)]
    expected += [(1.0, 1e-4, 2e-4, 50.0), (1.0, 1e-4, 5e-4, None)]
    assert [(dot.place, dot.lr_dis, dot.lr_gen, dot.value) for dot in dots] == expected
    assert {(dot.loss, dot.score, dot.source) for dot in dots} == {("rep", "FD[classifier]", "ours")}
    with pytest.raises(ConfigError, match="no run has the score kid"):
        sweep_dots([str(folder.path)], SweepFigureOptions(metric="kid"))


def test_the_authors_grid_is_the_files():
    """Counted in the CSV by itself: 16 pairs for each of six columns, with the diverged ones."""
    dots = published_dots(["rep", "rmb"])
    with open("Results/published/paper_results.csv", newline="") as file:
        lines = [
            line
            for line in csv.DictReader(file)
            if (line["dataset"], line["block"], line["metric"]) == ("cifar10", "pico_vs_pim", "FID")
        ]
    for loss in ("rep", "rmb"):
        mine = {(d.place, d.lr_dis, d.lr_gen): d.value for d in dots if d.loss == loss}
        theirs = {
            (line["variant"], float(line["lr_dis"]), float(line["lr_gen"])): line["value"].strip(" ,")
            for line in lines
            if line["loss"] == loss
        }
        assert len(mine) == len(theirs) == 96 and set(mine) == set(theirs)
        for key, text in theirs.items():
            assert mine[key] is None if text == "NaN" else mine[key] == float(text)
    assert published_dots(["hinge_gp"]) == []


@pytest.mark.parametrize("limit", [None, 35.0])
def test_the_figure_draws_lost_runs_at_infinity(folder, tmp_path, monkeypatch, limit):
    figures = []
    real = sweep_scores.new_figure
    monkeypatch.setattr(sweep_scores, "new_figure", lambda *a, **k: figures.append(real(*a, **k)) or figures[-1])
    output = make_figure(SweepFigureOptions(out=str(tmp_path / "out"), limit=limit), [str(folder.path)])
    assert [file.name for file in output.files] == [f"figure3_sweep.{kind}" for kind in ("csv", "png", "pdf")]
    axes = figures[0].axes[0]
    assert axes.get_ylabel() == "FD[classifier]" and figures[0].axes[1].get_ylabel() == "FID"
    heights = [line.get_ydata()[0] for line in axes.lines if line.get_marker() != "None"]
    edge = max(heights)
    assert axes.get_ylim()[1] > edge > (35 if limit else 50) and len(heights) == 6
    # The diverged one, and with the limit those of 40 and 50.
    assert sum(height == edge for height in heights) == (3 if limit else 1)
    assert f"1 of 6 diverged{', 2 worse than 35' if limit else ''}" in axes.get_title()
    assert "20 of 96 diverged" in figures[0].axes[1].get_title()
    rows = list(csv.DictReader(open(tmp_path / "out" / "figure3_sweep.csv", newline="")))
    assert len(rows) == 6 + 96 and rows[0]["value"] == "10.0" and rows[5]["value"] == ""


def test_where_higher_is_better_lost_runs_are_at_the_lower_edge(tmp_path, monkeypatch):
    base = Experiment(architecture="sample/DCGAN_SMALL", data="sample", results=str(tmp_path), metrics=())
    made = SweepFolder(tmp_path / "sweeps" / "s")
    points = made.begin("s", "is", base, expand(Sweep(name="s", base=base, grid={"seed": [0, 1, 2, 3]})))
    for point, value in zip(points, (3.0, 5.0, 8.0), strict=False):
        made.write(Outcome(point.run, "finished", 9, ({"metric": "IS", "value": value, "spread": None},)))
    made.write(Outcome(points[3].run, "diverged", 3, error="loss_gen is nan"))
    figures = []
    real = sweep_scores.new_figure
    monkeypatch.setattr(sweep_scores, "new_figure", lambda *a, **k: figures.append(real(*a, **k)) or figures[-1])
    make_figure(SweepFigureOptions(out=str(tmp_path / "out"), metric="is", limit=4.0), [str(made.path)])
    ours, authors = figures[0].axes[:2]
    drawn = sorted(line.get_ydata()[0] for line in ours.lines if line.get_marker() != "None")
    assert drawn[0] == drawn[1] < 4.0 and drawn[2:] == [5.0, 8.0]
    assert ours.get_ylim()[0] < drawn[0] and ours.get_ylim()[1] > 8.0
    assert ours.get_yticklabels()[-1].get_text() == "-∞" and "1 of 4 diverged, 1 worse than 4" in ours.get_title()
    assert authors.get_ylabel() == "FID" and authors.get_ylim()[1] > 30  # the limit is of our score


def test_runs_that_differ_in_the_seed_alone_are_all_drawn(tmp_path, monkeypatch):
    base = Experiment(architecture="sample/DCGAN_SMALL", data="sample", results=str(tmp_path), metrics=())
    made = SweepFolder(tmp_path / "sweeps" / "s")
    for point in made.begin("s", "fid", base, expand(Sweep(name="s", base=base, grid={"seed": [0, 1, 2]}))):
        value = 10.0 + point.experiment.seed
        made.write(Outcome(point.run, "finished", 9, ({"metric": "FID", "value": value, "spread": None},)))
    figures = []
    real = sweep_scores.new_figure
    monkeypatch.setattr(sweep_scores, "new_figure", lambda *a, **k: figures.append(real(*a, **k)) or figures[-1])
    make_figure(SweepFigureOptions(out=str(tmp_path / "out")), [str(made.path)])
    drawn = [line.get_ydata()[0] for line in figures[0].axes[0].lines if line.get_marker() != "None"]
    assert sorted(drawn) == [10.0, 11.0, 12.0]


def test_quick_needs_no_run_and_says_so(tmp_path):
    output = make_figure(SweepFigureOptions(out=str(tmp_path), quick=True))
    assert "made up" in output.files[0].read_text()
    with pytest.raises(ConfigError, match="no sweep is given"):
        make_figure(SweepFigureOptions(out=str(tmp_path)))
