"""Dense, convolution and transposed convolution layers whose kernels are divided by their spectral norm.

The stored kernel is never overwritten: each forward pass multiplies it by ``gain / sigma`` (Wang et al. 2019,
section 4). The layers are ordinary Keras layers and work in any Keras model.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from mmdgan.layers import initializers, scope
from mmdgan.layers.spectral import dilated_kernel, spectral_norm, vector_shape

SPECTRAL_MODES = ("pico", "pim")


class SpectralLayer(keras.layers.Layer):
    """A linear layer with a kernel, an optional bias, and an optional spectral norm.

    Calling the layer with ``training=True`` advances its spectral vector by one power iteration, unless a
    training step shares the kernel among several calls (`mmdgan.layers.scope`).

    Args:
        spectral: 'pico' (iterate with the operator itself), 'pim' (with the kernel as a matrix) or None.
        gain: multiplier of the normalised kernel (`act_k`); unused without spectral norm.
        use_bias: whether a bias is added.
        kernel_initializer: any Keras initialiser; default: the original's for a linear activation.
        bias_initializer: default: truncated normal of stddev 1e-5.
    """

    op = ""

    def __init__(
        self,
        *,
        spectral: str | None = "pico",
        gain: float = 1.0,
        use_bias: bool = True,
        kernel_initializer=None,
        bias_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if spectral not in (None, *SPECTRAL_MODES):
            raise ValueError(f"spectral must be None or one of {', '.join(SPECTRAL_MODES)}, not {spectral!r}.")
        self.spectral = spectral
        self.gain = float(gain)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer or initializers.ActivationInitializer())
        self.bias_initializer = keras.initializers.get(bias_initializer or initializers.bias_initializer())
        self.kernel = self.bias = self.in_rand = None

    def kernel_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Returns the kernel's shape for a batched input shape."""
        raise NotImplementedError(f"{type(self).__name__} must say its kernel's shape.")

    def operator(self) -> dict:
        """Returns the keyword arguments of `spectral_norm` that describe this layer's operator."""
        return {}

    def build(self, input_shape):
        shape = self.kernel_shape(input_shape)
        # Spectral norms and the optimiser need the float32 master kernel whatever the compute dtype is.
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=self.kernel_initializer, autocast=False)
        if self.use_bias:
            width = (self._channels,)
            self.bias = self.add_weight(name="bias", shape=width, initializer=self.bias_initializer)
        if self.spectral:
            op, matrix = self._spectral_op(shape)
            vector = vector_shape(op, matrix, **self._spectral_sides())
            if vector is not None:
                self.in_rand = self.add_weight(
                    name="in_rand",
                    shape=vector,
                    initializer=keras.initializers.TruncatedNormal(stddev=1.0),
                    trainable=False,
                    autocast=False,
                )

    def normalise(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """Returns (effective kernel, sigma, next vector) of the present kernel and vector; changes nothing."""
        kernel = tf.convert_to_tensor(self.kernel)
        op, matrix = self._spectral_op(tuple(kernel.shape))
        options = self.operator() if self.spectral == "pico" else {}
        vector = None if self.in_rand is None else tf.convert_to_tensor(self.in_rand)
        sigma, next_vector = spectral_norm(op, tf.reshape(kernel, matrix), vector, gradient_at="next", **options)
        return kernel * (self.gain / sigma), sigma, next_vector

    def effective_kernel(self, training: bool) -> tf.Tensor:
        """Returns the kernel to apply, in the compute dtype."""
        kernel = scope.shared_kernel(self)
        if kernel is None and self.spectral:
            kernel, _, next_vector = self.normalise()
            if training and next_vector is not None and scope.may_update_state():
                self.in_rand.assign(next_vector)
        elif kernel is None:
            kernel = tf.convert_to_tensor(self.kernel)
        return tf.cast(kernel, self.compute_dtype)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "spectral": self.spectral,
            "gain": self.gain,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }

    @property
    def _channels(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must say its number of output channels.")

    def _spectral_op(self, kernel_shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """Returns the op whose norm is taken, and the kernel's shape for it."""
        if self.spectral == "pim" and len(kernel_shape) == 4:
            rows = kernel_shape[0] * kernel_shape[1] * kernel_shape[2]
            return "d", (rows, kernel_shape[3])
        return self.op, kernel_shape

    def _spectral_sides(self) -> dict:
        operator = self.operator() if self.spectral == "pico" else {}
        return {key: operator[key] for key in ("input_shape", "output_shape") if key in operator}


@keras.saving.register_keras_serializable(package="mmdgan")
class SpectralDense(SpectralLayer):
    """Dense layer (N, in) -> (N, units) with spectral norm; arguments of `SpectralLayer` besides.

    Args:
        units: output features.
    """

    op = "d"

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def kernel_shape(self, input_shape):
        return (input_shape[-1], self.units)

    def call(self, inputs, training=False):
        outputs = tf.matmul(inputs, self.effective_kernel(training))
        return tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias)) if self.use_bias else outputs

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict:
        return {**super().get_config(), "units": self.units}

    @property
    def _channels(self) -> int:
        return self.units


class SpatialLayer(SpectralLayer):
    """What convolution and transposed convolution share; kernels are the same in both data formats.

    Args:
        filters: output channels.
        kernel_size: side of the square kernel.
        strides: of both axes.
        dilation: of both axes.
        padding: 'same' or 'valid'.
        data_format: 'channels_last' (N, H, W, C), 'channels_first' (N, C, H, W), or None: Keras's setting.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        *,
        strides: int = 1,
        dilation: int = 1,
        padding: str = "same",
        data_format: str | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.dilation = dilation
        self.padding = padding.upper()
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        self._sides: dict = {}

    def build(self, input_shape):
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
        return {
            **self._sides,
            "strides": self.strides,
            "dilation": self.dilation,
            "padding": self.padding,
        }

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

    def compute_output_shape(self, input_shape):
        height, width, _ = self._height_width_channels(input_shape)
        sides = [None if side is None else self._output_side(side) for side in (height, width)]
        if self.data_format == "channels_first":
            return (input_shape[0], self.filters, *sides)
        return (input_shape[0], *sides, self.filters)

    def _output_side(self, side: int) -> int:
        raise NotImplementedError(f"{type(self).__name__} must say its output's side.")

    def _height_width_channels(self, shape) -> tuple[int, int, int]:
        if self.data_format == "channels_first":
            return (shape[2], shape[3], shape[1])
        return tuple(shape[1:])

    @property
    def _layout(self) -> str:
        return "NCHW" if self.data_format == "channels_first" else "NHWC"

    @property
    def _channels(self) -> int:
        return self.filters

    def _add_bias(self, outputs: tf.Tensor) -> tf.Tensor:
        if not self.use_bias:
            return outputs
        return tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias), data_format=self._layout)


@keras.saving.register_keras_serializable(package="mmdgan")
class SpectralConv2D(SpatialLayer):
    """Convolution with spectral norm; kernel (k, k, in, out). Arguments: `SpatialLayer`, `SpectralLayer`."""

    op = "c"

    def kernel_shape(self, input_shape):
        channels = self._height_width_channels(input_shape)[2]
        return (self.kernel_size, self.kernel_size, channels, self.filters)

    def call(self, inputs, training=False):
        outputs = tf.nn.conv2d(
            inputs,
            dilated_kernel(self.effective_kernel(training), self.dilation),
            strides=self.strides,
            padding=self.padding,
            data_format=self._layout,
        )
        return self._add_bias(outputs)

    def _output_side(self, side: int) -> int:
        window = 0 if self.padding == "SAME" else (self.kernel_size - 1) * self.dilation
        return -((window - side) // self.strides)


@keras.saving.register_keras_serializable(package="mmdgan")
class SpectralConv2DTranspose(SpatialLayer):
    """Transposed convolution with spectral norm; kernel (k, k, out, in). Arguments: as `SpectralConv2D`."""

    op = "tc"

    def kernel_shape(self, input_shape):
        channels = self._height_width_channels(input_shape)[2]
        return (self.kernel_size, self.kernel_size, self.filters, channels)

    def call(self, inputs, training=False):
        static = self.compute_output_shape(tuple(inputs.shape))
        outputs = tf.nn.conv2d_transpose(
            inputs,
            self.effective_kernel(training),
            output_shape=(tf.shape(inputs)[0], *static[1:]),
            strides=self.strides,
            padding=self.padding,
            data_format=self._layout,
        )
        return self._add_bias(outputs)

    def _output_side(self, side: int) -> int:
        window = 0 if self.padding == "SAME" else (self.kernel_size - 1) * self.dilation
        return side * self.strides + window
