"""Signals as a test needs them: under `nohup`, or in the background of a shell, SIGHUP and SIGINT come ignored."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


def default_handler(number: int):
    """How Python handles a signal that its parent did not have ignored."""
    return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL


@contextlib.contextmanager
def handled(number: int, handler) -> Iterator[None]:
    """Within the block a signal has this handler, `signal.SIG_IGN` or `signal.SIG_DFL`."""
    former = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, former)
