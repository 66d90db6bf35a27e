"""CMMD: the squared MMD of CLIP features with a Gaussian kernel of a fixed width (Jayasumana et al. 2024).

As their code: features of length 1, sigma 10, plain means over all pairs (the V-statistic), times 1,000. It makes no
assumption on the distribution of the features and needs fewer images than FID.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.metrics.context import Context, Facts
from mmdgan.metrics.intervals import NORMAL_QUANTILE, Interval
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import LOWER, Metric, Score, register

SIGMA, SCALE = 10.0, 1000.0


@register
class ClipMMD(Metric):
    """Squared MMD of CLIP features with the published kernel width."""

    identifier = "cmmd"
    scores = (Score("CMMD", LOWER, words="squared MMD of CLIP features", judge="cmmd"),)
    place = 3
    slow = True

    def check(self, facts: Facts) -> None:
        if facts.label != "clip":
            raise MetricError(
                f"cmmd is defined for CLIP features, and these are {facts.label}: give --features=clip, or choose kid."
            )

    def compute(self, context: Context) -> Iterator[dict]:
        generated, real = context.generated, context.real_side
        value, (low, high) = clip_mmd(real.features, generated.features)
        interval = Interval(low, high, "V-statistic over images")
        yield make_record("CMMD", value, generated.count, real.count, interval=interval, sigma=SIGMA, scale=SCALE)


def clip_mmd(a: np.ndarray, b: np.ndarray) -> tuple[float, tuple[float, float]]:
    """CMMD of CLIP features (N, F) and (M, F), and its 95% interval; rows are divided by their lengths.

    The interval is that of the unbiased estimate (`mmdgan.mmd`), moved by the difference of both estimates.

    Raises:
        MetricError: The sets do not fit together, or hold fewer than two images.
    """
    from mmdgan.mmd.estimators import kernel_members, sums_of, tiles

    a, b = np.asanyarray(a), np.asanyarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise MetricError(f"CMMD needs features (N, F) and (M, F) of at least two images, not {a.shape} and {b.shape}.")
    a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (a, b))
    members, _ = kernel_members("gaussian", SIGMA, {}, lambda: SIGMA)
    m, n = len(a), len(b)
    sums = sums_of(tiles(a, b, members), m, n)
    # A row's kernel value with itself is 1.
    value = (sums.xx.sum() + m) / m**2 + (sums.yy.sum() + n) / n**2 - 2 * sums.xy.sum() / (m * n)
    moved = value - sums.unbiased()
    low, high = (SCALE * (end + moved) for end in sums.interval(NORMAL_QUANTILE))
    return float(SCALE * value), (min(low, SCALE * value), max(high, SCALE * value))
