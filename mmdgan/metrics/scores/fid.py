"""Fréchet distance of features, in float64; with the 2015 Inception graph's features it is FID.

Source: Heusel et al. 2017, Eq. 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np, tf
from mmdgan.metrics.context import Context, Facts, Side
from mmdgan.metrics.features import tfgan
from mmdgan.metrics.features.cache import release
from mmdgan.metrics.intervals import Interval, around
from mmdgan.metrics.moments import BLOCK_ROWS, Moments, unknown_of_statistics
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import LOWER, Metric, Score, register

TFGAN_FEATURES = 1024
"""The most features for which tensorflow-gan takes the matrix roots of a Fréchet distance.

Its two singular value decompositions run on one core and take a time that grows with the cube of F: of 2,048 features
20 to 25 seconds on a slow machine, several times those of the eigendecomposition (`benchmarks/metrics_time.py`).
"""


@register
class FrechetDistance(Metric):
    """Fréchet distance between both sets, and between two halves of the real images as the original reports it."""

    identifier = "fid"
    scores = (
        Score("FID", LOWER, other="FD[{}]", judge="fid", words="Fréchet distance from the real images' features"),
    )
    place = 1
    statistics = True

    def check(self, facts: Facts) -> None:
        if not facts.options.force:
            require_samples(min(count for count in (facts.count, facts.count_real) if count), facts.features)

    def compute(self, context: Context) -> Iterator[dict]:
        generated, real, features = context.generated, context.real, context.extractor.feature_count
        sets = [real.features if isinstance(real, Side) else real, generated.features]
        moments = [x if isinstance(x, Moments) else Moments.of(x) for x in sets]
        value = unclipped_distance(*moments, force=context.options.force)
        notes = [] if isinstance(real, Side) else unknown_of_statistics(real)
        if generated.count <= features or 0 < real.count <= features:
            notes.append(f"forced: fewer images than {features} features + 1, so the value means little")
        notes += [clipped_note(value)] if value < 0 else []
        yield make_record(
            self.scores[0].of(context.label),
            max(value, 0.0),
            generated.count,
            real.count or None,
            interval=frechet_interval(value, moments, sets),
            note="; ".join(notes),
            method=frechet_method(features),
        )

    def compute_real(self, context: Context) -> Iterator[dict]:
        if not isinstance(context.real, Side):
            return
        name = self.scores[0].of(context.label) + " real-real"
        features, half = context.extractor.feature_count, context.real.count // 2
        if half <= features:
            yield make_record(name, None, half, half, note=f"needs {2 * (features + 1):,} real images")
            return
        real = context.real.features
        halves = [real[:half], real[-half:]]
        moments = [Moments.of(part) for part in halves]
        value = unclipped_distance(*moments)
        interval = frechet_interval(value, moments, halves)
        note = clipped_note(value) if value < 0 else None
        yield make_record(
            name, max(value, 0.0), half, half, interval=interval, note=note, method=frechet_method(features)
        )


def frechet_distance(a: np.ndarray | Moments, b: np.ndarray | Moments, *, force: bool = False) -> float:
    """Fréchet distance of two feature sets, each seen as a Gaussian: |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)).

    Args:
        a, b: Features (N, F) and (M, F), memory-mapped or not, or their moments; covariances divide by N - 1, M - 1.
        force: Whether to compute it even if a covariance cannot have full rank.

    Returns:
        The distance, 0 for equal moments; in squared units of the features. What rounding makes negative is 0.

    Raises:
        MetricError: N or M is less than F + 1 (without `force`), or the sets do not fit together.
    """
    return max(unclipped_distance(a, b, force=force), 0.0)


def unclipped_distance(a: np.ndarray | Moments, b: np.ndarray | Moments, *, force: bool = False) -> float:
    """As `frechet_distance`, but possibly a little below 0: differences of large traces are rounded."""
    sizes: list[tuple[int, ...]] = [x.cov.shape if isinstance(x, Moments) else np.shape(x) for x in (a, b)]
    if any(len(size) != 2 for size in sizes) or sizes[0][1] != sizes[1][1]:
        shapes: list[Any] = [a, b]
        raise MetricError(
            f"Two feature sets (N, F) and (M, F) are needed, not {' and '.join(str(np.shape(x)) for x in shapes)}."
        )
    counts = [x.count if isinstance(x, Moments) else len(x) for x in (a, b)]
    if not force:
        require_samples(min((count for count in counts if count), default=math.inf), sizes[0][1])
    a, b = (x if isinstance(x, Moments) else Moments.of(np.asarray(x)) for x in (a, b))
    _require_same_features(a, b)
    root = _trace_of_root(a.cov, b.cov)
    return float(np.sum((a.mean - b.mean) ** 2) + np.trace(a.cov) + np.trace(b.cov) - 2 * root)


def clipped_note(value: float) -> str:
    """What a record says of a negative distance that it holds as 0."""
    return f"rounding gave {value:.1e}, which counts as 0"


def frechet_interval(value: float, moments: Sequence[Moments], sets: Sequence[np.ndarray | Moments]) -> Interval | None:
    """The interval of a Fréchet distance; of fewer images than features + 1 there is none.

    Args:
        value: The distance.
        moments: Of both sets.
        sets: Features (N, F) and (M, F), memory-mapped or not; of stored moments nothing is known of their scatter.
    """
    if any(len(x) <= x.shape[1] for x in sets if not isinstance(x, Moments)):
        return None
    stored = any(isinstance(x, Moments) for x in sets)
    of = "the generated images; stored statistics count as exact" if stored else "the images of both sets"
    return around(max(value, 0.0), frechet_error(moments, sets), f"delta method over {of}", least=0.0)


def frechet_error(moments: Sequence[Moments], sets: Sequence[np.ndarray | Moments]) -> float:
    """The standard error of a Fréchet distance; arguments as for `frechet_interval`."""
    return math.sqrt(sum(frechet_variances(moments, sets)))


def frechet_variances(moments: Sequence[Moments], sets: Sequence[np.ndarray | Moments]) -> tuple[float, float]:
    """The parts of both sets in the variance of a Fréchet distance, by the delta method; stored moments have none.

    A small change of the weight of one sample x of a set with mean m and covariance S changes the distance by

        u(x) = |x - m|^2 - (x - m)' T (x - m) + 2 (m - n)' (x - m) - constant,

    with the other set's mean n, and T the linear map that takes the Gaussian to the other set's, whose covariance T S T
    is: T = S^(-1/2) (S^(1/2) S' S^(1/2))^(1/2) S^(-1/2). A set's part is var u / N.
    Directions in which the first set does not vary are left out of T.
    """
    import scipy.linalg

    first, second = moments
    values, vectors = scipy.linalg.eigh(first.cov, driver="evd")
    known = values > values[-1] * 1e-12
    root = np.sqrt(np.where(known, values, 0.0))
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=known)
    product = (vectors * root).T @ second.cov @ (vectors * root)
    squares, turned = scipy.linalg.eigh((product + product.T) / 2, driver="evd")
    quarter = np.maximum(squares, 0.0) ** 0.25
    back = np.divide(1.0, quarter, out=np.zeros_like(quarter), where=quarter > quarter[-1] * 1e-6)
    # T = G G' of the first set, and its inverse of the second.
    maps = (vectors * inverse) @ (turned * quarter), (vectors * root) @ (turned * back)
    parts = [0.0, 0.0]
    for part, (own, other, features, factor) in enumerate(
        zip((first, second), (second, first), sets, maps, strict=True)
    ):
        if isinstance(features, Moments):
            continue
        changes = []
        for start in range(0, len(features), BLOCK_ROWS):
            centred = features[start : start + BLOCK_ROWS] - own.mean
            mapped = centred @ factor
            changes.append(
                np.sum(centred * (centred + 2 * (own.mean - other.mean)), axis=1) - np.sum(mapped**2, axis=1)
            )
            release(features)
        parts[part] = float(np.var(np.concatenate(changes)) / (len(features) - 1))
    return parts[0], parts[1]


def frechet_method(features: int) -> str:
    """How `frechet_distance` takes the matrix roots of covariances of so many features."""
    return "tensorflow-gan" if features <= TFGAN_FEATURES else "symmetric eigendecomposition"


def trace_of_root_by_eigenvalues(a: np.ndarray, b: np.ndarray) -> float:
    """Trace of (A B)^(1/2) for covariances A and B, (F, F) float64, by two symmetric eigendecompositions.

    It is the trace of (R B R)^(1/2) with R = A^(1/2). Where A = V diag(w) V', R B R has the eigenvalues of
    diag(w)^(1/2) V' B V diag(w)^(1/2), whose roots are summed. Covariances of deficient rank have eigenvalues that
    rounding makes slightly negative: they count as 0.
    """
    import scipy.linalg

    values, vectors = scipy.linalg.eigh(a, driver="evd")
    vectors *= np.sqrt(np.maximum(values, 0))
    product = vectors.T @ b @ vectors
    values = scipy.linalg.eigvalsh((product + product.T) / 2)
    return float(np.sum(np.sqrt(np.maximum(values, 0))))


def require_samples(count: float, features: int) -> None:
    """Raises a MetricError if the smaller set has fewer than F + 1 images: a covariance would be singular."""
    if count < features + 1:
        raise MetricError(
            f"A Fréchet distance of {features} features needs at least {features + 1} images on each side and has "
            f"{count}, so its covariance would be singular and the value meaningless: give more images, choose fewer "
            "features or one of fid_infinity, kid and mind, or have it computed and marked all the same (`evaluate "
            "--force`)."
        )


def _require_same_features(a: Moments, b: Moments) -> None:
    """Raises a MetricError for moments of different features, as far as they say which theirs are."""
    for name in ("features", "feature_hash"):
        ours, theirs = getattr(a, name), getattr(b, name)
        if ours and theirs and ours != theirs:
            raise MetricError(
                f"Moments of different features have no distance: their {name.replace('_', ' ')} is {ours} here and "
                f"{theirs} there; compute both from the same features."
            )


def _trace_of_root(a: np.ndarray, b: np.ndarray) -> float:
    """Trace of (A B)^(1/2) for covariances A and B."""
    if frechet_method(len(a)) != "tensorflow-gan":
        return trace_of_root_by_eigenvalues(a, b)
    # tensorflow-gan leaves singular values below 1e-10 without a root: of small features those would be all of them.
    scale = max(np.trace(a), np.trace(b)) / len(a) or 1.0
    return float(scale * tfgan.load().trace_sqrt_product(tf.constant(a / scale), tf.constant(b / scale)))
