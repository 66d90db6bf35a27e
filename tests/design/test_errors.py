"""The sentence of every error that a dictionary can cause: it names the network, the layer, the key and the remedy."""

from __future__ import annotations

import copy
from fractions import Fraction

import pytest

from mmdgan.design import parse_architecture, parse_network
from tests.helpers.design_helpers import TINY, changed, failing, failing_layer, one


class TestLayerErrors:
    @pytest.mark.parametrize(
        ("layer", "words"),
        [
            ({"out": 4, "kernal": 5}, ["unknown key 'kernal' (did you mean kernel?)"]),
            ({"out": 4, "Strides": 2}, ["unknown key 'Strides' (did you mean strides?)"]),
            ({"out": 4, 7: 2}, ["unknown key 7;"]),
            ({"out": 4, "op": "dc"}, ["key 'op'", "'dc' is not one of", "'c' (convolution)", "did you mean"]),
            ({"out": 4, "op": ["c"]}, ["key 'op'", "['c'] is not one of"]),
            ({"out": 4, "type": "resi"}, ["key 'type'", "'resi' is not one of 'default'", "did you mean res"]),
            ({"out": 4, "act": "leaky_relu"}, ["key 'act'", "'leaky_relu'", "(did you mean lrelu?)"]),
            ({"out": 4, "act": None}, ["key 'act'", "None is not one of"]),
            ({"out": 4, "act_nm": "ln"}, ["key 'act_nm'", "'ln' is not one of", "did you mean"]),
            (
                {"out": 4, "act_nm": "cbn"},
                ["key 'act_nm'", "'cbn' is conditional", "num_class of at least 2 (it is 0)"],
            ),
            ({"out": 4, "bias": "cb"}, ["key 'bias'", "'cb' is conditional", "num_class"]),
            ({"out": 4, "bias": "bcb"}, ["key 'bias'", "'bcb' is conditional", "num_class"]),
            ({"out": 4, "op": "cck"}, ["key 'op'", "'cck' is conditional", "num_class"]),
            ({"out": 4, "op": "tcck"}, ["key 'op'", "'tcck' is conditional", "num_class"]),
            ({"out": 4, "op": "dck", "in_reshape": [192]}, ["key 'op'", "'dck' is conditional", "num_class"]),
            ({"out": 4, "op": "dcd", "in_reshape": [192]}, ["key 'op'", "'dcd' is conditional", "num_class"]),
            (
                {"out": 1, "op": "d", "type": "project", "in_reshape": [192]},
                ["key 'type'", "'project' is conditional", "num_class"],
            ),
            ({"out": 4, "bias": True}, ["key 'bias'", "True is not one of"]),
            ({"out": 4, "bias": 0}, ["key 'bias'", "0 is not one of"]),
            ({"out": 4, "w_nm": "l2"}, ["key 'w_nm'", "'l2' is not one of"]),
            ({"out": 4, "w_nm": ["s"]}, ["key 'w_nm'", "['s'] is not one of"]),
            ({"out": 4, "padding": "same"}, ["key 'padding'", "(did you mean SAME?)"]),
            ({"out": 4, "act_k": "s"}, ["key 'act_k'", "must be a finite number above 0, not 's'"]),
            ({"out": 4, "act_k": 0}, ["key 'act_k'", "above 0"]),
            ({"out": 4, "act_k": float("nan")}, ["key 'act_k'", "finite"]),
            ({"out": 4, "act_k": 10**400}, ["key 'act_k'", "finite"]),
            ({"out": 4, "act_k": Fraction(1, 10**400)}, ["key 'act_k'", "above 0"]),
            ({}, ["key 'out'", "is missing; give the number of channels or features"]),
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
            ({"op": "avg", "kernel": 9, "padding": "VALID"}, ["key 'kernel'", "spans 9 pixels", "(3, 8, 8)"]),
            ({"out": 4, "op": "tc", "dilation": 2}, ["key 'dilation'", "op 'tc'"]),
            ({"out": 4, "op": "d"}, ["key 'in_reshape'", "flat features", "(3, 8, 8)", "[192]"]),
            ({"out": 4, "op": "max"}, ["key 'out'", "op 'max' gives the 3 channels it gets, not 4"]),
        ],
    )
    def test_messages(self, layer, words):
        failing_layer(layer, *words)

    @pytest.mark.parametrize(
        ("layer", "words"),
        [
            ({"op": "tc", "out": 4, "strides": 2**30}, ["key 'kernel'", "(4, 8589934592, 8589934592) of one sample"]),
            (
                {"op": "d", "out": 2**31 - 1, "in_reshape": [192]},
                ["key 'out'", "variable kernel/kernel (192, 2147483647)"],
            ),
            ({"out": 2**24, "kernel": 9, "strides": 8}, ["key 'kernel'", "variable kernel/kernel (9, 9, 3, 16777216)"]),
            ({"op": "sc", "out": 2**30, "strides": 8}, ["variable kernel/pointwise_kernel (1, 1, 3, 1073741824)"]),
            ({"out": 4, "dilation": 10**5}, ["key 'kernel'", "200001 pixels, is too large"]),
            ({"op": "avg", "kernel": 10**5}, ["key 'kernel'", "100000 pixels, is too large"]),
            ({"out": 4, "scale": ["bil", 10**5]}, ["key 'scale'", "(3, 800000, 800000) of one sample"]),
            (
                {"out": 2**24, "act": "crelu", "kernel": 1},
                ["key 'act'", "(33554432, 8, 8) of one sample"],
            ),
            ({"out": 10, "bias": "cb"}, ["key 'bias'", "variable bias/c_bias (1000000000, 1, 1, 10)"]),
            ({"op": "cck", "out": 2, "w_nm": "s"}, ["key 'w_nm'", "spectral vectors of kernel"]),
        ],
    )
    def test_nothing_has_more_values_than_tensorflow_can_count(self, layer, words):
        failing_layer(layer, *words, "2147483647" if "too large" not in str(words) else "", num_class=10**9)

    @pytest.mark.parametrize(
        ("scale", "words"),
        [
            ("ps", ["must be [method, factor] such as ['avg', -2]", "not 'ps'"]),
            ([], ["must be [method, factor]"]),
            (["ps", 2, 2], ["must be [method, factor]"]),
            (["bilinear", 2], ["'bilinear' is not one of 'ps' (periodic shuffling)", "did you mean bil?"]),
            ([None, 2], ["None is not one of"]),
            (["ps", "2"], ["its factor must be a number, not '2'"]),
            (["ps", True], ["its factor must be a number, not True"]),
            (["ps", None], ["its factor must be a number, not None"]),
            (["bil", 0], ["finite number other than 0, not 0"]),
            (["bil", float("nan")], ["finite number other than 0"]),
            (["bil", float("-inf")], ["finite number other than 0"]),
            (["bil", 10**400], ["finite number other than 0"]),
            (["bil", 1e-300], ["finite number other than 0"]),
            (["ps", 1.5], ["['ps', 1.5] needs a whole factor; only 'bil' and 'bic'"]),
            (["ps", 2], ["['ps', 2] needs channels divisible by 4, but its input is (3, 8, 8)"]),
            (["ps", -3], ["['ps', -3] does not divide the sides of its input"]),
            (["avg", 2], ["['avg', 2] can only reduce; write ['avg', -2], or enlarge with 'unpool'"]),
            (["max"], ["['max', 2] can only reduce"]),
            (["avg", -2.5], ["needs a whole factor"]),
            (["max", -3], ["does not divide the sides"]),
            (["unpool", 1], ["can only enlarge, by a factor of at least 2"]),
            (["unpool", -2], ["can only enlarge", "reduce with 'avg'"]),
            (["unpool", 2.5], ["needs a whole factor"]),
            (["bic", -9], ["['bic', -9] leaves no pixel of its input (3, 8, 8)"]),
            (["bil", 0.1], ["['bil', 0.1] leaves no pixel"]),
        ],
    )
    def test_scaling(self, scale, words):
        # The output of a layer without 'out' change is its input's, so that up and down meet the same shape.
        failing_layer({"out": 3, "kernel": 1, "scale": scale}, "key 'scale'", *words)

    def test_an_image_op_on_features_says_which_reshape_would_do(self):
        failing_layer({"out": 4}, "key 'in_reshape'", "op 'c' takes an image", "[512, 4, 4]", shape=(8192,))
        failing_layer({"out": 4, "op": "tc"}, "such as [7, 1, 1]", shape=(7,))

    def test_names(self):
        failing(lambda: parse_network([{"out": 4}], (3, 8, 8)), "net, layers[0]", "'name'", "needs a name")
        for name in ("", "a/b", 3, "a b", "_a", "-a", "é", "a:b", "\ud800"):
            failing(lambda name=name: one({"out": 4}, name=name), "layers[0], key 'name'", "first a letter or digit")
        assert [one({"out": 4}, name=name).name for name in ("l1", "0", "a.b-c_D")] == ["l1", "0", "a.b-c_D"]
        twins = [{"name": "a", "out": 4}, {"name": "b", "out": 4}, {"name": "a", "out": 4}]
        failing(lambda: parse_network(twins, (3, 8, 8)), "layer 'a' (layers[2])", "layers[0] has the same name")

    @pytest.mark.parametrize("layers", [None, [], "c", 5, {}, {"layers": None}])
    def test_no_layers(self, layers):
        failing(lambda: parse_network(layers, (3, 8, 8)), "net: must be a non-empty list of layer dictionaries")

    def test_a_layer_that_is_no_dictionary(self):
        failing(lambda: parse_network(["d"], (3,)), "net, layers[0]: must be a dictionary", "not 'd'")

    @pytest.mark.parametrize("shape", [(3, 8), 3, None, (3, 0, 8), (3, 8, "8")])
    def test_input_shape(self, shape):
        failing(lambda: one({"out": 4}, shape), "net, key 'input_shape': must be a list")

    def test_input_shape_too_large(self):
        failing(lambda: one({"out": 4}, (3, 2**16, 2**16)), "net, key 'input_shape'", "more than 2147483647 values")

    @pytest.mark.parametrize("num_class", [-1, True, 2.0, None, "2", 2**31])
    def test_num_class(self, num_class):
        layers = [{"name": "a", "out": 4}]
        failing(lambda: parse_network(layers, (3, 8, 8), num_class=num_class), "key 'num_class'", "must be an integer")

    def test_one_class_is_none(self):
        assert one({"out": 4}, num_class=1).output_shape == (4, 8, 8)
        failing_layer({"out": 4, "bias": "cb"}, "at least 2 (it is 1)", num_class=1)

    def test_network_name(self):
        failing(lambda: parse_network([{"name": "a", "out": 4}], (3, 8, 8), "a/b"), "name of a network", "'a/b'")


class TestArchitectureErrors:
    @pytest.mark.parametrize("key", ["input", "code", "generator", "discriminator"])
    def test_missing_key(self, key):
        broken = {name: value for name, value in TINY.items() if name != key}
        failing(lambda: parse_architecture(broken), f"architecture, key '{key}': is missing")

    def test_unknown_key(self):
        failing(lambda: parse_architecture(changed(critic=[])), "unknown key 'critic'", "'discriminator'")
        failing(lambda: parse_architecture(changed(generater=[])), "'generater' (did you mean generator?)")

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

    def test_generator_of_points(self):
        flat = {"input": [(2,)], "code": [(5,)], "generator": [{"name": "g", "op": "d", "out": 3}]}
        flat["discriminator"] = [{"name": "d", "op": "d", "out": 4}]
        place = "gen, layer 'g' (layers[0])"
        failing(lambda: parse_architecture(flat), place, "key 'out'", "(3,) must equal the architecture's 'input' (2,)")
        flat["generator"][0]["out"] = 2
        assert [spec.output_shape for spec in parse_architecture(flat)] == [(2,), (4,)]
        flat["input"], flat["discriminator"][0]["in_reshape"] = [(2, 1, 1)], [2]
        failing(lambda: parse_architecture(flat), place, "key 'out_reshape'", "(2,) must equal", "(2, 1, 1)")

    def test_critic_output(self):
        broken = changed(discriminator=TINY["discriminator"][:1])
        place = "dis, layer 'd1' (layers[0]), key 'out_reshape'"
        failing(lambda: parse_architecture(broken), place, "(4, 8, 8)", "'out_reshape': [256]", "'d'")

    def test_projection_critics_give_one_score(self):
        dense = copy.deepcopy(TINY)
        dense["discriminator"][2]["type"] = "project"
        place = "dis, layer 'd3' (layers[2]), key 'out'"
        failing(lambda: parse_architecture(dense, 10), place, "one score per sample but its 2", "--score_size=1")
        dense["discriminator"][2]["out"] = 1
        assert parse_architecture(dense, 10)[1].output_shape == (1,)

    def test_several_outputs(self):
        critic = {"layers": TINY["discriminator"], "outputs": ["d2", "d3"]}
        place = "dis, key 'outputs': must be one layer"
        failing(lambda: parse_architecture(changed(discriminator=critic)), place, "not 'd2', 'd3'")

    def test_the_output_of_a_graph_is_named(self):
        links = [{"from": ["input"], "to": ["g1"]}, {"from": ["g1"], "to": ["g3", "g2"]}]
        generator = {"layers": TINY["generator"], "links": links, "outputs": ["g2", "g3"]}
        failing(lambda: parse_architecture(changed(generator=generator)), "gen, key 'outputs'")
        links[1:] = [{"from": ["g1"], "to": ["g3"]}, {"from": ["g3"], "to": ["g2"]}]
        generator.pop("outputs")
        place = "gen, layer 'g2' (layers[1]), key 'out': the generator's output (6, 8, 8)"
        failing(lambda: parse_architecture(changed(generator=generator)), place)

    def test_dense_after_images_names_both_remedies(self):
        broken = copy.deepcopy(TINY)
        del broken["discriminator"][1]["out_reshape"]
        message = failing(lambda: parse_architecture(broken), "dis, layer 'd3' (layers[2])", "(8, 4, 4)")
        assert "'in_reshape': [128] here" in message and "'out_reshape'" in message
