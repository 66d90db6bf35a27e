"""The block that one layer dictionary describes: reshape, kernel, bias, batch norm, activation, reshape."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from mmdgan.design import LayerSpec
from mmdgan.layers.initializers import LEAKY_SLOPE, ActivationInitializer
from mmdgan.layers.linear import SpectralConv2D, SpectralConv2DTranspose, SpectralDense, SpectralLayer
from mmdgan.layers.normalization import BatchNorm


def _crelu(x: tf.Tensor, channel_axis: int) -> tf.Tensor:
    return tf.concat([tf.nn.relu(x), tf.nn.relu(-x)], channel_axis)


ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": tf.nn.relu,
    "lrelu": lambda x: tf.nn.leaky_relu(x, LEAKY_SLOPE),
    "elu": tf.nn.elu,
    "selu": tf.nn.selu,
    "softplus": tf.nn.softplus,
    "softsign": tf.nn.softsign,
    "sigmoid": tf.nn.sigmoid,
    "tanh": tf.nn.tanh,
}


def activate(x: tf.Tensor, name: str, channel_axis: int = -1) -> tf.Tensor:
    """Applies the activation of that name; 'crelu' doubles the channels along `channel_axis`."""
    return _crelu(x, channel_axis) if name == "crelu" else ACTIVATIONS[name](x)


def reshape_features(x: tf.Tensor, shape: tuple[int, ...], data_format: str) -> tf.Tensor:
    """Reshapes features to `shape`, which like the flat order means (C, H, W) in both data formats.

    Args:
        x: (N, F), or images in `data_format`.
        shape: (F,) or (C, H, W).
        data_format: the layout of images, before and after.

    Returns:
        (N, F), or images (N, C, H, W) or (N, H, W, C) according to `data_format`.
    """
    last = data_format == "channels_last"
    if last and x.shape.rank == 4:
        x = tf.transpose(x, (0, 3, 1, 2))
    x = tf.reshape(x, (-1, *shape))
    return tf.transpose(x, (0, 2, 3, 1)) if last and len(shape) == 3 else x


def batch_shape(shape: Sequence[int], data_format: str) -> tuple[int | None, ...]:
    """Returns (None, ...) of a (C, H, W) or (F,) shape in the layout that a network runs in."""
    if len(shape) == 3 and data_format == "channels_last":
        shape = (shape[1], shape[2], shape[0])
    return (None, *shape)


class Block(keras.layers.Layer):
    """One layer of a network, in the original's order of operations (spec A.5).

    Args:
        spec: the resolved layer dictionary.
        data_format: layout of images in the network.
        spectral: 'pico' or 'pim', for layers whose dictionary asks for spectral norm.
        initializer: weight mode, one of `initializers.MODES`.
    """

    def __init__(self, spec: LayerSpec, *, data_format: str, spectral: str, initializer: str, **kwargs):
        super().__init__(name=spec.name, **kwargs)
        self.spec = spec
        self.data_format = data_format
        self.linear = _linear_layer(spec, data_format, spectral, initializer, self.dtype_policy)
        self.norm = None
        if spec.act_nm == "bn":
            self.norm = BatchNorm(data_format, name="BN", dtype=self.dtype_policy)

    def build(self, input_shape):
        shape = batch_shape(self.spec.input_shape, self.data_format)
        self.linear.build(shape)
        if self.norm is not None:
            self.norm.build(self.linear.compute_output_shape(shape))

    def call(self, inputs, training=False):
        x = inputs
        if self.spec.in_reshape is not None:
            x = reshape_features(x, self.spec.input_shape, self.data_format)
        x = self.linear(x, training=training)
        if self.norm is not None:
            x = self.norm(x, training=training)
        channel_axis = 1 if self.data_format == "channels_first" else -1
        x = activate(x, self.spec.act, channel_axis)
        if self.spec.out_reshape is not None:
            x = reshape_features(x, self.spec.output_shape, self.data_format)
        return x

    def compute_output_shape(self, input_shape):
        return batch_shape(self.spec.output_shape, self.data_format)


def _linear_layer(spec: LayerSpec, data_format: str, spectral: str, initializer: str, dtype) -> SpectralLayer:
    options = {
        "name": "kernel",
        "spectral": spectral if spec.w_nm == "s" else None,
        "gain": spec.act_k,
        "use_bias": spec.bias is not None,
        "kernel_initializer": ActivationInitializer(spec.act, initializer),
        "dtype": dtype,
    }
    if spec.op == "d":
        return SpectralDense(spec.out, **options)
    layer = SpectralConv2D if spec.op == "c" else SpectralConv2DTranspose
    return layer(
        spec.out,
        spec.kernel,
        strides=spec.strides,
        dilation=spec.dilation,
        padding=spec.padding.lower(),
        data_format=data_format,
        **options,
    )
