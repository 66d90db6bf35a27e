"""Residual networks for CIFAR-10 without normalisation in the critic: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville,
"Improved training of Wasserstein GANs", NeurIPS 2017 (WGAN-GP).

`architectures.resnet` says where these dictionaries differ from the source. The source trains with gradient penalty 10,
five critic steps a generator step, learning rates 2e-4 that fall to zero, generator batches of 128 and Adam(0, 0.9);
here Adam's learning rates stay, its betas are 0.5 and 0.999, and every batch has one size. The source's network with
classes has an auxiliary classifier in the critic, which this language lacks; `sngan/PROJECTION_32` has a label
projection instead. The expected times leave out the gradient penalty, which takes a third pass through the critic.
"""

from __future__ import annotations

from architectures.resnet import architecture, critic, generator


def resnet_32(width: int) -> dict:
    """The networks with `width` channels in every layer (128 as published)."""
    dis = critic([width] * 4, 32, 2, spectral=False, pool="avg")
    return architecture(32, generator([width] * 4), dis)


RESNET_32 = resnet_32(128)
"""The published networks, without classes.

1,203,715 trainable parameters in the generator, 1,053,825 in the critic.

Multiply-adds: 422,182,912 in the generator, 272,072,832 in the critic.
Expected: 1.1 s a step, an estimate.
Command: python experiments/my_test_cifar.py --architecture wgan_gp/RESNET_32 --loss wasserstein --penalty_weight 10
    --imbalanced_update 1,5 --lr_dis 2e-4 --lr_gen 2e-4
Source: Gulrajani et al., NeurIPS 2017, appendix; igul222/improved_wgan_training, gan_cifar_resnet.
Published score (CIFAR-10, without labels): Inception score 7.86 with 50,000 generated images.
"""

RESNET_32_QUARTER = resnet_32(32)
"""RESNET_32 at a quarter of its width, for CPUs.

125,827 trainable parameters in the generator, 66,849 in the critic.

Multiply-adds: 27,099,136 in the generator, 17,686,560 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/my_test_cifar.py --architecture wgan_gp/RESNET_32_QUARTER --loss wasserstein
    --penalty_weight 10 --imbalanced_update 1,5 --lr_dis 2e-4 --lr_gen 2e-4
Source: as RESNET_32; there is no published score at this width.
"""
