"""Weights of a network in a file, by layer, from which another network's layers can start.

A file is NumPy's `.npz` of arrays named "layer/slot/variable", without the network's own name. Layers are matched by
name; those that only the file has (the last layers of a classifier, say) or only the network has are left as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan.core.errors import CheckpointError
from mmdgan.core.files import atomic
from mmdgan.design.spec import NetworkSpec

if TYPE_CHECKING:
    import keras
    import numpy as np

    from mmdgan.networks.network import Network


def save(network: Network, path: str | os.PathLike) -> Path:
    """Writes every variable of a network, moving averages and spectral vectors too; an earlier file is replaced."""
    import numpy as np

    with atomic(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays(network))  # type: ignore[arg-type]
    return Path(path)


def arrays(network: Network) -> dict[str, np.ndarray]:
    """A copy of every variable of a network, by "layer/slot/variable"."""
    import numpy as np

    return {_local(variable.path): np.array(variable.numpy()) for variable in network.variables}


def read(path: str | os.PathLike, spec: NetworkSpec) -> dict[str, np.ndarray]:
    """The arrays of a file that belong to layers of a network.

    Args:
        path: A file that `save` wrote.
        spec: The network they are for.

    Returns:
        Arrays by "layer/slot/variable", for `assign`.

    Raises:
        CheckpointError: No such file, or none of that kind; no layer in common; a layer of the same name with a
            variable missing or of another shape. It names them.
    """
    found = _arrays(Path(path))
    stored = {name.split("/")[0] for name in found}
    layers = [layer for layer in spec.layers if layer.name in stored and (layer.parameters or layer.state)]
    if not layers:
        names = ", ".join(layer.name for layer in spec.layers)
        raise CheckpointError(
            f"{path} has weights of layers {', '.join(sorted(stored))}, and none of them is in {spec.name} ({names}); "
            "give the same names to layers that shall start from them."
        )
    for layer in layers:
        for part in layer.parts:
            for name, shape in (part.variables | part.state).items():
                key = f"{layer.name}/{part.slot}/{name}"
                if key not in found:
                    raise CheckpointError(f"{path} has no {key}, which layer {layer.name!r} of {spec.name} needs.")
                if found[key].shape != tuple(shape):
                    raise CheckpointError(
                        f"{key} is {found[key].shape} in {path}, but {tuple(shape)} in {spec.name}; give the layer "
                        "another name, or the file's shape."
                    )
    wanted = {layer.name for layer in layers}
    return {name: array for name, array in found.items() if name.split("/")[0] in wanted}


def read_all(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Every array of a file that `save` wrote; CheckpointError if it is none."""
    return _arrays(Path(path))


def assign(network: Network, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Gives a network's variables the values of the same names; returns the names of its layers that got any.

    Raises:
        CheckpointError: An array of another shape than the variable's.
    """
    layers: dict[str, None] = {}
    for variable in network.variables:
        array = arrays.get(_local(variable.path))
        if array is None:
            continue
        if array.shape != tuple(variable.shape):
            raise CheckpointError(
                f"{variable.path} is {tuple(variable.shape)}, but the weights given are {array.shape}."
            )
        variable.assign(array)
        layers[_local(variable.path).split("/")[0]] = None
    return list(layers)


def adopt(network: Network, found: Mapping[str, np.ndarray]) -> tuple[list[str], dict[str, str]]:
    """Gives each layer the values of its name if all of them fit, and leaves the others as they are.

    Args:
        network: A built network.
        found: Arrays by "layer/slot/variable", as `arrays` and files of `save` have them.

    Returns:
        The layers that got values; and those left as they were, each with the reason.
    """
    wanted: dict[str, dict[str, keras.Variable]] = {}
    for variable in network.variables:
        name = _local(variable.path)
        wanted.setdefault(name.split("/")[0], {})[name] = variable
    fitting: list[str] = []
    left: dict[str, str] = {}
    for layer, variables in wanted.items():
        missing = [name for name in variables if name not in found]
        differing = [n for n, v in variables.items() if n in found and found[n].shape != tuple(v.shape)]
        if len(missing) == len(variables):
            left[layer] = "not there"
        elif missing:
            left[layer] = f"without {missing[0]} there"
        elif differing:
            left[layer] = f"{found[differing[0]].shape} there, {tuple(variables[differing[0]].shape)} here"
        else:
            for name, variable in variables.items():
                variable.assign(found[name])
            fitting.append(layer)
    return fitting, left


def _local(path: str) -> str:
    """A variable's path without the network's name."""
    return path.partition("/")[2]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    import zipfile

    import numpy as np

    if not path.is_file():
        raise CheckpointError(f"There is no file of weights {path}.")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is not a file of weights as mmdgan writes them (.npz): {error}.") from error
