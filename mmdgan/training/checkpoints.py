"""Checkpoints that survive being interrupted at any moment.

A checkpoint of step N is the TensorFlow checkpoint `ckpt-N` (named like the original's, original.md E.6). It is written
in a hidden folder next to the others, synced to the disk, and then renamed into place, its index file last: a
checkpoint exists exactly when its index does. A process killed at any moment leaves the earlier checkpoints as they
were, and at most some files that the next save removes.

Empty files mark checkpoints that stay when newer ones come: `ckpt-N.keep`, any number of them, and `ckpt-N.best`, at
most one.

One process writes to a folder; any number may read. TensorFlow is imported only when a checkpoint is.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.core.files import literal, sync
from mmdgan.core.text import first_line

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

AVERAGES = "ema/"
"""Begins the names of averaged variables in a checkpoint (`mmdgan.training.aids.ema`); the variable's name follows."""

_FILE = re.compile(r"ckpt-(\d+)\.(.+)")
_ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"
_ROOT = "state/"
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_NEWER = ("loss_scale/",)  # names that earlier versions did not save: if missing, variables keep their values
_MOST_NAMED = 5  # variables listed in an error message


class UnusableCheckpoint(CheckpointError):
    """A checkpoint that is damaged or belongs to another network; others in its folder may be sound.

    Attributes:
        step: Step of the checkpoint.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


def saved_steps(folder: str | os.PathLike) -> list[int]:
    """The steps of a folder's complete checkpoints, ascending; [] if there is no such folder."""
    folder = Path(folder)
    names = os.listdir(folder) if folder.is_dir() else []
    matches = filter(None, map(_FILE.fullmatch, names))
    return sorted(int(match[1]) for match in matches if match[2] == "index")


def best_step(folder: str | os.PathLike) -> int | None:
    """The step whose checkpoint is marked as the best one (`Checkpoints.keep_best`); None if there is none."""
    folder = Path(folder)
    return max((step for step in saved_steps(folder) if (folder / _best_marker(step)).exists()), default=None)


def restore_model(
    folder: str | os.PathLike, model: keras.Model, step: int | None = None, averaged: bool = False
) -> int:
    """Restores the variables of one model, by their original names, from a checkpoint of a training state.

    Args:
        folder: The run's checkpoint folder.
        model: A network of `mmdgan.networks`, named as it was in training ("gen" or "dis").
        step: Step of the checkpoint; the newest by default.
        averaged: Whether to take the averages of the variables (`mmdgan.training.aids.ema`).

    Returns:
        The step.

    Raises:
        CheckpointError: No such checkpoint, a damaged one, or one of another network or without averages.
    """
    from mmdgan.tf1 import original_name

    prefix = AVERAGES if averaged else ""
    return _restore(Path(folder), {prefix + original_name(v): v for v in model.weights}, step, whole=False)


class Checkpoints:
    """The checkpoints of one run: saves its state, keeps the newest few, restores any of them."""

    def __init__(
        self,
        folder: str | os.PathLike,
        state: Mapping[str, tf.Variable | keras.Variable],
        keep: int = 2,
        writes: bool = True,
    ) -> None:
        """Nothing is read or written yet.

        Args:
            folder: Folder of the checkpoints; the first save makes it if it is missing.
            state: Everything that a checkpoint holds, by name (`GanStep.state()`).
            keep: Number of newest checkpoints that stay, at least 1; permanent ones and the best stay too.
            writes: False on workers that are not the chief, which saves and restores for all: they see no checkpoint
                and save none.

        Raises:
            ConfigError: `keep` is less than 1.
        """
        if keep < 1:
            raise ConfigError(f"keep is {keep}; give the number of newest checkpoints that stay, at least 1.")
        self.folder = Path(folder)
        self.keep = keep
        self.writes = writes
        self._variables = {name: _tensorflow_variable(variable) for name, variable in state.items()}

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, ascending."""
        return saved_steps(self.folder) if self.writes else []

    def latest(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        return max(self.steps(), default=None)

    def save(self, step: int, permanent: bool = False) -> Path:
        """Saves the state as `ckpt-<step>` and removes the oldest checkpoints beyond `keep`.

        A checkpoint of the same step is replaced; a kill at that very moment may leave neither of the two.

        Args:
            step: Number of steps trained so far.
            permanent: Whether this checkpoint stays when newer ones come.

        Returns:
            The checkpoint's prefix, as `tf.train.load_checkpoint` takes it.

        Raises:
            CheckpointError: It cannot be written (disk full, read-only folder); earlier ones are unharmed.
        """
        prefix = self._write(f"ckpt-{step}", _keep_marker(step) if permanent else None)
        if not self.writes:
            return prefix
        steps = self.steps()
        marked = (s for s in steps if any((self.folder / mark(s)).exists() for mark in (_keep_marker, _best_marker)))
        self._remove_others({step, *steps[-self.keep :], *marked})
        return prefix

    def keep_permanently(self, step: int) -> None:
        """Marks the checkpoint of a step as permanent: it stays when newer ones come. Its files are not touched.

        Raises:
            CheckpointError: There is none of this step, or the folder is read-only.
        """
        with self._marking(step):
            (self.folder / _keep_marker(step)).touch()

    def keep_best(self, step: int) -> None:
        """Marks the checkpoint of a step as the best one, which stays; removes the former one if nothing else keeps it.

        The mark moves by a single renaming, so that a kill at any moment leaves a best checkpoint: this or the former.

        Raises:
            CheckpointError: There is none of this step, or the folder is read-only.
        """
        former = best_step(self.folder)
        with self._marking(step):
            marker = self.folder / _best_marker(step)
            others = sorted(set(self.folder.glob("ckpt-*.best")) - {marker})
            if not marker.exists():
                os.replace(others.pop(), marker) if others else marker.touch()
            for other in others:  # two runs' checkpoints were put together
                other.unlink()
            sync(self.folder)
            newest = self.steps()[-self.keep :]
            if former is None or former in (step, *newest) or (self.folder / _keep_marker(former)).exists():
                return
            for file in reversed(_files(self.folder, f"ckpt-{former}.")):
                file.unlink()

    @contextmanager
    def _marking(self, step: int) -> Iterator[None]:
        """Checks that there is a checkpoint to mark; turns an OSError of the block into a CheckpointError."""
        if step not in self.steps():
            raise CheckpointError(f"No checkpoint of step {step} can be kept: {_existing(self.folder)}")
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint {self.folder / f'ckpt-{step}'} cannot be marked as one that stays "
                f"({first_line(error)}); make the folder writable, then run the same command again."
            ) from error

    def save_aside(self, name: str, values: Mapping[str, tf.Tensor] | None = None) -> Path:
        """Saves a state under another name ("diverged-1234"), so that it is not a checkpoint of the run.

        Args:
            name: Name of the files.
            values: A state from `copied`; by default the present one.
        """
        return self._write(name, None, values)

    def copied(self) -> dict[str, tf.Tensor]:
        """A copy of the present state, in the devices' memory."""
        import tensorflow as tf

        return {name: tf.identity(variable) for name, variable in self._variables.items()}

    def restore(self, step: int | None = None) -> int:
        """Restores the state: all of it or, if it raises an error, nothing.

        Args:
            step: Step of the checkpoint; the newest by default.

        Returns:
            The step.

        Raises:
            UnusableCheckpoint: A damaged one, or one of another network (the message names the variables that are
                missing, superfluous or of another shape).
            CheckpointError: No such checkpoint (the message lists those that exist).
        """
        return _restore(self.folder, self._variables, step, whole=True)

    def restore_sound(self) -> tuple[int, list[UnusableCheckpoint]]:
        """Restores the newest checkpoint that can be used; newer ones move to a folder `unusable-1` (2, ...).

        Returns:
            The step, and the errors of the newer ones.

        Raises:
            UnusableCheckpoint: None can be used; this is the error of the newest. Nothing is moved.
            CheckpointError: There is none at all, or the folder is read-only.
        """
        errors: list[UnusableCheckpoint] = []
        for step in reversed(self.steps()):
            try:
                self.restore(step)
            except UnusableCheckpoint as error:
                errors.append(error)
                continue
            self._set_aside([error.step for error in errors], "unusable")
            return step, errors
        raise errors[0] if errors else CheckpointError(f"No checkpoint can be restored: {_existing(self.folder)}")

    def rewind(self, step: int) -> int:
        """Restores an older checkpoint to go on from it; later ones move to a folder `abandoned-1` (2, ...).

        Returns:
            The step.

        Raises:
            CheckpointError: As `restore`; nothing is moved then.
        """
        self.restore(step)
        self._set_aside([s for s in self.steps() if s > step], "abandoned")
        return step

    def _set_aside(self, steps: Iterable[int], folder: str) -> None:
        """Moves checkpoints to a new folder `<folder>-<number>`."""
        steps = sorted(steps, reverse=True)
        if not steps:
            return
        number = 1
        while (aside := self.folder / f"{folder}-{number}").exists():
            number += 1
        try:
            aside.mkdir()
            for step in steps:
                for file in reversed(_files(self.folder, f"ckpt-{step}.")):
                    os.replace(file, aside / file.name)
        except OSError as error:
            raise CheckpointError(
                f"The checkpoints of step {', '.join(map(str, steps))} cannot be moved to {aside} "
                f"({first_line(error)}); make the folder writable, then run the same command again."
            ) from error

    def non_finite(self) -> list[str]:
        """The names of the variables that hold a NaN or an infinity."""
        import tensorflow as tf

        return [
            name
            for name, variable in self._variables.items()
            if variable.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(variable))
        ]

    def _remove_others(self, kept: set[int]) -> None:
        """Removes all checkpoints but these, and what killed processes have left."""
        for file in reversed(_files(self.folder, "ckpt-")):
            match = _FILE.fullmatch(file.name)
            if match and int(match[1]) not in kept:
                file.unlink()

    def _write(self, name: str, marker: str | None, values: Mapping[str, tf.Tensor] | None = None) -> Path:
        if not self.writes:
            return self.folder / name
        import tensorflow as tf

        state = self._variables if values is None else {key: tf.Variable(value) for key, value in values.items()}

        staging = self.folder / f".saving-{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(".saving-*"):
                shutil.rmtree(leftover)
            staging.mkdir()
            tf.train.Checkpoint(state=dict(state)).write(str(staging / name))
            files = _files(staging, f"{name}.")
            for file in files:
                sync(file)
            for replaced in reversed(_files(self.folder, f"{name}.")):
                replaced.unlink()
            if marker is not None:
                (self.folder / marker).touch()
            for file in files:
                os.replace(file, self.folder / file.name)
            sync(self.folder)
            staging.rmdir()
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(staging, ignore_errors=True)
            raise CheckpointError(
                f"The checkpoint {self.folder / name} cannot be written ({first_line(error)}); "
                f"{_existing(self.folder)} Make room or the folder writable, then run the same command again."
            ) from error
        return self.folder / name


def _tensorflow_variable(variable: tf.Variable | keras.Variable) -> tf.Variable:
    import keras

    return variable.value if isinstance(variable, keras.Variable) else variable


def _keep_marker(step: int) -> str:
    return f"ckpt-{step}.keep"


def _best_marker(step: int) -> str:
    return f"ckpt-{step}.best"


def _files(folder: Path, start: str) -> list[Path]:
    """The files whose names start so, index files last: they make the others a checkpoint."""
    files = [file for file in folder.iterdir() if file.name.startswith(start)]
    return sorted(files, key=lambda file: (file.suffix == ".index", file.name))


def _existing(folder: Path) -> str:
    steps = saved_steps(folder)
    if not steps:
        return f"there is no checkpoint in {folder}."
    return f"{folder} holds the steps {', '.join(map(str, steps))}."


def _restore(folder: Path, variables: Mapping[str, tf.Variable], step: int | None, whole: bool) -> int:
    """Assigns the values of a checkpoint to variables: to all of them or, if it raises an error, to none.

    Args:
        folder: Folder of the checkpoints.
        variables: The variables, by their names in the checkpoint.
        step: Step of the checkpoint; None: the newest.
        whole: Whether the checkpoint must hold nothing else.
    """
    steps = saved_steps(folder)
    if not steps or (step is not None and step not in steps):
        wanted = "No checkpoint" if step is None else f"No checkpoint of step {step}"
        raise CheckpointError(f"{wanted} can be restored: {_existing(folder)}")
    step = steps[-1] if step is None else step
    prefix = folder / f"ckpt-{step}"
    import tensorflow as tf

    try:
        with literal(prefix) as path:
            reader = tf.train.load_checkpoint(path)
            held = reader.get_variable_to_shape_map()
            variables = {n: v for n, v in variables.items() if not n.startswith(_NEWER) or _key(n) in held}
            _check_same_network(prefix, variables, held, step, whole)
            values = {name: reader.get_tensor(_key(name)) for name in variables}
            reader.get_tensor(_OBJECT_GRAPH)  # at the file's end: missing if it was cut short
    except (tf.errors.OpError, RuntimeError, ValueError, LookupError) as error:
        raise UnusableCheckpoint(
            f"The checkpoint {prefix} is damaged ({first_line(error)}); choose another: {_existing(folder)}", step
        ) from error
    for name, variable in variables.items():
        variable.assign(values[name])
    return step


def _check_same_network(prefix: Path, variables: Mapping, held: Mapping[str, list], step: int, whole: bool) -> None:
    shapes = {_name(key): tuple(shape) for key, shape in held.items() if _is_state(key)}
    problems: list[str] = []

    def report(what: str, names: Iterable[str], describe: Callable[[str], str] = str) -> None:
        names = sorted(names)
        if names:
            listed = ", ".join(map(describe, names[:_MOST_NAMED]))
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            problems.append(f"{what} {listed}{more}")

    report("it lacks", variables.keys() - shapes.keys())
    report(
        "other shapes:",
        [n for n in variables.keys() & shapes.keys() if shapes[n] != tuple(variables[n].shape)],
        lambda n: f"{n} {shapes[n]} instead of {tuple(variables[n].shape)}",
    )
    if whole:
        report("it also holds", shapes.keys() - variables.keys())
    if problems:
        raise UnusableCheckpoint(
            f"The checkpoint {prefix} belongs to another network ({'; '.join(problems)}); "
            "use the architecture and settings that it was trained with, or another run folder.",
            step,
        )


def _is_state(key: str) -> bool:
    return key.startswith(_ROOT) and key.endswith(_ATTRIBUTE)


def _key(name: str) -> str:
    """A variable's key in the file: TensorFlow escapes "." as ".." and "/" as ".S" in a dictionary's keys."""
    return _ROOT + name.replace(".", "..").replace("/", ".S") + _ATTRIBUTE


def _name(key: str) -> str:
    escaped = key[len(_ROOT) : -len(_ATTRIBUTE)]
    return re.sub(r"\.(.)", lambda match: "/" if match[1] == "S" else ".", escaped)
