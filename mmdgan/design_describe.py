"""A network in plain text: every resolved key, shapes, counts, receptive fields, and notes."""

from __future__ import annotations

from mmdgan.design_keys import DEFAULT_TYPES
from mmdgan.design_ops import LayerSpec, NetworkSpec, Part, Route
from mmdgan.design_receptive import receptive_fields

_HEADER = (
    *("layer", "from", "op", "output shape", "parameters", "multiply-adds", "receptive field", "spectral norm"),
    *("bias", "norm", "activation", "scale", "reshape"),
)
_NUMBERS = ("parameters", "multiply-adds", "receptive field")


def describe(spec: NetworkSpec) -> str:
    """A table of a network in plain text: one row per layer, one per part of a block, then totals and notes.

    Columns: 'op' says (type,) operation, window, stride, dilation and padding where it is not SAME; 'multiply-adds'
    are per sample; 'receptive field' is in input pixels (see `receptive_fields`); 'spectral norm' says the multiplier
    act_k of normalised layers. Columns without entries are left away.
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
    lines = [f"{spec.name}: {spec.input_shape} -> {outputs}", *_table(rows)]
    if spec.conditional:
        lines.append(f"conditional on {spec.num_class:,} classes")
    if spec.state:
        lines.append(f"besides {spec.state:,} moving means and variances, not trained")
    lines += [f"note: {layer.name}: {note}" for layer in spec.layers for note in layer.notes]
    return "\n".join(lines)


def _table(rows: list[dict]) -> list[str]:
    """Aligned columns with a header; columns that are empty in every row are left away."""
    names = [name for name in _HEADER if any(row.get(name) for row in rows)]
    cells = [names, [], *([row.get(name, "") for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in cells if line) for column in range(len(names))]
    cells[1] = ["-" * width for width in widths]
    return [
        "  ".join(
            text.rjust(width) if name in _NUMBERS else text.ljust(width)
            for name, text, width in zip(names, line, widths, strict=True)
        ).rstrip()
        for line in cells
    ]


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
