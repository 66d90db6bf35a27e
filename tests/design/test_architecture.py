"""The dictionary language: resolved keys, shapes and counts of plain layers, worked out by hand."""

from __future__ import annotations

import copy
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmdgan.design import load_architecture, parse_architecture, parse_network, with_gain, with_score_size
from tests.helpers.design_helpers import TINY, changed, failing, one, variables

ROOT = Path(__file__).resolve().parents[2]


class TestPresets:
    @pytest.mark.parametrize(
        ("preset", "generator", "critic"),
        [
            ("cifar10/DCGAN", 3_811_907, 5_983_760),
            ("cifar10/DCGAN_QUARTER", 436_883, 399_248),
            ("cifar10/DCGAN_EIGHTH", 175_435, 108_240),
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
            ({"op": "sc", "kernel": 4, "strides": 2}, 4),
            ({"op": "tc"}, 8),
            ({"op": "tc", "kernel": 4, "strides": 2}, 16),
            ({"op": "tc", "kernel": 4, "strides": 3, "padding": "VALID"}, 27),
        ],
    )
    def test_sides(self, keys, side):
        layer = one({"out": 7, **keys})
        assert layer.op_shape == layer.output_shape == (7, side, side)

    @pytest.mark.parametrize(
        ("keys", "shape"),
        [
            ({}, (3, 8, 8)),
            ({"kernel": 2, "strides": 2}, (3, 4, 4)),
            ({"kernel": 3, "strides": 3}, (3, 3, 3)),
            ({"kernel": 3, "strides": 3, "padding": "VALID"}, (3, 2, 2)),
            ({"kernel": 8, "padding": "VALID", "out": 3}, (3, 1, 1)),
        ],
    )
    @pytest.mark.parametrize("op", ["max", "avg", "sum"])
    def test_pools_keep_their_channels(self, op, keys, shape):
        layer = one({"op": op, "bias": False, **keys})
        assert layer.output_shape == shape and layer.out == 3
        assert layer.parts[0].op == op and layer.parameters == layer.multiply_adds == 0
        assert one({"op": op, **keys}).parameters == 3  # the default bias

    def test_odd_and_oblong_images(self):
        assert one({"out": 2, "kernel": 4, "strides": 2}, (1, 7, 12)).op_shape == (2, 4, 6)
        assert one({"out": 2, "kernel": 4, "strides": 2, "padding": "VALID"}, (1, 7, 12)).op_shape == (2, 2, 5)

    @pytest.mark.parametrize(
        ("scale", "shape", "gets", "gives"),
        [
            (["unpool", 2], (3, 8, 8), (3, 16, 16), (7, 16, 16)),
            (["unpool", 3], (3, 2, 5), (3, 6, 15), (7, 6, 15)),
            (["ps", 2], (8, 3, 4), (2, 6, 8), (7, 6, 8)),
            (["ps", 1], (3, 8, 8), (3, 8, 8), (7, 8, 8)),
            (["ps", -2], (3, 8, 4), (3, 8, 4), (28, 4, 2)),
            (["avg", -2], (3, 8, 4), (3, 8, 4), (7, 4, 2)),
            (["max", -4], (3, 8, 4), (3, 8, 4), (7, 2, 1)),
            (["bil", 1.5], (3, 5, 4), (3, 7, 6), (7, 7, 6)),
            (["bil", -1.5], (3, 5, 4), (3, 5, 4), (7, 3, 2)),
            (["bic", 0.5], (3, 5, 4), (3, 2, 2), (7, 2, 2)),
            (["bic", -0.5], (3, 5, 4), (3, 5, 4), (7, 10, 8)),
            (["bic"], (3, 5, 4), (3, 10, 8), (7, 10, 8)),
        ],
    )
    def test_scaling(self, scale, shape, gets, gives):
        layer = one({"out": 7, "scale": scale}, shape)
        assert layer.part("kernel").input_shape == gets and layer.op_shape == layer.output_shape == gives
        assert one({"out": 7, "op": "i", "scale": scale}, shape).output_shape == shape

    def test_scaling_down_comes_after_the_activation(self):
        layer = one({"out": 6, "act": "crelu", "act_nm": "bn", "scale": ["ps", -2]})
        assert variables(layer) == {"kernel/kernel": (3, 3, 3, 6), "BN/gamma": (6,), "BN/beta": (6,)}
        assert layer.op_shape == (2 * 6 * 4, 4, 4)

    @pytest.mark.parametrize("shape", [(3, 8, 8), (5,)])
    def test_identity_keeps_any_shape_and_has_no_bias(self, shape):
        net = parse_network([{"name": "a", "op": "i", "act": "relu"}, {"name": "b", "op": "i", "act_nm": "bn"}], shape)
        assert [layer.output_shape for layer in net.layers] == [shape, shape]
        assert net.parameters == 2 * shape[0] == net.state and net.multiply_adds == 0
        assert one({"op": "i", "act": "crelu"}, shape).output_shape == (2 * shape[0], *shape[1:])

    def test_crelu_doubles_the_channels(self):
        net = parse_network([{"name": "a", "out": 4, "act": "crelu"}, {"name": "b", "out": 1}], (3, 8, 8))
        assert net.layers[0].op_shape == net.layers[0].output_shape == (8, 8, 8)
        assert net.layers[0].parameters == 9 * 3 * 4 + 4 and net.layers[1].parameters == 9 * 8 + 1
        assert one({"op": "d", "out": 4, "act": "crelu"}, (5,)).output_shape == (8,)

    def test_in_reshape_comes_first(self):
        layer = one({"op": "d", "out": 2, "in_reshape": [192]})
        assert layer.input_shape == (192,) and layer.parameters == 192 * 2 + 2


class TestCounts:
    def test_convolution(self):
        layer = one({"out": 7, "kernel": 4, "strides": 2, "act_nm": "BN"})
        assert variables(layer) == {"kernel/kernel": (4, 4, 3, 7), "BN/gamma": (7,), "BN/beta": (7,)}
        assert layer.parameters == 4 * 4 * 3 * 7 + 14 and layer.state == 14
        assert layer.part("BN").state == {"moving_mean": (7,), "moving_variance": (7,)}
        assert layer.multiply_adds == 4 * 4 * 3 * 7 * 4 * 4

    def test_transposed_convolution(self):
        layer = one({"op": "tc", "out": 7, "kernel": 4, "strides": 2})
        assert variables(layer) == {"kernel/kernel": (4, 4, 7, 3), "bias/bias": (7,)}
        assert layer.parameters == 4 * 4 * 3 * 7 + 7 and layer.state == 0
        assert layer.multiply_adds == 4 * 4 * 3 * 7 * 8 * 8

    def test_separable_convolution(self):
        layer = one({"op": "sc", "out": 7, "kernel": 4, "strides": 2, "bias": None})
        names = {"kernel/depthwise_kernel": (4, 4, 3, 1), "kernel/pointwise_kernel": (1, 1, 3, 7)}
        assert variables(layer) == names
        assert layer.multiply_adds == (4 * 4 * 3 + 3 * 7) * 4 * 4

    def test_batch_norm_of_features_is_per_unit_before_the_reshape(self):
        layer = one({"op": "d", "out": 18, "act_nm": "bn", "out_reshape": [2, 3, 3]}, (5,))
        assert layer.op_shape == (18,) and layer.output_shape == (2, 3, 3)
        assert layer.parameters == 5 * 18 + 2 * 18 and layer.state == 36
        assert layer.kernel is None and layer.multiply_adds == 90

    def test_local_response_norm_has_no_variables_and_keeps_the_bias(self):
        layer = one({"out": 7, "act_nm": "lrn"})
        assert [part.op for part in layer.parts] == ["c", "b", "lrn"] and layer.part("BN").variables == {}
        assert layer.parameters == 27 * 7 + 7 and layer.state == 0

    @pytest.mark.parametrize(
        ("layer", "shape", "names", "multiply_adds"),
        [
            ({"op": "dcd", "out": 7}, (5,), {"kernel/kernel": (5, 7), "kernel/c_kernel": (4, 5, 7)}, 2 * 35),
            ({"op": "dck", "out": 7}, (5,), {"kernel/kernel": (5, 7), "kernel/c_kernel": (4, 7)}, 35),
            (
                {"op": "cck", "out": 7, "strides": 2},
                (3, 8, 8),
                {"kernel/kernel": (3, 3, 3, 7), "kernel/c_kernel": (4, 1, 1, 7)},
                27 * 7 * 16,
            ),
            (
                {"op": "tcck", "out": 7, "strides": 2},
                (3, 8, 8),
                {"kernel/kernel": (3, 3, 7, 3), "kernel/c_kernel": (4, 1, 1, 7)},
                27 * 7 * 64,
            ),
            ({"op": "i", "act_nm": "CBN"}, (3, 8, 8), {"BN/scale": (4, 1, 1, 3), "BN/offset": (4, 1, 1, 3)}, 0),
            ({"op": "i", "act_nm": "cbn"}, (5,), {"BN/scale": (4, 5), "BN/offset": (4, 5)}, 0),
            ({"op": "max", "bias": "c_bias"}, (3, 8, 8), {"bias/c_bias": (4, 1, 1, 3)}, 0),
            (
                {"op": "d", "out": 1, "bias": "bcb"},
                (5,),
                {"kernel/kernel": (5, 1), "bias/bias": (1,), "bias/c_bias": (4, 1)},
                5,
            ),
            (
                {"type": "project", "op": "d", "out": 1},
                (5,),
                {"kernel/kernel": (5, 1), "bias/bias": (1,), "project/kernel": (4, 5)},
                10,
            ),
        ],
    )
    def test_conditional_operations(self, layer, shape, names, multiply_adds):
        bias = {} if layer["op"] in ("i", "max") or "bias" in layer or "type" in layer else {"bias": None}
        spec = one({**bias, **layer}, shape, num_class=4)
        assert variables(spec) == names and spec.multiply_adds == multiply_adds and spec.conditional
        assert spec.parameters == sum(math.prod(size) for size in names.values())

    def test_projection_sees_the_reshaped_input_and_has_no_multiplier(self):
        layer = {"type": "project", "op": "d", "out": 1, "in_reshape": [192], "act": "relu", "w_nm": "s", "act_k": 3}
        spec = one(layer, num_class=2)
        kernel, project = spec.part("kernel"), spec.part("project")
        assert project.input_shape == (192,) and project.variables == {"kernel": (2, 192)}
        assert (project.act, project.gain, project.spectral) == ("linear", 1.0, True)
        assert (kernel.act, kernel.gain, kernel.spectral) == ("relu", 3.0, True)

    def test_numpy_integers(self):
        layers = [{"name": np.str_("a"), "out": np.int64(4), "kernel": np.uint8(5), "out_reshape": [np.int32(256)]}]
        net = parse_network(layers, tuple(np.array([3, 8, 8])), num_class=np.int16(2))
        assert net.output_shape == (256,) and net.parameters == 25 * 3 * 4 + 4
        assert json.dumps(net.config) and (type(net.num_class), type(net.layers[0].name)) == (int, str)


class TestResolvedKeys:
    def test_defaults(self):
        layer = one({"out": 4})
        assert (layer.type, layer.op, layer.bias, layer.act, layer.act_nm) == ("default", "c", "b", "linear", None)
        assert (layer.kernel, layer.strides, layer.dilation, layer.padding, layer.scale) == (3, 1, 1, "SAME", None)
        assert (layer.act_k, layer.w_nm, layer.in_reshape, layer.out_reshape) == (1.0, None, None, None)

    @pytest.mark.parametrize(
        ("written", "resolved"),
        [("b", "b"), ("bias", "b"), ("cb", "cb"), ("c_bias", "cb"), ("bcb", "bcb"), (None, None), (False, False)],
    )
    def test_bias(self, written, resolved):
        layer = one({"out": 4, "bias": written}, num_class=2)
        assert (type(layer.bias), layer.bias) == (type(resolved), resolved)
        assert (layer.part("bias") is None) == (not resolved)

    @pytest.mark.parametrize(
        ("norm", "bias", "left"),
        [
            *((norm, bias, None) for norm in ("b", "bn", "BN") for bias in ("b", "bias", None)),
            ("bn", False, False),
            ("bn", "cb", "cb"),
            ("bn", "bcb", "bcb"),
            *(("cbn", bias, None) for bias in ("b", None, False, "cb", "bcb")),
            ("lrn", "b", "b"),
        ],
    )
    def test_norms_override_biases(self, norm, bias, left):
        layer = one({"out": 4, "bias": bias, "act_nm": norm}, num_class=2)
        assert (type(layer.bias), layer.bias) == (type(left), left)
        assert layer.act_nm == {"b": "bn", "BN": "bn"}.get(norm, norm)

    @pytest.mark.parametrize(
        ("written", "resolved"),
        [(False, 1.0), (None, 1.0), (True, 1.0), (2, 2.0), (Fraction(1, 4), 0.25), (np.float32(0.5), 0.5)],
    )
    def test_act_k(self, written, resolved):
        layer = one({"out": 4, "w_nm": "s", "act_k": written})
        assert layer.act_k == resolved == layer.part("kernel").gain and isinstance(layer.act_k, float)
        idle = one({"out": 4, "act_k": written})
        assert idle.act_k == resolved and idle.part("kernel").gain == 1.0 and not idle.part("kernel").spectral

    def test_the_kernel_knows_which_initialiser_it_needs(self):
        assert one({"out": 4, "act": "lrelu"}).part("kernel").act == "lrelu"

    def test_resolved_dictionaries_are_plain_and_give_the_same_network(self):
        for spec in parse_architecture(TINY):
            again = json.loads(json.dumps(spec.layer_dicts))
            assert spec.config == again and parse_network(again, spec.input_shape, spec.name) == spec

    def test_a_dictionary_with_layers_is_a_chain(self):
        layers = TINY["discriminator"]
        assert parse_network({"layers": layers}, (3, 8, 8)) == parse_network(layers, (3, 8, 8))
        failing(lambda: parse_network({"layers": layers, "link": []}, (3, 8, 8)), "'link' (did you mean links?)")


class TestNotes:
    """Known keys that the type or op does not read are accepted, whatever they hold, and remarked on."""

    @pytest.mark.parametrize(
        ("layer", "shape", "note"),
        [
            ({"op": "d", "out": 4, "kernel": 3}, (5,), "kernel has no effect because op 'd' does not read it"),
            ({"op": "d", "out": 4, "scale": "twice"}, (5,), "scale has no effect because op 'd' does not read it"),
            ({"op": "i", "out": -4}, (5,), "out has no effect because op 'i' does not read it"),
            ({"op": "i", "bias": "b"}, (5,), "bias has no effect because op 'i' does not read it"),
            ({"op": "i", "w_nm": "s"}, (5,), "w_nm has no effect because op 'i' has no kernel"),
            ({"op": "avg", "w_nm": "s"}, (3, 8, 8), "w_nm has no effect because op 'avg' has no kernel"),
            ({"op": "max", "act_k": 2}, (3, 8, 8), "act_k has no effect because op 'max' has no kernel"),
            ({"op": "sum", "dilation": 2}, (3, 8, 8), "dilation has no effect because op 'sum' does not read it"),
            ({"op": "tc", "out": 4, "scale": ["ps", 2]}, (3, 8, 8), "scale has no effect because op 'tc' does not"),
            ({"out": 4, "aux": object()}, (3, 8, 8), "aux is never read"),
            ({"out": 4, "w_p": [1]}, (3, 8, 8), "w_p is never read"),
            ({"out": 4, "act_k": 2.0}, (3, 8, 8), "act_k has no effect because w_nm is not 's'"),
            ({"out": 4, "strides": 2, "dilation": 3}, (3, 8, 8), "dilation 3 has no effect because strides is 2"),
            ({"op": "sc", "out": 4, "strides": 3, "dilation": 2}, (3, 8, 8), "dilation 2 has no effect because"),
            ({"op": "tc", "out": 4, "strides": 3, "dilation": 2}, (3, 8, 8), "dilation 2 has no effect because"),
            (
                {"type": "nl", "out": [1, 1, 3], "scale": ["avg", -2]},
                (3, 8, 8),
                "scale has no effect because type 'nl' does not read it",
            ),
            ({"type": "nl", "out": [1, 1, 3], "act": "relu"}, (3, 8, 8), "act 'relu' only selects the initialiser"),
        ],
    )
    def test_notes(self, layer, shape, note):
        found = one(layer, shape).notes
        assert len(found) == 1 and note in found[0]
        key = note.split()[0]
        without = {name: value for name, value in layer.items() if name != key}
        assert one(without, shape).notes == () and one(without, shape).parts == one(layer, shape).parts or key == "act"

    @pytest.mark.parametrize("layer", [{"out": 4, "aux": None, "act_k": 1.0}, {"op": "i", "bias": False, "out": None}])
    def test_no_notes_on_what_says_nothing(self, layer):
        assert one(layer).notes == ()

    def test_dilation_with_strides_is_one(self):
        net = parse_network([{"name": "a", "out": 4, "strides": 2, "dilation": 3, "padding": "VALID"}], (3, 9, 9))
        assert net.output_shape == (4, 4, 4) and net.layers[0].dilation == net.layers[0].parts[0].dilation == 1

    def test_transposed_convolutions_do_not_scale(self):
        assert one({"op": "tc", "out": 4, "scale": ["ps", 2]}).output_shape == (4, 8, 8)
        assert one({"op": "tcck", "out": 4, "scale": ["unpool", 2]}, num_class=2).output_shape == (4, 16, 16)


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

    def test_the_output_layer_of_a_graph(self):
        layers = [TINY["discriminator"][index] for index in (2, 0, 1)]
        chain = [{"from": ["input"], "to": ["d1"]}, {"from": ["d1"], "to": ["d2"]}, {"from": ["d2"], "to": ["d3"]}]
        graph = changed(discriminator={"layers": layers, "links": chain})
        _, dis = parse_architecture(with_gain(with_score_size(graph, 7), 8))
        assert dis.output_shape == (7,) and [layer.act_k for layer in dis.layers] == pytest.approx([2.0] * 3)
        graph["discriminator"]["outputs"] = ["d1", "d3"]
        assert [layer.get("out") for layer in with_score_size(graph, 7)["discriminator"]["layers"]] == [2, 7, 8]
        failing(lambda: with_score_size(changed(discriminator={"layers": layers, "links": []}), 7), "dis, key 'links'")

    @pytest.mark.parametrize("last", [{"op": "i"}, {"op": "sum"}, {"type": "nl"}])
    def test_a_last_layer_without_out_cannot_take_the_score_size(self, last):
        critic = [*TINY["discriminator"][:1], {"name": "last", **last}]
        place = "dis, layer 'last' (layers[1]), key 'out'"
        failing(lambda: with_score_size(changed(discriminator=critic), 7), place, "end the critic in an op 'd'")

    def test_layers_without_a_kernel_have_no_share_in_the_gain(self):
        pool, block = {"name": "p", "op": "avg", "w_nm": "s"}, {"name": "r", "type": "res_i", "out": 4, "w_nm": "s"}
        critic = with_gain(changed(discriminator=[*TINY["discriminator"][:1], pool, block]), 9)["discriminator"]
        assert [layer.get("act_k") for layer in critic] == [pytest.approx(3.0), None, pytest.approx(3.0)]
        spec = parse_network(critic, (3, 8, 8))
        assert [part.gain for part in spec.layers[2].parts if part.spectral] == pytest.approx([3.0, 3.0])

    @pytest.mark.parametrize("broken", [None, {}, {"discriminator": [3]}, {"discriminator": None}])
    def test_broken_architectures(self, broken):
        failing(lambda: with_score_size(broken, 3))
        failing(lambda: with_gain(broken, 3))
