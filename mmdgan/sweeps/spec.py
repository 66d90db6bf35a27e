"""What a sweep is: a base experiment, and the values that its fields take from run to run.

    SWEEP = Sweep(
        name="figure3",
        base=Experiment(data="cifar10", max_step=100_000),
        zip={"loss": ["rep", "rep_b"], "cross_bound": [False, True]},       in pairs: 2 combinations
        grid={"rep_lambda": [-1, 0, 1], "lr_dis": [1e-4, 1e-3]},            each with each: 6 combinations
    )

`points` (a list of dictionaries), `zip`, `grid` and the `trials` drawn from `space` are multiplied; the first varies
slowest. The same file gives the same runs in the same order, with either engine.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import math
import os
import random
import re
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdgan.core.errors import ConfigError, MmdGanError
from mmdgan.core.options import defaults, fields_with, plain, replace_from_text
from mmdgan.core.text import format_value, nearest
from mmdgan.design.files import load_architecture
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps.folder import Point, SweepFolder, normalised, sweep_folder

DIGITS = 4
"""Significant digits of a drawn number, so that a run's name tells all of it."""


@dataclass(frozen=True)
class Distribution:
    """The distribution that values of a field are drawn from; made by `uniform`, `loguniform`, `integers` or `choice`.

    Attributes:
        kind: Name of the function that made it.
        options: Arguments of that function.
    """

    kind: str
    options: tuple[Any, ...]

    def draw(self, numbers: random.Random) -> Any:
        """The next value, from one number of a seeded stream."""
        toss = numbers.random()
        if self.kind == "choice":
            return self.options[int(toss * len(self.options))]
        low, high = self.options
        if self.kind == "integers":
            return low + int(toss * (high - low + 1))
        if self.kind == "loguniform":
            return _rounded(math.exp(math.log(low) + toss * (math.log(high) - math.log(low))))
        return _rounded(low + toss * (high - low))


def uniform(low: float, high: float) -> Distribution:
    """Any number from `low` to `high`, to four significant digits."""
    _check_range("uniform", low, high)
    return Distribution("uniform", (float(low), float(high)))


def loguniform(low: float, high: float) -> Distribution:
    """A number whose logarithm is uniform: as many from 1e-4 to 1e-3 as from 1e-3 to 1e-2."""
    if low <= 0:
        raise ConfigError(f"loguniform({low}, {high}): numbers with a logarithm are positive; give a larger low end.")
    _check_range("loguniform", low, high)
    return Distribution("loguniform", (float(low), float(high)))


def integers(low: int, high: int) -> Distribution:
    """A whole number from `low` to `high`, both included."""
    _check_range("integers", low, high)
    return Distribution("integers", (int(low), int(high)))


def choice(*values: Any) -> Distribution:
    """One of some values."""
    if not values:
        raise ConfigError("choice() has nothing to choose from; give it values.")
    return Distribution("choice", values)


@dataclass(frozen=True)
class Sweep:
    """Many runs of one experiment.

    Attributes:
        name: Name of the sweep's folder, `<results>/sweeps/<name>`.
        base: What all runs share.
        grid: Field -> its values; all combinations.
        zip: Field -> its values, equally many of each field; taken in pairs.
        points: Combinations in full, each field -> value.
        space: Field -> distribution.
        trials: How many points to draw from `space`.
        seed: Seed of the draws.
        metric: The score that `table` and `best` show: a metric such as "fid", or a score's name.
        seconds: Processor time for the training of each run, which ends when it is used up; samples and scores are made
            of the step that it has reached, and are not part of it. None: training ends at `max_step` alone.
    """

    name: str
    base: Experiment = field(default_factory=Experiment)
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    zip: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    points: Sequence[Mapping[str, Any]] = ()
    space: Mapping[str, Distribution] = field(default_factory=dict)
    trials: int = 0
    seed: int = 0
    metric: str = "fid"
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Checks the form; `expand` checks the points."""
        if not re.fullmatch(r"[\w.+-]+", self.name) or self.name.startswith("."):
            raise ConfigError(
                f"sweep: name is {self.name!r}; give letters, digits and - _ + . alone: it names a folder."
            )
        if not isinstance(self.base, Experiment):
            raise ConfigError(f"sweep {self.name}: base is {self.base!r}; give an Experiment(...).")
        for part, values in (*self.grid.items(), *self.zip.items()):
            if isinstance(values, str | Distribution) or not isinstance(values, Sequence) or not values:
                raise ConfigError(f"sweep {self.name}: {part} has the values {values!r}; give a list of at least one.")
        if len({len(values) for values in self.zip.values()}) > 1:
            counts = ", ".join(f"{len(values)} of {name}" for name, values in self.zip.items())
            raise ConfigError(f"sweep {self.name}: zip pairs values side by side, but has {counts}; give equally many.")
        for part, distribution in self.space.items():
            if not isinstance(distribution, Distribution):
                raise ConfigError(
                    f"sweep {self.name}: space has {part} = {distribution!r}; give loguniform(low, high), uniform, "
                    "integers or choice, and lists of values to grid."
                )
        if bool(self.space) != (self.trials > 0):
            raise ConfigError(
                f"sweep {self.name}: trials is {self.trials} and space has {len(self.space)} fields; trials says how "
                "many points to draw from the space."
            )
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise ConfigError(f"sweep {self.name}: seconds is {self.seconds}; give a positive number, or None.")
        self._check_twice()

    def _check_twice(self) -> None:
        listed = dict.fromkeys(name for point in self.points for name in point)
        names = [name for part in (listed, self.zip, self.grid, self.space) for name in part]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(
                f"sweep {self.name}: {', '.join(twice)} stands in two of points, zip, grid and space; leave it in one."
            )

    def values(self) -> Iterator[dict[str, Any]]:
        """The fields of each run that differ from `base`, in order."""
        listed = self.points or [{}]
        zipped = [dict(zip(self.zip, row, strict=True)) for row in zip(*self.zip.values(), strict=True)] or [{}]
        grid = [dict(zip(self.grid, row, strict=True)) for row in itertools.product(*self.grid.values())]
        for parts in itertools.product(listed, zipped, grid, self._drawn()):
            yield {name: value for part in parts for name, value in part.items()}

    def _drawn(self) -> list[dict[str, Any]]:
        """The points of the search space; a longer search begins with those of a shorter one."""
        numbers = random.Random(self.seed)
        draws = [{name: source.draw(numbers) for name, source in self.space.items()} for _ in range(self.trials)]
        return draws or [{}]


def load(path: str | os.PathLike) -> Sweep:
    """The sweep that a Python file calls SWEEP.

    Raises:
        ConfigError: No such file, an error in it, or no SWEEP.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"there is no file {path}; a sweep is a Python file that says SWEEP = Sweep(...).")
    search_path = list(sys.path)
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        names = runpy.run_path(str(path), run_name="sweep")
    except MmdGanError as error:
        raise ConfigError(f"{path}: {error}") from error
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f" in line {lines[-1]}" if lines else ""
        raise ConfigError(f"the sweep {path} fails{where} with {type(error).__name__}: {error}.") from error
    finally:
        sys.path[:] = search_path
    found = names.get("SWEEP")
    if not isinstance(found, Sweep):
        what = "has no SWEEP" if found is None else f"has a SWEEP that is {type(found).__name__}"
        raise ConfigError(f"{path} {what}; it must say SWEEP = Sweep(...), with Sweep from mmdgan.sweeps.")
    return found


def find_folder(word: str, results: str = "Results") -> SweepFolder:
    """The folder that a word of the command line means: itself, a sweep's name, or a sweep's Python file.

    Raises:
        ConfigError: There is no such sweep; the existing ones are named.
    """
    path = Path(word)
    if word.endswith(".py"):
        sweep = load(word)
        path = sweep_folder(sweep.name, results if results != "Results" else sweep.base.results)
    elif not (path / "sweep.json").is_file() and (sweep_folder(word, results) / "sweep.json").is_file():
        path = sweep_folder(word, results)
    if (path / "sweep.json").is_file():
        return SweepFolder(path)
    there = sorted(file.parent.name for file in sweep_folder("*", results).parent.glob("*/sweep.json"))
    known = f"in {sweep_folder('', results)} there are {', '.join(there)}" if there else "none has been started"
    raise ConfigError(f"there is no sweep {word}: {known}; give its name, its folder, or --results.")


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _check_range(kind: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{kind}({low}, {high}): give two finite numbers, the smaller one first.")


_OWN = frozenset(("results", "run_name", "run_dir", *fields_with(Experiment, scope="call"))) - {"devices"}
"""Fields that the sweep sets itself."""

_LONGEST_NAME = 180


def expand(sweep: Sweep, results: str | None = None, data_root: str | None = None) -> list[Point]:
    """All runs of a sweep, checked.

    Args:
        sweep: What to run.
        results: Replaces the base's `results`.
        data_root: Replaces the base's `data_root`.

    Raises:
        ConfigError: A field that does not exist or cannot vary, a value that is not valid, the same run twice; it names
            the point and the field.
    """
    try:
        base = normalised(dataclasses.replace(sweep.base, data_root=data_root or sweep.base.data_root))
    except ConfigError as error:
        raise ConfigError(f"sweep {sweep.name}, base: {error}") from error
    folder = sweep_folder(sweep.name, results or base.results)
    default = defaults(Experiment)
    if fixed := [n for n in ("run_name", "run_dir", "restart", "workers") if getattr(base, n) != default[n]]:
        raise ConfigError(f"sweep {sweep.name}: base sets {', '.join(fixed)}, which a sweep does itself; leave it out.")
    load = functools.cache(load_architecture)
    points: dict[str, Point] = {}
    for number, values in enumerate(sweep.values(), 1):
        where = f"sweep {sweep.name}, point {number} ({shown(values) or 'the base'})"
        experiment = _changed(where, base, values)
        values = {name: getattr(experiment, name) for name in values}
        run = run_name(values)
        if run in points:
            raise ConfigError(f"{where}: this run comes twice; leave one out.")
        points[run] = _point(where, run, values, experiment, folder, sweep.seconds, load)
    return list(points.values())


def named(
    experiments: Mapping[str, Experiment], folder: Path, seconds: float | Mapping[str, float] | None = None
) -> list[Point]:
    """Runs of experiments that need not have anything in common, under names of their own.

    Args:
        experiments: Name of each run -> its experiment.
        folder: The sweep's.
        seconds: Processor time for the training of each, or of each by its name.

    Raises:
        ConfigError: A value that is not valid; it names the run and the field.
    """
    load = functools.cache(load_architecture)
    default, points = defaults(Experiment), []
    for run, experiment in experiments.items():
        values = {n: value for n, value in vars(experiment).items() if n not in _OWN and value != default[n]}
        limit = seconds[run] if isinstance(seconds, Mapping) else seconds
        points.append(_point(run, run, values, experiment, folder, limit, load))
    return points


def run_name(values: Mapping[str, Any]) -> str:
    """A folder's name that tells the fields of a point: "rep_lambda=-1,lr_dis=0.0001"."""
    parts = [f"{name}={re.sub(r'[^A-Za-z0-9.+-]+', '_', format_value(plain(v)))}" for name, v in values.items()]
    name = ",".join(parts) or "base"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 9]}-{_digest(dict(values))[:8]}"


def shown(values: Mapping[str, Any]) -> str:
    """A point in a message: "rep_lambda=-1, lr_dis=0.0001"."""
    return ", ".join(f"{name}={format_value(plain(value))}" for name, value in values.items())


def _point(
    where: str,
    run: str,
    values: dict[str, Any],
    experiment: Experiment,
    folder: Path,
    seconds: float | None,
    load: Callable[[str], dict[str, Any]],
) -> Point:
    experiment = dataclasses.replace(experiment, results=str(folder), run_name=run, run_dir=None)
    try:
        digest = _digest(experiment.plan(load).architecture)
    except MmdGanError as error:
        raise ConfigError(f"{where}: {error}") from error
    return Point(run, values, experiment, digest, seconds)


def _changed(where: str, base: Experiment, values: Mapping[str, Any]) -> Experiment:
    """The base with some fields changed, each as its flag would: 1 becomes 1.0 where a number is wanted."""
    known = fields_with(Experiment)
    for name in values:
        if name not in known:
            raise ConfigError(f"{where}: an experiment has no field {name!r}{nearest(str(name), known)}.")
        if name in _OWN:
            raise ConfigError(f"{where}: {name} cannot vary within a sweep; leave it out.")
    try:
        return replace_from_text(base, {name: format_value(plain(value)) for name, value in values.items()})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
