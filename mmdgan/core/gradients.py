"""Custom gradients that are freed with their graph.

In a graph, `tf.custom_gradient` registers a function under a new name, and TensorFlow's registry keeps it until the
process ends, and with it the graph, the variables and their values. `all_reduce` does so too, which Keras's optimizers
call at each update, also with one replica: each training step that was ever traced stays in memory.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def custom_gradient(function: Callable[..., tuple[Any, Callable]]) -> Callable:
    """Decorator: `tf.custom_gradient`, freed with the graph in which it is called."""
    import tensorflow as tf

    differentiable = tf.custom_gradient(function)

    @functools.wraps(function)
    def call(*tensors: tf.Tensor) -> Any:
        result = differentiable(*tensors)
        free_with_graphs()
        return result

    return call


def free_with_graphs() -> None:
    """Lets graphs own the gradient functions registered for them, to which the registry then refers weakly.

    The owners are the graph of the operation and those around it: an inner one may be gone when an outer one is
    differentiated (a loop's), or be used again when an outer one is gone (a function's that is called in it). A call
    is for all that have been registered before it, by whomever. In a TensorFlow whose registry is of another form it
    does nothing.
    """
    import tensorflow as tf

    if not tf.executing_eagerly():
        tf.autograph.experimental.do_not_convert(_give_to_graphs)()  # it cannot be converted, and nothing need be


def _give_to_graphs() -> None:
    from tensorflow.python.framework import ops

    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        registered = ops.gradient_registry._registry
        for name, entry in list(registered.items()):
            if not name.startswith("CustomGradient-") or isinstance(function := entry["type"], _OfGraph):
                continue
            graphs = _graphs(function)
            for graph in graphs:
                graph._custom_gradients = [*getattr(graph, "_custom_gradients", ()), function]
            if graphs:
                entry["type"] = _OfGraph(function, lambda _, name=name: registered.pop(name, None))


class _OfGraph:
    """A gradient function that a graph owns."""

    def __init__(self, function: Callable, forget: Callable) -> None:
        self.function = weakref.ref(function, forget)

    def __call__(self, op: Any, *upstream: tf.Tensor) -> Any:
        function = self.function()
        assert function is not None  # the operation's graph owns it
        return function(op, *upstream)


def _graphs(function: Callable) -> list[Any]:
    """The graph of a gradient function's results, and those around it; none if it is not as TensorFlow's are."""
    import tensorflow as tf

    results = _closure(_closure(function).get("tape_grad_fn")).get("result")
    graphs = [tensor.graph for tensor in tf.nest.flatten(results) if tf.is_symbolic_tensor(tensor)][:1]
    while graphs and (outer := getattr(graphs[-1], "outer_graph", None)) is not None and outer.building_function:
        graphs.append(outer)
    return graphs


def _closure(function: Any) -> dict[str, Any]:
    code = getattr(function, "__code__", None)
    cells = getattr(function, "__closure__", None) or ()
    return {} if code is None else dict(zip(code.co_freevars, (cell.cell_contents for cell in cells), strict=True))
