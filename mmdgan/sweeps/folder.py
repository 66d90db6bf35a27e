"""A sweep's folder, `<results>/sweeps/<name>/`: which runs there are, and what came of each.

sweep.json      the base experiment and the points
outcomes/       one JSON file per run that has ended: finished, diverged, failed or interrupted
logs/           output of each run
<data>/<run>/   the run directories, which `report`, `compare`, `evaluate` and `train` take like any other
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmdgan.core.errors import ConfigError, write_errors
from mmdgan.core.files import write_json
from mmdgan.core.lock import is_locked
from mmdgan.core.options import fields_with, replace_from_text
from mmdgan.core.text import format_value
from mmdgan.runs.experiment import IDENTITY, Experiment
from mmdgan.training import signals

FINISHED, DIVERGED, STOPPED = "finished", "diverged", "stopped"
FAILED, INTERRUPTED = "failed", "interrupted"
RUNNING, WAITING = "running", "waiting"
STATES = (FINISHED, DIVERGED, STOPPED, FAILED, INTERRUPTED, RUNNING, WAITING)
_FORMAT = 1


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


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        run: Name of the run.
        status: "finished", "diverged", "stopped" (early, by a scheduler), "failed" or "interrupted"; of runs without a
            record "running" or "waiting".
        step: Steps done; of a diverged run the step at which that was seen.
        scores: Scores of the last round, each a dictionary with "metric", "value", "spread".
        seconds: Wall-clock time of all attempts.
        processor_seconds: Processor time of all attempts.
        training_seconds: The part of it up to the last step of training; kept of runs with a budget alone.
        error: Why it diverged or failed.
        threads: Threads of TensorFlow.
        engine: What started it.
        attempt: How many times it has been started.
        transient: Whether another try of a failed run may help, because it was not a mistake of the user.
    """

    run: str
    status: str
    step: int = 0
    scores: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0
    processor_seconds: float = 0.0
    training_seconds: float = 0.0
    error: str = ""
    threads: int = 0
    engine: str = ""
    attempt: int = 0
    transient: bool = False

    @property
    def is_result(self) -> bool:
        """Whether the run has a result: it is not repeated."""
        return self.status in (FINISHED, DIVERGED, STOPPED)

    def value(self, metric: str) -> float | None:
        """The score of this name, if there is one."""
        return next((score["value"] for score in self.scores if score["metric"] == metric), None)


def sweep_folder(name: str, results: str) -> Path:
    """The folder of a sweep's runs and outcomes."""
    return Path(results) / "sweeps" / name


@dataclass(frozen=True)
class SweepFolder:
    """The files of one sweep."""

    path: Path

    def log(self, run: str) -> Path:
        """The file of a run's output."""
        return self.path / "logs" / f"{run}.log"

    def read(self) -> dict[str, Any]:
        """The contents of sweep.json.

        Raises:
            ConfigError: It is damaged, or of another version.
        """
        file = self.path / "sweep.json"
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
            if held["format"] != _FORMAT:
                raise ValueError(f"format {held['format']}")
            return held
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{file} is no sweep of this version ({error}); move it aside to begin again.") from None

    def points(self) -> list[Point]:
        """The runs, in order, with what sweep.json says of them."""
        held = self.read()
        base, found = _restored(held["base"]), []
        for point in held["points"]:
            experiment = dataclasses.replace(base, **point["values"], results=str(self.path), run_name=point["run"])
            values = {name: getattr(experiment, name) for name in point["values"]}
            found.append(Point(point["run"], values, experiment, point["networks"], point.get("seconds")))
        return found

    def begin(self, name: str, metric: str, base: Experiment, points: Sequence[Point]) -> list[Point]:
        """Makes the folder, or adds points to the sweep that is in it.

        Args:
            name: Name of the sweep.
            metric: Its metric.
            base: Its base experiment.
            points: Its runs, of `expand` or `named`.

        Returns:
            The points, under the names of the runs that are already there. Runs of earlier points that the sweep no
            longer has stay where they are.

        Raises:
            ConfigError: The base is another one, except for fields that every point sets; the networks have changed; or
                a run of that name has other settings.
        """
        base = normalised(base)  # as the points are
        before = self.points() if (self.path / "sweep.json").is_file() else []
        if before:
            self._check_base(base, [*before, *points])
        known = {json.dumps(identity(point.experiment)): point for point in before}
        renamed = [_as_before(point, known.get(json.dumps(identity(point.experiment)))) for point in points]
        by_name = {point.run: point for point in before}
        for point in renamed:
            if point.run in by_name:
                self._check_same(point, by_name[point.run])
        merged = {point.run: point for point in [*before, *renamed]}
        held = {
            "format": _FORMAT,
            "name": name,
            "metric": metric,
            "base": dataclasses.asdict(base),
            "points": [_held(point) for point in merged.values()],
        }
        with write_errors(f"the sweep's folder {self.path}", "give another --results"):
            self.path.mkdir(parents=True, exist_ok=True)
            for part in ("outcomes", "logs"):
                (self.path / part).mkdir(exist_ok=True)
            write_json(self.path / "sweep.json", held)
        return renamed

    def _check_base(self, base: Experiment, points: Iterable[Point]) -> None:
        old, new = identity(_restored(self.read()["base"])), identity(base)
        varied = set.intersection(*({*point.values} for point in points))
        differing = [
            f"{name} ({json.dumps(old.get(name))} there, {json.dumps(value)} now)"
            for name, value in new.items()
            if name not in varied and old.get(name) != value
        ]
        if differing:
            raise ConfigError(
                f"{self.path} holds a sweep of another base: {'; '.join(differing)}. Give the sweep another name, or "
                "another --results; points may be added, what all runs share may not change."
            )

    def _check_same(self, point: Point, before: Point) -> None:
        """Refuses a point with the name of a run that has other settings than those that may change on resuming."""
        old, new = (dataclasses.asdict(one.experiment.resolved()) for one in (before, point))
        differing = [f"{n} ({old[n]} there, {new[n]} now)" for n in IDENTITY if old[n] != new[n]]
        if before.networks != point.networks:
            differing.insert(0, f"networks ({old['architecture']} there, {new['architecture']} now)")
        if differing:
            raise ConfigError(
                f"{self.path} holds {point.run} with other settings: {'; '.join(differing)}. Give another folder, or "
                "move that one aside."
            )

    def outcome(self, run: str) -> Outcome | None:
        """The record of a run that has ended, or None."""
        file = self.path / "outcomes" / f"{run}.json"
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            held = json.loads(file.read_text(encoding="utf-8"))
            return Outcome(**{**held, "scores": tuple(held["scores"])})
        return None

    def next_attempt(self, run: str) -> int:
        """The number of a run's next start, from 1."""
        before = self.outcome(run)
        return 1 if before is None else before.attempt + 1

    def write(self, outcome: Outcome) -> None:
        """Writes the record of a run, so that a reader or a crash never sees half of it."""
        file = self.path / "outcomes" / f"{outcome.run}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, dataclasses.asdict(outcome))

    def is_done(self, point: Point) -> bool:
        """Whether a run has its result: it diverged, was stopped, or has had all its steps or its processor time."""
        known = self.outcome(point.run)
        if known is None or not known.is_result:
            return False
        enough = point.seconds is not None and known.training_seconds >= point.seconds
        return known.status != FINISHED or enough or known.step >= point.experiment.max_step

    def state(self, point: Point) -> Outcome:
        """What is known of a run now, with or without a record."""
        folder = point.experiment.folder().path
        if is_locked(folder):
            return Outcome(point.run, RUNNING)
        known = self.outcome(point.run)
        if known is not None:
            return known
        return Outcome(point.run, INTERRUPTED if (folder / "config.json").is_file() else WAITING)

    def states(self, points: Sequence[Point] | None = None) -> list[tuple[Point, Outcome]]:
        """All runs and what is known of them, in order."""
        return [(point, self.state(point)) for point in (self.points() if points is None else points)]


def normalised(base: Experiment) -> Experiment:
    """An experiment with each value as its flag would give it: 1.0 for 1 where a number is wanted, None for "none"."""
    if not isinstance(base.architecture, str):
        raise ConfigError("architecture is a dictionary; a sweep takes the name of a preset, or FILE.py:NAME.")
    return replace_from_text(base, {name: format_value(value) for name, value in vars(base).items()})


def identity(experiment: Experiment) -> dict[str, Any]:
    """What makes two runs of a sweep the same run, as JSON holds it: all fields but places and those of one call."""
    held = json.loads(json.dumps(dataclasses.asdict(experiment)))
    return {name: held[name] for name in fields_with(Experiment, scope="run")}


def counts(outcomes: Iterable[Outcome]) -> str:
    """How many runs are in which state: "3 finished, 1 diverged, 4 waiting"."""
    states = [outcome.status for outcome in outcomes]
    return ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)


def _held(point: Point) -> dict[str, Any]:
    """What sweep.json holds of a point."""
    limit = {} if point.seconds is None else {"seconds": point.seconds}
    return {"run": point.run, "values": point.values, "networks": point.networks, **limit}


def _as_before(point: Point, before: Point | None) -> Point:
    """A point under the name of the run that is there already."""
    if before is None:
        return point
    if before.networks != point.networks:
        raise ConfigError(
            f"the networks of {point.experiment.architecture} are not those with which {before.run} was begun; give "
            "the sweep another name."
        )
    return point._replace(run=before.run, experiment=dataclasses.replace(point.experiment, run_name=before.run))


def _restored(held: Mapping[str, Any]) -> Experiment:
    if unknown := sorted(set(held) - set(fields_with(Experiment))):
        raise ConfigError(f"sweep.json has fields of another version: {', '.join(unknown)}.")
    return Experiment(**held)


class SweepInterrupted(signals.Interrupted):
    """A sweep stopped by a signal; the runs under way have saved their checkpoints."""

    def __init__(self, number: int, folder: SweepFolder, points: Sequence[Point]) -> None:
        super().__init__(0, number)
        done = sum(map(folder.is_done, points))
        self.args = (f"the sweep was interrupted after {done} of {len(points)} runs; those under way are saved",)
