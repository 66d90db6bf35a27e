"""95% confidence intervals of scores: of the expected value of a score of as many images, over other draws of them.

    make_record("FID", value, ..., interval=around(value, error, "delta method over images"))

Scores such as FID are biased: of few images they are larger than of many. An interval says how far a score would
scatter if images were drawn again, as many as before; so it fits the difference of two scores of equally many images.
Where the bias itself is the question, `FID infinity` answers (`mmdgan.metrics.scores.fid_infinity`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmdgan.core.lazy import np

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054


class Interval(NamedTuple):
    """A 95% confidence interval, and how it was made."""

    low: float
    high: float
    method: str


def around(
    value: float | None,
    error: float,
    method: str,
    freedom: float = math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> Interval | None:
    """``value -+ quantile error``.

    Args:
        value: The score; None has no interval.
        error: Its standard error; without a finite one there is no interval.
        method: How the error was found.
        freedom: Degrees of freedom of Student's distribution, for errors of a few blocks.
        least, most: Bounds of the score's values.
    """
    if value is None or not math.isfinite(value) or not math.isfinite(error):
        return None
    import scipy.stats

    quantile = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, freedom))
    return Interval(max(least, value - quantile * error), min(most, value + quantile * error), method)


def of_share(share: float, count: float) -> Interval:
    """The interval of a share of `count` independent images (Wilson 1927), which is never empty."""
    square = NORMAL_QUANTILE**2 / count
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return Interval(max(0.0, centre - half), min(1.0, centre + half), "Wilson's, of a share")


def jackknife(without: Sequence[float]) -> float:
    """The standard error of a value whose values without each of several equal groups are given."""
    values = np.asarray(without, np.float64)
    return float(math.sqrt((len(values) - 1) * np.var(values)))


def exceeds(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Whether two scores differ by more than their 95% intervals allow; None where one has no interval.

    The ends that face each other are taken as independent, which is cautious where both share their real images.
    """
    low, high = sorted((one, other), key=lambda record: record["value"] or 0.0)
    if not low.get("interval") or not high.get("interval") or low["value"] is None or high["value"] is None:
        return None
    allowed = math.hypot(low["interval"][1] - low["value"], high["value"] - high["interval"][0])
    return high["value"] - low["value"] > allowed
