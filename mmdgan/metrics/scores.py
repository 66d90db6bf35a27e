"""Distances and scores from features and logits, in float64 and blocks of samples, by tensorflow-gan's functions.

Fréchet distance: Heusel et al. 2017, Eq. 6. Classifier (Inception) score: Salimans et al. 2016. Kernel distance:
Bińkowski et al. 2018, with the block estimator of Zaremba et al. 2013.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg
import tensorflow as tf

from mmdgan.core.errors import MetricError
from mmdgan.metrics.features import tfgan
from mmdgan.metrics.mapped import release
from mmdgan.metrics.moments import Moments

TFGAN_FEATURES = 1024
"""The most features for which tensorflow-gan takes the matrix roots of a Fréchet distance.

Its two singular value decompositions run on one core and take a time that grows with the cube of F: of 2,048 features
20 to 25 seconds on a slow machine, several times those of the eigendecomposition (`benchmarks/metrics_time.py`).
"""
_LOGIT_ROWS = 4096


def frechet_distance(a: np.ndarray | Moments, b: np.ndarray | Moments, *, force: bool = False) -> float:
    """Fréchet distance of two feature sets, each seen as a Gaussian: |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)).

    Args:
        a, b: features (N, F) and (M, F), perhaps memory-mapped, or their moments; covariances divide by N - 1, M - 1.
        force: compute it even when a covariance cannot have full rank.

    Returns:
        The distance, 0 for equal moments; in squared units of the features.

    Raises:
        MetricError: N or M is less than F + 1 (without `force`), or the sets do not fit together.
    """
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


def frechet_method(features: int) -> str:
    """How `frechet_distance` takes matrix roots: "tensorflow-gan" or "symmetric eigendecomposition".

    Args:
        features: the number of features F.
    """
    return "tensorflow-gan" if features <= TFGAN_FEATURES else "symmetric eigendecomposition"


def trace_of_root_by_eigenvalues(a: np.ndarray, b: np.ndarray) -> float:
    """Trace of (A B)^(1/2) for covariances A and B by two symmetric eigendecompositions.

    It is the trace of (R B R)^(1/2) with R = A^(1/2). Where A = V diag(w) V', R B R has the eigenvalues of
    diag(w)^(1/2) V' B V diag(w)^(1/2), whose roots are summed. Covariances of deficient rank have eigenvalues that
    rounding makes slightly negative: they count as 0.

    Args:
        a, b: (F, F) float64, symmetric.
    """
    values, vectors = scipy.linalg.eigh(a, driver="evd")
    vectors *= np.sqrt(np.maximum(values, 0))
    product = vectors.T @ b @ vectors
    values = scipy.linalg.eigvalsh((product + product.T) / 2)
    return float(np.sum(np.sqrt(np.maximum(values, 0))))


def require_samples(count: float, features: int) -> None:
    """Refuses a Fréchet distance whose covariances cannot have full rank.

    Args:
        count: the number of images in the smaller set.
        features: the number of features F.

    Raises:
        MetricError: `count` is less than F + 1.
    """
    if count < features + 1:
        raise MetricError(
            f"A Fréchet distance of {features} features needs at least {features + 1} images on each side and has "
            f"{count}, so its covariance would be singular and the value meaningless: give more images, choose fewer "
            "features, or have it computed and marked all the same (`evaluate --force`)."
        )


def classifier_score(logits: np.ndarray, splits: int = 1) -> float:
    """Classifier score exp(mean KL(p(y|x) || p(y))); with the Inception graph's logits this is the Inception score.

    Args:
        logits: (N, K), before the softmax, perhaps memory-mapped.
        splits: number of equal consecutive parts, scored apart and averaged. The original uses 1, many papers 10.

    Returns:
        The score, from 1 (worst) to K.

    Raises:
        MetricError: logits of another rank, or fewer of them than splits.
    """
    return float(np.mean(_classifier_scores(logits, splits)))


def classifier_score_spread(logits: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """Mean and standard deviation of the classifier score over equal consecutive parts, as papers give it.

    Args:
        logits: (N, K), before the softmax, in random order.
        splits: number of parts.

    Returns:
        The mean and the standard deviation (divided by the number of parts, as usual for this score).

    Raises:
        MetricError: logits of another rank, or fewer of them than splits.
    """
    scores = _classifier_scores(logits, splits)
    return float(np.mean(scores)), float(np.std(scores))


def kernel_distance(a: np.ndarray, b: np.ndarray, *, block_size: int = 1024) -> float:
    """Kernel distance: the unbiased squared MMD of two feature sets with the kernel (x.y / F + 1)^3.

    It is averaged over blocks, which takes samples in their order: shuffle sets that are sorted.

    Args:
        a, b: features (N, F) and (M, F), perhaps memory-mapped; one block at a time is copied.
        block_size: the largest number of samples in a block; at least max(N, M) for a single block.

    Returns:
        The distance; it scatters around 0, and may be negative, for sets of the same distribution.

    Raises:
        MetricError: a block would hold fewer than two samples of a set, or the sets do not fit together.
    """
    return kernel_distance_error(a, b, block_size=block_size)[0]


def kernel_distance_error(a: np.ndarray, b: np.ndarray, *, block_size: int = 1024) -> tuple[float, float]:
    """Kernel distance and its standard error over the blocks, as tensorflow-gan's `..._and_std`.

    Args:
        a, b, block_size: as for `kernel_distance`.

    Returns:
        The distance, and its standard error: the standard deviation of the blocks' distances (divided by their number
        less one) over the root of their number; NaN for a single block.

    Raises:
        MetricError: as `kernel_distance`.
    """
    a, b = np.asanyarray(a), np.asanyarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise MetricError(f"Two feature sets (N, F) and (M, F) are needed, not {a.shape} and {b.shape}.")
    blocks = -(-max(len(a), len(b)) // block_size)
    if min(len(a), len(b)) < 2 * max(blocks, 1):
        raise MetricError(
            f"A kernel distance of {len(a)} and {len(b)} images in {blocks} blocks needs at least two images of each "
            "set in a block; give sets of similar size or a larger block_size."
        )
    distances = []
    with _without_deprecations():
        for part_a, part_b in zip(_parts(a, blocks), _parts(b, blocks), strict=True):
            distance = tfgan.load().kernel_classifier_distance_from_activations(
                tf.constant(part_a, tf.float64), tf.constant(part_b, tf.float64), max_block_size=block_size
            )
            distances.append(float(distance))
    error = np.std(distances, ddof=1) / math.sqrt(blocks) if blocks > 1 else math.nan
    return float(np.mean(distances)), float(error)


def _require_same_features(a: Moments, b: Moments) -> None:
    """Refuses moments of different features, as far as they say which theirs are."""
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


def _classifier_scores(logits: np.ndarray, splits: int) -> list[float]:
    """The classifier scores of equal consecutive parts of the logits."""
    logits = np.asanyarray(logits)
    if logits.ndim != 2 or not 1 <= splits <= len(logits):
        raise MetricError(
            f"A classifier score in {splits} splits needs logits (N, K) with N >= splits, not {logits.shape}."
        )
    return [_classifier_score(part) for part in np.array_split(logits, splits)]


def _classifier_score(logits: np.ndarray) -> float:
    """The score of one part: class probabilities are averaged in a first pass over blocks, divergences in a second."""
    divergence = tfgan.load().kl_divergence
    blocks = [logits[start : start + _LOGIT_ROWS] for start in range(0, len(logits), _LOGIT_ROWS)]
    total = sum(tf.reduce_sum(tf.nn.softmax(tf.constant(block, tf.float64)), axis=0) for block in blocks)
    marginal = total / len(logits)
    divergences = 0.0
    for block in blocks:
        block = tf.constant(block, tf.float64)
        divergences += float(tf.reduce_sum(divergence(tf.nn.softmax(block), block, marginal)))
    return math.exp(divergences / len(logits))


def _parts(features: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """`count` consecutive parts, the later ones larger by one where they cannot be equal, as tensorflow-gan cuts."""
    size, larger = divmod(len(features), count)
    ends = np.cumsum([size] * (count - larger) + [size + 1] * larger)
    for end, length in zip(ends, np.diff(ends, prepend=0), strict=True):
        yield features[end - length : end]
        release(features)


@contextlib.contextmanager
def _without_deprecations() -> Iterator[None]:
    """Silences TensorFlow's advice on tensorflow-gan's use of map_fn, which no user can follow."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
