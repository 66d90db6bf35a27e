"""Dense, convolution and transposed convolution layers whose kernels are divided by their spectral norm.

They are ordinary Keras layers, work in any Keras model, and take the arguments of Keras's own layers where these apply.
The stored kernel is never overwritten: each forward pass multiplies it by ``gain / sigma`` (Wang et al.
2019, section 4). Layers that know class labels are in `mmdgan.layers.conditional`.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import keras
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.core.signatures import AllArguments, with_all_arguments
from mmdgan.core.types import StaticShape
from mmdgan.layers import initializers, scope
from mmdgan.layers.convolution import convolve, convolve_depthwise, convolve_transposed
from mmdgan.layers.layout import ChannelwiseLayer, add_bias, channel_axis
from mmdgan.layers.spectral import spectral_norm, vector_shape

SPECTRAL_MODES = ("pico", "pim")

Kernels = tuple[tf.Tensor, ...]


class SpectralLayer(keras.layers.Layer):
    """A linear layer with its kernels, an optional bias, an activation, and an optional spectral norm.

    Calling the layer with ``training=True`` advances its spectral vector by one power iteration, a layer called twice
    in a model by two, unless a training step shares the kernel among several calls (`mmdgan.layers.scope`). The vector
    begins at random numbers that are not normalised, as the original's does: until the first training call sigma holds
    the vector's length as a factor. Regularisers and constraints see the stored kernel. With ``trainable=False`` the
    vector stays as it is.

    Args:
        spectral: 'pico' (iterate with the operator itself), 'pim' (with the kernel as a matrix) or None.
        gain: Multiplier of the kernel, after its normalisation if there is one (`act_k`).
        activation: Any Keras activation, applied after the bias; default: none.
        use_bias: Whether a bias is added.
        kernel_initializer: Any Keras initialiser; default: the original's for a linear activation.
        bias_initializer: Any Keras initialiser; default: truncated normal of stddev 1e-5.
        kernel_regularizer: Any Keras regulariser, for each kernel.
        bias_regularizer: Any Keras regulariser, for the bias.
        kernel_constraint: Any Keras constraint, for each kernel.
        bias_constraint: Any Keras constraint, for the bias.

    Attributes:
        op: Name of the operator in a layer dictionary, as `spectral_norm` takes it.
        conditional: Whether calls take class labels: ``layer(x, labels)``.
        kernel_names: The weights that make up the kernel.
        data_format: Layout of images; flat features have their channels last.
        input_ranks: The number of axes that inputs have, as `keras.InputSpec` takes it.
    """

    op = ""
    conditional = False
    kernel_names: tuple[str, ...] = ("kernel",)
    data_format = "channels_last"
    input_ranks: dict = {"ndim": 2}
    fixed_arguments: tuple[str, ...] = ()
    __signature__ = AllArguments(keras.layers.Layer)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__doc__ = with_all_arguments(cls.__doc__, cls)

    def __init__(
        self,
        *,
        spectral: str | None = "pico",
        gain: float = 1.0,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        bias_initializer: Any = None,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if spectral not in (None, *SPECTRAL_MODES):
            raise ValueError(f"spectral must be None or one of {', '.join(SPECTRAL_MODES)}, not {spectral!r}.")
        self.spectral = spectral
        self.gain = float(gain)
        if not math.isfinite(self.gain):
            raise self._refused("gain", gain, "a finite number")
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer or initializers.ActivationInitializer())
        self.bias_initializer = keras.initializers.get(bias_initializer or initializers.bias_initializer())
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.input_spec = keras.InputSpec(**self.input_ranks)
        self.bias: Any = None
        self.in_rand: Any = None

    def kernel_shapes(self, input_shape: StaticShape) -> tuple[tuple[Any, ...], ...]:
        """Returns the shapes of the weights in `kernel_names` for a batched input shape."""
        raise NotImplementedError(f"{type(self).__name__} must say its kernels' shapes.")

    def operator(self) -> dict:
        """Returns the keyword arguments of `spectral_norm` that describe this layer's operator."""
        return {}

    def build(self, input_shape: StaticShape) -> None:
        for name, shape in zip(self.kernel_names, self.kernel_shapes(input_shape), strict=True):
            # The original starts every conditional kernel at zero: all classes begin alike.
            initializer = "zeros" if name == "c_kernel" else self.kernel_initializer
            # Spectral norms and the optimiser need float32 master kernels whatever the compute dtype is.
            options = {"regularizer": self.kernel_regularizer, "constraint": self.kernel_constraint}
            weight = self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False, **options)
            setattr(self, name, weight)
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self._channels,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                autocast=False,
            )
        if self.spectral:
            self._build_vector()
        axis = channel_axis(len(input_shape), self.data_format)
        # Dense layers take any number of axes.
        last = axis == len(input_shape) - 1
        self.input_spec = keras.InputSpec(**self.input_ranks, axes={-1 if last else axis: input_shape[axis]})

    def normalise(self, gradient_at: str = "vector") -> tuple[tf.Tensor | Kernels, tf.Tensor, tf.Tensor | None]:
        """Returns (effective kernel, sigma, next vector) of the present kernel and vector; changes nothing.

        The effective kernel is what the layer applies to its input: a tensor, or a tuple where it has several.

        Args:
            gradient_at: 'vector' or 'next', as in `spectral_norm`: a training step of the original's wants 'next'.
        """
        kernels = self._kernels()
        op, operand, options = self._norm_problem(kernels)
        vector = None if self.in_rand is None else tf.convert_to_tensor(self.in_rand)
        sigma, next_vector = spectral_norm(op, operand, vector, gradient_at=gradient_at, **options)
        return self._effective(kernels, self.gain / sigma), sigma, next_vector

    def effective_kernel(self, training: bool) -> tf.Tensor | Kernels:
        """Returns the kernel (or tuple of kernels) to apply, in the compute dtype."""
        kernel = scope.shared_kernel(self)
        if kernel is None and self.spectral:
            kernel, _, next_vector = self.normalise()
            if training and self.trainable and next_vector is not None and scope.may_update_state():
                self.in_rand.assign(next_vector)
        elif kernel is None:
            kernel = self._effective(self._kernels(), self.gain)
        return tf.nest.map_structure(lambda k: tf.cast(k, self.compute_dtype), kernel)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self._finish(self._apply(inputs, self.effective_kernel(training)))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "spectral": self.spectral,
            "gain": self.gain,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }

    @property
    def _channels(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must say its number of output channels.")

    def _count(self, key: str, value: Any) -> int:
        """A number of features."""
        try:
            count = operator.index(value)
        except TypeError:
            count = 0
        if count < 1 or isinstance(value, bool):
            raise self._refused(key, value, "a positive integer")
        return count

    def _refused(self, key: str, value: Any, needed: str) -> ConfigError:
        return ConfigError(f"The layer {self.name} ({type(self).__name__}) takes {needed} as {key}, not {value!r}.")

    @property
    def _layout(self) -> str:
        return "NCHW" if self.data_format == "channels_first" else "NHWC"

    def _apply(self, inputs: tf.Tensor, kernel: tf.Tensor | Kernels) -> tf.Tensor:
        """Returns the layer's linear map of its inputs with an effective kernel."""
        raise NotImplementedError(f"{type(self).__name__} must say its linear map.")

    def _kernels(self) -> Kernels:
        return tuple(tf.convert_to_tensor(getattr(self, name)) for name in self.kernel_names)

    def _effective(self, kernels: Kernels, multiplier: float | tf.Tensor) -> tf.Tensor | Kernels:
        """Returns what the layer applies: its kernels, with a multiplier (of sigma's shape, or a number)."""
        return kernels[0] * multiplier

    def _norm_problem(self, kernels: Kernels) -> tuple[str, tf.Tensor | Kernels, dict]:
        """Returns the op, the kernel (or pair) and the operator that `spectral_norm` takes."""
        kernel = kernels[0]
        if self.spectral == "pim" and kernel.shape.rank == 4:
            return "d", tf.reshape(kernel, (-1, kernel.shape[-1])), {}
        return self.op, kernel, self.operator()

    def _finish(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the layer's outputs from those of its linear map."""
        if self.use_bias:
            outputs = add_bias(outputs, tf.convert_to_tensor(self.bias), self.data_format)
        return self.activation(outputs)

    def _build_vector(self) -> None:
        op, operand, options = self._norm_problem(self._kernels())
        shapes = tf.nest.map_structure(lambda k: tuple(k.shape), operand)
        sides = {key: options[key] for key in ("input_shape", "output_shape") if key in options}
        shape = vector_shape(op, shapes, **sides)
        if shape is not None:
            self.in_rand = self.add_weight(
                name="in_rand",
                shape=shape,
                initializer=keras.initializers.TruncatedNormal(stddev=1.0),
                trainable=False,
                autocast=False,
                # All replicas compute the same vector; one of them writes it.
                aggregation="only_first_replica",
            )


@keras.saving.register_keras_serializable(package="mmdgan")
class SpectralDense(SpectralLayer):
    """Dense layer (N, ..., in) -> (N, ..., units) with spectral norm; kernel (in, units).

    Args:
        units: Output features.
        activation: Any Keras activation, applied after the bias; default: none.
    """

    op = "d"
    input_ranks = {"min_ndim": 2}

    def __init__(self, units: int, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(activation=activation, **kwargs)
        self.units = self._count("units", units)
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
    """Base of convolutions and transposed convolutions; kernels are the same in both data formats.

    Args:
        filters: Output channels.
        kernel_size: Side of the square kernel; like strides and dilation an integer, or a pair of equal ones.
        strides: Strides along both axes.
        padding: 'same' or 'valid'; 'same' unless given, unlike Keras's own layers.
        data_format: 'channels_last' (N, H, W, C), 'channels_first' (N, C, H, W), or None: Keras's setting.
        dilation: Dilation along both axes.
        dilation_rate: Keras's name of `dilation`.

    Raises:
        ConfigError: A value that is none of these.
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
        self.filters = self._count("filters", filters)
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
        sides = self._sides["output_shape"][:2]
        if any(side is not None and side < 1 for side in sides):
            needed = f"with padding 'valid' no more than the size of its images, {tuple(input_shape)},"
            raise self._refused("kernel_size", self.kernel_size, needed)
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

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor | Kernels) -> tf.Tensor:
        """Returns the layer's linear map of images of the right size."""
        raise NotImplementedError(f"{type(self).__name__} must say its linear map.")

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self._check_size(inputs.shape, symbolic=True)
        return super().compute_output_spec(inputs, *args, **kwargs)

    def _check_size(self, shape: StaticShape, symbolic: bool = False) -> None:
        """Refuses images of another size than the one that the spectral norm is taken for."""
        if self.spectral != "pico":
            return
        built, given = self._sides["input_shape"][:2], tuple(self._height_width_channels(shape)[:2])
        unknown = () if symbolic else (None,)  # a graph may learn the size when it runs
        if any(side not in (own, *unknown) for side, own in zip(given, built, strict=True)):
            raise ValueError(
                f"The layer {self.name} ({type(self).__name__}) was built for images of {built[0]}x{built[1]} pixels "
                f"and is called with {given[0]}x{given[1]}, but PICO's norm holds for one size; use a layer for each "
                "size, or spectral='pim', which knows no sizes."
            )

    def _apply(self, inputs: tf.Tensor, kernel: tf.Tensor | Kernels) -> tf.Tensor:
        self._check_size(inputs.shape)
        return self._convolve(inputs, kernel)

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

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return convolve(inputs, kernel, self.strides, self.dilation, self.padding, self._layout)


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

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        # Static sides where they are known, so that the output's shape is known too.
        shape = self.compute_output_shape(keras.ops.shape(inputs))
        return convolve_transposed(inputs, kernel, shape, self.strides, self.dilation, self.padding, self._layout)

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

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        depthwise, pointwise = kernel
        inputs = convolve_depthwise(inputs, depthwise, self.strides, self.dilation, self.padding, self._layout)
        return convolve(inputs, pointwise, 1, 1, "VALID", self._layout)


@keras.saving.register_keras_serializable(package="mmdgan")
class Bias(ChannelwiseLayer):
    """Adds one trainable number per channel, 'bias', that starts at a truncated normal of stddev 1e-5."""

    def build(self, input_shape: StaticShape) -> None:
        width = (input_shape[channel_axis(len(input_shape), self.data_format)],)
        initializer = initializers.bias_initializer()
        self.bias = self.add_weight(name="bias", shape=width, initializer=initializer, autocast=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return add_bias(inputs, tf.convert_to_tensor(self.bias), self.data_format)


@keras.saving.register_keras_serializable(package="mmdgan")
class Bounded(keras.constraints.Constraint):
    """Clips a variable to [-bound, bound] after each update."""

    def __init__(self, bound: float):
        self.bound = float(bound)

    def __call__(self, value: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(value, -self.bound, self.bound)

    def get_config(self) -> dict:
        return {"bound": self.bound}


@keras.saving.register_keras_serializable(package="mmdgan")
class Scalar(keras.layers.Layer):
    """Multiplies by one trainable number, 'kernel', that starts at 0: the gain of an attention block's branch.

    Args:
        bound: The optimiser keeps the number in [-bound, bound]; None: anywhere.
    """

    conditional = False

    def __init__(self, bound: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bound = bound

    def build(self, input_shape: StaticShape) -> None:
        constraint = None if self.bound is None else Bounded(self.bound)
        self.kernel = self.add_weight(name="kernel", shape=(), initializer="zeros", constraint=constraint)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return inputs * tf.convert_to_tensor(self.kernel)

    def compute_output_shape(self, input_shape: StaticShape) -> StaticShape:
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "bound": self.bound}
