"""Streams of random numbers, each a function of the step's seed (design decision 5), under XLA too.

The same seed gives the same numbers wherever they are needed, so that a penalty can use the kernel width that the loss
draws. The algorithm is named because TensorFlow's own choice depends on the device.
"""

from __future__ import annotations

import contextlib
import random as python_random
import threading
from collections.abc import Callable, Iterator
from typing import Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.lazy import tf
from mmdgan.core.types import TensorLike

WIDTH, COIN, NOISE_GEN, NOISE_DATA, INTERPOLATION = range(5)

_local = threading.local()
_seeding = threading.Lock()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within the block, Keras's initialisers are functions of a seed, and afterwards the caller's random numbers go on.

    Keras takes the seed of an initialiser from Python's generator, which all threads share: they build one by one.
    """
    with _seeding, contextlib.ExitStack() as after:
        after.callback(python_random.setstate, python_random.getstate())
        python_random.seed(seed)
        yield


def uniform(
    shape: TensorLike,
    seed: TensorLike | None,
    minval: TensorLike = 0,
    maxval: TensorLike = 1,
    dtype: Any = "float32",
) -> tf.Tensor:
    """Uniform numbers in [minval, maxval), as `tf.random.stateless_uniform` draws them.

    Args:
        shape: Shape of the result; static within `Compiled`.
        seed: (2,) integers.
        minval, maxval: Bounds; for integers they are numbers, else numbers or tensors.
        dtype: Type of the result.
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
        which: Number of the stream, such as `WIDTH`.
    """
    with outside():
        if seed is None:
            seed = tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32)
        seed = tf.convert_to_tensor(seed)
        if not seed.dtype.is_integer or not seed.shape.is_compatible_with((2,)):
            raise ConfigError(f"A seed is two integers, such as (0, 1), not {seed.dtype.name} {tuple(seed.shape)}.")
        return tf.random.experimental.stateless_fold_in(seed, which)


class Compiled:
    """A function of tensors that XLA compiles, but for its random numbers; to be called within a `tf.function`.

    XLA on a CPU (2.21) reads Philox's counter differently and gives other numbers for the same seed. So this module's
    functions draw them in the graph that calls the compiled function. Seeds and shapes must be made there too: under
    `outside`.

    Args:
        function: Returns (tensors in any structure, anything that does not change from call to call).
    """

    def __init__(self, function: Callable[..., tuple[Any, Any]]):
        self._function = function

    def __call__(self, *args: Any) -> tuple[Any, Any]:
        constant: Any = None

        def tensors(*args: Any) -> Any:
            nonlocal constant
            result, constant = self._function(*args)
            return result

        before = getattr(_local, "graph", None)
        _local.graph = tf.compat.v1.get_default_graph()
        try:
            # One for each graph that calls it: it holds that graph's random numbers.
            return tf.function(tensors, autograph=False, jit_compile=True)(*args), constant
        finally:
            _local.graph = before


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Adds the block's operations where random numbers are drawn: in the present graph, or outside of a `Compiled`."""
    graph = getattr(_local, "graph", None)
    with contextlib.nullcontext() if graph is None else graph.as_default():
        if tf.executing_eagerly():
            yield
            return
        with tf.xla.experimental.jit_scope(compile_ops=False):  # XLA's auto-clustering leaves the block alone
            yield


def _static(shape: TensorLike) -> Any:
    """The shape as numbers, within `Compiled`: a tensor of the compiled graph cannot be used outside of it."""
    if getattr(_local, "graph", None) is None:
        return shape
    from tensorflow.python.framework import tensor_util

    return tensor_util.constant_value_as_shape(tf.convert_to_tensor(shape)).as_list()
