"""The list of descriptions holds everything that can be named: what is missing is found in the project's own tables."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping

import keras
import pytest

import architectures
from mmdgan import losses, networks
from mmdgan.core.errors import DesignError
from mmdgan.design import parse_network
from mmdgan.design.graph import HOWS
from mmdgan.design.keys import DENSE, KEYS, NON_LOCAL_TYPES, POOLS, RESIDUAL_TYPES, SCALINGS
from mmdgan.design.layers import BLOCK_OPS
from mmdgan.layers.initializers import MODES
from mmdgan.layers.linear import SPECTRAL_MODES
from mmdgan.networks.blocks import _KERNEL_LAYERS
from tests.conformance.built import built
from tests.conformance.descriptions import LOSSES, NETWORKS, PRESETS
from tests.conformance.test_conformance_losses import OTHER_OPTIONS
from tests.conformance.test_conformance_networks import LAYOUTS_AND_PRECISIONS

COVERED = frozenset().union(*(description.covers for description in NETWORKS))
KERNELS = (*_KERNEL_LAYERS, "project")
WINDOWS = ("c", "tc", "sc", "cck", "tcck")


def accepted(key: str) -> list:
    """Every value that may be written for a key with a table of values; [] for another key."""
    return list(inspect.getclosurevars(KEYS[key].check).nonlocals.get("accepted", ()))


def missing(needed: Iterable[tuple]) -> list[tuple]:
    """What no description names."""
    return [item for item in needed if item not in COVERED]


def test_names_are_different():
    for names in ([d.name for d in NETWORKS], LOSSES, [preset.name for preset in PRESETS]):
        assert len(set(names)) == len(names)


def test_every_value_of_every_key():
    tables = {key: accepted(key) for key in KEYS if accepted(key)}
    assert tables.keys() == {"type", "op", "bias", "act", "act_nm", "w_nm", "padding"}
    assert not missing((key, value) for key, values in tables.items() for value in values)


def test_every_key_alone_and_as_a_list():
    assert not missing([("key", key) for key in KEYS if not key.endswith("_reshape") and key != "scale"])
    assert not missing([("listed", key) for key, rule in KEYS.items() if rule.listed])
    assert not missing([("listed", key) for key in ("in_reshape", "out_reshape", "scale")])


def test_every_op_in_blocks_and_projections():
    families = ((RESIDUAL_TYPES, BLOCK_OPS), (NON_LOCAL_TYPES, BLOCK_OPS), (("project",), DENSE))
    for types, ops in families:
        for op in ops:
            assert any(("type and op", kind, op) in COVERED for kind in types), (types, op)


def test_every_kernel_in_every_mode():
    assert not missing(("spectral", mode, op) for mode in SPECTRAL_MODES for op in KERNELS)
    assert not missing(("initializer", mode, op) for mode in MODES for op in KERNELS)
    assert not missing([("legacy", True), ("legacy", False)])


def test_every_window_with_every_padding_stride_and_hole():
    assert not missing(("padding", op, padding) for op in WINDOWS for padding in accepted("padding"))
    assert not missing(("strides", op, strides) for op in WINDOWS for strides in (1, 2))
    assert not missing(("gaps", op) for op in WINDOWS if op not in POOLS)
    # Transposed convolutions take no dilation.
    assert not missing(("dilation", op, 2) for op in WINDOWS if not op.startswith("t"))


def test_biases_and_norms_on_images_and_on_features():
    ops = [KEYS[key].check(value) for key in ("bias", "act_nm") for value in accepted(key)]
    assert not missing(("rank", op, rank) for op in ops if op for rank in (1, 3))


def test_every_scaling_both_ways():
    needed = []
    for method in SCALINGS:
        for factor in (2, -2):
            try:
                parse_network([{"name": "l", "out": 4, "scale": [method, factor]}], (4, 4, 4))
            except DesignError:
                continue
            needed.append(("scale", method, factor > 0))
    assert len(needed) >= len(SCALINGS)
    assert not missing(needed)


def test_every_link():
    assert not missing([("how", None, 1, 2), ("how", None, 2, 2), ("how", "split", 1, 2)])
    assert {item[1] for item in COVERED if item[0] == "how"} == set(HOWS)
    assert not missing([("outputs", 1), ("outputs", 3)])


def test_every_layout_and_precision():
    assert {layout for layout, _ in LAYOUTS_AND_PRECISIONS} == set(networks.DATA_FORMATS)
    assert {precision for _, precision in LAYOUTS_AND_PRECISIONS} == set(networks.PRECISIONS)


def test_every_layer_class():
    layers = {
        cls
        for cls in keras.saving.get_custom_objects().values()
        if cls.__module__.startswith("mmdgan.layers.") and issubclass(cls, keras.layers.Layer)
    }
    made = (layer for d in NETWORKS for block in built(d).net.blocks for layer in block.sublayers.values())
    assert layers == {type(layer) for layer in made}


def test_every_loss():
    assert {*LOSSES, "drift"} == set(losses.names())  # drift by loops of its own: tests/losses/test_classic.py
    assert {option for name in LOSSES for option in losses.get(name).options} == set(OTHER_OPTIONS)


def test_every_preset():
    found = set()
    for module in pkgutil.iter_modules(architectures.__path__):
        names = vars(importlib.import_module(f"architectures.{module.name}"))
        found |= {
            f"{module.name}/{name}"
            for name, value in names.items()
            if isinstance(value, Mapping) and not name.startswith("_")
        }
    assert found == {preset.name for preset in PRESETS}


def test_a_missing_name_is_noticed(monkeypatch):
    table = inspect.getclosurevars(KEYS["op"].check).nonlocals["accepted"]
    monkeypatch.setitem(table, "newop", "newop")
    with pytest.raises(AssertionError, match="newop"):
        test_every_value_of_every_key()
