"""Learning rates that fall with the global step: linearly, or as half a cosine (Loshchilov and Hutter 2017, Eq. 5).

An optimiser's own count of updates is not the step where one network is updated more often than the other.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from mmdgan.training.aids import Aids
from mmdgan.training.optimizers import make_optimizer


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
