"""Residual and non-local layers: parts in order, shapes and counts worked out by hand, and what does not fit."""

from __future__ import annotations

import json
import math

import pytest

from mmdgan.design import parse_network
from tests.helpers.design_helpers import failing_layer, one, variables


def slots(layer) -> list[str]:
    return [f"{part.slot} {part.op}" for part in layer.parts]


def shapes(layer) -> dict[str, tuple]:
    """Input and output shapes of the kernels."""
    return {part.slot: (part.input_shape, part.output_shape) for part in layer.parts if part.kernel}


class TestResidual:
    def test_upsampling_block(self):
        layer = one(
            {"type": "res", "out": 6, "act": "relu", "act_nm": "bn", "kernel": [3, 4, 1], "scale": ["unpool", 2]},
            (4, 8, 8),
        )
        assert slots(layer) == ["BN_0 bn", "kernel_0 c", "BN_1 bn", "kernel_1 c", "kernel_sc c", "bias_sc b"]
        assert variables(layer) == {
            "BN_0/gamma": (4,),
            "BN_0/beta": (4,),
            "kernel_0/kernel": (3, 3, 4, 6),
            "BN_1/gamma": (6,),
            "BN_1/beta": (6,),
            "kernel_1/kernel": (4, 4, 6, 6),
            "kernel_sc/kernel": (1, 1, 4, 6),
            "bias_sc/bias": (6,),
        }
        assert shapes(layer) == {
            "kernel_0": ((4, 16, 16), (6, 16, 16)),
            "kernel_1": ((6, 16, 16), (6, 16, 16)),
            "kernel_sc": ((4, 16, 16), (6, 16, 16)),
        }
        assert layer.output_shape == (6, 16, 16) and layer.state == 2 * (4 + 6)
        assert layer.parameters == 8 + 9 * 24 + 12 + 16 * 36 + 24 + 6
        assert layer.multiply_adds == (9 * 24 + 16 * 36 + 24) * 256

    def test_downsampling_block(self):
        layer = one({"type": "res", "out": [5, 6, 6], "scale": ["avg", -2], "w_nm": "s", "act_k": [2, True, 0.5]})
        assert slots(layer) == ["kernel_0 c", "bias_0 b", "kernel_1 c", "bias_1 b", "kernel_sc c", "bias_sc b"]
        assert shapes(layer) == {
            "kernel_0": ((3, 8, 8), (5, 8, 8)),
            "kernel_1": ((5, 8, 8), (6, 8, 8)),
            "kernel_sc": ((3, 8, 8), (6, 8, 8)),
        }
        assert layer.output_shape == (6, 4, 4) and layer.act_k == (2.0, 1.0, 0.5) and layer.out == (5, 6, 6)
        assert [(part.gain, part.spectral) for part in layer.parts if part.kernel] == [
            (2, True),
            (1, True),
            (0.5, True),
        ]

    def test_first_block_of_a_critic(self):
        layer = one({"type": "res_v1", "out": 6, "act_nm": "bn", "kernel": [3, 3, 1], "scale": ["avg", -2]})
        assert slots(layer) == ["kernel_0 c", "BN_1 bn", "kernel_1 c", "kernel_sc c", "bias_sc b"]
        assert layer.part("kernel_0").input_shape == (3, 8, 8) and layer.part("kernel_1").output_shape == (6, 8, 8)
        assert shapes(layer)["kernel_sc"] == ((3, 4, 4), (6, 4, 4)) and layer.output_shape == (6, 4, 4)
        assert layer.multiply_adds == 27 * 6 * 64 + 54 * 6 * 64 + 18 * 16

    def test_identity_block(self):
        layer = one({"type": "res_i", "out": [5, 3], "kernel": [1, 3, 7], "act_nm": "lrn"})
        assert slots(layer) == ["BN_0 lrn", "kernel_0 c", "bias_0 b", "BN_1 lrn", "kernel_1 c", "bias_1 b"]
        assert layer.parameters == 15 + 5 + 9 * 15 + 3 and layer.output_shape == (3, 8, 8)

    @pytest.mark.parametrize(
        ("op", "ops", "kernels"),
        [
            ("tc", ["tc", "c", "tc"], [(4, 4, 6, 3), (3, 3, 6, 6), (2, 2, 6, 3)]),
            ("tcck", ["tcck", "cck", "tcck"], [(4, 4, 6, 3), (3, 3, 6, 6), (2, 2, 6, 3)]),
        ],
    )
    def test_transposed_blocks_keep_the_size_in_their_second_kernel(self, op, ops, kernels):
        written = {"type": "res", "op": op, "out": 6, "kernel": [4, 3, 2], "strides": [2, 1, 2], "dilation": [1, 2, 1]}
        layer = one(written, num_class=3)
        parts = [part for part in layer.parts if part.kernel]
        assert [part.op for part in parts] == ops and [part.variables["kernel"] for part in parts] == kernels
        assert [part.output_shape for part in parts] == [(6, 16, 16)] * 3 and parts[1].dilation == 2
        assert layer.conditional == (op == "tcck")

    def test_every_part_can_be_conditional(self):
        layer = one({"type": "res", "op": "cck", "out": 6, "act_nm": "bn", "bias": "bcb"}, num_class=4)
        assert [part.op for part in layer.parts if part.conditional] == ["cck", "bcb"] * 3
        assert variables(layer)["kernel_sc/c_kernel"] == variables(layer)["bias_sc/c_bias"] == (4, 1, 1, 6)
        layer = one({"type": "res", "out": 6, "act_nm": "cbn", "bias": "cb"}, num_class=4)
        assert slots(layer) == ["BN_0 cbn", "kernel_0 c", "BN_1 cbn", "kernel_1 c", "kernel_sc c", "bias_sc b"]
        assert variables(layer)["BN_0/scale"] == (4, 1, 1, 3) and layer.part("BN_1").state["moving_mean"] == (6,)

    @pytest.mark.parametrize(("bias", "found"), [("b", "b b b"), (None, "b"), (False, ""), ("cb", "cb cb cb")])
    def test_the_shortcut_takes_none_for_a_common_bias(self, bias, found):
        layer = one({"type": "res", "out": 3, "bias": bias}, num_class=2)
        assert " ".join(part.op for part in layer.parts if part.slot.startswith("bias")) == found

    def test_crelu_doubles_what_each_kernel_gets_but_not_the_shortcut(self):
        layer = one({"type": "res", "out": 5, "act": "crelu", "act_nm": "bn"})
        channels = {slot: shape[0][0] for slot, shape in shapes(layer).items()}
        assert channels == {"kernel_0": 6, "kernel_1": 10, "kernel_sc": 3} and layer.output_shape == (5, 8, 8)
        assert variables(layer)["BN_0/beta"] == (3,) and variables(layer)["BN_1/beta"] == (5,)

    def test_dilation_is_idle_where_that_kernel_has_strides(self):
        layer = one({"type": "res", "out": 3, "strides": [2, 1, 2], "dilation": 3})
        assert layer.dilation == (1, 3, 1) and [part.dilation for part in layer.parts if part.kernel] == [1, 3, 1]
        assert layer.notes == ("dilation 3 has no effect because strides is 2",)
        assert one({"type": "res_i", "out": 3, "strides": [1, 1], "dilation": [2, 1, 5]}).notes == ()

    def test_lists_come_back(self):
        written = {"type": "res", "out": [5, 6, 6], "padding": ["SAME"] * 3, "kernel": (3, 3, 1), "scale": ["bil", 2.0]}
        layers = [{"name": "a", **written}]
        spec = parse_network(layers, (3, 8, 8))
        assert spec.layers[0].scale == ("bil", 2) and spec.config[0]["kernel"] == [3, 3, 1]
        assert parse_network(json.loads(json.dumps(spec.config)), (3, 8, 8)) == spec

    @pytest.mark.parametrize(
        ("layer", "words"),
        [
            (
                {"type": "res", "op": "d"},
                ["key 'op'", "type 'res' takes the ops 'c', 'sc', 'tc', 'cck', 'tcck', not 'd'"],
            ),
            ({"type": "res_i", "op": "avg"}, ["key 'op'", "not 'avg'"]),
            ({"type": "res", "kernel": [3, 3]}, ["key 'kernel'", "one value or a list of 3, not [3, 3]"]),
            ({"type": "res_i", "kernel": [3]}, ["key 'kernel'", "one value or a list of 2 or 3, not [3]"]),
            ({"type": "res", "kernel": [3, 3, 0]}, ["key 'kernel'", "from 1 to"]),
            ({"type": "res", "act_k": [1, 1, "x"]}, ["key 'act_k'", "'x'"]),
            ({"type": "res", "out": [4, 4, 5]}, ["key 'out'", "main one gives (4, 8, 8) and the shortcut (5, 8, 8)"]),
            ({"type": "res", "strides": 2}, ["key 'strides'", "(4, 2, 2) and the shortcut (4, 4, 4)", "a list holds"]),
            ({"type": "res", "padding": "VALID"}, ["key 'strides'", "(4, 4, 4) and the shortcut (4, 6, 6)"]),
            ({"type": "res_i"}, ["key 'out'", "gives (4, 8, 8) and the shortcut (3, 8, 8)", "use type 'res'"]),
            ({"type": "res_i", "scale": ["bil", 1]}, ["key 'scale'", "'res_i' cannot scale", "use type 'res'"]),
            ({"type": "res_v1", "scale": ["bil", 2]}, ["key 'scale'", "'res_v1' can only reduce, not scale by 2"]),
            ({"type": "res", "op": "tc", "dilation": 2}, ["key 'dilation'", "op 'tc'"]),
            ({"type": "res", "kernel": [1, 9, 1], "padding": "VALID"}, ["kernel_1 of 9 spans 9 pixels", "(4, 8, 8)"]),
            ({"type": "res", "in_reshape": [192]}, ["key 'in_reshape'", "takes an image"]),
            ({"type": "res", "op": "cck"}, ["key 'op'", "'cck' is conditional"]),
        ],
    )
    def test_errors(self, layer, words):
        failing_layer({"out": 4, **layer}, *words)


class TestNonLocal:
    @pytest.mark.parametrize("kind", ["nl", "nl_dist"])
    def test_attention(self, kind):
        layer = one({"type": kind, "out": [2, 2, 3], "act_nm": "bn", "kernel": [1, 1, 3], "w_nm": "s", "act_k": 2})
        assert slots(layer) == ["f_x c", "bias_f b", "g_x c", "h_x c", "BN_1 bn", "k_x k"]
        assert variables(layer) == {
            "f_x/kernel": (1, 1, 3, 2),
            "bias_f/bias": (2,),
            "g_x/kernel": (1, 1, 3, 2),
            "h_x/kernel": (3, 3, 3, 3),
            "BN_1/beta": (3,),
            "k_x/kernel": (),
        }
        assert layer.parameters == 6 + 2 + 6 + 81 + 3 + 1 and layer.state == 6
        assert layer.multiply_adds == (6 + 6 + 81) * 64 + 64 * 64 * (2 + 3)
        assert layer.output_shape == (3, 8, 8) and layer.part("k_x").spectral and layer.part("k_x").gain == 1.0

    @pytest.mark.parametrize("kind", ["nl_pool", "nl_pool_dist"])
    def test_pooled_attention(self, kind):
        layer = one({"type": kind, "out": [2, 2, 3], "kernel": 1}, (3, 7, 4))
        assert shapes(layer) == {
            "f_x": ((3, 7, 4), (2, 7, 4)),
            "g_x": ((3, 4, 2), (2, 4, 2)),
            "h_x": ((3, 4, 2), (3, 4, 2)),
        }
        assert layer.multiply_adds == 6 * 28 + 6 * 8 + 9 * 8 + 28 * 8 * (2 + 3)

    @pytest.mark.parametrize(
        ("keys", "found"),
        [
            ({}, "f_x c, bias_f b, g_x c, h_x c, k_x k"),
            ({"bias": None}, "f_x c, bias_f b, g_x c, h_x c, k_x k"),
            ({"bias": False}, "f_x c, g_x c, h_x c, k_x k"),
            ({"bias": False, "act_nm": "b"}, "f_x c, g_x c, h_x c, BN_1 bn, k_x k"),
            ({"bias": "bcb", "act_nm": "lrn"}, "f_x c, bias_f bcb, g_x c, h_x c, BN_1 lrn, k_x k"),
            ({"op": "cck", "act_nm": "cbn"}, "f_x cck, bias_f b, g_x cck, h_x cck, BN_1 cbn, k_x k"),
            ({"op": "tc"}, "f_x tc, bias_f b, g_x tc, h_x tc, k_x k"),
        ],
    )
    def test_norm_and_bias_are_free(self, keys, found):
        layer = one({"type": "nl", "out": 3, **keys}, num_class=2)
        assert ", ".join(slots(layer)) == found and layer.output_shape == (3, 8, 8)
        if keys.get("act_nm") == "cbn":
            assert variables(layer)["BN_1/scale"] == (2, 1, 1, 3)

    def test_keys_may_have_fewer_pixels_than_queries(self):
        layer = one({"type": "nl", "out": 3, "strides": [1, 4, 4]})
        assert layer.part("h_x").output_shape == (3, 2, 2)
        assert layer.multiply_adds == 81 * 64 + 2 * 81 * 4 + 64 * 4 * 6

    def test_crelu_only_selects_the_initialiser(self):
        layer = one({"type": "nl", "out": 3, "act": "crelu"})
        assert layer.output_shape == (3, 8, 8) and layer.part("h_x").act == "crelu" and math.prod(layer.op_shape) == 192

    @pytest.mark.parametrize(
        ("layer", "words"),
        [
            ({"out": 4}, ["key 'out'", "needs [c, c, 3]: f_x and g_x alike", "not [4, 4, 4]"]),
            ({"out": [2, 1, 3]}, ["key 'out'", "not [2, 1, 3]"]),
            ({"out": [2, 2]}, ["key 'out'", "a list of 3, not [2, 2]"]),
            (
                {"out": 3, "strides": 2},
                ["key 'strides'", "f_x must keep the sides of its input (3, 8, 8)", "(3, 4, 4)"],
            ),
            ({"out": 3, "strides": [1, 2, 1]}, ["key 'strides'", "g_x and h_x", "(3, 4, 4) and (3, 8, 8)"]),
            ({"out": 3, "op": "max"}, ["key 'op'", "type 'nl' takes the ops", "not 'max'"]),
            ({"out": 3, "act_nm": "cbn"}, ["key 'act_nm'", "num_class"]),
            ({"out": 3, "in_reshape": [192]}, ["key 'in_reshape'", "takes an image"]),
        ],
    )
    def test_errors(self, layer, words):
        failing_layer({"type": "nl", **layer}, *words)


class TestProjection:
    @pytest.mark.parametrize(
        ("layer", "words"),
        [
            ({"op": "c"}, ["key 'op'", "type 'project' takes the ops 'd', 'dcd', 'dck', not 'c'"]),
            ({}, ["key 'op'", "not 'c'"]),
            ({"op": "d", "out": 2}, ["key 'out'", "one score per sample but its 2", "'out': 1"]),
            ({"op": "d", "act": "crelu"}, ["key 'act'", "one score per sample but its 2"]),
        ],
    )
    def test_errors(self, layer, words):
        failing_layer({"type": "project", "out": 1, **layer}, *words, shape=(5,), num_class=2)

    @pytest.mark.parametrize("op", ["dcd", "dck"])
    def test_conditional_kernels(self, op):
        layer = one({"type": "project", "op": op, "out": 1}, (5,), num_class=2)
        assert slots(layer) == [f"kernel {op}", "bias b", "project project"]
        assert layer.part("project").multiply_adds == 5
