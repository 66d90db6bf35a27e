"""Several runs beside one another: their scores, what differs in configurations and protocols, the published scores.

Scores of one column are compared only where their protocols are the same; any other one gets a footnote that says what
differs, and is not among those of which the best is marked.
"""

from __future__ import annotations

import math
import os
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.text import format_value as flag_value
from mmdgan.metrics.records import format_value
from mmdgan.pictures.grid import save_bytes, save_png
from mmdgan.report import protocol
from mmdgan.report.facts import RunFacts, differing_fields, run_folders
from mmdgan.runs import published
from mmdgan.runs.folder import RunFolder
from mmdgan.training.event_files import Scalars, read_scalars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Records = Sequence[Mapping[str, Any]]

_COLUMNS = 5
"""Scores side by side; more go into a table below."""


@dataclass(frozen=True)
class Comparison:
    """What `compare_runs` found: the text for a person, and the plots it wrote."""

    text: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Cell:
    """One score in the table.

    Attributes:
        text: the value with its spread; "-" where there is none.
        marks: letters of the footnotes on its protocol.
        best: whether it is the best of those with the column's protocol.
    """

    text: str
    marks: str = ""
    best: bool = False


def compare_runs(
    runs: Iterable[str | os.PathLike],
    published: str | os.PathLike | None = None,
    out: str | os.PathLike | None = None,
    *,
    by: int | str | None = None,
    metrics: Sequence[str] | None = None,
) -> Comparison:
    """Compares the scores and curves of runs.

    Args:
        runs: run directories, or directories above them.
        published: a CSV of published scores; by default the repository's, where they exist.
        out: a folder for compare.txt, scores.png and losses.png, or a .png for both plots; None for no plots.
        by: the step of the scores; "best": the step of each run's best checkpoint; None: the newest step scored.
        metrics: identifiers of `mmdgan.metrics.METRICS`; all by default.

    Raises:
        ConfigError: no run there, an unknown step or metric, a place that cannot be written to.
    """
    facts = [RunFacts.of(folder) for folder in run_folders([str(run) for run in runs])]
    chosen = [choose(run, by, metrics) for run in facts]
    parts = [_scores_text(facts, chosen), _differences_text(facts), _published_text(facts, chosen, published)]
    text = "\n\n".join(part for part in parts if part)
    files = () if out is None else _write(Path(out), text, facts, metrics)
    return Comparison(text, files)


def choose(facts: RunFacts, by: int | str | None = None, metrics: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """A run's scores of one step: of each score the newest line.

    Args:
        facts: of the run.
        by: the step, "best", or None for the newest step that was scored.
        metrics: identifiers; all by default.

    Returns:
        lines of metrics.jsonl; [] if the run has none (of this step).

    Raises:
        ConfigError: no such metric; "best" of a run without a best checkpoint.
    """
    check_metrics(metrics)
    records = facts.folder.records()
    if by == "best":
        step = facts.folder.best_step()
        if step is None:
            raise ConfigError(f"{facts.folder.path} has no best checkpoint; give --by=STEP, or leave it out.")
    else:
        steps = {record["step"] for record in records}
        step = max(steps, default=None) if by is None else int(by)
    newest = {record["metric"]: record for record in records if record["step"] == step}
    return [record for record in newest.values() if not metrics or protocol.identifier(record) in metrics]


def check_metrics(metrics: Sequence[str] | None) -> None:
    """Raises a ConfigError for an identifier that is no metric."""
    from mmdgan.metrics import METRICS

    for metric in metrics or ():
        if metric not in METRICS:
            raise ConfigError(f"There is no metric {metric!r}; choose from {', '.join(METRICS)}.")


def mark_cells(chosen: Sequence[Records]) -> tuple[list[str], list[dict[str, Cell]], list[str]]:
    """The scores of several runs as cells of a table.

    The protocol of a column is the one that most of its scores have, of equally frequent ones the first run's.

    Args:
        chosen: for each run the lines that `choose` gave.

    Returns:
        names of the columns, a dictionary of cells for each run, and at last one for real images (the scores of real
        images that the run with the column's protocol has), footnotes beginning with their letters.
    """
    rows = [{record["metric"]: record for record in records} for records in chosen]
    names = list(dict.fromkeys(name for row in rows for name in row if not protocol.is_of_real(name)))
    notes: dict[str, str] = {}
    cells: list[dict[str, Cell]] = [{} for _ in rows]
    of_real: dict[str, Cell] = {}
    for name in names:
        column = [row.get(name) for row in rows]
        reference = _reference([record for record in column if record is not None])
        differing = [protocol.differences(r, reference) if r is not None else [] for r in column]
        values = [r["value"] for r, d in zip(column, differing, strict=True) if r is not None and not d]
        owner = next(row for row in rows if row.get(name) is reference)
        if (real := protocol.of_real(name, owner)) is not None:
            of_real[name] = Cell(format_value(real))
        best = _best(name, [value for value in values if value is not None])
        for row, record, differs in zip(cells, column, differing, strict=True):
            if record is not None:
                marks = "".join(notes.setdefault(text, _letter(len(notes))) for text in differs)
                row[name] = Cell(
                    format_value(record), marks, not differs and best is not None and record["value"] == best
                )
    return names, [*cells, of_real], [f"{letter}  {text}" for text, letter in notes.items()]


def table(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows of text as aligned columns, the first `left` of them aligned to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def label(index: int, facts: RunFacts) -> str:
    """How a run is called in tables and plots: "[1] sngan_rep_5e-04_2e-04"."""
    return f"[{index + 1}] {facts.name}"


def _reference(records: Records) -> Mapping[str, Any]:
    """The record whose protocol most of the others share."""
    return max(records, key=lambda one: sum(not protocol.differences(other, one) for other in records))


def _best(name: str, values: Sequence[float]) -> float | None:
    """The best of at least two values; None where better has no meaning."""
    sign = protocol.direction(name)
    if sign == 0 or len(values) < 2:
        return None
    return max(values) if sign > 0 else min(values)


def _letter(index: int) -> str:
    letters = string.ascii_lowercase
    return letters[index] if index < len(letters) else f"({index + 1})"


def _scores_text(facts: list[RunFacts], chosen: list[list[dict[str, Any]]]) -> str:
    names, cells, notes = mark_cells(chosen)
    if not names:
        listed = "\n".join(label(i, run) for i, run in enumerate(facts))
        return f"{listed}\nNo scores of this choice in any run; `evaluate RUN` makes them."
    steps = [f"{records[0]['step']:,}" if records else "-" for records in chosen]
    heads = [(label(index, run), step) for index, (run, step) in enumerate(zip(facts, steps, strict=True))]
    lines_of_cells = [*zip(heads, cells, strict=False), *([(("real images", ""), cells[-1])] if cells[-1] else [])]
    blocks = []
    for start in range(0, len(names), _COLUMNS):
        part = names[start : start + _COLUMNS]
        rows = [(*head, *(_cell_text(row.get(name)) for name in part)) for head, row in lines_of_cells]
        blocks.append(table([("run", "step", *part), *rows]))
    lines = ["\n\n".join(blocks)]
    if any(cell.best for row in cells for cell in row.values()):
        lines.append("*  the best of its column, among scores of one protocol")
    spreads = dict.fromkeys(r["spread_of"] for records in chosen for r in records if r.get("spread_of"))
    lines += [f"±  {'; '.join(spreads)}"] if spreads else []
    return "\n".join([*lines, *notes, *_counts(facts, chosen)])


def _cell_text(cell: Cell | None) -> str:
    if cell is None:
        return "- "
    return f"{cell.text}{' ' + cell.marks if cell.marks else ''}{'*' if cell.best else ' '}"


def _counts(facts: list[RunFacts], chosen: list[list[dict[str, Any]]]) -> list[str]:
    """One line for each run: how many images its scores are of, with which features."""
    lines = []
    for index, (_, records) in enumerate(zip(facts, chosen, strict=True)):
        shown = [record for record in records if protocol.direction(record["metric"])]
        sources = dict.fromkeys(r["feature_source"] for r in shown if r.get("feature_source"))
        generated, real = ({r[key] for r in shown if r.get(key)} for key in ("count", "count_real"))
        counts = " or ".join(f"{n:,}" for n in sorted(generated)), " or ".join(f"{n:,}" for n in sorted(real)) or "no"
        if shown:
            images = "{} generated and {} real images".format(*counts)
            lines.append(f"[{index + 1}] {images}; features: {', '.join(sources) or 'none'}")
    return lines


def _differences_text(facts: list[RunFacts]) -> str:
    if len(facts) < 2:
        return ""
    fields = differing_fields(facts)
    if not fields:
        return "The configurations are the same."
    header = ("differs in", *(f"[{index + 1}]" for index in range(len(facts))))
    rows = [(name, *(_value(value) for value in values)) for name, values in fields.items()]
    return table([header, *rows])


def _value(value: Any) -> str:
    return flag_value(tuple(value) if isinstance(value, list) else value) or "none"


def _published_text(facts: list[RunFacts], chosen: list[list[dict[str, Any]]], csv: str | os.PathLike | None) -> str:
    """The published scores of each data set and loss among the runs, and how each run's protocol differs."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, run in enumerate(facts):
        groups.setdefault((run.experiment["data"], run.experiment["loss"]), []).append(index)
    parts = []
    for (data, loss), members in groups.items():
        found = dict.fromkeys(row for i in members for row in published.find(data, loss, csv, wanted=facts[i].wanted()))
        if reason := published.explain(data, loss, found, csv):
            parts.append(reason)
            continue
        lines = [f"Published for {loss} on {data}:", published_table(list(found))]
        for index in members:
            record = next((r for r in chosen[index] if protocol.direction(r["metric"])), None)
            differing = protocol.in_short(protocol.against_published(facts[index], record))
            says = f"differs from that protocol: {differing}" if differing else "has the same protocol"
            lines.append(f"[{index + 1}] {says}.")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def published_table(rows: Sequence[published.Published]) -> str:
    """Published scores as text: one line per method and settings, one column per metric."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    notes: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        key = row.method, row.settings
        lines.setdefault(key, {})[row.metric] = f"{row.value:.4g}" if row.value is not None else row.status
        notes.setdefault(key, {}).update({row.note: None} if row.note else {})
    table_rows = [("method", "settings", *metrics)]
    table_rows += [(*key, *(values.get(metric, "-") for metric in metrics)) for key, values in lines.items()]
    text = table(table_rows, left=2).splitlines()
    endings = ["", *("; ".join(notes[key]) for key in lines)]
    return "\n".join(f"{line}  ({ending})" if ending else line for line, ending in zip(text, endings, strict=True))


def _write(out: Path, text: str, facts: list[RunFacts], metrics: Sequence[str] | None) -> tuple[Path, ...]:

    names = [label(index, run) for index, run in enumerate(facts)]
    folders = [run.folder for run in facts]
    try:
        return write(out, text, names, folders, metrics)
    except OSError as error:
        raise ConfigError(f"out: {out} cannot be written ({error.strerror or error}); name another place.") from error


# MERGED mmdgan/report/compare.py
# The plots of `compare`: each score over steps for all runs in one panel, and the losses of both players.


LOSSES = {"GANLoss/gen": "generator's loss", "GANLoss/dis": "critic's loss"}
_MOST_SCORES = 6


def write(
    out: Path, text: str, names: Sequence[str], folders: Sequence[RunFolder], metrics: Sequence[str] | None = None
) -> tuple[Path, ...]:
    """Writes the plots, and beside them the text if `out` is a folder.

    Args:
        out: a folder for compare.txt, scores.png and losses.png; or a .png for all panels.
        text: the table.
        names: of the runs, in legends.
        folders: the runs.
        metrics: identifiers of the scores; all by default.

    Returns:
        the files; a plot that would be empty is not written.

    Raises:
        ConfigError: `out` has another ending of a picture.
    """
    if out.suffix.lower() in (".jpg", ".jpeg", ".gif", ".svg", ".pdf", ".html", ".csv", ".txt"):
        raise ConfigError(f"out: {out} would be a folder; name a .png, or a plain folder.")
    figures = {
        "scores": [_plot(curves, name) for name, curves in score_curves(names, folders, metrics).items()],
        "losses": [_plot(curves, title) for title, curves in loss_curves(names, folders).items()],
    }
    if out.suffix.lower() == ".png":
        panels = [panel for group in figures.values() for panel in group]
        return (save_png(out, _stack(panels)),) if panels else ()
    files = [save_png(out / f"{name}.png", _stack(group)) for name, group in figures.items() if group]
    return save_bytes(out / "compare.txt", (text + "\n").encode()), *files


def score_curves(
    names: Sequence[str], folders: Sequence[RunFolder], metrics: Sequence[str] | None = None
) -> dict[str, dict[str, Scalars]]:
    """For each score that has a better and a worse: its values over steps for each run that has any.

    Of several values at a step the newest counts. Values of another protocol than the first one's are curves of
    their own, whose names say what differs.
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    references: dict[str, Mapping[str, Any]] = {}
    for name, folder in zip(names, folders, strict=True):
        for record in folder.records():
            if _shown(record, metrics):
                reference = references.setdefault(record["metric"], record)
                differing = "; ".join(protocol.differences(record, reference))
                curve = f"{name} ({differing})" if differing else name
                found.setdefault(record["metric"], {}).setdefault(curve, {})[record["step"]] = record["value"]
    several = sorted(found, key=lambda metric: -max(map(len, found[metric].values())))[:_MOST_SCORES]
    return {
        metric: {name: _scalars(points) for name, points in curves.items()}
        for metric, curves in found.items()
        if metric in several
    }


def loss_curves(names: Sequence[str], folders: Sequence[RunFolder]) -> dict[str, dict[str, Scalars]]:
    """The losses of both players for each run that has logged them."""
    found: dict[str, dict[str, Scalars]] = {}
    for name, folder in zip(names, folders, strict=True):
        curves = all_scalars(folder)
        for tag, title in LOSSES.items():
            if tag in curves:
                found.setdefault(title, {})[name] = curves[tag]
    return found


def all_scalars(folder: RunFolder) -> dict[str, Scalars]:
    """Every scalar that a run has logged; {} of a run without event files."""
    has_files = folder.logs.is_dir() and any(folder.logs.glob("*tfevents*"))
    return read_scalars(folder.path) if has_files else {}


def _shown(record: Mapping[str, Any], metrics: Sequence[str] | None) -> bool:
    wanted = not metrics or protocol.identifier(record) in metrics
    return wanted and record["value"] is not None and protocol.direction(record["metric"]) != 0


def _scalars(points: Mapping[int, float]) -> Scalars:
    steps = np.array(sorted(points), np.int64)
    return Scalars(steps, np.array([points[step] for step in steps.tolist()]), np.full(len(steps), math.nan))


def _plot(curves: dict[str, Scalars], title: str) -> Figure:
    from mmdgan.report.plots import plot_curves

    # A single curve has no legend, which would say whose it is.
    return plot_curves(curves, f"{title}, {next(iter(curves))}" if len(curves) == 1 else title)


def _stack(figures: Sequence[Figure]) -> np.ndarray:
    """Figures as one picture, uint8 (H, W, 3): up to three below each other, more in two columns."""
    import io

    from PIL import Image

    from mmdgan.report.plots import to_png

    panels = [np.asarray(Image.open(io.BytesIO(to_png(figure))).convert("RGB")) for figure in figures]
    columns = 1 if len(panels) <= 3 else 2
    width = max(panel.shape[1] for panel in panels)
    rows = []
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        picture = np.full((max(panel.shape[0] for panel in row), columns * width, 3), 255, np.uint8)
        for index, panel in enumerate(row):
            picture[: panel.shape[0], index * width : index * width + panel.shape[1]] = panel
        rows.append(picture)
    return np.concatenate(rows)
