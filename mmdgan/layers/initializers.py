"""Kernel initialisers that depend on the activation after the kernel, as the original's (spec B.1).

Its truncated normal cuts at two standard deviations *without* the variance correction that
`keras.initializers.VarianceScaling` applies: the spread that results is 0.88 of the one stated.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from mmdgan.core.types import StaticShape

MODES = ("default", "sn_paper", "pg_paper")
BIAS_STDDEV = 1e-5
LEAKY_SLOPE = 0.1


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns (fan_in, fan_out) of a kernel (in, out) or (k, k, in, out), each at least 1.

    A transposed convolution's kernel (k, k, out, in) goes through the same rule, so its fans are swapped,
    as in the original.
    """
    receptive = math.prod(shape[:-2])
    return max(receptive * shape[-2], 1), max(receptive * shape[-1], 1)


@keras.saving.register_keras_serializable(package="mmdgan")
class ActivationInitializer(keras.initializers.Initializer):
    """Draws a kernel for the activation that follows it.

    | mode | activation | distribution |
    |---|---|---|
    | default | relu | truncated normal, stddev sqrt(2 / fan_in) |
    | default | lrelu | truncated normal, stddev sqrt(2 / (1 + slope^2) / fan_in), slope 0.1 |
    | default | sigmoid | uniform, bound sqrt(3 * 16 / fan_avg) |
    | default | any other | uniform, bound sqrt(3 / fan_avg) (Glorot) |
    | sn_paper | any | truncated normal, stddev 0.02 |
    | pg_paper | any | truncated normal, stddev 1 |

    Args:
        activation: Name as in a layer dictionary.
        mode: One of `MODES`.
        seed: An int for a fixed draw; None follows `keras.utils.set_random_seed`.
    """

    def __init__(self, activation: str = "linear", mode: str = "default", seed: int | None = None):
        if mode not in MODES:
            raise ValueError(f"Initialiser mode {mode!r} is not one of {', '.join(MODES)}.")
        self.activation = activation
        self.mode = mode
        self.seed = seed

    def __call__(self, shape: StaticShape, dtype: Any = None) -> tf.Tensor:
        if self.mode == "sn_paper":
            return self._truncated_normal(0.02)(shape, dtype)
        if self.mode == "pg_paper":
            return self._truncated_normal(1.0)(shape, dtype)
        fan_in, fan_out = fans(tuple(shape))
        if self.activation == "relu":
            return self._truncated_normal(math.sqrt(2 / fan_in))(shape, dtype)
        if self.activation == "lrelu":
            return self._truncated_normal(math.sqrt(2 / (1 + LEAKY_SLOPE**2) / fan_in))(shape, dtype)
        gain = 16 if self.activation == "sigmoid" else 1
        bound = math.sqrt(3 * gain / ((fan_in + fan_out) / 2))
        return keras.initializers.RandomUniform(-bound, bound, seed=self.seed)(shape, dtype)

    def _truncated_normal(self, stddev: float) -> keras.initializers.Initializer:
        return keras.initializers.TruncatedNormal(stddev=stddev, seed=self.seed)

    def get_config(self) -> dict:
        return {"activation": self.activation, "mode": self.mode, "seed": self.seed}


def bias_initializer() -> keras.initializers.Initializer:
    """Truncated normal of stddev 1e-5: every bias of the original starts there."""
    return keras.initializers.TruncatedNormal(stddev=BIAS_STDDEV)


def runtime_multiplier(activation: str, kernel_shape: tuple[int, ...]) -> float:
    """Returns by what 'pg_paper' multiplies a kernel at run time, without spectral norm (spec B.2).

    For kernels of convolutions, transposed or not, and dense layers; class, separable and projection kernels have no
    multiplier. As released, fan_in is the product of all axes but the last, also of a transposed convolution's
    kernel, and fan_out the last axis alone, without the receptive field.

    Args:
        activation: Name as in a layer dictionary.
        kernel_shape: (in, out), (k, k, in, out) or (k, k, out, in).
    """
    fan_in, fan_out = math.prod(kernel_shape[:-1]), kernel_shape[-1]
    if activation == "relu":
        return math.sqrt(2 / fan_in)
    if activation == "lrelu":
        return math.sqrt(2 / (1 + LEAKY_SLOPE**2) / fan_in)
    return math.sqrt((32 if activation == "sigmoid" else 2) / (fan_in + fan_out))
