"""The images as the critic sees them: changed at random (`mmdgan.training.aids.augment`), and with noise on them.

Instance noise is Gaussian noise on real and generated images alike, so that both distributions overlap (Arjovsky and
Bottou 2017, section 3; Sønderby et al. 2017, section 4, who let it decay linearly, as here).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from mmdgan.core import random
from mmdgan.core.errors import ConfigError
from mmdgan.training.aids.augment import augment, draw_numbers
from mmdgan.training.aids.settings import Aids

REAL, GENERATED = range(2)
"""Whose random numbers: both are changed in the same ways, by numbers of their own."""

_AUGMENT, _NOISE = range(2)

Draw = Callable[[int | tf.Tensor, Callable[[int | tf.Tensor], tf.Tensor]], tf.Tensor]
"""(this replica's number of images, function that draws for the images of all replicas) -> this replica's rows."""


class View:
    """What the aids make of images before the critic sees them; nothing, if they do not ask for it.

    Args:
        aids: `augment` and `instance_noise` of them.
        data_format: of the images.
        step: number of steps taken, on which the noise depends.
        probability: with which each kind of change applies; None: always.

    Raises:
        ConfigError: `augment`, but the critic sees no images.
    """

    def __init__(
        self, aids: Aids, data_format: str, shape: tuple[int, ...], step: tf.Variable, probability: tf.Variable | None
    ) -> None:
        if aids.augment and len(shape) != 3:
            raise ConfigError(f"augment changes images, but the critic takes vectors of {shape[0]}; leave it out.")
        self._aids = aids
        self._data_format = data_format
        self._step = step
        self._probability = probability

    def __call__(self, images: tf.Tensor, whose: int, seed: Callable[[], tf.Tensor], draw: Draw) -> tf.Tensor:
        """Changes one batch; gradients pass through.

        Args:
            images: of this replica, in [-1, 1].
            whose: `REAL` or `GENERATED`.
            seed: gives this step's, (2,) integers.
            draw: draws for all replicas, and takes this one's rows.
        """
        kinds, noise = self._aids.augment, self._aids.instance_noise
        count = images.shape[0] or tf.shape(images)[0]
        if kinds:
            own = random.stream(random.stream(seed(), whose), _AUGMENT)
            numbers = draw(count, lambda total: draw_numbers(total, kinds, own))
            images = augment(images, kinds, numbers, self._data_format, self._read_probability())
        if noise is not None:
            other = random.stream(random.stream(seed(), whose), _NOISE)
            drawn = draw(count, lambda total: self._normal(total, images, other))
            images = images + tf.cast(self._sigma(*noise), images.dtype) * drawn
        return images

    def _normal(self, count: int | tf.Tensor, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Standard normal numbers in the images' layout; the same ones in either data format."""
        if images.shape.rank != 4 or self._data_format == "channels_last":
            return random.normal((count, *images.shape[1:]), seed, images.dtype)
        channels, height, width = images.shape[1:]
        drawn = random.normal((count, height, width, channels), seed, images.dtype)
        return tf.transpose(drawn, (0, 3, 1, 2))

    def _sigma(self, first: float, steps: int) -> tf.Tensor:
        """The noise's standard deviation: from `first` linearly to 0 after `steps` steps."""
        with random.outside():
            done = tf.cast(self._step, tf.float64) / steps
            return first * tf.maximum(1.0 - done, 0.0)

    def _read_probability(self) -> tf.Tensor | None:
        if self._probability is None:
            return None
        with random.outside():
            return tf.convert_to_tensor(self._probability)
