"""Import of the original's TensorFlow 1 checkpoints, by its names of variables.

The original names a variable ``<net>/<layer>/<slot>/<variable>`` (spec A.4), with batch norm's variables and spectral
vectors one level deeper, and an optimiser's slots ``<variable>/Adam_0`` and so on (critic 0, generator 1). Kernels
have the same axes here. What follows the data format there is channels last here: the spectral vectors of
convolutions (1 or classes, H, W, C), in the shapes that the original gave them, and class tensors
(classes, 1, 1, C).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mmdgan.core.errors import CheckpointError
from mmdgan.core.files import literal

_DEEPER = {"gamma": "BN", "beta": "BN", "moving_mean": "BN", "moving_variance": "BN", "in_rand": "SN"}
"""The original's extra level between slot and variable."""

_SLOTS = ("_momentums", "_velocities", "momentums")
"""Attributes of Keras optimisers that hold their slots, in the order of TensorFlow 1's numbering."""

_OPTIMIZERS = {"RMSprop": "RMSProp", "HeavyBall": "Momentum"}
"""Names of the original's optimisers where they differ from ours."""

_SLOT = re.compile(r"/(Adam|RMSProp|Momentum)_[01](_\d+)?$")
_LAID_OUT = re.compile(r"/(in_rand|c_kernel|c_bias|scale|offset)$")

_LOSS_STATE = {
    "loss/average": re.compile(r"(.*/)?(coin/\w+_average|ins_noise/mmd_mean)"),
    "loss/probability": re.compile(r"(.*/)?coin/prob"),
    "loss/level": re.compile(r"(.*/)?ins_noise/sigma"),
}
"""The states of mixing losses and of instance noise in the original."""

_OURS = ("schedule/", "loss_scale/", "ema/", "ada/")
"""Prefixes of names that no checkpoint of the original has."""

_FILE_ENDING = re.compile(r"\.(index|meta|data-\d+-of-\d+)$")
_NAMED_AT_MOST = 5  # variables listed in an error message


def original_name(variable: keras.Variable) -> str:
    """Returns a network variable's name in the original: 'dis/l1_f32/kernel/SN/in_rand'."""
    slot, name = variable.path.rsplit("/", 1)
    return f"{slot}/{_DEEPER[name]}/{name}" if name in _DEEPER else variable.path


def slot_variables(optimizer: keras.optimizers.Optimizer, network: keras.Model, index: int) -> dict:
    """Returns an optimiser's state by name.

    Args:
        optimizer: Built on `network`'s trainable variables.
        network: The model that it trains.
        index: 0 for the critic's optimiser, 1 for the generator's.

    Returns:
        tf.Variables under '<variable>/<Optimiser>_<index>[_<slot>]', the optimiser named as in the original (Adam,
        RMSProp, Momentum), and 'optimizer_<index>/iterations'.
    """
    kind = type(optimizer).__name__
    slots = [getattr(optimizer, name) for name in _SLOTS if getattr(optimizer, name, None)]
    state = {f"optimizer_{index}/iterations": optimizer.iterations.value}
    for variable in network.trainable_variables:
        place = optimizer._get_variable_index(variable)  # some of those that it was built on may be frozen by now
        for number, slot in enumerate(slots):
            suffix = f"_{number}" if number else ""
            state[f"{original_name(variable)}/{_OPTIMIZERS.get(kind, kind)}_{index}{suffix}"] = slot[place].value
    return state


def checkpoint_prefix(path: str | os.PathLike) -> str:
    """Finds a checkpoint of TensorFlow 1.

    Args:
        path: Its prefix ('.../cifar.ckpt-100000'), one of its files, or a folder with a file `checkpoint`, which
            names the newest.

    Raises:
        CheckpointError: There is none; those in the same folder are listed.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    prefix = Path(_FILE_ENDING.sub("", str(path)))
    if path.is_dir():
        try:
            state = tf.train.get_checkpoint_state(str(path))
        except tf.errors.OpError:
            state = None
        # The file may name a place on the computer where it was written.
        prefix = folder / Path(state.model_checkpoint_path).name if state else folder / "checkpoint"
    if not Path(f"{prefix}.index").is_file():
        found = sorted(str(file.with_suffix("")) for file in folder.glob("*.index"))
        there = f"{folder} holds {_listed(found)}" if found else f"there is none in {folder}"
        raise CheckpointError(
            f"There is no TensorFlow checkpoint {prefix}: {there}; give the common beginning of its files' names, such "
            "as cifar.ckpt-100000."
        )
    return str(prefix)


def import_checkpoint(
    source: str | os.PathLike | Mapping[str, np.ndarray], target: Any, data_format: str = "channels_first"
) -> None:
    """Loads a checkpoint of the original, or arrays under its names, into our variables.

    Args:
        source: A TensorFlow 1 checkpoint, as `checkpoint_prefix` takes it, or arrays by original name.
        target: A `GanStep` (optimiser slots and step too), a model, or a pair (generator, discriminator).
        data_format: The layout in which the original ran: that of its spectral vectors and class tensors.

    Raises:
        CheckpointError: No readable checkpoint there; variables that are missing, that have another shape, or that
            the networks have no place for, by name. Nothing is changed then.
    """
    if not isinstance(source, Mapping):
        source = _read_checkpoint(checkpoint_prefix(source))
    wanted = _target_variables(target)
    arrays = _find(source, wanted, data_format)
    _check(source, wanted, arrays)
    for name, variable in wanted.items():
        variable.assign(arrays[name].astype(variable.dtype.as_numpy_dtype))


def _read_checkpoint(prefix: str) -> dict[str, np.ndarray]:
    try:
        with literal(prefix) as path:
            reader = tf.train.load_checkpoint(path)
            return {name: np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:  # IndexError: of data cut short
        raise CheckpointError(
            f"The checkpoint {prefix} cannot be read ({str(error).splitlines()[0]}); copy all its files again."
        ) from error


def _target_variables(target: Any) -> dict:
    """Returns the target's tf.Variables by name."""
    if hasattr(target, "state") and hasattr(target, "optimizer_dis"):
        # The original's dynamic updates never worked, and it had neither float16 nor regularisers: its checkpoints hold
        # no state of these.
        return {name: v for name, v in target.state().items() if not name.startswith(_OURS)}
    models: Sequence[keras.Model] = target if isinstance(target, (tuple, list)) else (target,)
    return {original_name(v): v.value for model in models for v in model.variables}


def _find(source: Mapping[str, np.ndarray], wanted: Mapping[str, tf.Variable], data_format: str) -> dict:
    """Returns the arrays, as ours, of the wanted variables that the source holds."""
    found = {}
    for name in wanted:
        if name in source:
            found[name] = _channels_last(name, np.asarray(source[name]), data_format)
        elif name.startswith("optimizer_"):
            steps = _optimizer_steps(source, wanted, int(name.split("/")[0][-1]))
            found |= {} if steps is None else {name: np.asarray(steps)}
        elif name in _LOSS_STATE:
            theirs = next(filter(_LOSS_STATE[name].fullmatch, source), None)
            found |= {} if theirs is None else {name: np.asarray(source[theirs])}
    return found


def _channels_last(name: str, array: np.ndarray, data_format: str) -> np.ndarray:
    """Returns a variable, or a slot of one, in our layout."""
    moves = data_format == "channels_first" and array.ndim == 4 and _LAID_OUT.search(_SLOT.sub("", name))
    return array.transpose(0, 2, 3, 1) if moves else array


def _optimizer_steps(source: Mapping, wanted: Iterable[str], index: int) -> int | None:
    """Returns the number of updates that an optimiser has made; None if the source does not tell.

    Adam stores the powers beta1^(t + 1) and beta2^(t + 1), with betas 0.5 and 0.999 throughout the original. That of
    beta1 is exact until it underflows. That of beta2 is not, but it tells whether the network was updated at every
    global step.
    """
    step = int(source["global_step"]) if "global_step" in source else None
    adams = [i for i in (0, 1) if any(name.endswith(f"/Adam_{i}") for name in wanted)]
    if index not in adams:
        return step
    suffix = "_1" if adams.index(index) else ""
    exact, rough = _exponent(source, f"beta1_power{suffix}", 0.5), _exponent(source, f"beta2_power{suffix}", 0.999)
    if exact is not None:
        return exact - 1
    if rough is None or (step is not None and abs(rough - 1 - step) <= 1 + 0.01 * step):
        return step
    return rough - 1


def _exponent(source: Mapping, name: str, base: float) -> int | None:
    """Returns n of a stored base^n; None if it is missing or too small a float32."""
    power = float(source.get(name, 0))
    return round(math.log(power) / math.log(base)) if power > np.finfo(np.float32).tiny else None


def _check(source: Mapping[str, np.ndarray], wanted: Mapping, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises one CheckpointError that names everything that does not fit."""
    networks = {name.split("/")[0] for name in wanted if name.count("/") > 1}
    shapes = {name: tuple(variable.shape) for name, variable in wanted.items()}
    problems = [
        *_problem("it lacks", wanted.keys() - arrays.keys(), lambda name: f"{name} {shapes[name]}"),
        *_problem(
            "it has another shape of",
            [name for name, array in arrays.items() if array.shape != shapes[name]],
            lambda name: f"{name}, {arrays[name].shape} instead of {shapes[name]}",
        ),
        *_problem(
            "it also has",
            [n for n in source if n.split("/")[0] in networks and n not in wanted and not _SLOT.search(n)],
        ),
    ]
    if problems:
        raise CheckpointError(
            f"The checkpoint is not of these networks and optimisers: {'; '.join(problems)}. Give the dictionary, the "
            "loss and the optimiser it was trained with."
        )


def _problem(what: str, names: Collection[str], describe: Callable[[str], str] = str) -> list[str]:
    """Returns a part of a sentence that names variables, those of networks before slots; nothing without names."""
    ordered = sorted(names, key=lambda name: (_SLOT.search(name) is not None, name))
    count = f"{len(names)} variable{'s' * (len(names) > 1)}"
    return [f"{what} {count} ({_listed([describe(name) for name in ordered])})"] if names else []


def _listed(items: Sequence[str]) -> str:
    """Returns the first items, and how many more there are."""
    shown = ", ".join(items[:_NAMED_AT_MOST])
    return shown if len(items) <= _NAMED_AT_MOST else f"{shown} and {len(items) - _NAMED_AT_MOST} more"
