"""The original's four optimisers (spec E.3), as Keras optimisers.

| name | rule |
|---|---|
| adam | beta1 0.5, beta2 0.999, epsilon 1e-8 added to sqrt(v), bias correction folded into the step |
| rmsprop | decay 0.9, epsilon 1e-10 inside the root, squared-gradient average started at 1 |
| sgd | learning rate decayed continuously by powers of 0.96, to `end_lr` at step 100,000 |
| momentum | heavy ball 0.9, the same schedule; the learning rate multiplies the accumulated velocity |

`end_lr` has no effect on adam and rmsprop, whose rates are constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.training.aids.settings import Aids

NAMES = ("adam", "rmsprop", "sgd", "momentum")
SCHEDULE_STEPS = 100_000
DECAY_RATE = 0.96


def make_optimizer(
    name: str,
    learning_rate: float,
    end_lr: float = 1e-7,
    schedule: keras.optimizers.schedules.LearningRateSchedule | None = None,
) -> keras.optimizers.Optimizer:
    """Builds the optimiser of that name.

    Args:
        name: one of `NAMES`, in any case.
        learning_rate: positive; at step 0 for the scheduled ones.
        end_lr: rate at step 100,000 of sgd and momentum.
        schedule: takes the place of the optimiser's own rates, whichever it is.

    Raises:
        ConfigError: an unknown name, or a rate that is not positive.
    """
    kind = str(name).lower()
    if kind not in NAMES:
        raise ConfigError(f"optimizer {name!r} is not one of {', '.join(NAMES)}.")
    if not (learning_rate > 0 and end_lr > 0):
        raise ConfigError(f"Learning rates must be positive; got {learning_rate} and end_lr {end_lr}.")
    if kind == "adam":
        return Adam(schedule or learning_rate, beta_1=0.5, beta_2=0.999, epsilon=1e-8)
    if kind == "rmsprop":
        return RMSprop(schedule or learning_rate, rho=0.9, epsilon=1e-10)
    schedule = schedule or decay_schedule(learning_rate, end_lr)
    if kind == "sgd":
        return keras.optimizers.SGD(schedule)
    return HeavyBall(schedule, momentum=0.9)


def decay_schedule(learning_rate: float, end_lr: float) -> keras.optimizers.schedules.LearningRateSchedule:
    """Exponential decay that reaches `end_lr` at step 100,000; constant if both rates are equal."""
    if learning_rate == end_lr:
        return keras.optimizers.schedules.ExponentialDecay(learning_rate, 1, 1.0)
    steps = round(SCHEDULE_STEPS * math.log(DECAY_RATE) / math.log(end_lr / learning_rate))
    return keras.optimizers.schedules.ExponentialDecay(learning_rate, steps, DECAY_RATE)


@keras.saving.register_keras_serializable(package="mmdgan")
class Adam(keras.optimizers.Adam):
    """Keras's Adam with TensorFlow's fused update: the same formula in one pass over memory."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        dtype = tf.as_dtype(variable.dtype)
        if self.amsgrad or dtype not in (tf.float32, tf.float64):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, dtype)
        beta_1, beta_2 = tf.constant(self.beta_1, dtype), tf.constant(self.beta_2, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.constant(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )


@keras.saving.register_keras_serializable(package="mmdgan")
class RMSprop(keras.optimizers.RMSprop):
    """RMSprop whose average of squared gradients starts at 1, as TensorFlow 1's."""

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        if self.built:
            return
        super().build(var_list)
        for velocity in self._velocities:
            velocity.assign(tf.ones_like(velocity.value))


@keras.saving.register_keras_serializable(package="mmdgan")
class HeavyBall(keras.optimizers.SGD):
    """Momentum as TensorFlow 1's: ``a <- m a + g``, ``w <- w - lr a``; Keras's applies lr inside a."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        accumulator = self.momentums[self._get_variable_index(variable)]
        accumulator.assign(self.momentum * accumulator + tf.cast(gradient, variable.dtype))
        variable.assign(variable - tf.cast(learning_rate, variable.dtype) * accumulator)


def _handle(variable: tf.Variable) -> tf.Tensor:
    """The resource of a tf.Variable, or of the one inside a Keras variable."""
    return variable.value.handle if isinstance(variable, keras.Variable) else variable.handle


# MERGED mmdgan/training/optimizers.py
# Learning rates that fall with the global step: linearly, or as half a cosine (Loshchilov and Hutter 2017, Eq. 5).
#
# An optimiser's own count of updates is not the step where one network is updated more often than the other.


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """From `start` at step 0 to `end` at step `steps`, and `end` from then on.

    Args:
        kind: "linear" or "cosine".
        start: the rate at step 0.
        end: the rate at step `steps`.
        steps: how long it falls.
        global_step: the number of steps taken.
    """

    def __init__(self, kind: str, start: float, end: float, steps: int, global_step: tf.Variable) -> None:
        super().__init__()
        self._kind, self._start, self._end, self._steps = kind, float(start), float(end), int(steps)
        self._global_step = global_step

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        share = tf.minimum(tf.cast(self._global_step, tf.float64) / self._steps, 1.0)
        left = 1.0 - share if self._kind == "linear" else (1.0 + tf.cos(math.pi * share)) / 2.0
        return tf.cast(self._end + (self._start - self._end) * left, tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {"kind": self._kind, "start": self._start, "end": self._end, "steps": self._steps}


def scheduled_optimizer(
    name: str, learning_rate: float, *, end_lr: float, aids: Aids, global_step: tf.Variable
) -> keras.optimizers.Optimizer:
    """The optimiser of that name with the learning rate that the aids ask for; arguments as of `make_optimizer`."""
    if aids.lr_schedule == "original":
        return make_optimizer(name, learning_rate, end_lr)
    schedule = None  # then a constant rate, of sgd and momentum too
    if aids.falls and aids.lr_steps is not None:
        schedule = Falling(aids.lr_schedule, learning_rate, end_lr, aids.lr_steps, global_step)
    return make_optimizer(name, learning_rate, learning_rate, schedule)
