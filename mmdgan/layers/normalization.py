"""Normalisation layers: batch norm as the original's (TensorFlow 1.8; spec B.3), per class, and over channels.

Momentum 0.99, epsilon 1e-3. Images are normalised by the biased batch variance while the moving average is fed
the unbiased one (n / (n - 1), n = N H W); flat features use the biased variance in both places. Where a training
step asks for it (`mmdgan.layers.scope`), N counts the samples of all replicas.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from mmdgan.core import replicas
from mmdgan.core.types import StaticShape, TensorLike
from mmdgan.layers import initializers, scope
from mmdgan.layers.layout import ChannelwiseLayer, channel_axis, class_rows, class_shape

MOMENTUM = 0.99
EPSILON = 1e-3
RESPONSE_EPSILON = 1e-10


@keras.saving.register_keras_serializable(package="mmdgan")
class BatchNorm(ChannelwiseLayer):
    """Batch normalisation over all axes but the channels'.

    With ``trainable=False`` it normalises by the moving averages and leaves them alone, as Keras's own does.

    Args:
        data_format: 'channels_last' (N, H, W, C) or (N, F), or 'channels_first' (N, C, H, W) or (N, F).
        center: Whether the trainable 'beta' is added.
        scale: Whether the trainable 'gamma' multiplies.
    """

    def __init__(
        self, data_format: str = "channels_last", center: bool = True, scale: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.center = center
        self.scale = scale
        self.gamma = self.beta = None

    def build(self, input_shape: StaticShape) -> None:
        channels = (input_shape[channel_axis(len(input_shape), self.data_format)],)
        options = {"shape": channels, "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **options)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **options)
        # Replicas that average their own batches store the mean of their averages.
        options.update(trainable=False, aggregation="mean")
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", **options)
        self.moving_variance = self.add_weight(name="moving_variance", initializer="ones", **options)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not (training and self.trainable):
            mean, variance = (tf.convert_to_tensor(v) for v in (self.moving_mean, self.moving_variance))
            return self._normalise(inputs, mean, variance)
        if (part := scope.batch_part()) is not None:
            return self._normalise(*part.normalised(self, inputs))
        if self._can_fuse(inputs):
            gamma, beta = self._affine()
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, gamma, beta, epsilon=EPSILON, data_format="NHWC", is_training=True
            )
            self._update(self.moving_mean, mean)
            self._update(self.moving_variance, variance)
            return outputs
        mean, variance = combined_moments(*(moment[tf.newaxis] for moment in self.moments(inputs)))
        self.observe(mean, variance, inputs.shape.rank, self.count(tf.unstack(tf.shape(inputs))))
        return self._normalise(inputs, mean, variance)

    def moments(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and biased variance of each channel of this replica's inputs."""
        axis = channel_axis(inputs.shape.rank, self.data_format)
        axes = [a for a in range(inputs.shape.rank) if a != axis]
        return tf.nn.moments(tf.cast(inputs, self.variable_dtype), axes)

    def count(self, shape: Any) -> Any:
        """How many numbers of each channel inputs of a shape hold, on all replicas whose samples make one batch."""
        channels = channel_axis(len(shape), self.data_format)
        # Without the channels, with which a large batch's count would leave the range of int32.
        return _replicas() * math.prod(size for axis, size in enumerate(shape) if axis != channels)

    def observe(self, mean: tf.Tensor, variance: tf.Tensor, rank: int, count: tf.Tensor) -> None:
        """Moves the moving averages by the moments of a batch, of inputs of a rank and a `count`."""
        self._update(self.moving_mean, mean)
        if rank == 4:
            count = tf.cast(count, variance.dtype)
            variance = variance * count / tf.maximum(count - 1, 1)
        self._update(self.moving_variance, variance)

    def moments_gradient(self, inputs: tf.Tensor, mean: tf.Tensor, upstream: Any, count: TensorLike) -> tf.Tensor:
        """The gradient for some inputs of a batch, from that for its mean and its biased variance (`upstream`)."""
        mean, for_mean, for_variance = (self._per_channel(v, inputs.shape.rank) for v in (mean, *upstream))
        centred = tf.cast(inputs, self.variable_dtype) - mean
        return tf.cast((for_mean + 2 * for_variance * centred) / count, inputs.dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "center": self.center, "scale": self.scale}

    def _affine(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns gamma and beta, or ones and zeros in their place."""
        gamma = tf.ones_like(self.moving_mean) if self.gamma is None else tf.convert_to_tensor(self.gamma)
        beta = tf.zeros_like(self.moving_mean) if self.beta is None else tf.convert_to_tensor(self.beta)
        return gamma, beta

    def _can_fuse(self, inputs: tf.Tensor) -> bool:
        """The fused kernel returns the unbiased variance, of its own replica's samples.

        It has no float64 form, and no NCHW one on a CPU.
        """
        if _replicas() > 1:
            return False
        return inputs.shape.rank == 4 and self.data_format == "channels_last" and inputs.dtype != tf.float64

    def _per_channel(self, values: tf.Tensor, rank: int) -> tf.Tensor:
        shape = [1] * rank
        shape[channel_axis(rank, self.data_format)] = -1
        return tf.reshape(values, shape)

    def _normalise(self, inputs: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
        gamma, beta = self._affine()
        scale = gamma * tf.math.rsqrt(variance + EPSILON)
        offset = beta - mean * scale
        rank = inputs.shape.rank
        scale, offset = (tf.cast(self._per_channel(v, rank), inputs.dtype) for v in (scale, offset))
        return inputs * scale + offset

    def _update(self, moving: keras.Variable, batch: tf.Tensor) -> None:
        scope.update(moving, moving - (1 - MOMENTUM) * (moving - tf.stop_gradient(batch)))


def _replicas() -> int:
    """The number of replicas whose samples make one batch."""
    return replicas.replica_count() if scope.statistics_are_synchronised() else 1


def combined_moments(means: tf.Tensor, variances: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and biased variance of a batch of those of its equal parts (P, C), on all replicas whose samples make one.

    Variances are put together by those of the means (Chan et al. 1979), because the difference of the mean square and
    the squared mean has no correct digit where the mean is large.
    """
    if _replicas() > 1:
        means, variances = tf.split(replicas.gather_rows(tf.concat([means, variances], 1)), 2, axis=1)
    if means.shape[0] == 1:
        return means[0], variances[0]
    mean, between = tf.nn.moments(means, [0])
    return mean, tf.reduce_mean(variances, 0) + between


@keras.saving.register_keras_serializable(package="mmdgan")
class ConditionalBatchNorm(BatchNorm):
    """Batch norm with scale and offset per class (Dumoulin et al. 2017): ``layer(x, labels)``, labels (N, 1).

    Weights: scale and offset, (classes, channels) or for images (classes, 1, 1, channels), and the moving averages,
    which all classes share.

    Args:
        num_class: Number of classes.
    """

    conditional = True
    fixed_arguments = ("center", "scale")

    def __init__(self, num_class: int, data_format: str = "channels_last", **kwargs: Any) -> None:
        super().__init__(data_format, center=False, scale=False, **kwargs)
        self.num_class = num_class

    def build(self, input_shape: StaticShape) -> None:
        shape = class_shape(self.num_class, tuple(input_shape), self.data_format)
        options = {"shape": shape, "autocast": False}
        self.class_scale = self.add_weight(name="scale", initializer="ones", **options)
        self.class_offset = self.add_weight(name="offset", initializer=initializers.bias_initializer(), **options)
        super().build(input_shape)

    def call(  # type: ignore[override]  # takes labels too
        self, inputs: tf.Tensor, labels: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        outputs = super().call(inputs, training=training)
        classes = (tf.convert_to_tensor(v) for v in (self.class_scale, self.class_offset))
        scale, offset = (tf.cast(class_rows(v, labels, self.data_format), outputs.dtype) for v in classes)
        return outputs * scale + offset

    def get_config(self) -> dict:
        config = {**super().get_config(), "num_class": self.num_class}
        return {key: value for key, value in config.items() if key not in self.fixed_arguments}


@keras.saving.register_keras_serializable(package="mmdgan")
class LocalResponseNorm(ChannelwiseLayer):
    """Divides each pixel's features by their root mean square over the channels (Karras et al. 2018, section 4.2)."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        # Squares of half-precision features overflow, and their epsilon vanishes.
        wide = tf.cast(inputs, self.variable_dtype)
        axis = channel_axis(inputs.shape.rank, self.data_format)
        power = tf.reduce_mean(wide * wide, axis=axis, keepdims=True)
        return tf.cast(wide * tf.math.rsqrt(power + RESPONSE_EPSILON), inputs.dtype)
