"""A comparison of several runs: scores, differences of configurations and protocols, published scores, curves.

Scores in a column are compared only if their protocols are the same; any other score gets a footnote that says what
differs, and cannot be marked as the best.
"""

from __future__ import annotations

import io
import math
import os
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.files import is_named_as_file, write_text
from mmdgan.core.text import format_value as flag_value, table
from mmdgan.metrics.intervals import exceeds
from mmdgan.metrics.records import format_value, legend
from mmdgan.metrics.registry import direction, is_of_real
from mmdgan.pictures.grid import save_png
from mmdgan.report import protocol
from mmdgan.report.facts import RunFacts, differing_fields, logged_scalars, run_folders
from mmdgan.report.scores import Record, choose, differences, identifier, of_real
from mmdgan.runs import published
from mmdgan.runs.folder import RunFolder
from mmdgan.training.event_files import Scalars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 5
"""Scores in a row; more go into another table below."""

_LOSSES = {"GANLoss/gen": "generator's loss", "GANLoss/dis": "critic's loss"}
_MOST_SCORES = 6


@dataclass(frozen=True)
class Comparison:
    """What `compare_runs` found: the text to read, and the files that it wrote."""

    text: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class ScoreCell:
    """A score in the table.

    Attributes:
        text: The value with its spread; "-" where there is none.
        marks: Letters of the footnotes on its protocol.
        best: Whether it is the best of those with the protocol of the column.
    """

    text: str
    marks: str = ""
    best: bool = False

    def __str__(self) -> str:
        return f"{self.text}{' ' + self.marks if self.marks else ''}{'*' if self.best else ' '}"


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
        runs: Run directories, or directories above them.
        published: A CSV of published scores; by default the repository's, where they exist.
        out: A folder for compare.txt, scores.png and losses.png, or a .png for both plots; None for no files.
        by: Step of the scores; "best": the step of each run's best checkpoint; None: the newest step scored.
        metrics: Identifiers of `mmdgan.metrics.METRICS`; all by default.

    Raises:
        ConfigError: There is no run or step of that name, or a file cannot be written.
        MetricError: There is no such metric.
    """
    facts = [RunFacts.of(folder) for folder in run_folders([str(run) for run in runs])]
    chosen = [choose(run.folder, by, metrics) for run in facts]
    parts = [_scores_text(facts, chosen), _differences_text(facts), *_published_texts(facts, chosen, published)]
    text = "\n\n".join(filter(None, parts))
    try:
        return Comparison(text, () if out is None else _write(Path(out), text, facts, metrics))
    except OSError as error:
        raise ConfigError(f"out: {out} cannot be written ({error.strerror or error}); name another place.") from error


def mark_cells(chosen: Sequence[Sequence[Record]]) -> tuple[list[str], list[dict[str, ScoreCell]], list[str]]:
    """The scores of several runs as cells of a table.

    The protocol of a column is the one that most of its scores have; of equally frequent ones the first run's.

    Args:
        chosen: Records of each run, of one step (`mmdgan.report.scores.choose`).

    Returns:
        Names of the columns; cells of each run, and last those of real images (the scores of real images in the run
        whose protocol the column has); footnotes beginning with their letters.
    """
    rows = [{record["metric"]: record for record in records} for records in chosen]
    names = list(dict.fromkeys(name for row in rows for name in row if not is_of_real(name)))
    notes: dict[str, str] = {}
    cells: list[dict[str, ScoreCell]] = [{} for _ in rows]
    real: dict[str, ScoreCell] = {}
    for name in names:
        reference = _reference([row[name] for row in rows if name in row])
        differing = [differences(row[name], reference) if name in row else [] for row in rows]
        values = [row[name]["value"] for row, found in zip(rows, differing, strict=True) if name in row and not found]
        best = _best(name, [value for value in values if value is not None])
        owner = next(row for row in rows if row.get(name) is reference)
        if (record := of_real(name, owner)) is not None:
            real[name] = ScoreCell(format_value(record))
        for line, row, found in zip(cells, rows, differing, strict=True):
            if name in row:
                marks = "".join(notes.setdefault(text, _letter(len(notes))) for text in found)
                is_best = not found and best is not None and row[name]["value"] == best
                line[name] = ScoreCell(format_value(row[name]), marks, is_best)
    return names, [*cells, real], [f"{letter}  {text}" for text, letter in notes.items()]


def published_table(rows: Sequence[published.Published]) -> str:
    """Published scores as text: one line per method and settings, one column per metric."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    notes: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        key = row.method, row.settings
        lines.setdefault(key, {})[row.metric] = row.text
        notes.setdefault(key, {}).update({row.note: None} if row.note else {})
    cells = [(*key, *(values.get(metric, "-") for metric in metrics)) for key, values in lines.items()]
    text = table([("method", "settings", *metrics), *cells], left=(0, 1)).splitlines()
    endings = ["", *("; ".join(notes[key]) for key in lines)]
    return "\n".join(f"{line}  ({ending})" if ending else line for line, ending in zip(text, endings, strict=True))


def score_curves(
    names: Sequence[str], folders: Sequence[RunFolder], metrics: Sequence[str] | None = None
) -> dict[str, dict[str, Scalars]]:
    """The values over steps of each score that has a better and a worse, for each run that has any.

    Of several values at a step the newest counts. Values of another protocol than the first one's are curves of
    their own, whose names say what differs.

    Args:
        names: Names of the runs.
        folders: The runs.
        metrics: Identifiers of metrics; all by default.
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    references: dict[str, Record] = {}
    for name, folder in zip(names, folders, strict=True):
        for record in folder.records():
            wanted = not metrics or identifier(record) in metrics
            if wanted and record["value"] is not None and direction(record["metric"]) != 0:
                reference = references.setdefault(record["metric"], record)
                differing = "; ".join(differences(record, reference))
                curve = f"{name} ({differing})" if differing else name
                found.setdefault(record["metric"], {}).setdefault(curve, {})[record["step"]] = record["value"]
    longest = sorted(found, key=lambda metric: -max(map(len, found[metric].values())))[:_MOST_SCORES]
    return {
        metric: {name: _scalars(points) for name, points in curves.items()}
        for metric, curves in found.items()
        if metric in longest
    }


def loss_curves(names: Sequence[str], folders: Sequence[RunFolder]) -> dict[str, dict[str, Scalars]]:
    """The losses of both players, for each run that has logged them."""
    found: dict[str, dict[str, Scalars]] = {}
    for name, folder in zip(names, folders, strict=True):
        curves = logged_scalars(folder)
        for tag, title in _LOSSES.items():
            if tag in curves:
                found.setdefault(title, {})[name] = curves[tag]
    return found


def _labels(facts: Sequence[RunFacts]) -> list[str]:
    """The names of runs in tables and plots, such as "[1] sngan_rep_5e-04_2e-04".

    Runs of one name have as many of the folders above them as tell them apart: "[1] monday/sngan_rep_5e-04_2e-04".
    """
    paths = [run.folder.path.resolve().parts for run in facts]

    def name(parts: tuple[str, ...]) -> str:
        depths = range(1, len(parts) + 1)
        depth = next(depth for depth in depths if sum(other[-depth:] == parts[-depth:] for other in paths) < 2)
        return "/".join(parts[-depth:])

    return [f"[{index + 1}] {name(parts)}" for index, parts in enumerate(paths)]


def _reference(records: Sequence[Record]) -> Record:
    """The record whose protocol most of the others share."""
    return max(records, key=lambda one: sum(not differences(other, one) for other in records))


def _best(name: str, values: Sequence[float]) -> float | None:
    """The best of at least two values; None if no value is better than another."""
    sign = direction(name)
    if sign == 0 or len(values) < 2:
        return None
    return max(values) if sign > 0 else min(values)


def _letter(index: int) -> str:
    letters = string.ascii_lowercase
    return letters[index] if index < len(letters) else f"({index + 1})"


def _scores_text(facts: list[RunFacts], chosen: list[list[Record]]) -> str:
    labels = _labels(facts)
    names, cells, notes = mark_cells(chosen)
    if not names:
        return "\n".join([*labels, "No scores of this choice in any run; `evaluate RUN` makes them."])
    steps = [f"{records[0]['step']:,}" if records else "-" for records in chosen]
    heads = [*zip(labels, steps, strict=True), *([("real images", "")] if cells[-1] else [])]
    tables = []
    for start in range(0, len(names), _COLUMNS):
        part = names[start : start + _COLUMNS]
        rows = [(*head, *(str(row.get(name, "- ")) for name in part)) for head, row in zip(heads, cells, strict=False)]
        tables.append(table([("run", "step", *part), *rows]))
    lines = ["\n\n".join(tables)]
    if any(cell.best for row in cells for cell in row.values()):
        lines.append("*  the best of its column, among scores of one protocol")
    lines += [f"{sign}  {text}" for sign, text in legend(r for records in chosen for r in records).items()]
    return "\n".join([*lines, *notes, *_counts(chosen), *_verdicts(chosen)])


def _verdicts(chosen: list[list[Record]]) -> list[str]:
    """For each score that has a best run: which runs differ from it by more than the intervals allow, and which do not.

    Only scores of the best one's protocol are compared with it.
    """
    lines = []
    for name in dict.fromkeys(record["metric"] for records in chosen for record in records):
        rows = {i: r for i, records in enumerate(chosen, 1) for r in records if r["metric"] == name}
        reference = _reference(list(rows.values()))
        alike = {i: r for i, r in rows.items() if not differences(r, reference) and r["value"] is not None}
        best = _best(name, [row["value"] for row in alike.values()])
        if best is None or is_of_real(name):
            continue
        winner = next(i for i, row in alike.items() if row["value"] == best)
        verdicts = {i: exceeds(row, alike[winner]) for i, row in alike.items() if i != winner}
        words = {True: "more than their 95% intervals allow", False: "no more than their 95% intervals allow"}
        for verdict, text in words.items():
            members = [
                f"[{i}] by {abs(alike[i]['value'] - best):.3g}" for i, found in verdicts.items() if found is verdict
            ]
            if members:
                lines.append(f"{name}: {', '.join(members)} from the best, [{winner}]: {text}.")
    return lines


def _counts(chosen: list[list[Record]]) -> list[str]:
    """One line for each run: how many images its scores are of, with which features."""
    lines = []
    for index, records in enumerate(chosen):
        shown = [record for record in records if direction(record["metric"])]
        sources = dict.fromkeys(r["feature_source"] for r in shown if r.get("feature_source"))
        generated, real = (
            " or ".join(f"{count:,}" for count in sorted({r[key] for r in shown if r.get(key)}))
            for key in ("count", "count_real")
        )
        if shown:
            images = f"{generated} generated and {real or 'no'} real images"
            lines.append(f"[{index + 1}] {images}; features: {', '.join(sources) or 'none'}")
    return lines


def _differences_text(facts: list[RunFacts]) -> str:
    if len(facts) < 2:
        return ""
    fields = differing_fields(facts)
    if not fields:
        return "The configurations are the same."
    header = ("differs in", *(f"[{index + 1}]" for index in range(len(facts))))
    return table([header, *((name, *map(_field_value, values)) for name, values in fields.items())])


def _field_value(value: Any) -> str:
    return flag_value(tuple(value) if isinstance(value, list) else value) or "none"


def _published_texts(facts: list[RunFacts], chosen: list[list[Record]], csv: str | os.PathLike | None) -> Iterable[str]:
    """The published scores of each data set and loss among the runs, and how each run's protocol differs."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, run in enumerate(facts):
        groups.setdefault((run.experiment["data"], run.experiment["loss"]), []).append(index)
    for (data, loss), members in groups.items():
        found = dict.fromkeys(row for i in members for row in published.find(data, loss, csv, wanted=facts[i].wanted()))
        if reason := published.explain(data, loss, found, csv):
            yield reason
            continue
        lines = [f"Published for {loss} on {data}:", published_table(list(found))]
        for index in members:
            record = next((r for r in chosen[index] if direction(r["metric"])), None)
            differing = protocol.in_short(protocol.against_published(facts[index], record))
            says = f"differs from that protocol: {differing}" if differing else "has the same protocol"
            lines.append(f"[{index + 1}] {says}.")
        yield "\n".join(lines)


def _write(out: Path, text: str, facts: list[RunFacts], metrics: Sequence[str] | None) -> tuple[Path, ...]:
    """Writes the plots, and the text too if `out` is a folder; a plot that would be empty is left out."""
    if out.suffix.lower() != ".png" and is_named_as_file(out):
        raise ConfigError(f"out: {out} would be a folder; name a .png, or a folder without an ending.")
    names, folders = _labels(facts), [run.folder for run in facts]
    panels = {
        "scores": [_plot(curves, name) for name, curves in score_curves(names, folders, metrics).items()],
        "losses": [_plot(curves, title) for title, curves in loss_curves(names, folders).items()],
    }
    if out.suffix.lower() == ".png":
        all_panels = [panel for group in panels.values() for panel in group]
        return (save_png(out, _stack(all_panels)),) if all_panels else ()
    files = [save_png(out / f"{name}.png", _stack(group)) for name, group in panels.items() if group]
    write_text(out / "compare.txt", text + "\n")
    return out / "compare.txt", *files


def _scalars(points: Mapping[int, float]) -> Scalars:
    steps = np.array(sorted(points), np.int64)
    return Scalars(steps, np.array([points[step] for step in steps.tolist()]), np.full(len(steps), math.nan))


def _plot(curves: dict[str, Scalars], title: str) -> Figure:
    from mmdgan.report.plots import plot_curves

    # A single curve has no legend, which would say whose it is.
    return plot_curves(curves, f"{title}, {next(iter(curves))}" if len(curves) == 1 else title)


def _stack(figures: Sequence[Figure]) -> np.ndarray:
    """Figures as one picture, uint8 (H, W, 3): up to three below each other, more in two columns."""
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
