"""The runs on points of the plane that the study's report shows, each within some 20 s of one processor core.

for settings in study_rows():
    result = study.points.run(settings, folder)      # result.row(), result.picture
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from study.points_options import PointsSettings

if TYPE_CHECKING:
    from study.points import PointsResult

_WIDTHS = {"ring": (0.05, 0.2, 1.0), "grid": (0.2, 1.0, 4.0)}
"""Bandwidths for each: too narrow, about right, too wide. The modes' distances are 0.77 and 2."""

_LOSSES = ("mmd_g", "rep", "rep_b", "hinge", "logistic", "wasserstein")


def study_rows(quick: bool = False, seed: int = 0) -> list[PointsSettings]:
    """The study's runs: on ring and grid a fixed kernel at several bandwidths, and a learned one with several losses.

    Args:
        quick: few steps, to see that it works.
        seed: of all of them.
    """
    rows: list[PointsSettings] = []
    for points, widths in _WIDTHS.items():
        for sigma in ((widths[0],), (widths[1],), (widths[2],), widths):
            name = f"{'sum of ' if len(sigma) > 1 else ''}sigma {', '.join(f'{width:g}' for width in sigma)}"
            rows.append(PointsSettings(f"{points}, fixed, {name}", points, "mmd_g", {"sigma": sigma}))
        rows += [learned_row(points, loss) for loss in _LOSSES]
    few: dict[str, Any] = (
        {"steps": 300, "snapshots": 5, "samples": 500, "permutations": 99} if quick else {"snapshots": 2}
    )
    return [dataclasses.replace(row, seed=seed, **few) for row in rows]


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


def points_rows(rows: Sequence[PointsSettings], out: str, budget: float | None = None) -> list[PointsResult]:
    """Runs the study's rows, one after the other, with a small picture each.

    Args:
        rows: of `study_rows`.
        out: the folder for the pictures.
        budget: processor seconds; no run is begun after they are spent. None for no limit.
    """
    from study.points import run

    results: list[PointsResult] = []
    for settings in rows:
        if budget is not None and sum(result.seconds for result in results) >= budget:
            break
        results.append(run(settings, out))
    return results
