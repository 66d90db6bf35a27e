"""Multi-scale structural similarity (MS-SSIM) of pairs of images: Wang et al. 2003.

Between images of one set it measures diversity (Odena et al. 2017; the paper's Table 1): the lower, the more diverse.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np, tf
from mmdgan.metrics.context import Context, Facts, Side
from mmdgan.metrics.intervals import around, jackknife
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import LOWER, Metric, Score, register

KEPT = 50
"""Images whose moments are kept for other pairs: 3 MB each of 256 x 256 pixels in colour."""
SMALLEST = 176
"""The side at which the Gaussian window still fits the fifth scale."""

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _TILE = 11, 32
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@register
class StructuralSimilarity(Metric):
    """MS-SSIM within the generated and within the real images."""

    identifier = "ms_ssim"
    scores = (Score("MS-SSIM", LOWER, words="how alike pairs of generated images are"),)
    place = 5
    features = False
    slow = True

    def check(self, facts: Facts) -> None:
        if min(facts.count, facts.count_real) < 3:
            raise MetricError("ms_ssim compares images of one set: give at least 3 on each side.")

    def compute(self, context: Context) -> Iterator[dict]:
        yield from _records(context, context.generated, "")

    def compute_real(self, context: Context) -> Iterator[dict]:
        yield from _records(context, context.real_side, " real")


def _records(context: Context, side: Side, suffix: str) -> Iterator[dict]:
    pairs, seed = context.options.pairs, context.seed
    # Twice as many images as pairs, as far as there are enough, so that few pairs share one.
    images = side.images.take(side.random(2 * pairs, seed))
    resize = "none" if tuple(side.images.shape[:2]) == (256, 256) else "bilinear to 256x256"
    first, second, values = _random_pairs(images, pairs, seed)
    value, error = float(values.mean()), float(values.std(ddof=1) / math.sqrt(pairs))
    scatter = error_of_pairs(values, first, second)
    of = f"standard error over {pairs:,} random pairs"
    yield make_record(
        f"MS-SSIM{suffix}",
        value,
        len(images),
        spread=error,
        spread_of=of,
        interval=around(value, scatter, "normal quantiles over random pairs and their images", least=0.0, most=1.0),
        pairs=pairs,
        resize=resize,
    )
    images = images[: context.options.all_pairs_of]
    pairs = math.comb(len(images), 2)
    value, error = ms_ssim_all_pairs(images)
    of = f"standard error over all {pairs:,} pairs of {len(images)} images"
    name = f"MS-SSIM all pairs{suffix}"
    freedom = len(images) - 1
    yield make_record(
        name,
        value,
        len(images),
        spread=error,
        spread_of=of,
        interval=around(value, error, "jackknife over images", freedom, least=0.0, most=1.0),
        pairs=pairs,
        resize=resize,
    )


def ms_ssim(x: np.ndarray, y: np.ndarray, *, size: int = 256, legacy: bool = False) -> float:
    """Mean MS-SSIM of x[i] and y[i]; the original's own score is ms_ssim(x[:half], x[half:]) of a batch.

    Args:
        x, y: Images (N, H, W, C), uint8, or float in [-1, 1].
        size: Side to which images of another size are resized, bilinear: with half-pixel centres, antialiased.
        legacy: Whether to do as the original: resize without either, and take (x + 1) * 128.5 as brightness instead of
            (x + 1) * 127.5.

    Returns:
        From 0 to 1, which equal images have. Five scales, Gaussian window of 11 pixels with sigma 1.5, K1 = 0.01,
        K2 = 0.03, negative terms clipped, mean over channels.

    Raises:
        MetricError: The images do not fit together, or the size is below 176 or not a multiple of 16.
    """
    return float(np.mean(ms_ssim_pairs(x, y, size=size, legacy=legacy)))


def ms_ssim_pairs(x: np.ndarray, y: np.ndarray, *, size: int = 256, legacy: bool = False) -> np.ndarray:
    """MS-SSIM (N,) of x[i] and y[i]; arguments and errors are those of `ms_ssim`."""
    x, y = np.asanyarray(x), np.asanyarray(y)
    if x.ndim != 4 or x.shape != y.shape or not len(x):
        raise MetricError(f"MS-SSIM compares images (N, H, W, C) of equal number and shape, not {x.shape}, {y.shape}.")
    return _of_pairs(x, np.arange(len(x)), y, np.arange(len(x)), size, legacy)


def ms_ssim_random_pairs(
    images: np.ndarray, pairs: int = 1000, seed: int = 0, *, size: int = 256, legacy: bool = False
) -> tuple[float, float]:
    """Mean MS-SSIM of random pairs of different images of one set, and its standard error.

    Args:
        images: At least two images (N, H, W, C), uint8, or float in [-1, 1].
        pairs: Number of pairs, drawn independently of one another.
        seed: Seed of the choice of pairs.
        size, legacy: As for `ms_ssim`.

    Returns:
        The mean, and the standard deviation over pairs by the root of their number: the error that comes from the
        choice of pairs.

    Raises:
        MetricError: Fewer than two images or pairs; otherwise as `ms_ssim`.
    """
    _, _, values = _random_pairs(images, pairs, seed, size=size, legacy=legacy)
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(pairs))


def error_of_pairs(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Standard error of the mean of pairs (P,), where pairs that share an image are not independent.

    Args:
        values: (P,)
        first, second: (P,), the images of each pair.

    Returns:
        Root of the sum of e_p e_q over all p, q that share an image, by P, with e = values - mean; at least the error
        of independent pairs. Source: Aronow, Samii, Assenova 2015. Different p, q of the same two images count twice:
        of few images, for which the error is too small even so.
    """
    centred = values - values.mean()
    count = max(first.max(), second.max()) + 1
    of_images = np.bincount(first, centred, count) + np.bincount(second, centred, count)
    alone = centred @ centred
    return math.sqrt(max(of_images @ of_images - alone, alone)) / len(values)


def _random_pairs(
    images: np.ndarray, pairs: int, seed: int, *, size: int = 256, legacy: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The images of random pairs, and their MS-SSIM: (P,) each."""
    images = _checked(images, 2)
    if pairs < 2:
        raise MetricError(f"A standard error needs at least two pairs of images, not {pairs}.")
    random = np.random.default_rng(seed)
    first = random.integers(0, len(images), pairs)
    second = (first + random.integers(1, len(images), pairs)) % len(images)
    return first, second, _of_pairs(images, first, images, second, size, legacy)


def ms_ssim_all_pairs(images: np.ndarray, *, size: int = 256, legacy: bool = False) -> tuple[float, float]:
    """Mean MS-SSIM of all N (N - 1) / 2 pairs of one set, and its standard error.

    Args:
        images: At least three images (N, H, W, C), uint8, or float in [-1, 1].
        size, legacy: As for `ms_ssim`.

    Returns:
        The mean, and its standard error by the jackknife over images, for pairs that share an image are not
        independent: ((N - 1) / N * sum_i (m_i - mean m)^2)^(1/2), m_i the mean of all pairs without image i.

    Raises:
        MetricError: Fewer than three images; otherwise as `ms_ssim`.
    """
    images = _checked(images, 3)
    count = len(images)
    first, second = np.triu_indices(count, 1)
    values = np.zeros((count, count))
    values[first, second] = _of_pairs(images, first, images, second, size, legacy)
    return mean_of_pairs(values + values.T)


def mean_of_pairs(values: np.ndarray) -> tuple[float, float]:
    """The mean over pairs of images, and its jackknife error; from symmetric values (N, N), 0 on the diagonal."""
    count, total = len(values), values.sum() / 2
    without = (total - values.sum(axis=1)) / math.comb(count - 1, 2)
    return float(total / math.comb(count, 2)), jackknife(without)


def brightness(images: np.ndarray, legacy: bool = False) -> np.ndarray:
    """Images as float32 from 0 to 255; of floats in [-1, 1] (x + 1) * 127.5.

    Args:
        images: Any shape, uint8, or float in [-1, 1].
        legacy: Whether to take (x + 1) * 128.5 as the original, up to 257, where uint8 images v are x = v / 127.5 - 1.

    Raises:
        MetricError: Another type, or values outside [-1, 1].
    """
    if images.dtype == np.uint8:
        return images.astype(np.float32) * np.float32(128.5 / 127.5 if legacy else 1)
    if not np.issubdtype(images.dtype, np.floating) or not np.abs(images).max(initial=0) <= 1 + 1e-6:
        raise MetricError(f"Images are uint8, or float in [-1, 1], not {images.dtype} of other values.")
    return (images.astype(np.float32) + 1) * np.float32(128.5 if legacy else 127.5)


def _of_pairs(
    x: np.ndarray, first: np.ndarray, y: np.ndarray, second: np.ndarray, size: int, legacy: bool
) -> np.ndarray:
    """MS-SSIM (N,) float64 of the images x[first[i]] and y[second[i]]."""
    if size < SMALLEST or size % 16:
        raise MetricError(
            f"MS-SSIM on five scales needs a size of at least {SMALLEST} pixels that is a multiple of 16, not {size}."
        )
    if x.shape[-1] not in (1, 3):
        raise MetricError(f"MS-SSIM compares images (N, H, W, 1 or 3), not {x.shape}: channels come last.")
    maps = [_maps(side, size, legacy, len(_WEIGHTS)) for side in x.shape[1:3]]

    @functools.lru_cache(KEPT)
    def moments(of_y: bool, place: int) -> list[_Moments]:
        image = brightness((y if of_y else x)[place], legacy)
        return _moments(np.moveaxis(image, 2, 0), *maps)

    pairs = zip(first.tolist(), second.tolist(), strict=True)
    return np.array([_of_pair(moments(False, i), moments(y is not x, j), *maps) for i, j in pairs])


class _Maps(NamedTuple):
    """Linear maps along one axis of an image, at one scale.

    Attributes:
        image: From the pixels given to those of the scale: resizing and averages of neighbours, (n, side).
        mean: From the pixels given to the Gaussian means of the scale, (n - 10, side).
        window: From the pixels of the scale to their Gaussian means, (n - 10, n).
    """

    image: np.ndarray
    mean: np.ndarray
    window: np.ndarray


@functools.cache
def _maps(side: int, size: int, legacy: bool, scales: int) -> list[_Maps]:
    """The maps of each scale, float32, of images with `side` pixels that are resized to `size`."""
    found, image = [], np.eye(side)
    if side != size:
        columns, shape = image[None, ..., None].astype(np.float32), (size, side)
        resize = tf.compat.v1.image.resize_bilinear if legacy else functools.partial(tf.image.resize, antialias=True)
        image = resize(columns, shape).numpy()[0, ..., 0].astype(np.float64)
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    gaussian = np.exp(-(offsets**2) / (2 * 1.5**2))
    for scale in range(scales):
        image = (image[::2] + image[1::2]) / 2 if scale else image
        window = np.zeros((len(image) - _WINDOW + 1, len(image)))
        for row, pixels in enumerate(window):
            pixels[row : row + _WINDOW] = gaussian / gaussian.sum()
        found.append(_Maps(*(x.astype(np.float32) for x in (image, window @ image, window))))
    return found


class _Moments(NamedTuple):
    """An image at one scale, (C, n, m), and its Gaussian means and variances, (C, n - 10, m - 10)."""

    image: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def _moments(image: np.ndarray, along_rows: Sequence[_Maps], along_columns: Sequence[_Maps]) -> list[_Moments]:
    """The moments of an image, float32 (C, H, W), at each scale."""
    found = []
    for rows, columns in zip(along_rows, along_columns, strict=True):
        x, mean = rows.image @ image @ columns.image.T, rows.mean @ image @ columns.mean.T
        variance = _blur(x * x, rows.window, columns.window)
        variance -= mean * mean
        found.append(_Moments(x, mean, variance))
    return found


def _of_pair(
    x: Sequence[_Moments], y: Sequence[_Moments], along_rows: Sequence[_Maps], along_columns: Sequence[_Maps]
) -> float:
    """MS-SSIM of two images, as `tf.image.ssim_multiscale`, which does not use that its filter is separable."""
    terms = []
    for scale, (a, b, rows, columns) in enumerate(zip(x, y, along_rows, along_columns, strict=True), 1):
        means = a.mean * b.mean
        similarity = _blur(a.image * b.image, rows.window, columns.window)
        similarity -= means
        similarity += _C2 / 2
        similarity /= a.variance + b.variance + _C2
        if scale == len(_WEIGHTS):
            similarity *= (2 * means + _C1) / (a.mean**2 + b.mean**2 + _C1)
        terms.append(2 * similarity.mean(axis=(1, 2), dtype=np.float64))
    return float(np.prod(np.maximum(terms, 0) ** np.reshape(_WEIGHTS, (-1, 1)), axis=0).mean())


def _blur(planes: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Gaussian means of planes (..., H, W), in products with those parts of the windows that are not zero."""
    half = np.empty((*planes.shape[:-2], len(rows), planes.shape[-1]), np.float32)
    for some, near in _tiles(len(rows)):
        np.matmul(rows[some, near], planes[..., near, :], out=half[..., some, :])
    blurred = np.empty((*half.shape[:-1], len(columns)), np.float32)
    for some, near in _tiles(len(columns)):
        np.matmul(half[..., near], columns[some, near].T, out=blurred[..., some])
    return blurred


def _tiles(count: int) -> Iterator[tuple[slice, slice]]:
    """Parts of the means along an axis, and of the pixels in their windows."""
    for start in range(0, count, _TILE):
        end = min(start + _TILE, count)
        yield slice(start, end), slice(start, end + _WINDOW - 1)


def _checked(images: np.ndarray, least: int) -> np.ndarray:
    images = np.asanyarray(images)
    if images.ndim != 4 or len(images) < least:
        raise MetricError(f"MS-SSIM of pairs needs at least {least} images (N, H, W, C), not {images.shape}.")
    return images
