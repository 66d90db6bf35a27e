"""Networks for LSUN's bedrooms, 3x64x64: those of CelebA (Wang, Sun and Halgamuge, ICLR 2019)."""

from __future__ import annotations

from architectures.celeba import dcgan

DCGAN = dcgan(64)
"""The published network: 13,258,307 trainable parameters in the generator, 23,942,672 in the critic.

Multiply-adds: 546,045,952 in the generator, 1,148,190,720 in the critic.
Expected: 3.3 s a step, an estimate.
Command: python experiments/my_test_lsun.py --loss rep --architecture lsun/DCGAN
Source: Wang, Sun, Halgamuge, "Improving MMD-GAN training with repulsive loss function", ICLR 2019, and the
    settings of the authors' LSUN script: batch 64, Adam, 100,000 steps.
Published score (loss rep, learning rates 2e-4 for the critic and 1e-4 for the generator, product of the
    multipliers 64): FID 16.013. For CPUs there is celeba/DCGAN_QUARTER.
"""
