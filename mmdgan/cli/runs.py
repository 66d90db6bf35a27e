"""The verb `runs`: a table of runs, and the removal of what is not needed."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option, option_like
from mmdgan.core.text import age, command, readable_bytes, table, terminal_columns
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RUNNING, RunFolder, find_runs, newest_runs

SWITCHES = {
    "clean": "remove, after asking, runs that --restart moved aside, and cached features of images",
    "yes": "with --clean, do not ask",
}

_HEADER = ("run", "loss", "step", "best score", "state", "size", "age")


@dataclass(frozen=True)
class RunsOptions:
    """The flags of `runs`."""

    results: str = option("Results", "folder of the runs")
    data_root: str | None = option_like(
        Experiment, "data_root", "options", help="with --clean, folder of the data sets"
    )


class _Removable(NamedTuple):
    path: Path
    what: str
    bytes: int


def runs(argv: Sequence[str]) -> int:
    """List the runs below a folder, the newest first: loss, step of max_step, best score, state, size, age.

    States: running; finished; diverged; stopped (train RUN goes on).
    """
    parsed = flags.parse(RunsOptions(), argv, usage=flags.usage("runs [--flag=value ...]", runs), switches=SWITCHES)
    options: RunsOptions = parsed.options
    if "clean" in parsed.switches:
        return _clean(options, "yes" in parsed.switches)
    found = newest_runs(options.results, say=print)
    if not found:
        raise ConfigError(
            f"there is no run in {options.results}; `{command('train')}` makes one, --results looks elsewhere."
        )
    rows = [_row(run) for run in found]
    text = table([_HEADER, *rows], left=(0, 1, 3, 4), rule=True)
    if sys.stdout.isatty() and len(text.splitlines()[1]) >= terminal_columns(sys.stdout):
        text = "\n".join(f"{row[0]}\n  {', '.join(cell for cell in row[1:] if cell != '-')} ago" for row in rows)
    print(text)
    return 0


def _row(run: RunFolder) -> tuple[str, ...]:
    experiment, best = run.read_config()["experiment"], run.best_score()
    return (
        str(run.path),
        str(experiment.get("loss")),
        f"{max(run.steps(), default=0):,}/{experiment.get('max_step', 0):,}",
        "-" if best is None else f"{best.metric} {best.value:.4g}",
        run.state(),
        readable_bytes(_size(run.path)),
        age(time.time() - run.written()),
    )


def _size(folder: Path) -> int:
    return sum((Path(place) / name).lstat().st_size for place, _, names in os.walk(folder) for name in names)


def _clean(options: RunsOptions, sure: bool) -> int:
    """Removes what training makes again or has replaced; the answer of a user is asked for."""
    found = _removable(options)
    if not found:
        print(f"Nothing to remove: no run in {options.results} was moved aside, and no features are cached.")
        return 0
    print(table([(str(path), what, readable_bytes(size)) for path, what, size in found], left=(0, 1)))
    total = readable_bytes(sum(part.bytes for part in found))
    if not sure:
        if not sys.stdin.isatty():
            raise ConfigError(f"--clean would remove these {total}, and there is no terminal to ask at; add --yes.")
        if input(f"Remove these {total}? [y/N] ").strip().lower() not in ("y", "yes"):
            print("Nothing was removed.")
            return 0
    for part in found:
        try:
            shutil.rmtree(part.path)
        except OSError as error:
            raise ConfigError(f"{part.path} cannot be removed ({error.strerror or error}).") from error
    print(f"Removed {total}.")
    return 0


def _removable(options: RunsOptions) -> list[_Removable]:
    """Runs moved aside whose successor is there, and, while nothing is running, cached features."""
    from mmdgan.metrics.features.cache import cache_folder, entries

    there = list(find_runs(options.results))
    found = []
    for run in there:
        former = re.fullmatch(r"(.+)-old-\d+", run.path.name)
        replaced = former and RunFolder(run.path.with_name(former[1])).config_file.is_file()
        if replaced and not run.path.is_symlink() and run.state() != RUNNING:
            found.append(_Removable(run.path, "moved aside by --restart", _size(run.path)))
    cache = cache_folder(options.data_root or "Data")
    if cache is not None and not any(run.state() == RUNNING for run in there):
        found += [_Removable(path, "cached features", size) for _, size, path in entries(cache)]
    return found
