"""Fréchet distance of infinitely many generated images, extrapolated from subsets: Chong and Forsyth 2020.

The Fréchet distance of N generated images is larger than that of the whole distribution, by about c / N. A line through
the distances of subsets of growing size over 1 / N meets the axis 1 / N = 0 at the distance without this bias.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.metrics.context import Context, Facts, Side
from mmdgan.metrics.features.cache import release
from mmdgan.metrics.intervals import around
from mmdgan.metrics.moments import BLOCK_ROWS, Moments, unknown_of_statistics
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import LOWER, Metric, Score, register
from mmdgan.metrics.scores.fid import frechet_variances

POINTS = 8
SMALLEST = 0.1
"""The least subset, as a share of the images, of many images."""
LEAST = 20


@register
class FrechetInfinity(Metric):
    """Fréchet distance extrapolated to infinitely many generated images; the real ones are taken as they are."""

    identifier = "fid_infinity"
    scores = (
        Score("FID infinity", LOWER, other="FD[{}] infinity", words="Fréchet distance, extrapolated to endless images"),
    )
    place = 1
    statistics = True
    slow = True

    def check(self, facts: Facts) -> None:
        if min(facts.count, facts.count_real or LEAST) < LEAST:
            raise MetricError(
                f"fid_infinity extrapolates from subsets of at least {LEAST} images on each side, not "
                f"{facts.count:,} and {facts.count_real:,}: give more images, or choose kid or mind, which need fewer."
            )

    def compute(self, context: Context) -> Iterator[dict]:
        generated, real, features = context.generated, context.real, context.extractor.feature_count
        real_features = real.features if isinstance(real, Side) else real
        found = frechet_infinity(real_features, generated.features, seed=context.seed)
        notes = [] if isinstance(real, Side) else unknown_of_statistics(real)
        if generated.count <= 2 * features:
            notes.append(f"a rough guess: the line is straight for more than {2 * features:,} images")
        yield make_record(
            self.scores[0].of(context.label),
            found.value,
            generated.count,
            real.count or None,
            interval=around(found.value, found.error, "delta method over images"),
            note="; ".join(notes) or None,
            sizes=found.sizes.tolist(),
            distances=[round(float(value), 6) for value in found.distances],
        )


class Extrapolated(NamedTuple):
    """A Fréchet distance extrapolated to infinitely many generated images.

    Attributes:
        value: The distance; it may be a little below 0.
        error: Its standard error.
        sizes: int64 (POINTS,), images in each subset.
        distances: float64 (POINTS,), its distance.
    """

    value: float
    error: float
    sizes: np.ndarray
    distances: np.ndarray


def frechet_infinity(a: np.ndarray | Moments, b: np.ndarray, *, points: int = POINTS, seed: int = 0) -> Extrapolated:
    """Extrapolates the Fréchet distance of real features a (N, F), or their moments, and generated ones b (M, F).

    Each subset contains the smaller ones, so that one pass over the features is enough. The bias by the number of real
    images stays: give many.

    Args:
        a, b: Features, memory-mapped or not.
        points: Number of subsets, of evenly spaced sizes up to M, from a tenth of it or, for few images, half of it.
        seed: Seed of the choice of subsets.

    Raises:
        MetricError: The sets do not fit together, or there are too few images.
    """
    import scipy.linalg

    size = a.cov.shape[0] if isinstance(a, Moments) else np.shape(a)[-1]
    if np.ndim(b) != 2 or b.shape[1] != size or len(b) < LEAST or points < 3:
        raise MetricError(
            f"An extrapolation needs features (N, {size}) of at least {LEAST} generated images and 3 points, not "
            f"{np.shape(b)} and {points}."
        )
    real = a if isinstance(a, Moments) else Moments.of(np.asanyarray(a))
    values, vectors = scipy.linalg.eigh(real.cov, driver="evd")
    root = vectors * np.sqrt(np.maximum(values, 0))
    # Below some 2.5 F images the distance is no line in 1 / N.
    least = min(max(len(b) * SMALLEST, 2.5 * size), len(b) / 2)
    sizes = np.linspace(least, len(b), points).astype(int)
    order, centre = np.random.default_rng(seed).permutation(len(b)), real.mean
    total, products, distances, done = np.zeros(size), np.zeros((size, size)), [], 0
    for count in sizes:
        for start in range(done, count, BLOCK_ROWS):
            rows = np.sort(order[start : min(start + BLOCK_ROWS, count)])
            centred = b[rows] - centre  # sums around a common point keep their digits
            total += centred.sum(axis=0)
            products += centred.T @ centred
        release(b)
        done = int(count)
        mean = total / count
        cov = (products - count * np.outer(mean, mean)) / (count - 1)
        product = root.T @ cov @ root
        roots = np.sqrt(np.maximum(scipy.linalg.eigvalsh((product + product.T) / 2), 0)).sum()
        distances.append(float(mean @ mean + np.trace(real.cov) + np.trace(cov) - 2 * roots))
    found, reciprocal = np.array(distances), 1 / sizes
    spread = reciprocal - reciprocal.mean()
    weights = 1 / len(sizes) - reciprocal.mean() * spread / (spread @ spread)  # of the distances in the intercept
    of_real, of_generated = frechet_variances([real, Moments(centre + mean, cov, len(b))], [a, b])
    # The distances of nested subsets share their images: their covariance is the variance of the larger one.
    larger = len(b) / np.maximum.outer(sizes, sizes)
    variance = of_real + of_generated * (weights @ larger @ weights)
    return Extrapolated(float(weights @ found), math.sqrt(variance), sizes, found)
