"""A comparison of several runs: scores, differences of configurations and protocols, published scores, curves.

Scores in a column are compared only if their protocols are the same; any other score gets a footnote that says what
differs, and cannot be marked as the best.
"""

from __future__ import annotations

import io
import math
import os
import string
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdgan.core.errors import ConfigError, DataError, write_errors
from mmdgan.core.files import is_named_as_file, write_text
from mmdgan.core.progress import Say, log
from mmdgan.core.text import format_value as flag_value, table
from mmdgan.core.versions import VERSION
from mmdgan.metrics.intervals import exceeds
from mmdgan.metrics.records import format_value, legend
from mmdgan.metrics.registry import arrow, direction, is_of_real, words as registry_words
from mmdgan.pictures.grid import png_bytes, save_png
from mmdgan.report import plots, protocol
from mmdgan.report.blocks import Block, Cell, Code, Legend, Page, Picture, Section, SideBySide, Table, Text, missing
from mmdgan.report.evolution import evolution_frames
from mmdgan.report.facts import RunFacts, differing_fields, run_folders
from mmdgan.report.html import render
from mmdgan.report.plots import ScoreCurve, plot_curves, to_png, to_svg
from mmdgan.report.scores import Record, choose, differences, identifier, of_real, protocol_of
from mmdgan.runs import published
from mmdgan.runs.folder import RunFolder
from mmdgan.training.event_files import Scalars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 5
"""Scores in a row; more go into another table below."""

_LOSSES = {"loss/generator": "generator's loss", "loss/critic": "critic's loss"}
_MOST_SCORES = 6
_CSS_LINES = {"-": "solid", "--": "dashed", "-.": "double", ":": "dotted"}

Panels = Mapping[str, Mapping[str, Mapping[str, Scalars | ScoreCurve]]]
"""Curves of "scores" and of "losses", by the name of the score or loss and by that of the run."""


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
        near: Whether it differs from the best by no more than their 95% intervals allow.
    """

    text: str
    marks: str = ""
    best: bool = False
    near: bool = False

    def __str__(self) -> str:
        return f"{self.text}{' ' + self.marks if self.marks else ''}{'*' if self.best else ' '}"


def compare_runs(
    runs: Iterable[str | os.PathLike],
    published: str | os.PathLike | None = None,
    out: str | os.PathLike | None = None,
    *,
    by: int | str | None = None,
    metrics: Sequence[str] | None = None,
    say: Say = log,
) -> Comparison:
    """Compares the scores and curves of runs.

    Args:
        runs: Run directories, or directories above them.
        published: A CSV of published scores; by default the repository's, where they exist.
        out: A folder for compare.html (scores, grids of pictures and curves in one page), compare.txt, scores.png and
            losses.png, or a .png for both plots; None for no files.
        by: Step of the scores; "best": the step of each run's best checkpoint; None: the newest step scored.
        metrics: Identifiers of `mmdgan.metrics.METRICS`; all by default.
        say: Receives a sentence for each damaged run below a directory, which is passed over.

    Raises:
        ConfigError: There is no run or step of that name, or a file cannot be written.
        MetricError: There is no such metric.
    """
    facts = [RunFacts.of(folder) for folder in run_folders([str(run) for run in runs], say)]
    chosen = [choose(run.folder, by, metrics) for run in facts]
    published_texts = list(dict.fromkeys(_published_texts(facts, chosen, published)))
    text = "\n\n".join(filter(None, [_scores_text(facts, chosen), _differences_text(facts), *published_texts]))

    def page(panels: Panels) -> str:
        return render(_page(facts, chosen, panels, published_texts))

    with write_errors(f"out: {out}"):
        return Comparison(text, () if out is None else _write(Path(out), text, page, facts, metrics))


def mark_cells(
    chosen: Sequence[Sequence[Record]], diverged: Sequence[bool] = ()
) -> tuple[list[str], list[dict[str, ScoreCell]], list[str]]:
    """The scores of several runs as cells of a table.

    The protocol of a column is the one that most of its scores have; of equally frequent ones the first run's.

    Args:
        chosen: Records of each run, of one step (`mmdgan.report.scores.choose`).
        diverged: Which runs have diverged: their scores cannot be the best. None by default.

    Returns:
        Names of the columns; cells of each run, and last those of real images (the scores of real images in the run
        whose protocol the column has); footnotes beginning with their letters.
    """
    rows = [{record["metric"]: record for record in records} for records in chosen]
    names = list(dict.fromkeys(name for row in rows for name in row if not is_of_real(name)))
    notes: dict[str, str] = {}
    cells: list[dict[str, ScoreCell]] = [{} for _ in rows]
    real: dict[str, ScoreCell] = {}
    running = [not out for out in diverged] or [True] * len(rows)
    for name in names:
        scored = [(row[name], runs) for row, runs in zip(rows, running, strict=True) if name in row]
        reference = _reference([record for record, runs in scored if runs] or [record for record, _ in scored])
        differing = [differences(row[name], reference) if name in row else [] for row in rows]
        races = [name in row and not found and runs for row, found, runs in zip(rows, differing, running, strict=True)]
        top = _best(name, [row[name] for row, race in zip(rows, races, strict=True) if race])
        owner = next(row for row in rows if row.get(name) is reference)
        if (record := of_real(name, owner)) is not None:
            real[name] = ScoreCell(format_value(record))
        for line, row, found, race in zip(cells, rows, differing, races, strict=True):
            if name in row:
                marks = "".join(notes.setdefault(text, _letter(len(notes))) for text in found)
                best = race and top is not None and row[name]["value"] == top["value"]
                near = race and top is not None and not best and exceeds(row[name], top) is False
                line[name] = ScoreCell(format_value(row[name]), marks, best, near)
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
) -> dict[str, dict[str, ScoreCurve]]:
    """The values and intervals over steps of each score that has a better and a worse, for each run that has any.

    Of several values at a step the newest counts. Values of another protocol than the first one's are curves of
    their own, whose names say what differs.

    Args:
        names: Names of the runs.
        folders: The runs.
        metrics: Identifiers of metrics; all by default.
    """
    found: dict[str, dict[str, dict[int, Record]]] = {}
    references: dict[str, Record] = {}
    for name, folder in zip(names, folders, strict=True):
        for record in folder.records():
            wanted = not metrics or identifier(record) in metrics
            if wanted and record["value"] is not None and direction(record["metric"]) != 0:
                reference = references.setdefault(record["metric"], record)
                differing = "; ".join(differences(record, reference))
                curve = f"{name} ({differing})" if differing else name
                found.setdefault(record["metric"], {}).setdefault(curve, {})[record["step"]] = record
    longest = sorted(found, key=lambda metric: -max(map(len, found[metric].values())))[:_MOST_SCORES]
    return {
        metric: {name: _score_curve(points) for name, points in curves.items()}
        for metric, curves in found.items()
        if metric in longest
    }


def loss_curves(names: Sequence[str], facts: Sequence[RunFacts]) -> dict[str, dict[str, Scalars]]:
    """The losses of both players, for each run that has logged them; of different losses in panels of their own."""
    found: dict[str, dict[str, Scalars]] = {}
    several = len({run.experiment["loss"] for run in facts}) > 1
    logged = [run.folder.curves() for run in facts]
    for tag, title in _LOSSES.items():
        for name, run, curves in zip(names, facts, logged, strict=True):
            if tag in curves:
                loss = f", {run.experiment['loss']}" if several else ""
                found.setdefault(f"{title}{loss}", {})[name] = curves[tag]
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
    protocols = Counter(map(protocol_of, records))
    return max(records, key=lambda record: protocols[protocol_of(record)])


def _best(name: str, records: Sequence[Record]) -> Record | None:
    """The best of several records; None if no value is better than another."""
    sign, valued = direction(name), [record for record in records if record["value"] is not None]
    several = len({record["value"] for record in valued}) > 1
    return max(valued, key=lambda record: sign * record["value"]) if sign and several else None


def _letter(index: int) -> str:
    letters = string.ascii_lowercase
    return letters[index] if index < len(letters) else f"({index + 1})"


def _scores_text(facts: list[RunFacts], chosen: list[list[Record]]) -> str:
    labels = _labels(facts)
    names, cells, notes = mark_cells(chosen, [run.diverged is not None for run in facts])
    if not names:
        there = [record for run in facts for record in run.folder.records()]
        after = ", ".join(f"{step:,}" for step in sorted({record["step"] for record in there}))
        known = f" ({', '.join(dict.fromkeys(map(identifier, there)))} after step {after})" if there else ""
        return "\n".join([*labels, f"No scores of this choice in any run{known}; `evaluate RUN` makes them."])
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
    lines += [f"[{i + 1}] {_left_out(run)}" for i, run in enumerate(facts) if run.diverged is not None]
    running = [records if run.diverged is None else [] for run, records in zip(facts, chosen, strict=True)]
    return "\n".join([*lines, *notes, *_counts(chosen), *_verdicts(running)])


def _verdicts(chosen: list[list[Record]]) -> list[str]:
    """For each score that has a best run: which runs differ from it by more than the intervals allow, and which do not.

    Only scores of the best one's protocol are compared with it.
    """
    lines = []
    for name in dict.fromkeys(record["metric"] for records in chosen for record in records):
        rows = {i: r for i, records in enumerate(chosen, 1) for r in records if r["metric"] == name}
        reference = _reference(list(rows.values()))
        alike = {i: r for i, r in rows.items() if not differences(r, reference) and r["value"] is not None}
        best = _best(name, list(alike.values()))
        if best is None or is_of_real(name):
            continue
        winner = next(i for i, row in alike.items() if row is best)
        differing = {True: "worse by more than the 95% intervals allow", False: "no clear difference"}
        parts = [f"{name}: best [{winner}]"]
        for verdict, words in differing.items():
            members = [
                f"[{i}] by {abs(row['value'] - best['value']):.3g}"
                for i, row in alike.items()
                if row["value"] != best["value"] and exceeds(row, best) is verdict
            ]
            parts += [f"{words}: {', '.join(members)}"] * bool(members)
        if len(parts) > 1:
            lines.append("; ".join(parts) + ".")
    if lines:
        lines.append("Intervals are over images. Runs of other seeds may differ by more: train several.")
    return lines


def _left_out(run: RunFacts) -> str:
    return f"diverged at step {run.diverged:,}: its scores are out of the running"


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
    reasons = []
    for (data, loss), members in groups.items():
        found = dict.fromkeys(row for i in members for row in published.find(data, loss, csv, wanted=facts[i].wanted()))
        if reason := published.explain(data, loss, found, csv):
            reasons.append(reason)
            continue
        lines = [f"Published for {loss} on {data}:", published_table(list(found))]
        for index in members:
            record = next((r for r in chosen[index] if r.get("features") and direction(r["metric"])), None)
            differing = protocol.in_short(protocol.against_published(facts[index], record))
            says = f"differs from that protocol: {differing}" if differing else "has the same protocol"
            lines.append(f"[{index + 1}] {says}.")
        yield "\n".join(lines)
    if reasons:
        yield "\n".join(dict.fromkeys(reasons))


def _page(facts: list[RunFacts], chosen: list[list[Record]], panels: Panels, published_texts: list[str]) -> Page:
    """The comparison as a page: pictures, scores and curves of all runs next to each other."""
    labels = _labels(facts)
    drawings = []
    titled = {f"{name} {arrow(name)}".strip(): curves for name, curves in panels["scores"].items()}
    titled |= {name.capitalize(): curves for name, curves in panels["losses"].items()}
    for title, curves in titled.items():
        styles = [next(i for i, label in enumerate(labels) if name.startswith(label)) for name in curves]
        svg = to_svg(plot_curves(curves, title, styles))
        drawings.append(Picture(svg, "svg", f"{title} over steps: {', '.join(curves)}"))
    legend = ((label, plots.line_style(i)) for i, label in enumerate(labels))
    lines = tuple((label, style["color"], _CSS_LINES[style["linestyle"]]) for label, style in legend)
    fields = differing_fields(facts)
    header = ("field", *(f"[{index + 1}]" for index in range(len(facts))))
    rows = tuple((name, *map(_field_value, values)) for name, values in fields.items())
    config: Block = Table(header, rows, numbers=False) if rows else Text("The configurations are the same.")
    sections = (
        Section("pictures", "Images of the fixed codes", tuple(_grids(labels, facts))),
        Section("scores", "Scores", tuple(_score_blocks(labels, facts, chosen))),
        Section("curves", "Curves", (Legend(lines), SideBySide(tuple(drawings)))),
        Section("settings", "Differences of the configurations", (config,)),
        Section("published", "Published scores", tuple(map(Code, published_texts))),
    )
    made = f"Made by mmdgan {VERSION} on {time.strftime('%Y-%m-%d %H:%M')}. This file needs no network."
    return Page(f"{len(facts)} runs compared", "; ".join(labels) + ".", sections, made)


def _grids(labels: list[str], facts: list[RunFacts]) -> Iterator[Block]:
    """The newest grid of each run; those of other codes than the first run's say so."""
    pictures: list[Block] = []
    codes = [(run.experiment["seed"], run.experiment["grid"][1], run.architecture["code"]) for run in facts]
    for label, run, own in zip(labels, facts, codes, strict=True):
        try:
            steps, frames = evolution_frames(run.folder, strip=False)
        except DataError as error:
            pictures.append(missing(f"{label}: {error}"))
            continue
        words = [
            f"{label}, step {steps[-1]:,}",
            *([f"diverged at step {run.diverged:,}"] if run.diverged is not None else []),
        ]
        words += ["other codes than the first run's"] if own != codes[0] else []
        alt = f"Images of the fixed codes of {label} after step {steps[-1]:,}"
        pictures.append(Picture(png_bytes(frames[-1]), "png", alt, "; ".join(words)))
    yield SideBySide(tuple(pictures), small=True)


def _score_blocks(labels: list[str], facts: list[RunFacts], chosen: list[list[Record]]) -> Iterator[Block]:
    """One table of the scores of all runs, and what its marks mean."""
    names, cells, notes = mark_cells(chosen, [run.diverged is not None for run in facts])
    if not names:
        yield missing("scores: no run has any of this choice; `evaluate RUN` makes them.")
        return
    steps = [f"{records[0]['step']:,}" if records else "-" for records in chosen]
    heads: list[tuple[Cell, str]] = [
        (Cell(label, *(("", "") if run.diverged is None else ("warning", _left_out(run)))), step)
        for label, run, step in zip(labels, facts, steps, strict=True)
    ]
    heads += [(Cell("real images"), "")] if cells[-1] else []
    rows: tuple[tuple[str | Cell, ...], ...] = tuple(
        (*head, *(_html_cell(row.get(name, ScoreCell("-"))) for name in names))
        for head, row in zip(heads, cells, strict=False)
    )
    yield Table(("run", "step", *(f"{name}\N{NO-BREAK SPACE}{arrow(name)}".strip() for name in names)), rows)
    said = {registry_words(name): name for name in reversed(names) if registry_words(name)}
    meanings = "; ".join(f"{name}: {words}" for words, name in reversed(said.items()))
    yield Text(f"{meanings}. ↓: lower is better; ↑: higher is better.")
    yield Text(
        "★: the best of its column, among scores of one protocol and runs that have not diverged. ≈: differs "
        "from the best by no more than their 95% intervals allow, so that chance may explain it; without an interval "
        "nothing is known of chance. One run of each setting says nothing about other seeds."
    )
    yield from map(Text, [*notes, *_counts(chosen)])


def _html_cell(cell: ScoreCell) -> Cell:
    value, bracket, interval = cell.text.partition(" [")
    text = f"{'≈ ' if cell.near else ''}{value}{' ' + cell.marks if cell.marks else ''}"
    return Cell(text, "best" if cell.best else "differs" if cell.marks else "", (bracket + interval).strip())


def _write(
    out: Path, text: str, page: Callable[[Panels], str], facts: list[RunFacts], metrics: Sequence[str] | None
) -> tuple[Path, ...]:
    """Writes the plots, and page and text too if `out` is a folder; a plot that would be empty is left out."""
    if out.suffix.lower() != ".png" and is_named_as_file(out):
        raise ConfigError(f"out: {out} would be a folder; name a .png, or a folder without an ending.")
    names = _labels(facts)
    panels: Panels = {
        "scores": score_curves(names, [run.folder for run in facts], metrics),
        "losses": loss_curves(names, facts),
    }
    drawn = {name: [_plot(curves, title) for title, curves in group.items()] for name, group in panels.items()}
    if out.suffix.lower() == ".png":
        figures = [figure for group in drawn.values() for figure in group]
        return (save_png(out, _stack(figures)),) if figures else ()
    files = [save_png(out / f"{name}.png", _stack(group)) for name, group in drawn.items() if group]
    write_text(out / "compare.txt", text + "\n")
    write_text(out / "compare.html", page(panels))
    return out / "compare.html", out / "compare.txt", *files


def _score_curve(records: Mapping[int, Record]) -> ScoreCurve:
    rows = [(step, r["value"], *(r.get("interval") or (math.nan, math.nan))) for step, r in sorted(records.items())]
    steps, *numbers = np.array(rows, np.float64).T
    return ScoreCurve(steps.astype(np.int64), *numbers)


def _plot(curves: Mapping[str, Scalars | ScoreCurve], title: str) -> Figure:
    # A single curve has no legend, which would say whose it is.
    return plot_curves(curves, f"{title}, {next(iter(curves))}" if len(curves) == 1 else title)


def _stack(figures: Sequence[Figure]) -> np.ndarray:
    """Figures as one picture, uint8 (H, W, 3): up to three below each other, more in two columns."""
    from PIL import Image

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
