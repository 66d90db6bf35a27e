"""Curves of the plane with normal noise around them: the Swiss roll, two moons, concentric circles."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.shuffling import uniform
from mmdgan.data.synthetic.base import Distribution, log_sum_exp, normals, number, positive_row

_ORDER = 8  # of the Gauss-Legendre rule in each panel
_FEWEST_PANELS = 8  # if the noise is wider than the curves
_MOST_NODES = 2**20
_BLOCK = 2**16  # numbers per array while densities are computed: 512 KiB, which stays in a processor's cache


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
        which = (uniform(count, seed, stream=1) * len(self.curves)).astype(np.int64)
        shares = uniform(count, seed, stream=2)
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
    rounds = [
        Curve(functools.partial(_ring, radius=radius), 2.0 * math.pi * radius)
        for radius in positive_row("radii", radii)
    ]
    return NoisyCurves(rounds, noise)


def _ring(share: np.ndarray, radius: float) -> np.ndarray:
    """Points (n, 2) of a circle, at positions from 0 to 1."""
    return radius * _circle(2.0 * np.pi * share)


def _circle(angles: np.ndarray) -> np.ndarray:
    """Points (n, 2) of the unit circle."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
