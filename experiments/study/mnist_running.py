"""Runs a study: every row with every seed, by ordinary runs in processes of their own, several at a time.

Each process has one thread, so that processor time compares rows on any number of cores. What is finished is left
alone; what was interrupted goes on from its newest checkpoint.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmdgan.core.errors import MmdGanError
from mmdgan.core.processes import Supervisor
from mmdgan.core.text import format_value
from study.mnist_plan import Study, StudyFile, StudyRun, steps_of


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
    supervisor, logs = Supervisor(threads=1), Path(study.out) / "logs"
    if not study.report_only and any(file.get("calibration", row) is None for row in study.rows):
        print("Measuring what a step of each row costs.", flush=True)
        _run(supervisor, logs, "calibration", [sys.executable, "-m", "study.mnist_calibrate", *_flags(study)])
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
    lock = threading.Lock()

    def train(run: StudyRun) -> None:
        seconds = _run(supervisor, logs, run.name, [sys.executable, "-m", "mmdgan", "train", *run.command()])
        with lock:
            file.put("seconds", run.name, round((file.get("seconds", run.name) or 0) + seconds, 1))
        print(f"{run.name}: {run.steps:,} steps, {seconds:.0f} s of processor time.", flush=True)

    with ThreadPoolExecutor(study.jobs) as pool:
        futures = [pool.submit(train, run) for run in waiting]
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
            supervisor.stop()
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
    minutes = study.budget()
    assert minutes is not None
    return minutes * 60 * study.jobs / (len(study.rows) * len(study.seeds))


def _flags(study: Study) -> list[str]:
    return [f"--{f.name}={format_value(getattr(study, f.name))}" for f in dataclasses.fields(study)]


def _run(supervisor: Supervisor, logs: Path, name: str, words: Sequence[str]) -> float:
    """Runs a command to its end, its output in a log; returns its processor seconds.

    Raises:
        StudyError: it failed.
    """
    log = logs / f"{name}.log"
    status, seconds = supervisor.run(words, log)
    if status:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        raise StudyError(f"{name} ended with status {status} ({log}): {' / '.join(lines)}")
    return seconds
