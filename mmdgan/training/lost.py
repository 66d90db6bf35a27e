"""What happens to a worker when another one dies: TensorFlow's collectives fail, and this says why."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class WorkerLost(Exception):
    """Training stopped because another worker is gone; begun again, all go on from the newest checkpoint."""


@contextmanager
def lost_workers_named() -> Iterator[None]:
    """Within the block, on one of several workers, an error of TensorFlow's connections becomes a `WorkerLost`."""
    try:
        yield
    except Exception as error:
        tf = sys.modules.get("tensorflow")
        if tf is None:  # an error before TensorFlow is none of its own
            raise
        kinds = (
            tf.errors.UnavailableError,
            tf.errors.AbortedError,
            tf.errors.CancelledError,
            tf.errors.DeadlineExceededError,
            tf.errors.InternalError,
        )
        if not isinstance(error, kinds):
            raise
        raise WorkerLost(f"another worker is gone ({type(error).__name__})") from error
