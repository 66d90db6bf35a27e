"""Networks for STL-10 at 3x48x48: the CIFAR-10 network of Wang, Sun and Halgamuge (ICLR 2019), begun at 6x6."""

from __future__ import annotations

from typing import Any

from architectures.cifar10 import dcgan as cifar10_dcgan

SIDE = 6  # of the smallest images


def dcgan(width: int, **first: Any) -> dict:
    """The STL-10 network with `width` channels in its widest images (64 as published).

    Args:
        width: channels.
        **first: further keys of the generator's first layer.
    """
    network = cifar10_dcgan(width)
    *critic, flattened, score = network["discriminator"]
    features = 8 * width * SIDE * SIDE
    l1 = {"name": "l1", "op": "d", "out": features, "out_reshape": [8 * width, SIDE, SIDE], **first}
    return {
        "input": [(3, 8 * SIDE, 8 * SIDE)],
        "code": network["code"],
        "generator": [l1, *network["generator"][1:]],
        "discriminator": [*critic, {**flattened, "out_reshape": [features]}, score],
    }


DCGAN = dcgan(64, act="relu", act_nm="bn")
"""The network of the authors' script: 5,151,299 trainable parameters in the generator, 6,147,600 in the critic.

Its first layer has relu and batch normalisation, of each of its 18,432 features by itself.

Multiply-adds: 232,833,024 in the generator, 485,572,608 in the critic.
Command: python experiments/my_test_stl.py --loss rep --architecture stl10/DCGAN
Measured: 3 s a step of 64 images on a 2-core Intel Xeon.
Source: Wang, Sun, Halgamuge, "Improving MMD-GAN training with repulsive loss function", ICLR 2019, and the
    settings of the authors' STL-10 script: batch 64, Adam, 100,000 steps.
Published score (loss rep, learning rate 2e-4 for both, product of the multipliers 64): FID 37.155, Inception
    score 9.283.
"""

DCGAN_PAPER = dcgan(64)
"""The same with a linear first layer, as in the paper: 5,132,867 trainable parameters in the generator, 6,147,600 in
the critic.

Multiply-adds: 232,833,024 in the generator, 485,572,608 in the critic.
Expected: 1.4 s a step, an estimate.
Command: python experiments/my_test_stl.py --loss rep --architecture stl10/DCGAN_PAPER
Source: Table S1 of the same paper. Which of the two networks has the paper's scores is not said.
"""

DCGAN_QUARTER = dcgan(16, act="relu", act_nm="bn")
"""DCGAN at a quarter of the width, for CPUs: 771,731 trainable parameters in the generator, 440,208 in the critic.

Multiply-adds: 15,740,928 in the generator, 31,150,080 in the critic.
Command: python experiments/my_test_stl.py --loss rep_b --architecture stl10/DCGAN_QUARTER
Measured: 0.23 s a step of 64 images on a 2-core Intel Xeon.
Source: as DCGAN; there is no published score at this width.
"""
