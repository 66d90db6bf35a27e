"""Networks for CelebA, 3x64x64: the DCGAN of Wang, Sun and Halgamuge (ICLR 2019), as in their script."""

from __future__ import annotations

ACT_K = 64.0 ** (1 / 10)  # over the critic's ten layers the multipliers make 64

_UP = {"op": "tc", "kernel": 4, "strides": 2, "act": "relu", "act_nm": "bn"}
_CRITIC = {"act": "lrelu", "w_nm": "s", "act_k": ACT_K}
_DOWN = {**_CRITIC, "kernel": 4, "strides": 2}


def dcgan(width: int) -> dict:
    """The network for 64x64 images with `width` channels in its widest images (64 as published)."""
    return {
        "input": [(3, 64, 64)],
        "code": [(128, "linear")],
        "generator": [
            {"name": "l1", "op": "d", "out": 16 * width * 4 * 4, "out_reshape": [16 * width, 4, 4]},
            {"name": "l2_up", "out": 8 * width, **_UP},
            {"name": "l3_up", "out": 4 * width, **_UP},
            {"name": "l4_up", "out": 2 * width, **_UP},
            {"name": "l5_up", "out": width, **_UP},
            {"name": "l6_t32", "out": 3, "act": "tanh"},
        ],
        "discriminator": [
            {"name": "l1_f32", "out": width, **_CRITIC},
            {"name": "l2_ds", "out": 2 * width, **_DOWN},
            {"name": "l3", "out": 2 * width, **_CRITIC},
            {"name": "l4_ds", "out": 4 * width, **_DOWN},
            {"name": "l5", "out": 4 * width, **_CRITIC},
            {"name": "l6_ds", "out": 8 * width, **_DOWN},
            {"name": "l7", "out": 8 * width, **_CRITIC},
            {"name": "l8_ds", "out": 16 * width, **_DOWN},
            {"name": "l9", "out": 16 * width, **_CRITIC, "out_reshape": [16 * width * 4 * 4]},
            {"name": "l10_s", "op": "d", "out": 16, "w_nm": "s", "act_k": ACT_K},
        ],
    }


DCGAN = dcgan(64)
"""The published network: 13,258,307 trainable parameters in the generator, 23,942,672 in the critic.

Multiply-adds: 546,045,952 in the generator, 1,148,190,720 in the critic.
Command: python experiments/my_test_celebA.py --loss rep --architecture celeba/DCGAN
Measured: 8 s a step of 64 images on a 2-core Intel Xeon.
Source: Wang, Sun, Halgamuge, "Improving MMD-GAN training with repulsive loss function", ICLR 2019, and the
    settings of the authors' CelebA script: batch 64, Adam, 100,000 steps. The last row of the critic in the paper's
    Table S2, 4x4x512, is a misprint for 4x4x1024.
Published score (loss rep, learning rates 1e-4 for the critic and 2e-4 for the generator, product of the
    multipliers 64): FID 6.811.
"""

DCGAN_QUARTER = dcgan(16)
"""The same at a quarter of the width, for CPUs: 1,225,619 trainable parameters in the generator, 1,546,640 in the
critic.

Multiply-adds: 35,848,192 in the generator, 73,138,176 in the critic.
Command: python experiments/my_test_celebA.py --loss rep_b --architecture celeba/DCGAN_QUARTER
Measured: 0.5 s a step of 64 images on a 2-core Intel Xeon.
Source: as DCGAN; there is no published score at this width.
"""
