"""Multi-scale structural similarity (MS-SSIM) of pairs of images: Wang et al. 2003.

Between images of one set it measures diversity (Odena et al. 2017; the paper's Table 1): the lower, the more diverse.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import correlate1d

from mmdgan.core.errors import MetricError

BATCH = 16
"""Images of a batch: at 256x256x3 what is kept of 16 images takes 50 MB, and comparing them about as much again."""
SMALLEST = 176
"""The side at which the Gaussian window still fits the fifth scale."""

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ms_ssim(x: np.ndarray, y: np.ndarray, *, size: int = 256, legacy: bool = False) -> float:
    """Mean MS-SSIM of x[i] against y[i]; the original's own score is ms_ssim(x[:half], x[half:]) of a batch.

    Args:
        x, y: (N, H, W, C), uint8, or float in [-1, 1].
        size: images of another side are resized to it, bilinear: with half-pixel centres, antialiased.
        legacy: as the original: resized without either, and brightness (x + 1) * 128.5 instead of (x + 1) * 127.5.

    Returns:
        From 0 to 1, which equal images have. Five scales, Gaussian window of 11 pixels with sigma 1.5, K1 = 0.01,
        K2 = 0.03, negative terms clipped, mean over channels.

    Raises:
        MetricError: images that do not fit together, or a size below 176 or no multiple of 16.
    """
    return float(np.mean(ms_ssim_pairs(x, y, size=size, legacy=legacy)))


def ms_ssim_pairs(x: np.ndarray, y: np.ndarray, *, size: int = 256, legacy: bool = False) -> np.ndarray:
    """MS-SSIM (N,) of x[i] against y[i]; arguments and errors as of `ms_ssim`."""
    x, y = np.asanyarray(x), np.asanyarray(y)
    if x.ndim != 4 or x.shape != y.shape or not len(x):
        raise MetricError(f"MS-SSIM compares images (N, H, W, C) of equal number and shape, not {x.shape}, {y.shape}.")
    _require_size(size)
    found = []
    for start in range(0, len(x), BATCH):
        part = slice(start, start + BATCH)
        found.append(_similarity(_scales(x[part], size, legacy), _scales(y[part], size, legacy)))
    return np.concatenate(found)


def ms_ssim_random_pairs(
    images: np.ndarray, pairs: int = 1000, seed: int = 0, *, size: int = 256, legacy: bool = False
) -> tuple[float, float]:
    """Mean MS-SSIM of random pairs of different images of one set, and its standard error.

    Args:
        images: (N, H, W, C), uint8, or float in [-1, 1]; N >= 2.
        pairs: how many, drawn independently of one another.
        seed: of the choice of pairs.
        size, legacy: as of `ms_ssim`.

    Returns:
        The mean, and the standard deviation over pairs by the root of their number: the error that comes from the
        choice of pairs.

    Raises:
        MetricError: fewer than two images or pairs; otherwise as `ms_ssim`.
    """
    images = _images(images, 2)
    if pairs < 2:
        raise MetricError(f"A standard error needs at least two pairs of images, not {pairs}.")
    random = np.random.default_rng(seed)
    first = random.integers(0, len(images), pairs)
    second = (first + random.integers(1, len(images), pairs)) % len(images)
    found = []
    for start in range(0, pairs, BATCH):
        part = slice(start, start + BATCH)
        found.append(ms_ssim_pairs(images[first[part]], images[second[part]], size=size, legacy=legacy))
    values = np.concatenate(found)
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(pairs))


def ms_ssim_all_pairs(images: np.ndarray, *, size: int = 256, legacy: bool = False) -> tuple[float, float]:
    """Mean MS-SSIM of all N (N - 1) / 2 pairs of one set, and its standard error.

    Args:
        images: (N, H, W, C), uint8, or float in [-1, 1]; N >= 3.
        size, legacy: as of `ms_ssim`.

    Returns:
        The mean, and its standard error by the jackknife over images, for pairs that share an image are not
        independent: ((N - 1) / N * sum_i (m_i - mean m)^2)^(1/2), m_i the mean of all pairs without image i.

    Raises:
        MetricError: fewer than three images; otherwise as `ms_ssim`.
    """
    images = _images(images, 3)
    _require_size(size)
    count = len(images)
    values = np.zeros((count, count))
    for start in range(0, count, BATCH):
        rows = _scales(images[start : start + BATCH], size, legacy)
        for other in range(start, count, BATCH):
            columns = rows if other == start else _scales(images[other : other + BATCH], size, legacy)
            for row in range(len(rows[0].pixels)):
                one = [_Scale(*(array[row : row + 1] for array in scale)) for scale in rows]
                values[start + row, other : other + BATCH] = _similarity(one, columns)
    values = np.triu(values, 1)
    of_image = values.sum(axis=0) + values.sum(axis=1)
    without = (values.sum() - of_image) / math.comb(count - 1, 2)
    error = math.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2))
    return float(values.sum() / math.comb(count, 2)), error


def brightness(images: np.ndarray, legacy: bool = False) -> np.ndarray:
    """Images as float32 from 0 to 255; of floats in [-1, 1] (x + 1) * 127.5.

    Args:
        images: any shape, uint8, or float in [-1, 1].
        legacy: (x + 1) * 128.5 as the original, to 257, where uint8 images v are x = v / 127.5 - 1.

    Raises:
        MetricError: another type, or values outside [-1, 1].
    """
    if images.dtype == np.uint8:
        return images.astype(np.float32) * np.float32(128.5 / 127.5 if legacy else 1)
    if not np.issubdtype(images.dtype, np.floating) or not np.abs(images).max(initial=0) <= 1 + 1e-6:
        raise MetricError(f"Images are uint8, or float in [-1, 1], not {images.dtype} of other values.")
    return (images.astype(np.float32) + 1) * np.float32(128.5 if legacy else 127.5)


class _Scale(NamedTuple):
    """What a scale of some images contributes to each comparison; float32, channels first.

    Attributes:
        pixels: (n, C, S, S), brightness from 0 to 255.
        mean, variance: (n, C, S - 10, S - 10), in the Gaussian window around each pixel.
    """

    pixels: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


def _scales(images: np.ndarray, size: int, legacy: bool) -> list[_Scale]:
    """The five scales of images, each the mean of 2x2 pixels of the one before."""
    pixels = np.ascontiguousarray(_resized(images, size, legacy).transpose(0, 3, 1, 2))
    scales = []
    for index in range(len(_WEIGHTS)):
        pixels = _halved(pixels) if index else pixels
        mean = _blurred(pixels)
        scales.append(_Scale(pixels, mean, _blurred(pixels * pixels) - mean * mean))
    return scales


def _similarity(x: list[_Scale], y: list[_Scale]) -> np.ndarray:
    """MS-SSIM (n,) float64 of images given by their scales; one image is compared with each of several."""
    product: Any = 1.0
    for index, (a, b, weight) in enumerate(zip(x, y, _WEIGHTS, strict=True)):
        means = a.mean * b.mean
        covariance = _blurred(a.pixels * b.pixels) - means
        term = (2 * covariance + _C2) / (a.variance + b.variance + _C2)
        if index == len(_WEIGHTS) - 1:
            term *= (2 * means + _C1) / (a.mean * a.mean + b.mean * b.mean + _C1)
        product = product * np.maximum(term.mean(axis=(2, 3), dtype=np.float64), 0) ** weight
    return product.mean(axis=1)


def _blurred(pixels: np.ndarray) -> np.ndarray:
    """Gaussian window over the last two axes, where it fits: (..., S, S) to (..., S - 10, S - 10)."""
    weights = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    inside = slice(_WINDOW // 2, -(_WINDOW // 2))
    return correlate1d(correlate1d(pixels, weights, axis=-2)[..., inside, :], weights, axis=-1)[..., inside]


def _halved(pixels: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels."""
    rows = pixels[..., ::2, :] + pixels[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25)


def _resized(images: np.ndarray, size: int, legacy: bool) -> np.ndarray:
    """Images as float32 (n, size, size, C) from 0 to 255."""
    bright = brightness(images, legacy)
    if bright.shape[1:3] == (size, size):
        return bright
    import tensorflow as tf

    if legacy:
        return tf.compat.v1.image.resize_bilinear(bright, (size, size)).numpy()
    return tf.image.resize(bright, (size, size), antialias=True).numpy()


def _require_size(size: int) -> None:
    if size < SMALLEST or size % 16:
        raise MetricError(
            f"MS-SSIM on five scales needs a size of at least {SMALLEST} pixels that is a multiple of 16, not {size}."
        )


def _images(images: np.ndarray, least: int) -> np.ndarray:
    images = np.asanyarray(images)
    if images.ndim != 4 or len(images) < least:
        raise MetricError(f"MS-SSIM of pairs needs at least {least} images (N, H, W, C), not {images.shape}.")
    return images
