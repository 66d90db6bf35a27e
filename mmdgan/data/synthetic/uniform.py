"""The uniform distribution on a box."""

from __future__ import annotations

import numpy as np

from mmdgan.core import shuffling
from mmdgan.core.errors import ConfigError
from mmdgan.data.synthetic.base import Distribution, numbers


class Uniform(Distribution):
    """Uniform on a box, whose faces belong to it."""

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        """Takes two corners of the box, each (d,), `low` below `high` everywhere."""
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
