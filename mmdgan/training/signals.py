"""What ends training from outside: signals, after which the step is finished and the state is saved; lost workers.

SIGINT is Ctrl-C. systemd, Kubernetes and Slurm send SIGTERM before they kill. SIGHUP comes when the terminal closes.
SIGUSR1 and SIGUSR2 are what Slurm's `--signal` can send some minutes before a time limit. The exit status is 128 plus
the signal's number. This module does not import TensorFlow.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""The signals that stop training in order."""


class Interrupted(Exception):
    """Training stopped by a signal after a whole step; the state is saved if there are checkpoints.

    Attributes:
        step: Number of steps trained.
        signal: The signal's number; shells expect the exit status 128 + signal.
    """

    def __init__(self, step: int, signal: int) -> None:
        super().__init__(f"training was interrupted after step {step}")
        self.step = step
        self.signal = signal


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Sends the stopping signals to a handler within the block.

    A SIGHUP that is ignored stays ignored: so `nohup` lets a program outlive its terminal. Only Python's main thread
    may handle signals; in another one, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [n for n in STOPPING if n != signal.SIGHUP or signal.getsignal(n) is not signal.SIG_IGN]
    former = {number: signal.signal(number, handler) for number in taken}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)


@contextmanager
def collected() -> Iterator[list[int]]:
    """Collects the stopping signals within the block; a second SIGINT raises KeyboardInterrupt at once."""
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    with handled(remember):
        yield received


class WorkerLost(Exception):
    """Training stopped because another worker is gone; restarted, all workers resume from the newest checkpoint."""


@contextmanager
def raising_worker_lost() -> Iterator[None]:
    """Turns an error of TensorFlow's connections to other workers into a `WorkerLost`."""
    try:
        yield
    except Exception as error:
        tf = sys.modules.get("tensorflow")
        if tf is None:  # then it is not an error of TensorFlow
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
