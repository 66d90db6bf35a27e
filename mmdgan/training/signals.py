"""What ends training from outside: signals, after which the step is finished and the state is saved; lost workers.

SIGINT is Ctrl-C. systemd, Kubernetes and Slurm send SIGTERM before they kill. SIGHUP comes when the terminal closes.
SIGUSR1 and SIGUSR2 are what Slurm's `--signal` can send some minutes before a time limit. The exit status is 128 plus
the signal's number. This module does not import TensorFlow.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""The signals that stop training in order."""

FORCED_SECONDS = 30.0
"""Seconds that Python has to handle a second signal, of workers that wait for each other."""


class Interrupted(KeyboardInterrupt):
    """Training stopped by a signal after a whole step; the state is saved if there are checkpoints.

    As Ctrl-C's own exception it passes `except Exception`, so that a loop over experiments ends, too.

    Attributes:
        step: Number of steps trained.
        signal: The signal's number; shells expect the exit status 128 + signal.
    """

    def __init__(self, step: int, signal: int) -> None:
        super().__init__(f"training was interrupted after step {step}")
        self.step = step
        self.signal = signal


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
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
def collected(forced: bool = False, answer: Callable[[int], object] | None = None) -> Iterator[list[int]]:
    """Collects the stopping signals within the block; a second SIGINT raises KeyboardInterrupt at once.

    Args:
        forced: A second signal ends the process if Python does not come to handle it: TensorFlow waits for a worker
            that does not answer.
        answer: Takes the number of the first signal as soon as it comes, in another thread: Python handles signals
            only after the call of TensorFlow that is under way.
    """
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1 and number == signal.SIGINT:
            raise KeyboardInterrupt

    watched = nullcontext() if answer is None and not forced else _watched(received, forced, answer)
    with handled(remember), watched:
        yield received


@contextmanager
def deadly() -> Iterator[None]:
    """Within the block, the stopping signals end the process at once: TensorFlow waits, and nothing has to be saved.

    Python handles signals between its own instructions only, and so never while TensorFlow waits for other workers.
    """
    with handled(signal.SIG_DFL):
        yield


@contextmanager
def _watched(received: list[int], forced: bool, answer: Callable[[int], object] | None) -> Iterator[None]:
    """Within the block, a thread watches for signals that Python has not come to handle yet."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reading, received, forced, answer), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)


def _watch(reading: int, received: list[int], forced: bool, answer: Callable[[int], object] | None) -> None:
    """Answers the first stopping signal; ends the process when a second one has not been handled for some seconds."""
    came = 0
    while data := os.read(reading, 1):
        came += data[0] in STOPPING
        if came == 1 and answer is not None and data[0] in STOPPING:
            answer(data[0])
        if came < 2 or not forced:
            continue
        ready, _, _ = select.select([reading], [], [], FORCED_SECONDS)  # ready: another signal, or the block has ended
        if not ready and len(received) < came:
            with contextlib.suppress(OSError):
                os.write(2, b"mmdgan: another worker does not answer; this one ends without saving.\n")
            os._exit(128 + data[0])
    os.close(reading)


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
