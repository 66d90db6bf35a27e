"""Runs a sweep: what is missing is trained, by worker processes of this machine or by Ray; what is done stays.

run_sweep(load("my_sweep.py"), EngineOptions(jobs=2))
train_missing(Path("Results/sweeps/figures"), {"rep_seed0": Experiment(loss="rep"), "hinge_seed0": ...})
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdgan.core.errors import ConfigError
from mmdgan.core.lock import FolderLock
from mmdgan.core.options import check_count, option
from mmdgan.core.progress import Say, log
from mmdgan.core.text import duration
from mmdgan.core.workers import available_cores
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps.folder import DIVERGED, FINISHED, INTERRUPTED, STOPPED, Outcome, Point, SweepFolder, counts
from mmdgan.sweeps.local import check_data, run_here, run_local
from mmdgan.sweeps.spec import Sweep, expand, named
from mmdgan.sweeps.table import find_score


@dataclass(frozen=True)
class EngineOptions:
    """How the runs of a sweep are done; also flags of `mmdgan sweep`."""

    engine: str = option(
        "local", "processes of this machine, or Ray Tune (the extra `ray`)", "the sweep", ("local", "ray")
    )
    jobs: int | None = option(
        None, "runs at a time; none: one per two cores, of ray as many as the cluster has room for", "the sweep"
    )
    threads: int | None = option(None, "of TensorFlow, per run; none: the cores divided by jobs", "the sweep")
    retries: int = option(
        1, "how often a run whose process dies is tried again at once, from its checkpoint", "the sweep"
    )
    ray_address: str | None = option(
        None, "of the cluster's head, such as 10.0.0.1:6379, or auto; none: Ray starts on this machine", "ray"
    )
    scheduler: str = option(
        "none", "which runs to stop early, by the scores of their rounds", "ray", ("none", "asha", "median")
    )
    cpus: float | None = option(None, "of the cluster, per run; none: as many as threads", "ray")
    gpus: float = option(0.0, "of the cluster, per run; a fraction shares one", "ray")

    def check(self) -> None:
        """Refuses values that cannot be, and options of Ray for the local engine.

        Raises:
            ConfigError: It names the option.
        """
        for name in ("jobs", "threads"):
            if (value := getattr(self, name)) is not None:
                check_count(name, value)
        if self.retries < 0 or self.gpus < 0 or (self.cpus is not None and self.cpus <= 0):
            raise ConfigError("retries, gpus and cpus count something; give none of them less than 0.")
        if self.engine == "local":
            for field in dataclasses.fields(EngineOptions):
                if field.metadata["group"] == "ray" and getattr(self, field.name) != field.default:
                    raise ConfigError(f"{field.name} is for Ray alone; add --engine=ray, or leave it out.")


def run_sweep(
    sweep: Sweep,
    options: EngineOptions | None = None,
    *,
    results: str | None = None,
    data_root: str | None = None,
    say: Say = log,
) -> list[tuple[Point, Outcome]]:
    """Does the runs of a sweep that are not done yet.

    Args:
        sweep: What to run.
        options: How; by default with worker processes, one per two cores.
        results: Replaces the base's `results`.
        data_root: Replaces the base's `data_root`.
        say: Takes a line when the sweep begins, and one for each run that ends.

    Returns:
        Every run and what came of it, in order.

    Raises:
        ConfigError: A point that is not valid, another sweep in the folder, images that cannot be opened.
        SweepInterrupted: By a signal, after all runs under way have saved their state.
    """
    points = expand(sweep, results, data_root)
    base = dataclasses.replace(sweep.base, data_root=data_root or sweep.base.data_root)
    folder = SweepFolder(Path(points[0].experiment.results))
    return _run(folder, sweep.name, sweep.metric, base, points, options or EngineOptions(), say)


def train_missing(
    path: Path,
    experiments: Mapping[str, Experiment],
    options: EngineOptions | None = None,
    *,
    seconds: float | Mapping[str, float] | None = None,
    metric: str = "fid",
    in_process: bool = False,
    say: Say = log,
) -> list[tuple[Point, Outcome]]:
    """Trains experiments that need not have anything in common, as far as they are not done: a sweep of named runs.

    A run that is done is trained further if `max_step` or its seconds are more than it has had.

    Args:
        path: The sweep's folder; the runs go to PATH/<data>/<name>.
        experiments: Name of each run -> what it trains.
        options: How; by default with worker processes, one per two cores.
        seconds: Processor time for the training of each run, or of each by its name; see `Sweep.seconds`.
        metric: The score that lines of progress show.
        in_process: Trains one run after the other in this process: for runs so short that starting a worker is most of
            the work.
        say: Takes a line when the sweep begins, and one for each run that ends.

    Returns:
        Every run and what came of it, in order.

    Raises:
        ConfigError: An experiment that is not valid, or a run of that name with other settings.
        SweepInterrupted: As `run_sweep`.
    """
    points = named(experiments, path, seconds)
    return _run(SweepFolder(path), path.name, metric, Experiment(), points, options or EngineOptions(), say, in_process)


def _run(
    folder: SweepFolder,
    name: str,
    metric: str,
    base: Experiment,
    points: Sequence[Point],
    options: EngineOptions,
    say: Say,
    in_process: bool = False,
) -> list[tuple[Point, Outcome]]:
    cores = available_cores()
    jobs = options.jobs or (max(1, cores // 2) if options.engine == "local" else None)
    threads = options.threads or max(1, cores // (jobs or cores))
    busy = "another process{holder} runs the sweep in {path}; wait until it ends, or give the sweep another name."
    with FolderLock(folder.path, busy):
        points = folder.begin(name, metric, base, points)
        before = [outcome for point in points if (outcome := folder.outcome(point.run))]
        done = sum(folder.is_done(point) for point in points)
        known = f" ({counts(before)})" if before else ""
        at_a_time = f"{jobs} at a time, " if jobs else ""
        say(f"Sweep {name}: {len(points)} runs in {folder.path}{known}; {at_a_time}threads per run: {threads}.")
        progress = SweepProgress(len(points), done, jobs or 1, metric, say)
        if in_process:
            run_here(folder, points, progress)
        elif options.engine == "ray":
            from mmdgan.sweeps.ray_engine import run_ray

            run_ray(folder, points, progress, metric, options, threads, check_data)
        else:
            assert jobs is not None
            run_local(folder, points, progress, jobs=jobs, threads=threads, retries=options.retries)
        return folder.states(points)


class SweepProgress:
    """Says how a sweep goes on: a line for each run that ends, with the time left.

    Args:
        total: Runs of the sweep.
        done: How many of them were done before.
        jobs: Runs at a time.
        metric: The score to show, a name such as "fid" or "FD[classifier]".
        say: Takes each line.
    """

    def __init__(self, total: int, done: int, jobs: int, metric: str, say: Callable[[str], object]):
        self._total, self._done, self._jobs, self._metric, self._say = total, done, jobs, metric, say
        self._seconds: list[float] = []

    def ended(self, outcome: Outcome, again: bool = False) -> None:
        """Reports the end of a run; `again`: it will be tried once more."""
        if not again and outcome.status != INTERRUPTED:
            self._done += 1
            self._seconds.append(outcome.seconds)
        width = len(str(self._total))
        head = f"[{self._done:{width}} of {self._total}] {outcome.run}"
        self._say(f"{head}: {describe(outcome, self._metric)}{'; it is tried again' if again else self._left()}")

    def _left(self) -> str:
        rest = self._total - self._done
        if not rest or not self._seconds:
            return ""
        # At most `jobs` runs go on at a time: the last ones take as long as a single one.
        per_run = sum(self._seconds) / len(self._seconds)
        return f"; about {duration(per_run * math.ceil(rest / self._jobs))} left"


def describe(outcome: Outcome, metric: str) -> str:
    """What came of a run, in a few words: "FD[classifier] 34.2, 0:31"."""
    if outcome.status in (FINISHED, STOPPED):
        name = find_score(outcome, metric)
        value = outcome.value(name) if name else None
        what = f"{name} {value:.4g}" if value is not None else f"{outcome.step:,} steps"
        end = duration(outcome.seconds) if outcome.status == FINISHED else f"stopped after step {outcome.step:,}"
        return f"{what}, {end}"
    if outcome.status == DIVERGED:
        return f"diverged at step {outcome.step:,} ({outcome.error}), {duration(outcome.seconds)}"
    if outcome.status == INTERRUPTED:
        return f"interrupted after step {outcome.step:,}" if outcome.step else "interrupted"
    return f"{outcome.status}: {outcome.error.rstrip('.')}"
