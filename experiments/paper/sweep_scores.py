"""Scores of a sweep over λ, a curve per pair of learning rates, with the authors' grid (the paper's Figure 3).

The paper shows that the weight λ of the repulsive losses matters, and how many pairs of learning rates train at all: a
run that diverged, or whose FID is beyond 30, is drawn at infinity. The authors' published grid holds λ = 1 alone, over
K, the product of the critic's multipliers, and PIM.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.losses import canonical_name
from mmdgan.metrics.registry import direction
from mmdgan.runs import published
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps.folder import DIVERGED, FINISHED
from mmdgan.sweeps.spec import find_folder
from mmdgan.sweeps.table import score_names
from paper.output import FigureOptions, Output, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATES = (1e-4, 2e-4, 5e-4, 1e-3)
VARIANTS = ("K=16", "K=32", "K=64", "K=128", "K=256", "PIM")
PAPER_LIMIT = 30.0
"""The FID beyond which the paper draws a run at infinity."""

_COLOURS = ("#1f77b4", "#2ca02c", "#ff7f0e", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_TITLES = {"rep": "repulsive loss", "rmb": "bounded repulsive loss"}


@dataclasses.dataclass(frozen=True)
class SweepFigureOptions(FigureOptions):
    """The flags of the figure's script."""

    results: str = option("Results", "where a sweep's name is looked for: RESULTS/sweeps/<name>")
    metric: str = option("fid", "the score to draw: a metric such as fid, or a score's name")
    limit: float | None = option(
        None, f"draw worse scores at infinity; none: {PAPER_LIMIT:g} for FID, as the paper, no limit for other scores"
    )
    published: str | None = option(None, "a CSV of published scores; none: Results/published")


@dataclasses.dataclass(frozen=True)
class Dot:
    """One score to draw.

    Attributes:
        source: "ours", "authors" or "made up".
        loss: Canonical name: "rep" or "rmb".
        place: Where on the horizontal axis: λ, or "K=64", "PIM".
        lr_dis: Learning rate of the critic.
        lr_gen: Learning rate of the generator.
        value: The score; None for a run that diverged.
        score: Its name.
        run: Which run, or which table.
    """

    source: str
    loss: str
    place: float | str
    lr_dis: float
    lr_gen: float
    value: float | None
    score: str
    run: str


def make_figure(options: SweepFigureOptions, sweeps: Sequence[str] = ()) -> Output:
    """Draws sweeps with the authors' grid: the picture (PNG, PDF) and its numbers (CSV).

    Args:
        options: The flags.
        sweeps: Folders, names or files of sweeps; runs that are not done yet are left out.

    Raises:
        ConfigError: No sweep, or one that has no result over λ yet.
    """
    output = Output(options.out, "figure3_sweep")
    ours = sweep_dots(sweeps, options) if sweeps else _made_up(options)
    losses = list(dict.fromkeys(dot.loss for dot in ours))
    theirs = published_dots(losses, options.published)
    output.table([dataclasses.asdict(dot) for dot in [*ours, *theirs]], [f.name for f in dataclasses.fields(Dot)])
    score = ours[0].score
    limit = options.limit or (PAPER_LIMIT if score == "FID" else None)
    figure = new_figure(3.4 * max(2, len(losses) + len({dot.loss for dot in theirs})) + 1.6, 3.9)
    groups = [(loss, dots) for dots in (ours, theirs) for loss in losses if any(dot.loss == loss for dot in dots)]
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    rates = sorted({(dot.lr_dis, dot.lr_gen) for dot in [*ours, *theirs]})
    for axes, (loss, dots) in zip(panels, groups, strict=True):
        members = [dot for dot in dots if dot.loss == loss]
        source = members[0].source
        beyond = limit if source != "authors" or score == "FID" else PAPER_LIMIT
        _draw(axes, members, beyond, rates, _span(dots, beyond))
        axes.set_title(f"{_TITLES[loss]}\n{_caption(members, beyond)}", fontsize=9)
        axes.set_ylabel(members[0].score, fontsize=9)
        axes.set_xlabel("λ" if source != "authors" else "product K of the multipliers, λ = 1", fontsize=9)
    _legend(figure, rates)
    output.figure(figure)
    return output


def sweep_dots(sweeps: Sequence[str], options: SweepFigureOptions) -> list[Dot]:
    """The results of sweeps, as far as they are there: arguments as of `make_figure`."""
    states = [one for word in sweeps for one in find_folder(word, options.results).states()]
    names = score_names((outcome for _, outcome in states), options.metric)
    if len(names) > 1:
        raise ConfigError(f"metric: the runs have {', '.join(names)}; give one of them.")
    score = names[0] if names else options.metric
    dots = []
    for point, outcome in states:
        e, value = point.experiment, outcome.value(score)
        diverged = outcome.status == DIVERGED
        if canonical_name(e.loss) not in _TITLES:  # others have no λ
            continue
        if diverged or (outcome.status == FINISHED and value is not None):
            place = (canonical_name(e.loss), _lambda(e), e.lr_dis, e.lr_gen)
            dots.append(Dot("ours", *place, None if diverged else value, score, point.run))
    if not dots or (not names and any(outcome.status == FINISHED for _, outcome in states)):
        raise ConfigError(
            f"{', '.join(sweeps)}: no run has the score {options.metric} yet; `sweep status` counts them."
        )
    return dots


def published_dots(losses: Iterable[str], csv: str | None = None) -> list[Dot]:
    """The authors' FID on CIFAR-10 over 16 pairs of learning rates, K and PIM; [] where the files are not at hand."""
    wanted = set(losses)
    found = {}
    for row in published.read_all(csv):
        fits = row.data == "cifar10" and row.loss in wanted and row.metric == "FID" and "pico vs pim" in row.table
        if fits and row.variant in VARIANTS and row.status in ("", "diverged"):
            rates: Any = row.lr_dis, row.lr_gen  # numbers in all of these tables
            key = row.loss, row.variant, *rates
            found[key] = Dot("authors", row.loss, row.variant, rates[0], rates[1], row.value, "FID", row.table)
    return list(found.values())


def _lambda(e: Experiment) -> float:
    """λ = -w1 of a repulsive loss."""
    if e.rep_lambda is not None:
        return e.rep_lambda
    return 1.0 if e.rep_weights is None else -e.rep_weights[1]


def _made_up(options: SweepFigureOptions) -> list[Dot]:
    """Numbers of no run, for --quick: least at λ = 1, and worse with the rates apart."""
    if not options.quick:
        raise ConfigError(
            "no sweep is given; give its folder or name, such as Results/sweeps/figure3_small, or --quick for made-up "
            "numbers."
        )
    dots = []
    for loss in ("rep", "rmb"):
        for place in (-1.0, 0.0, 1.0, 2.0):
            for dis in RATES:
                for gen in RATES:
                    value: float | None = 18 + 4 * abs(place - 1) + 3 * abs(math.log(dis / gen))
                    if loss == "rep" and place < 0 and gen > dis:
                        value = None
                    dots.append(Dot("made up", loss, place, dis, gen, value, "FID", "--quick"))
    return dots


def _caption(dots: Sequence[Dot], limit: float | None) -> str:
    lost = sum(dot.value is None for dot in dots)
    beyond = sum(dot.value is not None and _is_lost(dot, limit) for dot in dots)
    who = {"ours": "this sweep", "authors": "the authors, λ = 1", "made up": "made-up numbers"}[dots[0].source]
    worse = f", {beyond} worse than {limit:g}" if beyond else ""
    return f"{who}: {lost} of {len(dots)} diverged{worse}"


def _span(dots: Sequence[Dot], limit: float | None) -> tuple[float, float]:
    """The best and the worst score that is drawn, of all panels of one source."""
    shown = [dot.value for dot in dots if dot.value is not None and not _is_lost(dot, limit)]
    ends = sorted([*shown, *([] if limit is None else [limit])]) or [0.0, 1.0]
    return (ends[0], ends[-1]) if direction(dots[0].score) < 0 else (ends[-1], ends[0])


def _draw(
    axes: Axes,
    dots: Sequence[Dot],
    limit: float | None,
    rates: Sequence[tuple[float, float]],
    span: tuple[float, float],
) -> None:
    """Draws the curves of one panel, with infinity at its worse edge (the lower one where higher is better)."""
    places: list[Any] = sorted({dot.place for dot in dots}, key=_order)
    best, worst = span
    room = (worst - best) or -float(direction(dots[0].score))  # below 0 where higher is better
    infinity = worst + 0.09 * room
    for number, (dis, gen) in enumerate(rates):
        colour, marker = _look(rates, dis, gen)
        # Shifted a little, so that runs at infinity can be told apart.
        shift = 0.5 * ((number + 0.5) / len(rates) - 0.5)
        mine = [dot for dot in dots if (dot.lr_dis, dot.lr_gen) == (dis, gen)]
        heights = sorted(
            (places.index(dot.place) + shift, infinity if dot.value is None or _is_lost(dot, limit) else dot.value)
            for dot in mine
        )
        axes.plot([x for x, _ in heights], [height for _, height in heights], color=colour, lw=0.6, alpha=0.55)
        for x, height in heights:
            face = "white" if height == infinity else colour
            axes.plot([x], [height], marker=marker, color=colour, mfc=face, ms=4, ls="", mew=0.9, clip_on=False)
    axes.axhline(worst + 0.04 * room, color="0.6", lw=0.7, ls=":")
    axes.set_xticks(range(len(places)), [_tick(place) for place in places], fontsize=8)
    axes.set_xlim(-0.5, len(places) - 0.5)
    ticks = [tick for tick in axes.get_yticks() if -0.1 <= (tick - best) / room <= (worst - best) / room]
    axes.set_yticks([*ticks, infinity], [*(f"{tick:g}" for tick in ticks), "∞" if room > 0 else "-∞"], fontsize=8)
    axes.set_ylim(*sorted((best - 0.06 * room, worst + 0.15 * room)))


def _is_lost(dot: Dot, limit: float | None) -> bool:
    """Whether a run diverged, or its score is worse than the limit."""
    worse = dot.value is not None and limit is not None and direction(dot.score) * (dot.value - limit) < 0
    return dot.value is None or worse


def _order(place: float | str) -> tuple[float, str]:
    if isinstance(place, str):
        return (float(VARIANTS.index(place)), "") if place in VARIANTS else (math.inf, place)
    return place, ""


def _tick(place: float | str) -> str:
    return place.removeprefix("K=") if isinstance(place, str) else f"{place:g}"


def _look(rates: Sequence[tuple[float, float]], dis: float, gen: float) -> tuple[str, str]:
    """The colour of the critic's rate, the marker of the generator's."""
    all_dis, all_gen = (sorted({rate[side] for rate in rates}) for side in (0, 1))
    return _COLOURS[all_dis.index(dis) % len(_COLOURS)], _MARKERS[all_gen.index(gen) % len(_MARKERS)]


def _legend(figure: Any, rates: Sequence[tuple[float, float]]) -> None:
    """Colours and markers, to the right of all panels."""
    from matplotlib.lines import Line2D

    (first_dis, first_gen), handles = rates[0], []
    handles.append(Line2D([], [], ls="", label="critic's rate"))
    for dis in sorted({pair[0] for pair in rates}):
        colour = _look(rates, dis, first_gen)[0]
        handles.append(Line2D([], [], ls="", marker="_", color=colour, label=f"{dis:g}", mew=2, ms=9))
    handles.append(Line2D([], [], ls="", label="generator's rate"))
    for gen in sorted({pair[1] for pair in rates}):
        marker = _look(rates, first_dis, gen)[1]
        handles.append(Line2D([], [], ls="", marker=marker, color="0.3", label=f"{gen:g}", ms=5))
    handles.append(Line2D([], [], ls="", marker="o", mfc="white", color="0.3", label="at infinity", ms=5))
    figure.legend(handles=handles, loc="outside right center", fontsize=8, frameon=False)
