"""What the report says of made-up numbers."""

from __future__ import annotations

import csv
import dataclasses
import io

import pytest

from study.report_numbers import MEASURES, RowNumbers, as_csv, as_markdown, better, supported, table, tiers

FD = "FD[classifier]"


def row(name, fd, copies=0.0, seeds=None, title=None):
    seeds = tuple(range(len(fd))) if seeds is None else seeds
    values = {
        FD: tuple(fd),
        "CS[classifier]": tuple(None if v is None else 10 - v / 10 for v in fd),
        "recall[classifier]": tuple(0.5 for _ in fd),
        "near copies[pixels]": tuple(copies for _ in fd),
    }
    steps = (1200,) * len(fd)
    return RowNumbers(name, title or name, "mmd_g", "pixels", "none", seeds, steps, (10.4,) * len(fd), values)


def names(groups):
    return [[r.name for r in group] for group in groups]


def test_rows_are_apart_only_where_ranges_do_not_overlap():
    a, b, c, d = row("a", (1, 3)), row("b", (2, 4)), row("c", (5, 6)), row("d", (3.5, 5.5))
    assert better(a, c, FD) and not better(c, a, FD)
    assert not better(a, b, FD) and not better(b, a, FD)
    assert not better(row("x", (1, 2)), row("y", (2, 3)), FD)  # they touch
    assert names(tiers([c, b, a], FD)) == [["a", "b"], ["c"]]
    assert names(tiers([c, d, b, a], FD)) == [["a", "b", "d", "c"]]  # d joins them all
    assert names(tiers([c, a], "CS[classifier]")) == [["a"], ["c"]]  # there high is better
    assert names(tiers([c, a], "recall[classifier]")) == [["c", "a"]]


def test_sentences_rank_what_is_apart():
    rows = [row("dcgan", (20, 21), title="DCGAN"), row("penalty", (10, 11), title="with penalty")]
    text = supported(rows, "100 s a run")
    assert "with penalty; then DCGAN" in text[0] and "in every seed" in text[0]
    assert any("no row is apart" in t and t.startswith("recall") for t in text)
    assert any("A gradient penalty on the witness: 10.5 against 20.5, lower in every seed" in t for t in text)
    assert any("33% of comparisons" in t for t in text)
    assert any("100 s a run" in t and t.startswith("Not supported") for t in text)
    turned = supported([row("dcgan", (10, 11)), row("penalty", (20, 21))], "b")
    assert any("20.5 against 10.5, higher, which is worse, in every seed" in t for t in turned)


def test_sentences_do_not_rank_what_overlaps():
    text = supported([row("dcgan", (10, 30)), row("penalty", (9, 29))], "b")
    assert "FD[classifier]: no row is apart from the others in all seeds, so that none is ranked." in text
    assert any("not apart: the seeds overlap" in t for t in text)


def test_one_seed_ranks_nothing():
    text = supported([row("dcgan", (10,)), row("penalty", (5,))], "b")
    assert all("cannot tell a difference from chance" in t for t in text if t.startswith(("FD", "CS")))
    assert not any("in every seed" in t or "comparisons by chance" in t for t in text)
    assert supported([row("dcgan", (10,)), row("penalty", (), seeds=())], "b") == [
        "Fewer than two rows are finished: there is nothing to compare yet."
    ]


def test_three_seeds_are_told_apart_by_chance_less_often():
    text = supported([row("dcgan", (1, 2, 3)), row("penalty", (5, 6, 7))], "b")
    assert any("3 seeds a row" in t and "10% of comparisons" in t for t in text)


def test_near_copies_are_named():
    few = supported([row("a", (1, 2), 0.01), row("b", (1, 2), 0.02)], "b")
    many = supported([row("a", (1, 2), 0.01), row("b", (1, 2), 0.2, title="the copier")], "b")
    assert any("nothing here speaks for memorisation" in t for t in few)
    assert any(t.startswith("More than 5% of the images of the copier are") for t in many)


def test_tables():
    rows = [row("a", (1.234, 3.0)), row("b", (None, 250.0)), row("c", (), seeds=())]
    rows[1].values["CS[classifier]"] = (None, None)
    cells = table(rows)
    assert cells[0][4:7] == ("1,200", "10 (10, 10)", "2.12 (1.23, 3)")
    assert cells[1][6:8] == ("250 (-, 250)", "-") and cells[2][6] == "-"
    rows[0] = dataclasses.replace(rows[0], steps=(1200, 1301))
    assert table(rows)[0][4] == "1,250 (1,200, 1,301)" and table(rows)[2][4] == "-"
    lines = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [line["row"] for line in lines] == ["a", "a", "b", "b"]
    assert float(lines[0][FD]) == pytest.approx(1.234) and lines[2][FD] == ""
    assert [line["steps"] for line in lines] == ["1200", "1301", "1200", "1200"]
    assert set(MEASURES) <= set(lines[0])
    written = as_markdown(rows).splitlines()
    assert len(written) == 5 and {line.count("|") for line in written} == {written[0].count("|")}
