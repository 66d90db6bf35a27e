"""The trainable number that opens an attention block's branch (Zhang et al. 2019; spec A.5)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from mmdgan.tensor_types import StaticShape


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
    """Multiplies by one trainable number, 'kernel', that starts at 0.

    Args:
        bound: the optimiser keeps the number in [-bound, bound]; None: anywhere.
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
