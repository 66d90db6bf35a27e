"""Toy distributions with a known density: those of the original's SimData (original.md G.4) and other common ones.

    shell = synthetic.get("shell")
    x = shell.sample(1000, seed=3)      # float64 (1000, 2)
    shell.log_prob(x)                   # float64 (1000,)
    shell.modes                         # float64 (8, 2)
    synthetic.get("swiss_roll", noise=0.1, x_dof=784)   # on a random plane of 784 dimensions

| name | aliases | options and their defaults |
|---|---|---|
| normal | gaussian | mu=0, std_or_cov=1: numbers, or (d,) and (d,) or (d, d) |
| gaussian_mixture | gm | probs (K,), mu (K, d), std_or_cov (K, d) or (K, d, d) |
| uniform | uni, u | low=0, high=1: numbers or (d,) |
| shell, shell2, star | | none: eight equally likely Gaussians of the plane |
| ring | | count=8, radius=1, std=0.01 (VEEGAN, Srivastava et al. 2017) |
| rings | | count=8 on each ring, radii=(0.5, 1), std=0.02 |
| grid | | side=5, spacing=2, std=0.05 (VEEGAN) |
| swiss_roll | | noise=0.05, radius=1 |
| two_moons | moons | noise=0.1 |
| circles | | noise=0.05, radii=(0.5, 1) |

Samples are a function of the seed alone, the same with every version of NumPy; the first samples of many are those of
few. This module needs only NumPy.
"""

from __future__ import annotations

import abc
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from mmdgan.core import shuffling
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import check_count
from mmdgan.core.text import listed, nearest

__all__ = ["Distribution", "Embedded", "GaussianMixture", "NoisyCurves", "Uniform", "get", "names"]

ON_SUBSPACE = 1e-5  # distance, relative to its norm (or 1), up to which a point counts as one of the subspace
_C = 0.707106  # as the original writes the square root of 1/2
_ORDER = 8  # of the Gauss-Legendre rule in each panel
_FEWEST_PANELS = 8  # if the noise is wider than the curves
_MOST_NODES = 2**20
_BLOCK = 2**16  # numbers per array while densities are computed: 512 KiB, which stays in a processor's cache


class Distribution(abc.ABC):
    """A distribution with a known density.

    Attributes:
        dimension: Number of dimensions, d.
        modes: float64 (K, d), the means of a mixture's components; None for other distributions.
    """

    dimension: int
    modes: Any = None

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Draws samples, float64 (count, d), which depend on the seed alone; the first ones do not on the count."""
        check_count("count", count, least=0)
        if isinstance(seed, bool) or not isinstance(seed, Integral):
            raise ConfigError(f"seed is {seed!r}; give a whole number.")
        return self._sample(int(count), int(seed))

    def log_prob(self, x: Any) -> np.ndarray:
        """The logarithm of the density at points (n, d).

        Returns:
            float64 (n,); minus infinity outside the support and at infinite points, NaN where a coordinate is NaN.

        Raises:
            ConfigError: The points have another shape.
        """
        x = np.asarray(x, np.float64)
        if x.ndim != 2 or x.shape[1] != self.dimension:
            raise ConfigError(f"points have the shape {x.shape}; this distribution's have (n, {self.dimension}).")
        found = np.where(np.isnan(x).any(axis=1), np.nan, -np.inf)
        finite = np.isfinite(x).all(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):  # far away, where squares overflow, the density is 0
            found[finite] = self._log_prob(x[finite])
        return found

    def prob(self, x: Any) -> np.ndarray:
        """The density at points; see `log_prob`."""
        return np.exp(self.log_prob(x))

    @abc.abstractmethod
    def _sample(self, count: int, seed: int) -> np.ndarray:
        """As `sample`, with checked arguments."""

    @abc.abstractmethod
    def _log_prob(self, x: np.ndarray) -> np.ndarray:
        """As `log_prob`, for finite points float64 (n, d)."""


class Embedded(Distribution):
    """A distribution of d dimensions on a random d-dimensional subspace of a larger space.

    Its samples are z W, with W (d, x_dof) = U Vᵀ of the singular value decomposition U S Vᵀ of a matrix of standard
    normal numbers, so that W has orthonormal rows (original.md G.4). Lengths, angles and the density are preserved;
    the density is with respect to volume in the subspace, and zero outside it. `ON_SUBSPACE` admits samples that were
    rounded to float32.
    """

    def __init__(self, base: Distribution, x_dof: int, seed: int = 0) -> None:
        """Draws the matrix.

        Args:
            base: The distribution of z.
            x_dof: Dimensions of the samples, at least those of `base`: with fewer there is no known density.
            seed: Seed of the matrix.
        """
        check_count("x_dof", x_dof)
        if x_dof < base.dimension:
            raise ConfigError(
                f"x_dof is {x_dof}, but the distribution has {base.dimension} dimensions; give at least as many."
            )
        self.base = base
        self.dimension = int(x_dof)
        self.matrix = _orthonormal_rows(base.dimension, self.dimension, seed)
        self.modes = None if base.modes is None else base.modes @ self.matrix

    def _sample(self, count: int, seed: int) -> np.ndarray:
        return self.base.sample(count, seed) @ self.matrix

    def _log_prob(self, x: np.ndarray) -> np.ndarray:
        z = x @ self.matrix.T
        off = np.linalg.norm(x - z @ self.matrix, axis=1)
        on = off <= ON_SUBSPACE * np.maximum(1.0, np.linalg.norm(x, axis=1))
        return np.where(on, self.base.log_prob(z), -np.inf)


class GaussianMixture(Distribution):
    """A mixture of K normal distributions.

    Attributes:
        modes: float64 (K, d), the means.
        covariances: float64 (K, d, d).
        probs: float64 (K,), the probability of each.
    """

    def __init__(self, means: Any, covariances: Any, probs: Any = None) -> None:
        """Creates it from means (K, d), covariances (K, d, d) and probabilities (K,), equal by default.

        Raises:
            ConfigError: Shapes do not match, a covariance is not symmetric and positive definite, or probabilities
                are negative or their sum is not 1.
        """
        self.modes, self.covariances = numbers("mu", means), numbers("std_or_cov", covariances)
        if self.modes.ndim != 2:
            raise ConfigError(f"mu has the shape {self.modes.shape}; give one mean per row, (K, d).")
        count, self.dimension = self.modes.shape
        if self.covariances.shape != (count, self.dimension, self.dimension):
            raise ConfigError(
                f"the covariances have the shape {self.covariances.shape}; {count} means of {self.dimension} "
                f"dimensions need {(count, self.dimension, self.dimension)}."
            )
        self.probs = _probabilities(np.full(count, 1.0 / count) if probs is None else probs, count)
        self._factors = np.stack([_cholesky(i, covariance) for i, covariance in enumerate(self.covariances)])
        self._whitening = np.linalg.inv(self._factors)
        self._log_volumes = np.sum(np.log(np.diagonal(self._factors, axis1=1, axis2=2)), axis=1)

    def _sample(self, count: int, seed: int) -> np.ndarray:
        which = np.searchsorted(np.cumsum(self.probs)[:-1], shuffling.uniform(count, seed, stream=1), side="right")
        noise = normals(count, self.dimension, seed, stream=2)
        return self.modes[which] + np.einsum("nij,nj->ni", self._factors[which], noise)

    def _log_prob(self, x: np.ndarray) -> np.ndarray:
        terms = np.empty((len(x), len(self.modes)))
        for k, (mean, whitening) in enumerate(zip(self.modes, self._whitening, strict=True)):
            terms[:, k] = -0.5 * np.sum(np.square((x - mean) @ whitening.T), axis=1)
        with np.errstate(divide="ignore"):
            terms += np.log(self.probs) - self._log_volumes
        return log_sum_exp(terms) - 0.5 * self.dimension * math.log(2.0 * math.pi)


def normal(mu: Any = 0.0, std_or_cov: Any = 1.0, dof: int = 2) -> GaussianMixture:
    """One normal distribution.

    Args:
        mu: Mean (d,), or a number for all dimensions.
        std_or_cov: Standard deviations (d,), or one for all dimensions; or a covariance (d, d).
        dof: Number of dimensions d, if the others are numbers.
    """
    mu, spread = numbers("mu", mu), numbers("std_or_cov", std_or_cov)
    if mu.ndim > 1 or spread.ndim > 2:
        raise ConfigError(
            f"mu and std_or_cov have the shapes {mu.shape} and {spread.shape}; give (d,) and (d,) or (d, d)."
        )
    size = mu.shape or spread.shape[:1] or (dof,)
    return gaussian_mixture([1.0], np.broadcast_to(mu, size)[None], spread[None] if spread.ndim else spread)


def gaussian_mixture(probs: Any, mu: Any, std_or_cov: Any) -> GaussianMixture:
    """A mixture of K normal distributions.

    Args:
        probs: Probabilities (K,), or None if all are equal.
        mu: Means (K, d).
        std_or_cov: Standard deviations (K, d), or one for all; or covariances (K, d, d).
    """
    mu, spread = numbers("mu", mu), numbers("std_or_cov", std_or_cov)
    if spread.ndim == 0:
        spread = np.broadcast_to(spread, mu.shape)
    if spread.ndim == 2:
        spread = np.square(numbers("std_or_cov", spread, positive=True))[:, :, None] * np.eye(spread.shape[1])
    return GaussianMixture(mu, spread, probs)


def shell() -> GaussianMixture:
    """Eight Gaussians around the origin; those on the diagonals are narrow and point at it (original.md G.4)."""
    means = [(1, 0), (_C, _C), (0, 1), (-_C, _C), (-1, 0), (-_C, -_C), (0, -1), (_C, -_C)]
    rounds, rising, falling = 0.03 * np.eye(2), [[0.04, 0.0395], [0.0395, 0.04]], [[0.04, -0.0395], [-0.0395, 0.04]]
    return GaussianMixture(np.array(means) / 1.5, np.array([rounds, rising, rounds, falling] * 2) / 2.25)


def shell2() -> GaussianMixture:
    """Eight Gaussians on the border of a square, narrow in the middle of its sides (original.md G.4)."""
    means = [(_C, 0), (_C, _C), (0, _C), (-_C, _C), (-_C, 0), (-_C, -_C), (0, -_C), (_C, -_C)]
    rounds, flat, upright = 0.03 * np.eye(2), np.diag([0.04, 0.0005]), np.diag([0.0005, 0.04])
    return GaussianMixture(np.array(means) / 1.5, np.array([flat, rounds, upright, rounds] * 2) / 2.25)


def star() -> GaussianMixture:
    """Eight small Gaussians at the corners of an octagon (original.md G.4)."""
    a, b = 0.8, 0.8 * math.tan(math.radians(22.5))
    means = [(b, a), (a, b), (a, -b), (b, -a), (-b, -a), (-a, -b), (-a, b), (-b, a)]
    return GaussianMixture(means, np.full((8, 1, 1), 0.001) * np.eye(2))


def ring(count: int = 8, radius: float = 1.0, std: float = 0.01) -> GaussianMixture:
    """Gaussians evenly spaced on a circle, the first on the positive x axis."""
    return rings(count, (number("radius", radius),), std)


def rings(count: int = 8, radii: Sequence[float] = (0.5, 1.0), std: float = 0.02) -> GaussianMixture:
    """Rings of `count` Gaussians each, around one centre."""
    check_count("count", count)
    angles = 2.0 * np.pi * np.arange(count) / count
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    means = np.concatenate([radius * circle for radius in positive_row("radii", radii)])
    return gaussian_mixture(None, means, number("std", std))


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> GaussianMixture:
    """A square of `side` times `side` Gaussians around the origin, row by row."""
    check_count("side", side)
    along = number("spacing", spacing) * (np.arange(side) - (side - 1) / 2.0)
    y, x = np.meshgrid(along, along, indexing="ij")
    return gaussian_mixture(None, np.stack([x.ravel(), y.ravel()], axis=1), number("std", std))


class Uniform(Distribution):
    """The uniform distribution on a closed box."""

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        """Creates it from two corners of the box, each (d,)."""
        self.low, self.high = numbers("low", low), numbers("high", high)
        if self.low.ndim != 1 or self.low.shape != self.high.shape:
            raise ConfigError(
                f"low has the shape {self.low.shape} and high {self.high.shape}; give numbers, or as many of each."
            )
        if not (self.low < self.high).all():
            raise ConfigError(f"low is {low!r} and high is {high!r}; give a low that is less than high everywhere.")
        self.dimension = len(self.low)

    def _sample(self, count: int, seed: int) -> np.ndarray:
        draws = shuffling.uniform(count * self.dimension, seed, stream=1).reshape(count, self.dimension)
        return self.low + (self.high - self.low) * draws

    def _log_prob(self, x: np.ndarray) -> np.ndarray:
        inside = ((self.low <= x) & (x <= self.high)).all(axis=1)
        return np.where(inside, -np.sum(np.log(self.high - self.low)), -np.inf)


def uniform(low: float | np.ndarray = 0.0, high: float | np.ndarray = 1.0, dof: int = 2) -> Uniform:
    """Uniform between corners that are numbers, the same in all `dof` dimensions, or (d,)."""
    low, high = numbers("low", low), numbers("high", high)
    size = low.shape or high.shape or (dof,)
    return Uniform(*(corner if corner.ndim else np.broadcast_to(corner, size) for corner in (low, high)))


class Curve(NamedTuple):
    """A curve of the plane."""

    point: Callable[[np.ndarray], np.ndarray]  # positions (n,) on the curve, from 0 to 1, to points (n, 2)
    speed: float  # the largest length of the derivative of `point`


class NoisyCurves(Distribution):
    """A uniformly drawn position on one of some curves, all equally likely, plus isotropic normal noise.

    The density is the integral of the normal density over the curves. It is computed with Gauss's rule of eight
    points in panels no longer than the noise's standard deviation. Up to ten standard deviations away from the curves
    its relative error is below 1e-7 (the largest measured was 3e-9). Further out, where the density is below e⁻⁵⁰ of
    its largest value, `log_prob` is in error by less than 0.02 for each standard deviation of the distance.
    """

    def __init__(self, curves: Sequence[Curve], noise: float) -> None:
        """Creates it from curves and the noise's standard deviation; without noise there is no density."""
        self.curves = tuple(curves)
        self.noise = number("noise", noise, positive=False)
        if self.noise < 0:
            raise ConfigError(f"noise is {noise!r}; give a number of at least 0.")
        self.dimension = 2

    def _sample(self, count: int, seed: int) -> np.ndarray:
        which = (shuffling.uniform(count, seed, stream=1) * len(self.curves)).astype(np.int64)
        shares = shuffling.uniform(count, seed, stream=2)
        points = np.empty((count, 2))
        for i, curve in enumerate(self.curves):
            points[which == i] = curve.point(shares[which == i])
        return points + self.noise * normals(count, 2, seed, stream=3)

    def _log_prob(self, x: np.ndarray) -> np.ndarray:
        nodes, log_weights = self._quadrature()
        found = np.empty(len(x))
        rows = max(1, _BLOCK // len(nodes))
        for start in range(0, len(x), rows):
            block = x[start : start + rows]
            terms = np.square(block[:, :1] - nodes[:, 0])
            terms += np.square(block[:, 1:] - nodes[:, 1])
            terms *= -0.5 / self.noise**2
            terms += log_weights
            found[start : start + rows] = log_sum_exp(terms)
        return found - math.log(2.0 * math.pi * self.noise**2)

    def _quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """Points on the curves, (n, 2), and the logarithms of their weights, (n,), whose sum is 1."""
        if self.noise == 0:
            raise ConfigError("noise is 0, and curves without noise have no density; give a positive noise.")
        panels = [max(_FEWEST_PANELS, math.ceil(curve.speed / self.noise)) for curve in self.curves]
        if _ORDER * sum(panels) > _MOST_NODES:
            least = _ORDER * sum(curve.speed for curve in self.curves) / _MOST_NODES
            raise ConfigError(f"noise is {self.noise:g}, too little to compute a density; give at least {least:.2g}.")
        places, weights = np.polynomial.legendre.leggauss(_ORDER)
        nodes, log_weights = [], []
        for curve, count in zip(self.curves, panels, strict=True):
            shares = (np.arange(count)[:, None] + (places + 1.0) / 2.0) / count
            nodes.append(curve.point(shares.ravel()))
            log_weights.append(np.tile(np.log(weights / (2.0 * count * len(self.curves))), count))
        return np.concatenate(nodes), np.concatenate(log_weights)


def swiss_roll(noise: float = 0.05, radius: float = 1.0) -> NoisyCurves:
    """The spiral t (cos t, sin t), t from 1.5π to 4.5π, as scikit-learn's make_swiss_roll seen along its axis.

    Args:
        noise: Standard deviation of the noise.
        radius: Radius of the outer end; scikit-learn's is 4.5π.
    """
    radius = number("radius", radius)

    def point(share: np.ndarray) -> np.ndarray:
        t = 1.5 * np.pi * (1.0 + 2.0 * share)
        return (radius / (4.5 * np.pi) * t)[:, None] * _circle(t)

    speed = 3.0 * math.pi * math.hypot(1.0, 4.5 * math.pi) * radius / (4.5 * math.pi)
    return NoisyCurves([Curve(point, speed)], noise)


def two_moons(noise: float = 0.1) -> NoisyCurves:
    """Two interleaving half circles of radius 1, placed as by scikit-learn's make_moons."""
    upper = Curve(lambda share: _circle(np.pi * share), math.pi)
    lower = Curve(lambda share: np.array([1.0, 0.5]) - _circle(np.pi * share), math.pi)
    return NoisyCurves([upper, lower], noise)


def circles(noise: float = 0.05, radii: Any = (0.5, 1.0)) -> NoisyCurves:
    """Concentric circles around the origin."""
    return NoisyCurves([_ring(radius) for radius in positive_row("radii", radii)], noise)


_MAKERS: dict[str, Callable[..., Distribution]] = {
    "normal": normal,
    "gaussian_mixture": gaussian_mixture,
    "uniform": uniform,
    "shell": shell,
    "shell2": shell2,
    "star": star,
    "ring": ring,
    "rings": rings,
    "grid": grid,
    "swiss_roll": swiss_roll,
    "two_moons": two_moons,
    "circles": circles,
}
_ALIASES = {"gaussian": "normal", "gm": "gaussian_mixture", "uni": "uniform", "u": "uniform", "moons": "two_moons"}


def get(
    name: str, *, x_dof: int | None = None, z_dof: int | None = None, embedding_seed: int = 0, **options: Any
) -> Distribution:
    """The distribution of a name.

    Args:
        name: As in the table above.
        x_dof: Dimensions of the samples; if the distribution itself has fewer, it is embedded (see `Embedded`).
        z_dof: Dimensions of the distribution itself. It matters for normal and uniform, whose options may be numbers;
            its default is x_dof, or else 2.
        embedding_seed: Seed of the embedding's matrix.
        **options: Options of the distribution.

    Raises:
        ConfigError: A name or option is unknown (the nearest one is named), or a value is out of range.
    """
    maker = _MAKERS.get(_ALIASES.get(name, name)) if isinstance(name, str) else None
    if maker is None:
        raise ConfigError(f"there is no distribution {name!r}{nearest(name, names())}; there are {listed(names())}.")
    parameters = inspect.signature(maker).parameters
    _check_options(name, parameters, options)
    for option, value in (("x_dof", x_dof), ("z_dof", z_dof)):
        if value is not None:
            check_count(option, value)
    if "dof" in parameters:
        options["dof"] = z_dof or x_dof or 2
    found = maker(**options)
    if z_dof is not None and z_dof != found.dimension:
        raise ConfigError(f"z_dof is {z_dof}, but this {name} has {found.dimension} dimensions; leave z_dof out.")
    return found if x_dof in (None, found.dimension) else Embedded(found, x_dof, embedding_seed)


def names() -> list[str]:
    """Every name that `get` takes, aliases included."""
    return sorted([*_MAKERS, *_ALIASES])


def _probabilities(probs: Any, count: int) -> np.ndarray:
    values = numbers("probs", probs)
    if values.shape != (count,) or (values < 0).any() or abs(values.sum() - 1.0) > 1e-6:
        raise ConfigError(f"probs is {probs!r}; give {count} numbers of at least 0 that make 1.")
    return values / values.sum()


def _cholesky(number: int, covariance: np.ndarray) -> np.ndarray:
    try:
        if not np.allclose(covariance, covariance.T, rtol=1e-10, atol=0.0):
            raise np.linalg.LinAlgError
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise ConfigError(
            f"covariance {number} is {covariance.tolist()}, which is not symmetric and positive definite."
        ) from None


def _ring(radius: float) -> Curve:
    """A circle around the origin."""
    return Curve(lambda share: radius * _circle(2.0 * np.pi * share), 2.0 * math.pi * radius)


def _circle(angles: np.ndarray) -> np.ndarray:
    """Points (n, 2) of the unit circle."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _check_options(name: str, parameters: Mapping[str, inspect.Parameter], options: Mapping[str, Any]) -> None:
    known = [option for option in parameters if option != "dof"]
    for option in options:
        if option not in known:
            choice = f"it takes {listed(known)}" if known else "it takes none"
            raise ConfigError(f"distribution {name} has no option {option!r}{nearest(option, known)}; {choice}.")
    needed = [option for option in known if parameters[option].default is inspect.Parameter.empty]
    if missing := [option for option in needed if option not in options]:
        raise ConfigError(f"distribution {name} needs {listed(missing)}.")


def normals(count: int, dimension: int, seed: int, stream: int) -> np.ndarray:
    """Standard normal numbers, float64 (count, dimension), from the key (seed, stream) alone (Box-Muller)."""
    pairs = math.ceil(dimension / 2)
    draws = shuffling.uniform(count * pairs * 2, seed, stream).reshape(count, 2, pairs)
    radius, angle = np.sqrt(-2.0 * np.log1p(-draws[:, 0])), 2.0 * np.pi * draws[:, 1]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :dimension]


def log_sum_exp(terms: np.ndarray) -> np.ndarray:
    """log(sum(exp(terms))) over the last axis, (n, K) to (n,), without underflow; the terms are overwritten."""
    largest = np.max(terms, axis=1)
    # If all are minus infinity, so is the result.
    terms -= np.where(np.isfinite(largest), largest, 0.0)[:, None]
    with np.errstate(divide="ignore"):
        return np.log(np.sum(np.exp(terms, out=terms), axis=1)) + np.where(np.isfinite(largest), largest, 0.0)


def numbers(name: str, value: Any, positive: bool = False) -> np.ndarray:
    """An option as float64; ConfigError unless all its numbers are finite, and positive if asked for."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not (np.isfinite(array).all() and array.size and (not positive or (array > 0).all())):
        raise ConfigError(f"{name} is {value!r}; give {'positive' if positive else 'finite'} numbers.")
    return array


def number(name: str, value: Any, positive: bool = True) -> float:
    """As `numbers`, for a single number."""
    array = numbers(name, value, positive)
    if array.ndim:
        raise ConfigError(f"{name} is {value!r}; give one number.")
    return float(array)


def positive_row(name: str, value: Any) -> np.ndarray:
    """As `numbers`, for one or several positive numbers: float64 (n,)."""
    array = np.atleast_1d(numbers(name, value, positive=True))
    if array.ndim > 1:
        raise ConfigError(f"{name} is {value!r}; give one number or a row of numbers.")
    return array


def _orthonormal_rows(rows: int, columns: int, seed: int) -> np.ndarray:
    u, _, v = np.linalg.svd(normals(rows, columns, seed, stream=0), full_matrices=False)
    return u @ v
