"""The base class of toy distributions, and their embedding in a space of more dimensions."""

from __future__ import annotations

import abc
import math
from numbers import Integral
from typing import Any

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.shuffling import uniform

ON_SUBSPACE = 1e-5  # distance, relative to its norm (or 1), up to which a point counts as one of the subspace


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
        check_count("count", count, at_least=0)
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


def normals(count: int, dimension: int, seed: int, stream: int) -> np.ndarray:
    """Standard normal numbers, float64 (count, dimension), from the key (seed, stream) alone (Box-Muller)."""
    pairs = math.ceil(dimension / 2)
    draws = uniform(count * pairs * 2, seed, stream).reshape(count, 2, pairs)
    radius, angle = np.sqrt(-2.0 * np.log1p(-draws[:, 0])), 2.0 * np.pi * draws[:, 1]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :dimension]


def log_sum_exp(terms: np.ndarray) -> np.ndarray:
    """log(sum(exp(terms))) over the last axis, (n, K) to (n,), without underflow; the terms are overwritten."""
    largest = np.max(terms, axis=1)
    # If all are minus infinity, so is the result.
    terms -= np.where(np.isfinite(largest), largest, 0.0)[:, None]
    with np.errstate(divide="ignore"):
        return np.log(np.sum(np.exp(terms, out=terms), axis=1)) + np.where(np.isfinite(largest), largest, 0.0)


def check_count(name: str, value: Any, at_least: int = 1) -> None:
    """Raises ConfigError unless `value` is a whole number of at least `at_least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < at_least:
        raise ConfigError(f"{name} is {value!r}; give a whole number of at least {at_least}.")


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
