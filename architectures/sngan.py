"""Residual networks for 32, 48, 64 and 128 pixels with spectral normalisation: Miyato, Kataoka, Koyama, Yoshida,
"Spectral normalization for generative adversarial networks", ICLR 2018 (SNGAN), and with classes: Miyato, Koyama,
"cGANs with projection discriminator", ICLR 2018.

`architectures.resnet` says where these dictionaries differ from the sources. The sources train with the hinge loss,
five critic steps a generator step (`--imbalanced_update 1,5`) and Adam(0, 0.9); Adam here has betas 0.5 and 0.999. With
an MMD loss the critic has 16 scores, as everywhere (`--score_size`), but for label projections, which have one.
"Mimicry" is Lee, Town, "Mimicry: towards the reproducibility of GAN research", CVPR workshops 2020: the same networks
trained for 100,000 steps of batch 64, scored with 50,000 generated and 50,000 real images.
"""

from __future__ import annotations

from architectures.resnet import architecture, critic, generator


def resnet_32(gen: int, dis: int, conditional: bool = False) -> dict:
    """The networks for 32x32 images: `gen` channels in the generator (256 as published), `dis` in the critic (128)."""
    networks = (generator([gen] * 4, conditional=conditional), critic([dis] * 4, 32, 2, conditional=conditional))
    return architecture(32, *networks)


def resnet_48(width: int, conditional: bool = False) -> dict:
    """The networks for 48x48 images with `width` channels in the widest images (64 as published)."""
    gen = generator([8 * width, 4 * width, 2 * width, width], 6, conditional=conditional)
    widths = [width, 2 * width, 4 * width, 8 * width, 16 * width]
    return architecture(48, gen, critic(widths, 48, 4, conditional=conditional))


def resnet_64(width: int, conditional: bool = False) -> dict:
    """The networks for 64x64 images with `width` channels in the widest images (64 as published)."""
    widths = [width, 2 * width, 4 * width, 8 * width, 16 * width]
    gen = generator(widths[::-1], conditional=conditional)
    return architecture(64, gen, critic(widths, 64, 5, conditional=conditional))


def resnet_128(width: int, conditional: bool = False) -> dict:
    """The networks for 128x128 images with `width` channels in the widest images (64 as published)."""
    widths = [width, 2 * width, 4 * width, 8 * width, 16 * width, 16 * width]
    gen = generator(widths[::-1], conditional=conditional)
    return architecture(128, gen, critic(widths, 128, 5, conditional=conditional))


RESNET_32 = resnet_32(256, 128)
"""The networks for CIFAR-10.

4,275,203 trainable parameters in the generator, 1,053,825 in the critic.

Multiply-adds: 1,681,129,472 in the generator, 272,072,832 in the critic.
Measured: 3.8 s a step of 64 images in float32, 2.6 s in bfloat16, on 2 cores of an AMD EPYC (AVX512-BF16).
Command: python experiments/my_test_cifar_resnet.py
Source: Miyato et al., ICLR 2018, Table 4.
Published score (hinge loss, CIFAR-10): Inception score 8.22, FID 21.7 with 5,000 generated and 10,000 real images.
    Mimicry: Inception score 7.97, FID 16.77.
"""

RESNET_32_QUARTER = resnet_32(64, 32)
"""RESNET_32 at a quarter of its widths, for CPUs.

368,387 trainable parameters in the generator, 66,849 in the critic.

Multiply-adds: 106,496,000 in the generator, 17,686,560 in the critic.
Expected: 0.16 s a step, an estimate.
Command: python experiments/my_test_cifar_resnet.py --architecture sngan/RESNET_32_QUARTER
Source: as RESNET_32; there is no published score at this width.
"""

PROJECTION_32 = resnet_32(256, 128, conditional=True)
"""RESNET_32 with conditional batch normalisation and a label projection.

4,302,851 trainable parameters in the generator, 1,055,105 in the critic.

Multiply-adds: 1,681,129,472 in the generator, 272,072,960 in the critic.
Expected: 2.6 s a step, an estimate.
Classes: 10
Command: python experiments/my_test_cifar_resnet.py --architecture sngan/PROJECTION_32 --num_class 10
Source: Miyato, Koyama, ICLR 2018. Their code has no bias in the last dense layer, here there is one.
Published score (hinge loss, CIFAR-10): Inception score 8.62, FID 17.5 with 5,000 generated and 10,000 real images.
    Mimicry: Inception score 8.25, FID 10.84.
"""

PROJECTION_32_QUARTER = resnet_32(64, 32, conditional=True)
"""PROJECTION_32 at a quarter of its widths, for CPUs.

375,299 trainable parameters in the generator, 67,169 in the critic.

Multiply-adds: 106,496,000 in the generator, 17,686,592 in the critic.
Expected: 0.16 s a step, an estimate.
Classes: 10
Command: python experiments/my_test_cifar_resnet.py --architecture sngan/PROJECTION_32_QUARTER --num_class 10
Source: as PROJECTION_32; there is no published score at this width.
"""

RESNET_48 = resnet_48(64)
"""The networks for STL-10.

4,877,187 trainable parameters in the generator, 10,141,441 in the critic.

Multiply-adds: 827,375,616 in the generator, 362,705,920 in the critic.
Expected: 1.8 s a step, an estimate.
Command: python experiments/my_test_stl.py --architecture sngan/RESNET_48 --loss hinge --spectral pim
Source: Miyato et al., ICLR 2018, Table 5.
Published score (hinge loss, STL-10): Inception score 9.10, FID 40.1 with 5,000 generated images.
    Mimicry: Inception score 8.04, FID 39.56.
"""

RESNET_48_QUARTER = resnet_48(16)
"""RESNET_48 at a quarter of its width, for CPUs.

751,587 trainable parameters in the generator, 635,329 in the critic.

Multiply-adds: 52,899,840 in the generator, 23,436,544 in the critic.
Expected: 0.11 s a step, an estimate.
Command: python experiments/my_test_stl.py --architecture sngan/RESNET_48_QUARTER --loss hinge --spectral pim
Source: as RESNET_48; there is no published score at this width.
"""

PROJECTION_48 = resnet_48(64, conditional=True)
"""RESNET_48 with conditional batch normalisation and a label projection, for labelled images of your own.

4,901,379 trainable parameters in the generator, 10,151,681 in the critic.

Multiply-adds: 827,375,616 in the generator, 362,706,944 in the critic.
Expected: 1.8 s a step, an estimate.
Classes: 10
Command: python -m mmdgan train --architecture sngan/PROJECTION_48 --data mine --num_class 10 --loss hinge
Source: our combination of Miyato et al., Table 5, with Miyato, Koyama, ICLR 2018; there is no published score.
"""

PROJECTION_48_QUARTER = resnet_48(16, conditional=True)
"""PROJECTION_48 at a quarter of its width, for CPUs.

757,635 trainable parameters in the generator, 637,889 in the critic.

Multiply-adds: 52,899,840 in the generator, 23,436,800 in the critic.
Expected: 0.11 s a step, an estimate.
Classes: 10
Command: python -m mmdgan train --architecture sngan/PROJECTION_48_QUARTER --data mine --num_class 10 --loss hinge
Source: as PROJECTION_48; there is no published score.
"""

RESNET_64 = resnet_64(64)
"""The networks for 64x64 images, as in the authors' code; their paper has none.

12,218,755 trainable parameters in the generator, 10,141,441 in the critic.

Multiply-adds: 1,955,332,096 in the generator, 644,809,728 in the critic.
Expected: 3.7 s a step, an estimate.
Command: python experiments/my_test_celebA.py --architecture sngan/RESNET_64 --loss hinge --spectral pim
Source: Miyato, Koyama, ICLR 2018: their code, pfnet-research/sngan_projection, resnet_64 and snresnet_64.
Published score: Mimicry, hinge loss, CelebA: FID 5.71.
"""

RESNET_64_QUARTER = resnet_64(16)
"""RESNET_64 at a quarter of its width, for CPUs.

1,161,571 trainable parameters in the generator, 635,329 in the critic.

Multiply-adds: 123,928,576 in the generator, 41,664,768 in the critic.
Expected: 0.24 s a step, an estimate.
Command: python experiments/my_test_celebA.py --architecture sngan/RESNET_64_QUARTER --loss hinge --spectral pim
Source: as RESNET_64; there is no published score at this width.
"""

PROJECTION_64 = resnet_64(64, conditional=True)
"""RESNET_64 with conditional batch normalisation and a label projection, as in the authors' code.

17,972,995 trainable parameters in the generator, 11,165,441 in the critic.

Multiply-adds: 1,955,332,096 in the generator, 644,810,752 in the critic.
Expected: 3.7 s a step, an estimate.
Classes: 1,000
Command: python -m mmdgan train --architecture sngan/PROJECTION_64 --data mine --num_class 1000 --loss hinge
Source: Miyato, Koyama, ICLR 2018: their code, pfnet-research/sngan_projection; there is no published score.
"""

PROJECTION_64_QUARTER = resnet_64(16, conditional=True)
"""PROJECTION_64 at a quarter of its width, for CPUs.

1,174,531 trainable parameters in the generator, 637,889 in the critic.

Multiply-adds: 123,928,576 in the generator, 41,665,024 in the critic.
Expected: 0.24 s a step, an estimate.
Classes: 10
Command: python -m mmdgan train --architecture sngan/PROJECTION_64_QUARTER --data mine --num_class 10 --loss hinge
Source: as PROJECTION_64; there is no published score.
"""

RESNET_128 = resnet_128(64)
"""The networks for ImageNet, without its classes.

32,146,819 trainable parameters in the generator, 29,017,857 in the critic.

Multiply-adds: 9,090,105,344 in the generator, 2,881,225,728 in the critic.
Expected: 17 s a step, an estimate.
Command: python experiments/my_test_imagenet.py --architecture sngan/RESNET_128 --loss hinge --spectral pim
Source: Miyato et al., ICLR 2018, Table 6.
Published score: Mimicry, hinge loss: ImageNet (450,000 steps) Inception score 13.05, FID 65.74; LSUN bedrooms FID
    25.87; CelebA FID 12.93.
"""

RESNET_128_QUARTER = resnet_128(16)
"""RESNET_128 at a quarter of its width, for CPUs.

2,408,035 trainable parameters in the generator, 1,815,489 in the critic.

Multiply-adds: 573,833,216 in the generator, 185,532,672 in the critic.
Expected: 1.1 s a step, an estimate.
Command: python experiments/my_test_imagenet.py --architecture sngan/RESNET_128_QUARTER --loss hinge --spectral pim
Source: as RESNET_128; there is no published score at this width.
"""

PROJECTION_128 = resnet_128(64, conditional=True)
"""RESNET_128 with conditional batch normalisation and a label projection, for ImageNet's classes.

41,992,963 trainable parameters in the generator, 30,041,857 in the critic.

Multiply-adds: 9,090,105,344 in the generator, 2,881,226,752 in the critic.
Expected: 17 s a step, an estimate.
Classes: 1,000
Command: python experiments/my_test_imagenet.py --architecture sngan/PROJECTION_128 --num_class 1000 --loss hinge
Source: Miyato, Koyama, ICLR 2018.
Published score (hinge loss, ImageNet), as Zhang et al., ICML 2019, quote it: Inception score 36.8, FID 27.62.
"""

PROJECTION_128_QUARTER = resnet_128(16, conditional=True)
"""PROJECTION_128 at a quarter of its width, for CPUs.

4,869,571 trainable parameters in the generator, 2,071,489 in the critic.

Multiply-adds: 573,833,216 in the generator, 185,532,928 in the critic.
Expected: 1.1 s a step, an estimate.
Classes: 1,000
Command: python experiments/my_test_imagenet.py --architecture sngan/PROJECTION_128_QUARTER --num_class 1000
    --loss hinge
Source: as PROJECTION_128; there is no published score at this width.
"""
