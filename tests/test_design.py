"""The dictionary language: shapes and counts worked out by hand, and the sentence of every error."""

from __future__ import annotations

import copy
import json
import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdgan.design import (
    describe,
    load_architecture,
    parse_architecture,
    parse_network,
    with_gain,
    with_score_size,
)
from mmdgan.errors import DesignError

ROOT = Path(__file__).resolve().parents[1]

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


def one(layer: dict, shape=(3, 8, 8), name="layer"):
    """The specification of a network's only layer."""
    return parse_network([{"name": name, **layer}], shape).layers[0]


def failing(call, *words: str) -> str:
    """The message of the DesignError that `call` raises, which must contain all `words`."""
    with pytest.raises(DesignError) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert word in message, f"{word!r} is not in {message!r}"
    assert message.endswith(".") and "\n" not in message
    return message


def failing_layer(layer: dict, *words: str, shape=(3, 8, 8)) -> str:
    """As `failing`, for one layer of a network called 'net': its place must be named."""
    return failing(lambda: one(layer, shape), "net, layer 'layer' (layers[0])", *words)


class TestPresets:
    @pytest.mark.parametrize(
        ("preset", "generator", "critic"),
        [
            ("cifar10/DCGAN", 3_811_907, 5_983_760),
            ("cifar10/DCGAN_QUARTER", 436_883, 399_248),
            ("sample/DCGAN_SMALL", 436_883, 399_248),
        ],
    )
    def test_trainable_parameters_are_as_published_and_as_documented(self, preset, generator, critic):
        gen, dis = parse_architecture(load_architecture(preset))
        assert (gen.parameters, dis.parameters) == (generator, critic)
        source = (ROOT / "architectures" / f"{preset.split('/')[0]}.py").read_text()
        assert f"{generator:,}" in source and f"{critic:,}" in source

    def test_the_layers_of_the_cifar_network(self):
        gen, dis = parse_architecture(load_architecture("cifar10/DCGAN"))
        assert [layer.output_shape for layer in gen.layers] == [
            (512, 4, 4),
            (256, 8, 8),
            (128, 16, 16),
            (64, 32, 32),
            (3, 32, 32),
        ]
        assert [layer.op_shape for layer in dis.layers] == [
            (64, 32, 32),
            (128, 16, 16),
            (128, 16, 16),
            (256, 8, 8),
            (256, 8, 8),
            (512, 4, 4),
            (512, 4, 4),
            (16,),
        ]
        assert gen.state == 2 * (256 + 128 + 64) and dis.state == 0
        assert math.isclose(math.prod(layer.act_k for layer in dis.layers), 64.0, rel_tol=1e-12)
        assert {layer.w_nm for layer in dis.layers} == {"s"} and {layer.w_nm for layer in gen.layers} == {None}
        assert [layer.act for layer in dis.layers] == ["lrelu"] * 7 + ["linear"]
        assert [layer.bias for layer in gen.layers] == ["b", None, None, None, "b"]

    def test_multiply_adds_of_the_cifar_critic(self):
        _, dis = parse_architecture(load_architecture("cifar10/DCGAN"))
        first = 3 * 3 * 3 * 64 * 32 * 32
        down, same = 4 * 4 * 64 * 128 * 16 * 16, 3 * 3 * 128 * 128 * 16 * 16
        # Halving the side and doubling the channels leaves the work of a layer as it is.
        assert dis.multiply_adds == first + 3 * (down + same) + 8192 * 16


class TestShapes:
    @pytest.mark.parametrize(
        ("keys", "side"),
        [
            ({}, 8),
            ({"kernel": 4, "strides": 2}, 4),
            ({"kernel": 5, "strides": 3}, 3),
            ({"kernel": 9}, 8),
            ({"padding": "VALID"}, 6),
            ({"padding": "VALID", "kernel": 3, "strides": 2}, 3),
            ({"padding": "VALID", "kernel": 3, "dilation": 3}, 2),
            ({"padding": "VALID", "kernel": 8}, 1),
            ({"dilation": 4}, 8),
            ({"op": "tc"}, 8),
            ({"op": "tc", "kernel": 4, "strides": 2}, 16),
            ({"op": "tc", "kernel": 4, "strides": 3, "padding": "VALID"}, 27),
        ],
    )
    def test_sides(self, keys, side):
        layer = one({"out": 7, **keys})
        assert layer.op_shape == layer.output_shape == (7, side, side)

    def test_odd_and_oblong_images(self):
        assert one({"out": 2, "kernel": 4, "strides": 2}, (1, 7, 12)).op_shape == (2, 4, 6)
        assert one({"out": 2, "kernel": 4, "strides": 2, "padding": "VALID"}, (1, 7, 12)).op_shape == (
            2,
            2,
            5,
        )

    def test_counts_of_a_convolution(self):
        layer = one({"out": 7, "kernel": 4, "strides": 2, "act_nm": "BN"})
        assert layer.kernel_shape == (4, 4, 3, 7)
        assert layer.parameters == 4 * 4 * 3 * 7 + 14 and layer.state == 14
        assert layer.multiply_adds == 4 * 4 * 3 * 7 * 4 * 4

    def test_counts_of_a_transposed_convolution(self):
        layer = one({"op": "tc", "out": 7, "kernel": 4, "strides": 2})
        assert layer.kernel_shape == (4, 4, 7, 3)
        assert layer.parameters == 4 * 4 * 3 * 7 + 7 and layer.state == 0
        assert layer.multiply_adds == 4 * 4 * 3 * 7 * 8 * 8

    def test_batch_norm_of_features_is_per_unit_before_the_reshape(self):
        layer = one({"op": "d", "out": 18, "act_nm": "bn", "out_reshape": [2, 3, 3]}, (5,))
        assert layer.op_shape == (18,) and layer.output_shape == (2, 3, 3)
        assert layer.parameters == 5 * 18 + 2 * 18 and layer.state == 36
        assert layer.kernel is None and layer.multiply_adds == 90

    def test_crelu_doubles_the_channels(self):
        net = parse_network([{"name": "a", "out": 4, "act": "crelu"}, {"name": "b", "out": 1}], (3, 8, 8))
        assert net.layers[0].op_shape == (4, 8, 8) and net.layers[0].output_shape == (8, 8, 8)
        assert net.layers[0].parameters == 9 * 3 * 4 + 4 and net.layers[1].parameters == 9 * 8 + 1
        assert one({"op": "d", "out": 4, "act": "crelu"}, (5,)).output_shape == (8,)

    def test_in_reshape_comes_first(self):
        layer = one({"op": "d", "out": 2, "in_reshape": [192]})
        assert layer.input_shape == (192,) and layer.parameters == 192 * 2 + 2


class TestResolvedKeys:
    def test_defaults(self):
        layer = one({"out": 4})
        assert (layer.type, layer.op, layer.bias, layer.act, layer.act_nm) == (
            "default",
            "c",
            "b",
            "linear",
            None,
        )
        assert (layer.kernel, layer.strides, layer.dilation, layer.padding) == (3, 1, 1, "SAME")
        assert (layer.act_k, layer.w_nm, layer.in_reshape, layer.out_reshape) == (1.0, None, None, None)

    @pytest.mark.parametrize(("written", "resolved"), [("b", "b"), ("bias", "b"), (None, None), (False, None)])
    def test_bias(self, written, resolved):
        assert one({"out": 4, "bias": written}).bias == resolved

    @pytest.mark.parametrize("bias", ["b", "bias", None, False])
    def test_batch_norm_removes_the_bias(self, bias):
        layer = one({"out": 4, "bias": bias, "act_nm": "bn"})
        assert layer.bias is None and layer.act_nm == "bn"

    @pytest.mark.parametrize(
        ("written", "resolved"), [(False, 1.0), (None, 1.0), (True, 1.0), (2, 2.0), (Fraction(1, 4), 0.25)]
    )
    def test_act_k(self, written, resolved):
        layer = one({"out": 4, "w_nm": "s", "act_k": written})
        assert layer.act_k == resolved and isinstance(layer.act_k, float)

    def test_transposed_convolutions_drop_scale(self):
        assert one({"op": "tc", "out": 4, "scale": ["ps", 2]}).output_shape == (4, 8, 8)
        failing_layer({"out": 4, "scale": ["ps", 2]}, "key 'scale'")

    def test_dilation_with_strides_has_no_effect_and_is_noted(self):
        net = parse_network([{"name": "a", "out": 4, "strides": 2, "dilation": 3, "padding": "VALID"}], (3, 9, 9))
        assert net.output_shape == (4, 4, 4) and net.layers[0].dilation == 1
        assert "dilation 3 has no effect because strides is 2" in describe(net)

    def test_resolved_dictionaries_are_plain_and_give_the_same_network(self):
        for spec in parse_architecture(TINY):
            again = json.loads(json.dumps(spec.layer_dicts))
            assert parse_network(again, spec.input_shape, spec.name) == spec

    def test_a_dictionary_with_layers_is_a_chain(self):
        layers = TINY["discriminator"]
        assert parse_network({"layers": layers}, (3, 8, 8)) == parse_network(layers, (3, 8, 8))
        failing(lambda: parse_network({"layers": layers, "links": []}, (3, 8, 8)), "net:", "'links'", "'layers'")


class TestLayerErrors:
    @pytest.mark.parametrize(
        ("layer", "words"),
        [
            ({"out": 4, "kernal": 5}, ["unknown key 'kernal' (nearest: 'kernel')"]),
            ({"out": 4, "Strides": 2}, ["unknown key 'Strides' (nearest: 'strides')"]),
            ({"out": 4, 7: 2}, ["unknown key 7;"]),
            ({"out": 4, "op": "dc"}, ["key 'op'", "'dc' is not one of", "'c' (convolution)", "nearest"]),
            ({"out": 4, "op": ["c"]}, ["key 'op'", "['c'] is not one of"]),
            ({"out": 4, "op": "sc"}, ["key 'op'", "'sc' is not one of"]),
            ({"out": 4, "type": "res"}, ["key 'type'", "'res' is not one of 'default'"]),
            ({"out": 4, "act": "leaky_relu"}, ["key 'act'", "'leaky_relu'", "(nearest: 'lrelu')"]),
            ({"out": 4, "act": None}, ["key 'act'", "None is not one of"]),
            ({"out": 4, "act_nm": "cbn"}, ["key 'act_nm'", "'cbn' is not one of", "(nearest: 'bn')"]),
            ({"out": 4, "bias": True}, ["key 'bias'", "True is not one of"]),
            ({"out": 4, "bias": 0}, ["key 'bias'", "0 is not one of"]),
            ({"out": 4, "bias": "cb"}, ["key 'bias'", "'cb' is not one of"]),
            ({"out": 4, "w_nm": "l2"}, ["key 'w_nm'", "'l2' is not one of"]),
            ({"out": 4, "padding": "same"}, ["key 'padding'", "(nearest: 'SAME')"]),
            ({"out": 4, "act_k": "s"}, ["key 'act_k'", "must be a finite number above 0, not 's'"]),
            ({"out": 4, "act_k": 0}, ["key 'act_k'", "above 0"]),
            ({"out": 4, "act_k": float("nan")}, ["key 'act_k'", "finite"]),
            ({"out": 4, "act_k": 10**400}, ["key 'act_k'", "finite"]),
            ({"out": 4, "act_k": Fraction(1, 10**400)}, ["key 'act_k'", "above 0"]),
            ({}, ["key 'out'", "must be a positive integer, not None"]),
            ({"out": 0}, ["key 'out'", "from 1 to"]),
            ({"out": 4.0}, ["key 'out'", "must be a positive integer, not 4.0"]),
            ({"out": True}, ["key 'out'", "not True"]),
            ({"out": 10**5000}, ["key 'out'", "from 1 to"]),
            ({"out": 4, "kernel": [3, 3]}, ["key 'kernel'", "must be a positive integer, not [3, 3]"]),
            ({"out": 4, "strides": -1}, ["key 'strides'"]),
            ({"out": 4, "out_reshape": 64}, ["key 'out_reshape'", "must be a list", "not 64"]),
            ({"out": 4, "out_reshape": [16, 16]}, ["key 'out_reshape'", "[features] or [C, H, W]"]),
            ({"out": 4, "out_reshape": [-1]}, ["key 'out_reshape'", "one of its entries"]),
            ({"out": 4, "out_reshape": [255]}, ["key 'out_reshape'", "holds 255", "(4, 8, 8) holds 256"]),
            ({"out": 4, "in_reshape": [3, 4, 4]}, ["key 'in_reshape'", "holds 48", "holds 192"]),
            ({"out": 4, "kernel": 9, "padding": "VALID"}, ["key 'kernel'", "spans 9 pixels", "(3, 8, 8)"]),
            ({"out": 4, "dilation": 4, "padding": "VALID"}, ["key 'kernel'", "dilation 4 spans 9 pixels"]),
            ({"out": 4, "op": "tc", "dilation": 2}, ["key 'dilation'", "op 'tc'"]),
            ({"out": 4, "op": "tc", "strides": 2**30}, ["key 'strides'", "above"]),
            ({"out": 4, "op": "d", "kernel": 3}, ["key 'kernel'", "does not belong to op 'd'", "'c', 'tc'"]),
            ({"out": 4, "op": "d"}, ["key 'in_reshape'", "flat features", "(3, 8, 8)", "[192]"]),
        ],
    )
    def test_messages(self, layer, words):
        failing_layer(layer, *words)

    def test_an_image_op_on_features_says_which_reshape_would_do(self):
        failing_layer({"out": 4}, "key 'in_reshape'", "op 'c' takes an image", "[512, 4, 4]", shape=(8192,))
        failing_layer({"out": 4, "op": "tc"}, "such as [7, 1, 1]", shape=(7,))

    def test_names(self):
        failing(lambda: parse_network([{"out": 4}], (3, 8, 8)), "net, layer layers[0]", "'name'", "needs a name")
        for name in ("", "a/b", 3):
            failing(lambda name=name: one({"out": 4}, name=name), "key 'name'", "non-empty string without '/'")
        twins = [{"name": "a", "out": 4}, {"name": "b", "out": 4}, {"name": "a", "out": 4}]
        failing(lambda: parse_network(twins, (3, 8, 8)), "layer 'a' (layers[2])", "layers[0] has the same name")

    @pytest.mark.parametrize("layers", [None, [], "c", 5, {}, {"layers": None}])
    def test_no_layers(self, layers):
        failing(lambda: parse_network(layers, (3, 8, 8)), "net: must be a non-empty list of layer dictionaries")

    def test_a_layer_that_is_no_dictionary(self):
        failing(lambda: parse_network(["d"], (3,)), "net, layer layers[0]: must be a dictionary", "not 'd'")

    @pytest.mark.parametrize("shape", [(3, 8), 3, None, (3, 0, 8), (3, 8, "8")])
    def test_input_shape(self, shape):
        failing(lambda: one({"out": 4}, shape), "net, key 'input_shape': must be a list")

    def test_num_class(self):
        failing(lambda: parse_network([{"name": "a", "out": 4}], (3, 8, 8), num_class=-1), "key 'num_class'")

    def test_network_name(self):
        failing(lambda: parse_network([{"name": "a", "out": 4}], (3, 8, 8), "a/b"), "name of a network", "'a/b'")


def changed(**keys) -> dict:
    """A copy of TINY with some top-level keys replaced."""
    return {**copy.deepcopy(TINY), **keys}


class TestArchitectureErrors:
    @pytest.mark.parametrize("key", ["input", "code", "generator", "discriminator"])
    def test_missing_key(self, key):
        broken = {name: value for name, value in TINY.items() if name != key}
        failing(lambda: parse_architecture(broken), f"architecture, key '{key}': is missing")

    def test_unknown_key(self):
        failing(lambda: parse_architecture(changed(critic=[])), "unknown key 'critic'", "'discriminator'")
        failing(lambda: parse_architecture(changed(generater=[])), "'generater' (nearest: 'generator')")

    @pytest.mark.parametrize("value", [None, (3, 8, 8), [(3, 8)], [(3, 8, 8), (3, 8, 8)], [3], [(3, 8, 8.0)]])
    def test_input(self, value):
        failing(lambda: parse_architecture(changed(input=value)), "architecture, key 'input'", "[(3, 32, 32)]")

    @pytest.mark.parametrize("value", [None, 5, (5, "linear"), [5], [("linear", 5)], [(0, "linear")], [()]])
    def test_code(self, value):
        failing(lambda: parse_architecture(changed(code=value)), "architecture, key 'code'", "(128, 'linear')")

    @pytest.mark.parametrize("value", [None, [], "TINY", 3])
    def test_no_dictionary(self, value):
        failing(lambda: parse_architecture(value), "architecture: must be a dictionary")

    def test_generator_output(self):
        wide = copy.deepcopy(TINY)
        wide["generator"][2]["out"] = 4
        place = "gen, layer 'g3' (layers[2])"
        failing(lambda: parse_architecture(wide), place, "key 'out'", "(4, 8, 8) must equal", "(3, 8, 8)")
        large = copy.deepcopy(TINY)
        large["generator"][2]["strides"] = 4
        failing(lambda: parse_architecture(large), place, "key 'strides'", "(3, 16, 16) must equal")

    def test_critic_output(self):
        broken = changed(discriminator=TINY["discriminator"][:1])
        place = "dis, layer 'd1' (layers[0]), key 'out_reshape'"
        failing(lambda: parse_architecture(broken), place, "(4, 8, 8)", "'out_reshape': [256]", "'d'")

    def test_dense_after_images_names_both_remedies(self):
        broken = copy.deepcopy(TINY)
        del broken["discriminator"][1]["out_reshape"]
        message = failing(lambda: parse_architecture(broken), "dis, layer 'd3' (layers[2])", "(8, 4, 4)")
        assert "'in_reshape': [128] here" in message and "'out_reshape'" in message


class TestChangedCopies:
    def test_with_score_size(self):
        before = copy.deepcopy(TINY)
        _, dis = parse_architecture(with_score_size(TINY, 7))
        assert dis.output_shape == (7,) and before == TINY
        failing(lambda: with_score_size(TINY, 0), "the score size must be an integer from 1")

    def test_with_gain(self):
        before = copy.deepcopy(TINY)
        _, dis = parse_architecture(with_gain(TINY, 8))
        assert before == TINY
        assert [layer.act_k for layer in dis.layers] == pytest.approx([2.0, 2.0, 2.0], rel=1e-12)
        failing(lambda: with_gain(TINY, -1), "the gain must be a finite number above 0")
        plain = changed(discriminator=[{"name": "d", "op": "d", "in_reshape": [192], "out": 2}])
        failing(lambda: with_gain(plain, 8), "dis, key 'w_nm'", "none")

    def test_only_normalised_layers_share_the_gain(self):
        some = copy.deepcopy(TINY)
        some["discriminator"][0].update(w_nm=None, act_k=5.0)
        _, dis = parse_architecture(with_gain(some, 9))
        assert [layer.act_k for layer in dis.layers] == pytest.approx([5.0, 3.0, 3.0], rel=1e-12)

    def test_a_dictionary_of_layers_stays_one(self):
        wrapped = changed(discriminator={"layers": TINY["discriminator"]})
        assert parse_architecture(with_gain(with_score_size(wrapped, 3), 8))[1].output_shape == (3,)

    @pytest.mark.parametrize("broken", [None, {}, {"discriminator": [3]}, {"discriminator": None}])
    def test_broken_architectures(self, broken):
        failing(lambda: with_score_size(broken, 3))
        failing(lambda: with_gain(broken, 3))


class TestDescribe:
    def test_table(self):
        gen, dis = parse_architecture(TINY)
        lines = describe(dis).splitlines()
        assert lines[0] == "dis: (3, 8, 8) -> (2,)"
        assert lines[1].split("  ")[0] == "layer" and "multiply-adds" in lines[1]
        assert lines[3].split() == "d1 c 3x3/1 (4, 8, 8) 112 6,912 yes, x 1.5 lrelu".split()
        assert lines[-1].split() == f"total (2,) {dis.parameters:,} {dis.multiply_adds:,}".split()
        columns = {line.index("(") for line in lines[3:]}
        assert len(columns) == 1
        assert "besides 12 moving means and variances" in describe(gen)


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 20)
    | st.sampled_from([10**30, float("inf"), float("nan"), 2.5, b"c", frozenset(), object(), "", "a/b"])
    | st.sampled_from(["c", "d", "tc", "bn", "s", "relu", "crelu", "VALID", "layers", "name", "g1", "cb", "res"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
layer_keys = st.sampled_from(
    "name type op out bias act act_nm act_k w_nm w_p kernel strides dilation padding scale in_reshape "
    "out_reshape aux kernal".split()
)


@st.composite
def mutants(draw):
    """TINY with one to three changes anywhere."""
    architecture = copy.deepcopy(TINY)
    for _ in range(draw(st.integers(1, 3))):
        network = draw(st.sampled_from(["generator", "discriminator"]))
        where = draw(st.sampled_from(["top", "network", "layer", "layer", "layer"]))
        layers = architecture.get(network)
        if where == "top" or not isinstance(layers, list) or not layers:
            architecture[draw(st.sampled_from([*TINY, "links"]))] = draw(junk)
            continue
        index = draw(st.integers(0, len(layers) - 1))
        if where == "network" or not isinstance(layers[index], dict):
            layers[index] = draw(junk)
        else:
            layers[index][draw(layer_keys)] = draw(junk | st.lists(st.integers(1, 200), max_size=3))
    return architecture


@settings(max_examples=400, deadline=10_000, derandomize=True, suppress_health_check=list(HealthCheck))
@given(mutants(), junk)
def test_any_input_is_a_network_or_a_design_error(architecture, value):
    for attempt in (
        lambda: parse_architecture(architecture),
        lambda: parse_architecture(value),
        lambda: parse_network(value, (3, 8, 8)),
        lambda: parse_network(TINY["generator"], value),
        lambda: parse_network([value], (5,)),
        lambda: with_score_size(architecture, value),
        lambda: with_gain(architecture, value),
    ):
        try:
            parsed = attempt()
        except DesignError as error:
            assert str(error).endswith(".") and len(str(error)) < 800
            continue
        for spec in parsed if isinstance(parsed, tuple) else ():
            assert describe(spec)
            assert parse_network(json.loads(json.dumps(spec.layer_dicts)), spec.input_shape, spec.name) == spec
