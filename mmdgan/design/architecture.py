"""Architectures and networks: checked, resolved and with every shape inferred.

An architecture is a dictionary with `input` [(C, H, W)] (or [(features,)], of points), `code` [(length, activation)],
`generator` and `discriminator`; a network is a list of layer dictionaries, applied in sequence, or a dictionary of
`layers`, `links` and `outputs` (see `mmdgan.design.graph`). Shapes are always (C, H, W) or (features,), without batch
dimension and whatever the data format. Every mistake is a DesignError that names the network, the layer and the key.
Keys, defaults, override rules and shapes are those of the original implementation (spec A), corrected where it was
broken (spec D.2).
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence

from mmdgan.core.errors import DesignError
from mmdgan.core.text import listed, shown
from mmdgan.design.graph import joined, wire
from mmdgan.design.keys import (
    KEYS,
    LARGEST,
    NON_LOCAL_TYPES,
    POOLS,
    Place,
    check_keys,
    positive_integer,
    positive_number,
    sizes,
    valid_name,
)
from mmdgan.design.layers import parse_layer
from mmdgan.design.spec import LayerSpec, NetworkSpec, Shape


def parse_architecture(architecture: Mapping, num_class: int = 0) -> tuple[NetworkSpec, NetworkSpec]:
    """Parse both networks of an architecture and check that they fit each other and the images.

    Args:
        architecture: dictionary with `input`, `code`, `generator` and `discriminator`.
        num_class: Number of classes of conditional layers; below 2 means unconditional.

    Returns:
        The specifications of 'gen' (codes to images) and 'dis' (images to scores of rank 1).

    Raises:
        DesignError: Names the network, the layer and the key that is wrong.
    """
    whole = Place("architecture")
    check_keys(whole, architecture, ("input", "code", "generator", "discriminator"), required=True)
    image = _single(whole, architecture, "input", "[(3, 32, 32)]", sizes)
    code = _single(whole, architecture, "code", "[(128, 'linear')]", _code_length)
    gen = parse_network(architecture["generator"], code, "gen", num_class)
    dis = parse_network(architecture["discriminator"], image, "dis", num_class)
    for spec in (gen, dis):
        if len(spec.outputs) > 1:
            names = listed(spec.output_shapes)
            raise Place(spec.name).error("outputs", f"must be one layer, the network's single output, not {names}")
    if gen.output_shape != image:
        last = gen.layers[gen.outputs[0]]
        key = "out" if gen.output_shape[1:] == image[1:] else "strides"
        if len(gen.output_shape) != len(image) or last.out_reshape is not None:
            key = "out_reshape"
        raise _output_place(gen, architecture["generator"]).error(
            key,
            f"the generator's output {gen.output_shape} must equal the architecture's 'input' {image}; "
            f"change this layer or those before it",
        )
    if len(dis.output_shape) != 1:
        size = math.prod(dis.output_shape)
        raise _output_place(dis, architecture["discriminator"]).error(
            "out_reshape",
            f"the critic must end in flat scores but gives {dis.output_shape}; add 'out_reshape': [{size}] "
            f"or a last layer of op 'd'",
        )
    return gen, dis


def parse_network(
    layer_dicts: Sequence | Mapping, input_shape: Shape, name: str = "net", num_class: int = 0
) -> NetworkSpec:
    """Resolve the layer dictionaries of one network and infer every shape.

    Args:
        layer_dicts: List of layer dictionaries, or {"layers": [...], "links": [...], "outputs": [...]}. Without links
            the layers are a chain; without outputs the output is the one layer that feeds no other.
        input_shape: (C, H, W) or (features,), without batch dimension.
        name: Name of the network, the first part of every variable's name.
        num_class: Number of classes of conditional layers; below 2 there can be none.

    Raises:
        DesignError: Names the network, the layer and the key that is wrong.
    """
    try:
        place = Place(valid_name(name))
    except ValueError as error:
        raise DesignError(f"the name of a network {error}.") from None
    try:
        shape = sizes(input_shape)
    except ValueError as error:
        raise place.error("input_shape", str(error)) from None
    if math.prod(shape) > LARGEST:
        raise place.error("input_shape", f"{shape} holds more than {LARGEST} values")
    classes = _class_count(place, num_class)
    written, links, outputs = _layer_list(place, layer_dicts)
    places = _layer_places(name, written)
    wiring = wire(place, [str(at.layer) for at in places], links, outputs)
    layers: list[LayerSpec] = []
    for index, route in zip(wiring.order, wiring.routes, strict=True):
        shapes = [shape if source < 0 else layers[source].output_shape for source in route.sources]
        names = ["input" if source < 0 else layers[source].name for source in route.sources]
        given = joined(places[index], route, shapes, names)
        layers.append(parse_layer(places[index], written[index], given, classes))
    return NetworkSpec(name, shape, tuple(layers), classes, wiring.routes, wiring.outputs)


def with_score_size(architecture: Mapping, score_size: int) -> dict:
    """A copy of an architecture whose critic ends in `score_size` outputs (its output layer's `out`)."""
    try:
        size = positive_integer(score_size)
    except ValueError as error:
        raise DesignError(f"the score size {error}.") from None
    layers, place, last = _critic_output(architecture)
    if not _has_width(last):
        raise place.error("out", "would be the score size, but this layer has none; end the critic in an op 'd'")
    last["out"] = size
    return _with_critic_layers(architecture, layers)


def has_fixed_width(architecture: Mapping) -> bool:
    """Whether the critic ends in a layer without an `out`, such as op 'i', so that `with_score_size` has no use."""
    return not _has_width(_critic_output(architecture)[2])


def with_gain(architecture: Mapping, gain: float) -> dict:
    """A copy of an architecture with act_k = gain^(1/L) on each of the critic's L layers with w_nm 's'.

    The product of all multipliers is then `gain`, the K of the original's experiments. A residual or non-local block
    counts as one layer; layers without a kernel do not count.
    """
    try:
        gain = positive_number(gain)
    except ValueError as error:
        raise DesignError(f"the gain {error}.") from None
    layers, _, _ = _critic(architecture)
    normalised = [layer for layer in layers if _is(layer, "w_nm", ("s",)) and _has_kernel(layer)]
    if not normalised:
        raise DesignError("dis, key 'w_nm': a gain needs critic layers with 'w_nm': 's', and there are none.")
    for layer in normalised:
        layer["act_k"] = gain ** (1.0 / len(normalised))
    return _with_critic_layers(architecture, layers)


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
    # The activation after the length is part of the original's format, which never read it.
    if not isinstance(value, (list, tuple)) or len(value) not in (1, 2):
        raise ValueError(f"must be a tuple (length, activation), not {shown(value)}")
    return (positive_integer(value[0]),)


def _class_count(place: Place, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not 0 <= int(value) <= LARGEST:
        raise place.error("num_class", f"must be an integer of at least 0, not {shown(value)}")
    return int(value)


def _layer_list(place: Place, layer_dicts: object) -> tuple[list, object, object]:
    """The written layers, links and outputs of a network; None for what is not written."""
    links = outputs = None
    if isinstance(layer_dicts, Mapping):
        check_keys(place, layer_dicts, ("layers", "links", "outputs"))
        links, outputs = layer_dicts.get("links"), layer_dicts.get("outputs")
        layer_dicts = layer_dicts.get("layers")
    if not isinstance(layer_dicts, (list, tuple)) or not layer_dicts:
        raise place.error(None, f"must be a non-empty list of layer dictionaries, not {shown(layer_dicts)}")
    return list(layer_dicts), links, outputs


def _layer_places(network: str, written: list) -> list[Place]:
    """The places of layers, whose names must be valid and different."""
    places: list[Place] = []
    seen: dict[str, int] = {}
    for index, layer in enumerate(written):
        if not isinstance(layer, Mapping):
            check_keys(Place(network, index), layer, tuple(KEYS))
        try:
            name = valid_name(layer.get("name"))
        except ValueError as error:
            raise Place(network, index).error("name", str(error)) from None
        places.append(Place(network, index, name))
        if seen.setdefault(name, index) != index:
            raise places[-1].error("name", f"layers[{seen[name]}] has the same name")
    return places


def _critic(architecture: object) -> tuple[list[dict], object, object]:
    """Copies of the critic's layer dictionaries, and its links and outputs."""
    if not isinstance(architecture, Mapping):
        raise Place("architecture").error(None, f"must be a dictionary, not {shown(architecture)}")
    layers, links, outputs = _layer_list(Place("dis"), architecture.get("discriminator"))
    for index, layer in enumerate(layers):
        if not isinstance(layer, Mapping):
            raise Place("dis", index).error(None, f"must be a dictionary, not {shown(layer)}")
    return [dict(layer) for layer in layers], links, outputs


def _critic_output(architecture: object) -> tuple[list[dict], Place, dict]:
    """Copies of the critic's layer dictionaries; place and dictionary of the one whose output leaves it."""
    layers, links, outputs = _critic(architecture)
    places = _layer_places("dis", layers)
    wiring = wire(Place("dis"), [str(place.layer) for place in places], links, outputs)
    index = wiring.order[wiring.outputs[0]]
    return layers, places[index], layers[index]


def _has_width(layer: Mapping) -> bool:
    """Whether `out` of a layer dictionary, checked or not, is the width of what it gives."""
    return _has_kernel(layer) and not _is(layer, "type", NON_LOCAL_TYPES)


def _has_kernel(layer: Mapping) -> bool:
    """Whether a layer dictionary, checked or not, names an op with a kernel."""
    return not _is(layer, "op", (*POOLS, "i"))


def _is(layer: Mapping, key: str, words: tuple[str, ...]) -> bool:
    value = layer.get(key)
    return isinstance(value, str) and value in words


def _with_critic_layers(architecture: Mapping, layers: list[dict]) -> dict:
    critic = architecture["discriminator"]
    return {
        **architecture,
        "discriminator": {**critic, "layers": layers} if isinstance(critic, Mapping) else layers,
    }


def _output_place(spec: NetworkSpec, written: object) -> Place:
    """The place, among the written layers, of the layer that gives the network's output."""
    name = spec.layers[spec.outputs[0]].name
    names = [layer["name"] for layer in _layer_list(Place(spec.name), written)[0]]
    return Place(spec.name, names.index(name), name)
