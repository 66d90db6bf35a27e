"""Second derivatives of layers, as gradient penalties need them, against central differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf


def check_penalty_gradient(function: Callable, inputs: np.ndarray, variables: Sequence = ()) -> None:
    """Compares the gradient of a gradient penalty with the difference quotient along a random direction.

    The penalty is the squared norm of the gradient of sum(sin(function(x))) with respect to x; its own gradient is
    taken with respect to x and the variables, all of them moved at once.

    Args:
        function: float64 tensor -> float64 tensor, smooth at `inputs`.
        inputs: float64.
        variables: float64 Keras variables that `function` uses and the penalty depends on.
    """
    rng = np.random.default_rng(7)
    values = [variable.numpy() for variable in variables]
    directions = [rng.standard_normal(np.shape(value)) for value in (inputs, *values)]
    step = 1e-6

    def penalty(shift: float):
        x = tf.constant(inputs + shift * directions[0])
        for variable, value, direction in zip(variables, values, directions[1:], strict=True):
            variable.assign(value + shift * direction)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                total = tf.reduce_sum(tf.sin(function(x)))
            result = tf.reduce_sum(inner.gradient(total, x) ** 2)
        return result, outer.gradient(result, [x, *(variable.value for variable in variables)])

    _, gradients = penalty(0.0)
    assert all(isinstance(gradient, tf.Tensor) for gradient in gradients)
    slope = sum(float(tf.reduce_sum(g * d)) for g, d in zip(gradients, directions, strict=True))
    difference = float(penalty(step)[0] - penalty(-step)[0]) / (2 * step)
    penalty(0.0)
    np.testing.assert_allclose(slope, difference, rtol=1e-5)
    assert abs(slope) > 1e-6
