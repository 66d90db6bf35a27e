"""Cross-replica reductions: all-reduce means and all-gather rows.

All replicas call a function at once, within `tf.distribute.Strategy.run`; elsewhere, and with one replica, it returns
its argument. All can be differentiated, as functions of all replicas' tensors: each replica differentiates its own
loss, and gets for its own copy of a variable its share of the gradient of their sum.
"""

from __future__ import annotations

from typing import Any, TypeVar

import tensorflow as tf

from mmdgan.core.gradients import free_with_graphs
from mmdgan.core.types import TensorLike

T = TypeVar("T")


def replica_count() -> int:
    """The number of replicas that run this step together; 1 outside of `Strategy.run`."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def replica_number() -> tf.Tensor:
    """This replica's number among all, from 0: an int or a scalar tensor."""
    return 0 if replica_count() == 1 else tf.distribute.get_replica_context().replica_id_in_sync_group


def mean_over_replicas(values: T) -> T:
    """The mean over the replicas of a tensor, or of each tensor in a structure (one message for each type)."""
    return values if replica_count() == 1 else _reduced(tf.distribute.ReduceOp.MEAN, values)


def from_first(values: T) -> T:
    """The first replica's value of a tensor, or of each tensor in a structure."""
    if replica_count() == 1:
        return values
    first = tf.equal(replica_number(), 0)
    sent = tf.nest.map_structure(lambda value: tf.where(first, value, tf.zeros_like(value)), values)
    return _reduced(tf.distribute.ReduceOp.SUM, sent)


def gather_rows(rows: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, in the replicas' order.

    A sum of arrays that are zero outside of each replica's rows: it takes one message where `all_gather` takes two (its
    gradient one instead of three), its shape is static, and TPUs have it.

    Args:
        rows: (n, ...), of the same shape on all replicas.

    Returns:
        (R n, ...) of R replicas, the same on all of them.
    """
    count = replica_count()
    if count == 1:
        return rows
    own = tf.reshape(tf.range(count) == replica_number(), [count] + [1] * rows.shape.rank)
    placed = tf.where(own, rows[tf.newaxis], tf.zeros((), rows.dtype))
    placed = tf.reshape(placed, tf.concat([tf.shape(rows)[:1] * count, tf.shape(rows)[1:]], 0))
    size = None if rows.shape[0] is None else rows.shape[0] * count
    placed = tf.ensure_shape(placed, [size, *rows.shape[1:]])
    return _all_reduce(tf.distribute.ReduceOp.SUM, placed)


def own_rows(rows: tf.Tensor, count: int) -> tf.Tensor:
    """This replica's rows of those of all replicas: the inverse of `gather_rows`.

    Args:
        rows: (R n, ...), the same on all replicas.
        count: Number n of rows on each.
    """
    return rows if replica_count() == 1 else rows_of(rows, count, replica_number())


def rows_of(rows: tf.Tensor, count: int, number: TensorLike) -> tf.Tensor:
    """The rows number * count up to (number + 1) * count."""
    rest = rows.shape.rank - 1
    return tf.slice(rows, [number * count] + [0] * rest, [count] + [-1] * rest)


def _reduced(operation: tf.distribute.ReduceOp, values: T) -> T:
    """Reduces all tensors of a structure, those of one type in one message: TensorFlow cannot pack several types."""
    flat = tf.nest.flatten(values)
    for dtype in dict.fromkeys(value.dtype for value in flat):
        places = [i for i, value in enumerate(flat) if value.dtype == dtype]
        reduced = _all_reduce(operation, [flat[i] for i in places])
        for i, value in zip(places, reduced, strict=True):
            flat[i] = value
    return tf.nest.pack_sequence_as(values, flat)


def _all_reduce(operation: tf.distribute.ReduceOp, values: Any) -> Any:
    reduced = tf.distribute.get_replica_context().all_reduce(operation, values)
    free_with_graphs()
    return reduced
