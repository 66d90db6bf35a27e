"""The verb `sweep`: runs many trainings, and shows their results."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError, write_errors
from mmdgan.core.options import changed_flags, option
from mmdgan.core.text import command, format_value, nearest, table as aligned
from mmdgan.sweeps.folder import DIVERGED, FAILED, RUNNING, Point, SweepFolder, counts
from mmdgan.sweeps.run import EngineOptions, run_sweep
from mmdgan.sweeps.spec import Sweep, expand, find_folder, load, shown

SWITCHES = {"dry_run": "list the runs, with the flags of each, and exit"}


@dataclass(frozen=True)
class SweepOptions(EngineOptions):
    """The flags of `sweep FILE.py`."""

    results: str | None = option(None, "write the sweep to RESULTS/sweeps/<name>; none: the base's", "the sweep")
    data_root: str | None = option(None, "folder of the data sets; none: the base's", "the sweep")


@dataclass(frozen=True)
class StatusOptions:
    """The flags of `sweep status`."""

    results: str = option("Results", "where to look for a sweep's name: RESULTS/sweeps/<name>")


@dataclass(frozen=True)
class BestOptions(StatusOptions):
    """The flags of `sweep best`."""

    metric: str | None = option(None, "score to show, such as fid, kid or FD[classifier]; none: the sweep's")


@dataclass(frozen=True)
class TableOptions(BestOptions):
    """The flags of `sweep table`."""

    rows: tuple[str, ...] = option((), "fields of the table's rows; lr stands for lr_dis,lr_gen")
    columns: tuple[str, ...] = option((), "fields of the table's columns")
    csv: str | None = option(None, "CSV file to write all runs to")
    published: str | None = option(None, "CSV of published scores; none: Results/published")


Options = TypeVar("Options", bound=StatusOptions)


def sweep(argv: Sequence[str]) -> int:
    """Train the runs of a sweep that are not done yet; run again to go on.

    FILE.py defines SWEEP = Sweep(...): a grid or a search space over the fields of an experiment (docs/sweeps.md).
    Finished and diverged runs are results, and are not repeated; interrupted ones resume from their checkpoints; failed
    ones are tried again.

        sweep FILE.py             run it
        sweep status NAME         count the runs that are done
        sweep table NAME          show the scores, with those that the authors published
        sweep best NAME           show the best run, with its command

    A NAME may also be the sweep's folder or its FILE.py.
    """
    if argv and argv[0] in READERS:
        return READERS[argv[0]](argv[1:])
    usage = flags.usage("sweep FILE.py [--flag=value ...]", sweep)
    parsed = flags.parse(SweepOptions(), argv, usage=usage, switches=SWITCHES, arguments=("FILE.py",))
    options: SweepOptions = parsed.options
    options.check()
    if not parsed.arguments[0].endswith(".py"):
        raise ConfigError(
            f"a sweep is a Python file; {parsed.arguments[0]!r} is none{nearest(parsed.arguments[0], list(READERS))}."
        )
    spec = load(parsed.arguments[0])
    if "dry_run" in parsed.switches:
        return _list(spec, expand(spec, options.results, options.data_root))
    return _run(spec, options)


def _list(spec: Sweep, points: list[Point]) -> int:
    folder = Path(points[0].experiment.results)
    print(f"sweep {spec.name}: {len(points)} runs, in {folder}")
    for number, point in enumerate(points, 1):
        words = [f"--{name}={format_value(value)}" for name, value in point.values.items()]
        print(f"{number:4}  {point.experiment.folder().path.relative_to(folder)}   {shlex.join(words)}")
    return 0


def _run(spec: Sweep, options: SweepOptions) -> int:
    def say(line: str) -> None:
        print(line, flush=True)

    states = run_sweep(spec, options, results=options.results, data_root=options.data_root, say=say)
    print(f"Done: {counts(outcome for _, outcome in states)}.")
    print(f"Table:  {command('sweep', 'table', states[0][0].experiment.results)}")
    undone = [outcome for _, outcome in states if not outcome.is_result]
    if undone:
        raise ConfigError(
            f"{len(undone)} of {len(states)} runs failed, the first of them {undone[0].run}: "
            f"{undone[0].error.rstrip('.')}; fix that and run the sweep again, which repeats nothing that is done."
        )
    return 0


def status(argv: Sequence[str]) -> int:
    """Count the runs of a sweep: finished, diverged, failed, interrupted, running, waiting."""
    folder, _ = _opened(StatusOptions(), status, argv)
    states = folder.states()
    print(f"Sweep {folder.read()['name']} in {folder.path}: {len(states)} runs, {counts(o for _, o in states)}.")
    for point, outcome in states:
        if outcome.status == DIVERGED:
            print(f"  diverged at step {outcome.step:,}: {point.run} ({outcome.error})")
        elif outcome.status in (FAILED, RUNNING):
            print(f"  {outcome.status}: {point.run}{f' ({outcome.error})' if outcome.error else ''}")
    return 0


def table(argv: Sequence[str]) -> int:
    """Print the scores of a sweep, and the authors' for the same settings where they published some."""
    folder, options = _opened(TableOptions(), table, argv)
    from mmdgan.sweeps.table import csv_text, pivot, published_text, table_rows

    states, metric = folder.states(), options.metric or folder.read()["metric"]
    found = pivot(states, metric, options.rows, options.columns)
    print(f"{found.score or metric} of sweep {folder.read()['name']}: {counts(outcome for _, outcome in states)}.\n")
    print(aligned(table_rows(found)))
    for note in found.notes:
        print(note)
    if theirs := published_text(found, options.published):
        print(f"\n{theirs}")
    if options.csv is not None:
        _write(options.csv, csv_text(states, metric))
    return 0


def best(argv: Sequence[str]) -> int:
    """Print the best run of a sweep, with the command that trains it again."""
    folder, options = _opened(BestOptions(), best, argv)
    from mmdgan.sweeps.table import best as find_best

    point, outcome, name = find_best(folder.states(), options.metric or folder.read()["metric"])
    run = point.experiment.folder().path
    alone = dataclasses.replace(point.experiment, results="Results", run_name=None)
    if point.seconds is not None:  # these ended it, not max_step, to which falling rates fall all the same
        stops = tuple(step for step in alone.score_steps if step <= outcome.step)
        alone = dataclasses.replace(alone, max_step=outcome.step, score_steps=stops, lr_steps=alone.aids().lr_steps)
    print(f"{name} {outcome.value(name):.4g}: {shown(point.values) or point.run}, after {outcome.step:,} steps")
    print(f"Run:          {run}")
    print(f"Report:       {command('report', run)}")
    print(f"Train it on:  {command('train', run, '--max_step', 2 * outcome.step)}")
    print(f"Again, apart: {command('train', *changed_flags(alone))}")
    return 0


READERS = {"status": status, "table": table, "best": best}


def _opened(preset: Options, function: Callable[..., Any], argv: Sequence[str]) -> tuple[SweepFolder, Options]:
    """The sweep that a command line names, and its flags."""
    usage = flags.usage(f"sweep {function.__name__} NAME|FOLDER|FILE.py [--flag=value ...]", function)
    parsed = flags.parse(preset, argv, usage=usage, arguments=("NAME",))
    return find_folder(parsed.arguments[0], parsed.options.results), parsed.options


def _write(path: str, text: str) -> None:
    with write_errors(f"csv: {path}"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text, encoding="utf-8")
    print(f"\nwritten: {path}")
