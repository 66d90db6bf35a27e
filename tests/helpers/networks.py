"""Architectures of 8x8 images that several tests build."""

from __future__ import annotations

SMALL = {
    "input": [(3, 8, 8)],
    "code": [(5, "linear")],
    "generator": [
        {"name": "l1", "op": "d", "out": 32, "act": "relu", "act_nm": "bn", "out_reshape": [8, 2, 2]},
        {"name": "l2", "op": "tc", "out": 6, "kernel": 4, "strides": 2, "act": "relu", "act_nm": "bn"},
        {"name": "l3", "op": "tc", "out": 4, "kernel": 4, "strides": 2, "act": "crelu"},
        {"name": "l4", "out": 3, "act": "tanh"},
    ],
    "discriminator": [
        {"name": "l1", "out": 4, "act": "lrelu", "w_nm": "s", "act_k": 1.5},
        {"name": "l2", "out": 6, "kernel": 4, "strides": 2, "act": "lrelu", "w_nm": "s", "out_reshape": [96]},
        {"name": "l3", "op": "d", "out": 7, "w_nm": "s", "act_k": 1.5},
    ],
}
"""Kernels of each kind, batch norm, an activation that doubles the channels, spectral norms with and without a gain."""

CONDITIONAL = {
    **SMALL,
    "generator": [
        {"name": "l1", "op": "dcd", "out": 32, "act": "relu", "act_nm": "cbn", "out_reshape": [8, 2, 2]},
        {"name": "l2", "op": "tc", "out": 6, "kernel": 4, "strides": 2, "act": "relu", "act_nm": "cbn"},
        {"name": "l3", "op": "tc", "out": 3, "kernel": 4, "strides": 2, "act": "tanh", "bias": "cb"},
    ],
    "discriminator": [
        {"name": "l1", "op": "cck", "out": 4, "act": "lrelu", "w_nm": "s", "act_k": 1.5, "strides": 2},
        {"name": "l2", "out": 6, "kernel": 4, "strides": 2, "act": "lrelu", "w_nm": "s", "out_reshape": [24]},
        {"name": "l3", "op": "dck", "out": 7, "act": "lrelu", "w_nm": "s"},
        {"name": "l4", "op": "d", "type": "project", "out": 1, "w_nm": "s", "act_k": 1.5},
    ],
}
"""Class kernels, biases and norms; the critic projects labels."""

SMALLEST = {
    **SMALL,
    "generator": [
        {"name": "l1", "op": "d", "out": 32, "act": "relu", "act_nm": "bn", "out_reshape": [8, 2, 2]},
        {"name": "l2", "op": "tc", "out": 4, "kernel": 4, "strides": 2, "act": "relu", "act_nm": "bn"},
        {"name": "l3", "op": "tc", "out": 3, "kernel": 4, "strides": 2, "act": "tanh"},
    ],
    "discriminator": [
        {"name": "l1", "out": 4, "kernel": 4, "strides": 2, "act": "lrelu", "w_nm": "s", "act_k": 2.0},
        {"name": "l2", "op": "d", "in_reshape": [64], "out": 7, "w_nm": "s", "act_k": 2.0},
    ],
}
"""Compiles in a second: batch norm of features and of images in the generator, two spectral vectors in the critic."""
