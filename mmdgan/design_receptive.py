"""Receptive fields: the side of the square of input pixels that one value of a layer's output can depend on.

Counted backwards from one pixel of the output, layer by layer: n neighbours after a window of k pixels with dilation
d and stride s need (n - 1) s + (k - 1) d + 1 pixels before it; after a transposed convolution ceil((n - 1 + k) / s), so
ceil(k / s) for one; after bilinear scaling what lies around their positions. The pixel is far from borders, so a
field may be larger than the image, and lies where it sees most. Batch statistics do not count. Source: Araujo, Norris,
Sim 2019, "Computing receptive fields of convolutional neural networks", with the transposed forms added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mmdgan.design_keys import DEFAULT_TYPES, DENSE, NON_LOCAL_TYPES, TRANSPOSED
from mmdgan.design_ops import LayerSpec, NetworkSpec, Part, Route, Shape

ALL = "all"
NONE = "-"


def receptive_fields(spec: NetworkSpec) -> list[int | str]:
    """The receptive field of each layer's output.

    Returns:
        In the order of `spec.layers`: a number of input pixels; 'all' behind a dense or non-local layer, or behind a
        kernel on an image that was reshaped so that neighbours are no longer neighbours; '-' if the network's input
        is no image.
    """
    if len(spec.input_shape) == 1:
        return [NONE] * len(spec.layers)
    start = _Order(False, spec.input_shape)
    orders: list[_Order] = []
    for layer, route in zip(spec.layers, spec.routes, strict=True):
        sources = [start if source < 0 else orders[source] for source in route.sources]
        orders.append(_order_after(layer, _joined(route, sources)))
    return [ALL if order.whole else _pixels_seen(spec, index) for index, order in enumerate(orders)]


@dataclass(frozen=True)
class _Order:
    """How the values of features relate to the network's input.

    Attributes:
        whole: each value can depend on all pixels.
        grid: the image (C, H, W) in whose order the values stand, be they flat or not; None: in no such order.
    """

    whole: bool
    grid: Shape | None


def _joined(route: Route, sources: Sequence[_Order]) -> _Order:
    """Channels come first in the order, so joining and cutting them keeps it, of flat values too."""
    whole = any(source.whole for source in sources)
    grids = [source.grid for source in sources if source.grid is not None]
    if len(grids) < len(sources) or any(grid[1:] != grids[0][1:] for grid in grids):
        return _Order(whole, None)
    channels = sum(grid[0] for grid in grids) if route.how == "concat" else grids[0][0]
    if channels % route.pieces:
        return _Order(whole, None)
    return _Order(whole, (channels // route.pieces, *grids[0][1:]))


def _order_after(layer: LayerSpec, order: _Order) -> _Order:
    grid = _reshaped(order.grid, layer.in_reshape)
    kernels = [part for part in layer.parts if part.kernel is not None or part.op in DENSE]
    mixes_pixels = layer.type in NON_LOCAL_TYPES or any(part.op in DENSE for part in kernels)
    if layer.act_nm == "lrn":  # it takes a mean over the channels, which on flat values are everything
        mixes_pixels = mixes_pixels or len(layer.input_shape) == 1 or grid is None
    if grid is None and kernels:
        mixes_pixels = True
    elif grid is not None and len(layer.op_shape) == 3:
        grid = layer.op_shape
    elif grid is not None and layer.act == "crelu":
        grid = (2 * grid[0], *grid[1:])
    return _Order(order.whole or mixes_pixels, _reshaped(grid, layer.out_reshape))


def _reshaped(grid: Shape | None, target: Shape | None) -> Shape | None:
    return grid if target is None or len(target) == 1 or target == grid else None


def _pixels_seen(spec: NetworkSpec, target: int) -> int:
    """How many neighbouring input pixels one value of that layer's output can depend on, along one side."""
    needed = {target: 1}
    seen = 0
    for index in range(target, -1, -1):
        if index not in needed:
            continue
        count = _before_layer(spec.layers[index], needed[index])
        for source in spec.routes[index].sources:
            if source < 0:
                seen = max(seen, count)
            else:
                needed[source] = max(needed.get(source, 0), count)
    return seen


def _before_layer(layer: LayerSpec, count: int) -> int:
    """How many pixels of a layer's input `count` neighbours of its output need; the most of its branches."""
    if layer.type in DEFAULT_TYPES:
        return _before_branch(layer, ["kernel"], count)
    shortcut = count if layer.type == "res_i" else _before_branch(layer, ["kernel_sc"], count)
    return max(shortcut, _before_branch(layer, ["kernel_0", "kernel_1"], count))


def _before_branch(layer: LayerSpec, slots: list[str], count: int) -> int:
    """Backwards through kernels one after another, and the layer's scaling before the first and after the last."""
    parts = [part for part in map(layer.part, slots) if part is not None]
    if not parts:  # op 'i'
        return count
    count = _before_scaling(layer, parts[-1].output_shape, layer.op_shape, count)
    for part in reversed(parts):
        count = _before_window(part, count)
    return _before_scaling(layer, layer.input_shape, parts[0].input_shape, count)


def _before_window(part: Part, count: int) -> int:
    assert part.kernel is not None and part.strides is not None  # of every op that moves a window
    if part.op in TRANSPOSED:
        return -(-(count - 1 + part.kernel) // part.strides)
    return (count - 1) * part.strides + (part.kernel - 1) * (part.dilation or 1) + 1


def _before_scaling(layer: LayerSpec, before: Shape, after: Shape, count: int) -> int:
    """Through the layer's scaling, if it stands where the sides change from `before` to `after`."""
    if layer.scale is None or before[1:] == after[1:]:
        return count
    method: str = layer.scale[0]
    factor: Any = layer.scale[1]  # whole, unless the method interpolates
    if method in ("bil", "bic"):
        pairs = zip(before[1:], after[1:], strict=True)
        return max(_before_interpolation(method, old, new, count) for old, new in pairs)
    if factor > 0:
        return -(-(count - 1 + factor) // factor)
    return count * -factor


def _before_interpolation(method: str, before: int, after: int, count: int) -> int:
    """Corners are aligned: pixel i lies at i (before - 1) / (after - 1) and reads what lies around that."""
    step = Fraction(before - 1, max(after - 1, 1))
    around = 0 if step.denominator == 1 else {"bil": 1, "bic": 3}[method]
    return math.ceil((count - 1) * step) + around + 1
