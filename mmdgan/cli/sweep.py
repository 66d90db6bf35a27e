"""The verb `sweep`: many runs of one experiment, and what came of them."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.core.text import format_value, nearest, program

if TYPE_CHECKING:
    from mmdgan.sweeps.folder import SweepFolder
    from mmdgan.sweeps.points import Point
    from mmdgan.sweeps.spec import Sweep

SWITCHES = {"dry_run": "list the runs, with the flags of each, and exit"}


@dataclass(frozen=True)
class SweepOptions:
    """The flags of `sweep FILE.py`."""

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
    results: str | None = option(None, "the sweep goes to RESULTS/sweeps/<name>; none: the base's", "the sweep")
    data_root: str | None = option(None, "the folder that holds the data sets; none: the base's", "the sweep")
    ray_address: str | None = option(
        None, "of the cluster's head, such as 10.0.0.1:6379, or auto; none: Ray starts on this machine", "ray"
    )
    scheduler: str = option(
        "none", "which runs to stop early, by the scores of their rounds", "ray", ("none", "asha", "median")
    )
    cpus: float | None = option(None, "of the cluster, per run; none: as many as threads", "ray")
    gpus: float = option(0.0, "of the cluster, per run; a fraction shares one", "ray")


@dataclass(frozen=True)
class ReadOptions:
    """The flags of `sweep status|table|best`."""

    results: str = option("Results", "where a sweep's name is looked for: RESULTS/sweeps/<name>")
    metric: str | None = option(None, "the score, such as fid, kid or FD[classifier]; none: the sweep's")
    rows: tuple[str, ...] = option((), "fields of the table's rows; lr stands for lr_dis,lr_gen")
    columns: tuple[str, ...] = option((), "fields of the table's columns")
    csv: str | None = option(None, "write all runs to this CSV file besides")
    published: str | None = option(None, "a CSV of published scores; none: Results/published")


def sweep(argv: Sequence[str]) -> int:
    """Does the runs of a sweep that are not done yet; run again to go on.

    FILE.py says SWEEP = Sweep(...): a grid or a search space over the fields of an experiment (docs/sweeps.md).
    Finished and diverged runs are results, and are not repeated; interrupted ones resume from their checkpoints; failed
    ones are tried again.

        sweep FILE.py             run it
        sweep status NAME         how many runs are done
        sweep table NAME          the scores, with the authors' beside them
        sweep best NAME           the best run, with its command

    A NAME may also be the sweep's folder or its FILE.py.
    """
    if argv and argv[0] in READERS:
        return READERS[argv[0]](argv[1:])
    usage = f"usage: {program()} sweep FILE.py [--flag=value ...]\n\n{inspect.cleandoc(sweep.__doc__ or '')}"
    parsed = flags.parse(SweepOptions(), argv, usage=usage, switches=SWITCHES, arguments=("FILE.py",))
    options: SweepOptions = parsed.options
    _check(options)
    if not parsed.arguments[0].endswith(".py"):
        raise ConfigError(
            f"a sweep is a Python file; {parsed.arguments[0]!r} is none{nearest(parsed.arguments[0], list(READERS))}."
        )
    from mmdgan.sweeps.points import expand
    from mmdgan.sweeps.spec import load

    spec = load(parsed.arguments[0])
    points = expand(spec, options.results, options.data_root)
    if "dry_run" in parsed.switches:
        return _list(spec, points)
    return _run(spec, points, options)


def _check(options: SweepOptions) -> None:
    for name in ("jobs", "threads"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise ConfigError(f"{name} is {value}; give a whole number of at least 1.")
    if options.retries < 0 or options.gpus < 0 or (options.cpus is not None and options.cpus <= 0):
        raise ConfigError("retries, gpus and cpus count something; give none of them less than 0.")
    if options.engine == "local":
        default = SweepOptions()
        for name in ("ray_address", "scheduler", "cpus", "gpus"):
            if getattr(options, name) != getattr(default, name):
                raise ConfigError(f"{name} is for Ray alone; add --engine=ray, or leave it out.")


def _list(spec: Sweep, points: list[Point]) -> int:
    """Prints what would be run."""
    folder = Path(points[0].experiment.results)
    print(f"sweep {spec.name}: {len(points)} runs, in {folder}")
    for number, point in enumerate(points, 1):
        words = [f"--{name}={format_value(value)}" for name, value in point.values.items()]
        print(f"{number:4}  {point.experiment.folder().path.relative_to(folder)}   {shlex.join(words)}")
    return 0


def _run(spec: Sweep, points: list[Point], options: SweepOptions) -> int:
    from mmdgan.core.workers import available_cores
    from mmdgan.sweeps.folder import SweepFolder, counts
    from mmdgan.sweeps.progress import SweepProgress

    folder = SweepFolder(Path(points[0].experiment.results))
    cores = available_cores()
    jobs = options.jobs or (max(1, cores // 2) if options.engine == "local" else None)
    threads = options.threads or max(1, cores // (jobs or cores))
    with _locked(folder):
        base = dataclasses.replace(spec.base, data_root=options.data_root or spec.base.data_root)
        points = folder.begin(spec.name, spec.metric, base, points)
        before = [outcome for point in points if (outcome := folder.outcome(point.run))]
        done = sum(outcome.is_result for outcome in before)
        known = f" ({counts(before)})" if before else ""
        at_a_time = f"{jobs} at a time, " if jobs else ""
        print(f"Sweep {spec.name}: {len(points)} runs in {folder.path}{known}; {at_a_time}threads per run: {threads}.")
        progress = SweepProgress(len(points), done, jobs or 1, spec.metric, lambda line: print(line, flush=True))
        if options.engine == "ray":
            from mmdgan.sweeps.ray_engine import run_ray

            run_ray(folder, points, progress, spec, options, threads)
        else:
            from mmdgan.sweeps.local import run_local

            assert jobs is not None
            run_local(folder, points, progress, jobs=jobs, threads=threads, retries=options.retries)
        outcomes = [outcome for _, outcome in folder.states(points)]
    print(f"Done: {counts(outcomes)}.")
    print(f"Table:  {program()} sweep table {folder.path}")
    undone = [outcome for outcome in outcomes if not outcome.is_result]
    if undone:
        raise ConfigError(
            f"{len(undone)} of {len(points)} runs failed, the first of them {undone[0].run}: "
            f"{undone[0].error.rstrip('.')}; mend that and run the sweep again, which repeats nothing that is done."
        )
    return 0


@contextlib.contextmanager
def _locked(folder: SweepFolder) -> Iterator[None]:
    """Holds a sweep's folder, so that no second process runs the same sweep."""
    from mmdgan.core.lock import FolderLock

    with contextlib.ExitStack() as held:
        try:
            held.enter_context(FolderLock(folder.path))
        except ConfigError as error:
            if isinstance(error.__cause__, OSError):  # no second process, but a folder that cannot be written
                raise
            raise ConfigError(
                f"another process runs the sweep in {folder.path}; wait until it ends, or give the sweep another name."
            ) from error
        yield


def status(argv: Sequence[str]) -> int:
    """Counts the runs of a sweep: finished, diverged, failed, interrupted, running, waiting."""
    folder, _ = _opened("status", status, argv)
    from mmdgan.sweeps.folder import DIVERGED, FAILED, RUNNING, counts

    states = folder.states()
    print(f"Sweep {folder.read()['name']} in {folder.path}: {len(states)} runs, {counts(o for _, o in states)}.")
    for point, outcome in states:
        if outcome.status == DIVERGED:
            print(f"  diverged at step {outcome.step:,}: {point.run} ({outcome.error})")
        elif outcome.status in (FAILED, RUNNING):
            print(f"  {outcome.status}: {point.run}{f' ({outcome.error})' if outcome.error else ''}")
    return 0


def table(argv: Sequence[str]) -> int:
    """Prints the scores of a sweep, and the authors' for the same settings where they published some."""
    folder, options = _opened("table", table, argv)
    from mmdgan.report.compare import table as aligned
    from mmdgan.sweeps.folder import counts
    from mmdgan.sweeps.table import csv_text, metric_of, pivot, published_text, table_rows

    states, metric = folder.states(), metric_of(folder, options.metric)
    found = pivot(states, metric, options.rows, options.columns)
    print(f"{found.score or metric} of sweep {folder.read()['name']}: {counts(outcome for _, outcome in states)}.\n")
    print(aligned(table_rows(found)))
    for note in found.notes:
        print(note)
    if beside := published_text(found, options.published):
        print(f"\n{beside}")
    if options.csv is not None:
        _write(options.csv, csv_text(states, metric))
    return 0


def best(argv: Sequence[str]) -> int:
    """Prints the best run of a sweep, with the command that trains it again."""
    folder, options = _opened("best", best, argv)
    from mmdgan.core.options import changed_flags
    from mmdgan.sweeps.points import shown
    from mmdgan.sweeps.table import best as find_best, metric_of

    point, outcome, name = find_best(folder.states(), metric_of(folder, options.metric))
    run = point.experiment.folder().path
    alone = dataclasses.replace(point.experiment, results="Results", run_name=None)
    print(f"{name} {outcome.value(name):.4g}: {shown(point.values) or point.run}, after {outcome.step:,} steps")
    print(f"Run:          {run}")
    print(f"Report:       {program()} report {run}")
    print(f"Train it on:  {program()} train {shlex.join([*changed_flags(point.experiment)])}")
    print(f"Anew, apart:  {program()} train {shlex.join([*changed_flags(alone)])}")
    return 0


READERS = {"status": status, "table": table, "best": best}


def _opened(name: str, function: Callable[..., Any], argv: Sequence[str]) -> tuple[SweepFolder, ReadOptions]:
    """The sweep that a command line names, and its flags."""
    usage = f"usage: {program()} sweep {name} NAME|FOLDER|FILE.py [--flag=value ...]\n\n{function.__doc__}"
    parsed = flags.parse(ReadOptions(), argv, usage=usage, arguments=("NAME",))
    from mmdgan.sweeps.folder import SweepFolder

    return SweepFolder.find(parsed.arguments[0], parsed.options.results), parsed.options


def _write(path: str, text: str) -> None:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"csv: {path} cannot be written ({error.strerror or error}); name another place.") from error
    print(f"\nwritten: {path}")
