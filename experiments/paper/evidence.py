"""Do the losses keep the paper's order at its full length? Scores over 100,000 steps, of runs or what is kept of them.

What is kept of a run is small enough for a repository: its config.json, its metrics.jsonl, critic.jsonl (what was
measured of its critic, a line a step), and its curves as a CSV. `compare` and this figure read that in place of the
run.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmdgan.core.errors import ConfigError
from mmdgan.core.files import read_text, write_bytes, write_json, write_text
from mmdgan.core.options import option
from mmdgan.core.startup import prepare_tensorflow
from mmdgan.metrics.registry import identifier_of
from mmdgan.report.evolution import evolution_frames
from mmdgan.report.facts import RunFacts
from mmdgan.report.plots import log_where_it_helps
from mmdgan.runs import published
from paper.figure4_scores import effective_dimension
from paper.output import FigureOptions, Output, markdown, new_figure, tidy
from paper.trained import given, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 8
_CRITIC = "critic.jsonl"
_CRITIC_IMAGES = 2000
_MOST_KEPT = 2000
"""Below so many values of a curve all are kept; else every second, third and so on, which are fewer than that."""


@dataclasses.dataclass(frozen=True)
class EvidenceOptions(FigureOptions):
    """The flags of the evidence's script."""

    runs: tuple[str, ...] = option((), "run directories, or folders of what is kept of them", "the runs")
    keep: str | None = option(None, "also keep each run's configuration, scores and curves in this folder", "the runs")
    page: str | None = option(None, "also write the tables into this page, in place of those there", "the runs")
    critics: int | None = option(
        None, "first measure the critics at this step, from checkpoints and images", "the runs"
    )


class Row(NamedTuple):
    """One score of one step of one run; `low` and `high` bound it with 95% where the record has an interval.

    `weights` are "ema" or "last" of a run that averages them, else "".
    """

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

    @property
    def line(self) -> tuple[str, str, int, str]:
        """What the scores of one curve have in common."""
        return self.run, self.method, self.seed, ", last weights" if self.weights == "last" else ""


def make(options: EvidenceOptions) -> Output:
    """Writes the curves of the scores, all scores as a CSV, and tables for a page; ConfigError without scored runs."""
    if not options.runs:
        raise ConfigError("there are no runs; name those of `mmdgan sweep experiments/sweeps/evidence.py`.")
    runs = given(options.runs)
    names = [run.name for run in runs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two runs are named {twice[0]}, by which they are told apart here; rename a folder.")
    if options.critics is not None:
        prepare_tensorflow()
        for run in runs:
            measure_critic(run, options.critics)
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
    tables = {"scores": table(rows)} | ({"critics": found} if (found := critics_table(runs, rows)) else {})
    text = "\n\n".join(tables.values())
    output.text(text + "\n", ".md")
    print(text)
    if options.page is not None:
        page = Path(options.page)
        write_text(page, with_tables(read_text(page), tables))
    return output


def with_tables(page: str, tables: dict[str, str]) -> str:
    """A page whose lines between the marks `<!-- NAME -->` and `<!-- end of NAME -->` are the table of that name."""
    for name, text in tables.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        if not mark or not end:
            raise ConfigError(
                f"page has no lines <!-- {name} --> and <!-- end of {name} -->; a table goes between them."
            )
        page = f"{before}{mark}{text}\n\n{end}{after}"
    return page


def keep(run: RunFacts, folder: Path) -> None:
    """Copies config.json and the measurements of a run, and writes its curves as curves.csv: tag, step, value.

    Of long curves every n-th value is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / run.folder.config_file.name, run.folder.public_config())
    for file in (run.folder.metrics_file, run.folder.path / _CRITIC):
        if file.is_file():
            write_bytes(folder / file.name, file.read_bytes())
    curves = run.folder.curves()
    if not curves:  # it is what an earlier call kept
        return
    with open(folder / "curves.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("tag", "step", "value"))
        for tag, curve in curves.items():
            points = list(zip(*curve[:2], strict=True))[:: len(curve[0]) // _MOST_KEPT + 1]
            writer.writerows((tag, int(step), f"{value:.6g}") for step, value in points)


def scores_of(run: RunFacts) -> list[Row]:
    """The newest value of every score of the same weights at every step, of generated images against real ones."""
    found: dict[tuple[str, int, str], Row] = {}
    for record in run.folder.records():
        if record["value"] is None or " real" in record["metric"]:
            continue
        low, high = record.get("interval") or (None, None)
        weights = record.get("weights") or ""
        found[weights, record["step"], record["metric"]] = Row(
            title_of(run),
            run.name,
            run.experiment["seed"],
            record["step"],
            record["metric"],
            record["value"],
            low,
            high,
            record["count"],
            weights,
        )
    return [found[key] for key in sorted(found)]


def measure_critic(run: RunFacts, step: int) -> None:
    """Measures a run's critic at a step, a line of RUN/critic.jsonl in place of an earlier one of that step.

    `directions` are the effective dimensions of its scores of real and of generated images (1 for scores on a line),
    `norms` the spectral norms of its normalised layers: as training saw them, and exact.

    Raises:
        CheckpointError: The run has no checkpoint of this step.
        DataError: Its images are not at hand.
    """
    from mmdgan.report.critic_view import view_critic
    from mmdgan.report.spectra import spectral_history

    view = view_critic(run.folder, step, _CRITIC_IMAGES)
    norms = [norm for norm in spectral_history(run.folder, [step]) if norm.layer.startswith("dis/")]
    found = {
        "step": step,
        "images": _CRITIC_IMAGES,
        "outputs": view.score_data.shape[1],
        "directions": [effective_dimension(scores) for scores in (view.score_data, view.score_gen)],
        "norms": {norm.layer: [norm.sigma, norm.exact] for norm in norms},
    }
    lines = sorted([*(line for line in critics_of(run) if line["step"] != step), found], key=lambda line: line["step"])
    write_text(run.folder.path / _CRITIC, "".join(json.dumps(line) + "\n" for line in lines))


def critics_of(run: RunFacts) -> list[dict[str, Any]]:
    """What `measure_critic` found of a run, by step."""
    file = run.folder.path / _CRITIC
    return [json.loads(line) for line in read_text(file).splitlines()] if file.is_file() else []


def critics_table(runs: Sequence[RunFacts], rows: Sequence[Row]) -> str:
    """Each critic at its last step measured, and the near copies among the samples there, as Markdown; "" for none."""
    lines = [
        ["method", "seed", "step", "directions of the scores, real and generated", "PICO over exact, by layer"]
        + ["near copies by pixels", "by features"]
    ]
    for run in runs:
        for found in critics_of(run)[-1:]:
            own = [row for row in rows if row.run == run.name]
            lines.append([title_of(run), str(run.experiment["seed"]), *_critic_cells(found, own)])
    return markdown(lines) if len(lines) > 1 else ""


def distance_name(rows: Sequence[Row]) -> str:
    """The name of the Fréchet distance among the scores."""
    names = {row.metric for row in rows if identifier_of(row.metric) == "fid"}
    if len(names) != 1:
        raise ConfigError(f"the runs have {len(names)} kinds of Fréchet distances; evaluate them with one --features.")
    return names.pop()


def draw(rows: Sequence[Row]) -> Figure:
    """Each score over the steps: a panel each, a line for each run, dotted for weights that are not averaged."""
    import numpy as np

    main = distance_name(rows)
    variants = (" splits)", " all pairs", " infinity")
    plain = [row.metric for row in rows if not row.metric.endswith(variants) and not row.metric.startswith("classes")]
    names = list(dict.fromkeys([main, *plain]))[:_SHOWN]
    across = min(4, len(names))
    down = -(-len(names) // across)
    figure = new_figure(3.2 * across, 2.6 * down)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    lines = list(dict.fromkeys(row.line for row in rows))
    runs = list(dict.fromkeys(run for run, *_ in lines))
    for name, ax in zip(names, axes, strict=False):
        for line in lines:
            run, method, seed, which = line
            points = [row for row in rows if row.line == line and row.metric == name]
            numbers = [(row.step, row.value, row.low, row.high) for row in points]
            steps, values, low, high = np.array(numbers, float).reshape(-1, 4).T  # an end that is None becomes NaN
            style = {"color": f"C{runs.index(run)}", "linestyle": ":" if which else "-"}
            ax.plot(steps, values, marker="o", markersize=3, label=f"{method}, seed {seed}{which}", **style)
            ax.fill_between(steps, low, high, color=style["color"], alpha=0.2, linewidth=0)
        ax.set_title(name, fontsize=10)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.yaxis.set_major_formatter("{x:g}")
        if name == main:
            log_where_it_helps(ax, np.array([row.value for row in rows if row.metric == name]), factor=1)
        tidy(ax)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    for ax in axes[len(names) :]:
        ax.axis("off")
    for ax in axes[-across:]:
        ax.set_xlabel("step", fontsize=9)
    return figure


def draw_grids(runs: Sequence[RunFacts]) -> Figure:
    """Samples of each run's fixed codes, a row each: the corner of its grids of the first and the last four steps."""
    corners = [dict(zip(*evolution_frames(run.folder, 5, 5, strip=False), strict=True)) for run in runs]
    first, *later = sorted(set().union(*corners))
    steps = [first, *later[-4:]]
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
    found = {(row.line, row.step): row for row in of_distance}
    lines = [["method", "seed", *(f"{step:,}" for step in steps), "paper's FID at 100,000"]]
    for line in dict.fromkeys(row.line for row in of_distance):
        _, method, seed, which = line
        cells = [_cell(found.get((line, step))) for step in steps]
        lines.append([method + which, str(seed), *cells, paper_fid(method)])
    return f"{name} after so many steps:\n\n{markdown(lines)}"


def paper_fid(method: str) -> str:
    """FID in the paper's Table 1 on CIFAR-10: the 2015 Inception graph, full width, the best of 16 pairs of rates."""
    wanted = ("Table 1", "cifar10", method, "FID")
    found = [row for row in published.read_all() if (row.table, row.data, row.method, row.metric) == wanted]
    return found[0].text if found else "-"


def _cell(row: Row | None) -> str:
    if row is None:
        return "-"
    bounds = "" if row.low is None or row.high is None else f" [{row.low:.3g}, {row.high:.3g}]"
    return f"{row.value:.3g}{bounds}"


def _critic_cells(found: dict[str, Any], scores: Sequence[Row]) -> list[str]:
    directions = " and ".join(f"{value:.1f}" for value in found["directions"]) + f" of {found['outputs']}"
    ratios = [sigma / exact for sigma, exact in found["norms"].values() if exact]
    of_layers = f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else "-"
    copies = [row for row in scores if row.step == found["step"] and row.metric.startswith("near copies")]
    # Averaged weights, which come first, take the place of last ones.
    by_pixels = {row.metric == "near copies[pixels]": _cell(row) for row in reversed(copies)}
    return [f"{found['step']:,}", directions, of_layers, by_pixels.get(True, "-"), by_pixels.get(False, "-")]
