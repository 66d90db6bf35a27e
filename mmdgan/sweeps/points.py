"""The runs of a sweep: each with its experiment, checked before anything starts, and a name that tells its fields."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmdgan.core.errors import ConfigError, MmdGanError
from mmdgan.core.options import fields_with, replace_from_text
from mmdgan.core.text import format_value, nearest
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps.spec import Sweep

PLACES = frozenset(name for scope in ("place", "machine", "call") for name in fields_with(Experiment, scope=scope))
"""Fields that say where things are and how to begin: the same run on another machine may have others."""

_FIXED = frozenset(("results", "run_name", *fields_with(Experiment, scope="call"))) - {"devices"}
_LONGEST_NAME = 180


class Point(NamedTuple):
    """One run of a sweep.

    Attributes:
      run: its name, which is its directory's.
      values: the fields in which it differs from the base.
      experiment: all of it, with `results` and `run_name` set.
      networks: a digest of the dictionaries of its networks.
    """

    run: str
    values: dict[str, Any]
    experiment: Experiment
    networks: str


def sweep_folder(name: str, results: str) -> Path:
    """Where the runs of a sweep and what came of them are."""
    return Path(results) / "sweeps" / name


def expand(sweep: Sweep, results: str | None = None, data_root: str | None = None) -> list[Point]:
    """All runs of a sweep, checked.

    Args:
      sweep: what to run.
      results, data_root: instead of the base's.

    Raises:
      ConfigError: a field that does not exist or cannot vary, a value that is not valid, the same run twice; it names
        the point and the field.
    """
    base = dataclasses.replace(sweep.base, data_root=data_root or sweep.base.data_root)
    folder = sweep_folder(sweep.name, results or base.results)
    if fixed := [n for n in ("run_name", "restart", "workers") if getattr(base, n) != getattr(Experiment(), n)]:
        raise ConfigError(f"sweep {sweep.name}: base sets {', '.join(fixed)}, which a sweep does itself; leave it out.")
    points: dict[str, Point] = {}
    for number, values in enumerate(sweep.values(), 1):
        where = f"sweep {sweep.name}, point {number} ({shown(values) or 'the base'})"
        experiment = _experiment(where, base, values)
        values = {name: getattr(experiment, name) for name in values}
        run = run_name(values)
        experiment = dataclasses.replace(experiment, results=str(folder), run_name=run)
        try:
            experiment.resolved()
            digest = _digest(experiment.networks()[0])
        except MmdGanError as error:
            raise ConfigError(f"{where}: {error}") from error
        if run in points:
            raise ConfigError(f"{where}: this run comes twice; leave one out.")
        points[run] = Point(run, values, experiment, digest)
    return list(points.values())


def run_name(values: Mapping[str, Any]) -> str:
    """A folder's name that tells the fields of a point: "rep_lambda=-1,lr_dis=0.0001"."""
    parts = [f"{name}={re.sub(r'[^A-Za-z0-9.+-]+', '_', format_value(_plain(v)))}" for name, v in values.items()]
    name = ",".join(parts) or "base"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 9]}-{_digest(dict(values))[:8]}"


def shown(values: Mapping[str, Any]) -> str:
    """A point as a person reads it: "rep_lambda=-1, lr_dis=0.0001"."""
    return ", ".join(f"{name}={format_value(_plain(value))}" for name, value in values.items())


def identity(experiment: Experiment) -> dict[str, Any]:
    """What makes two runs the same run: all fields but those that say where things are; JSON-able."""
    held = dataclasses.asdict(experiment)
    return json.loads(json.dumps({name: value for name, value in held.items() if name not in PLACES}))


def _experiment(where: str, base: Experiment, values: Mapping[str, Any]) -> Experiment:
    """The base with some fields changed, each as its flag would: 1 becomes 1.0 where a number is wanted."""
    known = [field.name for field in dataclasses.fields(Experiment)]
    for name in values:
        if name not in known:
            raise ConfigError(f"{where}: an experiment has no field {name!r}{nearest(str(name), known)}.")
        if name in _FIXED:
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
