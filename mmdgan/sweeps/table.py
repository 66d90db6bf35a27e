"""A sweep as a table: the scores of its runs over two groups of fields, and the best run."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mmdgan.core.errors import ConfigError, MmdGanError
from mmdgan.core.text import format_value, nearest, table as aligned
from mmdgan.metrics.registry import is_judged, lower_is_better
from mmdgan.runs import published
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps.folder import DIVERGED, FINISHED, Outcome, Point

Key = tuple[Any, ...]
_RATES = ["lr_dis", "lr_gen"]

PAPER_ARCHITECTURES = ("cifar10/DCGAN", "stl10/DCGAN", "stl10/DCGAN_PAPER", "celeba/DCGAN", "lsun/DCGAN")


@dataclass(frozen=True)
class Cell:
    """The runs that share a row and a column: they differ in their seed alone.

    Attributes:
        point: The first of them.
        values: Scores of those that have one.
        diverged: How many diverged.
        others: States of those without a result.
    """

    point: Point
    values: tuple[float, ...]
    diverged: int
    others: tuple[str, ...]

    @property
    def mean(self) -> float | None:
        """The mean score of the runs that did not diverge."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """The standard deviation of the scores, n - 1 in its denominator; None of fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def text(self) -> str:
        """The cell in the table: "34.2", "34.2 ± 0.7 (3)", "diverged", "34.2 (1 of 3 diverged)", "-"."""
        count = len(self.values) + self.diverged + len(self.others)
        if not self.values and self.diverged:
            return "diverged" if count == 1 else f"diverged ({self.diverged} of {count})"
        if not self.values:
            return "-" if set(self.others) <= {"waiting"} else self.others[0]
        text = f"{self.mean:.4g}"
        if self.spread is not None:
            text += f" ± {self.spread:.2g} ({len(self.values)})"
        return f"{text} ({self.diverged} of {count} diverged)" if self.diverged else text


@dataclass(frozen=True)
class Pivot:
    """The scores of a sweep over rows and columns.

    Attributes:
        score: Name of the score, such as "FD[classifier]"; "" if no run has one yet.
        rows: Fields of the rows.
        columns: Fields of the columns; may be empty.
        row_keys: Values of the rows' fields, in the order of the sweep.
        column_keys: Values of the columns' fields, likewise.
        cells: By (row key, column key).
        notes: Remarks below the table.
    """

    score: str
    rows: list[str]
    columns: list[str]
    row_keys: list[Key]
    column_keys: list[Key]
    cells: dict[tuple[Key, Key], Cell]
    notes: tuple[str, ...] = ()


def pivot(
    states: Sequence[tuple[Point, Outcome]], metric: str, rows: Sequence[str] = (), columns: Sequence[str] = ()
) -> Pivot:
    """Puts the runs of a sweep into rows and columns.

    Args:
        states: Runs and outcomes, of `SweepFolder.states`.
        metric: Name of a score or a metric.
        rows: Fields of the rows; "lr" stands for lr_dis,lr_gen. Empty: the fields that the columns leave out.
        columns: Fields of the columns, likewise. A seed that neither has is averaged over.

    Raises:
        ConfigError: A field that does not vary, or one that both leave out.
    """
    varied = varied_fields([point for point, _ in states])
    rows, columns = _layout(varied, _known(varied, rows, "rows"), _known(varied, columns, "columns"))
    groups: dict[tuple[Key, Key], list[tuple[Point, Outcome]]] = {}
    names = score_names((outcome for _, outcome in states), metric)
    score = names[0] if names else ""
    for point, outcome in states:
        key = _key(point, rows), _key(point, columns)
        groups.setdefault(key, []).append((point, outcome))
    cells = {key: _cell(members, score) for key, members in groups.items()}
    notes = [f"Runs with {name} instead are left out." for name in names[1:]]
    if not score and (others := sorted({s["metric"] for _, o in states for s in o.scores})):
        notes.append(f"No run has {metric}; they have {', '.join(others)}.")
    row_keys, column_keys = (list(dict.fromkeys(key[side] for key in cells)) for side in (0, 1))
    return Pivot(score, rows, columns, row_keys, column_keys, cells, tuple(notes))


def varied_fields(points: Sequence[Point]) -> list[str]:
    """The fields that differ between runs, in the order in which the sweep names them."""
    names = list(dict.fromkeys(name for point in points for name in point.values))
    return [name for name in names if len({getattr(point.experiment, name) for point in points}) > 1]


def table_rows(found: Pivot) -> list[list[str]]:
    """The table as text, header first."""
    head = ",".join(found.rows) + (f" \\ {','.join(found.columns)}" if found.columns else "")
    lines = [[head, *(_label(key) or found.score for key in found.column_keys)]]
    for row in found.row_keys:
        cells = [found.cells.get((row, column)) for column in found.column_keys]
        lines.append([_label(row) or "all", *("" if cell is None else cell.text() for cell in cells)])
    return lines


def csv_text(states: Sequence[tuple[Point, Outcome]], metric: str) -> str:
    """All runs as CSV, one line each: the fields that vary, the state, the step, every score, seconds."""
    varied = varied_fields([point for point, _ in states])
    names = list(dict.fromkeys(score["metric"] for _, outcome in states for score in outcome.scores))
    names.sort(key=lambda name: name not in score_names((outcome for _, outcome in states), metric))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["run", *varied, "status", "step", *names, "seconds", "processor_seconds", "error"])
    for point, outcome in states:
        values = [format_value(getattr(point.experiment, name)) for name in varied]
        numbers = [outcome.value(name) for name in names]
        ends = [outcome.seconds, outcome.processor_seconds, outcome.error]
        writer.writerow([point.run, *values, outcome.status, outcome.step, *numbers, *ends])
    return buffer.getvalue()


def best(states: Sequence[tuple[Point, Outcome]], metric: str) -> tuple[Point, Outcome, str]:
    """The best of the finished runs: the run, its record, and the score's name.

    Raises:
        ConfigError: No finished run has the score.
    """
    finished = [(point, outcome) for point, outcome in states if outcome.status == FINISHED]
    names = score_names((outcome for _, outcome in finished), metric)
    name = next((n for n in names if any(outcome.value(n) is not None for _, outcome in finished)), None)
    if name is None:
        others = sorted({score["metric"] for _, outcome in finished for score in outcome.scores})
        has = f"they have {', '.join(others)}" if others else f"{len(finished)} runs have finished"
        raise ConfigError(f"no finished run has the score {metric}; {has}.")
    sign = 1 if lower_is_better(name) else -1
    scored = [(point, outcome) for point, outcome in finished if outcome.value(name) is not None]
    point, outcome = min(scored, key=lambda one: sign * (one[1].value(name) or 0.0))
    return point, outcome, name


def _known(varied: list[str], names: Sequence[str], which: str) -> list[str]:
    """Field names of the command line, with "lr" for both learning rates."""
    names = [field for name in names for field in (_RATES if name == "lr" else [name])]
    for name in names:
        if name not in varied:
            there = ", ".join(varied) or "none"
            raise ConfigError(f"{which} has {name!r}{nearest(name, varied)}; the fields that vary are {there}.")
    return names


def _layout(varied: list[str], rows: list[str], columns: list[str]) -> tuple[list[str], list[str]]:
    if both := [name for name in rows if name in columns]:
        raise ConfigError(f"{', '.join(both)} is in rows and in columns; leave it in one of them.")
    rest = [name for name in varied if name not in (*rows, *columns, "seed")]
    if rows and columns:
        if rest:
            raise ConfigError(f"rows and columns leave out {', '.join(rest)}, which varies too; add it to one of them.")
        return rows, columns
    if columns or rows:
        return (rows, rest) if rows else (rest, columns)
    if set(_RATES) <= set(rest):
        return _RATES, [name for name in rest if name not in _RATES]
    return (rest[:-1], rest[-1:]) if len(rest) > 1 else (rest, [])


def _key(point: Point, fields: Sequence[str]) -> Key:
    return tuple(getattr(point.experiment, name) for name in fields)


def _label(key: Key) -> str:
    return ", ".join(format_value(value) for value in key)


def _cell(members: list[tuple[Point, Outcome]], score: str) -> Cell:
    values = [outcome.value(score) for _, outcome in members if outcome.status == FINISHED]
    diverged = sum(outcome.status == DIVERGED for _, outcome in members)
    others = [outcome.status for _, outcome in members if outcome.status not in (FINISHED, DIVERGED)]
    others += ["no score"] * values.count(None)
    return Cell(members[0][0], tuple(value for value in values if value is not None), diverged, tuple(others))


def find_score(outcome: Outcome, metric: str) -> str | None:
    """The name of the score that a metric means in a run's record.

    Args:
        outcome: The record.
        metric: A score's name as records have it, such as "FD[classifier]"; or one of `registry.judges`, such as "fid",
            which means FID, FD[classifier] or what the run's features make of it.

    Returns:
        None if the run has no such score.
    """
    names = [score["metric"] for score in outcome.scores]
    if metric in names:
        return metric
    return next((name for name in names if is_score(name, metric)), None)


def score_names(outcomes: Iterable[Outcome], metric: str) -> list[str]:
    """All names that a metric has in some records, each once."""
    return list(dict.fromkeys(name for one in outcomes if (name := find_score(one, metric))))


def is_score(name: str, metric: str) -> bool:
    """Whether a score of this name is what a metric means."""
    return name == metric or is_judged(name, metric)


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
    lines = table_rows(dataclasses.replace(found, score=metric))
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
