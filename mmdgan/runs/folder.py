"""A run's directory, `<results>/<data>/<run name>/`.

config.json     the configuration, the architecture as dictionaries, the versions of the libraries
checkpoints/    the newest, the best by a score, and with --keep_rounds each round's
logs/           TensorBoard                   samples/        a grid of pictures per round
metrics.jsonl   one line per score (mmdgan.runs.scores)
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import CheckpointError, ConfigError, DataError
from mmdgan.core.files import read_text, write_json
from mmdgan.core.lock import FILE as LOCK, is_locked
from mmdgan.core.progress import Say, log
from mmdgan.core.text import nearest
from mmdgan.data import catalog
from mmdgan.runs.scores import JUDGES, Best, append_scores, best_of, newest, read_scores, retire_scores
from mmdgan.training import checkpoints, divergence

if TYPE_CHECKING:
    import keras

    from mmdgan.training.event_files import Curves


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The paths of one run's directory, and its configuration and score files."""

    path: Path

    @classmethod
    def open(cls, path: str | os.PathLike) -> RunFolder:
        """An existing run's directory.

        Raises:
            ConfigError: The directory holds no config.json; the runs below it, or of its name in Results, are named.
        """
        folder = cls(Path(path))
        if folder.path.name in ("", ".."):  # such as ".", which has no name of its own
            folder = cls(folder.path.resolve())
        if folder.config_file.is_file():
            return folder
        meant = sorted(str(file.parent) for file in folder.path.glob("*/**/config.json"))
        if not folder.path.exists():
            meant = [str(run.path) for run in find_runs("Results") if run.path.name == folder.path.name]
        hint = f"did you mean {' or '.join(meant[:5])}?" if meant else "a run directory is what `train` printed."
        what = "holds no config.json" if folder.path.is_dir() else "does not exist"
        raise ConfigError(f"{folder.path} is no run directory, it {what}; {hint}")

    def base(self, results: str, data: str) -> Path:
        """The folder that relative paths of config.json start from, by its fields `results` and `data`.

        Returns:
            The folder above `results`, where the run is in RESULTS/<data>/; else the current folder.
        """
        tail = folder_of(results, data, "").parts
        for above in (Path(os.path.abspath(self.path)).parent, self.path.resolve().parent):
            if not os.path.isabs(results) and above.parts[-len(tail) :] == tail:
                return Path(*above.parts[: -len(tail)])
        return Path.cwd()

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def outputs(self) -> Path:
        """Where commands write pictures and exports that were not given another place."""
        return self.path

    @property
    def tensorboard(self) -> str:
        """The command that shows this run in TensorBoard, for a shell."""
        return shlex.join(["tensorboard", "--logdir", str(self.path)])

    def grid_file(self, step: int) -> Path:
        """The grid of pictures made after a step."""
        return self.outputs / "samples" / f"{step}.png"

    def read_config(self) -> dict[str, Any]:
        """The contents of config.json; ConfigError if it is damaged."""
        try:
            config = json.loads(read_text(self.config_file))
            if not {"experiment", "architecture"} <= set(config):
                raise ValueError("experiment or architecture is missing")
        except ValueError as error:
            raise ConfigError(
                f"{self.config_file} is no run's configuration ({error}); restore it, or train from "
                "scratch with --restart."
            ) from None
        return config

    def public_config(self) -> dict[str, Any]:
        """`read_config`, to be given away: without this machine's folders."""
        config = self.read_config()
        config["experiment"] |= {"results": "Results", "data_root": "Data"}
        if "data" in config:  # an imported run has none before it trains
            config["data"]["source"] = re.sub(r"/.*/", "", config["data"]["source"])
        return config

    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of a conditional run; empty where they have none or the data set is not at hand."""
        experiment = self.read_config()["experiment"]
        base = self.base(experiment.get("results", "Results"), experiment["data"])
        try:
            names = catalog.info(experiment["data"], base / experiment.get("data_root", "Data")).class_names
        except DataError:
            return ()
        return names if len(names) == experiment.get("num_class", 0) else ()

    def check(self, config: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        """Checks that the run in this directory, if there is one, can be resumed with a configuration.

        Args:
            config: What config.json would hold, with the keys "experiment", "architecture" and, once the data are
                open, "data".
            identity: The fields of "experiment" that both must share, with the values of runs made before there was
                such a field; the architecture must be the same too.

        Raises:
            ConfigError: They differ; the fields are named.
        """
        if not self.config_file.is_file():
            return
        before = self.read_config()
        config, identity = (json.loads(json.dumps(part)) for part in (config, dict(identity)))
        differing = [
            f"{name} ({_brief(old)} there, {_brief(new)} now)"
            for name, absent in identity.items()
            if _alone(old := before["experiment"].get(name, absent)) != _alone(new := config["experiment"][name])
        ]
        if before["architecture"] != config["architecture"]:
            reference = config["experiment"]["architecture"]
            differing.insert(0, f"the networks (those of {reference} are not the ones it was made with)")
        data = [part.get("data", {}) for part in (before, config)]
        if all(data) and data[0]["fingerprint"] != data[1]["fingerprint"]:
            differing.append(f"the images (from {data[0]['source']} there, from {data[1]['source']} now)")
        if differing:
            raise ConfigError(
                f"{self.path} holds a run of another configuration: {'; '.join(differing)}. Give --restart "
                "to start from scratch (the earlier run is moved aside), or another --run_name."
            )

    def check_writable(self) -> None:
        """Checks, without writing, that the directory could be made or written; ConfigError if not."""
        place = next(place for place in (self.path, *self.path.absolute().parents) if place.exists())
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            reason = os.strerror(errno.EACCES if place.is_dir() else errno.ENOTDIR)
            raise self._unwritable("the run directory", self.path, reason)

    def prepare(self, config: Mapping[str, Any], restart: bool, say: Say = log) -> None:
        """Makes the directory and config.json; `restart` first moves an existing one to `<path>-old-<n>`."""
        if restart and self.path.exists() and any(file.name != LOCK for file in self.path.iterdir()):
            say(f"The earlier run is kept as {self._move_aside()}.")
        place = self.path
        try:
            place.mkdir(parents=True, exist_ok=True)
            write_json(self.config_file, config)
            for place in (self.checkpoints, self.logs, self.grid_file(0).parent):
                if place.exists():  # of a resumed run: better found now than after hours
                    tempfile.TemporaryFile(dir=place).close()
            place = self.metrics_file
            if place.exists():
                place.open("ab").close()
        except OSError as error:
            what = "the run directory" if place == self.path else "a part of the run directory,"
            raise self._unwritable(what, place, error.strerror or str(error)) from error

    def forget_after(self, step: int) -> None:
        """Removes the grids of later rounds and marks their scores as abandoned, because training goes back to a step.

        Raises:
            ConfigError: The directory cannot be written.
        """
        try:
            retire_scores(self.metrics_file, step)
            for grid in self.grid_file(0).parent.glob("*.png"):
                if grid.stem.isdecimal() and int(grid.stem) > step:
                    grid.unlink()
        except OSError as error:
            raise self._unwritable("the run directory", self.path, error.strerror or str(error)) from error

    @staticmethod
    def _unwritable(what: str, place: Path, reason: str) -> ConfigError:
        remedy = "give another --results, or train a copy of the run."
        return ConfigError(f"{what} {place} cannot be written ({reason}); {remedy}")

    def _move_aside(self) -> Path:
        number = 1
        while (target := self.path.with_name(f"{self.path.name}-old-{number}")).exists():
            number += 1
        return self.path.rename(target)

    def records(self, abandoned: bool = False) -> list[dict[str, Any]]:
        """The scores in metrics.jsonl, oldest first; `abandoned` as of `mmdgan.runs.scores.read_scores`."""
        return read_scores(self.metrics_file, abandoned)

    def round_records(self) -> list[dict[str, Any]]:
        """The scores of the rounds of training, without those that `evaluate` added."""
        return [record for record in self.records() if record["by"] == "train"]

    def latest_scores(self, step: int | None = None) -> list[dict[str, Any]]:
        """The records of the newest evaluation, or of the newest one of a step; [] if there is none."""
        return newest([score for score in self.records() if step is None or score["step"] == step])

    def append(self, step: int, by: str, records: Sequence[Mapping[str, Any]]) -> Path | None:
        """Appends the scores of one evaluation to metrics.jsonl, and returns its path.

        Args:
            step: Step of the checkpoint.
            by: "train" or "evaluate".
            records: One record per score, of `mmdgan.metrics.evaluate_sets`.
        """
        append_scores(self.metrics_file, step, by, records)
        return self.metrics_file

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        return checkpoints.saved_steps(self.checkpoints)

    def best_step(self) -> int | None:
        """The step of the best checkpoint by the score of `keep_best`; None without one."""
        return checkpoints.best_step(self.checkpoints)

    def best_score(self) -> Best | None:
        """The best score of the rounds, by `keep_best` or the first of `JUDGES` that they have; None if none is."""
        experiment = self.read_config()["experiment"]
        judges = [name for name, judge in JUDGES.items() if judge.metric in experiment.get("metrics", ())]
        judges.insert(0, experiment.get("keep_best"))
        judge = next((name for name in judges if name in JUDGES), "fid")
        records = self.round_records()
        return best_of(records, judge, [record["step"] for record in records])

    def curves(self) -> Curves:
        """Every scalar that the run has logged, by tag; none for a run without event files."""
        from mmdgan.training.event_files import Curves, read_scalars

        has_files = self.logs.is_dir() and any(self.logs.glob("*tfevents*"))
        return read_scalars(self.path) if has_files else Curves()

    def diverged(self) -> int | None:
        """The step at which training diverged and stopped; None if it did not, or went on beyond that later."""
        steps = [line["step"] for line in divergence.records(self.path)[-1:] if line["action"] == "stop"]
        return next((step for step in steps if step > max(self.steps(), default=0)), None)

    def state(self) -> str:
        """What became of the training: "running", "finished", "diverged" or "stopped" (it can go on)."""
        if is_locked(self.path):
            return RUNNING
        if self.diverged() is not None:
            return "diverged"
        step = max(self.steps(), default=0)
        return "finished" if step >= self.read_config()["experiment"].get("max_step", step + 1) else "stopped"

    def written(self) -> float:
        """When something was last written, in seconds since 1970."""
        places = (self.config_file, self.checkpoints, self.metrics_file, self.path / divergence.FILE)
        return max(place.stat().st_mtime for place in places if place.exists())

    def find_step(self, step: int | str | None) -> int:
        """The step of a checkpoint; see `load_generator`."""
        steps = self.steps()
        if not steps:
            raise CheckpointError(f"{self.path} has no checkpoint yet; train it first, or wait for the first one.")
        there = f"it has those of the steps {', '.join(map(str, steps))}."
        if step == "best":
            if (best := self.best_step()) is None:
                keeping = "training with scores keeps one, by --keep_best"
                raise CheckpointError(f"{self.path} has no best checkpoint ({keeping}); {there}")
            return best
        if step is not None and step not in steps:
            raise CheckpointError(f"{self.path} has no checkpoint of step {step}; {there}")
        return steps[-1] if step is None else step

    def find_class(self, named: int | str | None) -> int | None:
        """The number of the class of a name or number; a ConfigError names the classes that the run has.

        A text that is a name is no number: of the classes 0, 1, 10 and 2, in this order, "10" is the third one.
        """
        if named is None:
            return None
        num_class = self.read_config()["experiment"].get("num_class", 0)
        if num_class < 2:
            raise ConfigError(f"class is {named}, but {self.path} is unconditional; leave it out.")
        names, word = self.class_names(), str(named)
        found = [number for number, name in enumerate(names) if name == named]
        if not found and word.isdecimal():
            # Names that are numbers are meant by a text such as 07, and numbers by an integer.
            by_value = isinstance(named, str) and bool(names) and all(name.isdecimal() for name in names)
            found = [n for n in range(num_class) if int(names[n] if by_value else n) == int(word)]
        if not found:
            there = (
                f"0 to {num_class - 1}" if not names or names == (*map(str, range(num_class)),) else ", ".join(names)
            )
            hint = "" if word.lstrip("-").isdecimal() else nearest(word, names)
            raise ConfigError(f"class is {named}{hint}; {self.path} has the classes {there}.")
        return found[0]

    def has_average(self) -> bool:
        """Whether the run averages its generator's weights (`ema` of an experiment)."""
        return self.read_config()["experiment"].get("ema") is not None

    def load_generator(self, step: int | str | None = None, ema: bool | None = None) -> tuple[keras.Model, int]:
        """The generator of a checkpoint: (model, its step).

        Args:
            step: Step of the checkpoint, or "best"; by default the newest.
            ema: Whether to load the averaged weights; None: if the run has them.

        Raises:
            ConfigError: The run has no averaged weights.
            CheckpointError: There is no checkpoint, or none of this step; the existing steps are named.
        """
        from mmdgan.networks import build_generator

        averages = self.has_average()
        if ema and not averages:
            raise ConfigError(
                f"ema is true, but {self.path} was trained without --ema and holds no averaged weights; leave it out."
            )
        return self._load(build_generator, step, averages if ema is None else ema)

    def load_critic(self, step: int | str | None = None) -> tuple[keras.Model, int]:
        """The critic of a checkpoint: (model, its step); see `load_generator`."""
        from mmdgan.networks import build_discriminator

        return self._load(build_discriminator, step)

    def _load(
        self, build: Callable[..., keras.Model], step: int | str | None, averaged: bool = False
    ) -> tuple[keras.Model, int]:
        step = self.find_step(step)
        config = self.read_config()
        experiment = config["experiment"]
        options = {name: experiment[name] for name in ("precision", "spectral", "initializer")}
        num_class, legacy = experiment.get("num_class", 0), experiment.get("legacy", False)
        model = build(config["architecture"], num_class, legacy=legacy, **options)
        return model, self.restore(model, step, averaged)

    def restore(self, model: keras.Model, step: int, averaged: bool) -> int:
        """Gives a network the weights of a checkpoint, averaged or not; returns the step."""
        return checkpoints.restore_model(self.checkpoints, model, step, averaged)


RUNNING = "running"


def find_runs(folder: str | os.PathLike[str], kept: bool = False, say: Say | None = None) -> Iterator[RunFolder]:
    """All runs in a folder and below it whose config.json can be read, in the order of their names.

    Args:
        folder: Where to look.
        kept: Also find what is kept of runs without logs and checkpoints (Results/published/evidence).
        say: Receives a sentence for each config.json that is passed over because it is no run's, or damaged.
    """
    for place, below, files in os.walk(os.fspath(folder)):
        below.sort()
        run = RunFolder(Path(place))
        if run.config_file.name in files:
            below.clear()
            try:
                run.read_config()
            except (ConfigError, OSError) as error:
                if say is not None:
                    say(f"Passed over: {error}")
                continue
            if kept or run.logs.is_dir() or run.checkpoints.is_dir():
                yield run


def newest_runs(results: str | os.PathLike[str] = "Results", say: Say | None = None) -> list[RunFolder]:
    """The runs in a folder and below it, the one that was written last first; `say` as for `find_runs`."""
    return sorted(find_runs(results, say=say), key=lambda run: -run.written())


def folder_of(results: str, data: str, run_name: str | None) -> Path:
    """The directory of a run by fields of its experiment."""
    return Path(results) / data.replace(":", "_").replace("/", "_") / str(run_name)


def _alone(value: Any) -> Any:
    """A list of one value as that value: from Python comes 0.5 where a flag gives [0.5]."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
