"""The study's runs on points of the plane, and the sections of its report on them: table and pictures.

Each run takes some 20 s of one processor core. It is finished when `points/<run>.json` is in the study's folder; the
same command does not repeat it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdgan.core.files import write_json
from mmdgan.report.blocks import Picture, Section, SideBySide, Table, Text
from paper.output import Output
from study.mnist import Study
from study.points import COLUMNS, file_name, run, table_cells
from study.points_options import PointsSettings

_WIDTHS = {"ring": (0.05, 0.2, 1.0), "grid": (0.2, 1.0, 4.0)}
"""Bandwidths for each: too narrow, about right, too wide. The modes' distances are 0.77 and 2."""

_LOSSES = ("mmd_g", "rep", "rep_b", "hinge", "logistic", "wasserstein")

_LEFT_OUT = ("points", "seed", "steps", "critic", "mmd2", "p_energy")
"""Columns of `COLUMNS` that the page does without: they are in the heading, or in the CSV file."""


def study_rows(seed: int = 0) -> list[PointsSettings]:
    """The runs of a seed: on ring and grid a fixed kernel of several widths, and a learned one with several losses."""
    rows: list[PointsSettings] = []
    for points, widths in _WIDTHS.items():
        for sigma in ((widths[0],), (widths[1],), (widths[2],), widths):
            name = f"{'sum of ' if len(sigma) > 1 else ''}sigma {', '.join(f'{width:g}' for width in sigma)}"
            rows.append(PointsSettings(f"{points}, fixed, {name}", points, "mmd_g", {"sigma": sigma}))
        rows.append(PointsSettings(f"{points}, fixed, drift", points, "drift"))
        rows += [learned_row(points, loss) for loss in _LOSSES]
    return [dataclasses.replace(row, seed=seed, snapshots=2) for row in rows]


def learned_row(points: str, loss: str) -> PointsSettings:
    """A learned kernel as the study trains it: MMD losses with spectral norms, wasserstein with the study's penalty."""
    return PointsSettings(
        f"{points}, learned, {loss}",
        points,
        loss,
        learned=True,
        spectral=loss in ("mmd_g", "rep", "rep_b"),
        penalty_weight=0.1 if loss == "wasserstein" else None,
    )


def points_sections(study: Study) -> list[Section]:
    """A section per distribution of `study.points`. Trains what is not finished; with --report_only names it.

    With --steps each run takes so many.
    """
    return [_section(study, points) for points in study.points]


def settings_of(study: Study, points: str) -> list[PointsSettings]:
    """The runs on one distribution, with all seeds of one run in a row."""
    by_seed = [[row for row in study_rows(seed) if row.points == points] for seed in study.seeds]
    parts = study.points_rows or ("",)
    rows = [row for same in zip(*by_seed, strict=True) for row in same if any(part in row.name for part in parts)]
    rows = [dataclasses.replace(row, seconds=study.points_seconds) for row in rows]
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
        Output(folder, points).table(done, list(COLUMNS))
    if missing := [file_name(row) for row, result in zip(settings, found, strict=True) if not result]:
        blocks.append(Text(f"runs that are not finished: {', '.join(missing)}.", "missing"))
    return Section(f"points-{points}", f"Points in the plane: {points}", tuple(blocks))


def _result(settings: PointsSettings, folder: Path, may_train: bool) -> dict[str, Any] | None:
    """The kept numbers of a run, after training it if need be."""
    file = folder / f"{file_name(settings)}.json"
    identity = json.loads(json.dumps(dataclasses.asdict(settings)))
    if settings.seconds is None:
        del identity["seconds"]  # as in studies that were made before there was such a limit
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept.pop("settings") == identity or not may_train:
            return kept
    if not may_train:
        return None
    result = run(settings, folder)
    row = {**result.row(), "picture": result.picture.name if result.picture else None}
    print(f"points: {settings.name}, seed {settings.seed}: {result.seconds:.0f} s", flush=True)
    write_json(file, {**row, "settings": identity})
    return row


def _table(results: Sequence[dict[str, Any]]) -> Table:
    """The numbers of each run, with the values of all seeds in one cell."""
    names = [name for name in COLUMNS if name not in _LEFT_OUT and any(r[name] not in (None, "") for r in results)]
    lines = []
    for title in dict.fromkeys(result["name"] for result in results):
        same = [table_cells(result, names) for result in results if result["name"] == title]
        lines.append(tuple("; ".join(dict.fromkeys(cells)) for cells in zip(*same, strict=True)))
    return Table(tuple(COLUMNS[name] for name in names), tuple(lines), numbers=False)


def _explanation(settings: PointsSettings) -> str:
    length = f"{settings.steps:,} steps" if settings.seconds is None else f"Steps for {settings.seconds:g} s"
    return (
        f"{length} of {settings.batch_size} points; values of the seeds are separated by a semicolon, "
        f"and stand once where they are equal. {settings.samples:,} generated points: a mode is covered if one lies "
        "within three standard deviations of it, and high quality is the share of points that lie so near to a mode. "
        "p (MMD): a permutation test against held-out points; below 0.05 the two sets differ."
    )


def _picture(result: dict[str, Any], folder: Path) -> Picture:
    return Picture(
        (folder / result["picture"]).read_bytes(), "png", f"points and witness: {result['name']}", result["name"]
    )
