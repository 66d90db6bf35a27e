"""The two data formats: the axis of channels, biases along it, and the rows that labels choose from class tensors.

A class tensor is (classes, channels) for flat features and (classes, 1, 1, channels) for images of both formats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mmdgan.core.gradients import custom_gradient
from mmdgan.core.signatures import AllArguments, with_all_arguments
from mmdgan.core.types import StaticShape


class ChannelwiseLayer(keras.layers.Layer):
    """Base of layers that keep the shape of their inputs: images in `data_format`, or flat features.

    Args:
        data_format: Layout of images, 'channels_last' or 'channels_first'; flat features (N, F) have F channels.
    """

    conditional = False
    __signature__ = AllArguments(keras.layers.Layer)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__doc__ = with_all_arguments(cls.__doc__, cls)

    def __init__(self, data_format: str = "channels_last", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format

    def compute_output_shape(self, input_shape: StaticShape) -> StaticShape:
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "data_format": self.data_format}


def channel_axis(rank: int, data_format: str) -> int:
    """Returns the axis of channels: of images in `data_format`, or the last one of flat features."""
    return 1 if rank == 4 and data_format == "channels_first" else rank - 1


def in_channels_last(function: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, data_format: str) -> tf.Tensor:
    """Applies a function of (N, H, W, C) images to images in `data_format`.

    For operations whose CPU kernels know one layout only; a GPU's graph optimiser removes needless transposes.
    """
    if data_format == "channels_last":
        return function(x)
    return tf.transpose(function(tf.transpose(x, (0, 2, 3, 1))), (0, 3, 1, 2))


def add_bias(x: tf.Tensor, bias: tf.Tensor, data_format: str) -> tf.Tensor:
    """Returns x plus one number per channel, in the dtype of x.

    The bias's gradient is summed in the bias's own dtype: TensorFlow's CPU kernel sums bfloat16 in bfloat16, where
    a sum of 65,536 ones stays at a few hundred.

    Args:
        x: Images in `data_format`, or flat features.
        bias: (channels,).
        data_format: Layout of images.
    """
    axis = channel_axis(x.shape.rank, data_format)
    layout = "NCHW" if axis == 1 and x.shape.rank == 4 else "NHWC"
    if x.dtype == bias.dtype:
        return tf.nn.bias_add(x, bias, data_format=layout)

    @custom_gradient
    def add(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            others = [a for a in range(x.shape.rank) if a != axis]
            return upstream, tf.reduce_sum(tf.cast(upstream, bias.dtype), others)

        return tf.nn.bias_add(x, tf.cast(bias, x.dtype), data_format=layout), gradients

    return add(x, bias)


def class_shape(num_class: int, input_shape: tuple, data_format: str) -> tuple[int, ...]:
    """Returns the shape of a class tensor for a batched input shape."""
    channels = input_shape[channel_axis(len(input_shape), data_format)]
    return (num_class, *[1] * (len(input_shape) - 2), channels)


def class_rows(values: tf.Tensor, labels: tf.Tensor, data_format: str = "channels_last") -> tf.Tensor:
    """Returns values[y] for each label y, so that it broadcasts with the layer's images or features.

    Args:
        values: (classes, ...).
        labels: integers (N, 1).
        data_format: Layout of images, to which (classes, 1, 1, channels) belong.

    Returns:
        (N, ...); for channels_first images (N, channels, 1, 1).

    Raises:
        ValueError: Labels that are not integers.
        tf.errors.InvalidArgumentError: A label outside [0, classes), on a CPU.
    """
    labels = tf.convert_to_tensor(labels)
    if not labels.dtype.is_integer:
        raise ValueError(f"Class labels must be integers, not {labels.dtype.name}: cast them, or give Input a dtype.")
    # With one more axis of labels than it needs, gather_nd has a dense gradient, which every optimiser takes.
    # It sums over the samples of a class, which bfloat16 stops doing after some hundred.
    wide = values if values.dtype == tf.float64 else tf.cast(values, tf.float32)
    rows = tf.gather_nd(wide, tf.reshape(tf.cast(labels, tf.int32), (-1, 1, 1)))
    rows = tf.cast(tf.squeeze(rows, 1), values.dtype)
    return tf.transpose(rows, (0, 3, 1, 2)) if rows.shape.rank == 4 and data_format == "channels_first" else rows
