"""The authors' scores: found by data set, loss and settings, as the spreadsheet and the paper's table have them."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.runs import published
from mmdgan.runs.published import Wanted, find

FOLDER = Path(published.__file__).resolve().parents[2] / "Results" / "published"

# The best cell of each block of the spreadsheet, copied from it by hand: data, loss, metric, value, K, lr_dis, lr_gen.
BEST = [
    ("cifar10", "hinge", "IS", 7.651, "K=128", 5e-4, 2e-4),
    ("cifar10", "hinge", "FID", 22.895, "K=128", 5e-4, 2e-4),
    ("cifar10", "mmd_g", "IS", 7.348, "PIM", 5e-4, 5e-4),
    ("cifar10", "fixed_g", "FID", 26.505, "K=128", 1e-4, 2e-4),
    ("cifar10", "rep", "IS", 8.195, "K=32", 1e-3, 5e-4),
    ("cifar10", "rep_mmd_g", "FID", 16.636, "K=32", 5e-4, 5e-4),
    ("cifar10", "rmb", "IS", 8.125, "K=32", 1e-3, 1e-3),
    ("cifar10", "rep_b", "FID", 16.497, "K=32", 5e-4, 1e-3),
    ("stl10", "hinge", "FID", 46.258, "K=256", 1e-4, 2e-4),
    ("stl10", "rep", "IS", 9.521, "K=128", 1e-4, 2e-4),
    ("stl10", "rmb", "IS", 9.640, "K=128", 1e-4, 1e-3),
    ("celeba", "rep", "FID", 6.811, "K=64", 1e-4, 2e-4),
    ("celeba", "rmb", "FID", 6.424, "K=64", 5e-4, 5e-4),
    ("lsun", "hinge", "FID", 17.197, "K=128", 1e-3, 2e-4),
    ("lsun", "rep", "FID", 13.188, "K=256", 5e-4, 2e-4),
    ("lsun_bedroom", "rmb", "FID", 11.224, "K=64", 5e-4, 2e-4),
]


@pytest.mark.parametrize(("data", "loss", "metric", "value", "variant", "lr_dis", "lr_gen"), BEST)
def test_best_of_each_block(data, loss, metric, value, variant, lr_dis, lr_gen):
    [best] = [row for row in find(data, loss) if row.note.startswith(f"best {metric} ")]
    assert best.value == pytest.approx(value, abs=6e-4)
    assert (best.variant, best.lr_dis, best.lr_gen) == (variant, lr_dis, lr_gen)


@pytest.mark.parametrize(
    ("data", "loss", "lr_dis", "lr_gen", "values"),
    [
        ("cifar10", "rep", 5e-4, 2e-4, {"IS": 8.029, "FID": 17.000}),
        ("celeba", "rep", 1e-4, 2e-4, {"FID": 6.811}),
        ("lsun", "rep", 2e-4, 1e-4, {"FID": 16.013}),
        ("stl10", "rep", 2e-4, 2e-4, {"FID": 37.155}),
    ],
)
def test_the_scripts_own_settings(data, loss, lr_dis, lr_gen, values):
    wanted = Wanted(data, loss, lr_dis, lr_gen, gain=1.681792830507429**8)
    own = {row.metric: row.value for row in find(data, loss, wanted=wanted) if row.lr_dis and not row.note}
    for metric, value in values.items():
        assert own[metric] == pytest.approx(value, abs=6e-4)


@pytest.mark.parametrize(
    ("loss", "method", "inception", "distance"),
    [
        ("logistic", "non-saturating", 7.39, 23.23),
        ("hinge", "hinge", 7.33, 23.46),
        ("mmd_g", "MMD-rbf", 7.05, 28.38),
        ("fixed_t", "MMD-rq", 7.22, 27.00),
        ("mmd_t", "MMD-rq", 7.22, 27.00),
        ("mgb", "MMD-rbf-b", 7.18, 25.25),
        ("rep", "MMD-rep", 7.99, 16.65),
        ("rep_mmd_b", "MMD-rep-b", 8.29, 16.21),
    ],
)
def test_table_1_by_any_name_of_a_loss(loss, method, inception, distance):
    rows = [row for row in find("cifar10", loss) if row.table == "Table 1"]
    assert {row.metric: row.value for row in rows if row.loss} == {"IS": inception, "FID": distance}
    assert {row.method for row in rows if row.loss} == {method}
    assert {row.metric: row.value for row in rows if not row.loss} == {"IS": 11.31, "FID": 2.09}


def test_variants_without_published_scores():
    assert find("cifar10", "minimax") == []
    assert find("cifar10", "rep_ds") == []
    assert find("sample", "rep") == []
    assert find("cifar10", "rep", wanted=Wanted("cifar10", "rep", default_weights=False)) == []
    assert "Nothing is published for the loss rep on sample" in published.explain("sample", "rep", [])


def test_gradient_penalty_and_outputs_have_blocks_of_their_own():
    penalty = [row for row in find("cifar10", "rep_gp") if row.loss]
    assert {row.variant for row in penalty} == {"lambda=0.1"}
    assert min(row.value for row in penalty if row.metric == "FID") == pytest.approx(22.820, abs=6e-4)
    one = [row for row in find("cifar10", "rep", wanted=Wanted("cifar10", "rep", score_size=1)) if row.lr_dis]
    assert {row.variant.split(";")[0] for row in one} == {"d=1"}
    assert min(row.value for row in one if row.metric == "FID") == pytest.approx(22.427, abs=6e-4)


def test_cells_without_numbers_say_why():
    diverged = find("cifar10", "rep", wanted=Wanted("cifar10", "rep", 5e-4, 1e-3, gain=64.0))
    assert [(row.value, row.status) for row in diverged if row.lr_gen == 1e-3] == [(None, "diverged")] * 2
    grid = published.read(FOLDER / "paper_results.csv")
    by_status = {
        status: sum(row.status == status for row in grid) for status in ("diverged", "not run", "cell is empty")
    }
    assert by_status == {"diverged": 596, "not run": 256, "cell is empty": 1}
    assert all((row.value is None) == bool(row.status) for row in grid)
    lsun = [row for row in grid if (row.data, row.loss) == ("lsun", "fixed_g")]
    assert len(lsun) == 96
    assert {row.status for row in lsun} == {"diverged"}


@pytest.mark.parametrize("end", ["five,1e-4,FID,20", "5e-4"])
def test_a_line_of_ones_own_file_that_is_wrong_is_named(tmp_path, end):
    file = tmp_path / "mine.csv"
    file.write_text(f"dataset,block,loss,variant,lr_dis,lr_gen,metric,value\ncifar10,pico_vs_pim,rep,K=64,{end}\n")
    with pytest.raises(ConfigError, match="mine.csv, line 2, has the value '(five)?'; give a number"):
        published.read_all(file)


def test_doubtful_cells_are_marked():
    """Exactly where the two copies of CIFAR-10, rep, 16 outputs, K = 32 disagree (but for the empty cell)."""
    grid = published.read(FOLDER / "paper_results.csv")
    copies = {
        variant: {
            (r.lr_dis, r.lr_gen, r.metric): r
            for r in grid
            if (r.data, r.variant, r.loss) == ("cifar10", variant, "rep")
        }
        for variant in ("K=32", "d=16;K=32")
    }
    first, second = copies.values()
    assert len(first) == len(second) == 32
    differing = {
        key for key in first if (first[key].value, first[key].status) != (second[key].value, second[key].status)
    }
    empty = {key for key in second if second[key].status == "cell is empty"}
    for copy in copies.values():
        assert {key for key, row in copy.items() if row.note.startswith("doubtful")} == differing - empty
    assert sum(row.note.startswith("doubtful") for row in grid) == 20


def test_every_row_of_the_files_is_read():
    for name in published.FILES:
        with (FOLDER / name).open(newline="") as file:
            lines = list(csv.DictReader(file))
        rows = published.read(FOLDER / name)
        assert len(rows) == len(lines)
        for row, line in zip(rows, lines, strict=True):
            assert row.value is None or row.value == pytest.approx(float(line["value"]), rel=1e-12)


def test_another_file(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("method,loss_name,dataset,metric,value\nours,rep_b,cifar10,FID,12.5\nours,rep,cifar10,FID,13\n")
    assert [(row.method, row.value) for row in find("cifar10", "rmb", file)] == [("ours", 12.5)]
    assert find("stl10", "rmb", file) == []
    file.write_text(file.read_text().replace("12.5", "11.25"))
    assert [row.value for row in find("cifar10", "rmb", file)] == [11.25]
    text = file.read_text()
    for number, encoding in enumerate(("utf-8-sig", "utf-16", "utf-16-le"), 1):
        for mark in ",;\t":
            file.write_bytes(text.replace("11.25", f"{number}.5").replace(",", mark).encode(encoding))
            os.utime(file, ns=(0, number * 1000 + ord(mark)))
            assert [row.value for row in find("cifar10", "rmb", file)] == [number + 0.5], (encoding, mark)


def test_folder_of_files(tmp_path):
    (tmp_path / "paper_table1.csv").write_text((FOLDER / "paper_table1.csv").read_text())
    assert {row.table for row in find("cifar10", "rep", tmp_path)} == {"Table 1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has the columns a, b; it takes dataset, loss_name"),
        ("", "has the columns of nothing"),
        (
            "method,loss_name,dataset,metric,value\no,rep,cifar10,FID,many\n",
            "line 2, has the value 'many'; give a number",
        ),
    ],
)
def test_unreadable_files(tmp_path, text, message):
    file = tmp_path / "wrong.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        find("cifar10", "rep", file)


def test_missing_files(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="none.csv does not exist; give a CSV such as"):
        find("cifar10", "rep", tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="holds no table of scores"):
        find("cifar10", "rep", tmp_path)
    monkeypatch.setattr(published, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    monkeypatch.chdir(tmp_path)
    assert find("cifar10", "rep") == []
    assert "are not at hand" in published.explain("cifar10", "rep", [])


def test_the_working_directory_comes_first(tmp_path, monkeypatch):
    folder = tmp_path / "Results" / "published"
    folder.mkdir(parents=True)
    (folder / "paper_table1.csv").write_text("method,loss_name,dataset,metric,value\nhere,rep,cifar10,FID,1.5\n")
    monkeypatch.chdir(tmp_path)
    assert [(row.method, row.value) for row in find("cifar10", "rep")] == [("here", 1.5)]
