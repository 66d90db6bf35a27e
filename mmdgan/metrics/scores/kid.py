"""Kernel distance of features, in float64 and blocks; with the 2015 Inception graph's features it is KID.

Source: Bińkowski et al. 2018, with the block estimator of Zaremba et al. 2013.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np, tf
from mmdgan.core.progress import quiet_loggers
from mmdgan.metrics.context import Context, Facts
from mmdgan.metrics.features import tfgan
from mmdgan.metrics.features.cache import release
from mmdgan.metrics.intervals import NORMAL_QUANTILE, Interval, around
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import LOWER, Metric, Score, register


@register
class KernelDistance(Metric):
    """Kernel distance between both sets, unbiased, with its standard error over blocks."""

    identifier = "kid"
    scores = (Score("KID", LOWER, other="KD[{}]", judge="kid", words="squared MMD from the real images' features"),)
    place = 3

    def check(self, facts: Facts) -> None:
        size, blocks = _error_blocks(facts.count, facts.count_real, facts.options.block_size)
        if min(facts.count, facts.count_real) < 2 * blocks:
            raise MetricError(
                f"A kernel distance of {facts.count:,} and {facts.count_real:,} images in {blocks} blocks of up to "
                f"{size} needs at least two images of each set in a block: give sets of similar size."
            )

    def compute(self, context: Context) -> Iterator[dict]:
        generated, real, largest = context.generated, context.real_side, context.options.block_size
        size, blocks = _error_blocks(generated.count, real.count, largest)
        value, error = kernel_distance_error(real.features, generated.features, block_size=largest)
        if blocks != -(-max(generated.count, real.count) // largest):  # else they are the same blocks
            error = kernel_distance_error(real.features, generated.features, block_size=size)[1]
        interval = around(value, error, f"Student's quantiles over {blocks} blocks of images", freedom=blocks - 1)
        if max(generated.count, real.count) <= largest:
            low, high = _interval_of_one_block(real.features, generated.features)
            interval = Interval(min(low, value), max(high, value), "U-statistic over images")
        yield make_record(
            self.scores[0].of(context.label),
            value,
            generated.count,
            real.count,
            spread=error,
            spread_of=f"standard error over {blocks} blocks",
            interval=interval,
            block_size=largest,
            spread_block_size=size,
            blocks=blocks,
        )


def kernel_distance(a: np.ndarray, b: np.ndarray, *, block_size: int = 1024) -> float:
    """Kernel distance: the unbiased squared MMD of two feature sets with the kernel (x.y / F + 1)^3.

    It is averaged over blocks, which take samples in their order: shuffle sets that are sorted.

    Args:
        a, b: Features (N, F) and (M, F), memory-mapped or not; one block at a time is copied.
        block_size: The largest number of samples in a block; at least max(N, M) for a single block.

    Returns:
        The distance; it scatters around 0, and may be negative, for sets of the same distribution.

    Raises:
        MetricError: A block would hold fewer than two samples of a set, or the sets do not fit together.
    """
    return kernel_distance_error(a, b, block_size=block_size)[0]


def kernel_distance_error(a: np.ndarray, b: np.ndarray, *, block_size: int = 1024) -> tuple[float, float]:
    """Kernel distance and its standard error over the blocks, as tensorflow-gan's `..._and_std`.

    Arguments and errors are those of `kernel_distance`.

    Returns:
        The distance, and its standard error: the standard deviation of the blocks' distances (divided by their number
        less one) over the root of their number; NaN for a single block.
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
    # No user can follow TensorFlow's advice on tensorflow-gan's use of map_fn.
    with quiet_loggers(tf.get_logger().name):
        for part_a, part_b in zip(_parts(a, blocks), _parts(b, blocks), strict=True):
            distance = tfgan.load().kernel_classifier_distance_from_activations(
                tf.constant(part_a, tf.float64), tf.constant(part_b, tf.float64), max_block_size=block_size
            )
            distances.append(float(distance))
    error = np.std(distances, ddof=1) / math.sqrt(blocks) if blocks > 1 else math.nan
    return float(np.mean(distances)), float(error)


def _interval_of_one_block(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The 95% interval of a kernel distance from all pairs, as that of any squared MMD: cut at 0."""
    from mmdgan.mmd.estimators import sums_of

    tiles = []
    for pair, x, y in (("xx", a, a), ("yy", b, b), ("xy", a, b)):
        values = (np.asarray(x, np.float64) @ np.asarray(y, np.float64).T / a.shape[1] + 1) ** 3
        if pair != "xy":
            np.fill_diagonal(values, 0.0)
        tiles.append((pair, slice(None), slice(None), values))
    return sums_of(iter(tiles), len(a), len(b)).interval(NORMAL_QUANTILE)


def _error_blocks(count: int, count_real: int, largest: int) -> tuple[int, int]:
    """Size and number of the error's blocks: sets of a few thousand images get ten, so that there is an error."""
    most = max(count, count_real)
    size = min(largest, max(most // 10, 100))
    return size, -(-most // size)


def _parts(features: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """`count` consecutive parts, the later ones larger by one where they cannot be equal, as tensorflow-gan cuts."""
    size, larger = divmod(len(features), count)
    ends = np.cumsum([size] * (count - larger) + [size + 1] * larger)
    for end, length in zip(ends, np.diff(ends, prepend=0), strict=True):
        yield features[end - length : end]
        release(features)
