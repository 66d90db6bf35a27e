"""Spectral norms over a run: as training saw them, and exact ones to check them by.

Training divides a kernel by the sigma of one power iteration from a stored vector; a normalised layer's true norm is
therefore gain * exact / sigma, and the ratio sigma / exact says how far spectral normalisation holds what it promises.
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
    """The spectral norm of one layer at one step. Of a kernel per class: that of the class of the largest exact norm.

    Attributes:
        step: of the checkpoint.
        layer: "dis/l1_f32/kernel", as in the tags of TensorBoard.
        sigma: as training sees it: one power iteration from the stored vector. With ``spectral="pim"`` it is that of
            the kernel as a matrix, which is another number than the layer's norm even when it has converged.
        exact: the largest singular value of the layer's linear map, in float64.
        ratio: sigma / exact; below 1 where training underestimates the norm, NaN for a layer of zeros.
        seconds: that the exact norm took.
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
        folder: the run.
        steps: of checkpoints; all that are kept by default.
        layers: names to restrict it to, or beginnings of them ("dis/l1"); all by default.
        progress: called with (done, total) after each norm.

    Returns:
        by step, and then in the order of the network; [] for networks without spectral normalisation.

    Raises:
        ConfigError: `layers` names none.
        CheckpointError: no such checkpoint.
    """
    from mmdgan.training.checkpoints import restore_model

    steps = sorted(set(folder.steps() if steps is None else steps))
    if not steps:
        return []
    networks = [folder.load_generator(steps[0], ema=False)[0], folder.load_critic(steps[0])[0]]
    chosen = [(network, _choose(network.spectral_layers(), layers)) for network in networks]
    total = len(steps) * sum(len(found) for _, found in chosen)
    if layers is not None and not total:
        known = ", ".join(name for network in networks for name in network.spectral_layers())
        raise ConfigError(f"No spectrally normalised layer is named {', '.join(layers)}; there are {known or 'none'}.")
    history: list[LayerNorm] = []
    for step in steps:
        for network, found in chosen:
            if not found:
                continue
            restore_model(folder.checkpoints, network, step)
            for name, layer in found.items():
                history.append(layer_norm(step, name, layer))
                if progress is not None:
                    progress(len(history), total)
    return history


def layer_norm(step: int, name: str, layer: SpectralLayer) -> LayerNorm:
    """The norm of one layer as it is."""
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
        kernels = (kernels[0] * kernels[1],)  # the kernel of the equal plain convolution
    return exact_spectral_norm(layer.op, kernels[0] if len(kernels) == 1 else kernels, **layer.operator())


def _choose(found: dict[str, SpectralLayer], layers: Iterable[str] | None) -> dict[str, SpectralLayer]:
    if layers is None:
        return found
    beginnings = tuple(layers)
    return {name: layer for name, layer in found.items() if name.startswith(beginnings)}
