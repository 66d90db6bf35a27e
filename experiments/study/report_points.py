"""The section of the study's report on points in the plane: its runs, kept in its folder, their table and pictures.

A run is finished when `points/<run>.json` is there; the same command does not repeat it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdgan.core.files import write_text
from mmdgan.report.blocks import Picture, Section, SideBySide, Table, Text
from study.mnist_plan import Study
from study.points import COLUMNS, file_name, run, table_cells
from study.points_options import PointsSettings
from study.points_rows import study_rows

_LEFT_OUT = ("points", "seed", "steps", "critic", "mmd2", "p_energy")
"""Columns of `COLUMNS` that the page does without: they are in the heading, or in the CSV file."""


def points_sections(study: Study) -> list[Section]:
    """A section per distribution of `study.points`; [] if there are none. Trains what is not finished.

    Args:
        study: with --report_only nothing is trained, and what is missing is named. With --steps each run takes so many.
    """
    return [_section(study, points) for points in study.points]


def settings_of(study: Study, points: str) -> list[PointsSettings]:
    """The runs on one distribution, the seeds of each behind one another."""
    by_seed = [[row for row in study_rows(seed=seed) if row.points == points] for seed in study.seeds]
    rows = [row for same in zip(*by_seed, strict=True) for row in same]
    return [row if study.steps is None else dataclasses.replace(row, steps=study.steps) for row in rows]


def _section(study: Study, points: str) -> Section:
    folder, settings = Path(study.out) / "points", settings_of(study, points)
    found = [_result(row, folder, not study.report_only) for row in settings]
    done = [result for result in found if result]
    blocks: list[Any] = []
    if done:
        blocks += [_table(done), Text(_explanation(settings[0]))]
        first = [result for result in done if result["seed"] == study.seeds[0] and result["picture"]]
        blocks.append(SideBySide(tuple(_picture(result, folder) for result in first), small=True))
        _write_csv(folder / f"{points}.csv", done)
    if missing := [file_name(row) for row, result in zip(settings, found, strict=True) if not result]:
        blocks.append(Text(f"runs that are not finished: {', '.join(missing)}.", "missing"))
    return Section(f"points-{points}", f"Points in the plane: {points}", tuple(blocks))


def _result(settings: PointsSettings, folder: Path, may_train: bool) -> dict[str, Any] | None:
    """The kept numbers of a run, after training it if need be."""

    file = folder / f"{file_name(settings)}.json"
    identity = json.loads(json.dumps(dataclasses.asdict(settings)))
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept.pop("settings") == identity or not may_train:
            return kept
    if not may_train:
        return None
    result = run(settings, folder)
    row = {**result.row(), "picture": result.picture.name if result.picture else None}
    print(f"points: {settings.name}, seed {settings.seed}: {result.seconds:.0f} s", flush=True)
    write_text(file, json.dumps({**row, "settings": identity}, indent=1) + "\n")
    return row


def _table(results: Sequence[dict[str, Any]]) -> Table:
    """Each run's numbers, one line for all seeds: the seeds' values beside one another."""
    names = [name for name in COLUMNS if name not in _LEFT_OUT and any(r[name] not in (None, "") for r in results)]
    lines = []
    for title in dict.fromkeys(result["name"] for result in results):
        same = [table_cells(result, names) for result in results if result["name"] == title]
        lines.append(tuple("; ".join(dict.fromkeys(cells)) for cells in zip(*same, strict=True)))
    return Table(tuple(COLUMNS[name] for name in names), tuple(lines), numbers=False)


def _explanation(settings: PointsSettings) -> str:
    return (
        f"{settings.steps:,} steps of {settings.batch_size} points; values of the seeds are separated by a semicolon, "
        f"and stand once where they are equal. {settings.samples:,} generated points: a mode is covered if one lies "
        "within three standard deviations of it, and high quality is the share of points that lie so near to a mode. "
        "p (MMD): a permutation test against held-out points; below 0.05 the two sets are told apart."
    )


def _picture(result: dict[str, Any], folder: Path) -> Picture:
    return Picture(
        (folder / result["picture"]).read_bytes(), "png", f"points and witness: {result['name']}", result["name"]
    )


def _write_csv(path: Path, results: Sequence[dict[str, Any]]) -> None:
    from paper.output import Output

    Output(path.parent, path.stem).table(results, list(COLUMNS))
