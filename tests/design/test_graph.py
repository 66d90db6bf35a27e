"""Networks with links: routes, execution order, joined shapes, and the sentence of every mistake."""

from __future__ import annotations

import json

import pytest

from mmdgan.design import Route, parse_network
from tests.helpers.design_helpers import failing

SHAPE = (4, 8, 8)


def layers(*names: str, **keys) -> list[dict]:
    """1x1 convolutions to 4 channels of these names; `keys` by name change one."""
    return [{"name": name, "out": 4, "kernel": 1, **keys.get(name, {})} for name in names]


def link(sources: str, targets: str, how: str | None = None) -> dict:
    return {"from": sources.split(), "to": targets.split(), "how": how}


def network(written: list[dict], links: object, **more):
    spec = parse_network({"layers": written, "links": links, **more}, SHAPE)
    again = json.loads(json.dumps(spec.config))
    assert parse_network(again, SHAPE) == spec
    return spec


class TestRoutes:
    def test_chain(self):
        links = [link("input", "a"), link("a", "b")]
        spec = network(layers("a", "b"), links)
        assert spec == parse_network(layers("a", "b"), SHAPE)
        assert spec.routes == (Route((-1,)), Route((0,))) and spec.outputs == (1,)
        assert isinstance(spec.config, list) and spec.is_chain

    def test_layers_without_links_are_a_chain_with_any_outputs(self):
        spec = parse_network({"layers": layers("a", "b", "c"), "outputs": ["c", "a"]}, SHAPE)
        assert spec.outputs == (2, 0) and list(spec.output_shapes) == ["c", "a"]
        assert parse_network(spec.config, SHAPE) == spec

    def test_pairwise(self):
        spec = network(layers("a", "b", "c", "d"), [link("input input", "a b"), link("a b", "c d")], outputs=["d", "c"])
        assert spec.routes == (Route((-1,)), Route((-1,)), Route((0,)), Route((1,))) and spec.outputs == (3, 2)

    def test_fan_out(self):
        spec = network(layers("a", "b", "c", b={"out": 6}), [link("input", "a"), link("a", "b c")], outputs=["b", "c"])
        assert spec.routes == (Route((-1,)), Route((0,)), Route((0,)))
        assert spec.output_shapes == {"b": (6, 8, 8), "c": (4, 8, 8)} and spec.output_shape == (6, 8, 8)

    def test_concat(self):
        spec = network(layers("a", "b", a={"out": 6}), [link("input", "a"), link("a input a", "b", "concat")])
        assert spec.routes[1] == Route((0, -1, 0), "concat") and spec.layers[1].input_shape == (16, 8, 8)
        flat = {"name": "b", "op": "d", "out": 1}
        layout = [{"name": "a", "op": "i", "out_reshape": [256]}, {"name": "c", "op": "i", "out_reshape": [256]}, flat]
        spec = network(layout, [link("input", "a c"), link("a c", "b", "concat")])
        assert spec.layers[2].input_shape == (512,) and spec.parameters == 513

    def test_sum(self):
        spec = network(layers("a", "b"), [link("input", "a"), link("input a", "b", "sum")])
        assert spec.routes[1] == Route((-1, 0), "sum") and spec.layers[1].input_shape == (4, 8, 8)

    def test_split(self):
        links = [link("input", "a b", "split"), link("input", "c d", "split"), link("a b c d", "e", "concat")]
        spec = network(layers("a", "b", "c", "d", "e", b={"out": 1}), links)
        assert spec.routes[:4] == tuple(Route((-1,), "split", piece, 2) for piece in (0, 1, 0, 1))
        assert [layer.input_shape[0] for layer in spec.layers] == [2, 2, 2, 2, 13]

    def test_order_of_writing_is_free(self):
        links = [link("d b", "e", "sum"), link("input", "d"), link("d", "b")]
        spec = network(layers("e", "b", "d"), links)
        assert [layer.name for layer in spec.layers] == ["d", "b", "e"]
        assert spec.routes == (Route((-1,)), Route((0,)), Route((0, 1), "sum"))

    def test_order_of_writing_is_kept_where_it_can_be(self):
        spec = network(layers("a", "c", "b"), [link("input", "b c"), link("b c", "a", "sum")])
        assert [layer.name for layer in spec.layers] == ["c", "b", "a"]

    def test_an_output_may_feed_others(self):
        spec = network(layers("a", "b"), [link("input", "a"), link("a", "b")], outputs=["a", "b"])
        assert spec.outputs == (0, 1) and not spec.is_chain and isinstance(spec.config, dict)

    def test_counts_are_sums(self):
        spec = network(layers("a", "b", "c"), [link("input", "a b"), link("a b", "c", "sum")])
        assert spec.parameters == 3 * 20 and spec.multiply_adds == 3 * 16 * 64 and not spec.conditional

    def test_deep_networks(self):
        names = [f"l{index}" for index in range(1200)]
        pairs = zip(["input", *names], names, strict=False)
        spec = parse_network({"layers": layers(*reversed(names)), "links": [link(a, b) for a, b in pairs]}, SHAPE)
        assert spec.is_chain and spec.layers[0].name == "l0"


class TestErrors:
    @pytest.mark.parametrize(
        ("links", "words"),
        [
            (3, ["net, key 'links': must be a list of links, not 3"]),
            ([3], ["net, links[0]: must be a dictionary with the keys 'from', 'to', 'how'"]),
            ([{"from": ["input"], "too": ["a"]}], ["net, links[0]: unknown key 'too' (did you mean to?)"]),
            ([{"to": ["a"]}], ["net, links[0], key 'from': must be a non-empty list of names, not None"]),
            ([{"from": "input", "to": ["a"]}], ["key 'from'", "must be a non-empty list of names, not 'input'"]),
            ([link("input", "")], ["links[0], key 'to'", "non-empty list"]),
            ([link("inptu", "a")], ["links[0], key 'from'", "there is no layer 'inptu' (did you mean input?)"]),
            ([link("input", "a"), link("a", "input")], ["links[1], key 'to'", "there is no layer 'input'"]),
            ([{"from": [["input"]], "to": ["a"]}], ["key 'from'", "there is no layer ['input']"]),
            ([link("input", "a b", "join")], ["key 'how'", "'join' is not one of None, 'split', 'concat', 'sum'"]),
            ([link("input", "a b", ["sum"])], ["key 'how'", "['sum'] is not one of"]),
            ([link("input", "a"), link("input a", "b")], ["links[1], key 'how'", "'concat' or 'sum' for 2 sources"]),
            ([link("input", "a"), link("input a", "b", "split")], ["must say 'concat' or 'sum'", "not 'split'"]),
            ([link("input", "a b", "sum")], ["key 'how'", "'sum' cannot link 1 sources to 2 layers"]),
            ([link("input", "a", "split")], ["key 'how'", "must be None to link 1 to 1, not 'split'"]),
            ([link("input", "a", "concat")], ["key 'how'", "must be None"]),
            ([link("input input", "a b", "sum")], ["key 'how'", "must be None to link 2 to 2"]),
            ([link("input input input", "a b")], ["key 'how'", "None cannot link 3 sources to 2 layers"]),
            ([link("input", "a b"), link("a", "b")], ["links[1], key 'to'", "layer 'b' gets its input more than once"]),
            ([link("input", "a a")], ["layer 'a' gets its input more than once"]),
            ([link("input", "b")], ["net, key 'links': no link leads to layer 'a'"]),
            ([], ["no link leads to layer 'a'"]),
            ([link("a b", "b a")], ["net, key 'links'", "'a' -> 'b' -> 'a' are linked in a circle"]),
            ([link("input", "a"), link("b", "b")], ["'b' -> 'b' are linked in a circle"]),
            ([link("input", "a b")], ["key 'outputs'", "the layers 'a', 'b' feed no other"]),
        ],
    )
    def test_links(self, links, words):
        failing(lambda: parse_network({"layers": layers("a", "b"), "links": links}, SHAPE), *words)

    @pytest.mark.parametrize(
        ("outputs", "words"),
        [
            ("b", ["net, key 'outputs': must be a non-empty list of names, not 'b'"]),
            ([], ["non-empty list"]),
            (["c"], ["there is no layer 'c'"]),
            (["input"], ["there is no layer 'input'"]),
            ([None], ["there is no layer None"]),
            (["b", "b"], ["names a layer more than once: ['b', 'b']"]),
            (["a"], ["layer 'b' feeds no other and is not an output; use it or leave it out"]),
        ],
    )
    def test_outputs(self, outputs, words):
        failing(lambda: parse_network({"layers": layers("a", "b"), "outputs": outputs}, SHAPE), *words)

    @pytest.mark.parametrize(
        ("links", "words"),
        [
            (
                [link("small big", "a", "sum")],
                ["layer 'a' (layers[3])", "'small' (6, 4, 4), 'big' (4, 8, 8) cannot be summed"],
            ),
            ([link("big small", "a", "concat")], ["cannot be concatenated; only their channels may differ"]),
            ([link("flat big", "a", "concat")], ["'flat' (256,), 'big' (4, 8, 8) cannot be concatenated"]),
            ([link("big", "a b c", "split")], ["layer 'a'", "4 channels of 'big' (4, 8, 8)", "among 3 layers"]),
            ([link("flat", "a b c", "split")], ["256 channels of 'flat' (256,) cannot be split evenly"]),
            ([link("flat", "a")], ["layer 'a' (layers[3]), key 'in_reshape'", "takes an image", "(256,)"]),
        ],
    )
    def test_shapes(self, links, words):
        names = ["big", "small", "flat", *links[0]["to"]]
        written = layers(*names, small={"out": 6, "strides": 2}, flat={"out_reshape": [256]})
        whole = {"layers": written, "links": [link("input", "big small flat"), *links], "outputs": names}
        failing(lambda: parse_network(whole, SHAPE), "net, ", *words)

    def test_input_is_not_a_layers_name(self):
        failing(
            lambda: parse_network({"layers": layers("input"), "links": []}, SHAPE), "'input' is the network's input"
        )
        assert parse_network(layers("input"), SHAPE).output_shape == SHAPE

    def test_places_are_those_of_the_written_list(self):
        links = [link("input", "b"), link("b", "a")]
        written = layers("a", "b", a={"kernel": 0})
        failing(lambda: parse_network({"layers": written, "links": links}, SHAPE), "net, layer 'a' (layers[0])")
