"""experiments/evidence.py: scores of runs as a table and curves, and what is kept of a run serves in its place."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdgan import report
from mmdgan.core.errors import ConfigError
from mmdgan.report.facts import RunFacts, run_folders
from mmdgan.runs.folder import RunFolder
from mmdgan.training.event_files import read_scalars
from paper.evidence import (
    EvidenceOptions,
    critics_of,
    critics_table,
    distance_name,
    draw,
    draw_grids,
    keep,
    make,
    scores_of,
    table,
    with_tables,
)
from paper.figure4_scores import effective_dimension


@pytest.fixture
def scored(tiny_run, tmp_path):
    """Two copies of the tiny run with scores of two steps, the second step scored twice."""
    folders = []
    for number, name in enumerate(("one", "two")):
        shutil.copytree(tiny_run[1], tmp_path / name)
        folder = RunFolder(tmp_path / name)
        for step, value in ((2, 50.0), (4, 99.0), (4, 20.0 + number)):
            record = {"value": value, "count": 30, "interval": [value - 1, value + 2]}
            of_real = {"metric": "FD[classifier] real-real", "value": 1.0, "count": 30}
            folder.append(step, "evaluate", [{"metric": "FD[classifier]", **record}, of_real])
            folder.append(step, "evaluate", [{"metric": "recall[classifier]", "value": 0.5, "count": 30}])
        folders.append(folder)
    return folders


def test_the_newest_score_of_each_step_is_shown(scored, tmp_path):
    scored[0].append(4, "abandoned", [{"metric": "FD[classifier]", "value": 1.0, "count": 30}])
    rows = scores_of(RunFacts.of(scored[0]))
    assert [(row.step, row.metric, row.value) for row in rows] == [
        (2, "FD[classifier]", 50.0),
        (2, "recall[classifier]", 0.5),
        (4, "FD[classifier]", 20.0),
        (4, "recall[classifier]", 0.5),
    ]
    runs = tuple(str(folder.path) for folder in scored)
    output = make(EvidenceOptions(out=str(tmp_path / "out"), runs=runs, keep=str(tmp_path / "kept")))
    text = (tmp_path / "out" / "evidence.md").read_text()
    assert "| MMD-rep-b | 0 | 50 [49, 52] | 20 [19, 22] | 16.21 |" in text and "21 [20, 23]" in text
    names = {path.name for path in output.files}
    assert names == {f"evidence{ending}" for ending in (".png", ".pdf", ".csv", ".md", "_grids.png", "_grids.pdf")}
    kept = [tmp_path / "kept" / name for name in ("one", "two")]
    with open(kept[0] / "curves.csv", newline="") as file:
        points = [
            (int(row["step"]), float(row["value"])) for row in csv.DictReader(file) if row["tag"] == "loss/generator"
        ]
    curve = read_scalars(scored[0].path, "loss/generator")
    np.testing.assert_allclose(np.transpose(points), [curve.steps, curve.values], rtol=1e-5)
    again = EvidenceOptions(out=str(tmp_path / "again"), runs=tuple(map(str, kept)), keep=str(tmp_path / "kept2"))
    make(again)
    for name in ("evidence.md", "evidence.csv", "evidence.png"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_of_long_curves_every_nth_value_is_kept(scored, tmp_path, monkeypatch):
    curve = read_scalars(scored[0].path, "loss/generator")
    monkeypatch.setattr("paper.evidence._MOST_KEPT", len(curve.steps) - 1)
    keep(RunFacts.of(scored[0]), tmp_path)
    with open(tmp_path / "curves.csv", newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["tag"] == "loss/generator"]
    assert steps == list(curve.steps[::2]) and len(curve.steps) > 2


def test_scores_of_last_weights_are_a_line_of_their_own(scored):
    record = {"metric": "FD[classifier]", "count": 30}
    scored[0].append(4, "evaluate", [{**record, "value": 7.0, "weights": "ema"}])
    scored[0].append(4, "evaluate", [{**record, "value": 9.0, "weights": "last"}])
    rows = [row for row in scores_of(RunFacts.of(scored[0])) if row.weights]
    assert [(row.weights, row.value) for row in rows] == [("ema", 7.0), ("last", 9.0)]
    lines = table(rows).splitlines()[-2:]
    assert lines == ["| MMD-rep-b | 0 | 7 | 16.21 |", "| MMD-rep-b, last weights | 0 | 9 | 16.21 |"]
    averaged, last = draw(rows).axes[0].lines
    assert averaged.get_color() == last.get_color() and averaged.get_linestyle() != last.get_linestyle()


def test_grids_show_the_first_codes_at_five_steps(scored):
    folder = scored[0]
    colours = {step: (step, 2 * step, 3 * step) for step in (1, 2, 3, 5, 8, 13, 21)}
    for file in folder.grid_file(0).parent.glob("*.png"):
        file.unlink()
    for step, colour in colours.items():
        Image.new("RGB", (6 * 32, 7 * 32), colour).save(folder.grid_file(step))
    axes = draw_grids([RunFacts.of(folder)]).axes
    assert [ax.get_title().split(", ")[1] for ax in axes] == ["1", "5", "8", "13", "21"]
    for ax, step in zip(axes, (1, 5, 8, 13, 21), strict=True):
        shown = np.asarray(ax.images[0].get_array())
        assert shown.shape[:2] == (160, 160) and tuple(shown[0, 0][:3]) == colours[step]


def test_each_score_has_a_panel_and_the_distance_a_logarithmic_one(scored):
    others = ("classes[classifier]", "CS[a] (10 splits)", "FD[classifier] infinity")
    scored[0].append(4, "evaluate", [{"metric": name, "value": 0.5, "count": 30} for name in others])
    axes = draw(scores_of(RunFacts.of(scored[0]))).axes
    assert [ax.get_title() for ax in axes] == ["FD[classifier]", "recall[classifier]"]
    assert [ax.get_yscale() for ax in axes] == ["log", "linear"]


def test_runs_without_scores_or_with_two_kinds_are_refused(scored, tiny_run, tmp_path):
    with pytest.raises(ConfigError, match="there are no runs"):
        make(EvidenceOptions(out=str(tmp_path)))
    shutil.copytree(scored[0].path, tmp_path / "elsewhere/one")
    twice = tuple(str(path) for path in (scored[0].path, tmp_path / "elsewhere/one"))
    with pytest.raises(ConfigError, match="two runs are named one"):
        make(EvidenceOptions(out=str(tmp_path), runs=twice))
    with pytest.raises(ConfigError, match="none of the runs has scores"):
        make(EvidenceOptions(out=str(tmp_path), runs=(str(tiny_run[1]),)))
    scored[0].append(4, "evaluate", [{"metric": "FID", "value": 3.0, "count": 30}])
    with pytest.raises(ConfigError, match="2 kinds"):
        distance_name(scores_of(RunFacts.of(scored[0])))


def test_the_page_shows_the_scores_that_are_kept():
    project = Path(__file__).parents[3]
    runs = [RunFacts.of(folder) for folder in run_folders([str(project / "Results/published/evidence")])]
    rows = [row for run in runs for row in scores_of(run)]
    tables = {"scores": table(rows), "critics": critics_table(runs, rows)}
    page = (project / "docs/evidence.md").read_text(encoding="utf-8")
    assert page == with_tables(page, tables)
    for text in ("a page", page.replace("<!-- end of scores -->", "")):
        with pytest.raises(ConfigError, match="page has no lines"):
            with_tables(text, {"scores": "| a table |"})


def test_critics_are_measured_at_a_step(scored, tmp_path):
    copies = [{"metric": f"near copies[{where}]", "value": value} for where, value in (("pixels", 0.25), ("a", 0.5))]
    for folder in scored:
        folder.append(4, "evaluate", [{**record, "count": 8, "weights": "ema"} for record in copies])
        folder.append(4, "evaluate", [{**record, "value": 1.0, "count": 8, "weights": "last"} for record in copies])
    runs = tuple(str(folder.path) for folder in scored)
    for step in (4, 2, 4):
        make(EvidenceOptions(out=str(tmp_path / "out"), runs=runs, keep=str(tmp_path / "kept"), critics=step))
    run = RunFacts.of(scored[0])
    assert [line["step"] for line in critics_of(run)] == [2, 4]
    found = critics_of(run)[-1]
    view = report.view_critic(run.folder, 4, found["images"])
    assert found["directions"] == pytest.approx([effective_dimension(s) for s in (view.score_data, view.score_gen)])
    history = report.spectral_history(run.folder, [4], ["dis"])
    assert found["norms"] == {norm.layer: pytest.approx([norm.sigma, norm.exact]) for norm in history}
    ratios = [norm.ratio for norm in history]
    text = critics_table([run], scores_of(run))
    real, generated = (f"{value:.1f}" for value in found["directions"])
    assert f"| 4 | {real} and {generated} of {found['outputs']} | {min(ratios):.2f} to {max(ratios):.2f} |" in text
    assert text.endswith("| 0.25 | 0.5 |")
    assert text in (tmp_path / "out" / "evidence.md").read_text()
    kept = RunFacts.of(tmp_path / "kept" / "one")
    assert critics_table([kept], scores_of(kept)) == text
