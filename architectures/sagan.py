"""Residual networks with attention for 64 and 128 pixels: Zhang, Goodfellow, Metaxas, Odena, "Self-attention generative
adversarial networks", ICML 2019 (SAGAN).

The networks of `sngan` with spectral normalisation in the generator too, and a non-local layer in each at 32x32 pixels.
`architectures.resnet` says where residual blocks differ from the sources; a block's first convolution is as wide as the
block here, in the critic too, as in the authors' code (brain-research/self-attention-gan).

Where attention differs from the source: logits are divided by the square root of the channels, as in Transformers. The
values have one kernel, C to C, for the source's two, C to C/8 (C/2 in its code) to C. The scalar before the sum begins
at 0, as there, but stays within [-1, 1]. The source's code shrinks keys and values by 2x2 max pooling, its paper does
not; "type": "nl_pool" instead of "nl" does. What is attended has no batch normalisation (`act_nm`), as there.

The source trains with the hinge loss, learning rates 4e-4 (critic) and 1e-4, one critic step a generator step, and
Adam(0, 0.9); Adam here has betas 0.5 and 0.999.
"""

from __future__ import annotations

from architectures.resnet import architecture, critic, generator


def _attention(channels: int) -> dict:
    """Attention of each pixel to all, with keys and queries of an eighth of the channels."""
    out = [channels // 8, channels // 8, channels]
    return {"name": "attention", "type": "nl", "out": out, "kernel": 1, "bias": False, "w_nm": "s"}


def _after(layers: list[dict], index: int, channels: int) -> list[dict]:
    """The layers with attention after the first `index` of them."""
    return [*layers[:index], _attention(channels), *layers[index:]]


def sagan(side: int, width: int, conditional: bool = False) -> dict:
    """The networks for images of 64 or 128 pixels, with `width` channels in the widest images (64 as published)."""
    widths = [width, 2 * width, 4 * width, 8 * width, 16 * width, *([16 * width] if side == 128 else [])]
    gen = generator(widths[::-1], conditional=conditional, spectral=True)
    dis = critic(widths, side, 5, conditional=conditional, wide=True)
    steps = {64: 1, 128: 2}[side]  # halvings from the image to 32x32
    return architecture(side, _after(gen, 4, 2**steps * width), _after(dis, steps, steps * width))


RESNET_64 = sagan(64, 64)
"""The networks at 64 pixels, without classes.

12,239,236 trainable parameters in the generator, 19,547,842 in the critic.

Multiply-adds: 2,127,298,560 in the generator, 1,178,534,912 in the critic.
Expected: 5.2 s a step, an estimate.
Command: python experiments/my_test_celebA.py --architecture sagan/RESNET_64 --loss hinge --spectral pim
Source: Zhang et al., ICML 2019, adapted to 64 pixels by us: there is no published score.
"""

RESNET_64_QUARTER = sagan(64, 16)
"""RESNET_64 at a quarter of its width, for CPUs.

1,162,852 trainable parameters in the generator, 1,223,410 in the critic.

Multiply-adds: 162,988,032 in the generator, 89,178,368 in the critic.
Expected: 0.39 s a step, an estimate.
Command: python experiments/my_test_celebA.py --architecture sagan/RESNET_64_QUARTER --loss hinge --spectral pim
Source: as RESNET_64; there is no published score.
"""

PROJECTION_64 = sagan(64, 64, conditional=True)
"""RESNET_64 with conditional batch normalisation and a label projection.

17,993,476 trainable parameters in the generator, 20,571,842 in the critic.

Multiply-adds: 2,127,298,560 in the generator, 1,178,535,936 in the critic.
Expected: 5.2 s a step, an estimate.
Classes: 1,000
Command: python -m mmdgan train --architecture sagan/PROJECTION_64 --data mine --num_class 1000 --loss hinge
Source: Zhang et al., ICML 2019, adapted to 64 pixels by us: there is no published score.
"""

PROJECTION_64_QUARTER = sagan(64, 16, conditional=True)
"""PROJECTION_64 at a quarter of its width, for CPUs.

1,175,812 trainable parameters in the generator, 1,225,970 in the critic.

Multiply-adds: 162,988,032 in the generator, 89,178,624 in the critic.
Expected: 0.39 s a step, an estimate.
Classes: 10
Command: python -m mmdgan train --architecture sagan/PROJECTION_64_QUARTER --data mine --num_class 10 --loss hinge
Source: as PROJECTION_64; there is no published score.
"""

RESNET_128 = sagan(128, 64)
"""The networks at 128 pixels, without classes.

32,228,740 trainable parameters in the generator, 38,439,618 in the critic.

Multiply-adds: 9,475,981,312 in the generator, 4,865,131,520 in the critic.
Expected: 22 s a step, an estimate.
Command: python experiments/my_test_imagenet.py --architecture sagan/RESNET_128 --loss hinge --spectral pim
Source: Zhang et al., ICML 2019, without its classes: there is no published score.
"""

RESNET_128_QUARTER = sagan(128, 16)
"""RESNET_128 at a quarter of its width, for CPUs.

2,413,156 trainable parameters in the generator, 2,404,530 in the critic.

Multiply-adds: 654,573,568 in the generator, 337,838,336 in the critic.
Expected: 1.5 s a step, an estimate.
Command: python experiments/my_test_imagenet.py --architecture sagan/RESNET_128_QUARTER --loss hinge --spectral pim
Source: as RESNET_128; there is no published score.
"""

PROJECTION_128 = sagan(128, 64, conditional=True)
"""The published networks, for ImageNet's classes.

42,074,884 trainable parameters in the generator, 39,463,618 in the critic.

Multiply-adds: 9,475,981,312 in the generator, 4,865,132,544 in the critic.
Expected: 22 s a step, an estimate.
Classes: 1,000
Command: python experiments/my_test_imagenet.py --architecture sagan/PROJECTION_128 --num_class 1000 --loss hinge
    --lr_dis 4e-4 --lr_gen 1e-4
Source: Zhang et al., ICML 2019; brain-research/self-attention-gan. Brock et al., ICLR 2019, Table 1, count 81.5 million
    parameters in both networks together.
Published score (hinge loss, ImageNet): Inception score 52.52, FID 18.65 with 50,000 generated images.
"""

PROJECTION_128_QUARTER = sagan(128, 16, conditional=True)
"""PROJECTION_128 at a quarter of its width, for CPUs.

4,874,692 trainable parameters in the generator, 2,660,530 in the critic.

Multiply-adds: 654,573,568 in the generator, 337,838,592 in the critic.
Expected: 1.5 s a step, an estimate.
Classes: 1,000
Command: python experiments/my_test_imagenet.py --architecture sagan/PROJECTION_128_QUARTER --num_class 1000
    --loss hinge
Source: as PROJECTION_128; there is no published score at this width.
"""
