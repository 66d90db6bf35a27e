"""Reading a checkpoint's files into variables, and the errors that say why one cannot be used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan.errors import CheckpointError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

_ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"
_ROOT = "state/"
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_NEWER = ("loss_scale/",)  # names that earlier versions did not save: where they are missing, values stay
_NAMED_AT_MOST = 5  # variables listed in an error message


class UnusableCheckpoint(CheckpointError):
    """A checkpoint that is damaged or belongs to another network; others beside it may be sound.

    Attributes:
      step: of the checkpoint.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


def read_into(prefix: Path, variables: Mapping[str, tf.Variable], step: int, whole: bool, others: str) -> None:
    """Assigns what a checkpoint holds to variables: to all of them or, when an error is raised, to none.

    Args:
      prefix: the checkpoint.
      variables: by the names in the checkpoint.
      step: of the checkpoint, for the error.
      whole: whether the checkpoint must hold nothing else.
      others: a sentence that names the checkpoints there are.

    Raises:
      UnusableCheckpoint: it is damaged, or the variables differ (they are named).
    """
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        held = reader.get_variable_to_shape_map()
        variables = {n: v for n, v in variables.items() if not n.startswith(_NEWER) or _key(n) in held}
        _check_same_network(prefix, variables, reader, step, whole)
        values = {name: reader.get_tensor(_key(name)) for name in variables}
        reader.get_tensor(_OBJECT_GRAPH)  # the file's end: missing if it was cut short
    except (tf.errors.OpError, RuntimeError, ValueError, LookupError) as error:
        raise UnusableCheckpoint(
            f"The checkpoint {prefix} is damaged ({first_line(error)}); choose another: {others}", step
        ) from error
    _assign(variables, values)


def first_line(error: Exception) -> str:
    """The beginning of an error's message, without the marks and further lines that TensorFlow puts around it."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return re.sub(r"^\{\{.*?\}\} | \[Op:\w+\].*$", "", line)


def _assign(variables: Mapping[str, tf.Variable | keras.Variable], values: Mapping[str, np.ndarray]) -> None:
    for name, variable in variables.items():
        variable.assign(values[name])


def _check_same_network(
    prefix: Path, variables: Mapping, reader: tf.train.CheckpointReader, step: int, whole: bool
) -> None:
    held = reader.get_variable_to_shape_map()
    shapes = {_name(key): tuple(shape) for key, shape in held.items() if _is_state(key)}
    problems: list[str] = []

    def report(what: str, names: Iterable[str], describe: Callable[[str], str] = str) -> None:
        names = sorted(names)
        if names:
            listed = ", ".join(map(describe, names[:_NAMED_AT_MOST]))
            more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
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
