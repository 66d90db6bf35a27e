"""Classifier score of logits, in float64; with the 2015 Inception graph's logits it is the Inception score.

Source: Salimans et al. 2016.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np, tf
from mmdgan.metrics.context import Context, Facts, Side
from mmdgan.metrics.features import tfgan
from mmdgan.metrics.intervals import around
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import HIGHER, Metric, Score, register

_LOGIT_ROWS = 4096


@register
class ClassifierScore(Metric):
    """Classifier score of the generated and of the real images: in one split, as the original, and in several."""

    identifier = "is"
    scores = (
        Score("IS", HIGHER, other="CS[{}]", judge="is", words="how clear and how varied the classes of the images are"),
    )
    place = 2

    def check(self, facts: Facts) -> None:
        if not facts.logits:
            raise MetricError(
                f"The features {facts.label} come without logits, from which the metric 'is', the classifier score, is "
                "computed: leave 'is' out of the metrics, or choose inception or classifier features."
            )

    def compute(self, context: Context) -> Iterator[dict]:
        yield from self._records(context, context.generated, "")

    def compute_real(self, context: Context) -> Iterator[dict]:
        yield from self._records(context, context.real_side, " real")

    def _records(self, context: Context, side: Side, suffix: str) -> Iterator[dict]:
        name, splits = self.scores[0].of(context.label) + suffix, context.options.splits
        value, error = classifier_score_error(side.logits)
        interval = around(value, error, "delta method over images", least=1.0)
        yield make_record(name, value, side.count, interval=interval, score_splits=1)
        name = f"{name} ({splits} splits)"
        if side.count < splits:
            yield make_record(name, None, side.count, note=f"needs {splits} images", score_splits=splits)
            return
        value, spread = classifier_score_spread(side.logits, splits)
        of = f"standard deviation over {splits} splits"
        error = spread / math.sqrt(splits - 1) if splits > 1 else math.nan
        interval = around(value, error, f"Student's quantiles over {splits} splits", freedom=splits - 1)
        yield make_record(name, value, side.count, spread=spread, spread_of=of, interval=interval, score_splits=splits)


def classifier_score(logits: np.ndarray, splits: int = 1) -> float:
    """Classifier score exp(mean KL(p(y|x) || p(y))); with the Inception graph's logits this is the Inception score.

    Args:
        logits: (N, K), before the softmax, memory-mapped or not.
        splits: Number of equal consecutive parts, scored apart and averaged. The original uses 1, many papers 10.

    Returns:
        The score, from 1 (worst) to K.

    Raises:
        MetricError: Logits of another rank, or fewer of them than splits.
    """
    return classifier_score_spread(logits, splits)[0]


def classifier_score_spread(logits: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """Mean and standard deviation of the classifier score over equal consecutive parts, as papers give it.

    Arguments and errors are those of `classifier_score`; samples must be in random order. The standard deviation
    divides by the number of parts, as usual for this score.
    """
    logits = np.asanyarray(logits)
    if logits.ndim != 2 or not 1 <= splits <= len(logits):
        raise MetricError(
            f"A classifier score in {splits} splits needs logits (N, K) with N >= splits, not {logits.shape}."
        )
    scores = [_classifier_score(part) for part in np.array_split(logits, splits)]
    return float(np.mean(scores)), float(np.std(scores))


def classifier_score_error(logits: np.ndarray) -> tuple[float, float]:
    """The classifier score in one split, and its standard error by the delta method.

    A small change of one image's weight moves the score's logarithm by that image's divergence from the mean class
    probabilities, so the standard error is the score times that of the mean divergence.
    """
    total, squares = _divergences(np.asanyarray(logits))
    count = len(logits)
    variance = max(squares / count - (total / count) ** 2, 0.0)
    return math.exp(total / count), math.exp(total / count) * math.sqrt(variance / count)


def _classifier_score(logits: np.ndarray) -> float:
    return math.exp(_divergences(logits)[0] / len(logits))


def _divergences(logits: np.ndarray) -> tuple[float, float]:
    """The sum over images of KL(p(y|x) || p(y)), and that of its square.

    Class probabilities are averaged in a first pass over blocks, divergences in a second.
    """
    divergence = tfgan.load().kl_divergence
    blocks = [logits[start : start + _LOGIT_ROWS] for start in range(0, len(logits), _LOGIT_ROWS)]
    total = sum(tf.reduce_sum(tf.nn.softmax(tf.constant(block, tf.float64)), axis=0) for block in blocks)
    marginal = total / len(logits)
    divergences = squares = 0.0
    for block in blocks:
        block = tf.constant(block, tf.float64)
        found = divergence(tf.nn.softmax(block), block, marginal)
        divergences += float(tf.reduce_sum(found))
        squares += float(tf.reduce_sum(tf.square(found)))
    return divergences, squares
