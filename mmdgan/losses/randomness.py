"""Streams of random numbers of one step: each a function of the step's seed (design decision 5).

The same seed gives the same numbers wherever they are needed, so that a penalty can use the kernel width that
the loss draws. The algorithm is named because TensorFlow's own choice depends on the device. XLA on a CPU (2.21)
reads Philox's counter differently and gives other numbers for the same seed: draw outside of what it compiles.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from mmdgan.errors import ConfigError

WIDTH, COIN, NOISE_GEN, NOISE_DATA, INTERPOLATION = range(5)

uniform = functools.partial(tf.random.stateless_uniform, alg="philox")
normal = functools.partial(tf.random.stateless_normal, alg="philox")


def stream(seed, which: int) -> tf.Tensor:
    """The stateless seed of one stream.

    Args:
        seed: (2,) integers; None draws a seed from TensorFlow's global generator.
        which: one of this module's constants.
    """
    if seed is None:
        seed = tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32)
    seed = tf.convert_to_tensor(seed)
    if not seed.dtype.is_integer or not seed.shape.is_compatible_with((2,)):
        raise ConfigError(f"A seed is two integers, such as (0, 1), not {seed.dtype.name} {tuple(seed.shape)}.")
    return tf.random.experimental.stateless_fold_in(seed, which)
