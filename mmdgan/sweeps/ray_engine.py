"""The Ray engine: each run is a trial of Ray Tune, on this machine or on a cluster that shares the results' folder.

A trial does what the local engine does: it starts a worker process (worker.py) with the same threads, so both engines
give the same numbers. Ray brings the cluster, its resources and schedulers, and a second start, from the checkpoint, of
what a lost process or machine was doing. The points are the sweep's own: Ray draws none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.workers import end_workers, environment, start_worker
from mmdgan.metrics.registry import lower_is_better
from mmdgan.runs.scores import JUDGES
from mmdgan.sweeps import worker
from mmdgan.sweeps.folder import FAILED, INTERRUPTED, RUNNING, STOPPED, Outcome, Point, SweepFolder, SweepInterrupted
from mmdgan.sweeps.table import is_score
from mmdgan.training import signals

if TYPE_CHECKING:
    from mmdgan.sweeps.run import EngineOptions, SweepProgress

_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 120.0
_STOP = "stop"


@dataclasses.dataclass(frozen=True)
class _Task:
    """What a trial needs in addition to the number of its point; sent to it by Ray."""

    folder: Path
    points: tuple[Point, ...]
    threads: int
    metric: str
    directory: str


def run_ray(
    folder: SweepFolder,
    points: Sequence[Point],
    progress: SweepProgress,
    metric: str,
    options: EngineOptions,
    threads: int,
    check_data: Callable[[SweepFolder, Sequence[Point], int, list[int]], None],
) -> None:
    """Does the runs of a sweep that are not done yet as trials of Ray Tune.

    Args:
        folder: Folder of the sweep, begun; all machines of the cluster must see it under the same path.
        points: All its runs; those with a result are skipped.
        progress: Gets every run that ends.
        metric: The metric by which a scheduler judges runs.
        options: jobs, retries, ray_address, scheduler, cpus, gpus.
        threads: Threads of TensorFlow per run.
        check_data: Checks the data and features of the runs in a process of its own (`local.check_data`).

    Raises:
        ConfigError: Ray is not installed, a cluster does not answer, or a scheduler has no scores to judge by.
        SweepInterrupted: By a signal, after the runs under way have saved their state.
    """
    ray, tune = _import_ray()
    folder = SweepFolder(folder.path.resolve())
    waiting = [_anchored(point, folder) for point in points if not folder.is_done(point)]
    scheduler = _scheduler(options.scheduler, metric, waiting)
    if not waiting:
        return
    stop = folder.path / _STOP
    stop.unlink(missing_ok=True)
    with signals.collected() as received:
        check_data(folder, waiting, threads, received)
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # a signal lets the runs save their state first
        _connect(ray, options)
        try:
            watcher = _watcher(tune, folder, waiting, progress, received)
            task = _Task(folder.path, tuple(waiting), threads, metric, os.getcwd())
            _tuner(tune, task, options, scheduler, watcher).fit()
        finally:
            stop.unlink(missing_ok=True)
            ray.shutdown()
        if received:
            raise SweepInterrupted(received[0], folder, points)


def _import_ray() -> tuple[Any, Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # whose tables come whatever `verbose` says
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the runs have their own event files
    try:
        import ray
        from ray import tune
    except ImportError as error:
        raise ConfigError(
            "engine is ray, but Ray Tune is not installed: pip install 'mmdgan[ray]', or give --engine=local."
        ) from error
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # tracebacks of what is tried again, or reported below
    return ray, tune


def _anchored(point: Point, folder: SweepFolder) -> Point:
    """The point with paths that hold in any directory: Ray's processes have their own."""
    data_root = str(Path(point.experiment.data_root).resolve())
    experiment = dataclasses.replace(point.experiment, results=str(folder.path), data_root=data_root)
    return point._replace(experiment=experiment)


def _connect(ray: Any, options: EngineOptions) -> None:
    """Starts Ray on this machine, or joins a cluster."""
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    try:
        if options.ray_address is None:
            ray.init(include_dashboard=False, **quiet)
        else:
            ray.init(address=options.ray_address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"ray_address: there is no cluster at {options.ray_address} ({reason}).") from error


def _scheduler(name: str, metric: str, points: Sequence[Point]) -> Any:
    """Ray's scheduler of a name; None for none."""
    if name == "none" or not points:
        return None
    rounds = min(len(point.experiment.stops()) for point in points)
    if rounds < 2:
        raise ConfigError(
            f"scheduler is {name}, which stops runs by the scores of their rounds, but some have a single round; give "
            "the base rounds or score_steps."
        )
    if metric not in JUDGES or not all(JUDGES[metric].metric in p.experiment.metrics for p in points):
        raise ConfigError(f"scheduler is {name}, but metric {metric} is not among the base's metrics; add it.")
    from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule

    first = min(point.experiment.stops()[0] for point in points)
    if name == "median":
        return MedianStoppingRule(time_attr="step", grace_period=first, min_samples_required=3)
    longest = max(point.experiment.max_step for point in points)
    return ASHAScheduler(time_attr="step", max_t=longest, grace_period=min(first, longest), reduction_factor=2)


def _tuner(tune: Any, task: _Task, options: EngineOptions, scheduler: Any, watcher: Any) -> Any:
    """The Tuner whose trials are the points of a task."""
    resources = {"cpu": options.cpus or task.threads, "gpu": options.gpus}
    judged = {}
    if scheduler is not None:
        judged = {"metric": "score", "mode": "min" if lower_is_better(task.metric) else "max", "scheduler": scheduler}
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(_trial, task=task), resources),
        param_space={"number": tune.grid_search(list(range(len(task.points))))},
        tune_config=tune.TuneConfig(max_concurrent_trials=options.jobs, reuse_actors=False, **judged),
        run_config=tune.RunConfig(
            name=f"ray-{time.strftime('%Y%m%d-%H%M%S')}",
            storage_path=str(task.folder / "ray"),
            failure_config=tune.FailureConfig(max_failures=options.retries),
            callbacks=[watcher],
            verbose=0,
        ),
    )


def _trial(config: dict[str, Any], task: _Task) -> None:
    """One run, in a process of Ray: starts a worker, reports the score of each round and the outcome."""
    from ray import tune

    folder, point = SweepFolder(task.folder), task.points[config["number"]]
    _wait_for_lock(folder, point)
    before = folder.outcome(point.run)
    if before is not None and before.is_result:  # done, and its process was lost before Ray had heard of it
        tune.report({"step": before.step, "status": before.status, "score": _last_score(point, task.metric)})
        return
    attempt = folder.next_attempt(point.run)
    folder.log("ray").parent.mkdir(parents=True, exist_ok=True)
    with folder.log("ray").open("ab") as log:
        process = start_worker(
            "mmdgan.sweeps.worker:work", cwd=task.directory, stderr=log, env=environment(task.threads)
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(worker.run_line(point, folder, task.threads, "ray", attempt))
        os.set_blocking(process.stdout.fileno(), False)
        _follow(process, folder, point, task.metric, tune.report)
    finally:
        end_workers([process])
    outcome = folder.outcome(point.run)
    if outcome is None or outcome.attempt != attempt:
        raise RuntimeError(f"the process of {point.run} died; see {folder.log(point.run)}")
    if outcome.status == FAILED and outcome.transient:
        raise RuntimeError(outcome.error)
    tune.report({"step": outcome.step, "status": outcome.status, "score": _last_score(point, task.metric)})


def _wait_for_lock(folder: SweepFolder, point: Point) -> None:
    """Waits until an earlier start of this run has ended, if there is one."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while folder.state(point).status == RUNNING and time.monotonic() < give_up:
        time.sleep(_POLL_SECONDS)


def _follow(process: subprocess.Popen, folder: SweepFolder, point: Point, metric: str, report: Any) -> None:
    """Waits until the worker has answered or died; reports rounds, passes a stop on."""
    assert process.stdout is not None
    text, reported, stopping, last = b"", 0, False, point.experiment.max_step
    while True:
        if not stopping and (folder.path / _STOP).exists():
            stopping = True
            process.terminate()
        with contextlib.suppress(BlockingIOError):
            text += os.read(process.stdout.fileno(), 65536) or b""
        answered = any("status" in json.loads(line) for line in text.split(b"\n")[:-1])
        if answered or process.poll() is not None:
            return
        for step, value in _round_scores(point, metric):
            if reported < step < last:  # the last one is reported with the outcome
                reported = step
                report({"step": step, "status": RUNNING, "score": value})
        time.sleep(_POLL_SECONDS)


def _round_scores(point: Point, metric: str) -> list[tuple[int, float]]:
    """(step, score) of the run's rounds so far."""
    records = point.experiment.folder().round_records()
    return [(r["step"], r["value"]) for r in records if is_score(r["metric"], metric)]


def _last_score(point: Point, metric: str) -> float:
    """The newest score; the worst possible value for a run without one, which a scheduler understands."""
    scores = [value for _, value in _round_scores(point, metric) if value is not None]
    return scores[-1] if scores else float("inf" if lower_is_better(metric) else "-inf")


def _watcher(
    tune: Any, folder: SweepFolder, points: Sequence[Point], progress: SweepProgress, received: list[int]
) -> Any:
    """A Tune callback that reports every run that ends, and passes signals on."""

    class Watcher(tune.Callback):
        def on_step_begin(self, iteration: int, trials: list, **info: Any) -> None:
            if received:
                (folder.path / _STOP).touch()

        def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            point = points[trial.config["number"]]
            outcome = folder.outcome(point.run)
            if outcome is None or (trial.last_result or {}).get("status") == RUNNING:
                outcome = _stopped(folder, point, (trial.last_result or {}).get("step", 0))
            progress.ended(outcome)

        def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
            point = points[trial.config["number"]]
            outcome = folder.outcome(point.run)
            if outcome is None or not (outcome.is_result or outcome.status == FAILED):
                error = f"its process died; see {folder.log(point.run)}"
                outcome = dataclasses.replace(outcome or Outcome(point.run, FAILED), status=FAILED, error=error)
                folder.write(outcome)
            progress.ended(outcome)

    return Watcher()


def _stopped(folder: SweepFolder, point: Point, step: int) -> Outcome:
    """The record of a run that the scheduler has stopped, with the scores of its last round."""
    records = [r for r in point.experiment.folder().round_records() if r["step"] == step]
    scores = tuple({"metric": r["metric"], "value": r["value"], "spread": r.get("spread")} for r in records)
    status = STOPPED if scores else INTERRUPTED
    outcome = Outcome(point.run, status, step, scores, error="by the scheduler", engine="ray")
    folder.write(outcome)
    return outcome
