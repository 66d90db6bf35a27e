"""Figure S1: the gradient flow of a GAN of two parameters, its equilibria and where it ends (Proposition 1).

Source: Wang, Sun, Halgamuge, "Improving MMD-GAN Training with Repulsive Loss Function", ICLR 2019, appendix.

    G(z) = w1 z,    D(x) = w2 x^2,    P_Z = U(-1, 1),    P_X = U(-1, 1) or N(0, 1)

with one Gaussian kernel ``exp(-D / (2 sigma^2))``, sigma = 0.5 (which is also ``exp(-D / sigma)``). Both players
descend their own loss at once: ``w1' = -dL_G/dw1``, ``w2' = -dL_D/dw2``. L_G is the squared MMD; L_D is minus it for
MMD-rbf (Eq. 2), and ``E k(D(x), D(x')) - E k(D(y), D(y'))`` for MMD-rep (Eq. 5).

Expectations are double sums over quadrature nodes of |x| and |z|: scores depend on squares only. The default rule for
the normal is Gauss-Legendre on [0, 9]. Gauss-Hermite converges too slowly for MMD-rbf, whose w2 hardly matters near the
equilibrium: its 100 nodes put it at (1.483, 0.808), and 300 still change the fifth digit of what is (1.4839, 0.7959).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import check_limits, option
from paper.output import FigureOptions, Output, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOSSES = {"rbf": "MMD-rbf", "rep": "MMD-rep"}
DATA = {"uniform": "U(−1, 1)", "normal": "N(0, 1)"}
RULES = ("legendre", "hermite")

PAPER = {("rbf", "normal"): (1.55, 0.74), ("rep", "normal"): (1.55, 0.32)}
"""Equilibria (w1, w2) that the paper reads off its plots."""

SIGMA = 0.5
TRIVIAL = 0.02
"""A w2, or w1, of less is counted as zero."""

_FURTHEST = 9.0  # standard deviations; beyond them lies 2e-19 of the normal
_RESIDUAL = 1e-9
_STEP, _STEPS = 0.01, 1000  # of the flow: lengths in the (w1, w2) plane

TRIVIAL_END, PROPER_END, OUTSIDE, UNDECIDED = range(4)

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
    sigma: float = option(SIGMA, "width of the kernel exp(-D / (2 sigma^2))", positive=True)
    most_w1: float = option(3.0, "largest w1 that is shown", positive=True)
    most_w2: float = option(2.0, "largest w2 that is shown", positive=True)
    grid: int = option(61, "points along each axis of the velocity field", least=5)
    starts: int = option(7, "the root finder begins at so many times so many points", least=1)
    nodes: int = option(100, "nodes of each quadrature", least=10)
    rule: str = option("legendre", "quadrature of the normal that the pictures use; the table has both", choices=RULES)


def make(options: StabilityOptions) -> Output:
    """Finds the equilibria, prints and writes them, and draws the flow."""
    check_limits(options)
    if options.most_w1 <= 0.3 or options.most_w2 <= 0.3:
        raise ConfigError("the plane is too small to show anything: give --most_w1 and --most_w2 above 0.3.")
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


class Rule(NamedTuple):
    """Nodes and weights of an expectation: ``E f(x^2) = sum_i weights_i f(nodes_i^2)``."""

    nodes: np.ndarray
    weights: np.ndarray


class Equilibrium(NamedTuple):
    """A point where both velocities vanish.

    Attributes:
        w1: The generator's parameter.
        w2: The critic's.
        eigenvalues: (2,) complex, of the velocity's Jacobian, the one of smallest real part first; both have negative
            real parts where the equilibrium is locally exponentially stable.
        residual: Largest velocity there by a rule of twice as many nodes: small where the quadrature has converged.
    """

    w1: float
    w2: float
    eigenvalues: np.ndarray
    residual: float


class TwoParameterGan:
    """Losses, velocity and Jacobian at (w1, w2); symmetric in the signs of both.

    Args:
        loss: "rbf" or "rep".
        data: P_X: "uniform" or "normal".
        sigma: Width of the kernel.
        nodes: Nodes of each quadrature.
        rule: Quadrature of the normal: "legendre" on [0, 9], or "hermite".
    """

    def __init__(self, loss: str, data: str, sigma: float = SIGMA, nodes: int = 100, rule: str = "legendre"):
        for name, value, valid in (("loss", loss, LOSSES), ("data", data, DATA), ("rule", rule, RULES)):
            if value not in valid:
                raise ConfigError(f"The {name} of the two-parameter GAN is {value!r}; give one of {', '.join(valid)}.")
        self.loss, self.data, self.sigma, self.nodes, self.rule = loss, data, sigma, nodes, rule
        self.codes = uniform_rule(nodes)
        self.real = uniform_rule(nodes) if data == "uniform" else normal_rule(nodes, rule)

    def losses(self, w1: float, w2: float) -> tuple[float, float]:
        """(L_G, L_D)."""
        real, generated = w2 * self.real.nodes**2, w2 * w1**2 * self.codes.nodes**2
        own_real = self._mean(real, self.real, real, self.real)
        own_generated = self._mean(generated, self.codes, generated, self.codes)
        mmd2 = own_real + own_generated - 2.0 * self._mean(real, self.real, generated, self.codes)
        return mmd2, (-mmd2 if self.loss == "rbf" else own_real - own_generated)

    def velocity(self, w: Sequence[float] | np.ndarray) -> np.ndarray:
        """(2,): minus each player's gradient of its own loss at w = (w1, w2), which may be complex."""
        w1, w2 = w
        square_x, square_z = self.real.nodes**2, self.codes.nodes**2
        # How real scores depend on w2, and generated ones on w1 and on w2.
        by_w1, by_w2 = 2.0 * w2 * w1 * square_z, w1**2 * square_z
        real, generated = w2 * square_x, w2 * by_w2
        own_real, _ = self._pulls(real, self.real, real, self.real)
        own_generated, _ = self._pulls(generated, self.codes, generated, self.codes)
        cross_real, cross_generated = self._pulls(real, self.real, generated, self.codes)
        first = -2.0 * (own_generated - cross_generated) @ by_w1
        if self.loss == "rep":
            return np.array([first, 2.0 * (own_generated @ by_w2 - own_real @ square_x)])
        pull_real, pull_generated = own_real - cross_real, own_generated - cross_generated
        return np.array([first, 2.0 * (pull_real @ square_x + pull_generated @ by_w2)])

    def jacobian(self, w: Sequence[float] | np.ndarray) -> np.ndarray:
        """(2, 2) derivatives of the velocity (rows) by w1 and w2, exact: by a complex step (Squire & Trapp 1998)."""
        step = 1e-20
        columns = [self.velocity(np.asarray(w) + 1j * step * direction).imag / step for direction in np.eye(2)]
        return np.stack(columns, axis=1)

    def equilibrium(self, w: Sequence[float] | np.ndarray) -> Equilibrium:
        """Describes a point where the velocity vanishes."""
        eigenvalues = np.linalg.eigvals(self.jacobian(w)).astype(complex)
        finer = TwoParameterGan(self.loss, self.data, self.sigma, 2 * self.nodes, self.rule)
        residual = float(np.abs(finer.velocity(w)).max())
        return Equilibrium(float(w[0]), float(w[1]), np.sort_complex(eigenvalues), residual)

    def _mean(self, a: np.ndarray, rule_a: Rule, b: np.ndarray, rule_b: Rule) -> Any:
        kernel = np.exp(-((a[:, None] - b) ** 2) / (2.0 * self.sigma**2))
        return rule_a.weights @ kernel @ rule_b.weights

    def _pulls(self, a: np.ndarray, rule_a: Rule, b: np.ndarray, rule_b: Rule) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the mean kernel by each score of a, and by each of b (of its own place in the mean only)."""
        difference = a[:, None] - b
        slope = difference * np.exp(difference**2 * (-0.5 / self.sigma**2)) / -(self.sigma**2)
        # Without BLAS, whose threads cost more than they give at this size.
        by_a = rule_a.weights * np.einsum("ij,j->i", slope, rule_b.weights)
        return by_a, -rule_b.weights * np.einsum("i,ij->j", rule_a.weights, slope)


def uniform_rule(count: int) -> Rule:
    """Gauss-Legendre for x from U(-1, 1), on [0, 1] by symmetry."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return Rule(0.5 * (nodes + 1.0), 0.5 * weights)


def normal_rule(count: int, kind: str = "legendre") -> Rule:
    """For x from N(0, 1): Gauss-Legendre with the density as weight on [0, 9], or Gauss-Hermite."""
    if kind == "hermite":
        from scipy.special import roots_hermitenorm  # NumPy's overflows from some 350 nodes on

        nodes, weights = roots_hermitenorm(count)
        return Rule(nodes, weights / weights.sum())
    nodes, weights = np.polynomial.legendre.leggauss(count)
    nodes = 0.5 * _FURTHEST * (nodes + 1.0)
    return Rule(nodes, _FURTHEST * weights * np.exp(-0.5 * nodes**2) / np.sqrt(2.0 * np.pi))


def find_equilibria(
    gan: TwoParameterGan, starts: Iterable, most: tuple[float, float] = (4.0, 4.0), tolerance: float | None = 1e-6
) -> list[Equilibrium]:
    """The different roots of the velocity that a root finder reaches (scipy.optimize.root, Powell's hybrid method).

    Trivial ones (w1 or w2 near 0) are left out.

    Args:
        gan: The GAN.
        starts: (N, 2)
        most: The largest w1 and w2 of interest.
        tolerance: Roots whose `Equilibrium.residual` is larger are products of the quadrature and left out; None keeps
            them.
    """
    from scipy.optimize import root

    found: list[Equilibrium] = []
    for guess in starts:
        w = np.abs(root(gan.velocity, guess, options={"maxfev": 60}).x)
        if np.any(w < TRIVIAL) or np.any(w > most):
            continue
        # Newton's last digits; by least squares, because the Jacobian is singular along a line of equilibria.
        for _ in range(3):
            w = w - np.linalg.lstsq(gan.jacobian(w), gan.velocity(w), rcond=1e-10)[0]
        # The solver may call a root that it cannot improve a failure: what counts is the velocity there.
        if np.any(w < TRIVIAL) or np.any(w > most) or np.abs(gan.velocity(w)).max() > _RESIDUAL:
            continue
        if any(np.hypot(w[0] - known.w1, w[1] - known.w2) < 1e-5 for known in found):
            continue
        equilibrium = gan.equilibrium(w)
        if tolerance is None or equilibrium.residual < tolerance:
            found.append(equilibrium)
    return sorted(found, key=lambda point: (round(point.w1, 6), point.w2))


def start_grid(first: tuple[float, float], second: tuple[float, float], count: int) -> np.ndarray:
    """(count^2, 2) starts on a grid, of w1 in one range and w2 in the other."""
    axes = np.linspace(*first, count), np.linspace(*second, count)
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)


class Field(NamedTuple):
    """The velocity (M, N, 2) on a grid of w1 (M,) and w2 (N,)."""

    w1: np.ndarray
    w2: np.ndarray
    velocity: np.ndarray


def velocity_field(gan: TwoParameterGan, w1: np.ndarray, w2: np.ndarray) -> Field:
    """The velocity at all pairs of w1 (M,) and w2 (N,)."""
    return Field(w1, w2, np.array([[gan.velocity((first, second)) for second in w2] for first in w1]))


def destinations(field: Field, equilibria: Iterable[tuple[float, float]], line: float | None = None) -> np.ndarray:
    """Where the flow ends that begins at each grid point, by Runge-Kutta steps through the interpolated field.

    The flow is followed by its arc length, not by time, so that slow regions take no longer; it ends in the same place.

    Args:
        field: The velocity.
        equilibria: Points (w1, w2).
        line: A w1 whose points are all equilibria.

    Returns:
        (M, N) integers: `TRIVIAL_END` (w2 below `TRIVIAL`, and falling), `PROPER_END` (within 0.03 of an equilibrium,
        or 0.01 of the line), `OUTSIDE` (it leaves the grid), `UNDECIDED` (none of them).
    """
    from scipy.interpolate import RectBivariateSpline

    splines = [RectBivariateSpline(field.w1, field.w2, field.velocity[..., player]) for player in range(2)]

    def direction(points: np.ndarray) -> Any:
        speed = np.stack([spline(*points.T, grid=False) for spline in splines], axis=-1)
        return speed / (np.linalg.norm(speed, axis=-1, keepdims=True) + 1e-4)

    low, high = np.array([field.w1[0], field.w2[0]]), np.array([field.w1[-1], field.w2[-1]])
    points = np.stack(np.meshgrid(field.w1, field.w2, indexing="ij"), axis=-1).reshape(-1, 2)
    ends = np.full(len(points), UNDECIDED)
    for _ in range(_STEPS):
        moving = np.flatnonzero(ends == UNDECIDED)
        if not moving.size:
            break
        at = points[moving]
        first = direction(at)
        near = np.zeros(len(at), bool) if line is None else np.abs(at[:, 0] - line) < 0.01
        for w in equilibria:
            near |= np.linalg.norm(at - w, axis=-1) < 0.03
        trivial = (at[:, 1] < TRIVIAL) & (first[:, 1] < -0.1)
        left = np.any((at > high + 1e-9) | (at < low - 1e-9), axis=-1)
        ends[moving] = np.select([near, trivial, left], [PROPER_END, TRIVIAL_END, OUTSIDE], UNDECIDED)
        second = direction(at + 0.5 * _STEP * first)
        third = direction(at + 0.5 * _STEP * second)
        fourth = direction(at + _STEP * third)
        points[moving] = at + _STEP / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)
    return ends.reshape(len(field.w1), len(field.w2))


class Setting(NamedTuple):
    """One of the four panels: loss and data, the velocity, `destinations` of its points, the equilibria found."""

    gan: TwoParameterGan
    field: Field
    ends: np.ndarray
    equilibria: list[Equilibrium]


def line_rows(sigma: float, nodes: int, values: Sequence[float] = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0)) -> list[list[Any]]:
    """The Jacobian's eigenvalues on w1 = 1, where P_G = P_X = U(-1, 1) for every w2 (Proposition 1): `LINE_COLUMNS`."""
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
    from matplotlib.colors import Normalize

    w1, w2, velocity = setting.field
    for end, colour in _SHADES.items():
        inside = (setting.ends == end).T.astype(float)
        if inside.any():
            axes.contourf(w1, w2, inside, levels=[0.5, 1.5], colors=[colour], alpha=0.75)
    # Streamlines need equal spaces exactly, which the axes' ends are not.
    x, y = (np.linspace(axis[0], axis[-1], len(axis)) for axis in (w1, w2))
    speed = np.linalg.norm(velocity, axis=-1)
    colours: dict[str, Any] = {"color": np.log10(speed.T + 1e-6), "cmap": "Blues", "norm": Normalize(-5.0, 0.0)}
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
    """The equilibria by both quadrature rules, with those of the paper."""
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
