"""Blocks: the Keras layers that layer dictionaries describe, with the order of their operations (spec A.5).

A block makes one sublayer per part of its specification, named by the original's slot ('kernel', 'bias', 'BN'),
so that a variable's path is network/layer/slot/variable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import keras
import tensorflow as tf

from mmdgan.core.types import StaticShape
from mmdgan.design import LayerSpec, Part
from mmdgan.design.keys import DEFAULT_TYPES, NON_LOCAL_TYPES, POOLS, RESIDUAL_TYPES
from mmdgan.layers import conditional, linear, normalization
from mmdgan.layers.initializers import LEAKY_SLOPE, ActivationInitializer, runtime_multiplier
from mmdgan.layers.layout import channel_axis
from mmdgan.layers.resampling import pool, resample

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


class Block(keras.layers.Layer):
    """Base of the blocks of all layer types; the order of operations of a type is its `transform`.

    Args:
        spec: The resolved layer dictionary.
        data_format: Layout of images in the network.
        spectral: 'pico' or 'pim', for layers whose dictionary asks for spectral norm.
        initializer: Weight mode, one of `initializers.MODES`.
        legacy: Compute as released where that differs from the paper: a projection's spectral norm is then kept up to
            date but not applied.
    """

    def __init__(
        self, spec: LayerSpec, *, data_format: str, spectral: str, initializer: str, legacy: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(name=spec.name, **kwargs)
        self.spec = spec
        self.data_format = data_format
        self.parts = MappingProxyType({part.slot: part for part in spec.parts})  # Keras would track a dict
        options = (data_format, spectral, initializer, legacy, self.dtype_policy)
        self.sublayers = {part.slot: _sublayer(part, *options) for part in spec.parts if part.op not in POOLS}

    def build(self, input_shape: StaticShape) -> None:
        for part in self.spec.parts:
            if part.slot in self.sublayers:
                self.sublayers[part.slot].build(batch_shape(part.input_shape, self.data_format))

    def call(self, inputs: tf.Tensor, labels: tf.Tensor | None = None, training: bool = False) -> tf.Tensor:
        x = inputs
        if self.spec.in_reshape is not None:
            x = reshape_features(x, self.spec.input_shape, self.data_format)
        x = self.transform(x, labels, training)
        if self.spec.out_reshape is not None:
            x = reshape_features(x, self.spec.output_shape, self.data_format)
        return x

    def compute_output_shape(self, input_shape: StaticShape) -> tuple[Any, ...]:
        return batch_shape(self.spec.output_shape, self.data_format)

    def transform(self, x: tf.Tensor, labels: tf.Tensor | None, training: bool) -> tf.Tensor:
        """Returns the layer's result before out_reshape, from its input after in_reshape."""
        raise NotImplementedError(f"{type(self).__name__} must say its order of operations.")

    def apply_part(self, slot: str, x: tf.Tensor, labels: tf.Tensor | None, training: bool) -> tf.Tensor:
        """Returns x after the part in a slot; x itself if the layer has no such part."""
        part = self.parts.get(slot)
        if part is None:
            return x
        if part.op in POOLS:
            assert part.kernel is not None and part.strides is not None and part.padding is not None
            return pool(x, part.op, part.kernel, part.strides, part.padding, self.data_format)
        layer = self.sublayers[slot]
        return layer(x, labels, training=training) if layer.conditional else layer(x, training=training)

    def activate(self, x: tf.Tensor) -> tf.Tensor:
        """Returns x after the layer's activation."""
        return activate(x, self.spec.act, channel_axis(x.shape.rank, self.data_format))

    def upsample(self, x: tf.Tensor) -> tf.Tensor:
        """Returns x enlarged if the layer's `scale` enlarges."""
        return self._scaled(x, 1)

    def downsample(self, x: tf.Tensor) -> tf.Tensor:
        """Returns x made smaller if the layer's `scale` does so."""
        return self._scaled(x, -1)

    def _scaled(self, x: tf.Tensor, sign: int) -> tf.Tensor:
        if self.spec.scale is None or self.spec.scale[1] * sign <= 0:
            return x
        return resample(x, *self.spec.scale, self.data_format)


class DefaultBlock(Block):
    """Kernel, bias, normalisation, activation, between up- and downsampling; 'project' adds a label projection."""

    def transform(self, x: tf.Tensor, labels: tf.Tensor | None, training: bool) -> tf.Tensor:
        inputs = x
        x = self.upsample(x)
        for slot in ("kernel", "bias", "BN"):
            x = self.apply_part(slot, x, labels, training)
        x = self.downsample(self.activate(x))
        if "project" in self.parts:
            x = x + self.apply_part("project", inputs, labels, training)
        return x


class ResidualBlock(Block):
    """Residual blocks: 'res', 'res_i' (identity shortcut) and 'res_v1' (first block of a critic).

    Main branch: norm, act, up, kernel, bias, norm, act, kernel, bias, down; plus the shortcut, without an activation
    after the sum. 'res_v1' sees images first, so it leaves out the first norm and activation, and its shortcut scales
    down before its kernel. 'res_i' adds its input itself.

    Sources: He et al. 2016 (pre-activation blocks); Gulrajani et al. 2017 and Miyato et al. 2018 (up- and
    downsampling); the order of operations is the original's (spec A.5).
    """

    def transform(self, x: tf.Tensor, labels: tf.Tensor | None, training: bool) -> tf.Tensor:
        main = x
        if self.spec.type != "res_v1":
            main = self.activate(self.apply_part("BN_0", main, labels, training))
        main = self.upsample(main)
        for slot in ("kernel_0", "bias_0", "BN_1"):
            main = self.apply_part(slot, main, labels, training)
        main = self.activate(main)
        for slot in ("kernel_1", "bias_1"):
            main = self.apply_part(slot, main, labels, training)
        return self.downsample(main) + self._shortcut(x, labels, training)

    def _shortcut(self, x: tf.Tensor, labels: tf.Tensor | None, training: bool) -> tf.Tensor:
        if self.spec.type == "res_i":
            return x
        x = self.downsample(x) if self.spec.type == "res_v1" else self.upsample(x)
        for slot in ("kernel_sc", "bias_sc"):
            x = self.apply_part(slot, x, labels, training)
        return x if self.spec.type == "res_v1" else self.downsample(x)


class NonLocalBlock(Block):
    """Self-attention over pixels: 'nl', 'nl_dist', 'nl_pool', 'nl_pool_dist'.

    x + k norm(sum over q of softmax_q(logits_pq) h_q), with queries f of x and keys g, values h of x. In the 'pool'
    types g and h see x after 2x2 max pooling. k is a scalar that starts at 0. `act` is not applied.

    Sources: Wang et al. 2018, "Non-local Neural Networks"; Zhang et al. 2019, SAGAN. The original adds batch norm
    before the trainable scalar, and logits by distance: -|f_p - g_q|^2 / c instead of f_p . g_q / sqrt(c) (spec A.5).
    """

    def transform(self, x: tf.Tensor, labels: tf.Tensor | None, training: bool) -> tf.Tensor:
        keys = x
        if "pool" in self.spec.type:
            keys = pool(x, "max", 2, 2, "SAME", self.data_format)
        f = self.apply_part("bias_f", self.apply_part("f_x", x, labels, training), labels, training)
        g = self.apply_part("g_x", keys, labels, training)
        h = self.apply_part("h_x", keys, labels, training)
        attended = tf.matmul(self._attention(self._pixels(f), self._pixels(g)), self._pixels(h))
        y = self._image(attended)
        y = self.apply_part("k_x", self.apply_part("BN_1", y, labels, training), labels, training)
        return x + y

    def _attention(self, f: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
        """Weights (N, P, Q) of Q keys (N, Q, c) for P queries (N, P, c), softmax in the variables' dtype."""
        channels = f.shape[-1]
        products = tf.cast(tf.matmul(f, g, transpose_b=True), self.variable_dtype)
        if "dist" in self.spec.type:
            f, g = tf.cast(f, self.variable_dtype), tf.cast(g, self.variable_dtype)
            squares_f = tf.reduce_sum(f * f, axis=2)[:, :, None]
            squares_g = tf.reduce_sum(g * g, axis=2)[:, None, :]
            logits = -tf.maximum(squares_f - 2.0 * products + squares_g, 0.0) / channels
        else:
            logits = products / math.sqrt(channels)
        return tf.cast(tf.nn.softmax(logits), self.compute_dtype)

    def _pixels(self, x: tf.Tensor) -> tf.Tensor:
        """Images as (N, pixels, channels)."""
        if self.data_format == "channels_first":
            x = tf.transpose(x, (0, 2, 3, 1))
        return tf.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))

    def _image(self, x: tf.Tensor) -> tf.Tensor:
        _, height, width = self.spec.input_shape
        x = tf.reshape(x, (-1, height, width, x.shape[-1]))
        return tf.transpose(x, (0, 3, 1, 2)) if self.data_format == "channels_first" else x


BLOCKS: dict[str, type[Block]] = {
    **dict.fromkeys(DEFAULT_TYPES, DefaultBlock),
    **dict.fromkeys(RESIDUAL_TYPES, ResidualBlock),
    **dict.fromkeys(NON_LOCAL_TYPES, NonLocalBlock),
}
"""The block of each layer type."""


def activate(x: tf.Tensor, name: str, channel_axis: int = -1) -> tf.Tensor:
    """Applies the activation of that name; 'crelu' doubles the channels along `channel_axis`."""
    if name == "crelu":
        return tf.concat([tf.nn.relu(x), tf.nn.relu(-x)], channel_axis)
    return ACTIVATIONS[name](x)


def reshape_features(x: tf.Tensor, shape: tuple[int, ...], data_format: str) -> tf.Tensor:
    """Reshapes features to `shape`, which like the flat order means (C, H, W) in both data formats.

    Args:
        x: (N, F), or images in `data_format`.
        shape: (F,) or (C, H, W).
        data_format: The layout of images, before and after.

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


def _sublayer(
    part: Part, data_format: str, spectral: str, initializer: str, legacy: bool, dtype: Any
) -> keras.layers.Layer:
    """The Keras layer of a part."""
    named = {"name": part.slot, "dtype": dtype}
    if part.op in ("b", "cb", "bcb", "bn", "cbn", "lrn"):
        return _channelwise(part, {**named, "data_format": data_format})
    if part.op == "k":
        return linear.Scalar(bound=1.0 if part.spectral else None, **named)
    options = {
        **named,
        "spectral": spectral if part.spectral else None,
        "gain": part.gain if part.spectral else _runtime_gain(part, initializer),
        "kernel_initializer": ActivationInitializer(part.act, initializer),
    }
    if part.op == "project":
        return conditional.LabelProjection(part.num_class, legacy=legacy, **options)
    options["use_bias"] = False
    if part.conditional:
        options["num_class"] = part.num_class
    layer = _KERNEL_LAYERS[part.op]
    if part.kernel is None:
        return layer(part.output_shape[0], **options)
    assert part.padding is not None  # of every op that moves a window
    return layer(
        part.output_shape[0],
        part.kernel,
        strides=part.strides,
        dilation=part.dilation,
        padding=part.padding.lower(),
        data_format=data_format,
        **options,
    )


def _channelwise(part: Part, options: dict) -> keras.layers.Layer:
    if part.op == "b":
        return linear.Bias(**options)
    if part.op in ("cb", "bcb"):
        return conditional.ConditionalBias(part.num_class, common=part.op == "bcb", **options)
    if part.op == "cbn":
        return normalization.ConditionalBatchNorm(part.num_class, **options)
    if part.op == "lrn":
        return normalization.LocalResponseNorm(**options)
    return normalization.BatchNorm(center=part.center, scale=part.scale, **options)


def _runtime_gain(part: Part, initializer: str) -> float:
    """pg_paper draws every kernel from one distribution and scales it when it is used (spec B.2)."""
    if initializer != "pg_paper" or part.op not in ("c", "d", "tc"):
        return 1.0
    return runtime_multiplier(part.act, part.variables["kernel"])


_KERNEL_LAYERS = {
    "c": linear.SpectralConv2D,
    "d": linear.SpectralDense,
    "tc": linear.SpectralConv2DTranspose,
    "sc": linear.SpectralSeparableConv2D,
    "dcd": conditional.ConditionalDense,
    "dck": conditional.ScaledDense,
    "cck": conditional.ScaledConv2D,
    "tcck": conditional.ScaledConv2DTranspose,
}
