"""Variable names of the original's TensorFlow 1 checkpoints, and the way from them to our models.

The original names a variable ``<net>/<layer>/<slot>/<variable>`` (spec A.4), its optimisers' slots
``<variable>/Adam_0`` and so on. Kernels have the same axes here; tensors that follow the data format (the spectral
vectors of convolutions) are transposed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from mmdgan.errors import CheckpointError

_SLOTS = ("_momentums", "_velocities", "momentums")
"""Where Keras optimisers keep their slots, in the order of TensorFlow 1's numbering."""


def original_name(variable: keras.Variable) -> str:
    """Returns a network variable's name in the original: 'dis/l1_f32/kernel/SN/in_rand'."""
    *scope, layer, name = variable.path.split("/")
    if name == "in_rand":
        layer = f"{layer}/SN"
    elif name == "bias":
        layer = layer.replace("kernel", "bias")
    elif layer == "BN":
        layer = "BN/BN"
    return "/".join([*scope, layer, name])


def slot_variables(optimizer: keras.optimizers.Optimizer, network: keras.Model, index: int) -> dict:
    """Returns an optimiser's state by name.

    Args:
        optimizer: built on `network`'s trainable variables.
        network: the model that it trains.
        index: 0 for the critic's optimiser, 1 for the generator's.

    Returns:
        tf.Variables under '<variable>/<Optimiser>_<index>[_<slot>]' and 'optimizer_<index>/iterations'.
    """
    kind = type(optimizer).__name__
    slots = [getattr(optimizer, name) for name in _SLOTS if getattr(optimizer, name, None)]
    state = {f"optimizer_{index}/iterations": optimizer.iterations.value}
    for i, variable in enumerate(network.trainable_variables):
        for number, slot in enumerate(slots):
            suffix = f"_{number}" if number else ""
            state[f"{original_name(variable)}/{kind}_{index}{suffix}"] = slot[i].value
    return state


def import_checkpoint(
    source: str | os.PathLike | Mapping[str, np.ndarray], target, data_format: str = "channels_first"
) -> None:
    """Loads a checkpoint of the original, or arrays under its names, into our variables.

    Args:
        source: a TensorFlow 1 checkpoint's prefix ('.../cifar.ckpt-100000'), or arrays by original name.
        target: a `GanStep` (optimiser slots and step too), a model, or a pair (generator, discriminator).
        data_format: the layout in which the original ran: that of its spectral vectors.

    Raises:
        CheckpointError: no checkpoint of that prefix; a variable that is missing or has another shape, by name.
            Nothing is changed then.
    """
    if not isinstance(source, Mapping):
        source = _read_checkpoint(os.fspath(source))
    wanted = _target_variables(target)
    arrays = {name: _array(source, name, variable, data_format) for name, variable in wanted.items()}
    for name, variable in wanted.items():
        variable.assign(arrays[name])


def _read_checkpoint(prefix: str) -> dict[str, np.ndarray]:
    try:
        reader = tf.train.load_checkpoint(prefix)
    except (tf.errors.OpError, ValueError) as error:
        raise CheckpointError(
            f"There is no readable checkpoint {prefix}; give its files' common prefix, such as cifar.ckpt-100000."
        ) from error
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _target_variables(target) -> dict:
    """Returns the target's tf.Variables by name."""
    if hasattr(target, "state") and hasattr(target, "optimizer_dis"):
        return target.state()
    models: Sequence[keras.Model] = target if isinstance(target, (tuple, list)) else (target,)
    return {original_name(v): v.value for model in models for v in model.variables}


def _array(source: Mapping[str, np.ndarray], name: str, variable, data_format: str) -> np.ndarray:
    shape = tuple(variable.shape)
    if name.startswith("optimizer_") and name not in source:
        return np.asarray(_adam_steps(source, int(name.split("/")[0][-1])))
    if name not in source:
        raise CheckpointError(f"The checkpoint lacks {name!r}, of shape {shape}; is it of another architecture?")
    array = np.asarray(source[name])
    if name.endswith("/in_rand") and array.ndim == 4 and data_format == "channels_first":
        array = array.transpose(0, 2, 3, 1)
    if array.shape != shape:
        raise CheckpointError(
            f"{name!r} has shape {array.shape} in the checkpoint and {shape} here; "
            "is it of another architecture or data format?"
        )
    return array.astype(variable.dtype.as_numpy_dtype)


def _adam_steps(source: Mapping[str, np.ndarray], index: int) -> int:
    """Returns how many updates an optimiser has made: the original stores beta1^(t + 1)."""
    name = "beta1_power" if index == 0 else f"beta1_power_{index}"
    if name in source and float(source[name]) > 0:
        # Adam's beta1 is 0.5 throughout the original; its powers stay exact until they underflow.
        return round(math.log(float(source[name])) / math.log(0.5)) - 1
    if "global_step" in source:
        return int(source["global_step"])
    raise CheckpointError(f"The checkpoint lacks both {name!r} and 'global_step': the optimiser's age is unknown.")
