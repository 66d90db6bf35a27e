"""Networks for CIFAR-10, 3x32x32: the DCGAN of Wang, Sun and Halgamuge (ICLR 2019), as in their script."""

from __future__ import annotations

from typing import Any

ACT_K = 64.0 ** (1 / 8)  # over the critic's eight layers the multipliers make 64


def _up(name: str, out: int) -> dict:
    """A generator layer that doubles the side."""
    return {"name": name, "op": "tc", "out": out, "kernel": 4, "strides": 2, "act": "relu", "act_nm": "bn"}


def _critic(name: str, out: int, **more: Any) -> dict:
    """A critic layer: spectral normalisation and a multiplier."""
    return {"name": name, "out": out, "act": "lrelu", "w_nm": "s", "act_k": ACT_K, **more}


def dcgan(width: int) -> dict:
    """The CIFAR-10 network with `width` channels in its widest images (64 as published)."""
    down = {"kernel": 4, "strides": 2}
    return {
        "input": [(3, 32, 32)],
        "code": [(128, "linear")],
        "generator": [
            {"name": "l1", "op": "d", "out": 8 * width * 4 * 4, "out_reshape": [8 * width, 4, 4]},
            _up("l2_up", 4 * width),
            _up("l3_up", 2 * width),
            _up("l4_up", width),
            {"name": "l5_t32", "out": 3, "act": "tanh"},
        ],
        "discriminator": [
            _critic("l1_f32", width),
            _critic("l2_ds", 2 * width, **down),
            _critic("l3", 2 * width),
            _critic("l4_ds", 4 * width, **down),
            _critic("l5", 4 * width),
            _critic("l6_ds", 8 * width, **down),
            _critic("l7", 8 * width, out_reshape=[8 * width * 4 * 4]),
            {"name": "l8_s", "op": "d", "out": 16, "w_nm": "s", "act_k": ACT_K},
        ],
    }


DCGAN = dcgan(64)
"""The published network: 3,811,907 trainable parameters in the generator, 5,983,760 in the critic.

Multiply-adds: 103,481,344 in the generator, 215,810,048 in the critic.
Measured: 0.62 s a step of 64 images in float32 on 2 cores of an Intel Xeon (AVX-512).
Command: python experiments/my_test_cifar.py --loss rep --architecture cifar10/DCGAN
Source: Wang, Sun, Halgamuge, "Improving MMD-GAN training with repulsive loss function", ICLR 2019, and the
    settings of the authors' CIFAR-10 script: batch 64, Adam, 100,000 steps.
Published score (loss rep, learning rates 5e-4 for the critic and 2e-4 for the generator, product of the
    multipliers 64): FID 17.000, Inception score 8.029.
"""

DCGAN_QUARTER = dcgan(16)
"""The same at a quarter of the width, for CPUs: 436,883 trainable parameters in the generator, 399,248 in the
critic.

Multiply-adds: 6,995,968 in the generator, 13,844,480 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/my_test_cifar.py --loss rep_b --architecture cifar10/DCGAN_QUARTER
Source: as DCGAN; there is no published score at this width.
"""

DCGAN_EIGHTH = dcgan(8)
"""The same at an eighth of the width, for hundreds of runs on CPUs: 175,435 trainable parameters in the generator,
108,240 in the critic.

Multiply-adds: 1,925,120 in the generator, 3,579,904 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python -m mmdgan sweep experiments/sweeps/figure3_small.py
Source: as DCGAN; there is no published score at this width.
"""
