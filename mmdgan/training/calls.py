"""How the training loop groups batches into calls of one or several steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

    from mmdgan.training.step import GanStep


def take_steps(gan: GanStep, batches: Sequence[Mapping[str, tf.Tensor]]) -> list[Mapping[str, tf.Tensor]]:
    """Takes one step on each batch, all in one call if there are several; returns each step's losses."""
    if len(batches) == 1:
        return [gan.step(batches[0]["x"], labels=batches[0].get("y"))]
    import tensorflow as tf

    real, labels = (tf.stack([batch[key] for batch in batches]) if key in batches[0] else None for key in ("x", "y"))
    losses = gan.steps(real, labels)
    columns = {name: tf.unstack(values) for name, values in losses.items()}
    return [{name: values[index] for name, values in columns.items()} for index in range(len(batches))]


def grouped(batches: Iterable[Mapping[str, tf.Tensor]], size: Callable[[], int]) -> Iterator[list[Mapping]]:
    """Collects batches for calls of several steps.

    Args:
        batches: one per step.
        size: asked before each group is collected: how many it is to have; the last one has what is left.
    """
    group: list[Mapping] = []
    wanted = size()
    for batch in batches:
        group.append(batch)
        if len(group) >= wanted:
            yield group
            group, wanted = [], size()
    if group:
        yield group


def steps_until(step: int, most: int, last: int, *periods: int | None) -> int:
    """Returns how many steps to take at once: up to `most`, but not beyond the last or a multiple of a period."""
    ends = [last - step, *(period - step % period for period in periods if period is not None)]
    return max(1, min(most, *ends))
