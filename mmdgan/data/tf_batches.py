"""A Python stream as a tf.data.Dataset that lets this library's errors through. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from mmdgan.errors import MmdGanError


def named_errors(stream: Callable[[], Iterator[Any]], signature: Any, prefetch: int) -> tf.data.Dataset:
    """A data set of what a generator function yields, made in the background.

    Args:
        stream: called for each iteration.
        signature: tf.TensorSpecs of the elements.
        prefetch: how many elements are made ahead.
    """
    return _NamedErrors(stream, signature, prefetch)


class _NamedErrors(tf.data.Dataset):
    """tf.data turns Python's errors into UnknownErrors with a traceback in their text, and prints them.

    So, where Python iterates over this data set, an error of ours ends the stream and is raised then. Where
    another data set reads this one, that would be an end without an error, and so tf.data has its way.
    """

    def __init__(self, stream: Callable[[], Iterator[Any]], signature: Any, prefetch: int) -> None:
        self._stream, self._signature, self._prefetch = stream, signature, prefetch
        self._dataset = self._made(stream)
        super().__init__(self._dataset._variant_tensor)  # as TensorFlow I/O's data sets do it

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._dataset]

    @property
    def element_spec(self) -> Any:
        return self._dataset.element_spec

    def __iter__(self) -> Iterator[Any]:
        if not tf.executing_eagerly():  # such as within a tf.function
            return super().__iter__()
        return self._watch()

    def _watch(self) -> Iterator[Any]:
        """The elements, from a data set of this iteration's own, which keeps its error for it alone."""
        errors: list[MmdGanError] = []
        stream = self._stream  # not `self`: TensorFlow would keep it, and the stream's images, in a circle

        def elements() -> Iterator[Any]:
            try:
                yield from stream()
            except MmdGanError as error:
                errors.append(error)

        yield from self._made(elements)
        if errors:
            raise errors.pop()

    def _made(self, stream: Callable[[], Iterator[Any]]) -> tf.data.Dataset:
        return tf.data.Dataset.from_generator(stream, output_signature=self._signature).prefetch(self._prefetch)
