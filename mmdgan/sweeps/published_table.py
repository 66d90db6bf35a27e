"""The authors' scores in the cells of a sweep's table: same data set, loss, learning rates, K, d and method."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from mmdgan.core.errors import MmdGanError
from mmdgan.core.text import table as aligned
from mmdgan.runs import published
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps.table import Pivot, table_rows

PAPER_ARCHITECTURES = ("cifar10/DCGAN", "stl10/DCGAN", "stl10/DCGAN_PAPER", "celeba/DCGAN", "lsun/DCGAN")


def own_cells(
    experiment: Experiment, csv: str | os.PathLike | None = None, metric: str = "FID"
) -> list[published.Published]:
    """The authors' cells at exactly the settings of a run; [] if there are none."""
    plan = experiment.plan()
    wanted = published.Wanted.of(dataclasses.asdict(plan.experiment), plan.critic)
    rows = published.find(wanted.data, wanted.loss, csv, wanted=wanted)
    return [row for row in rows if row.metric == metric and row.lr_dis and not row.note.startswith("best ")]


def published_text(found: Pivot, csv: str | os.PathLike | None = None) -> str:
    """The authors' FID in the rows and columns of a table; "" where they have none for any of its cells."""
    metric = "IS" if found.score.startswith(("IS", "CS")) else "FID"
    kind = found.score.partition("[")[0]
    if kind not in ("FID", "FD", "IS", "CS", ""):
        return ""
    cells: dict[Any, str] = {}
    notes: dict[str, None] = {}
    experiments = []
    for key, cell in found.cells.items():
        try:
            rows = own_cells(cell.point.experiment, csv, metric)
        except MmdGanError:  # the architecture's file is gone, and with it K
            continue
        if rows:
            row = rows[0]
            cells[key] = row.text
            if row.note:
                cells[key] += " (?)"
                notes[row.note] = None
            experiments.append(cell.point.experiment)
    if not cells:
        return ""
    lines = table_rows(found)
    for line, row_key in zip(lines[1:], found.row_keys, strict=True):
        line[1:] = [cells.get((row_key, column), "") for column in found.column_keys]
    text = f"The authors' {metric} at the same settings (Results/published):\n\n{aligned(lines)}"
    if notes:
        text += "\n(?) " + "; ".join(notes) + "."
    return f"{text}\n{_remark(found, metric, experiments)}".rstrip()


def _remark(found: Pivot, metric: str, experiments: list[Experiment]) -> str:
    """Why the two tables are not comparable, as far as it is known."""
    reasons = []
    if found.score and found.score != metric:
        reasons.append(f"{found.score} is another score than {metric} with the 2015 Inception graph")
    small = sorted({str(e.architecture) for e in experiments} - set(PAPER_ARCHITECTURES))
    if small:
        reasons.append(f"{', '.join(small)} is not the paper's network")
    steps = {e.max_step for e in experiments} - {100_000}
    if steps:
        reasons.append(f"the authors trained for 100,000 steps, not {', '.join(f'{step:,}' for step in sorted(steps))}")
    counts = {e.score_count for e in experiments if e.score_count is not None} - {50_000}
    if counts:
        reasons.append(f"scores here are of {', '.join(f'{count:,}' for count in sorted(counts))} images")
    return f"Not comparable number by number: {'; '.join(reasons)}." if reasons else ""
