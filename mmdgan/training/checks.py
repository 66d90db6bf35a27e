"""What a training step accepts: images, labels, and pairs of networks; what it refuses, in a sentence."""

from __future__ import annotations

import math
from numbers import Real

import tensorflow as tf

from mmdgan.errors import ConfigError, DataError
from mmdgan.layers.blocks import batch_shape
from mmdgan.losses.catalog import Loss
from mmdgan.networks import Network
from mmdgan.tensor_types import TensorLike


def resolve_penalty_weight(loss: Loss, given: float | None) -> float | None:
    """The weight to use of a loss's penalty or scale; None for a loss that has neither."""
    if given is not None and loss.penalty_weight is None:
        raise ConfigError(
            f"penalty_weight is {given}, but the loss {loss.name!r} has no penalty to weigh; leave it out."
        )
    if given is not None and not (isinstance(given, Real) and 0 < given < math.inf):
        raise ConfigError(f"penalty_weight is {given!r}; give a positive number.")
    return loss.penalty_weight if given is None else float(given)


def check_pair(generator: Network, discriminator: Network) -> None:
    """Refuses two networks that cannot play together: of unlike data formats or numbers of classes."""
    formats = generator.data_format, discriminator.data_format
    if formats[0] != formats[1]:
        raise ConfigError(f"The generator is {formats[0]} and the critic {formats[1]}: build both in one data_format.")
    counts = [network.spec.num_class if network.spec.num_class >= 2 else 0 for network in (generator, discriminator)]
    if counts[0] != counts[1]:
        raise ConfigError(
            f"The generator has {counts[0]} classes and the critic {counts[1]}: build both with the same num_class."
        )


def to_float(images: TensorLike, dtype: str) -> tf.Tensor:
    """uint8 0..255 to [-1, 1] by v / 127.5 - 1; of floating-point images only the type changes."""
    images = tf.convert_to_tensor(images)
    if images.dtype == tf.uint8:
        return tf.cast(images, dtype) / 127.5 - 1
    if not images.dtype.is_floating:
        raise DataError(f"Images must be uint8 (0 to 255) or floating-point in [-1, 1], not {images.dtype.name}.")
    return tf.cast(images, dtype)


def channels_last(images: tf.Tensor, data_format: str) -> tf.Tensor:
    """Images (N, H, W, C) of images in `data_format`; points (N, d) are as they are."""
    return tf.transpose(images, (0, 2, 3, 1)) if data_format == "channels_first" and len(images.shape) == 4 else images


def checked_images(real: TensorLike, critic: Network) -> tf.Tensor:
    """Real images as floats in [-1, 1], of the critic's shape; DataError if they are of another."""
    real = to_float(real, critic.variable_dtype)
    expected = batch_shape(critic.spec.input_shape, critic.data_format)
    if not real.shape.is_compatible_with(expected):
        raise DataError(f"Real images must have shape {expected} for this critic, not {tuple(real.shape)}.")
    return real


def checked_labels(labels: TensorLike | None, critic: Network) -> tf.Tensor | None:
    """Labels of real images; None for unconditional networks, which do not need them; DataError if they are missing."""
    num_class = critic.spec.num_class
    if labels is None and critic.conditional:
        raise DataError(
            f"The critic is conditional on {num_class} classes and was given images alone: pass their labels too, "
            "int (B, 1)."
        )
    return None if labels is None or num_class < 2 else tf.cast(labels, tf.int32)
