"""Distances and scores from features and logits, computed by tensorflow-gan in float64.

Fréchet distance: Heusel et al. 2017, Eq. 6. Classifier (Inception) score: Salimans et al. 2016. Kernel distance:
Bińkowski et al. 2018, with the block estimator of Zaremba et al. 2013.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from mmdgan.errors import MetricError
from mmdgan.metrics import tfgan


def frechet_distance(a: np.ndarray, b: np.ndarray, *, force: bool = False) -> float:
    """Fréchet distance of two feature sets, each seen as a Gaussian: |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)).

    Args:
        a, b: features (N, F) and (M, F); covariances divide by N - 1 and M - 1.
        force: compute it even when a covariance cannot have full rank.

    Returns:
        The distance, 0 for equal moments; in squared units of the features.

    Raises:
        MetricError: N or M is less than F + 1 (without `force`), or the sets do not fit together.
    """
    a, b = _feature_sets(a, b)
    if not force:
        require_samples(min(len(a), len(b)), a.shape[1])
    return _number(tfgan.load().frechet_classifier_distance_from_activations(a, b))


def require_samples(count: int, features: int) -> None:
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
            f"{count}, so its covariance would be singular and the value meaningless: give more images, or choose "
            "features that are fewer."
        )


def classifier_score(logits: np.ndarray, splits: int = 1) -> float:
    """Classifier score exp(mean KL(p(y|x) || p(y))); with the Inception graph's logits this is the Inception score.

    Args:
        logits: (N, K), before the softmax.
        splits: number of equal consecutive parts, scored apart and averaged. The original uses 1, many papers 10.

    Returns:
        The score, from 1 (worst) to K.

    Raises:
        MetricError: logits of another rank, or fewer of them than splits.
    """
    logits = np.asarray(logits, np.float64)
    if logits.ndim != 2 or not 1 <= splits <= len(logits):
        raise MetricError(
            f"A classifier score in {splits} splits needs logits (N, K) with N >= splits, not {logits.shape}."
        )
    parts = np.array_split(logits, splits)
    return float(np.mean([_number(tfgan.load().classifier_score_from_logits(tf.constant(part))) for part in parts]))


def kernel_distance(a: np.ndarray, b: np.ndarray, *, block_size: int = 1024) -> float:
    """Kernel distance: the unbiased squared MMD of two feature sets with the kernel (x.y / F + 1)^3.

    It is averaged over blocks, which takes samples in their order: shuffle sets that are sorted.

    Args:
        a, b: features (N, F) and (M, F).
        block_size: the largest number of samples in a block; at least max(N, M) for a single block.

    Returns:
        The distance; it scatters around 0, and may be negative, for sets of the same distribution.

    Raises:
        MetricError: a block would hold fewer than two samples of a set, or the sets do not fit together.
    """
    a, b = _feature_sets(a, b)
    blocks = -(-max(len(a), len(b)) // block_size)
    if min(len(a), len(b)) < 2 * blocks:
        raise MetricError(
            f"A kernel distance of {len(a)} and {len(b)} images in {blocks} blocks needs at least two images of each "
            "set in a block; give sets of similar size or a larger block_size."
        )
    with _without_deprecations():
        distance = tfgan.load().kernel_classifier_distance_from_activations(
            tf.constant(a), tf.constant(b), max_block_size=block_size
        )
    return _number(distance)


def _feature_sets(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two feature sets as float64, checked."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise MetricError(f"Two feature sets (N, F) and (M, F) are needed, not {a.shape} and {b.shape}.")
    return a, b


def _number(value) -> float:
    """A scalar tensor, array or number as float."""
    return float(np.asarray(value))


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
