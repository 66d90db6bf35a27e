"""Dynamic loss scaling: keeps float16 gradients from vanishing, and skips the updates of those that overflow.

float16 knows no positive number below 6e-8, and gradients of MMD losses are often smaller. Losses are multiplied by a
scale before they are differentiated, gradients divided by it behind (Micikevicius et al. 2018). The scale doubles
after `GROWTH_STEPS` steps without overflow and halves at one; a step that overflows changes nothing else but the
number of steps. Both players share the scale: one forward pass serves them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

INITIAL_SCALE = 2.0**15
LARGEST_SCALE = 2.0**100
GROWTH_STEPS = 2000


class LossScale:
    """The scale of a step's losses, and what its gradients do to it.

    Attributes:
        scale: the present factor (tf.Variable, float32); it is at least 1.
        good_steps: how many steps without overflow since it changed (tf.Variable, int64).
    """

    def __init__(self) -> None:
        self.scale = tf.Variable(INITIAL_SCALE, trainable=False, name="scale")
        self.good_steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="good_steps")

    def state(self) -> dict[str, tf.Variable]:
        """Returns what a checkpoint must hold."""
        return {"loss_scale/scale": self.scale, "loss_scale/good_steps": self.good_steps}

    def unscaled(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the gradients of losses that were multiplied by the scale, divided by it."""
        inverse = 1 / self.scale  # a power of two: exact
        return [gradient * tf.cast(inverse, gradient.dtype) for gradient in gradients]

    def update_if_finite(self, gradients: Sequence[tf.Tensor], update: Callable[[], None]) -> None:
        """Calls `update` if all gradients are finite, and adapts the scale to whether they are."""
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])

        def good() -> Any:
            update()
            steps = self.good_steps + 1
            grow = steps >= GROWTH_STEPS
            self.scale.assign(tf.where(grow, tf.minimum(self.scale * 2, LARGEST_SCALE), self.scale))
            self.good_steps.assign(tf.where(grow, tf.zeros_like(steps), steps))
            return tf.constant(True)

        def overflow() -> Any:
            self.scale.assign(tf.maximum(self.scale / 2, 1.0))
            self.good_steps.assign(0)
            return tf.constant(False)

        tf.cond(finite, good, overflow)
