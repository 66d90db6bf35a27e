"""A network for the embedded `sample` images, 3x32x32: the CIFAR-10 network at a quarter of its width."""

from __future__ import annotations

ACT_K = 64.0 ** (1 / 8)  # over the critic's eight layers the multipliers make 64

_UP = {"op": "tc", "kernel": 4, "strides": 2, "act": "relu", "act_nm": "bn"}
_CRITIC = {"act": "lrelu", "w_nm": "s", "act_k": ACT_K}
_DOWN = {**_CRITIC, "kernel": 4, "strides": 2}

DCGAN_SMALL = {
    "input": [(3, 32, 32)],
    "code": [(128, "linear")],
    "generator": [
        {"name": "l1", "op": "d", "out": 2048, "out_reshape": [128, 4, 4]},
        {"name": "l2_up", "out": 64, **_UP},
        {"name": "l3_up", "out": 32, **_UP},
        {"name": "l4_up", "out": 16, **_UP},
        {"name": "l5_t32", "out": 3, "act": "tanh"},
    ],
    "discriminator": [
        {"name": "l1_f32", "out": 16, **_CRITIC},
        {"name": "l2_ds", "out": 32, **_DOWN},
        {"name": "l3", "out": 32, **_CRITIC},
        {"name": "l4_ds", "out": 64, **_DOWN},
        {"name": "l5", "out": 64, **_CRITIC},
        {"name": "l6_ds", "out": 128, **_DOWN},
        {"name": "l7", "out": 128, **_CRITIC, "out_reshape": [2048]},
        {"name": "l8_s", "op": "d", "out": 16, "w_nm": "s", "act_k": ACT_K},
    ],
}
"""For a laptop's CPU: 436,883 trainable parameters in the generator, 399,248 in the critic.

Command: python experiments/my_test_cifar.py --data sample --loss rep_b --architecture sample/DCGAN_SMALL
Source: the CIFAR-10 network of Wang, Sun, Halgamuge (ICLR 2019) with every width divided by four; there is no
    published score.
"""
