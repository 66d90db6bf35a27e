"""Layers whose kernels or biases depend on a class label: ``layer(x, labels)`` with integer labels (N, 1).

Spectral norms are taken per class, as in the table of `mmdgan.layers.spectral`. Every class kernel starts at zero, so
that all classes begin alike (spec A.4).
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from mmdgan.core.types import StaticShape
from mmdgan.layers import initializers
from mmdgan.layers.layout import ChannelwiseLayer, class_rows, class_shape
from mmdgan.layers.linear import Kernels, SpectralConv2D, SpectralConv2DTranspose, SpectralDense, SpectralLayer


class _ClassKernels(SpectralLayer):
    """Base of layers with a common kernel and one per class.

    Args:
        num_class: Number of classes.
    """

    conditional = True
    kernel_names = ("kernel", "c_kernel")

    def __init__(self, *args: Any, num_class: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.num_class = num_class

    def get_config(self) -> dict:
        return {**super().get_config(), "num_class": self.num_class}


@keras.saving.register_keras_serializable(package="mmdgan")
class ConditionalDense(_ClassKernels, SpectralDense):
    """Dense layer x (K + C[y]), the op 'dcd'; weights kernel (in, units) and c_kernel (classes, in, units).

    Further arguments: `SpectralLayer`.

    Args:
        units: Output features.
        num_class: Number of classes.
    """

    op = "dcd"
    input_ranks = {"ndim": 2}

    def kernel_shapes(self, input_shape: StaticShape) -> tuple[tuple[Any, ...], ...]:
        (kernel,) = super().kernel_shapes(input_shape)
        return kernel, (self.num_class, *kernel)

    def call(  # type: ignore[override]  # takes labels too
        self, inputs: tf.Tensor, labels: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        kernels = class_rows(self.effective_kernel(training), labels)
        return self._finish(tf.squeeze(tf.matmul(inputs[:, None, :], kernels), 1))

    def _effective(self, kernels: Kernels, multiplier: float | tf.Tensor) -> tf.Tensor | Kernels:
        kernel, c_kernel = kernels
        return (kernel + c_kernel) * multiplier

    def _norm_problem(self, kernels: Kernels) -> Any:
        return self.op, kernels, {}


class _ScaledOutputs(_ClassKernels):
    """Base of layers that multiply the outputs of a common kernel by 1 + c_kernel[y].

    The effective kernel is the pair (kernel, multipliers of all classes); the latter hold gain and spectral norm.
    """

    def kernel_shapes(self, input_shape: StaticShape) -> tuple[tuple[Any, ...], ...]:
        scales = (self.num_class, *[1] * (len(input_shape) - 2), self._channels)
        return *super().kernel_shapes(input_shape), scales

    def call(  # type: ignore[override]  # takes labels too
        self, inputs: tf.Tensor, labels: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        kernel, multipliers = self.effective_kernel(training)
        outputs = self._apply(inputs, kernel)
        return self._finish(outputs * class_rows(multipliers, labels, self.data_format))

    def _effective(self, kernels: Kernels, multiplier: float | tf.Tensor) -> tf.Tensor | Kernels:
        kernel, c_kernel = kernels
        multiplier = tf.convert_to_tensor(multiplier, c_kernel.dtype)
        # PIM's sigma is (classes, 1) for convolutions too.
        return kernel, (1 + c_kernel) * tf.reshape(multiplier, (-1, *[1] * (c_kernel.shape.rank - 1)))

    def _norm_problem(self, kernels: Kernels) -> Any:
        if self.spectral == "pim":
            return "dck", self._matrices(*kernels), {}
        return self.op, kernels, self.operator()

    def _matrices(self, kernel: tf.Tensor, c_kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (rows, columns) and (classes, columns) whose 'dck' norms are those of the classes' kernels."""
        return tf.reshape(kernel, (-1, kernel.shape[-1])), tf.reshape(c_kernel, (self.num_class, -1))


@keras.saving.register_keras_serializable(package="mmdgan")
class ScaledDense(_ScaledOutputs, SpectralDense):
    """Dense layer (x K) (1 + c[y]), the op 'dck'; weights kernel (in, units) and c_kernel (classes, units).

    Further arguments: `SpectralLayer`.

    Args:
        units: Output features.
        num_class: Number of classes.
    """

    op = "dck"
    input_ranks = {"ndim": 2}


@keras.saving.register_keras_serializable(package="mmdgan")
class ScaledConv2D(_ScaledOutputs, SpectralConv2D):
    """Convolution times 1 + c[y], the op 'cck'; weights kernel (k, k, in, out), c_kernel (classes, 1, 1, out).

    Further arguments: `SpectralConv2D`.

    Args:
        filters: Output channels.
        num_class: Number of classes.
    """

    op = "cck"


@keras.saving.register_keras_serializable(package="mmdgan")
class ScaledConv2DTranspose(_ScaledOutputs, SpectralConv2DTranspose):
    """Transposed convolution times 1 + c[y], the op 'tcck'; weights kernel (k, k, out, in), c_kernel as `ScaledConv2D`.

    Further arguments: `SpectralConv2D`.

    Args:
        filters: Output channels.
        num_class: Number of classes.
    """

    op = "tcck"

    def _matrices(self, kernel: tf.Tensor, c_kernel: tf.Tensor) -> Any:
        # PIM's matrix has the input's channels as columns; its transpose has the same norm, and 'dck' scales columns.
        matrix = tf.transpose(tf.reshape(kernel, (-1, kernel.shape[-1])))
        return matrix, tf.tile(tf.reshape(c_kernel, (self.num_class, -1)), (1, self.kernel_size**2))


@keras.saving.register_keras_serializable(package="mmdgan")
class LabelProjection(SpectralLayer):
    """The projection critic's term x . kernel[y] (Miyato & Koyama 2018): (N, in) -> (N, 1).

    Its weight is kernel (classes, in).

    Args:
        num_class: Number of classes.
        legacy: Keep the spectral norm's vector up to date but do not divide by the norm, as the released code does.
    """

    op = "project"
    conditional = True
    fixed_arguments = ("use_bias", "bias_initializer", "bias_regularizer", "bias_constraint")

    def __init__(self, num_class: int, *, legacy: bool = False, **kwargs: Any) -> None:
        super().__init__(use_bias=False, **kwargs)
        self.num_class = num_class
        self.legacy = legacy

    def kernel_shapes(self, input_shape: StaticShape) -> tuple[tuple[Any, ...], ...]:
        return ((self.num_class, input_shape[-1]),)

    def call(  # type: ignore[override]  # takes labels too
        self, inputs: tf.Tensor, labels: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        rows = class_rows(self.effective_kernel(training), labels)
        return self._finish(tf.reduce_sum(inputs * rows, axis=1, keepdims=True))

    def compute_output_shape(self, input_shape: StaticShape) -> tuple[Any, ...]:
        return (input_shape[0], 1)

    def get_config(self) -> dict:
        config = {**super().get_config(), "num_class": self.num_class, "legacy": self.legacy}
        return {key: value for key, value in config.items() if key not in self.fixed_arguments}

    def _effective(self, kernels: Kernels, multiplier: float | tf.Tensor) -> tf.Tensor | Kernels:
        return kernels[0] * (self.gain if self.legacy else multiplier)


@keras.saving.register_keras_serializable(package="mmdgan")
class ConditionalBias(ChannelwiseLayer):
    """Adds a bias per class and channel, the ops 'cb' and 'bcb'; weights bias (channels,) and c_bias, a class tensor.

    Args:
        num_class: Number of classes.
        common: Whether a bias of all classes is added too ('bcb'); those of the classes then start at zero.
    """

    conditional = True

    def __init__(
        self, num_class: int, *, common: bool = False, data_format: str = "channels_last", **kwargs: Any
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.num_class = num_class
        self.common = common

    def build(self, input_shape: StaticShape) -> None:
        shape = class_shape(self.num_class, tuple(input_shape), self.data_format)
        small = initializers.bias_initializer()
        if self.common:
            self.bias = self.add_weight(name="bias", shape=shape[-1:], initializer=small)
        self.c_bias = self.add_weight(name="c_bias", shape=shape, initializer="zeros" if self.common else small)

    def call(self, inputs: tf.Tensor, labels: tf.Tensor, training: bool = False) -> tf.Tensor:
        biases = tf.convert_to_tensor(self.c_bias)
        if self.common:
            biases += tf.convert_to_tensor(self.bias)
        return inputs + class_rows(biases, labels, self.data_format)

    def get_config(self) -> dict:
        return {**super().get_config(), "num_class": self.num_class, "common": self.common}
