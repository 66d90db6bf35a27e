"""Monge Inception distance: the sliced Wasserstein distance of features (Berthet et al. 2026, "MIND").

The squared Wasserstein distance of two sets of numbers is the mean squared difference of their sorted values. MIND is
its mean over random directions of the features, here times their number F: a shift of all features by v gives |v|^2, as
it does in a Fréchet distance. No covariance is estimated, so that fewer images than features are enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.metrics.context import Context
from mmdgan.metrics.intervals import around
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import LOWER, Metric, Score, register

DIRECTIONS = 1000
_COLUMNS = 50  # directions whose projections are held at once


@register
class MongeDistance(Metric):
    """Sliced Wasserstein distance between the features of both sets."""

    identifier = "mind"
    scores = (
        Score("MIND", LOWER, other="MD[{}]", judge="mind", words="squared sliced Wasserstein distance of features"),
    )
    place = 3

    def compute(self, context: Context) -> Iterator[dict]:
        generated, real = context.generated, context.real_side
        value, error = monge_distance_error(real.features, generated.features, seed=context.seed)
        yield make_record(
            self.scores[0].of(context.label),
            value,
            generated.count,
            real.count,
            interval=around(value, error, "delta method over images and directions", least=0.0),
            directions=DIRECTIONS,
            scale="number of features",
        )


def monge_distance(a: np.ndarray, b: np.ndarray, *, directions: int = DIRECTIONS, seed: int = 0) -> float:
    """The mean over random directions of the squared Wasserstein distance of two feature sets, times F.

    Args:
        a, b: Features (N, F) and (M, F), memory-mapped or not.
        directions: Number of random unit vectors.
        seed: Their seed.

    Returns:
        The distance, in squared units of the features; like a Fréchet distance, larger for fewer images.

    Raises:
        MetricError: The sets do not fit together.
    """
    return monge_distance_error(a, b, directions=directions, seed=seed)[0]


def monge_distance_error(
    a: np.ndarray, b: np.ndarray, *, directions: int = DIRECTIONS, seed: int = 0
) -> tuple[float, float]:
    """The distance, and its standard error; arguments and errors are those of `monge_distance`.

    The error is the delta method's: a small change of the weight of one image changes the distance along a direction by
    the integral of 2 (x - T(x)) up to its projection x, with T the map that takes the one sorted set to the other. Its
    mean over directions scatters over images; the distances scatter over directions.
    """
    a, b = np.asanyarray(a), np.asanyarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2 or directions < 2:
        raise MetricError(
            f"A sliced Wasserstein distance needs features (N, F) and (M, F) of at least two images, and two "
            f"directions, not {a.shape}, {b.shape} and {directions}."
        )
    size = a.shape[1]
    # Both sets' quantile functions are constant between these shares.
    edges = np.unique(np.concatenate([np.arange(len(x) + 1) / len(x) for x in (a, b)]))
    middles, weights = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    places = [np.minimum((middles * len(x)).astype(int), len(x) - 1) for x in (a, b)]
    partners = [
        np.minimum(((np.arange(len(x)) + 0.5) / len(x) * len(other)).astype(int), len(other) - 1)
        for x, other in ((a, b), (b, a))
    ]
    random, found = np.random.default_rng(seed), []
    changes = [np.zeros(len(a)), np.zeros(len(b))]
    for start in range(0, directions, _COLUMNS):
        drawn = random.standard_normal((size, min(_COLUMNS, directions - start)))
        drawn /= np.linalg.norm(drawn, axis=0)
        for one, other in zip((a @ drawn).T, (b @ drawn).T, strict=True):
            orders = np.argsort(one), np.argsort(other)
            values = one[orders[0]], other[orders[1]]
            found.append(weights @ np.square(values[0][places[0]] - values[1][places[1]]))
            for change, order, own, far, partner in zip(changes, orders, values, values[::-1], partners, strict=True):
                slope = own - far[partner]  # half the derivative; the trapezoid rule takes the other half
                steps = (slope[1:] + slope[:-1]) * np.diff(own)
                change[order[1:]] += np.cumsum(steps)
    over_images = sum(np.var(change * (size / directions)) / len(change) for change in changes)
    over_directions = np.var(found, ddof=1) * size**2 / directions
    return float(np.mean(found) * size), math.sqrt(over_images + over_directions)
