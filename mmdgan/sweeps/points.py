"""The runs of a sweep: each with its experiment, checked before anything starts, and a name that tells its fields."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmdgan.core.errors import ConfigError, MmdGanError
from mmdgan.core.options import fields_with, replace_from_text
from mmdgan.core.text import format_value, nearest
from mmdgan.design.files import load_architecture
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps.spec import Sweep

_OWN = frozenset(("results", "run_name", *fields_with(Experiment, scope="call"))) - {"devices"}
"""Fields that the sweep sets itself."""

_LONGEST_NAME = 180


class Point(NamedTuple):
    """One run of a sweep.

    Attributes:
        run: Name of the run and of its directory.
        values: The fields in which it differs from the base.
        experiment: All fields, with `results` and `run_name` set.
        networks: Digest of the dictionaries of its networks.
        seconds: Processor time for its training; None: `max_step` alone ends it.
    """

    run: str
    values: dict[str, Any]
    experiment: Experiment
    networks: str
    seconds: float | None = None


def sweep_folder(name: str, results: str) -> Path:
    """The folder of a sweep's runs and outcomes."""
    return Path(results) / "sweeps" / name


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
    base = dataclasses.replace(sweep.base, data_root=data_root or sweep.base.data_root)
    folder = sweep_folder(sweep.name, results or base.results)
    if fixed := [n for n in ("run_name", "restart", "workers") if getattr(base, n) != getattr(Experiment(), n)]:
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
    points = []
    for run, experiment in experiments.items():
        given = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
        default = Experiment()
        values = {n: value for n, value in given.items() if n not in _OWN and value != getattr(default, n)}
        limit = seconds[run] if isinstance(seconds, Mapping) else seconds
        points.append(_point(run, run, values, experiment, folder, limit, load))
    return points


def run_name(values: Mapping[str, Any]) -> str:
    """A folder's name that tells the fields of a point: "rep_lambda=-1,lr_dis=0.0001"."""
    parts = [f"{name}={re.sub(r'[^A-Za-z0-9.+-]+', '_', format_value(_plain(v)))}" for name, v in values.items()]
    name = ",".join(parts) or "base"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 9]}-{_digest(dict(values))[:8]}"


def shown(values: Mapping[str, Any]) -> str:
    """A point in a message: "rep_lambda=-1, lr_dis=0.0001"."""
    return ", ".join(f"{name}={format_value(_plain(value))}" for name, value in values.items())


def identity(experiment: Experiment) -> dict[str, Any]:
    """What makes two runs of a sweep the same run, as JSON holds it: all fields but places and those of one call."""
    held = json.loads(json.dumps(dataclasses.asdict(experiment)))
    return {name: held[name] for name in fields_with(Experiment, scope="run")}


def _point(
    where: str,
    run: str,
    values: dict[str, Any],
    experiment: Experiment,
    folder: Path,
    seconds: float | None,
    load: Callable[[str], dict[str, Any]],
) -> Point:
    experiment = dataclasses.replace(experiment, results=str(folder), run_name=run)
    try:
        digest = _digest(experiment.plan(load).architecture)
    except MmdGanError as error:
        raise ConfigError(f"{where}: {error}") from error
    return Point(run, values, experiment, digest, seconds)


def _changed(where: str, base: Experiment, values: Mapping[str, Any]) -> Experiment:
    """The base with some fields changed, each as its flag would: 1 becomes 1.0 where a number is wanted."""
    known = [field.name for field in dataclasses.fields(Experiment)]
    for name in values:
        if name not in known:
            raise ConfigError(f"{where}: an experiment has no field {name!r}{nearest(str(name), known)}.")
        if name in _OWN:
            raise ConfigError(f"{where}: {name} cannot vary within a sweep; leave it out.")
    try:
        return replace_from_text(base, {name: format_value(_plain(value)) for name, value in values.items()})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _plain(value: Any) -> Any:
    """Lists as tuples, which flags take."""
    return tuple(_plain(part) for part in value) if isinstance(value, list | tuple) else value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
