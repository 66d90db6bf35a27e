"""Gaussian mixtures (one normal distribution, any mixture, the named ones) and the uniform distribution on a box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmdgan.core import shuffling
from mmdgan.core.errors import ConfigError
from mmdgan.data.synthetic.base import Distribution, check_count, log_sum_exp, normals, number, numbers, positive_row

_C = 0.707106  # as the original writes the square root of 1/2


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
