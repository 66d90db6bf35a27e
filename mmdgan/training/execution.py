"""How a step is run: compiled by XLA, or several steps in one call of a TensorFlow function.

Neither changes what a step computes. XLA draws other random numbers from the same seed than TensorFlow does on a CPU:
numbers are drawn outside of what it compiles (`mmdgan.core.random`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from mmdgan.core import random


class Compiled:
    """A function of tensors, compiled by XLA where it is called within a `tf.function`.

    Args:
        function: returns (tensors in any structure, anything that does not change from call to call).
    """

    def __init__(self, function: Callable[..., tuple[Any, Any]]):
        self._constant: Any = None

        def tensors(*args: Any) -> Any:
            result, self._constant = function(*args)
            return result

        self._compiled = tf.function(tensors, autograph=False, jit_compile=True)

    def __call__(self, *args: Any) -> tuple[Any, Any]:
        with random.drawn_outside():
            result = self._compiled(*args)
        return result, self._constant


def repeated(step: Callable[..., Mapping[str, tf.Tensor]], like: Mapping[str, tf.Tensor], *batches: Any) -> dict:
    """Takes one step per entry of the first axis of `batches`, in order, within one graph.

    Args:
        step: takes one entry of each batch, and changes state.
        like: what it returns, or tensors of the same types.
        batches: tensors; None where the step takes None.

    Returns:
        What the steps return, stacked.
    """
    given = [batch for batch in batches if batch is not None]

    def one(entries: Any) -> Any:
        entries = iter(entries)
        return dict(step(*(None if batch is None else next(entries) for batch in batches)))

    signature = {name: tf.TensorSpec(value.shape, value.dtype) for name, value in like.items()}
    # One after the other: each step begins from what the one before has left.
    return tf.map_fn(one, given, fn_output_signature=signature, parallel_iterations=1)
