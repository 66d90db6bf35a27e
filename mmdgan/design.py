"""The dictionary language: layer dictionaries with keys, defaults, override rules and shape inference.

An architecture is a dictionary with `input` [(C, H, W)], `code` [(length, activation)], `generator` and
`discriminator`; a network is a list of layer dictionaries, applied in sequence. Shapes are always (C, H, W)
or (features,), without batch dimension and whatever the data format. Every mistake is a DesignError that
names the network, the layer and the key.

Pure Python: nothing here imports TensorFlow or NumPy. Keys, defaults, override rules and shapes are those of
the original implementation. The language grows by entries in `mmdgan.design_keys.KEYS` and
`mmdgan.design_ops.OPS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields

from mmdgan.design_files import load_architecture
from mmdgan.design_keys import (
    KEYS,
    LARGEST,
    Place,
    listed,
    nearest,
    positive_integer,
    positive_number,
    shown,
    sizes,
)
from mmdgan.design_ops import OPS, LayerSpec, NetworkSpec, Shape
from mmdgan.errors import DesignError

__all__ = [
    "LayerSpec",
    "NetworkSpec",
    "describe",
    "load_architecture",
    "parse_architecture",
    "parse_network",
    "with_gain",
    "with_score_size",
]


def parse_architecture(architecture: Mapping, num_class: int = 0) -> tuple[NetworkSpec, NetworkSpec]:
    """Parse both networks of an architecture and check that they fit each other and the images.

    Args:
        architecture: dictionary with `input`, `code`, `generator` and `discriminator`.
        num_class: number of classes of conditional layers; below 2 means unconditional.

    Returns:
        The specifications of 'gen' (codes to images) and 'dis' (images to scores of rank 1).

    Raises:
        DesignError: names the network, the layer and the key that is wrong.
    """
    whole = Place("architecture")
    _check_keys(whole, architecture, ("input", "code", "generator", "discriminator"), required=True)
    image = _single(whole, architecture, "input", "[(3, 32, 32)]", lambda value: sizes(value, ranks=(3,)))
    code = _single(whole, architecture, "code", "[(128, 'linear')]", _code_length)
    gen = parse_network(architecture["generator"], code, "gen", num_class)
    dis = parse_network(architecture["discriminator"], image, "dis", num_class)
    if gen.output_shape != image:
        key = "out" if gen.output_shape[1:] == image[1:] else "strides"
        raise _last_place(gen).error(
            key,
            f"the generator's output {gen.output_shape} must equal the architecture's 'input' {image}; "
            f"change this layer or those before it",
        )
    if len(dis.output_shape) != 1:
        size = math.prod(dis.output_shape)
        raise _last_place(dis).error(
            "out_reshape",
            f"the critic must end in flat scores but gives {dis.output_shape}; add 'out_reshape': [{size}] "
            f"or a last layer of op 'd'",
        )
    return gen, dis


def parse_network(
    layer_dicts: list | Mapping, input_shape: Shape, name: str = "net", num_class: int = 0
) -> NetworkSpec:
    """Resolve the layer dictionaries of one network and infer every shape.

    Args:
        layer_dicts: list of layer dictionaries, or {"layers": [...]}.
        input_shape: (C, H, W) or (features,), without batch dimension.
        name: of the network, the first part of every variable's name.
        num_class: number of classes of conditional layers.

    Raises:
        DesignError: names the network, the layer and the key that is wrong.
    """
    if not isinstance(name, str) or not name or "/" in name:
        raise DesignError(f"the name of a network must be a non-empty string without '/', not {shown(name)}.")
    place = Place(name)
    try:
        shape = sizes(input_shape)
    except ValueError as error:
        raise place.error("input_shape", str(error)) from None
    if isinstance(num_class, bool) or not isinstance(num_class, int) or num_class < 0:
        raise place.error("num_class", f"must be an integer of at least 0, not {shown(num_class)}")
    layers: list[LayerSpec] = []
    seen: dict[str, int] = {}
    for index, written in enumerate(_layer_list(place, layer_dicts)):
        layer = _parse_layer(place.network, index, written, layers[-1].output_shape if layers else shape)
        if layer.name in seen:
            twin = seen[layer.name]
            raise Place(name, index, layer.name).error("name", f"layers[{twin}] has the same name")
        seen[layer.name] = index
        layers.append(layer)
    return NetworkSpec(name, shape, tuple(layers), num_class)


def with_score_size(architecture: Mapping, score_size: int) -> dict:
    """A copy of an architecture whose critic ends in `score_size` outputs (its last layer's `out`)."""
    try:
        size = positive_integer(score_size)
    except ValueError as error:
        raise DesignError(f"the score size {error}.") from None
    layers = _critic_layers(architecture)
    layers[-1]["out"] = size
    return _with_critic_layers(architecture, layers)


def with_gain(architecture: Mapping, gain: float) -> dict:
    """A copy of an architecture with act_k = gain^(1/L) on each of the critic's L layers with w_nm 's'.

    The product of all multipliers is then `gain`, the K of the original's experiments.
    """
    try:
        gain = positive_number(gain)
    except ValueError as error:
        raise DesignError(f"the gain {error}.") from None
    layers = _critic_layers(architecture)
    normalised = [layer for layer in layers if isinstance(layer.get("w_nm"), str) and layer["w_nm"] == "s"]
    if not normalised:
        raise DesignError("dis, key 'w_nm': a gain needs critic layers with 'w_nm': 's', and there are none.")
    for layer in normalised:
        layer["act_k"] = gain ** (1.0 / len(normalised))
    return _with_critic_layers(architecture, layers)


def describe(spec: NetworkSpec) -> str:
    """A table of a network in plain text: one row per layer, then the totals and the notes.

    Multiply-adds are per sample; the column 'spectral norm' holds the multiplier act_k of normalised layers.
    """
    header = ("layer", "op", "output shape", "parameters", "multiply-adds", "spectral norm", "activation")
    rows = [
        (
            layer.name,
            _op_text(layer),
            str(layer.output_shape),
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
            f"yes, x {layer.act_k:.4g}" if layer.w_nm == "s" else "no",
            layer.act if layer.act_nm is None else f"{layer.act_nm}, {layer.act}",
        )
        for layer in spec.layers
    ]
    total = ("total", "", str(spec.output_shape), f"{spec.parameters:,}", f"{spec.multiply_adds:,}", "", "")
    widths = [max(len(row[column]) for row in (header, *rows, total)) for column in range(len(header))]
    lines = [f"{spec.name}: {spec.input_shape} -> {spec.output_shape}"]
    for row in (header, tuple("-" * width for width in widths), *rows, total):
        cells = [
            text.rjust(width) if column in (3, 4) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    if spec.state:
        lines.append(f"besides {spec.state:,} moving means and variances, not trained")
    lines += [f"note: {layer.name}: {note}" for layer in spec.layers for note in layer.notes]
    return "\n".join(lines)


def _op_text(layer: LayerSpec) -> str:
    if layer.op == "d":
        return "d"
    dilated = f" dilation {layer.dilation}" if layer.dilation > 1 else ""
    valid = " VALID" if layer.padding == "VALID" else ""
    return f"{layer.op} {layer.kernel}x{layer.kernel}/{layer.strides}{dilated}{valid}"


def _check_keys(place: Place, written: object, known: tuple[str, ...], required: bool = False) -> None:
    if not isinstance(written, Mapping):
        raise place.error(None, f"must be a dictionary with the keys {listed(known)}, not {shown(written)}")
    for key in written:
        if key not in known:
            hint = nearest(key, known, cutoff=0.5)
            raise place.error(None, f"unknown key {shown(key)}{hint}; the keys are {listed(known)}")
    missing = [key for key in known if key not in written] if required else []
    if missing:
        raise place.error(missing[0], f"is missing; an architecture has the keys {listed(known)}")


def _single(place: Place, architecture: Mapping, key: str, example: str, check: Callable) -> Shape:
    """The one entry of a list such as `input`, checked."""
    value = architecture[key]
    if not isinstance(value, (list, tuple)) or len(value) != 1:
        raise place.error(key, f"must be a list with one tuple, such as {example}, not {shown(value)}")
    try:
        return check(value[0])
    except ValueError as error:
        raise place.error(key, f"its entry {error}; write it as {example}") from None


def _code_length(value: object) -> Shape:
    # The activation beside the length is part of the original's format and was never read by it.
    if not isinstance(value, (list, tuple)) or len(value) not in (1, 2):
        raise ValueError(f"must be a tuple (length, activation), not {shown(value)}")
    return (positive_integer(value[0]),)


def _layer_list(place: Place, layer_dicts: object) -> list:
    if isinstance(layer_dicts, Mapping):
        _check_keys(place, layer_dicts, ("layers",), required=False)
        layer_dicts = layer_dicts.get("layers")
    if not isinstance(layer_dicts, (list, tuple)) or not layer_dicts:
        raise place.error(None, f"must be a non-empty list of layer dictionaries, not {shown(layer_dicts)}")
    return list(layer_dicts)


def _critic_layers(architecture: object) -> list[dict]:
    """Copies of the critic's layer dictionaries."""
    if not isinstance(architecture, Mapping):
        raise Place("architecture").error(None, f"must be a dictionary, not {shown(architecture)}")
    layers = _layer_list(Place("dis"), architecture.get("discriminator"))
    for index, layer in enumerate(layers):
        if not isinstance(layer, Mapping):
            raise Place("dis", index).error(None, f"must be a dictionary, not {shown(layer)}")
    return [dict(layer) for layer in layers]


def _with_critic_layers(architecture: Mapping, layers: list[dict]) -> dict:
    critic = architecture["discriminator"]
    return {
        **architecture,
        "discriminator": {**critic, "layers": layers} if isinstance(critic, Mapping) else layers,
    }


def _last_place(spec: NetworkSpec) -> Place:
    return Place(spec.name, len(spec.layers) - 1, spec.layers[-1].name)


def _parse_layer(network: str, index: int, written: object, input_shape: Shape) -> LayerSpec:
    name = written.get("name") if isinstance(written, Mapping) else None
    place = Place(network, index, name if isinstance(name, str) else None)
    options, notes = _resolve(place, written)
    op = OPS[options["op"]]
    shape = _reshaped(place, "in_reshape", options["in_reshape"], input_shape)
    if len(shape) != op.rank:
        raise place.error("in_reshape", _rank_advice(options["op"], shape, index))
    op_shape = op.shape(place, options, shape)
    if max(op_shape) > LARGEST:
        raise place.error("strides", f"the output {op_shape} has a side above {LARGEST}")
    # crelu concatenates relu(x) and relu(-x) on the channel axis (the original forgot to count them).
    active = (2 * op_shape[0], *op_shape[1:]) if options["act"] == "crelu" else op_shape
    output_shape = _reshaped(place, "out_reshape", options["out_reshape"], active)
    entries = {entry.name: options.get(entry.name) for entry in fields(LayerSpec) if entry.name in KEYS}
    return LayerSpec(**entries, input_shape=shape, op_shape=op_shape, output_shape=output_shape, notes=notes)


def _resolve(place: Place, written: object) -> tuple[dict, tuple[str, ...]]:
    """Every key of a layer with its default, its check and the override rules applied."""
    _check_keys(place, written, tuple(KEYS))

    def value_of(key: str) -> object:
        try:
            return KEYS[key].check(written.get(key, KEYS[key].default))
        except ValueError as error:
            raise place.error(key, str(error)) from None

    op = value_of("op")
    for key in written:
        if key not in OPS[op].keys:
            owners = [name for name in OPS if key in OPS[name].keys]
            raise place.error(key, f"does not belong to op {op!r}, only to {listed(owners)}")
    # A transposed convolution never scales its images: what stands there is not read.
    options = {key: value_of(key) for key in OPS[op].keys if not (key == "scale" and op == "tc")}
    if options["act_nm"] == "bn":
        options["bias"] = None  # beta takes its place
    notes: tuple[str, ...] = ()
    if op == "c" and options["strides"] > 1 and options["dilation"] > 1:
        notes = (f"dilation {options['dilation']} has no effect because strides is {options['strides']}",)
        options["dilation"] = 1
    return options, notes


def _reshaped(place: Place, key: str, target: Shape | None, shape: Shape) -> Shape:
    if target is None:
        return shape
    if math.prod(target) != math.prod(shape):
        raise place.error(
            key,
            f"{list(target)} holds {math.prod(target)} values but its input {shape} holds "
            f"{math.prod(shape)}; make them equal",
        )
    return target


def _rank_advice(op: str, shape: Shape, index: int) -> str:
    """What to add to a layer whose op takes another rank than `shape`."""
    size = math.prod(shape)
    if len(shape) == 3:
        takes, advice = "flat features", f"{[size]} here"
    else:
        side = next((side for side in (4, 8, 7, 6, 5, 3, 2) if size % side**2 == 0), 1)
        takes, advice = "an image (C, H, W)", f"[C, H, W] here, such as {[size // side**2, side, side]}"
    before = ", or the same as 'out_reshape' to the layer before" if index else ""
    return f"op {op!r} takes {takes} but its input is {shape}; add 'in_reshape': {advice}{before}"
