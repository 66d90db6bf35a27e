"""Kernels as standard Keras layers: convolutions, dense layers and their class-conditional forms (inference)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdgan.design.spec import Part
from mmdgan.export.plain_layers import PlainLayers, layers


def plain_kernel(plain: PlainLayers, name: str, x: Any, part: Part, kernel: Any, bias: np.ndarray | None) -> Any:
    """Returns x after a kernel of the dictionary language.

    Args:
        plain: where the layers are put.
        name: of the layer that holds the kernel.
        x: symbolic images (N, H, W, C) or features (N, F).
        part: op and window.
        kernel: what our layer applies in inference, `SpectralLayer.effective_kernel`: an array, or a pair.
        bias: one number per output channel that is added right behind, or None.
    """
    return _KERNELS[part.op](plain, name, x, part, kernel, bias)


def _convolution(plain: PlainLayers, name: str, x: Any, part: Part, kernel: Any, bias: np.ndarray | None) -> Any:
    options = {**_window(part), "filters": kernel.shape[3]}
    return _with_bias(plain, layers.Conv2D, name, x, [kernel], bias, options)


def _transposed(plain: PlainLayers, name: str, x: Any, part: Part, kernel: Any, bias: np.ndarray | None) -> Any:
    # With zeros behind its entries the window reaches to the ends of the output, as all programs want it: Keras's
    # 'valid' output is shorter than ours, and others know no windows smaller than their strides.
    assert part.kernel is not None and part.strides is not None  # of every convolution
    size = part.kernel + part.strides - 1 if part.padding == "VALID" else max(part.kernel, part.strides)
    missing = size - part.kernel
    kernel = np.pad(kernel, ((0, missing), (0, missing), (0, 0), (0, 0)))
    options = {**_window(part), "kernel_size": size, "filters": kernel.shape[2]}
    return _with_bias(plain, layers.Conv2DTranspose, name, x, [kernel], bias, options)


def _separable(plain: PlainLayers, name: str, x: Any, part: Part, kernel: Any, bias: np.ndarray | None) -> Any:
    depthwise, pointwise = kernel
    x = plain.put(layers.DepthwiseConv2D, f"{name}_depthwise", x, [depthwise], use_bias=False, **_window(part))
    options = {"kernel_size": 1, "filters": pointwise.shape[3]}
    return _with_bias(plain, layers.Conv2D, name, x, [pointwise], bias, options)


def _dense(plain: PlainLayers, name: str, x: Any, part: Part, kernel: Any, bias: np.ndarray | None) -> Any:
    return _with_bias(plain, layers.Dense, name, x, [kernel], bias, {"units": kernel.shape[1]})


def _dense_per_class(plain: PlainLayers, name: str, x: Any, part: Part, kernel: Any, bias: np.ndarray | None) -> Any:
    matrices = plain.of_class(f"{name}_classes", kernel, kernel.shape[1:])
    return _biased(plain, name, plain.put(layers.Dot, name, [x, matrices], axes=(1, 1)), bias)


def _projection(plain: PlainLayers, name: str, x: Any, part: Part, kernel: Any, bias: np.ndarray | None) -> Any:
    rows = plain.of_class(f"{name}_classes", kernel, kernel.shape[1:])
    return plain.put(layers.Dot, name, [x, rows], axes=1)


def _scaled(common: Any) -> Any:
    """The kernel `common` whose outputs are multiplied by a number per class and channel."""

    def apply(plain: PlainLayers, name: str, x: Any, part: Part, kernel: Any, bias: np.ndarray | None) -> Any:
        kernel, multipliers = kernel
        x = common(plain, name, x, part, kernel, None)
        x = plain.put(layers.Multiply, f"{name}_scaled", [x, plain.per_channel(f"{name}_classes", x, multipliers)])
        return _biased(plain, name, x, bias)

    return apply


def _window(part: Part) -> dict:
    options = {"kernel_size": part.kernel, "strides": part.strides, "padding": str(part.padding).lower()}
    return {**options, "dilation_rate": part.dilation or 1}


def _with_bias(
    plain: PlainLayers, kind: Any, name: str, x: Any, weights: Any, bias: np.ndarray | None, options: Any
) -> Any:
    weights = weights if bias is None else [*weights, bias]
    return plain.put(kind, name, x, weights, use_bias=bias is not None, **options)


def _biased(plain: PlainLayers, name: str, x: Any, bias: np.ndarray | None) -> Any:
    return x if bias is None else plain.add_bias(f"{name}_bias", x, bias)


_KERNELS = {
    "c": _convolution,
    "tc": _transposed,
    "sc": _separable,
    "d": _dense,
    "dcd": _dense_per_class,
    "project": _projection,
    "cck": _scaled(_convolution),
    "tcck": _scaled(_transposed),
    "dck": _scaled(_dense),
}
