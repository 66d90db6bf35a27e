"""The report's section on points: what is trained, what is kept, what the page says."""

import csv
import dataclasses
import json

import pytest
from PIL import Image

from mmdgan.report.blocks import Picture, SideBySide, Table, Text
from study import report_points
from study.mnist import Study
from study.points import PointsResult, file_name
from study.report_points import study_rows


@pytest.fixture
def trained(monkeypatch):
    """Stands in for training; the list of what was trained."""
    done = []

    def run(settings, folder):
        done.append((settings.name, settings.seed, settings.steps))
        folder.mkdir(parents=True, exist_ok=True)
        picture = folder / f"{file_name(settings)}.png"
        Image.new("L", (4, 4)).save(picture)
        numbers = {"covered": 8, "modes": 8, "high_quality": 0.25 + settings.seed / 2, "kl": 0.5, "energy": 1.0}
        tests = {"p_energy": 0.5, "mmd2": 0.1, "p_mmd": 0.25, "seconds": 3.0, "diverged": None, "kernel": "Gaussian"}
        return PointsResult(settings, settings.steps, **numbers, **tests, picture=picture)

    monkeypatch.setattr(report_points, "run", run)
    return done


@pytest.fixture
def study(tmp_path):
    return Study(out=str(tmp_path), seeds=(0, 1), points=("ring",))


def test_each_row_is_trained_once_with_each_seed(study, trained):
    rows = [row for row in study_rows() if row.points == "ring"]
    [section] = report_points.points_sections(study)
    assert trained == [(row.name, seed, row.steps) for row in rows for seed in (0, 1)]
    assert report_points.points_sections(study) == [section]
    assert len(trained) == 2 * len(rows)


def test_some_rows_for_so_many_seconds(study, trained):
    chosen = dataclasses.replace(study, points_rows=("sum", "drift", "rep_b"), points_seconds=20.0)
    rows = report_points.settings_of(chosen, "ring")
    assert {row.name.partition(", ")[2] for row in rows} == {
        "fixed, sum of sigma 0.05, 0.2, 1", "fixed, drift", "learned, rep_b"
    }  # fmt: skip
    assert len(rows) == 6 and {row.seconds for row in rows} == {20.0}
    [section] = report_points.points_sections(chosen)
    assert section.blocks[1].text.startswith("Steps for 20 s of 128 points")


def test_results_from_before_there_was_a_time_limit_are_taken(study, trained, tmp_path):
    report_points.points_sections(study)
    kept = [json.loads(file.read_text()) for file in (tmp_path / "points").rglob("*.json")]
    assert kept and all("steps" in row["settings"] and "seconds" not in row["settings"] for row in kept)


def test_other_settings_are_trained_anew(study, trained):
    report_points.points_sections(study)
    before = len(trained)
    report_points.points_sections(dataclasses.replace(study, steps=7, budget_minutes=None))
    assert len(trained) == 2 * before and {steps for *_, steps in trained[before:]} == {7}


def test_the_page_has_both_seeds_and_pictures_of_the_first(study, trained):
    [section] = report_points.points_sections(study)
    table, explanation, side = section.blocks
    assert isinstance(table, Table) and isinstance(explanation, Text) and isinstance(side, SideBySide)
    rows = len(trained) // 2
    assert len(table.rows) == len(side.blocks) == rows and all(isinstance(p, Picture) for p in side.blocks)
    column = table.header.index("high quality")
    assert {row[column] for row in table.rows} == {"25.0%; 75.0%"}
    assert {row[table.header.index("modes covered")] for row in table.rows} == {"8"}


def test_the_numbers_are_in_a_csv_file(study, trained, tmp_path):
    report_points.points_sections(study)
    with (tmp_path / "points" / "ring.csv").open(newline="") as file:
        found = [(row["name"], int(row["seed"]), float(row["high_quality"])) for row in csv.DictReader(file)]
    assert found == [(name, seed, 0.25 + seed / 2) for name, seed, _ in trained]


def test_report_only_trains_nothing_and_names_what_is_missing(study, trained):
    [section] = report_points.points_sections(dataclasses.replace(study, report_only=True))
    assert trained == []
    [text] = section.blocks
    assert text.kind == "missing" and "seed1" in text.text


def test_no_points_no_section(study, trained):
    assert report_points.points_sections(dataclasses.replace(study, points=())) == []
