"""What the calls of a network share within one training step: effective kernels, and whether state may change.

One training step applies the critic several times (real, generated, penalty passes) with one spectral norm per
kernel, and updates each spectral vector once; each of these passes sees the moving averages from before the step.
The scope is kept per thread, because `tf.distribute` traces each replica in a thread of its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import tensorflow as tf

T = TypeVar("T")


def shared_kernels(kernels: dict[int, object]) -> AbstractContextManager[object]:
    """Within the block, a layer whose id is in `kernels` uses that kernel and leaves its vector alone."""
    return _set("kernels", {**_local.kernels, **kernels})


def frozen_state() -> AbstractContextManager[object]:
    """Within the block, training-mode calls change no moving average and no spectral vector."""
    return _set("frozen", True)


def deferred_updates() -> AbstractContextManager[list[tuple[object, object]]]:
    """Within the block, moving averages stay; yields the list of (variable, value) of their updates."""
    return _set("updates", [])


def synchronised_statistics(synchronised: bool) -> AbstractContextManager[object]:
    """Within the block, batch statistics are those of all replicas' samples together, or of each replica's."""
    return _set("synchronised", synchronised)


def statistics_are_synchronised() -> bool:
    """Returns whether batch statistics are taken over all replicas, as a training step may ask."""
    return _local.synchronised


class Part:
    """One part of a batch, as its batch norms see it: each normalises by the moments that it is given.

    Args:
        moments: (mean, biased variance) of the whole batch, by the id of the layer.
        kept: Inputs that layers take in place of theirs, by the id of the layer.

    Attributes:
        inputs: The batch norms in the order of their calls, each with its input.
    """

    def __init__(self, moments: Mapping[int, tuple[Any, Any]], kept: Mapping[int, Any]) -> None:
        self._moments, self._kept = moments, kept
        self.inputs: list[tuple[Any, Any]] = []

    def normalised(self, layer: Any, inputs: Any) -> tuple[Any, Any, Any]:
        """The input to normalise, with the moments of the whole batch; where they are not known yet, of this part."""
        self.inputs.append((layer, inputs))
        moments = self._moments.get(id(layer)) or layer.moments(inputs)
        return self._kept.get(id(layer), inputs), *moments


def part_of_batch(moments: Mapping[int, tuple[Any, Any]], kept: Mapping[int, Any]) -> AbstractContextManager[Part]:
    """Within the block, batch norms in training mode see one part of a batch, and change no moving average."""
    return _set("part", Part(moments, kept))


def batch_part() -> Part | None:
    """Returns the part of a batch that the layers see, or None if they see a whole one."""
    return _local.part


def update(variable: tf.Variable, value: Any) -> None:
    """Assigns non-trainable state now, or when the step that defers its updates is done, or not at all."""
    if may_update_state():
        variable.assign(value) if _local.updates is None else _local.updates.append((variable, value))


def shared_kernel(layer: object) -> Any:
    """Returns the kernel that the running step shares for `layer`, or None outside a step."""
    return _local.kernels.get(id(layer))


def may_update_state() -> bool:
    """Returns whether training-mode calls may change non-trainable state."""
    return not _local.frozen


class _Scope(threading.local):
    """What is set in each thread; the values here hold outside of all blocks."""

    kernels: Mapping[int, Any] = MappingProxyType({})
    frozen = False
    updates: list[tuple[object, object]] | None = None
    synchronised = False
    part: Part | None = None


_local = _Scope()


@contextlib.contextmanager
def _set(name: str, value: T) -> Iterator[T]:
    before = getattr(_local, name)
    setattr(_local, name, value)
    try:
        yield value
    finally:
        setattr(_local, name, before)
