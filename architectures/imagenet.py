"""Networks for 128x128 images (ImageNet): the DCGAN of Wang, Sun and Halgamuge (ICLR 2019) with one stage more.

Residual networks for the same images are `sngan/RESNET_128`, `sngan/PROJECTION_128` and those of `sagan`.
"""

from __future__ import annotations

from architectures.celeba import dcgan as celeba_dcgan

ACT_K = 64.0 ** (1 / 12)  # over the critic's twelve layers the multipliers make 64


def dcgan(width: int) -> dict:
    """The network for 128x128 images with `width` channels in its widest images (64 as in CelebA's).

    A stage of 16 * width channels is added between 4x4 and 8x8, so that the widest layers are CelebA's.
    """
    network = celeba_dcgan(width)
    first, up, *others = network["generator"]
    *critic, score = network["discriminator"]
    keep, down = critic[8], critic[7]
    stages = [*critic[:8], {key: value for key, value in keep.items() if key != "out_reshape"}, down, keep, score]
    gen = [first, {**up, "out": 16 * width}, up, *others]
    return {
        "input": [(3, 128, 128)],
        "code": network["code"],
        "generator": [{**layer, "name": name} for layer, name in zip(gen, _GENERATOR, strict=True)],
        "discriminator": [{**layer, "name": name, "act_k": ACT_K} for layer, name in zip(stages, _CRITIC, strict=True)],
    }


_GENERATOR = ("l1", "l2_up", "l3_up", "l4_up", "l5_up", "l6_up", "l7_t32")
_CRITIC = ("l1_f32", "l2_ds", "l3", "l4_ds", "l5", "l6_ds", "l7", "l8_ds", "l9", "l10_ds", "l11", "l12_s")

DCGAN = dcgan(64)
"""The networks at full width.

30,037,571 trainable parameters in the generator, 50,159,120 in the critic.

Multiply-adds: 2,446,327,808 in the generator, 5,011,406,848 in the critic.
Expected: 14 s a step, an estimate.
Command: python experiments/my_test_imagenet.py --loss rep
Source: Tables S1 and S2 of Wang, Sun, Halgamuge, ICLR 2019, which end at 64x64, continued by us: there is no published
    score.
"""

DCGAN_QUARTER = dcgan(16)
"""DCGAN at a quarter of its width, for CPUs.

2,274,707 trainable parameters in the generator, 3,185,552 in the critic.

Multiply-adds: 158,597,120 in the generator, 318,570,496 in the critic.
Expected: 0.92 s a step, an estimate.
Command: python experiments/my_test_imagenet.py --loss rep_b --architecture imagenet/DCGAN_QUARTER
Source: as DCGAN; there is no published score.
"""
