"""Child processes: commands that are waited for and ended in order, and Python workers that take jobs by a pipe.

`Supervisor` runs whole commands. `start_worker` starts a process that calls one function, for pools of jobs
(`mmdgan.core.workers`) and sweeps.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

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


class SupervisorStopped(MmdGanError):
    """A command was to be started after `Supervisor.stop`."""


class Exit(NamedTuple):
    """How a command ended: its exit status, or minus the signal that killed it; its seconds of processor time."""

    status: int
    seconds: float


class Supervisor:
    """Runs commands as child processes, any number at a time, each waited for by the thread that runs it."""

    def __init__(self, threads: int | None = None) -> None:
        """Gives each child so many threads; None leaves that to the environment."""
        self._environment = None if threads is None else environment(threads)
        self._lock = threading.Lock()
        self._running: dict[int, subprocess.Popen] = {}
        self._stopped = False

    def run(self, command: Sequence[str], log: Path | None = None, seconds: float | None = None) -> Exit:
        """Runs a command to its end. If this thread is interrupted, the child is stopped, with time to save its state.

        Args:
            command: The program and its arguments.
            log: A file to which its output is appended; None leaves the output where this process's goes.
            seconds: Processor time after which the child gets SIGTERM.

        Raises:
            SupervisorStopped: `stop` was called before.
        """
        with contextlib.ExitStack() as stack:
            output = None
            if log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(log.open("ab"))
            child = self._start(command, output)
            try:
                return self._wait(child, seconds)
            except BaseException:
                if self._signal([child], signal.SIGTERM):
                    self._wait(child, patience=PATIENCE)
                raise

    def stop(self, patience: float = PATIENCE) -> None:
        """Stops the children that other threads run, with time to save their state, and lets no other one start."""
        with self._lock:
            self._stopped = True
            running = list(self._running.values())
        until = time.monotonic() + patience
        self._signal(running, signal.SIGTERM)
        while self._running and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        self._signal(running, signal.SIGKILL)

    def _start(self, command: Sequence[str], output: IO[bytes] | None) -> subprocess.Popen:
        with self._lock:
            if self._stopped:
                raise SupervisorStopped(f"{command[0]} was not started: this program is being stopped.")
            child = subprocess.Popen(command, stdout=output, stderr=output, env=self._environment)
            self._running[child.pid] = child
        return child

    def _wait(self, child: subprocess.Popen, seconds: float | None = None, patience: float = math.inf) -> Exit:
        """Waits for a child: kills it after `patience` seconds, sends SIGTERM after `seconds` of processor time."""
        until, asked = time.monotonic() + patience, False
        while (ended := self._poll(child)) is None:
            if seconds is not None and not asked and processor_seconds(child.pid) >= seconds:
                asked = self._signal([child], signal.SIGTERM)
            if time.monotonic() > until:
                self._signal([child], signal.SIGKILL)
            # Less often where the processor time is asked for, since that starts a process.
            time.sleep(_POLL_SECONDS if seconds is None else min(1.0, max(_POLL_SECONDS, seconds / 100)))
        return ended

    def _poll(self, child: subprocess.Popen) -> Exit | None:
        """Returns how a child ended; None while it runs. The lock keeps signals from a reused process id."""
        with self._lock:
            done, status, used = os.wait4(child.pid, os.WNOHANG)
            if not done:
                return None
            del self._running[child.pid]
            child.returncode = os.waitstatus_to_exitcode(status)
        return Exit(child.returncode, used.ru_utime + used.ru_stime)

    def _signal(self, children: Iterable[subprocess.Popen], number: int) -> bool:
        """Sends a signal to those that still run; returns whether there are any."""
        with self._lock:
            running = [child for child in children if child.pid in self._running]
            for child in running:
                os.kill(child.pid, number)
        return bool(running)


def environment(threads: int) -> dict[str, str]:
    """The environment of a child that has so many threads; sums of floats may depend on their number."""
    return {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}


def processor_seconds(pid: int) -> float:
    """The processor time that a running process has used, by `ps`, in whole seconds; infinity if it has ended."""
    shown = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    if not shown:
        return math.inf
    days, _, clock = shown.rpartition("-")
    total = 0.0
    for number in clock.split(":"):
        total = 60 * total + float(number)
    return total + 86_400 * int(days or 0)


def start_worker(function: str, **options: Any) -> subprocess.Popen:
    """Starts a Python process that calls a function, with unbuffered pipes to its standard input and output.

    It imports what this process can import, and not its main script. Ctrl-C at the terminal does not reach it: the
    parent ends it (`end_workers`). The function must return when standard input ends: its parent is gone then, be it by
    kill -9.

    Args:
        function: "module:name".
        options: Further arguments of `subprocess.Popen`.
    """
    module, _, name = function.partition(":")
    code = f"import sys; sys.path[:] = {sys.path!r}; from {module} import {name}; {name}()"
    options |= {"bufsize": 0, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
    return subprocess.Popen([sys.executable, "-c", code], **options)


def end_workers(processes: Iterable[subprocess.Popen]) -> None:
    """Kills workers, waits for them, and closes their pipes."""
    processes = list(processes)
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
