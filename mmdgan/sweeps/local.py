"""The local engine: worker processes, each with one run at a time (worker.py)."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import fields_with
from mmdgan.core.workers import end_workers, environment, start_worker
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps import worker
from mmdgan.sweeps.folder import FAILED, INTERRUPTED, Outcome, Point, SweepFolder, SweepInterrupted
from mmdgan.training import signals

if TYPE_CHECKING:
    from mmdgan.sweeps.run import SweepProgress

_SELECT_SECONDS = 0.25


@dataclass
class _Slot:
    """A worker process, and what it is doing."""

    process: subprocess.Popen
    point: Point | None = None
    attempt: int = 0
    text: bytes = b""
    dead: bool = False


def run_local(
    folder: SweepFolder,
    points: Sequence[Point],
    progress: SweepProgress,
    *,
    jobs: int,
    threads: int,
    retries: int = 1,
) -> None:
    """Does the runs of a sweep that are not done yet, several at a time.

    Args:
        folder: Folder of the sweep, begun.
        points: All its runs; those with a result are skipped.
        progress: Gets every run that ends.
        jobs: Runs at a time.
        threads: Threads of TensorFlow per run.
        retries: How often a run whose process dies, or that fails other than by a mistake of the user, is tried again
            at once, from its checkpoint.

    Raises:
        MmdGanError: The images or the features of the scores are not available; nothing has been started then.
        SweepInterrupted: By a signal, after all runs under way have saved their state.
    """
    waiting = deque(point for point in points if not folder.is_done(point))
    if not waiting:
        return
    with signals.collected() as received:
        pool = _Pool(folder, threads, retries, progress)
        try:
            for _ in range(min(jobs, len(waiting))):
                pool.start()
            pool.check([point.experiment for point in waiting], received)
            pool.run(waiting, received)
        finally:
            pool.end()
        if received:
            raise SweepInterrupted(received[0], folder, points)


def run_here(folder: SweepFolder, points: Sequence[Point], progress: SweepProgress) -> None:
    """Does the runs of a sweep that are not done yet in this process; arguments and errors as of `run_local`."""
    for point in points:
        if folder.is_done(point):
            continue
        attempt = folder.next_attempt(point.run)
        outcome = worker.run_job(point.experiment, folder.path, point.run, 0, "here", attempt, point.seconds)
        progress.ended(outcome)
        if outcome.status == INTERRUPTED:
            raise SweepInterrupted(signal.SIGINT, folder, points)


def check_data(folder: SweepFolder, points: Sequence[Point], threads: int, received: list[int]) -> None:
    """Checks that the images and the features of all runs are available, in a process of its own.

    Args:
        folder: Folder of the sweep.
        points: The runs to come.
        threads: Threads of TensorFlow.
        received: Signals received so far; the check ends after one.

    Raises:
        ConfigError: They are not available.
    """
    pool = _Pool(folder, threads, 0, None)
    try:
        pool.start()
        pool.check([point.experiment for point in points], received)
    finally:
        pool.end()


class _Pool:
    """The worker processes of a sweep."""

    def __init__(self, folder: SweepFolder, threads: int, retries: int, progress: SweepProgress | None):
        self._folder, self._threads, self._retries, self._progress = folder, threads, retries, progress
        self._slots: list[_Slot] = []
        self._selector = selectors.DefaultSelector()
        self._tries: dict[str, int] = {}

    def start(self) -> _Slot:
        """Starts one more worker."""
        with self._folder.log(f"worker-{len(self._slots)}").open("ab") as log:
            process = start_worker("mmdgan.sweeps.worker:work", stderr=log, env=environment(self._threads))
        slot = _Slot(process)
        self._slots.append(slot)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, slot)
        return slot

    def end(self) -> None:
        """Ends all workers, and with them whatever they are doing."""
        end_workers(slot.process for slot in self._slots)
        self._selector.close()

    def check(self, experiments: Sequence[Experiment], received: list[int]) -> None:
        """Checks the images and the features of all runs, before the first one starts."""
        inputs, kinds = fields_with(Experiment, inputs=True), dict[Any, Experiment]()
        for experiment in experiments:
            kinds.setdefault(tuple(getattr(experiment, name) for name in inputs), experiment)
        slot = self._slots[0]
        for experiment in kinds.values():
            self._send(slot, worker.check_line(experiment, self._folder))
            while (answer := self._answer(slot)) is None:
                self._listen()
                if received:
                    return
            if answer == 0:
                continue
            error = self._folder.path / "logs" / "data.error"
            if answer == 2 and error.is_file():
                raise ConfigError(error.read_text(encoding="utf-8"))
            raise ConfigError(f"the images of {experiment.data} cannot be opened; see {self._folder.log('data')}.")

    def run(self, waiting: deque[Point], received: list[int]) -> None:
        """Gives out the runs; returns when they are done, or after a signal when those under way have ended."""
        stopping = False
        for slot in self._slots:
            self._give(slot, waiting, received)
        while any(slot.point for slot in self._slots):
            self._listen()
            for slot in [slot for slot in self._slots if slot.point is not None]:
                if (status := self._answer(slot)) is None:
                    continue
                self._ended(slot, status, waiting, received)
                if slot.dead:
                    self._slots.remove(slot)
                    end_workers([slot.process])
                    slot = self.start()
                self._give(slot, waiting, received)
            if received and not stopping:
                stopping = True
                for slot in self._slots:
                    if slot.point is not None:
                        slot.process.send_signal(signal.SIGTERM)

    def _give(self, slot: _Slot, waiting: deque[Point], received: list[int]) -> None:
        """Gives a worker its next run, if there is one."""
        slot.point = None
        if received or not waiting:
            return
        slot.point = point = waiting.popleft()
        slot.attempt = self._folder.next_attempt(point.run)
        self._send(slot, worker.run_line(point, self._folder, self._threads, "local", slot.attempt))

    def _send(self, slot: _Slot, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died: the end of its output will tell
            assert slot.process.stdin is not None
            while line:
                line = line[slot.process.stdin.write(line) :]

    def _listen(self) -> None:
        """Reads what the workers say, for a moment."""
        for key, _ in self._selector.select(_SELECT_SECONDS):
            received = os.read(key.fd, 65536)
            key.data.text += received
            if not received:
                self._selector.unregister(key.fileobj)
                key.data.dead = True

    def _answer(self, slot: _Slot) -> int | None:
        """The status of a worker's job, or minus the signal that killed it; None if it has not ended."""
        while b"\n" in slot.text:
            line, slot.text = slot.text.split(b"\n", 1)
            if "status" in (answer := json.loads(line)):
                return answer["status"]
        return (slot.process.wait() or 1) if slot.dead else None

    def _ended(self, slot: _Slot, status: int, waiting: deque[Point], received: list[int]) -> None:
        """Ends a run: completes its record, reports it, queues another try."""
        point = slot.point
        assert point is not None and self._progress is not None  # a run has ended
        outcome = self._folder.outcome(point.run)
        if outcome is None or outcome.attempt != slot.attempt:
            outcome = self._died(point, status, slot.attempt, outcome)
        tries = self._tries[point.run] = self._tries.get(point.run, 0) + 1
        # A run that was stopped, while nobody has stopped the sweep, counts as killed.
        lost = outcome.transient if outcome.status == FAILED else outcome.status == INTERRUPTED and not received
        again = lost and tries <= self._retries
        if again:
            waiting.append(point)
        self._progress.ended(outcome, again)

    def _died(self, point: Point, status: int, attempt: int, before: Outcome | None) -> Outcome:
        """The record of a run whose process has left none."""
        if status == -signal.SIGTERM:
            error, state = "the process was stopped", INTERRUPTED
        else:
            how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
            error, state = f"its process {how}; see {self._folder.log(point.run)}", FAILED
        before = before or Outcome(point.run, state)
        outcome = dataclasses.replace(
            before, status=state, error=error, threads=self._threads, engine="local", attempt=attempt, transient=True
        )
        self._folder.write(outcome)
        return outcome
