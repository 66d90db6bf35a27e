"""Runs a study: every row with every seed, by ordinary runs in processes of their own, several at a time.

Each process has one thread, so that processor time compares rows on any number of cores. What is finished is left
alone; what was interrupted goes on from its newest checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmdgan.errors import MmdGanError
from mmdgan.flags import format_value
from mmdgan.study.mnist_plan import Study, StudyFile, StudyRun, steps_of

ONE_THREAD = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1")


class StudyError(MmdGanError):
    """A part of a study could not be run."""


def run_study(study: Study) -> list[StudyRun]:
    """Trains what is missing; returns all runs of the study, finished or (`report_only`) not.

    Raises:
        ConfigError: a study that cannot be, or whose folder holds another one.
        StudyError: every run failed, or the measurement did. Of some that fail the last lines are printed.
    """
    study.check()
    file = StudyFile(study)
    processes = _Processes(Path(study.out) / "logs")
    if not study.report_only and any(file.get("calibration", row) is None for row in study.rows):
        print("Measuring what a step of each row costs.", flush=True)
        try:
            processes.run("calibration", [sys.executable, "-m", "mmdgan.study.mnist_calibrate", *_flags(study)])
        finally:
            processes.stop()
        file = StudyFile(study)
    runs = planned(study, file)
    if study.report_only:
        return runs
    waiting = [run for run in runs if not run.records()]
    print(f"{len(runs) - len(waiting)} of {len(runs)} runs are finished; {study.jobs} at a time.", flush=True)
    for row in study.rows:
        print(f"  {row:<16} {next(run.steps for run in runs if run.row == row):>8,} steps", flush=True)
    # By seeds first: a study that is stopped has whole rows of the first seed.
    waiting.sort(key=lambda run: study.seeds.index(run.seed))
    with ThreadPoolExecutor(study.jobs) as pool:
        futures = [pool.submit(_train, run, processes, file) for run in waiting]
        try:
            failed = []
            for future in futures:
                try:
                    future.result()
                except StudyError as error:  # one that diverged, say: the others go on, and the page names it
                    failed.append(error)
                    print(error, flush=True)
        finally:
            for future in futures:
                future.cancel()
            processes.stop()
    if failed and not any(run.records() for run in runs):
        raise failed[0]
    return runs


def planned(study: Study, file: StudyFile) -> list[StudyRun]:
    """Every run of the study with its steps: the same for all, or what equal processor time gives; row by row."""
    steps = {}
    for row in study.rows:
        cost = file.get("calibration", row)
        if study.steps is not None:
            steps[row] = study.steps
        elif cost is not None:
            if "steps" not in cost:
                cost = {**cost, "steps": steps_of(budget_seconds(study), cost)}
                file.put("calibration", row, cost)
            steps[row] = cost["steps"]
    return [study.run(row, seed, steps[row]) for row in study.rows if row in steps for seed in study.seeds]


def budget_seconds(study: Study) -> float:
    """Processor time of one run, start and scores included, in a study of so many minutes."""
    assert study.budget_minutes is not None
    return study.budget_minutes * 60 * study.jobs / (len(study.rows) * len(study.seeds))


def _train(run: StudyRun, processes: _Processes, file: StudyFile) -> None:
    seconds = processes.run(run.name, [sys.executable, "-m", "mmdgan", "train", *run.command()])
    with processes.lock:
        file.put("seconds", run.name, round((file.get("seconds", run.name) or 0) + seconds, 1))
    print(f"{run.name}: {run.steps:,} steps, {seconds:.0f} s of processor time.", flush=True)


def _flags(study: Study) -> list[str]:
    return [f"--{f.name}={format_value(getattr(study, f.name))}" for f in dataclasses.fields(study)]


class _Processes:
    """Child processes with one thread each, whose processor time is measured, and which end with this one."""

    def __init__(self, logs: Path):
        self.logs = logs
        self.lock = threading.Lock()
        self._running: dict[int, subprocess.Popen] = {}
        self._stopped = False

    def run(self, name: str, words: Sequence[str]) -> float:
        """Runs a command to its end, its output in a log; returns its processor seconds.

        Raises:
            StudyError: it failed, or this study is being stopped.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / f"{name}.log"
        with open(path, "ab") as log:
            with self.lock:
                if self._stopped:
                    raise StudyError("The study is being stopped.")
                child = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, **ONE_THREAD})
                self._running[child.pid] = child
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            with self.lock:
                del self._running[child.pid]
        if child.returncode:
            lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise StudyError(f"{name} ended with status {child.returncode} ({path}): {' / '.join(lines)}")
        return used.ru_utime + used.ru_stime

    def stop(self, patience: float = 60.0) -> None:
        """Asks those that run to save and end, as Ctrl-C does, and waits for them."""
        with self.lock:
            self._stopped = bool(self._running) or self._stopped
            for child in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(signal.SIGTERM)
        until = time.monotonic() + patience
        while self._running and time.monotonic() < until:
            time.sleep(0.1)
