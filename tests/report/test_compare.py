"""`compare`: the table's values, the best, what is not comparable, configurations, published scores, plots."""

from __future__ import annotations

import builtins
import io
import re
import shutil
from collections import Counter

import numpy as np
import pytest

from mmdgan.core.errors import ConfigError, MetricError
from mmdgan.report import compare, write_report
from mmdgan.report.compare import compare_runs, mark_cells
from mmdgan.report.facts import RunFacts, differing_fields
from tests.helpers.report_records import make_run, score


@pytest.fixture
def runs(tmp_path, tiny_run):
    """Three runs in one folder: two with scores of one protocol, one with fewer images."""
    like = tiny_run[1]
    a = {2: [score("FD[classifier]", 30.0)], 4: [score("FD[classifier]", 12.0), score("CS[classifier]", 4.0, "is")]}
    b = {4: [score("FD[classifier]", 14.5, spread=0.25, spread_of="of 3"), score("CS[classifier]", 5.0, "is")]}
    c = {4: [score("FD[classifier]", 1.0, count=500), score("CS[classifier]", 4.5, "is")]}
    return [
        make_run(tmp_path / "runs" / "a", like, a),
        make_run(tmp_path / "runs" / "b", like, b, lr_dis=0.25, loss="rep"),
        make_run(tmp_path / "runs" / "c", like, c, seed=7),
    ]


def rows_of(text: str) -> dict[str, list[str]]:
    """The cells of the first table, by the run's name."""
    lines = text.splitlines()
    return {row[1]: row[2:] for row in (re.split(r"\s\s+|(?<=\])\s", line.strip()) for line in lines[1:4])}


def test_values_best_and_footnotes(runs):
    text = compare_runs([run.path for run in runs]).text
    assert text.splitlines()[0].split() == ["run", "step", "FD[classifier]", "CS[classifier]"]
    rows = rows_of(text)
    assert rows["a"] == ["4", "12*", "4"]
    assert rows["b"] == ["4", "14.5 ± 0.25", "5*"]
    # The smallest distance is of fewer images: marked, explained, and not the best.
    assert rows["c"] == ["4", "1 a", "4.5"]
    assert "a  images 500, not 2,000" in text
    assert "±  of 3" in text
    assert "[3] 500 or 2,000 generated and 2,000 real images; features: classifier of sample" in text


def test_a_folder_stands_for_the_runs_below_it(runs):
    text = compare_runs([runs[0].path.parent]).text
    assert list(rows_of(text)) == ["a", "b", "c"]
    again = compare_runs([runs[0].path, runs[0].path.parent]).text
    assert len(re.findall(r"^\[\d\] [abc] ", again, re.MULTILINE)) == 3


def test_by_step_and_metrics(runs):
    text = compare_runs([run.path for run in runs], by=2, metrics=["fid"]).text
    rows = rows_of(text)
    assert (rows["a"], rows["b"], rows["c"]) == (["2", "30"], ["-", "-"], ["-", "-"])
    assert "CS[" not in text


def test_only_what_differs_in_configurations(runs):
    fields = differing_fields([RunFacts.of(run) for run in runs])
    assert fields == {
        "loss": ["rep_b", "rep", "rep_b"],
        "lr_dis": [5e-4, 0.25, 5e-4],
        "seed": [0, 0, 7],
    }
    text = compare_runs([run.path for run in runs]).text
    assert re.search(r"^lr_dis +0.0005 +0.25 +0.0005$", text, re.MULTILINE)
    same = compare_runs([runs[0].path, make_run(runs[0].path.parent / "d", runs[0].path).path]).text
    assert "The configurations are the same." in same


def test_published_rows_and_how_the_protocol_differs(tmp_path, tiny_run):
    run = make_run(tmp_path / "cifar", tiny_run[1], {4: [score("FD[classifier]", 9.0, data="cifar10")]}, data="cifar10")
    text = compare_runs([run.path]).text
    assert re.search(r"MMD-rep-b +Table 1, best learning rates +8.29 +16.21", text)
    differing = text.partition("[1] differs from that protocol: ")[2]
    assert "features classifier: classifier of sample, not the 2015 Inception graph" in differing
    assert "steps 4, not 100,000" in differing
    assert "batch 8, not 64" in differing
    assert "generator " in differing and "not 3,811,907 parameters" in differing


def test_runs_of_one_name_are_told_apart_by_their_folders(runs, tmp_path):
    import shutil

    name, other = runs[0].path.name, runs[1].path.name
    for place in ("x/a/monday", "x/a/tuesday", "x/b/monday"):
        shutil.copytree(runs[0].path, tmp_path / place / name)
    shutil.copytree(runs[1].path, tmp_path / "x" / "a" / "monday" / other)
    found = compare_runs([tmp_path / "x"], out=tmp_path / "compared")
    for line in (f"a/monday/{name}", f"tuesday/{name}", f"b/monday/{name}", other):
        assert len(re.findall(rf"^\[\d\] {line} ", found.text, re.MULTILINE)) == 1, line
    assert found.files[1].read_text() == found.text + "\n"


def test_no_scores(tmp_path, tiny_run):
    text = compare_runs([make_run(tmp_path / "x", tiny_run[1]).path]).text
    assert "No scores of this choice in any run; `evaluate RUN` makes them." in text
    assert "Nothing is published for the loss rep_b on sample." in text


def test_of_scores_that_are_not_there_those_that_are_there_are_named(runs):
    for choice in ({"by": 3}, {"metrics": ["kid"]}):
        said = "No scores of this choice in any run (fid, is after step 2, 4); `evaluate RUN` makes them."
        assert said in compare_runs([run.path for run in runs], **choice).text


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"metrics": ["fids"]}, MetricError, "no metric 'fids' .did you mean fid.*: choose from fid, fid_inf"),
        ({"by": "best"}, ConfigError, "has no best checkpoint; give --by=STEP"),
        ({"by": "newest"}, ConfigError, "by is 'newest'; give a step, or 'best'"),
        ({"out": "x.jpg"}, ConfigError, "x.jpg would be a folder; name a .png"),
        ({"out": "x.tar"}, ConfigError, "x.tar would be a folder; name a .png"),
    ],
)
def test_mistakes(runs, options, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        compare_runs([runs[0].path], **options)


def test_no_run_there(tmp_path):
    with pytest.raises(ConfigError, match="nothing does not exist; give run directories"):
        compare_runs([tmp_path / "nothing"])
    with pytest.raises(ConfigError, match="holds no run; give run directories, or one above them"):
        compare_runs([tmp_path])


def test_a_damaged_run_below_a_directory_is_passed_over_and_named(runs, tmp_path):
    for run in runs[:2]:
        shutil.copytree(run.path, tmp_path / "all" / run.path.name)
    (tmp_path / "all" / "broken").mkdir()
    (tmp_path / "all" / "broken" / "config.json").write_text('{"experiment":')
    said: list[str] = []
    text = compare_runs([tmp_path / "all"], say=said.append).text
    assert all(run.path.name in text for run in runs[:2]) and "broken" not in text
    [sentence] = said
    assert sentence.startswith("Passed over: ") and "broken/config.json is no run's configuration" in sentence
    with pytest.raises(ConfigError, match="broken/config.json is no run's configuration"):
        compare_runs([tmp_path / "all" / "broken", runs[0].path])


def test_protocol_of_most_runs_is_the_columns(runs):
    """Two of three scores are of 500 images: the one of 2,000 gets the mark."""
    records = [[score("FD[x]", 3.0)], [score("FD[x]", 2.0, count=500)], [score("FD[x]", 1.0, count=500)]]
    names, cells, notes = mark_cells(records)
    assert names == ["FD[x]"]
    *cells, of_real = cells
    assert [row["FD[x]"].marks for row in cells] == ["a", "", ""]
    assert [row["FD[x]"].best for row in cells] == [False, False, True]
    assert of_real == {}
    assert notes == ["a  images 2,000, not 500"]


def test_diverged_runs_do_not_choose_the_columns_protocol():
    records = [[score("FD[x]", v, count=500 if v > 5 else 2000)] for v in (8.0, 9.0, 2.0, 3.0)]
    _, cells, notes = mark_cells(records, [True, True, False, False])
    assert [row["FD[x]"].best for row in cells[:-1]] == [False, False, True, False]
    assert [row["FD[x]"].marks for row in cells[:-1]] == ["a", "a", "", ""] and notes == ["a  images 500, not 2,000"]


def test_real_images_have_a_row_of_their_own():
    """With the scores that the run of the column's protocol has of them."""
    records = [
        [score("CS[x] (10 splits)", 5.0, count=50), score("CS[x] real (10 splits)", 7.0, count=50)],
        [score("CS[x] (10 splits)", 6.0), score("CS[x] real (10 splits)", 9.0)],
        [score("CS[x] (10 splits)", 4.0), score("CS[x] real (10 splits)", 9.0)],
    ]
    names, cells, _ = mark_cells(records)
    assert names == ["CS[x] (10 splits)"]
    assert [row[names[0]].text for row in cells] == ["5", "6", "4", "9"]
    assert [row[names[0]].best for row in cells] == [False, True, False, False]


def test_curves_keep_protocols_apart(runs):
    names = ["A", "B", "C"]
    curves = compare.score_curves(names, runs)["FD[classifier]"]
    assert set(curves) == {"A", "B", "C (images 500, not 2,000)"}
    assert curves["A"].steps.tolist() == [2, 4]
    np.testing.assert_array_equal(curves["A"].values, [30.0, 12.0])


def test_plots(runs, tiny_run, tmp_path):
    from PIL import Image

    found = compare_runs([runs[0].path, tiny_run[1]], out=tmp_path / "plots")
    assert [file.name for file in found.files] == ["compare.html", "compare.txt", "scores.png", "losses.png"]
    assert found.files[1].read_text() == found.text + "\n"
    single = compare_runs([runs[0].path, tiny_run[1]], out=tmp_path / "all.png")
    assert [file.name for file in single.files] == ["all.png"]
    for file in [*found.files[2:], *single.files]:
        with Image.open(file) as picture:
            assert np.asarray(picture).std() > 5


@pytest.fixture
def opened(monkeypatch) -> Counter[str]:
    """How often each file has been opened."""
    found: Counter[str] = Counter()

    def count(file, *args, **options):
        found[str(file)] += 1
        return open_file(file, *args, **options)

    open_file = io.open
    for module in (builtins, io):
        monkeypatch.setattr(module, "open", count)
    return found


def test_the_files_of_a_run_are_read_equally_often_however_many_runs_and_scores_there_are(tmp_path, tiny_run, opened):
    most = {"config.json": 2, "metrics.jsonl": 2, "samples/2.png": 1, "samples/4.png": 1}
    for count, steps in ((1, 3), (3, 12)):
        records = {step: [score("FD[c]", float(step))] for step in range(steps)}
        runs = [make_run(tmp_path / str(steps) / str(i), tiny_run[1], records, seed=i) for i in range(count)]
        for run in runs:
            for part in ("logs", "samples"):
                shutil.copytree(tiny_run[1] / part, run.path / part)
        opened.clear()
        compare_runs([run.path for run in runs], out=tmp_path / "compared")
        for run in runs:
            logs = {f"logs/{file.name}": 2 for file in run.logs.glob("*tfevents*")}  # for its first event, and for all
            assert {name: opened[str(run.path / name)] for name in most | logs} == most | logs
        opened.clear()
        write_report(runs[0].path, pictures=False)
        assert opened[str(runs[0].metrics_file)] <= 6 and {opened[str(runs[0].path / name)] for name in logs} == {2}


def test_differences_are_held_against_the_intervals(tmp_path, tiny_run):
    """FID 12, 14 and 18: the ends that face each other allow (1^2 + 2^2)^(1/2) = 2.24 and (1^2 + 3^2)^(1/2) = 3.16."""
    intervals = {12.0: [11.5, 13.0], 14.0: [12.0, 15.0], 18.0: [15.0, 19.0]}
    runs = [
        make_run(tmp_path / name, tiny_run[1], {4: [score("FD[c]", value, interval=ends, interval_of="95%, x")]})
        for name, (value, ends) in zip("abc", intervals.items(), strict=True)
    ]
    text = compare_runs([run.path for run in runs]).text
    verdict = "FD[c]: best [1]; worse by more than the 95% intervals allow: [3] by 6; no clear difference: [2] by 2."
    assert verdict in text and "train several" in text
    curves = compare.score_curves(["a", "b"], runs[:2])["FD[c]"]
    assert [(curve.low.tolist(), curve.high.tolist()) for curve in curves.values()] == [([11.5], [13]), ([12], [15])]
    assert "14 [12, 15]" in text and "[low, high]  95% interval; x" in text


def test_differences_that_chance_may_explain_are_marked():
    """As by `exceeds`: with intervals of 0.5 either way a difference of 0.7 is within sqrt(0.5), one of 0.8 is not."""
    values = [(5.0, 0.5), (5.7, 0.5), (5.8, 0.5), (5.1, None)]
    ends = [{} if w is None else {"interval": [v - w, v + w], "interval_of": "95%, x"} for v, w in values]
    _, cells, _ = mark_cells([[score("FD[x]", v, **found)] for (v, _), found in zip(values, ends, strict=True)])
    found = [row["FD[x]"] for row in cells[:-1]]
    assert [cell.best for cell in found] == [True, False, False, False]
    assert [cell.near for cell in found] == [False, True, False, False]


def test_diverged_runs_are_out_of_the_running(runs):
    from mmdgan.training import divergence

    error = divergence.Diverged(3, "loss_gen", float("nan"))
    divergence.record(runs[0].path, error, 2, 1)
    assert RunFacts.of(runs[0]).folder.diverged() is None  # it went back, and on
    divergence.record(runs[0].path, error, None, 1)
    text = compare_runs([runs[0].path, runs[1].path]).text
    assert (rows_of(text)["a"], rows_of(text)["b"]) == (["4", "12", "4"], ["4", "14.5 ± 0.25", "5"])
    assert "[1] diverged at step 3: its scores are out of the running" in text
    runs[0].checkpoints.mkdir()
    for ending in (".index", ".data-00000-of-00001"):  # resumed, and trained beyond that step
        (runs[0].checkpoints / f"ckpt-4{ending}").write_text("")
    assert RunFacts.of(runs[0]).folder.diverged() is None


def test_the_page(runs, tiny_run, tmp_path):
    """Scores in one table, one legend, losses of different kinds in panels of their own, a grid of each run."""
    from tests.report.test_html import check_page

    for run in runs[:2]:
        for part in ("logs", "samples"):
            (run.path / part).symlink_to(tiny_run[1] / part)
    [page, *_] = compare_runs([run.path for run in runs], out=tmp_path / "x").files
    found = check_page(page.read_text())
    drawings = [attributes["aria-label"] for tag, attributes in found.tags if tag == "svg"]
    losses = [label for label in drawings if "loss" in label]
    assert losses == [
        "Generator's loss, rep_b over steps: [1] a",
        "Generator's loss, rep over steps: [2] b",
        "Critic's loss, rep_b over steps: [1] a",
        "Critic's loss, rep over steps: [2] b",
    ]
    grids = [attributes["alt"] for tag, attributes in found.tags if tag == "img"]
    assert grids == [f"Images of the fixed codes of {name} after step 4" for name in ("[1] a", "[2] b")]
    assert sum(tag == "table" for tag, _ in found.tags) == 2  # scores, and the configurations
    assert page.read_text().count('<ul class="legend">') == 1 and "[3] c" in found.text
    assert "FD[classifier]: Fréchet distance from the real images' features" in found.text
