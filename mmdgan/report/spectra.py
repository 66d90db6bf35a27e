"""Spectral norms over a run: as training saw them, and exact.

Training divides a kernel by the sigma of one power iteration from a stored vector. The true norm of a normalised layer
is therefore gain * exact / sigma, and the ratio sigma / exact says how accurate spectral normalisation is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.runs.folder import RunFolder

if TYPE_CHECKING:
    from mmdgan.layers.linear import SpectralLayer


class LayerNorm(NamedTuple):
    """The spectral norm of one layer at one step; with one kernel per class, that of the class of the largest norm.

    Attributes:
        step: Step of the checkpoint.
        layer: Name as in the tags of TensorBoard: "dis/l1_f32/kernel".
        sigma: The norm in training: one power iteration from the stored vector. With ``spectral="pim"`` it is that of
            the kernel as a matrix, which differs from the layer's norm even when it has converged.
        exact: The largest singular value of the layer's linear map, in float64.
        ratio: sigma / exact; below 1 where training underestimates the norm, NaN for a layer of zeros.
        seconds: Time that the exact norm took.
    """

    step: int
    layer: str
    sigma: float
    exact: float
    ratio: float
    seconds: float


def spectral_history(
    folder: RunFolder,
    steps: Iterable[int] | None = None,
    layers: Iterable[str] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> list[LayerNorm]:
    """The norms of all spectrally normalised layers of both networks over the kept checkpoints.

    Exact norms take time: a convolution's is found by Lanczos iteration. On two cores a checkpoint of the CIFAR-10
    DCGAN's critic took 2 s at a quarter of its width, and a minute at full width before any training, when its
    singular values lie close together.

    Args:
        folder: The run.
        steps: Steps of checkpoints; all that are kept by default.
        layers: Names, or beginnings of names ("dis/l1"); all by default.
        progress: Called with (done, total) after each norm.

    Returns:
        Norms by step, and then in the order of the network; [] for networks without spectral normalisation.

    Raises:
        ConfigError: No layer has one of these names.
        CheckpointError: There is no such checkpoint.
    """
    from mmdgan.training.checkpoints import restore_model

    steps = sorted(set(folder.steps() if steps is None else steps))
    if not steps:
        return []
    networks = [folder.load_generator(steps[0], ema=False)[0], folder.load_critic(steps[0])[0]]
    prefixes = ("",) if layers is None else tuple(layers)
    chosen = [
        {name: layer for name, layer in network.spectral_layers().items() if name.startswith(prefixes)}
        for network in networks
    ]
    total = len(steps) * sum(map(len, chosen))
    if layers is not None and not total:
        known = ", ".join(name for network in networks for name in network.spectral_layers()) or "none"
        raise ConfigError(f"No spectrally normalised layer is named {', '.join(prefixes)}; there are {known}.")
    history: list[LayerNorm] = []
    for step in steps:
        for network, found in zip(networks, chosen, strict=True):
            if not found:
                continue
            restore_model(folder.checkpoints, network, step)
            for name, layer in found.items():
                history.append(layer_norm(step, name, layer))
                if progress is not None:
                    progress(len(history), total)
    return history


def layer_norm(step: int, name: str, layer: SpectralLayer) -> LayerNorm:
    """Returns the norm of one layer in its present state."""
    begun = time.perf_counter()
    exact = np.reshape(exact_norm(layer), -1)
    seconds = time.perf_counter() - begun
    sigma = np.reshape(layer.normalise()[1], -1).astype(np.float64)
    largest = int(np.argmax(exact))
    ours, true = float(sigma[largest]), float(exact[largest])
    return LayerNorm(step, name, ours, true, ours / true if true else float("nan"), seconds)


def exact_norm(layer: SpectralLayer) -> float | np.ndarray:
    """The largest singular value of a layer's linear map without its gain, or one per class, in float64."""
    from mmdgan.layers.spectral import exact_spectral_norm

    kernels = tuple(np.asarray(getattr(layer, name)) for name in layer.kernel_names)
    if layer.kernel_names == ("depthwise_kernel", "pointwise_kernel"):
        kernels = (kernels[0] * kernels[1],)  # the kernel of the equivalent convolution
    return exact_spectral_norm(layer.op, kernels[0] if len(kernels) == 1 else kernels, **layer.operator())
