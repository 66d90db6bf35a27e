"""Child processes of a study or a figure: with one thread or all, timed, logged, and ended in order with their parent.

Runs of a sweep are not started here: `mmdgan.sweeps.worker` forks, so that they need not import TensorFlow again.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from mmdgan.core.errors import MmdGanError

THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)
PATIENCE = 120.0
"""Seconds that a child has to save its state when it is stopped; then it is killed."""

_POLL_SECONDS = 0.1


def environment(threads: int) -> dict[str, str]:
    """The environment of a child that has so many threads; sums of floats may depend on their number."""
    return {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}


class BeingStopped(MmdGanError):
    """A child was to be started after the others had been told to end."""


class Ended(NamedTuple):
    """How a child ended: its exit status, or minus the signal that killed it; the seconds of processor time it used."""

    status: int
    seconds: float


class Children:
    """Child processes, any number at a time, each waited for by the thread that runs it."""

    def __init__(self, threads: int | None = None) -> None:
        """Of so many threads each; None: as the environment has it."""
        self._environment = None if threads is None else environment(threads)
        self._lock = threading.Lock()
        self._running: dict[int, subprocess.Popen] = {}
        self._stopped = False

    def run(self, words: Sequence[str], log: Path | None = None, seconds: float | None = None) -> Ended:
        """Runs a command to its end. If this thread is interrupted, so is the child, with time to save its state.

        Args:
          words: the program and its arguments.
          log: a file to which what it prints is added; None: it prints where this process does.
          seconds: of processor time, after which the child gets SIGTERM.

        Raises:
          BeingStopped: `stop` was called before.
        """
        with contextlib.ExitStack() as stack:
            output = None
            if log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(log.open("ab"))
            child = self._begin(words, output)
            try:
                return self._wait(child, seconds)
            except BaseException:
                if self._signal([child], signal.SIGTERM):
                    self._wait(child, patience=PATIENCE)
                raise

    def stop(self, patience: float = PATIENCE) -> None:
        """Asks those that other threads run to save and end, waits for them, and lets no other one begin."""
        with self._lock:
            self._stopped = True
            running = list(self._running.values())
        until = time.monotonic() + patience
        self._signal(running, signal.SIGTERM)
        while self._running and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        self._signal(running, signal.SIGKILL)

    def _begin(self, words: Sequence[str], output: IO[bytes] | None) -> subprocess.Popen:
        with self._lock:
            if self._stopped:
                raise BeingStopped(f"{words[0]} was not started: this program is being stopped.")
            child = subprocess.Popen(words, stdout=output, stderr=output, env=self._environment)
            self._running[child.pid] = child
        return child

    def _wait(self, child: subprocess.Popen, seconds: float | None = None, patience: float = math.inf) -> Ended:
        """Waits for a child, for `patience` seconds at most, and tells it to end after `seconds` of processor time."""
        until, asked = time.monotonic() + patience, False
        while (ended := self._reaped(child)) is None:
            if seconds is not None and not asked and processor_seconds(child.pid) >= seconds:
                asked = self._signal([child], signal.SIGTERM)
            if time.monotonic() > until:
                self._signal([child], signal.SIGKILL)
            # Less often where the processor time is asked for, since that starts a process.
            time.sleep(_POLL_SECONDS if seconds is None else min(1.0, max(_POLL_SECONDS, seconds / 100)))
        return ended

    def _reaped(self, child: subprocess.Popen) -> Ended | None:
        """What came of a child; None while it runs. Within the lock, so that no signal goes to a number given anew."""
        with self._lock:
            done, status, used = os.wait4(child.pid, os.WNOHANG)
            if not done:
                return None
            del self._running[child.pid]
            child.returncode = os.waitstatus_to_exitcode(status)
        return Ended(child.returncode, used.ru_utime + used.ru_stime)

    def _signal(self, asked: list[subprocess.Popen], number: int) -> bool:
        """Sends a signal to those of these that still run; returns whether there are any."""
        with self._lock:
            there = [child for child in asked if child.pid in self._running]
            for child in there:
                os.kill(child.pid, number)
        return bool(there)


def processor_seconds(pid: int) -> float:
    """The processor time of a running process so far, as `ps` tells it: whole seconds; infinity if it is gone."""
    told = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    if not told:
        return math.inf
    days, _, clock = told.rpartition("-")
    total = 0.0
    for number in clock.split(":"):
        total = 60 * total + float(number)
    return total + 86_400 * int(days or 0)
