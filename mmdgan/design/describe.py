"""A network in plain text: every resolved key, shapes, counts, receptive fields, and notes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mmdgan.core.text import table
from mmdgan.design.keys import DEFAULT_TYPES, DENSE, NON_LOCAL_TYPES, TRANSPOSED
from mmdgan.design.spec import LayerSpec, NetworkSpec, Part, Route, Shape

_HEADER = (
    *("layer", "from", "op", "output shape", "parameters", "multiply-adds", "receptive field", "spectral norm"),
    *("bias", "norm", "activation", "scale", "reshape"),
)
_ALL, _NONE = "all", "-"
_NUMBERS = ("parameters", "multiply-adds", "receptive field")


def describe(spec: NetworkSpec) -> str:
    """A table of a network in plain text: one row per layer, one per part of a block, then totals and notes.

    Columns: 'op' has the type if it is not the default, operation, window, stride, dilation, and padding if it is not
    SAME; 'multiply-adds' are per sample; 'receptive field' is in input pixels (see `receptive_fields`); 'spectral
    norm' has the multiplier act_k of normalised layers. Columns without entries are left out.
    """
    rows = []
    for layer, route, field in zip(spec.layers, spec.routes, receptive_fields(spec), strict=True):
        rows.append(_layer_row(layer, "" if spec.is_chain else _source_text(spec, route), str(field)))
        if layer.type not in ("default", "c_bias"):
            rows += [_part_row(part) for part in layer.parts]
    rows.append(
        {
            "layer": "total",
            "output shape": str(spec.output_shape) if len(spec.outputs) == 1 else "",
            "parameters": f"{spec.parameters:,}",
            "multiply-adds": f"{spec.multiply_adds:,}",
        }
    )
    outputs = ", ".join(
        str(shape) if spec.is_chain else f"{name} {shape}" for name, shape in spec.output_shapes.items()
    )
    names = [name for name in _HEADER if any(row.get(name) for row in rows)]
    cells = [names, *([row.get(name, "") for name in names] for row in rows)]
    left = [column for column, name in enumerate(names) if name not in _NUMBERS]
    lines = [f"{spec.name}: {spec.input_shape} -> {outputs}", table(cells, left, rule=True)]
    if spec.conditional:
        lines.append(f"conditional on {spec.num_class:,} classes")
    if spec.state:
        lines.append(f"plus {spec.state:,} moving means and variances, not trained")
    lines += [f"note: {layer.name}: {note}" for layer in spec.layers for note in layer.notes]
    return "\n".join(lines)


def _layer_row(layer: LayerSpec, source: str, field: str) -> dict[str, str]:
    plain = layer.type in DEFAULT_TYPES
    normalised = layer.w_nm == "s"
    return {
        "layer": layer.name,
        "from": source,
        "op": _plain_op_text(layer) if plain else f"{layer.type} {layer.op}",
        "output shape": str(layer.output_shape),
        "parameters": f"{layer.parameters:,}",
        "multiply-adds": f"{layer.multiply_adds:,}",
        "receptive field": field,
        "spectral norm": (f"yes, x {layer.act_k:.4g}" if plain else "yes") if normalised else "no",
        "bias": str(layer.bias or "no"),
        "norm": layer.act_nm or "",
        "activation": layer.act,
        "scale": "" if layer.scale is None else "{} {:g}".format(*layer.scale),
        "reshape": ", ".join(
            f"{way} {shape}" for way, shape in (("in", layer.in_reshape), ("out", layer.out_reshape)) if shape
        ),
    }


def _part_row(part: Part) -> dict[str, str]:
    return {
        "layer": f"  {part.slot}",
        "op": _window_text(part),
        "output shape": str(part.output_shape),
        "parameters": f"{part.parameters:,}",
        "multiply-adds": f"{part.multiply_adds:,}" if part.multiply_adds else "",
        "spectral norm": f"yes, x {part.gain:.4g}" if part.spectral and part.op != "k" else "",
    }


def _plain_op_text(layer: LayerSpec) -> str:
    part = layer.part("kernel")
    text = layer.op if part is None else _window_text(part)
    return text if layer.type == "default" else f"{layer.type} {text}"


def _window_text(part: Part) -> str:
    if part.kernel is None:
        return part.op
    dilated = f" dilation {part.dilation}" if part.dilation and part.dilation > 1 else ""
    valid = " VALID" if part.padding == "VALID" else ""
    return f"{part.op} {part.kernel}x{part.kernel}/{part.strides}{dilated}{valid}"


def _source_text(spec: NetworkSpec, route: Route) -> str:
    names = ", ".join("input" if source < 0 else spec.layers[source].name for source in route.sources)
    if route.how == "split":
        return f"{names} [{route.piece + 1} of {route.pieces}]"
    return names if route.how is None else f"{route.how} of {names}"


def receptive_fields(spec: NetworkSpec) -> list[int | str]:
    """The receptive field of each layer: the side of the square of input pixels that one output value can depend on.

    Counted backwards from one pixel of the output, layer by layer: n neighbours after a window of k pixels with
    dilation d and stride s need (n - 1) s + (k - 1) d + 1 pixels before it; after a transposed convolution
    ceil((n - 1 + k) / s), so ceil(k / s) for one; after bilinear scaling those around their positions. The pixel is
    far from borders, so a field may be larger than the image, and lies where it sees most. Batch statistics do not
    count. Source: Araujo, Norris, Sim 2019, "Computing receptive fields of convolutional neural networks", with the
    transposed forms added.

    Returns:
        In the order of `spec.layers`: a number of input pixels; 'all' after a dense or non-local layer, or after a
        kernel on an image that was reshaped so that neighbours are no longer neighbours; '-' if the network's input
        is not an image.
    """
    if len(spec.input_shape) == 1:
        return [_NONE] * len(spec.layers)
    start = _Order(False, spec.input_shape)
    orders: list[_Order] = []
    for layer, route in zip(spec.layers, spec.routes, strict=True):
        sources = [start if source < 0 else orders[source] for source in route.sources]
        orders.append(_order_after(layer, _joined(route, sources)))
    return [_ALL if order.whole else _pixels_seen(spec, index) for index, order in enumerate(orders)]


@dataclass(frozen=True)
class _Order:
    """How the values of features relate to the network's input.

    Attributes:
        whole: Whether each value can depend on all pixels.
        grid: The image (C, H, W) in whose order the values stand, flat or not; None: in no such order.
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
