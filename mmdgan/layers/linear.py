"""Dense, convolution and transposed convolution layers whose kernels are divided by their spectral norm.

They are ordinary Keras layers, work in any Keras model, and take the arguments of Keras's own as far as they have a
meaning here. Those that know class labels are in `mmdgan.layers.conditional`.
"""

from __future__ import annotations

import operator
from typing import Any

import keras
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.core.types import StaticShape
from mmdgan.layers import initializers
from mmdgan.layers.base import Kernels, SpectralLayer
from mmdgan.layers.convolution import convolve, convolve_depthwise, convolve_transposed
from mmdgan.layers.layout import add_bias, channel_axis, in_channels_last


@keras.saving.register_keras_serializable(package="mmdgan")
class SpectralDense(SpectralLayer):
    """Dense layer (N, ..., in) -> (N, ..., units) with spectral norm; kernel (in, units).

    Args:
        units: output features.
        activation: any Keras activation. Further arguments: `SpectralLayer`.
    """

    op = "d"
    input_ranks = {"min_ndim": 2}

    def __init__(self, units: int, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(activation=activation, **kwargs)
        self.units = units
        self.supports_masking = True

    def kernel_shapes(self, input_shape: StaticShape) -> tuple[tuple[Any, ...], ...]:
        return ((input_shape[-1], self.units),)

    def compute_output_shape(self, input_shape: StaticShape) -> tuple[Any, ...]:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict:
        return {**super().get_config(), "units": self.units}

    @property
    def _channels(self) -> int:
        return self.units

    def _apply(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.matmul(inputs, kernel)


class SpatialLayer(SpectralLayer):
    """What convolution and transposed convolution share; kernels are the same in both data formats.

    Args:
        filters: output channels.
        kernel_size: side of the square kernel; like strides and dilation an integer, or a pair of equal ones.
        strides: of both axes.
        padding: 'same' or 'valid'; 'same' unless given, unlike Keras's own layers.
        data_format: 'channels_last' (N, H, W, C), 'channels_first' (N, C, H, W), or None: Keras's setting.
        dilation: of both axes.
        dilation_rate: Keras's name of `dilation`.

    Raises:
        ConfigError: a value that is none of these.
    """

    input_ranks = {"ndim": 4}

    def __init__(
        self,
        filters: int,
        kernel_size: Any = 3,
        strides: Any = 1,
        padding: str = "same",
        *,
        data_format: str | None = None,
        dilation: Any = 1,
        dilation_rate: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        data_format = keras.config.image_data_format() if data_format is None else data_format
        self.filters = filters
        self.kernel_size = self._of_both_axes("kernel_size", kernel_size)
        self.strides = self._of_both_axes("strides", strides)
        self.dilation = self._of_both_axes("dilation", dilation if dilation_rate is None else dilation_rate)
        self.padding = self._one_of("padding", str(padding).upper(), ("SAME", "VALID"))
        self.data_format = self._one_of("data_format", data_format, ("channels_last", "channels_first"))
        self._sides: dict = {}

    def build(self, input_shape: StaticShape) -> None:
        output_shape = self.compute_output_shape(input_shape)
        self._sides = {
            "input_shape": self._height_width_channels(input_shape),
            "output_shape": self._height_width_channels(output_shape),
        }
        if self.spectral == "pico" and None in self._sides["input_shape"]:
            raise ValueError(
                f"{self.name}: PICO needs the size of its images, but the input is {tuple(input_shape)}; "
                "fix height and width, or use spectral='pim'."
            )
        super().build(input_shape)

    def operator(self) -> dict:
        return {**self._sides, "strides": self.strides, "dilation": self.dilation, "padding": self.padding}

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "dilation": self.dilation,
            "padding": self.padding.lower(),
            "data_format": self.data_format,
        }

    def compute_output_shape(self, input_shape: StaticShape) -> tuple[Any, ...]:
        height, width, _ = self._height_width_channels(input_shape)
        sides = [None if side is None else self._output_side(side) for side in (height, width)]
        if self.data_format == "channels_first":
            return (input_shape[0], self.filters, *sides)
        return (input_shape[0], *sides, self.filters)

    def _output_side(self, side: int) -> int:
        window = 0 if self.padding == "SAME" else (self.kernel_size - 1) * self.dilation
        return -((window - side) // self.strides)

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor | Kernels, layout: str) -> tf.Tensor:
        """Returns the layer's linear map of images in a layout, 'NHWC' or 'NCHW'."""
        raise NotImplementedError(f"{type(self).__name__} must say its linear map.")

    def _apply(self, inputs: tf.Tensor, kernel: tf.Tensor | Kernels) -> tf.Tensor:
        if self.data_format == "channels_first" and inputs.dtype == tf.float64:
            # TensorFlow's CPU kernels convolve channels_first images in single and half precision only.
            return in_channels_last(lambda x: self._convolve(x, kernel, "NHWC"), inputs, self.data_format)
        return self._convolve(inputs, kernel, self._layout)

    def _height_width_channels(self, shape: StaticShape) -> tuple[int, int, int]:
        if self.data_format == "channels_first":
            return (shape[2], shape[3], shape[1])
        return tuple(shape[1:])

    def _of_both_axes(self, key: str, value: Any) -> int:
        """Returns the number that an integer, or a pair as Keras takes it, gives for height and width."""
        pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        try:
            height, width = map(operator.index, pair)
        except (TypeError, ValueError):
            raise self._refused(key, value, "a positive integer or a pair of them") from None
        if height < 1 or height != width:
            raise self._refused(key, value, "one positive number for height and width")
        return height

    def _one_of(self, key: str, value: str, valid: tuple[str, ...]) -> str:
        if value not in valid:
            raise self._refused(key, value, " or ".join(map(repr, valid)))
        return value

    def _refused(self, key: str, value: Any, needed: str) -> ConfigError:
        return ConfigError(f"The layer {self.name} ({type(self).__name__}) takes {needed} as {key}, not {value!r}.")

    @property
    def _channels(self) -> int:
        return self.filters


@keras.saving.register_keras_serializable(package="mmdgan")
class SpectralConv2D(SpatialLayer):
    """Convolution with spectral norm; kernel (k, k, in, out). Arguments: `SpatialLayer`, `SpectralLayer`."""

    op = "c"

    def kernel_shapes(self, input_shape: StaticShape) -> tuple[tuple[Any, ...], ...]:
        channels = self._height_width_channels(input_shape)[2]
        return ((self.kernel_size, self.kernel_size, channels, self.filters),)

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor, layout: str) -> tf.Tensor:
        return convolve(inputs, kernel, self.strides, self.dilation, self.padding, layout)


@keras.saving.register_keras_serializable(package="mmdgan")
class SpectralConv2DTranspose(SpatialLayer):
    """Transposed convolution with spectral norm; kernel (k, k, out, in). Arguments: as `SpectralConv2D`.

    A side of n pixels becomes n strides with the padding 'same', and n strides + (k - 1) dilation with 'valid': the
    result of Keras's Conv2DTranspose with ``output_padding=strides - 1``.
    """

    op = "tc"

    def kernel_shapes(self, input_shape: StaticShape) -> tuple[tuple[Any, ...], ...]:
        channels = self._height_width_channels(input_shape)[2]
        return ((self.kernel_size, self.kernel_size, self.filters, channels),)

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor, layout: str) -> tf.Tensor:
        # Static sides where they are known, so that the output's shape is known too.
        batch, *shape = keras.ops.shape(inputs)
        sides = [self._output_side(side) for side in (shape[1:] if layout == "NCHW" else shape[:2])]
        shape = (batch, self.filters, *sides) if layout == "NCHW" else (batch, *sides, self.filters)
        return convolve_transposed(inputs, kernel, shape, self.strides, self.dilation, self.padding, layout)

    def _output_side(self, side: int) -> int:
        window = 0 if self.padding == "SAME" else (self.kernel_size - 1) * self.dilation
        return side * self.strides + window


@keras.saving.register_keras_serializable(package="mmdgan")
class SpectralSeparableConv2D(SpatialLayer):
    """Depthwise convolution, then 1x1 convolution, divided by the spectral norm of the two as one convolution.

    Kernels: depthwise_kernel (k, k, in, 1) and pointwise_kernel (1, 1, in, out); their composite, the kernel
    (k, k, in, out) of the equal plain convolution, is what `spectral_norm` iterates with. Arguments: as
    `SpectralConv2D`.
    """

    op = "c"
    kernel_names = ("depthwise_kernel", "pointwise_kernel")

    def kernel_shapes(self, input_shape: StaticShape) -> tuple[tuple[Any, ...], ...]:
        channels = self._height_width_channels(input_shape)[2]
        return (self.kernel_size, self.kernel_size, channels, 1), (1, 1, channels, self.filters)

    def _effective(self, kernels: Kernels, multiplier: float | tf.Tensor) -> tf.Tensor | Kernels:
        depthwise, pointwise = kernels
        return depthwise, pointwise * multiplier

    def _norm_problem(self, kernels: Kernels) -> Any:
        depthwise, pointwise = kernels
        return super()._norm_problem((depthwise * pointwise,))

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor, layout: str) -> tf.Tensor:
        depthwise, pointwise = kernel
        inputs = convolve_depthwise(inputs, depthwise, self.strides, self.dilation, self.padding, layout)
        return convolve(inputs, pointwise, 1, 1, "VALID", layout)


@keras.saving.register_keras_serializable(package="mmdgan")
class Bias(keras.layers.Layer):
    """Adds one trainable number per channel, 'bias', that starts at a truncated normal of stddev 1e-5.

    Args:
        data_format: of images, 'channels_last' or 'channels_first'; flat features (N, F) have F channels.
    """

    conditional = False

    def __init__(self, data_format: str = "channels_last", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format

    def build(self, input_shape: StaticShape) -> None:
        width = (input_shape[channel_axis(len(input_shape), self.data_format)],)
        initializer = initializers.bias_initializer()
        self.bias = self.add_weight(name="bias", shape=width, initializer=initializer, autocast=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return add_bias(inputs, tf.convert_to_tensor(self.bias), self.data_format)

    def compute_output_shape(self, input_shape: StaticShape) -> StaticShape:
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "data_format": self.data_format}
