"""The 54 layers that the original was run on: variables with exactly its names and shapes, and its output shapes.

The table was read from the original's arrays (class tensors there are (classes, channels, 1, 1) in channels_first;
ours are (classes, 1, 1, channels) in both formats). `!` marks a kernel that has a spectral vector.
"""

from __future__ import annotations

import math

import pytest

from mmdgan.design import parse_network

IMAGE, FLAT = (8, 8, 8), (20,)

SN = {"w_nm": "s", "act_k": 1.5}
SN1 = {"w_nm": "s", "act_k": 1.0}
POOL = {"out": 8, "act": "linear", "kernel": 2, "strides": 2, "bias": False}
HALF = {"kernel": 4, "strides": 2}
TO_IMAGE = {"op": "d", "out": 32, "out_reshape": [8, 2, 2]}
SAME = {"strides": [1, 1, 1], "dilation": [1, 1, 1], "padding": ["SAME", "SAME", "SAME"]}
RES = {"type": "res", "out": 10, "kernel": [3, 3, 1]}

CONV = "kernel/kernel 3x3x8x{0}, bias/bias {0}"
BN = "{0}/BN/gamma {1}, {0}/BN/beta {1}, {0}/BN/moving_mean {1}, {0}/BN/moving_variance {1}"
CBN = "{0}/scale {2}{1}, {0}/offset {2}{1}, {0}/BN/moving_mean {1}, {0}/BN/moving_variance {1}"
TWO = "kernel_0/kernel{1} 3x3x8x{0}, bias_0/bias {0}, kernel_1/kernel{1} 3x3x{0}x{0}, bias_1/bias {0}"
SHORT = "kernel_sc/kernel{2} {1}x{1}x8x{0}, bias_sc/bias {0}"
NL = (
    "f_x/kernel{0} 1x1x8x4, bias_f/bias 4, g_x/kernel{0} 1x1x8x4, h_x/kernel{0} 1x1x8x8, "
    "BN_1/BN/beta 8, BN_1/BN/moving_mean 8, BN_1/BN/moving_variance 8, k_x/kernel -"
)


def conv(out: int) -> str:
    return CONV.format(out)


def scaled(method: str, factor: int) -> dict:
    return {"out": 6, "act": "relu", "scale": [method, factor]}


TABLE = [  # name, layer, input shape, number of classes, variables, output shape
    ("conv_plain", {"out": 12, "act": "relu"}, IMAGE, 0, conv(12), (12, 8, 8)),
    ("conv_sn", {"out": 12, "act": "lrelu", **SN}, IMAGE, 0, "kernel/kernel! 3x3x8x12, bias/bias 12", (12, 8, 8)),
    ("conv_sn_s2", {"out": 10, **SN, **HALF}, IMAGE, 0, "kernel/kernel! 4x4x8x10, bias/bias 10", (10, 4, 4)),
    ("conv_bn", {"out": 10, "act_nm": "bn"}, IMAGE, 0, "kernel/kernel 3x3x8x10, " + BN.format("BN", 10), (10, 8, 8)),
    ("conv_nobias", {"out": 10, "act": "tanh", "bias": False}, IMAGE, 0, "kernel/kernel 3x3x8x10", (10, 8, 8)),
    ("conv_dilated", {"out": 6, "dilation": 2}, IMAGE, 0, conv(6), (6, 8, 8)),
    ("conv_valid", {"out": 6, "act": "elu", "padding": "VALID"}, IMAGE, 0, conv(6), (6, 6, 6)),
    (
        "tconv_bn",
        {"out": 10, "op": "tc", "act": "relu", "act_nm": "bn", **HALF},
        *(IMAGE, 0, "kernel/kernel 4x4x10x8, " + BN.format("BN", 10), (10, 16, 16)),
    ),
    (
        "tconv_sn",
        {"out": 10, "op": "tc", **SN, **HALF},
        IMAGE,
        0,
        "kernel/kernel! 4x4x10x8, bias/bias 10",
        (10, 16, 16),
    ),
    (
        "sepconv",
        {"out": 10, "op": "sc", "act": "relu"},
        *(IMAGE, 0, "kernel/depthwise_kernel 3x3x8x1, kernel/pointwise_kernel 1x1x8x10, bias/bias 10", (10, 8, 8)),
    ),
    ("pool_avg", {"op": "avg", **POOL}, IMAGE, 0, "", (8, 4, 4)),
    ("pool_max", {"op": "max", **POOL}, IMAGE, 0, "", (8, 4, 4)),
    ("pool_sum", {"op": "sum", **POOL}, IMAGE, 0, "", (8, 4, 4)),
    ("dense", {"out": 9, "op": "d", "act": "softplus"}, FLAT, 0, "kernel/kernel 20x9, bias/bias 9", (9,)),
    ("dense_sn", {"out": 9, "op": "d", **SN}, FLAT, 0, "kernel/kernel! 20x9, bias/bias 9", (9,)),
    ("dense_to_image", TO_IMAGE, FLAT, 0, "kernel/kernel 20x32, bias/bias 32", (8, 2, 2)),
    (
        "dense_bn_reshape",
        {**TO_IMAGE, "act": "relu", "act_nm": "bn"},
        *(FLAT, 0, "kernel/kernel 20x32, " + BN.format("BN", 32), (8, 2, 2)),
    ),
    (
        "flatten_dense_in",
        {"out": 5, "op": "d", "in_reshape": [512]},
        IMAGE,
        0,
        "kernel/kernel 512x5, bias/bias 5",
        (5,),
    ),
    (
        "conv_flatten_out",
        {"out": 4, "act": "lrelu", **SN, "out_reshape": [256]},
        *(IMAGE, 0, "kernel/kernel! 3x3x8x4, bias/bias 4", (256,)),
    ),
    ("scale_up_unpool", scaled("unpool", 2), IMAGE, 0, conv(6), (6, 16, 16)),
    ("scale_up_bil", scaled("bil", 2), IMAGE, 0, conv(6), (6, 16, 16)),
    ("scale_up_bic", scaled("bic", 2), IMAGE, 0, conv(6), (6, 16, 16)),
    ("scale_down_avg", scaled("avg", -2), IMAGE, 0, conv(6), (6, 4, 4)),
    ("scale_down_max", scaled("max", -2), IMAGE, 0, conv(6), (6, 4, 4)),
    ("scale_down_bil", scaled("bil", -2), IMAGE, 0, conv(6), (6, 4, 4)),
    ("scale_up_ps", scaled("ps", 2), IMAGE, 0, "kernel/kernel 3x3x2x6, bias/bias 6", (6, 16, 16)),
    ("scale_down_ps", scaled("ps", -2), IMAGE, 0, conv(6), (24, 4, 4)),
    (
        "res_unpool",
        {**RES, **SAME, "act": "relu", "act_nm": "bn", "scale": ["unpool", 2]},
        *(IMAGE, 0),
        ", ".join(
            [
                *(BN.format("BN_0", 8), "kernel_0/kernel 3x3x8x10"),
                *(BN.format("BN_1", 10), "kernel_1/kernel 3x3x10x10", SHORT.format(10, 1, "")),
            ]
        ),
        (10, 16, 16),
    ),
    (
        "res_down_sn",
        {**RES, "act": "lrelu", **SN, "scale": ["avg", -2]},
        *(IMAGE, 0, f"{TWO.format(10, '!')}, {SHORT.format(10, 1, '!')}", (10, 4, 4)),
    ),
    (
        "res_plain",
        {"type": "res", "out": 8, "act": "relu", **SN1},
        *(IMAGE, 0, f"{TWO.format(8, '!')}, {SHORT.format(8, 3, '!')}", (8, 8, 8)),
    ),
    ("res_i", {"type": "res_i", "out": 8, "act": "relu", **SN1}, IMAGE, 0, TWO.format(8, "!"), (8, 8, 8)),
    (
        "res_i_bn",
        {"type": "res_i", "out": 8, "act": "relu", "act_nm": "bn"},
        *(IMAGE, 0),
        ", ".join(
            [
                *(BN.format("BN_0", 8), "kernel_0/kernel 3x3x8x8"),
                *(BN.format("BN_1", 8), "kernel_1/kernel 3x3x8x8"),
            ]
        ),
        (8, 8, 8),
    ),
    (
        "res_v1",
        {**RES, "type": "res_v1", "act": "relu", **SN1, "scale": ["avg", -2]},
        *(IMAGE, 0, f"{TWO.format(10, '!')}, {SHORT.format(10, 1, '!')}", (10, 4, 4)),
    ),
    (
        "cbn",
        {"out": 10, "act": "relu", "act_nm": "cbn"},
        *(IMAGE, 5, "kernel/kernel 3x3x8x10, " + CBN.format("BN", 10, "5x1x1x"), (10, 8, 8)),
    ),
    ("cond_bias_conv", {"out": 10, "bias": "cb"}, IMAGE, 5, "kernel/kernel 3x3x8x10, bias/c_bias 5x1x1x10", (10, 8, 8)),
    ("bcb_conv", {"out": 10, "bias": "bcb"}, IMAGE, 5, conv(10) + ", bias/c_bias 5x1x1x10", (10, 8, 8)),
    ("cond_bias_dense", {"out": 10, "op": "d", "bias": "cb"}, FLAT, 5, "kernel/kernel 20x10, bias/c_bias 5x10", (10,)),
    (
        "project",
        {"type": "project", "out": 1, "op": "d"},
        *(FLAT, 5, "kernel/kernel 20x1, bias/bias 1, project/kernel 5x20", (1,)),
    ),
    ("dcd", {"op": "dcd", "out": 7}, FLAT, 5, "kernel/kernel 20x7, kernel/c_kernel 5x20x7, bias/bias 7", (7,)),
    (
        "dcd_sn",
        {"op": "dcd", "out": 7, **SN},
        FLAT,
        5,
        "kernel/kernel! 20x7, kernel/c_kernel 5x20x7, bias/bias 7",
        (7,),
    ),
    ("dck", {"op": "dck", "out": 7}, FLAT, 5, "kernel/kernel 20x7, kernel/c_kernel 5x7, bias/bias 7", (7,)),
    ("dck_sn", {"op": "dck", "out": 7, **SN}, FLAT, 5, "kernel/kernel! 20x7, kernel/c_kernel 5x7, bias/bias 7", (7,)),
    (
        "cck",
        {"op": "cck", "out": 7},
        IMAGE,
        5,
        "kernel/kernel 3x3x8x7, kernel/c_kernel 5x1x1x7, bias/bias 7",
        (7, 8, 8),
    ),
    (
        "cck_sn",
        {"op": "cck", "out": 7, "act": "relu", **SN, **HALF},
        *(IMAGE, 5, "kernel/kernel! 4x4x8x7, kernel/c_kernel 5x1x1x7, bias/bias 7", (7, 4, 4)),
    ),
    (
        "dense_cbn",
        {"op": "d", "out": 8, "act": "relu", "act_nm": "cbn"},
        *(FLAT, 5, "kernel/kernel 20x8, " + CBN.format("BN", 8, "5x"), (8,)),
    ),
    (
        "res_cbn",
        {**RES, "act": "relu", "act_nm": "cbn", "scale": ["unpool", 2]},
        *(IMAGE, 5),
        ", ".join(
            [
                *(CBN.format("BN_0", 8, "5x1x1x"), "kernel_0/kernel 3x3x8x10"),
                *(CBN.format("BN_1", 10, "5x1x1x"), "kernel_1/kernel 3x3x10x10", SHORT.format(10, 1, "")),
            ]
        ),
        (10, 16, 16),
    ),
    *(
        (
            kind + ("_sn" if mark else ""),
            {"type": kind, "out": [4, 4, 8], "act_nm": "bn", "kernel": [1, 1, 1], "w_nm": norm, "act_k": gain},
            *(IMAGE, 0, NL.format(mark), (8, 8, 8)),
        )
        for kind in ("nl", "nl_dist", "nl_pool", "nl_pool_dist")
        for mark, norm, gain in (("", None, False), ("!", "s", 1.0))
    ),
]


def names_and_shapes(layer) -> list[str]:
    """Trainable variables and moving averages under the original's names, in its order of creation."""
    found = []
    for part in layer.parts:
        for name, shape in part.variables.items():
            below = f"BN/{name}" if part.op == "bn" else name
            mark = "!" if part.spectral and part.op != "k" and name == "kernel" else ""
            found.append(f"{part.slot}/{below}{mark} {'x'.join(map(str, shape)) or '-'}")
        found += [f"{part.slot}/BN/{name} {shape[0]}" for name, shape in part.state.items()]
    return found


def test_all_of_the_originals_layers_are_here():
    assert len(TABLE) == 54 == len({row[0] for row in TABLE})


@pytest.mark.parametrize(
    ("layer", "shape", "num_class", "expected", "output"), [pytest.param(*row[1:], id=row[0]) for row in TABLE]
)
def test_variables_and_shapes(layer, shape, num_class, expected, output):
    spec = parse_network([{"name": "l", **layer}], shape, num_class=num_class)
    assert ", ".join(names_and_shapes(spec.layers[0])) == expected
    assert spec.output_shape == output and spec.layers[0].notes == ()
    trainable = [text.split()[1] for text in expected.split(", ") if text and "moving" not in text]
    assert spec.parameters == sum(math.prod(int(size) for size in text.split("x") if size != "-") for text in trainable)
