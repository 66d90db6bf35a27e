"""Random networks in the dictionary language, right ones and broken ones, as functions of a seed.

`small_network` gives dictionaries that Keras builds in a moment; `mutant` such dictionaries with something wrong in
them. Both use every type, op, bias, normalisation, activation and scaling, chains and graphs.
"""

from __future__ import annotations

import copy
import math
from random import Random

import numpy as np

from mmdgan.core.errors import DesignError
from mmdgan.design import parse_network
from mmdgan.design.keys import ACTIVATIONS, KEYS

SIDE, CHANNELS, FEATURES = 8, 6, 96
"""Largest side and channels of images, and largest flat features, between the layers of small networks."""

ABSENT = object()
"""Stands for a key that is not written."""

_NORMS = [ABSENT, None, "b", "bn", "BN", "lrn"]
_BIASES = [ABSENT, "b", "bias", None, False]
_COMMON = {
    "act": [ABSENT, *ACTIVATIONS],
    "act_nm": _NORMS,
    "bias": _BIASES,
    "w_nm": [ABSENT, None, "s", "s"],
    "act_k": [ABSENT, False, None, True, 2, 0.5, np.float32(1.5)],
}
_CONDITIONAL = {**_COMMON, "act_nm": [*_NORMS, "cbn", "CBN"], "bias": [*_BIASES, "cb", "c_bias", "bcb"]}
_WINDOW = {
    "kernel": [ABSENT, 1, 2, 3, 4, np.int64(3)],
    "strides": [ABSENT, ABSENT, 1, 1, 2, 3],
    "dilation": [ABSENT, ABSENT, ABSENT, 1, 2],
    "padding": [ABSENT, "SAME", "SAME", "VALID"],
}
_SCALES = [
    *([ABSENT] * 14),
    *(["ps", 2], ["ps", -2], ["ps", -2], ["ps", 2], ["ps"], ["unpool", 2], ["unpool", 3], ["unpool"]),
    *(["bil", 2], ["bil", -2], ["bil", 1.5], ["bil"], ["bic", 2], ["bic", -1.5]),
    *(["avg", -2], ["max", -2], ["avg", -3], ["max", -2]),
]
_IMAGE_OPS = ["c", "tc", "sc", "i", "max", "avg", "sum"]
_IMAGE_TYPES = ["default", "default", "default", "c_bias", "res", "res_i", "res_v1"]
_NON_LOCAL = ["nl", "nl_dist", "nl_pool", "nl_pool_dist"]


def small_network(seed: int) -> tuple[list | dict, tuple, int]:
    """A network that parses: sides up to 8, channels up to 6, flat features up to 96 between layers.

    Returns:
        (layers, input_shape, num_class): a list of layer dictionaries or a dictionary with `links` and `outputs`;
        (C, H, W) or (features,); 0, or 2 or 3 where there may be conditional layers.
    """
    return _network(Random(seed))


def mutant(seed: int) -> tuple[object, object, object]:
    """The same, after one to three changes anywhere: nearly all are wrong."""
    return _mutant(Random(seed))


def _network(rng: Random) -> tuple[list | dict, tuple, int]:
    num_class = rng.choice([0, 2, 3])
    shape = (rng.choice([1, 2, 3, 4, 4, 6]), *rng.choices([1, 2, 3, 4, 4, 5, 6, 6, 7, SIDE, SIDE], k=2))
    if rng.random() < 0.2:
        shape = (rng.randint(1, 48),)
    if rng.random() < 0.3:
        return _graph(rng, shape, num_class), shape, num_class
    layers, given = [], shape
    for index in range(rng.randint(1, 4)):
        layer, given = _layer(rng, f"l{index}", given, num_class)
        layers.append(layer)
    return layers, shape, num_class


def _layer(rng: Random, name: str, shape: tuple, num_class: int) -> tuple[dict, tuple]:
    """A layer that takes `shape`, and what it gives; an identity if four that were drawn do not fit."""
    for _ in range(4):
        make = _dense if len(shape) == 1 else _image
        layer = {"name": name, **make(rng, shape, num_class)}
        layer = {key: value for key, value in layer.items() if value is not ABSENT}
        try:
            spec = parse_network([layer], shape, num_class=num_class).layers[0]
        except DesignError:
            continue
        if all(_is_small(size) for size in (spec.input_shape, spec.op_shape, spec.output_shape)):
            return layer, spec.output_shape
    return {"name": name, "op": "i"}, shape


def _is_small(shape: tuple) -> bool:
    return shape[0] <= FEATURES if len(shape) == 1 else shape[0] <= CHANNELS and max(shape[1:]) <= SIDE


def _keys(rng: Random, num_class: int, **more: list) -> dict:
    choices = {**(_CONDITIONAL if num_class else _COMMON), **more}
    return {key: rng.choice(values) for key, values in choices.items()}


def _dense(rng: Random, shape: tuple, num_class: int) -> dict:
    if rng.random() < 0.4:  # turned into an image first
        side = rng.choice([side for side in range(1, SIDE + 1) if shape[0] % side == 0])
        image = (shape[0] // side, side, 1)
        return {"in_reshape": list(image), **_image(rng, image, num_class)}
    layer = _keys(rng, num_class, op=["d", "d", "i", *(["dcd", "dck", "dck"] if num_class else [])])
    if layer["op"] == "i":
        return layer
    if num_class and rng.random() < 0.25:
        return {**layer, "type": "project", "out": 1}
    layer["out"] = rng.randint(1, 12)
    if rng.random() < 0.6:
        channels, height, width = rng.randint(1, CHANNELS), rng.randint(1, 4), rng.randint(1, 4)
        factor = 2 if layer["act"] == "crelu" else 1
        layer |= {"out": channels * height * width, "out_reshape": [factor * channels, height, width]}
    return layer


def _image(rng: Random, shape: tuple, num_class: int) -> dict:
    chance = rng.random()
    if chance < 0.08:  # flattened first
        return {**_dense(rng, (math.prod(shape),), num_class), "in_reshape": [math.prod(shape)]}
    if chance < 0.25:
        return _non_local(rng, shape, num_class)
    layer = _keys(rng, num_class, type=_IMAGE_TYPES, scale=_SCALES, **_WINDOW)
    if layer["type"].startswith("res"):
        return layer | _residual(rng, layer["type"], shape, num_class)
    layer["op"] = rng.choice(_IMAGE_OPS + (["cck", "tcck"] if num_class else []))
    layer["out"] = rng.randint(1, 3 if layer["act"] == "crelu" else CHANNELS)
    if layer["op"] in ("max", "avg", "sum"):
        layer["out"] = rng.choice([ABSENT, None, shape[0]])
    return layer


def _residual(rng: Random, kind: str, shape: tuple, num_class: int) -> dict:
    """What makes both branches of a residual block agree, if the rest allows it."""
    identity = kind == "res_i"
    out = shape[0] if identity else rng.randint(1, CHANNELS)
    op = rng.choice(["c", "c", "sc", "tc", *(["cck", "tcck"] if num_class else [])])
    changes = {"op": op, "out": out, "strides": 1, "padding": "SAME", "dilation": ABSENT}
    if identity:
        changes["scale"] = ABSENT
    if rng.random() < 0.6:
        count = rng.choice([2, 3]) if identity else 3
        stride = 1 if identity else rng.choice([1, 2])
        changes |= {
            "out": [rng.randint(1, CHANNELS), out, out][:count],
            "kernel": [rng.randint(1, 4) for _ in range(count)],
            "strides": [stride, 1, stride][:count],
            "dilation": [1, 1 if op.startswith("t") else 2, 1][:count],
            "act_k": rng.choice([ABSENT, [1.5, True, None][:count]]),
        }
    return changes


def _non_local(rng: Random, shape: tuple, num_class: int) -> dict:
    queries = rng.randint(1, 3)
    return {
        **_keys(rng, num_class, type=_NON_LOCAL),
        "op": rng.choice([ABSENT, "c", "sc", "tc", *(["cck", "tcck"] if num_class else [])]),
        "out": [queries, queries, shape[0]],
        "kernel": rng.choice([1, 3, [1, 1, 3], ABSENT]),
        "strides": rng.choice([ABSENT, ABSENT, [1, 2, 2]]),
    }


def _graph(rng: Random, shape: tuple, num_class: int) -> dict:
    """Layers linked at random, without circles, written in any order."""
    shapes, layers, links, used = {"input": shape}, [], [], set()

    def link(sources: list[str], given: tuple, how: str | None, count: int) -> None:
        names = [f"l{len(layers) + number}" for number in range(count)]
        for name in names:
            layer, shapes[name] = _layer(rng, name, given, num_class)
            layers.append(layer)
        used.update(sources)
        links.append({"from": sources, "to": names, "how": how})

    for _ in range(rng.randint(1, 4)):
        first, second = rng.choices(sorted(shapes), k=2)
        a, b = shapes[first], shapes[second]
        how = rng.choice([None, "concat", "sum", "split"])
        if how == "concat" and a[1:] == b[1:] and _is_small((a[0] + b[0], *a[1:])):
            link([first, second], (a[0] + b[0], *a[1:]), how, 1)
        elif how == "sum" and a == b:
            link([first, second], a, how, 1)
        elif how == "split" and a[0] % 2 == 0:
            link([first], (a[0] // 2, *a[1:]), how, 2)
        else:
            link([first], a, None, rng.randint(1, 2))
    ends = [layer["name"] for layer in layers if layer["name"] not in used]
    outputs = list(dict.fromkeys([rng.choice(layers)["name"], *ends] if rng.random() < 0.3 else ends))
    network = {"layers": rng.sample(layers, len(layers)), "links": links, "outputs": outputs}
    if len(outputs) == 1 and rng.random() < 0.5:
        del network["outputs"]
    return network


_JUNK = [
    *(None, True, False, 0, 1, 2, 3, -1, 10**9, 2**31 - 1, 2**31, 10**30, 10**5000, -(10**30)),
    *(0.0, 0.5, 2.0, -2.5, 1e-320, 1e300, float("nan"), float("inf"), -float("inf"), 1j, b"c"),
    *(np.int32(2), np.float64(2), np.bool_(True), np.array([3, 3]), np.array(None), object(), frozenset()),
    *("", "a/b", "é", "\ud800", "input", "l0", "l1", "s", "l2", "bn", "cbn", "relu", "crelu", "VALID", "ps"),
    *("c", "d", "tc", "res", "nl", "project", "cck", "avg", "concat", "split", ("ps", 10**400)),
    *([3, 3, 1], [1, 1], [2, 2, 2], ["avg", -2], ["bil", 1.3], ["bic", float("nan")], [], {}, [[[[]]]]),
    *({"name": "l0"}, {"from": ["input"], "to": ["l0"]}, [{"from": ["input"]}], {"layers": [{"name": "é"}]}),
]
_PLACES = ["key"] * 8 + ["gone", "gone", "layer", "network", "links", "links", "shape", "classes"]


def _junk(rng: Random, depth: int = 0) -> object:
    if depth < 3 and rng.random() < 0.15:
        return [_junk(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return copy.deepcopy(rng.choice(_JUNK))


def _mutant(rng: Random) -> tuple[object, object, object]:
    layers, shape, num_class = _network(rng)
    network = {"layers": layers} if isinstance(layers, list) else layers
    for _ in range(rng.randint(1, 3)):
        place = rng.choice(_PLACES)
        if place == "shape":
            shape = _junk(rng)
        elif place == "classes":
            num_class = rng.choice([0, 1, -1, True, 2.0, None, "2", 10**12, np.int64(2), float("nan")])
        elif place == "network":
            network[rng.choice(["layers", "links", "outputs", "inputs"])] = _junk(rng)
        elif isinstance(network["layers"], list) and network["layers"]:
            _break_layers(rng, place, network)
    plain = set(network) == {"layers"} and rng.random() < 0.5
    return (network["layers"] if plain else network), shape, num_class


def _break_layers(rng: Random, place: str, network: dict) -> None:
    layers = network["layers"]
    index = rng.randrange(len(layers))
    layer = layers[index]
    if place == "links":
        network["links"] = _random_links(rng, layers)
    elif place == "layer" or not isinstance(layer, dict) or not layer:
        layers[index] = _junk(rng)
    elif place == "gone":
        del layer[rng.choice(list(layer))]
    else:
        layer[rng.choice([*KEYS, "kernal", 7, "é"])] = _junk(rng)


def _random_links(rng: Random, layers: list) -> list[dict]:
    """Links between the names of these layers, mostly impossible: circles, twice, nowhere."""
    names = ["input", "nobody", *(layer.get("name") for layer in layers if isinstance(layer, dict))]
    return [
        {
            "from": rng.choices(names, k=rng.randint(1, 3)),
            "to": rng.choices(names, k=rng.randint(1, 3)),
            "how": rng.choice([None, None, "concat", "sum", "split", "join", 3]),
        }
        for _ in range(rng.randint(0, 4))
    ]
