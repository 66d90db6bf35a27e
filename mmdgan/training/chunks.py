"""A function of a batch, evaluated and differentiated chunk by chunk: memory for one chunk, results of the whole batch.

Samples meet in batch norms alone, whose moments depend on all samples. They are computed one batch norm after the
other, each in a pass over the chunks that uses the moments of those before it. With all moments known, the chunks are
independent. Gradients go the other way: first the gradient for the moments of the last batch norm, in a pass over the
chunks, then for those before it, which act through all later moments too. The last pass differentiates for the
variables. So L batch norms take L more passes forward, each up to its layer, and L more backward, each down to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from mmdgan.core import replicas
from mmdgan.layers import scope
from mmdgan.layers.normalization import combined_moments


class Rows:
    """A tensor (b, ...) of each chunk: `read` gives that of one, `whole` puts them together."""

    def __init__(self, array: tf.TensorArray | tf.Tensor, shape: tf.TensorShape, count: int) -> None:
        self._array, self._shape, self._count = array, shape, count

    def read(self, number: tf.Tensor) -> tf.Tensor:
        """The tensor of one chunk."""
        tensor = self._array[number] if tf.is_tensor(self._array) else self._array.read(number)
        return tf.ensure_shape(tensor, self._shape)

    def stacked(self) -> tf.Tensor:
        """The tensors of all chunks along a new axis: (chunks, b, ...)."""
        return self._array if tf.is_tensor(self._array) else self._array.stack()

    def whole(self) -> tf.Tensor:
        """The tensors of all chunks along their first axis: (n, ...)."""
        return tf.reshape(self.stacked(), (self._count * self._shape[0], *self._shape[1:]))


class Objective(NamedTuple):
    """What is differentiated: the sum over all outputs, each times its cotangent.

    Attributes:
        cotangents: From a chunk's number, the cotangent of each output; None for an output without influence.
        variables: Variables to differentiate for.
        tensors: Whether to differentiate for the function's tensors.
        inputs: Whether to differentiate for the first input.
    """

    cotangents: Callable[[tf.Tensor], Sequence[tf.Tensor | None]]
    variables: Sequence[tf.Variable] = ()
    tensors: bool = False
    inputs: bool = False


class Gradient(NamedTuple):
    """An objective's value and its gradient: for variables, for tensors in their structure, for the first input."""

    value: tf.Tensor
    variables: list[tf.Tensor]
    tensors: Any
    inputs: Rows | None


class Chunked:
    """A function of a batch that has one chunk in memory at a time.

    Args:
        count: Number of chunks.
        inputs: From a chunk's number, its inputs; None stands for an absent one.
        function: From a chunk's inputs and `tensors`, its outputs.
        tensors: Floating-point tensors in any structure that all chunks use, such as effective kernels.
        batch_norms: Number of batch norms that the function calls in training mode, each once.
        dtype: Dtype of outputs, of moments, and of the gradients for inputs.
        jit: Whether XLA compiles each pass over the chunks; what replicas exchange is between the passes.
    """

    def __init__(
        self,
        count: int,
        inputs: Callable[[tf.Tensor], Sequence[tf.Tensor | None]],
        function: Callable[[Sequence[Any], Any], Sequence[tf.Tensor]],
        tensors: Any = (),
        batch_norms: int = 0,
        dtype: str = "float32",
        jit: bool = False,
    ) -> None:
        self._count, self._inputs, self._function, self._tensors = count, inputs, function, tensors
        self._dtype, self._jit = dtype, jit
        self._norms: list[tuple[Any, int, int]] = []  # layer, rank, count; in the order of the calls
        self._moments: list[tuple[tf.Tensor, ...]] = []
        for _ in range(batch_norms):
            self._find_moments()

    def outputs(self, number: int = 1) -> list[Rows]:
        """The outputs, of which there are this many."""

        def body(chunk: tf.Tensor) -> tuple[list, list[tf.Tensor]]:
            return [], self._call(self._inputs(chunk), self._tensors, self._moments)[0]

        return self._over_chunks(body, [], number)[1]

    def observe(self) -> None:
        """Updates the moving averages of the batch norms."""
        for (layer, rank, count), moments in zip(self._norms, self._moments, strict=True):
            layer.observe(*moments, rank, count)

    def gradients(self, *objectives: Objective) -> list[Gradient]:
        """The gradient of each objective, all of them in the same passes."""
        if not objectives:
            return []
        upstream: list[dict[int, list[tf.Tensor]]] = [{} for _ in objectives]  # gradients for moments
        for norm in reversed(range(len(self._moments))):
            found, _ = self._differentiate(objectives, upstream, norm)
            for known, gradient in zip(upstream, found, strict=True):
                known[norm] = _over_replicas(gradient)
        found, rows = self._differentiate(objectives, upstream)
        gradients = []
        for objective, values in zip(objectives, found, strict=True):
            value, *values = values
            count = len(objective.variables)
            tensors = tf.nest.pack_sequence_as(self._tensors, values[count:]) if objective.tensors else ()
            gradients.append(Gradient(value, values[:count], tensors, rows.pop(0) if objective.inputs else None))
        return gradients

    def _differentiate(
        self, objectives: Sequence[Objective], upstream: Sequence[dict[int, list[tf.Tensor]]], norm: int | None = None
    ) -> tuple[list[list[tf.Tensor]], list[Rows]]:
        """One pass: the gradients for the moments of one batch norm, or in the end for all that is asked for.

        Args:
            objectives: What to differentiate.
            upstream: For each objective its gradients for the moments of later batch norms.
            norm: Number of the batch norm; None: differentiate for variables, tensors and inputs.

        Returns:
            Of each objective the gradients, in the end after its value; and the gradients for the inputs.
        """

        def sources(objective: Objective, tensors: Any, moments: Any) -> list:
            if norm is not None:
                return list(moments[norm])
            return [*objective.variables, *(tf.nest.flatten(tensors) if objective.tensors else ())]

        def body(number: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
            with tf.GradientTape(persistent=True) as tape:
                inputs = list(self._inputs(number))
                tensors, moments = tf.nest.map_structure(tf.identity, (self._tensors, self._moments))
                tape.watch([inputs[0], tensors, moments])
                outputs, norms = self._call(inputs, tensors, moments)
            sums, rows = [], []
            for objective, known in zip(objectives, upstream, strict=True):
                pairs = [p for p in zip(outputs, objective.cotangents(number), strict=True) if p[1] is not None]
                value = [tf.reduce_sum(x * tf.cast(c, x.dtype)) for x, c in pairs]
                for index, gradient in known.items():
                    layer, _, count = self._norms[index]
                    x = norms[index][1]
                    pairs.append((x, layer.moments_gradient(x, self._moments[index][0], gradient, count)))
                wanted = sources(objective, tensors, moments)
                with_inputs = [*wanted, *([inputs[0]] if objective.inputs and norm is None else [])]
                targets, cotangents = [x for x, _ in pairs], [tf.cast(c, x.dtype) for x, c in pairs]
                sums += [tf.add_n(value)] if norm is None else []
                found = tape.gradient(targets, with_inputs, cotangents, tf.UnconnectedGradients.ZERO)
                sums += found[: len(wanted)]
                rows += found[len(wanted) :]
            return sums, rows

        wanted = [sources(objective, self._tensors, self._moments) for objective in objectives]
        if norm is None:
            wanted = [[tf.zeros((), self._dtype), *each] for each in wanted]
        zeros = [tf.zeros_like(tf.convert_to_tensor(source)) for each in wanted for source in each]
        sums, rows = self._over_chunks(body, zeros, sum(o.inputs for o in objectives) if norm is None else 0)
        return [[sums.pop(0) for _ in each] for each in wanted], rows

    def _find_moments(self) -> None:
        """Computes the moments of the first batch norm whose moments are not known yet."""
        known = len(self._moments)

        def body(number: tf.Tensor) -> tuple[list, tuple[tf.Tensor, ...]]:
            layer, x = self._call(self._inputs(number), self._tensors, self._moments)[1][known]
            self._norms[known:] = [(layer, x.shape.rank, layer.count(x.shape) * self._count)]
            return [], layer.moments(x)

        _, (means, variances) = self._over_chunks(body, [], 2)
        self._moments.append(combined_moments(means.stacked(), variances.stacked()))

    def _call(self, inputs: Sequence[Any], tensors: Any, moments: Sequence[Any]) -> tuple[list[tf.Tensor], list]:
        """The outputs of a chunk, and its batch norms with their inputs, given the moments of some of them."""
        given = {id(norm[0]): found for norm, found in zip(self._norms, moments, strict=False)}
        with scope.part_of_batch(given) as part:
            return list(self._function(inputs, tensors)), part.inputs

    def _over_chunks(
        self, body: Callable[[tf.Tensor], Any], zeros: Sequence[tf.Tensor], rows: int
    ) -> tuple[list[tf.Tensor], list[Rows]]:
        """Calls a function for each chunk's number.

        Args:
            body: From a chunk's number, what is summed over the chunks, and what is kept of each.
            zeros: Zeros like what is summed.
            rows: How many tensors are kept.

        Returns:
            The sums, and what is kept.
        """
        shapes: list[tf.TensorShape] = []

        def step(number: tf.Tensor, sums: list, arrays: list) -> tuple:
            added, kept = body(number)
            shapes[:] = [row.shape for row in kept]
            sums = [tf.ensure_shape(total + more, total.shape) for total, more in zip(sums, added, strict=True)]
            return number + 1, sums, [array.write(number, row) for array, row in zip(arrays, kept, strict=True)]

        def run() -> tuple[list, list]:
            arrays = [tf.TensorArray(self._dtype, self._count) for _ in range(rows)]
            start = (tf.constant(0), list(zeros), arrays)
            # One after the other: each chunk needs the memory of all its activations.
            options = {"parallel_iterations": 1, "maximum_iterations": self._count}
            _, sums, arrays = tf.while_loop(lambda number, *_: number < self._count, step, start, **options)
            return list(sums), [array.stack() for array in arrays] if self._jit else list(arrays)

        sums, arrays = tf.function(run, autograph=False, jit_compile=True)() if self._jit else run()
        return list(sums), [Rows(array, shape, self._count) for array, shape in zip(arrays, shapes, strict=True)]


def _over_replicas(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """The sum over the replicas whose samples make one batch, for each differentiates its own loss."""
    if not scope.statistics_are_synchronised():
        return gradients
    return [gradient * replicas.replica_count() for gradient in replicas.mean_over_replicas(gradients)]
