"""Streams of random numbers of one step: each a function of the step's seed (design decision 5).

The same seed gives the same numbers wherever they are needed, so that a penalty can use the kernel width that
the loss draws. The algorithm is named because TensorFlow's own choice depends on the device. XLA on a CPU (2.21)
reads Philox's counter differently and gives other numbers for the same seed: `drawn_outside` keeps draws out of what
it compiles.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.lazy import tf
from mmdgan.core.types import TensorLike

WIDTH, COIN, NOISE_GEN, NOISE_DATA, INTERPOLATION = range(5)

_local = threading.local()


def uniform(
    shape: TensorLike,
    seed: TensorLike | None,
    minval: TensorLike = 0,
    maxval: TensorLike = 1,
    dtype: Any = "float32",
) -> tf.Tensor:
    """Uniform numbers in [minval, maxval), as `tf.random.stateless_uniform` draws them.

    Args:
        shape: static within `drawn_outside`.
        seed: (2,) integers.
        minval, maxval: numbers or tensors; of integers, numbers.
        dtype: of the result.
    """
    dtype = tf.as_dtype(dtype)
    bounds = (minval, maxval) if dtype.is_integer else (0, 1)
    with outside():
        drawn = tf.random.stateless_uniform(_static(shape), seed, *bounds, dtype, alg="philox")
    if dtype.is_integer:
        return drawn
    # The same sum as TensorFlow's; the bounds may be tensors of the present graph.
    minval, maxval = tf.cast(minval, dtype), tf.cast(maxval, dtype)
    return drawn * (maxval - minval) + minval


def normal(shape: TensorLike, seed: TensorLike | None, dtype: Any = "float32") -> tf.Tensor:
    """Standard normal numbers, as `tf.random.stateless_normal` draws them; arguments as `uniform`."""
    with outside():
        return tf.random.stateless_normal(_static(shape), seed, dtype=tf.as_dtype(dtype), alg="philox")


def stream(seed: TensorLike | None, which: int) -> tf.Tensor:
    """The stateless seed of one stream.

    Args:
        seed: (2,) integers; None draws a seed from TensorFlow's global generator.
        which: one of this module's constants.
    """
    with outside():
        if seed is None:
            seed = tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32)
        seed = tf.convert_to_tensor(seed)
        if not seed.dtype.is_integer or not seed.shape.is_compatible_with((2,)):
            raise ConfigError(f"A seed is two integers, such as (0, 1), not {seed.dtype.name} {tuple(seed.shape)}.")
        return tf.random.experimental.stateless_fold_in(seed, which)


@contextlib.contextmanager
def drawn_outside() -> Iterator[None]:
    """Within the block, a function that is traced draws its numbers in the graph that is current here, not its own.

    Seeds must be tensors of that graph too: made under `outside`.
    """
    before = getattr(_local, "graph", None)
    _local.graph = tf.compat.v1.get_default_graph()
    try:
        yield
    finally:
        _local.graph = before


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Within the block, operations are added where random numbers are drawn: usually just here."""
    graph = getattr(_local, "graph", None)
    with contextlib.nullcontext() if graph is None else graph.as_default():
        yield


def _static(shape: TensorLike) -> Any:
    """The shape as numbers, if draws are made in another graph than the one that the shape may be a tensor of."""
    if getattr(_local, "graph", None) is None:
        return shape
    from tensorflow.python.framework import tensor_util

    return tensor_util.constant_value_as_shape(tf.convert_to_tensor(shape)).as_list()
