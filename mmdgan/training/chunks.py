"""A function of a batch, evaluated and differentiated chunk by chunk: memory for one chunk, results of the whole batch.

Samples meet in batch norms alone, whose moments depend on all samples. They are computed one batch norm after the
other, each in a pass over the chunks that uses the moments of those before it. With all moments known, the chunks are
independent. Gradients go the other way: first the gradient for the moments of the last batch norm, in a pass over the
chunks, then for those before it, which act through all later moments too. The last pass differentiates for the
variables. So L batch norms take L more passes forward, each up to its layer, and L more backward, each down to it.

To begin each pass with the function's inputs would compute the first layers L times. The inputs of the first batch
norms, of all chunks, are kept instead, as many as `KEPT_BYTES` holds: a batch norm reads its kept input, and TensorFlow
removes what would have computed it. On the way back a pass then ends at the last kept input and keeps the gradient for
it; the next one goes on from there down to the kept input before. With all of them kept no product runs twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from mmdgan.core import replicas
from mmdgan.layers import scope
from mmdgan.layers.normalization import combined_moments

KEPT_BYTES = 2**28
"""Memory for the kept inputs of batch norms, and their gradients."""


class Rows:
    """A tensor (b, ...) of each chunk, the sum of those of some arrays."""

    def __init__(self, *arrays: tf.TensorArray | tf.Tensor) -> None:
        self._arrays = arrays

    def __add__(self, other: Rows) -> Rows:
        return Rows(*self._arrays, *other._arrays)

    def read(self, number: tf.Tensor) -> tf.Tensor:
        """The tensor of one chunk."""
        return tf.add_n([array[number] if tf.is_tensor(array) else array.read(number) for array in self._arrays])

    def stacked(self) -> tf.Tensor:
        """The tensors of all chunks along a new axis: (chunks, b, ...)."""
        return tf.add_n([array if tf.is_tensor(array) else array.stack() for array in self._arrays])

    def whole(self) -> tf.Tensor:
        """The tensors of all chunks along their first axis: (n, ...)."""
        stacked = self.stacked()
        return tf.reshape(stacked, (-1, *stacked.shape[2:]))


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


class _Sums(NamedTuple):
    """An objective's value and gradients; None for what a pass does not compute, or has no influence."""

    value: Any
    variables: Any
    tensors: Any
    moments: Any


class Chunked:
    """A function of a batch that has one chunk in memory at a time.

    Args:
        count: Number of chunks.
        inputs: From a chunk's number, its inputs; None stands for an absent one.
        function: From a chunk's inputs and `tensors`, its outputs.
        tensors: Floating-point tensors in any structure that all chunks use, such as effective kernels.
        batch_norms: Number of batch norms that the function calls in training mode, each once.
        jit: Whether XLA compiles each pass over the chunks; what replicas exchange is between the passes.
    """

    def __init__(
        self,
        count: int,
        inputs: Callable[[tf.Tensor], Sequence[tf.Tensor | None]],
        function: Callable[[Sequence[Any], Any], Sequence[tf.Tensor]],
        tensors: Any = (),
        batch_norms: int = 0,
        jit: bool = False,
    ) -> None:
        self._count, self._inputs, self._function, self._tensors, self._jit = count, inputs, function, tensors, jit
        self._norms: list[tuple[Any, int, int]] = []  # layer, rank, count; in the order of the calls
        self._moments: list[tuple[tf.Tensor, ...]] = []
        self._kept: list[Rows] = []  # inputs of the first batch norms
        self._room = KEPT_BYTES
        for _ in range(batch_norms):
            self._find_moments()

    def outputs(self) -> list[Rows]:
        """The outputs."""
        return self._over_chunks(lambda number: ((), self._call(*self._leaves(number))[0]))[1]

    def observe(self) -> None:
        """Updates the moving averages of the batch norms."""
        for (layer, rank, count), moments in zip(self._norms, self._moments, strict=True):
            layer.observe(*moments, rank, count)

    def gradients(self, *objectives: Objective) -> list[Gradient]:
        """The gradient of each objective, all of them in the same passes."""
        if not objectives:
            return []
        upstream: list[dict[int, list[tf.Tensor]]] = [{} for _ in objectives]  # gradients for moments
        kept = len(self._kept)
        for norm in reversed(range(kept, len(self._moments))):
            for known, (sums, _) in zip(upstream, self._differentiate(objectives, upstream, norm), strict=True):
                known[norm] = _over_replicas(sums.moments[0])
        totals = self._differentiate(objectives, upstream)
        for norm in reversed(range(kept)):
            upstream = [{norm: _over_replicas(sums.moments[norm])} for sums, _ in totals]
            more = self._differentiate(objectives, upstream, direct=[rows[norm] for _, rows in totals])
            totals = tf.nest.map_structure(_plus, totals, more)
        gradients = []
        for objective, (sums, rows) in zip(objectives, totals, strict=True):
            like = list(objective.variables), self._tensors if objective.tensors else ()
            variables, tensors = tf.nest.map_structure(_filled, (sums.variables, sums.tensors), like)
            gradients.append(Gradient(sums.value, variables, tensors, rows[-1] if objective.inputs else None))
        return gradients

    def _differentiate(
        self,
        objectives: Sequence[Objective],
        upstream: Sequence[dict[int, list[tf.Tensor]]],
        norm: int | None = None,
        direct: Sequence[Rows] | None = None,
    ) -> list[tuple[_Sums, list[Rows]]]:
        """One pass, back from the outputs or from a kept input.

        Args:
            objectives: What to differentiate.
            upstream: For each objective its gradients for the moments of later batch norms, or of the kept one.
            norm: Number of the batch norm for whose moments alone to differentiate; None: for all that is asked for.
            direct: For each objective its gradient for the kept input, without that through the moments.

        Returns:
            Of each objective the sums over the chunks, and the gradients for kept inputs and the first input.
        """

        def body(number: tf.Tensor) -> tuple:
            with tf.GradientTape(persistent=True) as tape:
                inputs, kept, tensors, moments = leaves = self._leaves(number)
                tape.watch([inputs[0], kept, tensors, moments])
                outputs, norms = self._call(*leaves)
            found = []
            for index, (objective, known) in enumerate(zip(objectives, upstream, strict=True)):
                value, pairs = None, []
                if direct is None:
                    pairs = [p for p in zip(outputs, objective.cotangents(number), strict=True) if p[1] is not None]
                    if norm is None:
                        value = tf.add_n([tf.reduce_sum(x * tf.cast(c, x.dtype)) for x, c in pairs])
                for other, gradient in known.items():
                    layer, _, count = self._norms[other]
                    x = kept[other] if direct else norms[other][1]  # a kept input need not be computed for its value
                    cotangent = layer.moments_gradient(x, self._moments[other][0], gradient, count)
                    pairs.append((norms[other][1], cotangent + direct[index].read(number) if direct else cotangent))
                sums = list(objective.variables), tensors if objective.tensors else (), moments[: len(kept)]
                rows = kept + inputs[: objective.inputs]
                sources = (sums, rows) if norm is None else (([], (), [moments[norm]]), [])
                gradients = tape.gradient([x for x, _ in pairs], sources, [tf.cast(c, x.dtype) for x, c in pairs])
                sums, rows = tf.nest.map_structure(_dense, gradients, sources)
                found.append((_Sums(value, *sums), rows))
            return tuple(zip(*found, strict=True))

        return list(zip(*self._over_chunks(body), strict=True))

    def _find_moments(self) -> None:
        """Computes the moments of the first batch norm whose moments are not known yet; keeps its input if it fits."""
        known = len(self._moments)

        def body(number: tf.Tensor) -> tuple[tuple, list]:
            layer, x = self._call(*self._leaves(number))[1][known]
            self._norms.append((layer, x.shape.rank, layer.count(x.shape) * self._count))
            size = 2 * self._count * math.prod(x.shape) * x.dtype.size
            fits = size <= self._room
            self._room = self._room - size if fits else 0
            return (), [*layer.moments(x), x if fits else None]

        means, variances, kept = self._over_chunks(body)[1]
        self._moments.append(combined_moments(means.stacked(), variances.stacked()))
        self._kept += [] if kept is None else [kept]

    def _leaves(self, number: tf.Tensor) -> tuple[list, list[tf.Tensor], Any, list]:
        """What a chunk's results depend on: its inputs, its kept inputs of batch norms, the tensors, the moments."""
        tensors, moments = tf.nest.map_structure(tf.identity, (self._tensors, self._moments))
        return list(self._inputs(number)), [rows.read(number) for rows in self._kept], tensors, moments

    def _call(self, inputs: list, kept: list[tf.Tensor], tensors: Any, moments: list) -> tuple[list[tf.Tensor], list]:
        """The outputs of a chunk, and its batch norms with the inputs that are computed for them."""
        layers = [id(norm[0]) for norm in self._norms]
        given = (dict(zip(layers, each, strict=False)) for each in (moments, kept))
        with scope.part_of_batch(*given) as part:
            return list(self._function(inputs, tensors)), part.inputs

    def _over_chunks(self, body: Callable[[tf.Tensor], Any]) -> tuple[Any, Any]:
        """Calls a function for each chunk's number.

        Args:
            body: From a chunk's number, what is summed over the chunks, and what is kept of each; None for what is
                absent.

        Returns:
            The sums, and Rows of what is kept, in the structures of `body`.
        """

        def run() -> tuple[list, list]:
            traced = tf.function(body, autograph=False).get_concrete_function(tf.TensorSpec((), tf.int32))
            structures[:] = traced.structured_outputs
            specs, kept = (_present(each) for each in structures)

            def step(number: tf.Tensor, sums: list, arrays: list) -> tuple:
                added, rows = (_present(each) for each in traced(number))
                sums = [total + more for total, more in zip(sums, added, strict=True)]
                return number + 1, sums, [array.write(number, row) for array, row in zip(arrays, rows, strict=True)]

            arrays = [tf.TensorArray(x.dtype, self._count, element_shape=x.shape) for x in kept]
            start = (tf.constant(0), [tf.zeros(x.shape, x.dtype) for x in specs], arrays)
            # One after the other: each chunk needs the memory of all its activations.
            options = {"parallel_iterations": 1, "maximum_iterations": self._count}
            _, sums, arrays = tf.while_loop(lambda number, *_: number < self._count, step, start, **options)
            return list(sums), [array.stack() for array in arrays] if self._jit else list(arrays)

        structures: list = []
        sums, arrays = tf.function(run, autograph=False, jit_compile=True)() if self._jit else run()
        return _packed(structures[0], sums), _packed(structures[1], [Rows(array) for array in arrays])


def _present(structure: Any) -> list:
    return [each for each in tf.nest.flatten(structure) if each is not None]


def _packed(structure: Any, values: list) -> Any:
    """Values in the places of a structure that are not None."""
    left = iter(values)
    return tf.nest.map_structure(lambda each: None if each is None else next(left), structure)


def _dense(gradient: Any, like: Any) -> tf.Tensor | None:
    return None if gradient is None else tf.ensure_shape(tf.convert_to_tensor(gradient), like.shape)


def _plus(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one + other


def _filled(found: tf.Tensor | None, like: Any) -> tf.Tensor:
    return tf.zeros_like(tf.convert_to_tensor(like)) if found is None else found


def _over_replicas(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """The sum over the replicas whose samples make one batch, for each differentiates its own loss."""
    if not scope.statistics_are_synchronised():
        return gradients
    return [gradient * replicas.replica_count() for gradient in replicas.mean_over_replicas(gradients)]
