"""A worker process of a sweep: does one run after another, each in a process of its own.

The worker imports TensorFlow and never starts it. It forks for each run, and the child begins as a fresh process would,
without the seconds that importing takes. So a run computes what `train` would, bit for bit, and what it leaves in
memory and in TensorFlow's global state ends with it.

Jobs come as lines of JSON on standard input, answers go as lines to standard output. When standard input ends, the
parent is gone, be it by kill -9: the worker ends, and with it its child, which holds the end of a pipe to it.
SIGTERM is passed on to the child, which finishes its step, saves its checkpoint and ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from mmdgan.core.errors import MmdGanError
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.scores import newest
from mmdgan.sweeps.folder import DIVERGED, FAILED, FINISHED, INTERRUPTED, Outcome, Point, SweepFolder
from mmdgan.training.divergence import Diverged
from mmdgan.training.signals import Interrupted

_POLL_SECONDS = 0.1


def run_job(
    experiment: Experiment,
    folder: Path,
    run: str,
    threads: int,
    engine: str,
    attempt: int,
    limit: float | None = None,
) -> Outcome:
    """Does a run in this process and writes its record.

    Args:
        experiment: What to train.
        folder: Folder of the sweep.
        run: Name of the run.
        threads: Recorded.
        engine: Recorded.
        attempt: Recorded.
        limit: Processor time for all attempts' training; None: `max_step` alone ends it.
    """
    sweep, begun, used = SweepFolder(folder), time.monotonic(), time.process_time()
    before = sweep.outcome(run) or Outcome(run, INTERRUPTED)
    budget = None if limit is None else _budget(limit - before.training_seconds)
    found = _train(experiment, [] if budget is None else [budget])
    outcome = Outcome(
        run=run,
        seconds=round(before.seconds + time.monotonic() - begun, 3),
        processor_seconds=round(before.processor_seconds + time.process_time() - used, 3),
        training_seconds=0.0 if budget is None else round(before.training_seconds + budget.used, 3),
        threads=threads,
        engine=engine,
        attempt=attempt,
        **found,
    )
    sweep.write(outcome)
    write_hparams(sweep)
    return outcome


def _budget(seconds: float) -> Any:
    """A Keras callback that ends the training when this process has used so much more processor time."""
    import keras

    begun = time.process_time()

    class Budget(keras.callbacks.Callback):
        used = 0.0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.used = time.process_time() - begun
            self.model.stop_training |= self.used >= seconds

    return Budget()


def write_hparams(sweep: SweepFolder) -> None:
    """Gives `tensorboard --logdir` of the sweep a table of the fields that vary in it, with scores and losses."""
    import tensorflow as tf

    from mmdgan.training import tensorboard

    naming, values = "readable", dict[str, list[Any]]()
    metrics: dict[str, None] = {}  # of all runs so far: one that diverged has none
    for point, outcome in sweep.states():
        for name, value in point.values.items():
            values.setdefault(name, []).append(value)
        metrics |= dict.fromkeys(score["metric"] for score in outcome.scores)
        naming = point.experiment.tags
    tags = [*(f"scores/{name}" for name in metrics), *tensorboard.LOSSES]
    if naming == "readable":
        tags = [tensorboard.readable(tag) for tag in tags]
    with contextlib.suppress(OSError, tf.errors.OpError):  # the runs and their scores are what matters
        tensorboard.write_sweep(sweep.path, values, tags)


def check_job(experiment: Experiment) -> None:
    """Checks that the images and the features of the scores are available; trains the classifier if it is needed.

    Raises:
        MmdGanError: They are not.
    """
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.runs.scoring import Scorer
    from mmdgan.runs.train import open_data

    prepare_tensorflow()
    scorer = Scorer.of(experiment, open_data(experiment, say=print), say=print)
    if scorer is not None and scorer.extractor is not None:
        scorer.extractor.protocol()  # once, before several runs would each train a classifier of their own


def _train(experiment: Experiment, callbacks: list[Any]) -> dict[str, Any]:
    """Trains; returns the status, the step, the scores and the error of the record."""
    try:
        done = experiment.run(callbacks, say=print)
    except Diverged as error:
        return {"status": DIVERGED, "step": error.step, "error": f"{error.name} is {error.value:.6g}"}
    except Interrupted as error:
        return {"status": INTERRUPTED, "step": error.step, "error": str(error)}
    except MmdGanError as error:
        return {"status": FAILED, "error": str(error)}
    except Exception as error:
        traceback.print_exc()
        return {"status": FAILED, "error": f"{type(error).__name__}: {error}", "transient": True}
    records = newest(experiment.folder().round_records())
    scores = tuple({"metric": r["metric"], "value": r["value"], "spread": r.get("spread")} for r in records)
    for score in scores:
        if score["value"] is not None and not math.isfinite(score["value"]):
            return {"status": DIVERGED, "step": done["step"], "error": f"{score['metric']} is {score['value']}"}
    return {"status": FINISHED, "step": done["step"], "scores": scores}


def work() -> None:
    """A worker process: does jobs until its standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    _import_all()
    worker = _Worker()
    signal.signal(signal.SIGTERM, worker.stop)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # of the terminal: the parent decides
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps({"ready": os.getpid()}), file=answers)
        while (line := worker.next_line()) is not None:
            status = worker.do(json.loads(line))
            print(json.dumps({"status": status}), file=answers)
    os._exit(0)


class _Worker:
    """The state of a worker process: what it has read, and the child that does the present job."""

    def __init__(self) -> None:
        self._read = b""
        self._child: int | None = None
        self._ended = False

    def stop(self, _number: int, _frame: object) -> None:
        """Passes SIGTERM on to the child."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGTERM)

    def next_line(self) -> bytes | None:
        """The next job; None when the parent has closed our input, or is gone."""
        while b"\n" not in self._read and not self._ended:
            self._listen(None)
        if b"\n" not in self._read:
            return None
        line, self._read = self._read.split(b"\n", 1)
        return line

    def _listen(self, seconds: float | None) -> None:
        if select.select([0], [], [], seconds)[0]:
            received = os.read(0, 65536)
            self._read += received
            self._ended = not received

    def do(self, job: Mapping[str, Any]) -> int:
        """Does a job in a child; returns its exit status, or minus the signal that killed it."""
        lifeline = os.pipe()
        # A signal between the fork and the assignment of the child's number would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        self._child = os.fork()
        if self._child == 0:
            _child(job, lifeline)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.close(lifeline[0])
        try:
            while True:
                done, status = os.waitpid(self._child, os.WNOHANG)
                if done:
                    return os.waitstatus_to_exitcode(status)
                if self._ended:
                    os.kill(self._child, signal.SIGKILL)
                    os._exit(1)
                self._listen(_POLL_SECONDS)
        finally:
            self._child = None
            os.close(lifeline[1])


def _child(job: Mapping[str, Any], lifeline: tuple[int, int]) -> NoReturn:
    """The process of one job: writes to its log, dies with the worker."""
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.close(lifeline[1])
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        log = Path(job["log"])
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        threading.Thread(target=_end_with, args=(lifeline[0],), daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        status = _do(job)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        # What a fork has inherited, such as handlers at exit, is the worker's.
        os._exit(status)


def _end_with(descriptor: int) -> None:
    os.read(descriptor, 1)
    os._exit(1)


def _do(job: Mapping[str, Any]) -> int:
    experiment = Experiment(**job["experiment"])
    if job["kind"] == "run":
        recorded = {name: job[name] for name in ("run", "threads", "engine", "attempt", "limit")}
        run_job(experiment, Path(job["folder"]), **recorded)
        return 0
    try:
        check_job(experiment)
    except MmdGanError as error:
        Path(job["answer"]).write_text(str(error), encoding="utf-8")
        return 2
    return 0


def run_line(point: Point, folder: SweepFolder, threads: int, engine: str, attempt: int) -> bytes:
    """The line that tells a worker to do a run."""
    recorded = {"run": point.run, "threads": threads, "engine": engine, "attempt": attempt, "limit": point.seconds}
    return _line("run", point.experiment, folder.log(point.run), folder=str(folder.path), **recorded)


def check_line(experiment: Experiment, folder: SweepFolder) -> bytes:
    """The line that tells a worker to look for images and features; it answers with status 0, 2 or another."""
    return _line("check", experiment, folder.log("data"), answer=str(folder.path / "logs" / "data.error"))


def _line(kind: str, experiment: Experiment, log: Path, **more: Any) -> bytes:
    job = {"kind": kind, "experiment": dataclasses.asdict(experiment), "log": str(log), **more}
    return json.dumps(job).encode() + b"\n"


def _import_all() -> None:
    """Imports what a run needs, without starting TensorFlow, whose threads would not survive a fork."""
    import scipy.linalg  # noqa: F401
    import tensorflow  # noqa: F401

    import mmdgan.data
    import mmdgan.metrics.evaluate
    import mmdgan.metrics.features.classifier
    import mmdgan.metrics.features.resolve
    import mmdgan.networks
    import mmdgan.pictures.grid
    import mmdgan.runs.train
    import mmdgan.sampling  # noqa: F401
    from mmdgan.metrics.features import tfgan

    with contextlib.suppress(MmdGanError):  # a run that needs it says so
        tfgan.load()
