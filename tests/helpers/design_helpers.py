"""What the tests of the dictionary language share: a tiny architecture, and the sentences of errors."""

from __future__ import annotations

import copy

import pytest

from mmdgan.core.errors import DesignError
from mmdgan.design import LayerSpec, parse_network

TINY = {
    "input": [(3, 8, 8)],
    "code": [(5, "linear")],
    "generator": [
        {"name": "g1", "op": "d", "out": 16, "out_reshape": [4, 2, 2]},
        {"name": "g2", "op": "tc", "out": 6, "kernel": 4, "strides": 2, "act": "relu", "act_nm": "bn"},
        {"name": "g3", "op": "tc", "out": 3, "kernel": 4, "strides": 2, "act": "tanh"},
    ],
    "discriminator": [
        {"name": "d1", "out": 4, "act": "lrelu", "w_nm": "s", "act_k": 1.5},
        {"name": "d2", "out": 8, "kernel": 4, "strides": 2, "w_nm": "s", "out_reshape": [128]},
        {"name": "d3", "op": "d", "out": 2, "w_nm": "s"},
    ],
}


def one(layer: dict, shape=(3, 8, 8), name="layer", num_class=0) -> LayerSpec:
    """The specification of a network's only layer."""
    return parse_network([{"name": name, **layer}], shape, num_class=num_class).layers[0]


def failing(call, *words: str) -> str:
    """The message of the DesignError that `call` raises, which must contain all `words`."""
    with pytest.raises(DesignError) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert word in message, f"{word!r} is not in {message!r}"
    assert message.endswith(".") and "\n" not in message
    return message


def failing_layer(layer: dict, *words: str, shape=(3, 8, 8), num_class=0) -> str:
    """As `failing`, for one layer of a network called 'net': its place must be named."""
    return failing(lambda: one(layer, shape, num_class=num_class), "net, layer 'layer' (layers[0])", *words)


def variables(layer: LayerSpec) -> dict[str, tuple]:
    """All trainable variables of a layer by slot and name."""
    return {f"{part.slot}/{name}": shape for part in layer.parts for name, shape in part.variables.items()}


def changed(**keys) -> dict:
    """A copy of TINY with some top-level keys replaced."""
    return {**copy.deepcopy(TINY), **keys}
