"""Random changes of the images that the critic sees, real and generated alike, through which gradients pass.

Zhao et al. 2020 (DiffAugment): where the critic never sees an image itself, it cannot learn a small data set by heart;
the generator learns through the changes, so that it does not copy them. The kinds, in the order in which they apply:

| kind | change |
|---|---|
| color | brightness: a number of U(-1/2, 1/2) is added; saturation: a pixel's difference from the mean of its
channels is multiplied by U(0, 2); contrast: that from the image's mean by U(1/2, 3/2) |
| translation | by whole pixels, uniform up to 1/8 of height and width (rounded) either way; zeros (grey) come in |
| cutout | a square of half of height and width (rounded), centred anywhere in the image, becomes zero (grey) |

Each image has numbers of its own, functions of (seed, step, index in the batch of all replicas). With a probability
p < 1 (Karras et al. 2020) each kind changes an image, or leaves it as it is, by a toss of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from mmdgan.core import random
from mmdgan.training.aids.settings import KINDS

_NUMBERS = {"color": 3, "translation": 2, "cutout": 2}
"""How many numbers of U(0, 1) a kind takes for each image, besides that of its toss."""


def augment(
    images: tf.Tensor,
    kinds: tuple[str, ...],
    numbers: tf.Tensor,
    data_format: str = "channels_last",
    probability: tf.Tensor | float | None = None,
) -> tf.Tensor:
    """Changes each image by its own random numbers.

    Args:
        images: (N, H, W, C) or, with channels_first, (N, C, H, W); floating-point, with grey at 0.
        kinds: of `KINDS`; they apply in the order of `KINDS`.
        numbers: (N, `count_numbers(kinds)`) of U(0, 1).
        data_format: "channels_last" or "channels_first".
        probability: p, with which each kind changes an image; None for 1.

    Returns:
        As `images`; differentiable in them.
    """
    axes = (1, 2, 3) if data_format == "channels_last" else (2, 3, 1)
    numbers = tf.cast(numbers, images.dtype)
    start = 0
    for kind in (kind for kind in KINDS if kind in kinds):
        end = start + _NUMBERS[kind]
        drawn, toss, start = numbers[:, start:end], numbers[:, end], end + 1
        changed = _FUNCTIONS[kind](images, drawn, axes)
        if probability is not None:
            taken = tf.reshape(toss < tf.cast(probability, toss.dtype), (-1, 1, 1, 1))
            changed = tf.where(taken, changed, images)
        images = changed
    return images


def count_numbers(kinds: tuple[str, ...]) -> int:
    """How many random numbers an image takes."""
    return sum(_NUMBERS[kind] + 1 for kind in kinds)


def draw_numbers(count: int | tf.Tensor, kinds: tuple[str, ...], seed: tf.Tensor) -> tf.Tensor:
    """The numbers of `count` images, (count, `count_numbers(kinds)`): a function of the seed, (2,) integers."""
    return random.uniform((count, count_numbers(kinds)), seed)


def _color(images: tf.Tensor, drawn: tf.Tensor, axes: tuple[int, int, int]) -> tf.Tensor:
    brightness, saturation, contrast = (drawn[:, i][:, None, None, None] for i in range(3))
    images = images + (brightness - 0.5)
    grey = tf.reduce_mean(images, axes[2], keepdims=True)
    images = grey + (images - grey) * (2.0 * saturation)
    mean = tf.reduce_mean(images, (1, 2, 3), keepdims=True)
    return mean + (images - mean) * (0.5 + contrast)


def _translation(images: tf.Tensor, drawn: tf.Tensor, axes: tuple[int, int, int]) -> tf.Tensor:
    for axis, number in zip(axes[:2], (drawn[:, 0], drawn[:, 1]), strict=True):
        size = images.shape[axis]
        most = round(size / 8)
        shift = _whole(number, -most, most)
        # Pixel i comes from i - shift, or is grey. A product with a 0-1 matrix: its gradient is another, and all of
        # XLA's and TensorFlow's devices have it.
        source = tf.range(size)[None, :, None] - shift[:, None, None]
        matrix = tf.cast(tf.equal(source, tf.range(size)[None, None, :]), images.dtype)
        equation = {1: "nij,njab->niab", 2: "nij,najb->naib", 3: "nij,nabj->nabi"}[axis]
        images = tf.einsum(equation, matrix, images)
    return images


def _cutout(images: tf.Tensor, drawn: tf.Tensor, axes: tuple[int, int, int]) -> tf.Tensor:
    inside = tf.ones((1, 1, 1, 1), tf.bool)
    for axis, number in zip(axes[:2], (drawn[:, 0], drawn[:, 1]), strict=True):
        size = images.shape[axis]
        length = round(size / 2)
        start = _whole(number, 0, size - length % 2) - length // 2
        place = tf.range(size)[None, :] - start[:, None]
        row = tf.logical_and(place >= 0, place < length)
        inside = tf.logical_and(inside, tf.reshape(row, [-1] + [size if a == axis else 1 for a in (1, 2, 3)]))
    return tf.where(inside, tf.zeros((), images.dtype), images)


def _whole(number: tf.Tensor, least: int, most: int) -> tf.Tensor:
    """Whole numbers from `least` to `most`, all alike likely, of numbers of U(0, 1)."""
    count = most - least + 1
    return least + tf.minimum(tf.cast(number * count, tf.int32), count - 1)


_FUNCTIONS: dict[str, Callable[[tf.Tensor, tf.Tensor, tuple[int, int, int]], tf.Tensor]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}
