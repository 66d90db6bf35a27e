"""A sweep as a table: the scores of its runs over two groups of fields, and the best run."""

from __future__ import annotations

import csv
import io
import math
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mmdgan.core.errors import ConfigError, MmdGanError
from mmdgan.core.text import format_value, nearest
from mmdgan.report.compare import table as aligned
from mmdgan.runs import published
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.scores import JUDGES
from mmdgan.sweeps.folder import DIVERGED, FINISHED, Outcome, SweepFolder
from mmdgan.sweeps.points import Point

Key = tuple[Any, ...]
_RATES = ["lr_dis", "lr_gen"]


@dataclass(frozen=True)
class Cell:
    """The runs that share a row and a column: they differ in their seed alone.

    Attributes:
      point: the first of them.
      values: scores of those that have one.
      diverged: how many diverged.
      others: the states of those that are no result yet.
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
        """As the table shows it: "34.2", "34.2 ± 0.7 (3)", "diverged", "34.2 (1 of 3 diverged)", "-"."""
        count = len(self.values) + self.diverged + len(self.others)
        if not self.values and self.diverged:
            done = "diverged" if count == 1 else f"diverged ({self.diverged} of {count})"
            return done
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
      score: the name of the score, such as "FD[classifier]"; "" if no run has one yet.
      rows, columns: the fields of each; columns may be empty.
      row_keys, column_keys: their values, in the order of the sweep.
      cells: by (row key, column key).
      notes: what is to be said of it.
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
      states: of `SweepFolder.states`.
      metric: a score, or a metric's name.
      rows, columns: fields; "lr" stands for lr_dis,lr_gen. If one is empty it takes what the other leaves; the seed, if
        it is left out, is averaged over.

    Raises:
      ConfigError: a field that does not vary, or one that both leave out.
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
    scores = list(dict.fromkeys(score["metric"] for _, outcome in states for score in outcome.scores))
    scores.sort(key=lambda name: name not in score_names((outcome for _, outcome in states), metric))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["run", *varied, "status", "step", *scores, "seconds", "processor_seconds", "error"])
    for point, outcome in states:
        values = [format_value(getattr(point.experiment, name)) for name in varied]
        numbers = [outcome.value(name) for name in scores]
        ends = [outcome.seconds, outcome.processor_seconds, outcome.error]
        writer.writerow([point.run, *values, outcome.status, outcome.step, *numbers, *ends])
    return buffer.getvalue()


def best(states: Sequence[tuple[Point, Outcome]], metric: str) -> tuple[Point, Outcome, str]:
    """The best of the finished runs: the run, its record, and the score's name.

    Raises:
      ConfigError: no finished run has the score.
    """
    finished = [(point, outcome) for point, outcome in states if outcome.status == FINISHED]
    names = score_names((outcome for _, outcome in finished), metric)
    if not names:
        others = sorted({score["metric"] for _, outcome in finished for score in outcome.scores})
        has = f"they have {', '.join(others)}" if others else f"{len(finished)} runs have finished"
        raise ConfigError(f"no finished run has the score {metric}; {has}.")
    sign = 1 if lower_is_better(names[0]) else -1
    scored = [(point, outcome) for point, outcome in finished if outcome.value(names[0]) is not None]
    point, outcome = min(scored, key=lambda one: sign * (one[1].value(names[0]) or 0.0))
    return point, outcome, names[0]


def metric_of(folder: SweepFolder, asked: str | None) -> str:
    """The metric to show: the one asked for, else the sweep's."""
    return asked or folder.read()["metric"]


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


# MERGED mmdgan/sweeps/table.py
# The authors' scores beside a sweep's: their cells at the same data set, loss, learning rates, K, d and method.


PAPER_ARCHITECTURES = ("cifar10/DCGAN", "stl10/DCGAN", "stl10/DCGAN_PAPER", "celeba/DCGAN", "lsun/DCGAN")


def wanted(experiment: Experiment) -> published.Wanted:
    """What published scores of an experiment are looked up by."""
    e = experiment.resolved()
    critic = e.networks()[2]
    gains = [part.gain for layer in critic.layers for part in layer.parts if part.spectral and part.gain]
    plain = e.rep_weights is None or tuple(e.rep_weights) == (0.0, -1.0)
    return published.Wanted(
        e.data, e.loss, e.lr_dis, e.lr_gen, math.prod(gains), e.spectral, critic.output_shape[0], plain
    )


def own_cells(
    experiment: Experiment, csv: str | os.PathLike | None = None, metric: str = "FID"
) -> list[published.Published]:
    """The authors' cells at exactly the settings of a run; [] if there are none."""
    look = wanted(experiment)
    rows = published.find(look.data, look.loss, csv, wanted=look)
    return [row for row in rows if row.metric == metric and _is_own(row, look)]


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
        except MmdGanError:  # the architecture's file is gone: nothing is known of its K
            continue
        if rows:
            row = rows[0]
            cells[key] = f"{row.value:.4g}" if row.value is not None else row.status
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
    """What keeps one from comparing the two tables, as far as it is known."""
    reasons = []
    if found.score and found.score != metric:
        reasons.append(f"{found.score} is another score than {metric} with the 2015 Inception graph")
    small = sorted({e.architecture for e in experiments} - set(PAPER_ARCHITECTURES))
    if small:
        reasons.append(f"{', '.join(small)} is not the paper's network")
    steps = {e.max_step for e in experiments} - {100_000}
    if steps:
        reasons.append(f"the authors trained for 100,000 steps, not {', '.join(f'{step:,}' for step in sorted(steps))}")
    counts = {e.score_count for e in experiments if e.score_count is not None} - {50_000}
    if counts:
        reasons.append(f"scores here are of {', '.join(f'{count:,}' for count in sorted(counts))} images")
    return f"Not comparable number by number: {'; '.join(reasons)}." if reasons else ""


def _is_own(row: published.Published, look: published.Wanted) -> bool:
    rates = (row.lr_dis, look.lr_dis), (row.lr_gen, look.lr_gen)
    near = all(a is not None and b is not None and math.isclose(a, b, rel_tol=0.01) for a, b in rates)
    return near and not row.note.startswith("best ")


# MERGED mmdgan/sweeps/table.py
# Which score of a run a metric's name means, and whether more of it is better.


def find_score(outcome: Outcome, metric: str) -> str | None:
    """The name of the score that a metric means in a run's record.

    Args:
      outcome: the record.
      metric: a score's name as records have it, such as "FD[classifier]", or one of `JUDGES`, such as "fid", which
        means FID, FD[classifier] or whatever the run's features make of it.

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
    if name == metric:
        return True
    if metric not in JUDGES:
        return False
    if metric == "swd":
        return name == "SWD mean"
    from mmdgan.metrics.evaluate import score_name

    label = name.partition("[")[2].removesuffix("]") or "inception"
    return name == score_name(metric, label)


def lower_is_better(name: str) -> bool:
    """Whether less of a score is better; True for scores of which nobody says so."""
    return next((judge.lower for metric, judge in JUDGES.items() if is_score(name, metric)), True)
