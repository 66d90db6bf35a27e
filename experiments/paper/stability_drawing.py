"""Figure S1 drawn and written: the gradient flow of the two-parameter GAN, its equilibria and where it ends.

Source: Wang et al. 2019, appendix, Figure S1 and Proposition 1. The mathematics is in `paper.stability`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from paper.output import FigureOptions, Output, new_figure
from paper.stability import (
    DATA,
    LOSSES,
    OUTSIDE,
    PAPER,
    PROPER_END,
    RULES,
    SIGMA,
    TRIVIAL_END,
    Equilibrium,
    Field,
    TwoParameterGan,
    destinations,
    find_equilibria,
    start_grid,
    velocity_field,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EQUILIBRIUM_COLUMNS = (
    "loss data rule nodes w1 w2 eigenvalue_1 eigenvalue_2 residual paper_w1 paper_w2 difference_w1 difference_w2"
).split()
LINE_COLUMNS = "loss w1 w2 across along".split()
FIELD_COLUMNS = "loss data w1 w2 velocity_w1 velocity_w2 end".split()

_ENDS = {TRIVIAL_END: "trivial", PROPER_END: "equilibrium", OUTSIDE: "outside"}
_BEYOND = 1.5  # the flow is followed to so many times the w2 that is shown
_EDGE = 0.01  # where the grid begins: on the axes themselves a velocity is zero
_SHADES = {TRIVIAL_END: "#F4B183", OUTSIDE: "#D9D9D9"}


@dataclasses.dataclass(frozen=True)
class StabilityOptions(FigureOptions):
    """The flags of figure S1's script."""

    seed: int = option(0, "unused: nothing here is random")
    sigma: float = option(SIGMA, "width of the kernel exp(-D / (2 sigma^2))")
    most_w1: float = option(3.0, "the plane is shown to this w1")
    most_w2: float = option(2.0, "and to this w2")
    grid: int = option(61, "points along each axis of the velocity field")
    starts: int = option(7, "the root finder begins at so many times so many points")
    nodes: int = option(100, "of each quadrature")
    rule: str = option("legendre", "quadrature of the normal that the pictures use; the table has both", choices=RULES)


class Setting(NamedTuple):
    """One of the four panels.

    Attributes:
        gan: loss and data.
        field: the velocities.
        ends: (M, N), `stability.destinations` of the field's points.
        equilibria: those that were found.
    """

    gan: TwoParameterGan
    field: Field
    ends: np.ndarray
    equilibria: list[Equilibrium]


def make(options: StabilityOptions) -> Output:
    """Finds the equilibria, prints and writes them, and draws the flow.

    Raises:
      ConfigError: numbers that make no picture.
    """
    _check(options)
    if options.quick:
        options = dataclasses.replace(options, grid=15, starts=3)
    settings = [_solve(loss, data, options) for data in DATA for loss in LOSSES]
    output = Output(options.out, "figureS1")
    output.figure(draw(settings, options.most_w1, options.most_w2))
    normal = [row for setting in settings if setting.gan.data == "normal" for row in _equilibrium_rows(setting)]
    output.table(normal, EQUILIBRIUM_COLUMNS, "_equilibria")
    lines = line_rows(options.sigma, options.nodes)
    output.table(lines, LINE_COLUMNS, "_line")
    output.table(_field_rows(settings), FIELD_COLUMNS, "_field")
    _report(settings, normal, lines, options.most_w1, options.most_w2)
    return output


def line_rows(sigma: float, nodes: int, values: Sequence[float] = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0)) -> list[list[Any]]:
    """The Jacobian's eigenvalues on w1 = 1, where P_G = P_X = U(-1, 1) for every w2 (Proposition 1).

    Returns:
        Rows of `LINE_COLUMNS`: the eigenvalue across the line, and the one along it, which is zero.
    """
    rows = []
    for loss in LOSSES:
        gan = TwoParameterGan(loss, "uniform", sigma, nodes)
        for w2 in values:
            across, along = np.sort(np.linalg.eigvals(gan.jacobian((1.0, w2))).real)
            rows.append([loss, 1.0, w2, across, along])
    return rows


def draw(settings: Iterable[Setting], most_w1: float, most_w2: float) -> Figure:
    """Four panels: a row per P_X, a column per loss."""
    figure = new_figure(10, 8.6)
    panels = figure.subplots(len(DATA), len(LOSSES), sharex=True, sharey=True)
    for axes, setting in zip(panels.flat, settings, strict=True):
        _draw_flow(axes, setting)
        axes.set(xlim=(0, most_w1), ylim=(0, most_w2))
        axes.set_title(f"{LOSSES[setting.gan.loss]}, real data from {DATA[setting.gan.data]}", fontsize=12)
    for axes in panels[-1]:
        axes.set_xlabel("w₁ (generator)")
    for axes in panels[:, 0]:
        axes.set_ylabel("w₂ (critic)")
    figure.legend(handles=_handles(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _solve(loss: str, data: str, options: StabilityOptions) -> Setting:
    gan = TwoParameterGan(loss, data, options.sigma, options.nodes, options.rule)
    guesses = start_grid((0.2, options.most_w1), (0.1, options.most_w2), options.starts)
    tolerance = 1e-6 if options.rule == "legendre" else None
    equilibria = find_equilibria(gan, guesses, (options.most_w1, options.most_w2), tolerance)
    grid = np.linspace(_EDGE, options.most_w1, options.grid)
    field = velocity_field(gan, grid, np.linspace(_EDGE, _BEYOND * options.most_w2, round(_BEYOND * options.grid)))
    # With uniform data the equilibria are a line, of which the root finder returns points.
    line = 1.0 if data == "uniform" else None
    ends = destinations(field, [] if line else [(point.w1, point.w2) for point in equilibria], line)
    shown = field.w2 <= options.most_w2 * 1.05
    field = Field(field.w1, field.w2[shown], field.velocity[:, shown])
    return Setting(gan, field, ends[:, shown], equilibria)


def _draw_flow(axes: Axes, setting: Setting) -> None:
    w1, w2, velocity = setting.field
    for end, colour in _SHADES.items():
        inside = (setting.ends == end).T.astype(float)
        if inside.any():
            axes.contourf(w1, w2, inside, levels=[0.5, 1.5], colors=[colour], alpha=0.75)
    # Streamlines need equal spaces exactly, which the axes' ends are not.
    x, y = (np.linspace(axis[0], axis[-1], len(axis)) for axis in (w1, w2))
    speed = np.linalg.norm(velocity, axis=-1)
    colours: dict[str, Any] = {"color": np.log10(speed.T + 1e-6), "cmap": "Blues", "norm": _norm()}
    along, across = np.moveaxis(velocity.swapaxes(0, 1), -1, 0)
    axes.streamplot(x, y, along, across, density=1.25, linewidth=1.0, **colours)
    if setting.gan.data == "uniform":
        axes.axvline(1.0, color="black", linewidth=2.2)
        return
    for point in setting.equilibria:
        axes.plot(point.w1, point.w2, "*", color="black", markersize=15, markeredgecolor="white", zorder=5)
        place: dict[str, Any] = {"textcoords": "offset points", "xytext": (12, 8), "fontsize": 11, "zorder": 6}
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        axes.annotate(f"({point.w1:.3f}, {point.w2:.3f})", (point.w1, point.w2), **place, bbox=box)
    if setting.gan.sigma == SIGMA:
        axes.plot(*PAPER[setting.gan.loss, "normal"], "x", color="#D7191C", markersize=9, markeredgewidth=2.2, zorder=5)


def _norm() -> Any:
    """Slow flow pale, but still to be seen."""
    from matplotlib.colors import Normalize

    return Normalize(-5.0, 0.0)


def _handles() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    mark: dict[str, Any] = {"linestyle": "", "color": "black"}
    return [
        Line2D([], [], marker="*", markersize=13, label="stable equilibrium", **mark),
        Line2D([], [], marker="x", markeredgewidth=2.2, label="as the paper reads it", **mark | {"color": "#D7191C"}),
        Line2D([], [], color="black", linewidth=2.2, label="w₁ = 1: all points are equilibria"),
        Line2D([], [], color="#2171B5", label="flow; darker is faster"),
        Patch(color=_SHADES[TRIVIAL_END], alpha=0.75, label="ends in the trivial w₂ = 0"),
        Patch(color=_SHADES[OUTSIDE], alpha=0.75, label=f"leaves the plane (w₂ > {_BEYOND:g} times the height)"),
    ]


def _equilibrium_rows(setting: Setting) -> list[list[Any]]:
    """The equilibria by both quadrature rules beside the paper's."""
    gan, rows = setting.gan, []
    paper = PAPER[gan.loss, gan.data] if gan.sigma == SIGMA else (None, None)
    other = RULES[1 - RULES.index(gan.rule)]
    second = TwoParameterGan(gan.loss, gan.data, gan.sigma, gan.nodes, other)
    starts = [(point.w1, point.w2) for point in setting.equilibria]
    found = [(gan.rule, point) for point in setting.equilibria]
    found += [(other, point) for point in find_equilibria(second, starts, tolerance=None)]
    for rule, point in found:
        w = (point.w1, point.w2)
        real = [complex(value) if abs(value.imag) > 1e-12 else float(value.real) for value in point.eigenvalues]
        differences = [None if theirs is None else ours - theirs for ours, theirs in zip(w, paper, strict=True)]
        rows.append([gan.loss, gan.data, rule, gan.nodes, *w, *real, point.residual, *paper, *differences])
    return rows


def _field_rows(settings: Iterable[Setting]) -> list[list[Any]]:
    rows = []
    for gan, (w1, w2, velocity), ends, _ in settings:
        for i, j in np.ndindex(ends.shape):
            end = _ENDS.get(int(ends[i, j]), "undecided")
            rows.append([gan.loss, gan.data, float(w1[i]), float(w2[j]), *velocity[i, j].tolist(), end])
    return rows


def _report(settings: Any, normal: Any, lines: Any, most_w1: float, most_w2: float) -> None:
    print("Equilibria with P_X = N(0, 1); eigenvalues of the velocity's Jacobian; residual: of twice as many nodes")
    for loss, _, rule, nodes, w1, w2, one, two, residual, *paper in normal:
        theirs = "no number of the paper at this sigma"
        if paper[0] is not None:
            theirs = f"paper ({paper[0]}, {paper[1]}), differences {paper[2]:+.3f}, {paper[3]:+.3f}"
        print(
            f"  {LOSSES[loss]}, {rule}, {nodes} nodes: ({w1:.4f}, {w2:.4f}), eigenvalues {one:.4f}, {two:.4f}, "
            f"residual {residual:.0e}; {theirs}"
        )
    if not normal:
        print("  none was found within the plane")
    print("P_X = U(-1, 1): the line w1 = 1")
    for setting in settings:
        if setting.gan.data == "uniform":
            away = max((abs(point.w1 - 1.0) for point in setting.equilibria), default=float("nan"))
            count = len(setting.equilibria)
            print(f"  {LOSSES[setting.gan.loss]}: {count} roots found, all within {away:.0e} of the line")
    for loss, _, w2, across, along in lines:
        print(f"  {LOSSES[loss]}, w2 = {w2}: eigenvalues {across:.4f} across the line, {along:.1g} along it")
    print(f"Share of the plane (w1 to {most_w1:g}, w2 to {most_w2:g}) by where the flow ends")
    for setting in settings:
        shares = ", ".join(f"{name} {np.mean(setting.ends == end):.1%}" for end, name in _ENDS.items())
        print(f"  {LOSSES[setting.gan.loss]}, {DATA[setting.gan.data]}: {shares}")


def _check(options: StabilityOptions) -> None:
    for name, least in (("grid", 5), ("starts", 1), ("nodes", 10)):
        if getattr(options, name) < least:
            raise ConfigError(f"--{name} is {getattr(options, name)}; give a whole number of at least {least}.")
    for name in ("sigma", "most_w1", "most_w2"):
        if not 0 < getattr(options, name) < np.inf:
            raise ConfigError(f"--{name} is {getattr(options, name)}; give a positive number.")
    if options.most_w1 <= 0.3 or options.most_w2 <= 0.3:
        raise ConfigError("the plane is too small to show anything: give --most_w1 and --most_w2 above 0.3.")
