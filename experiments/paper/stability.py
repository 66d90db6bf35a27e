"""A GAN of two parameters, whose gradient flow can be looked at (Figure S1, Proposition 1).

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

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmdgan.core.errors import ConfigError

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


class Rule(NamedTuple):
    """Nodes and weights of an expectation: ``E f(x^2) = sum_i weights_i f(nodes_i^2)``."""

    nodes: np.ndarray
    weights: np.ndarray


class Equilibrium(NamedTuple):
    """A point where both velocities vanish.

    Attributes:
        w1: the generator's parameter.
        w2: the critic's.
        eigenvalues: (2,) complex, of the velocity's Jacobian, the one of smallest real part first; both have negative
            real parts where the equilibrium is locally exponentially stable.
        residual: largest velocity there by a rule of twice as many nodes: small where the quadrature has converged.
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
        sigma: of the kernel.
        nodes: of each quadrature.
        rule: of the normal's quadrature: "legendre" on [0, 9], or "hermite".

    Raises:
        ConfigError: another word.
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
        gan: whose.
        starts: (N, 2)
        most: the largest w1 and w2 of interest.
        tolerance: roots whose `Equilibrium.residual` is larger are products of the quadrature and left out; None keeps
            them.

    Returns:
        Sorted by w1, then w2.
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
    """The velocity on a grid.

    Attributes:
        w1: (M,)
        w2: (N,)
        velocity: (M, N, 2)
    """

    w1: np.ndarray
    w2: np.ndarray
    velocity: np.ndarray


def velocity_field(gan: TwoParameterGan, w1: np.ndarray, w2: np.ndarray) -> Field:
    """The velocity at all pairs of w1 (M,) and w2 (N,)."""
    return Field(w1, w2, np.array([[gan.velocity((first, second)) for second in w2] for first in w1]))


TRIVIAL_END, PROPER_END, OUTSIDE, UNDECIDED = range(4)


def destinations(field: Field, equilibria: Iterable[tuple[float, float]], line: float | None = None) -> np.ndarray:
    """Where the flow ends that begins at each grid point, by Runge-Kutta steps through the interpolated field.

    The flow is followed by its arc length, not by time, so that slow regions take no longer; it ends in the same place.

    Args:
        field: on a grid.
        equilibria: points (w1, w2).
        line: a w1 whose points are all equilibria.

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
