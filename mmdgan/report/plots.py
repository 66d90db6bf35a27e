"""The pictures of a run as matplotlib figures and as files: narrow, with large letters, for phones as for pages.

Made without pyplot, so that nothing global changes. Colours are those of Okabe & Ito 2008, which readers with any
colour vision can tell apart, and two more; markers and dashes repeat what the colours say.
"""

from __future__ import annotations

import functools
import io
import math
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmdgan.core.errors import MmdGanError, write_errors
from mmdgan.core.files import write_bytes
from mmdgan.metrics.registry import arrow
from mmdgan.report.critic_view import EXTREMES, CriticView, embed_scores, extremes, view_critic
from mmdgan.report.evolution import evolution_frames
from mmdgan.report.facts import spread_out
from mmdgan.report.spectra import LayerNorm, spectral_history
from mmdgan.runs.folder import RunFolder
from mmdgan.training.event_files import Scalars, read_scalars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D00", "#882255", "#777777")
"""Blue, vermilion, green, purple, orange, sky blue, black, brown (for yellow, which white swallows), wine, grey."""

_MARKERS = "osD^vP*X<>"
_DASHES = ("-", "--", "-.", ":")
_REAL, _GENERATED, _FAINT = COLOURS[0], COLOURS[1], "#C8C8C8"
_WIDTH = 5.2  # inches
_BINS = 200  # points per curve
_RASTER_FROM = 400  # points from which a scatter plot is a bitmap
_MOST_CLASSES = 10
_LETTERS = 52  # letters of a legend that is as wide as a figure
_CHECKPOINTS = 6  # checkpoints in spectra.png


class ScoreCurve(NamedTuple):
    """A score over steps, with its 95% intervals: (n,) each; ends are NaN where there is no interval."""

    steps: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


def plot_curves(
    curves: Mapping[str, Scalars | ScoreCurve], title: str = "", styles: Sequence[int] | None = None
) -> Figure:
    """Plots scalars over steps in one panel; long curves as the mean of each of 200 bins, with a band of the range.

    Scores have their intervals as a band, or as a bar of a single step. The vertical axis is logarithmic where all
    values are positive and span more than a factor of 20.

    Args:
        curves: Scalars by name; values that are not finite leave gaps.
        title: Title of the figure.
        styles: Number of each curve's `line_style`, for figures that share a legend elsewhere; by default the curves'
            own numbers, with a legend.
    """
    columns = 1 if max(map(len, curves), default=0) > 22 else 2
    labels, title = [textwrap.fill(name, _LETTERS) for name in curves], textwrap.fill(title, _LETTERS - 6)
    lines = sum(label.count("\n") + 1 for label in labels) if styles is None else 0
    figure, [axes] = _figure([2.8 + _legend_height(lines, columns) + 0.2 * title.count("\n")], title)
    values = [curve.values[np.isfinite(curve.values)] for curve in curves.values()]
    joined = np.concatenate([*values, np.empty(0)])
    log_where_it_helps(axes, joined)
    for index, label, curve in zip(styles or range(len(curves)), labels, curves.values(), strict=True):
        steps, low, mean, high = _thinned(curve.steps, curve.values)
        style = line_style(index)
        axes.plot(steps, mean, label=label, **style, marker="o" if len(steps) == 1 else None, markersize=4)
        if len(steps) < len(curve.steps):
            axes.fill_between(steps, low, high, color=style["color"], alpha=0.18, linewidth=0)
        elif isinstance(curve, ScoreCurve):
            _between(axes, curve, style["color"])
    _step_axis(axes)
    if styles is None:
        _legend(axes, columns)
    return figure


def plot_scores(records: Sequence[Mapping[str, Any]], names: Iterable[str] | None = None) -> Figure:
    """Plots each score over steps in its own panel, its interval as a band (its spread, where there is no interval).

    Args:
        records: Lines of metrics.jsonl (`RunFolder.records`), oldest first. Of several values of a score at one step
            from as many images, the newest is drawn; scores of different numbers of images, and those of last weights
            next to averaged ones, are different lines.
        names: Names of scores ("metric"), in this order; all by default. Scores without a value are left out.
    """
    points: dict[str, dict[str, dict[int, tuple[float, float, float]]]] = {}
    for record in records:
        if _is_number(record.get("value")):
            given: Any = record.get("spread")
            value, spread = float(record["value"]), float(given) if _is_number(given) else math.nan
            low, high = record.get("interval") or (value - spread, value + spread)
            lines = points.setdefault(record["metric"], {})
            label = f"{count:,} images" if (count := record.get("count")) else "unknown count"
            label += ", last weights" if record.get("weights") == "last" else ""
            lines.setdefault(label, {})[record["step"]] = value, low, high
    names = [name for name in (points if names is None else names) if name in points]
    figure, panels = _figure([1.75] * max(len(names), 1), sharex=True)
    if not names:
        _empty(panels[0], "no scores yet")
        return figure
    for axes, name in zip(panels, names, strict=True):
        for index, (label, line) in enumerate(points[name].items()):
            steps = sorted(line)
            curve = ScoreCurve(np.array(steps), *np.array([line[step] for step in steps]).T)
            style = {**line_style(index), "marker": _MARKERS[index % len(_MARKERS)], "markersize": 4}
            axes.plot(curve.steps, curve.values, label=label, **style)
            _between(axes, curve, style["color"])
        values = np.array([value for line in points[name].values() for value, *_ in line.values()])
        log_where_it_helps(axes, values)
        _title(axes, f"{name} {arrow(name)}".strip())
        axes.margins(y=0.15)
        if len(points[name]) > 1:
            axes.legend(fontsize=10, frameon=False)
    _step_axis(panels[-1])
    return figure


def plot_tsne(view: CriticView, points: np.ndarray) -> Figure:
    """Plots embedded critic scores: real and generated ones; and, where labels are known, the real ones by class.

    Args:
        view: Argument of `embed_scores`.
        points: Its result, (2N, 2).
    """
    real, generated = points[: len(view.score_data)], points[len(view.score_data) :]
    figure, panels = _figure([4.4] if view.labels_data is None else [4.4, 4.4])
    raster = len(points) >= _RASTER_FROM
    _scatter(panels[0], generated, _GENERATED, "x", "generated", raster)
    _scatter(panels[0], real, _REAL, "o", "real", raster)
    _title(panels[0], f"critic scores at step {view.step:,} (t-SNE)")
    if view.labels_data is not None:
        _scatter(panels[1], generated, _FAINT, ".", "generated", raster)
        classes, counts = np.unique(view.labels_data, return_counts=True)
        shown = np.sort(classes[np.argsort(-counts, kind="stable")[:_MOST_CLASSES]])
        rest = real[~np.isin(view.labels_data, shown)]
        if len(rest):
            _scatter(panels[1], rest, "#909090", ".", f"{len(classes) - len(shown):,} other classes", raster)
        for index, label in enumerate(shown):
            colour, marker = COLOURS[index % len(COLOURS)], _MARKERS[index % len(_MARKERS)]
            _scatter(panels[1], real[view.labels_data == label], colour, marker, view.class_name(label), raster)
        _title(panels[1], "the real ones by class")
    for axes in panels:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_aspect("equal", adjustable="datalim")
        _legend(axes, columns=4)
    return figure


def plot_spectra(history: Sequence[LayerNorm]) -> Figure:
    """Plots the ratio of the norm in training to the exact norm, and both norms, over steps (`spectral_history`)."""
    layers = list(dict.fromkeys(row.layer for row in history))
    columns = 3 if max(map(len, layers), default=0) < 26 else 2
    figure, (ratios, norms) = _figure([2.8, 2.6 + _legend_height(len(layers), columns)])
    if not history:
        for axes in (ratios, norms):
            _empty(axes, "no spectrally normalised layers")
        return figure
    for index, layer in enumerate(layers):
        rows = [row for row in history if row.layer == layer]
        steps, style = [row.step for row in rows], line_style(index)
        marks: dict[str, Any] = {"marker": _MARKERS[index % len(_MARKERS)], "markersize": 4.5}
        ratios.plot(steps, [row.ratio for row in rows], **style, **marks)
        norms.plot(steps, [row.exact for row in rows], label=layer.removesuffix("/kernel"), **style, **marks)
        norms.plot(steps, [row.sigma for row in rows], color=style["color"], linestyle="none", marker="_", markersize=9)
    ratios.axhline(1, color="#606060", linewidth=0.9)
    _title(ratios, "norm in training / exact norm")
    _title(norms, "exact norm (short dashes: in training)")
    log_where_it_helps(norms, np.array([row.exact for row in history]), factor=10)
    _step_axis(ratios)
    _step_axis(norms)
    _legend(norms, columns)
    return figure


def plot_witness(view: CriticView) -> Figure:
    """Plots histograms of the witness of real and of generated images."""
    figure, [axes] = _figure([3.2])
    sets = {"real": (view.witness_data, _REAL), "generated": (view.witness_gen, _GENERATED)}
    finite = {name: values[np.isfinite(values)] for name, (values, _) in sets.items()}
    joined = np.concatenate(list(finite.values()))
    if not joined.size:
        _empty(axes, "no finite scores")
        return figure
    edges: Any = np.histogram_bin_edges(joined, bins=min(40, max(8, joined.size // 12)))
    for name, hatch in (("real", None), ("generated", "////")):
        colour = sets[name][1]
        options: dict[str, Any] = {"facecolor": f"{colour}55", "edgecolor": colour, "hatch": hatch, "linewidth": 1.2}
        axes.hist(finite[name], edges, histtype="stepfilled", label=name, **options)
        axes.axvline(np.median(finite[name]), color=colour, linestyle="--", linewidth=1.4)
    _title(axes, f"{view.witness_name}, step {view.step:,}")
    axes.set_xlabel("witness; more like real images →")
    axes.set_ylabel("images")
    _legend(axes, columns=2)
    return figure


def plot_extremes(view: CriticView, count: int = 8) -> Figure:
    """Shows the images that the critic takes for the most and for the least real, in four rows."""
    from mmdgan.pictures.grid import image_grid

    found = extremes(view, count)
    height, width = view.images_data.shape[1:3]
    row = (_WIDTH - 0.2) * height / (width * min(count, len(view.images_data))) + 0.34
    figure, panels = _figure([row] * len(found))
    for axes, (name, images) in zip(panels, found.items(), strict=True):
        grid = image_grid(images, columns=len(images))
        axes.imshow(
            grid.squeeze(-1) if grid.shape[-1] == 1 else grid, cmap="gray", vmin=0, vmax=255, interpolation="none"
        )
        _title(axes, EXTREMES[name])
        axes.axis("off")
    return figure


def to_svg(figure: Figure) -> bytes:
    """Returns SVG without a ground, the same bytes for the same figure; letters are shapes: no font is needed."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    _settle(figure)
    with rc_context({"svg.hashsalt": "mmdgan", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, dpi=110, transparent=True)
    # Hundredths of a point instead of millionths: half of the size.
    return re.sub(rb'(?<= )d="[^"]*"', lambda path: re.sub(rb"(\.\d\d)\d+", rb"\1", path[0]), buffer.getvalue())


def to_png(figure: Figure, dpi: int = 160) -> bytes:
    """Returns the figure as PNG."""
    buffer = io.BytesIO()
    _settle(figure)
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def write_all(
    folder: RunFolder,
    out: str | os.PathLike | None = None,
    *,
    step: int | str | None = None,
    count: int = 256,
    seed: int = 0,
) -> tuple[list[Path], dict[str, str]]:
    """Writes curves.png, scores.png, tsne.png, spectra.png, witness.png, extremes.png and evolution.gif.

    Exact spectral norms are those of at most 6 checkpoints, from the first to the last.

    Args:
        folder: The run.
        out: Folder to write to; RUN/pictures by default.
        step: Step of the checkpoint whose critic is shown; the newest by default.
        count: Number of real and of generated images.
        seed: Seed of images and embedding.

    Returns:
        The files written, and by file name why the others could not be made.

    Raises:
        ConfigError: The folder cannot be written.
    """
    from mmdgan.pictures.files import gif_bytes

    view = functools.cache(functools.partial(view_critic, folder, step, count, seed))

    def losses() -> Figure:
        curves = read_scalars(folder.path)
        return plot_curves({tag: c for tag, c in curves.items() if tag.startswith("loss/")}, "losses")

    def spectra() -> Figure:
        # Exact norms of wide layers take their time.
        return plot_spectra(spectral_history(folder, spread_out(folder.steps(), _CHECKPOINTS)))

    makers: dict[str, Callable[[], bytes]] = {
        "curves.png": lambda: to_png(losses()),
        "scores.png": lambda: to_png(plot_scores(folder.records())),
        "tsne.png": lambda: to_png(plot_tsne(view(), embed_scores(view(), seed))),
        "spectra.png": lambda: to_png(spectra()),
        "witness.png": lambda: to_png(plot_witness(view())),
        "extremes.png": lambda: to_png(plot_extremes(view())),
        "evolution.gif": lambda: gif_bytes(evolution_frames(folder)[1], 0.5),
    }
    out = folder.path / "pictures" if out is None else Path(out)
    written, missing = [], {}
    for name, make in makers.items():
        try:
            content = make()
        except MmdGanError as error:
            missing[name] = str(error)
            continue
        with write_errors(out / name):
            write_bytes(out / name, content)
        written.append(out / name)
    return written, missing


def _figure(heights: Sequence[float], title: str = "", sharex: bool = False) -> tuple[Figure, list[Axes]]:
    """A white figure of panels below each other, with their heights in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, sum(heights)), facecolor="white", layout="constrained")
    layout: Any = figure.get_layout_engine()
    layout.set(w_pad=0.08, h_pad=0.08)
    FigureCanvasAgg(figure)
    panels = len(heights)
    # Panels that share an axis lie in one frame, others in frames of their own, each with its own legend.
    frames = [figure] if sharex else figure.subfigures(panels, 1, squeeze=False, height_ratios=heights)[:, 0]
    found = [
        axes
        for frame in frames
        for axes in frame.subplots(panels if sharex else 1, 1, squeeze=False, sharex=sharex)[:, 0]
    ]
    for axes in found:
        axes.locator_params(nbins=5)
        axes.tick_params(labelsize=11)
        axes.xaxis.label.set_fontsize(11)
        axes.yaxis.label.set_fontsize(11)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#D4D4D4", linewidth=0.7)
        axes.set_axisbelow(True)
    if title:
        _title(found[0], title)
    return figure, found


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=12)


def _settle(figure: Figure) -> None:
    """Lays the panels out once: a second time would move them by fractions of a pixel."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _step_axis(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step / 1000:g}k" if step >= 1000 else f"{step:g}"))
    axes.set_xlabel("step")


def log_where_it_helps(axes: Axes, values: np.ndarray, factor: float = 20) -> None:
    """Makes the axis logarithmic for positive values that span a factor; with numbers instead of powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    if values.size and values.min() > 0 and values.max() > factor * values.min():
        axes.set_yscale("log")
        subs = (1, 2, 5) if values.max() < 100 * values.min() else (1,)
        axes.yaxis.set_major_locator(LogLocator(subs=subs))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _legend_height(count: int, columns: int) -> float:
    """Height of a legend of so many entries, in inches."""
    return 0.22 * math.ceil(count / columns) if count > 1 else 0.0


def _legend(axes: Axes, columns: int) -> None:
    """Puts a legend under the panel, unless there is only one entry."""
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        options = {"fontsize": 10.5, "frameon": False, "columnspacing": 1.2, "handlelength": 1.6}
        axes.figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)), **options)


def line_style(index: int) -> dict[str, Any]:
    """Colour and dashes of the curve of a number; 40 differ."""
    dash = _DASHES[index // len(COLOURS) % len(_DASHES)]
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": dash, "linewidth": 1.6}


def _between(axes: Axes, curve: ScoreCurve, colour: str) -> None:
    """The intervals of a score as a band, or as a bar of a single step."""
    steps, value, low, high = curve
    if len(steps) > 1:
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    elif np.isfinite(low).all():
        # An interval cut at a bound may leave the value out by rounding.
        axes.errorbar(steps, value, np.maximum([value - low, high - value], 0.0), color=colour, capsize=4)


def _thinned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, ...]:
    """At most 200 points of a curve: (step, least, mean, greatest value) of each bin; NaN for a bin without numbers."""
    values = np.where(np.isfinite(values), values, np.nan)
    if len(steps) <= _BINS:
        return steps, values, values, values
    parts = [
        (s, v[~np.isnan(v)]) for s, v in zip(np.array_split(steps, _BINS), np.array_split(values, _BINS), strict=True)
    ]
    rows = [(s.mean(), v.min(), v.mean(), v.max()) if len(v) else (s.mean(), *[np.nan] * 3) for s, v in parts]
    return tuple(np.array(rows).T)


def _scatter(axes: Axes, points: np.ndarray, colour: str, marker: str, label: str, raster: bool) -> None:
    edges = {"linewidths": 1.0} if marker == "x" else {"linewidths": 0.25, "edgecolors": "white"}
    size = 22 if len(points) < 400 else 14
    axes.scatter(points[:, 0], points[:, 1], s=size, c=colour, marker=marker, label=label, rasterized=raster, **edges)


def _empty(axes: Axes, text: str) -> None:
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=12, transform=axes.transAxes)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
