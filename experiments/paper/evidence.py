"""Do the losses keep the paper's order at its full length? Scores over 100,000 steps, of runs or what is kept of them.

What is kept of a run is small enough for a repository: its config.json, its metrics.jsonl, and its curves as a CSV.
`compare` and this figure read that in place of the run.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmdgan.core.errors import ConfigError
from mmdgan.core.files import read_text, write_bytes, write_text
from mmdgan.core.options import option
from mmdgan.report.evolution import evolution_frames
from mmdgan.report.facts import RunFacts, run_folders
from mmdgan.report.plots import log_where_it_helps
from mmdgan.runs import published
from paper.output import FigureOptions, Output, markdown, new_figure, tidy
from paper.trained import title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class EvidenceOptions(FigureOptions):
    """The flags of the evidence's script."""

    runs: tuple[str, ...] = option((), "run directories, or folders of what is kept of them", "the runs")
    keep: str | None = option(None, "also keep each run's configuration, scores and curves in this folder", "the runs")
    page: str | None = option(None, "also write the table into this page, in place of the one there", "the runs")


class Row(NamedTuple):
    """One score of one step of one run; `low` and `high` bound it with 95% where the record has an interval."""

    method: str
    run: str
    seed: int
    step: int
    metric: str
    value: float
    low: float | None
    high: float | None
    images: int
    weights: str


def make(options: EvidenceOptions) -> Output:
    """Writes the curves of the scores, all scores as a CSV, and a table for a page; ConfigError without scored runs."""
    if not options.runs:
        raise ConfigError("there are no runs; name those of `mmdgan sweep experiments/sweeps/evidence.py`.")
    runs = [RunFacts.of(folder) for folder in run_folders(list(options.runs))]
    if options.keep is not None:
        for run in runs:
            keep(run, Path(options.keep) / run.name)
    rows = [row for run in runs for row in scores_of(run)]
    if not rows:
        raise ConfigError("none of the runs has scores; `python -m mmdgan evaluate RUN --steps all` makes them.")
    output = Output(options.out, "evidence")
    output.figure(draw(rows))
    if with_grids := [run for run in runs if any(run.folder.grid_file(0).parent.glob("[0-9]*.png"))]:
        output.figure(draw_grids(with_grids), "_grids", dpi=75)
    output.table(rows, Row._fields)
    text = table(rows)
    output.text(text + "\n", ".md")
    print(text)
    if options.page is not None:
        page = Path(options.page)
        write_text(page, with_table(read_text(page), text))
    return output


def with_table(page: str, table: str) -> str:
    """A page whose lines between the marks `<!-- scores -->` and `<!-- end of scores -->` are a table."""
    before, mark, rest = page.partition("<!-- scores -->\n")
    _, end, after = rest.partition("<!-- end of scores -->")
    if not mark or not end:
        raise ConfigError("page has no lines <!-- scores --> and <!-- end of scores -->, between which the table goes.")
    return f"{before}{mark}{table}\n\n{end}{after}"


def keep(run: RunFacts, folder: Path) -> None:
    """Copies config.json and metrics.jsonl of a run, and writes its curves as curves.csv: tag, step, value."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / run.folder.config_file.name, json.dumps(run.folder.public_config(), indent=1) + "\n")
    if run.folder.metrics_file.is_file():
        write_bytes(folder / run.folder.metrics_file.name, run.folder.metrics_file.read_bytes())
    curves = run.folder.curves()
    if not curves:  # it is what an earlier call kept
        return
    with open(folder / "curves.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("tag", "step", "value"))
        for tag, curve in curves.items():
            writer.writerows((tag, int(step), f"{value:.6g}") for step, value in zip(*curve[:2], strict=True))


def scores_of(run: RunFacts) -> list[Row]:
    """The newest value of every score at every step of a run, of generated images against real ones."""
    found: dict[tuple[int, str], Row] = {}
    for record in run.folder.records():
        if record["value"] is None or " real" in record["metric"]:
            continue
        low, high = record.get("interval") or (None, None)
        found[record["step"], record["metric"]] = Row(
            title_of(run),
            run.name,
            run.experiment["seed"],
            record["step"],
            record["metric"],
            record["value"],
            low,
            high,
            record["count"],
            record.get("weights") or "",
        )
    return [found[key] for key in sorted(found)]


def distance_name(rows: Sequence[Row]) -> str:
    """The name of the Fréchet distance among the scores."""
    names = {row.metric for row in rows if row.metric == "FID" or row.metric.startswith("FD[")}
    if len(names) != 1:
        raise ConfigError(f"the runs have {len(names)} kinds of Fréchet distances; evaluate them with one --features.")
    return names.pop()


def draw(rows: Sequence[Row]) -> Figure:
    """Each score over the steps: one panel a score, one line a run."""
    import numpy as np

    main = distance_name(rows)
    variants = (" splits)", " all pairs", " infinity")
    plain = [row.metric for row in rows if not row.metric.endswith(variants) and not row.metric.startswith("classes")]
    names = list(dict.fromkeys([main, *plain]))[:_SHOWN]
    across = min(4, len(names))
    down = -(-len(names) // across)
    figure = new_figure(3.2 * across, 2.6 * down)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    runs = list(dict.fromkeys((row.run, row.method, row.seed) for row in rows))
    for name, ax in zip(names, axes, strict=False):
        for number, (run, method, seed) in enumerate(runs):
            points = [row for row in rows if row.run == run and row.metric == name]
            numbers = [(row.step, row.value, row.low, row.high) for row in points]
            steps, values, low, high = np.array(numbers, float).reshape(-1, 4).T  # an end that is None becomes NaN
            ax.plot(steps, values, "o-", markersize=3, color=f"C{number}", label=f"{method}, seed {seed}")
            ax.fill_between(steps, low, high, color=f"C{number}", alpha=0.2, linewidth=0)
        ax.set_title(name, fontsize=10)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.yaxis.set_major_formatter("{x:g}")
        if name == main:
            log_where_it_helps(ax, np.array([row.value for row in rows if row.metric == name]), factor=1)
        tidy(ax)
    axes[0].legend(fontsize=8, frameon=False)
    for ax in axes[len(names) :]:
        ax.axis("off")
    figure.supxlabel("step", fontsize=9)
    return figure


def draw_grids(runs: Sequence[RunFacts]) -> Figure:
    """Samples of each run's fixed codes: one row a run, one column for each of five steps, the grids' first corner."""
    import numpy as np

    corners = [dict(zip(*evolution_frames(run.folder, 5, 5, strip=False), strict=True)) for run in runs]
    steps = sorted(set().union(*corners))
    steps = [steps[index] for index in np.linspace(0, len(steps) - 1, min(len(steps), 5)).round().astype(int)]
    figure = new_figure(2.2 * len(steps), 2.4 * len(runs))
    axes = figure.subplots(len(runs), len(steps), squeeze=False)
    for row, run, of_run in zip(axes, runs, corners, strict=True):
        for ax, step in zip(row, steps, strict=True):
            ax.axis("off")
            if step in of_run:
                ax.imshow(of_run[step], cmap="gray", vmin=0, vmax=255)
                ax.set_title(f"{title_of(run)}, {step:,}", fontsize=8)
    return figure


def table(rows: Sequence[Row]) -> str:
    """The Fréchet distance of each run at each step, beside the paper's FID, as Markdown."""
    name = distance_name(rows)
    of_distance = [row for row in rows if row.metric == name]
    steps = sorted({row.step for row in of_distance})
    found = {(row.run, row.step): row for row in of_distance}
    lines = [["method", "seed", *(f"{step:,}" for step in steps), "paper's FID at 100,000"]]
    for run, method, seed in dict.fromkeys((row.run, row.method, row.seed) for row in of_distance):
        cells = [_cell(found.get((run, step))) for step in steps]
        lines.append([method, str(seed), *cells, paper_fid(method)])
    return f"{name} after so many steps:\n\n{markdown(lines)}"


def paper_fid(method: str) -> str:
    """FID in the paper's Table 1 on CIFAR-10: the 2015 Inception graph, full width, the best of 16 pairs of rates."""
    scores = [score for file in published.files() for score in published.read(file) if score.table == "Table 1"]
    found = [score for score in scores if (score.data, score.method, score.metric) == ("cifar10", method, "FID")]
    return found[0].text if found else "-"


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    bounds = "" if row.low is None or row.high is None else f" [{row.low:.3g}, {row.high:.3g}]"
    return f"{row.value:.3g}{bounds}"
