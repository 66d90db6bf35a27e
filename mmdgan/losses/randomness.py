"""Streams of random numbers of one step: each a function of the step's seed (design decision 5).

The same seed gives the same numbers wherever they are needed, so that a penalty can use the kernel width that
the loss draws.
"""

from __future__ import annotations

import tensorflow as tf

WIDTH, COIN, NOISE_GEN, NOISE_DATA, INTERPOLATION = range(5)


def stream(seed, which: int) -> tf.Tensor:
    """The stateless seed of one stream.

    Args:
        seed: (2,) integers; None draws a seed from TensorFlow's global generator.
        which: one of this module's constants.
    """
    if seed is None:
        seed = tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32)
    return tf.random.experimental.stateless_fold_in(tf.convert_to_tensor(seed), which)
