"""The summary of a network, and receptive fields against pixels counted one by one."""

from __future__ import annotations

import random

import pytest

from mmdgan.design import describe, parse_architecture, parse_network, receptive_fields
from tests.helpers.design_helpers import TINY


def row(text: str, name: str) -> list[str]:
    """The words of the line that starts with `name`."""
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [name])


class TestTable:
    def test_chain(self):
        gen, dis = parse_architecture(TINY)
        lines = describe(dis).splitlines()
        assert lines[0] == "dis: (3, 8, 8) -> (2,)"
        columns = "layer op output shape parameters multiply-adds receptive field spectral norm bias activation reshape"
        assert lines[1].split() == columns.split()
        assert lines[3].split() == "d1 c 3x3/1 (4, 8, 8) 112 6,912 3 yes, x 1.5 b lrelu".split()
        assert lines[4].split() == "d2 c 4x4/2 (128,) 520 8,192 6 yes, x 1 b linear out (128,)".split()
        assert lines[5].split() == "d3 d (2,) 258 256 all yes, x 1 b linear".split()
        assert lines[-1].split() == "total (2,) 890 15,360".split()
        assert len({line.index("(") for line in lines[3:]}) == 1
        assert row(describe(gen), "g2") == "g2 tc 4x4/2 (6, 4, 4) 396 1,536 - no no bn relu".split()
        assert describe(gen).splitlines()[-1] == "plus 12 moving means and variances, not trained"

    def test_windows_scaling_and_notes(self):
        layers = [
            {
                "name": "a",
                "out": 4,
                "dilation": 2,
                "padding": "VALID",
                "in_reshape": [3, 4, 16],
                "scale": ["bil", 1.5],
            },
            {"name": "b", "op": "sum", "kernel": 2, "strides": 2, "w_nm": "s"},
            {"name": "c", "type": "c_bias", "op": "i"},
        ]
        text = describe(parse_network(layers, (3, 8, 8)))
        assert row(text, "a")[1:6] == ["c", "3x3/1", "dilation", "2", "VALID"]
        assert row(text, "a")[-6:] == ["bil", "1.5", "in", "(3,", "4,", "16)"]
        assert row(text, "b")[1:3] == ["sum", "2x2/2"] and row(text, "c")[1:3] == ["c_bias", "i"]
        assert text.splitlines()[-1] == "note: b: w_nm has no effect because op 'sum' has no kernel"

    def test_parts_of_blocks(self):
        layers = [
            {
                "name": "r",
                "type": "res",
                "out": 4,
                "w_nm": "s",
                "act_k": [2, 3, 0.5],
                "kernel": [3, 3, 1],
                "act_nm": "cbn",
            },
            {"name": "n", "type": "nl", "out": [2, 2, 4], "kernel": 1, "w_nm": "s"},
            {"name": "p", "type": "project", "op": "d", "out": 1, "in_reshape": [256]},
        ]
        text = describe(parse_network(layers, (3, 8, 8), num_class=10))
        assert row(text, "r") == "r res c (4, 8, 8) 408 16,896 5 yes no cbn linear".split()
        assert row(text, "BN_1") == "BN_1 cbn (4, 8, 8) 80".split()
        assert row(text, "kernel_sc") == "kernel_sc c 1x1/1 (4, 8, 8) 12 768 yes, x 0.5".split()
        assert row(text, "k_x") == "k_x k (4, 8, 8) 1".split()
        assert row(text, "project") == "project project (1,) 2,560 256".split()
        assert "conditional on 10 classes\nplus 14 moving" in text

    def test_graph(self):
        links = [
            {"from": ["input"], "to": ["a", "b"], "how": "split"},
            {"from": ["a", "b", "input"], "to": ["c"], "how": "concat"},
        ]
        layers = [{"name": name, "op": "i"} for name in "cba"]
        text = describe(parse_network({"layers": layers, "links": links, "outputs": ["c", "b"]}, (4, 8, 8)))
        assert text.splitlines()[0] == "net: (4, 8, 8) -> c (8, 8, 8), b (2, 8, 8)"
        assert row(text, "b")[1:6] == ["input", "[2", "of", "2]", "i"]
        assert row(text, "c")[1:7] == ["concat", "of", "b,", "a,", "input", "i"] or "concat of a, b, input" in text
        assert row(text, "total") == ["total", "0", "0"]


def fields(layers: list[dict], shape=(4, 64, 64), **more) -> list:
    named = [{"name": f"l{index}", "out": 4, **layer} for index, layer in enumerate(layers)]
    named = [{key: value for key, value in layer.items() if value is not None} for layer in named]
    return receptive_fields(parse_network(named, shape, **more))


POOL, UP = {"op": "avg", "kernel": 2, "strides": 2}, {"op": "tc", "kernel": 4, "strides": 2}
DOWN = {"kernel": 4, "strides": 2}


class TestReceptiveFields:
    @pytest.mark.parametrize(
        ("layers", "expected"),
        [
            ([{}, {}, {"kernel": 1}], [3, 5, 5]),
            ([{}, DOWN, {}, DOWN, {}, DOWN, {}], [3, 6, 10, 16, 24, 36, 52]),  # the published CIFAR critic
            ([{"dilation": 4}, {"kernel": 2, "dilation": 3}], [9, 12]),
            ([POOL, POOL, {}], [2, 4, 12]),
            ([{"op": "max", "kernel": 3, "strides": 2, "padding": "VALID"}, {"op": "sum"}], [3, 7]),
            ([UP, UP, {}], [2, 3, 3]),
            ([{"op": "tc", "kernel": 5, "strides": 2}, {"op": "tc", "kernel": 2, "strides": 4}], [3, 3]),
            ([{"op": "tc", "kernel": 3}], [3]),
            ([{"op": "tc", "kernel": 5, "strides": 2}, {"kernel": 2}, {"kernel": 4}], [3, 3, 5]),
            ([DOWN, UP, {}], [4, 6, 8]),
            ([{"kernel": 1, "scale": ["unpool", 2]}, {}, {}], [1, 2, 3]),
            ([{"kernel": 3, "scale": ["unpool", 4]}], [2]),
            ([{"kernel": 3, "scale": ["ps", 2]}, {"scale": ["ps", -2]}], [2, 4]),
            ([{"kernel": 3, "scale": ["avg", -2]}, {"scale": ["max", -4]}], [4, 14]),
            ([{"kernel": 1, "scale": ["bil", 2]}, {"kernel": 1, "scale": ["bic", 2]}], [2, 4]),
            ([{"kernel": 1, "scale": ["bil", -2]}, {"kernel": 1, "scale": ["bil", 1]}], [2, 2]),
            ([{"op": "i", "out": None, "act": "crelu", "act_nm": "lrn"}, {}], [1, 3]),
            ([{}, {"type": "nl", "kernel": 1}, {}], [3, "all", "all"]),
            ([{"out_reshape": [4 * 64 * 64]}, {"op": "i"}, {"op": "d"}, {"op": "i"}], [3, 3, "all", "all"]),
        ],
    )
    def test_by_hand(self, layers, expected):
        assert fields(layers) == expected

    @pytest.mark.parametrize(
        ("block", "expected"),
        [
            ({"type": "res"}, 5),
            ({"type": "res", "kernel": [3, 3, 1], "scale": ["avg", -2]}, 6),
            ({"type": "res", "kernel": [1, 1, 7]}, 7),
            ({"type": "res_i", "kernel": 5}, 9),
            ({"type": "res_v1", "kernel": [1, 1, 3], "scale": ["avg", -2]}, 6),
            ({"type": "res_v1", "kernel": [3, 3, 1], "scale": ["avg", -2]}, 6),
            ({"type": "res", "kernel": [3, 3, 1], "scale": ["unpool", 2]}, 3),
            ({"type": "res", "op": "tc", "kernel": [4, 3, 2], "strides": [2, 1, 2]}, 3),
            ({"type": "res", "kernel": [4, 3, 2], "strides": [2, 1, 2]}, 8),
        ],
    )
    def test_the_wider_branch_of_a_block_counts(self, block, expected):
        assert fields([block]) == [expected]

    def test_the_widest_path_of_a_graph_counts(self):
        layers = [{"name": name, "out": 2, "kernel": size} for name, size in zip("abcd", (3, 9, 5, 3), strict=True)]
        links = [
            {"from": ["input"], "to": ["a", "b"]},
            {"from": ["a"], "to": ["c"]},
            {"from": ["b", "c", "input"], "to": ["d"], "how": "concat"},
        ]
        spec = parse_network({"layers": layers, "links": links}, (2, 32, 32))
        assert dict(zip([layer.name for layer in spec.layers], receptive_fields(spec), strict=True)) == {
            "a": 3,
            "b": 9,
            "c": 7,
            "d": 11,
        }

    def test_interpolation_that_meets_pixels_reads_one(self):
        layer = {"kernel": 1, "scale": ["bil", -1.5]}  # 3 pixels become 2: the corners
        assert fields([layer], (4, 3, 3)) == [1] and fields([layer], (4, 3, 4)) == fields([layer], (4, 4, 4)) == [1]
        assert fields([layer], (4, 6, 3)) == [2]

    def test_flat_inputs_have_none(self):
        assert fields([{"op": "d"}, {"op": "i", "in_reshape": [4, 1, 1]}, {}], (5,)) == ["-"] * 3

    def test_a_reshape_that_moves_pixels_lets_kernels_see_everything(self):
        back = [{"out_reshape": [4 * 64 * 64]}, {"in_reshape": [4, 64, 64]}]
        assert fields(back) == [3, 5]
        doubled = [{"out_reshape": [4 * 64 * 64]}, {"op": "i", "act": "crelu"}, {"in_reshape": [8, 64, 64]}]
        assert fields(doubled) == [3, 3, 5]
        moved = [{"out_reshape": [4, 32, 128]}, {"op": "i"}, {"kernel": 1}]
        assert fields(moved) == [3, 3, "all"]
        assert fields([{"op": "i", "act_nm": "lrn", "in_reshape": [4 * 64 * 64]}]) == ["all"]

    def test_flat_values_keep_their_order_when_joined(self):
        flat = {"out": 2, "out_reshape": [2 * 8 * 8]}
        layers = [{"name": "a", **flat}, {"name": "b", **flat}, {"name": "c", "out": 1}]
        layers[2]["in_reshape"] = [4, 8, 8]
        links = [{"from": ["input"], "to": ["a", "b"]}, {"from": ["a", "b"], "to": ["c"], "how": "concat"}]
        assert receptive_fields(parse_network({"layers": layers, "links": links}, (3, 8, 8))) == [3, 3, 5]

    @pytest.mark.parametrize("enlarge", [False, True])
    def test_against_counted_pixels(self, enlarge):
        """The count is exact; where layers enlarge it may exceed what fixed phases let a pixel see, by little."""
        rng = random.Random(int(enlarge))
        exact = 0
        for _ in range(300):
            layers, seen = [], [{pixel} for pixel in range(96)]
            for _ in range(rng.randint(1, 4)):
                layer = {
                    "kernel": rng.randint(1, 4),
                    "strides": rng.randint(1, 2),
                    "padding": rng.choice(["SAME", "VALID"]),
                }
                layer["op"] = rng.choice(["c", "max", "tc"] if enlarge else ["c", "max"])
                layer["dilation"] = rng.randint(1, 3) if layer["op"] == "c" and layer["strides"] == 1 else None
                layer["out"] = 1 if layer["op"] != "max" else None
                layers.append(layer)
                seen = (_enlarged if layer["op"] == "tc" else _windowed)(seen, layer)
            counted = max(max(pixels) - min(pixels) + 1 for pixels in seen if pixels)
            found = fields(layers, (1, 96, 96))[-1]
            assert counted <= found <= counted + (4 if enlarge else 0)
            exact += found == counted
        assert exact >= (270 if enlarge else 300)


def _windowed(seen: list[set], layer: dict) -> list[set]:
    """One side of a convolution or pool: which input pixels each output pixel sees, tap by tap."""
    kernel, strides, dilation = layer["kernel"], layer["strides"], layer["dilation"] or 1
    size, span = len(seen), (layer["kernel"] - 1) * dilation + 1
    same = layer["padding"] == "SAME"
    count = -(-size // strides) if same else -(-(size - span + 1) // strides)
    before = max((count - 1) * strides + span - size, 0) // 2 if same else 0
    taps = [[place * strides + tap * dilation - before for tap in range(kernel)] for place in range(count)]
    return [set().union(*(seen[tap] for tap in row if 0 <= tap < size)) for row in taps]


def _enlarged(seen: list[set], layer: dict) -> list[set]:
    """One side of a transposed convolution: each input pixel is spread over a window of the output."""
    kernel, strides = layer["kernel"], layer["strides"]
    same = layer["padding"] == "SAME"
    count = len(seen) * strides + (0 if same else kernel - 1)
    before = max((len(seen) - 1) * strides + kernel - count, 0) // 2 if same else 0
    result: list[set] = [set() for _ in range(count)]
    for place, pixels in enumerate(seen):
        for tap in range(kernel):
            if 0 <= place * strides + tap - before < count:
                result[place * strides + tap - before] |= pixels
    return result
