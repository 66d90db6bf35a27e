"""What all layers with spectral normalisation share: kernels, bias, activation, and the vector of the power iteration.

The stored kernel is never overwritten: each forward pass multiplies it by ``gain / sigma`` (Wang et al. 2019,
section 4).
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from mmdgan.core.types import StaticShape
from mmdgan.layers import initializers, scope
from mmdgan.layers.layout import add_bias, channel_axis
from mmdgan.layers.spectral import spectral_norm, vector_shape

SPECTRAL_MODES = ("pico", "pim")

Kernels = tuple[tf.Tensor, ...]


class SpectralLayer(keras.layers.Layer):
    """A linear layer with its kernels, an optional bias, an activation, and an optional spectral norm.

    Calling the layer with ``training=True`` advances its spectral vector by one power iteration, a layer called twice
    in a model by two, unless a training step shares the kernel among several calls (`mmdgan.layers.scope`). The vector
    begins at random numbers that are not normalised, as the original's does: until the first training call sigma holds
    the vector's length as a factor. Regularisers and constraints see the stored kernel.

    Args:
        spectral: 'pico' (iterate with the operator itself), 'pim' (with the kernel as a matrix) or None.
        gain: multiplier of the kernel, behind its normalisation if there is one (`act_k`).
        activation: any Keras activation, behind the bias; default: none.
        use_bias: whether a bias is added.
        kernel_initializer: any Keras initialiser; default: the original's for a linear activation.
        bias_initializer: default: truncated normal of stddev 1e-5.
        kernel_regularizer: any Keras regulariser, of each kernel.
        bias_regularizer: of the bias.
        kernel_constraint: any Keras constraint, of each kernel.
        bias_constraint: of the bias.

    Attributes:
        op: name of the operator in a layer dictionary, as `spectral_norm` takes it.
        conditional: whether calls take class labels: ``layer(x, labels)``.
        kernel_names: the weights that make up the kernel.
        data_format: layout of images; flat features have their channels last.
        input_ranks: the number of axes that inputs have, as `keras.InputSpec` takes it.
    """

    op = ""
    conditional = False
    kernel_names: tuple[str, ...] = ("kernel",)
    data_format = "channels_last"
    input_ranks: dict = {"ndim": 2}

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
            if training and next_vector is not None and scope.may_update_state():
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
