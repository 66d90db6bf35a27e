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
from mmdgan.core.lazy import np
from mmdgan.design.spec import LayerSpec, NetworkSpec

if TYPE_CHECKING:
    from mmdgan.networks.network import Network

_ITERATIONS = 50  # after which norms are within some 1% of the largest singular values


def save(network: Network, path: str | os.PathLike) -> Path:
    """Writes every variable of a network, moving averages and spectral vectors too; an earlier file is replaced."""
    with atomic(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays(network))  # type: ignore[arg-type]
    return Path(path)


def arrays(network: Network) -> dict[str, np.ndarray]:
    """A copy of every variable of a network, by "layer/slot/variable"."""
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
    found = read_all(path)
    stored = {name.split("/")[0] for name in found}
    layers = [layer for layer in spec.layers if layer.name in stored and (layer.parameters or layer.state)]
    if not layers:
        names = ", ".join(layer.name for layer in spec.layers)
        raise CheckpointError(
            f"{path} has weights of layers {', '.join(sorted(stored))}, and none of them is in {spec.name} ({names}); "
            "give the same names to layers that shall start from them."
        )
    for layer in layers:
        for key, shape in _shapes(layer).items():
            if key not in found:
                raise CheckpointError(f"{path} has no {key}, which layer {layer.name!r} of {spec.name} needs.")
            if found[key].shape != shape:
                raise CheckpointError(
                    f"{key} is {found[key].shape} in {path}, but {shape} in {spec.name}; give the layer another name, "
                    "or the file's shape."
                )
    return _of_layers(found, *(layer.name for layer in layers))


def read_all(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Every array of a file that `save` wrote; CheckpointError if it is none."""
    import zipfile

    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no file of weights {path}.")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is not a file of weights as mmdgan writes them (.npz): {error}.") from error


def assign(network: Network, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Gives a network's variables the values of the same names; returns the names of its layers that got any.

    Vectors of spectral norms that are not there, or belong to images of another size, are found by power iteration:
    layers that do not learn keep them, and the initial ones are far from length 1.

    Raises:
        CheckpointError: An array of another shape than the variable's.
    """
    layers: dict[str, None] = {}
    given: set[int] = set()
    for variable in network.variables:
        array = arrays.get(_local(variable.path))
        if array is None or (variable.path.endswith("/in_rand") and array.shape != tuple(variable.shape)):
            continue
        if array.shape != tuple(variable.shape):
            raise CheckpointError(
                f"{variable.path} is {tuple(variable.shape)}, but the weights given are {array.shape}."
            )
        variable.assign(array)
        given.add(id(variable))
        layers[_local(variable.path).split("/")[0]] = None
    for layer in network.spectral_layers().values():
        kernels = {id(getattr(layer, name)) for name in layer.kernel_names}
        if layer.in_rand is not None and id(layer.in_rand) not in given and kernels & given:
            for _ in range(_ITERATIONS):
                layer.in_rand.assign(layer.normalise()[2])
    return list(layers)


def fitting(spec: NetworkSpec, found: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of the layers of a network that fit as a whole.

    Args:
        spec: The network.
        found: Arrays by "layer/slot/variable", as `arrays` and `read_all` return them.

    Returns:
        The arrays, for `assign`, vectors of spectral norms among them; and the layers that do not fit, each with the
        reason.
    """
    taken: dict[str, np.ndarray] = {}
    left: dict[str, str] = {}
    for layer in spec.layers:
        shapes = _shapes(layer)
        missing = [name for name in shapes if name not in found]
        differing = [name for name, shape in shapes.items() if name in found and found[name].shape != shape]
        if shapes and len(missing) == len(shapes):
            left[layer.name] = "not there"
        elif missing:
            left[layer.name] = f"without {missing[0]} there"
        elif differing:
            left[layer.name] = f"{found[differing[0]].shape} there, {shapes[differing[0]]} here"
        else:
            taken |= _of_layers(found, layer.name)
    return taken, left


def _shapes(layer: LayerSpec) -> dict[str, tuple[int, ...]]:
    """The variables of a layer by "layer/slot/variable", and their shapes."""
    return {
        f"{layer.name}/{part.slot}/{name}": tuple(shape)
        for part in layer.parts
        for name, shape in (part.variables | part.state).items()
    }


def _of_layers(found: Mapping[str, np.ndarray], *layers: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in found.items() if name.split("/")[0] in layers}


def _local(path: str) -> str:
    """A variable's path without the network's name."""
    return path.partition("/")[2]
