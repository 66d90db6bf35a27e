"""Batch normalisation with the moving averages of the original (TensorFlow 1.8; spec B.3).

Momentum 0.99, epsilon 1e-3. Images are normalised by the biased batch variance while the moving average is fed
the unbiased one (n / (n - 1), n = N H W); flat features use the biased variance in both places.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from mmdgan.layers import scope

MOMENTUM = 0.99
EPSILON = 1e-3


@keras.saving.register_keras_serializable(package="mmdgan")
class BatchNorm(keras.layers.Layer):
    """Batch normalisation over all axes but the channels'.

    Args:
        data_format: 'channels_last' (N, H, W, C) or (N, F), or 'channels_first' (N, C, H, W).
    """

    def __init__(self, data_format: str = "channels_last", **kwargs):
        super().__init__(**kwargs)
        self.data_format = data_format

    def build(self, input_shape):
        channels = (input_shape[self._axis(len(input_shape))],)
        options = {"shape": channels, "autocast": False}
        self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", trainable=False, **options)
        self.moving_variance = self.add_weight(name="moving_variance", initializer="ones", trainable=False, **options)

    def call(self, inputs, training=False):
        if not training:
            mean, variance = (tf.convert_to_tensor(v) for v in (self.moving_mean, self.moving_variance))
            return self._normalise(inputs, mean, variance)
        if self._can_fuse(inputs):
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs,
                tf.convert_to_tensor(self.gamma),
                tf.convert_to_tensor(self.beta),
                epsilon=EPSILON,
                data_format="NHWC",
                is_training=True,
            )
        else:
            outputs, mean, variance = self._normalise_by_moments(inputs)
        self._update(self.moving_mean, mean)
        self._update(self.moving_variance, variance)
        return outputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "data_format": self.data_format}

    def _axis(self, rank: int) -> int:
        return 1 if rank == 4 and self.data_format == "channels_first" else rank - 1

    def _can_fuse(self, inputs: tf.Tensor) -> bool:
        """The fused kernel returns the unbiased variance; it has no float64 form, and no NCHW one on a CPU."""
        return inputs.shape.rank == 4 and self.data_format == "channels_last" and inputs.dtype != tf.float64

    def _normalise_by_moments(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        wide = tf.cast(inputs, self.variable_dtype)
        axis = self._axis(inputs.shape.rank)
        axes = [a for a in range(inputs.shape.rank) if a != axis]
        mean, variance = tf.nn.moments(wide, axes)
        outputs = self._normalise(inputs, mean, variance)
        if inputs.shape.rank == 4:
            count = tf.cast(tf.size(inputs) / tf.shape(inputs)[axis], variance.dtype)
            variance = variance * count / tf.maximum(count - 1, 1)
        return outputs, mean, variance

    def _normalise(self, inputs: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
        shape = [1] * inputs.shape.rank
        shape[self._axis(inputs.shape.rank)] = -1
        scale = tf.convert_to_tensor(self.gamma) * tf.math.rsqrt(variance + EPSILON)
        offset = tf.convert_to_tensor(self.beta) - mean * scale
        scale, offset = (tf.cast(tf.reshape(v, shape), inputs.dtype) for v in (scale, offset))
        return inputs * scale + offset

    def _update(self, moving: keras.Variable, batch: tf.Tensor) -> None:
        if scope.may_update_state():
            moving.assign(moving - (1 - MOMENTUM) * (moving - tf.stop_gradient(batch)))
