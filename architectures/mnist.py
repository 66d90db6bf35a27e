"""Networks for MNIST and Fashion-MNIST, 1x28x28: those of a study of MMD as a GAN's loss, from pixels to features.

Source: Benaziza, Baranova, Meziane, a student study of MMD as a GAN's loss, 2024. Its leaky units have slope 0.2, the
language's `lrelu` has 0.1. Where it compares whole feature maps of a network that learns, the critics here end in a
dense layer, 16 scores wide for MMD losses and 1 for others, so that the same critic serves every loss. Weights may
begin as normal numbers of spread 0.02 as its own do, cut at two spreads: `--initializer sn_paper`; gains of batch
normalisation begin at 1 (there at normal numbers around 1).
"""

from __future__ import annotations

from typing import Any

_IMAGE = {"input": [(1, 28, 28)], "code": [(100, "linear")]}
_SCORES = {"name": "scores", "op": "d", "out": 16}

_POOL = {"op": "max", "kernel": 2, "strides": 2, "bias": None}

_MLP = [
    {"name": "l1", "op": "d", "out": 256, "act": "lrelu"},
    {"name": "l2", "op": "d", "out": 512, "act": "lrelu"},
    {"name": "l3", "op": "d", "out": 1024, "act": "lrelu"},
    {"name": "l4", "op": "d", "out": 784, "act": "tanh", "out_reshape": [1, 28, 28]},
]

_CONV = [
    {"name": "conv1", "out": 32, "act": "relu"},
    {"name": "pool1", **_POOL},
    {"name": "conv2", "out": 64, "act": "relu"},
    {"name": "pool2", **_POOL, "out_reshape": [3136]},
]

_LENET = [
    {"name": "conv1", "out": 6, "kernel": 5, "act": "relu"},
    {"name": "pool1", **_POOL},
    {"name": "conv2", "out": 16, "kernel": 5, "padding": "VALID", "act": "relu"},
    {"name": "pool2", **_POOL, "out_reshape": [400]},
]

_UP = {"op": "tc", "kernel": 4, "act": "relu", "act_nm": "bn"}


def _dcgan(width: int) -> list[dict]:
    """The generator with `width` channels in its widest maps."""
    out = 8 * width
    return [
        {"name": "l1", "op": "d", "out": out * 4 * 4, "act": "relu", "act_nm": "bn", "out_reshape": [out, 4, 4]},
        {"name": "l2", "out": 4 * width, "padding": "VALID", **_UP},  # 4 to 7
        {"name": "l3_up", "out": 2 * width, "strides": 2, **_UP},
        {"name": "l4_up", "out": width, "strides": 2, **_UP},
        {"name": "l5", "out": 1, "act": "tanh"},
    ]


def _critic(width: int, **more: Any) -> list[dict]:
    """Three convolutions, 4x4, that halve the side: 28, 14, 7, 4."""
    layers = [
        {"name": f"l{index}_ds", "out": out, "kernel": 4, "strides": 2, "act": "lrelu", **more}
        for index, out in enumerate((width, 2 * width, 4 * width), start=1)
    ]
    return [*layers[:-1], {**layers[-1], "out_reshape": [4 * width * 4 * 4]}]


def dcgan(width: int) -> dict:
    """The study's DCGAN (64 wide there): batch normalisation after every layer of the critic but the first."""
    first, *others = _critic(width)
    normalised = [{**layer, "act_nm": "bn"} for layer in others]
    return {**_IMAGE, "generator": _dcgan(width), "discriminator": [first, *normalised, _SCORES]}


def dcgan_sn(width: int) -> dict:
    """The same with spectral normalisation in the critic, and multipliers of product 64."""
    norm = {"w_nm": "s", "act_k": 64.0 ** (1 / 4)}
    return {**_IMAGE, "generator": _dcgan(width), "discriminator": [*_critic(width, **norm), {**_SCORES, **norm}]}


PIXELS = {
    **_IMAGE,
    "generator": _MLP,
    "discriminator": [{"name": "pixels", "op": "i", "out_reshape": [784]}],
}
"""The MLP generator 100-256-512-1024-784, judged by its pixels: 1,486,352 trainable parameters, and a critic of 0.

Multiply-adds: 1,483,776 in the generator, 0 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/mnist_pixels.py --data fashion_mnist
Source: the study's fixed kernel on pixels.
"""

RANDOM_FEATURES = {**_IMAGE, "generator": _MLP, "discriminator": _CONV}
"""The same generator, 1,486,352 trainable parameters, judged by the features of a small convolutional network of 18,816
that keeps its random weights.

Multiply-adds: 1,483,776 in the generator, 3,838,464 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/mnist_random_features.py --data fashion_mnist
Source: the study's fixed feature extractor (convolution 32 3x3, pool, convolution 64 3x3, pool, flat), with
    `fixed_critic`.
"""

LENET = {**_IMAGE, "generator": _MLP, "discriminator": _LENET}
"""The same generator, 1,486,352 trainable parameters, judged by LeNet-5 without its last three layers: 2,572 that were
trained as part of LENET_CLASSIFIER.

Multiply-adds: 1,483,776 in the generator, 357,600 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/mnist_lenet.py --data fashion_mnist
Source: the study's LeNet features, with `fixed_critic` and `critic_weights`; LeCun et al. 1998.
"""

LENET_CLASSIFIER = [
    *_LENET,
    {"name": "dense3", "op": "d", "out": 120, "act": "relu"},
    {"name": "dense4", "op": "d", "out": 84, "act": "relu"},
    {"name": "logits", "op": "d", "out": 10},
]
"""LeNet-5 with rectified units and max pools, images to 10 logits: 61,706 trainable parameters. A list of layers for
`mmdgan.networks.build_network`; `experiments/study/lenet.py` trains it.

Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998, as it is
    usually written today.
"""

MLP_TRAINED = {**_IMAGE, "generator": _MLP, "discriminator": [*_CONV, _SCORES]}
"""The MLP generator, 1,486,352 trainable parameters, and the small convolutional critic, which learns: 69,008.

Multiply-adds: 1,483,776 in the generator, 3,888,640 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/mnist_trained.py --data fashion_mnist
Source: the study's trained feature extractor.
"""

DCGAN = dcgan(64)
"""Transposed convolutions 512x4x4, 256x7x7, 128x14x14, 64x28x28, 1x28x28: 3,589,569 trainable parameters; a critic of
64-128-256 with batch normalisation: 722,768.

The first step from 4x4 to 7x7 is of stride 1 without padding, kernel 4; the others double the side.

Multiply-adds: 86,205,440 in the generator, 15,077,376 in the critic.
Expected: 0.13 s a step, an estimate.
Command: python experiments/mnist_dcgan.py --data fashion_mnist
Source: the study's DCGAN, after Radford, Metz, Chintala 2016.
"""

DCGAN_SN = dcgan_sn(64)
"""DCGAN with spectral normalisation in the critic in the place of batch normalisation, multipliers of product 64 as on
CIFAR-10: 3,589,569 trainable parameters in the generator, 722,384 in the critic.

Multiply-adds: 86,205,440 in the generator, 15,077,376 in the critic.
Expected: 0.13 s a step, an estimate.
Command: python experiments/mnist_repulsive.py --data fashion_mnist
Source: the critic's normalisation of Wang, Sun, Halgamuge, ICLR 2019, for whose losses it is meant.
"""

DCGAN_HALF = dcgan(32)
"""DCGAN at half the width, for CPUs: 1,106,657 trainable parameters in the generator, 197,552 in the critic.

Multiply-adds: 21,869,056 in the generator, 3,835,904 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/mnist_dcgan.py --data fashion_mnist --architecture mnist/DCGAN_HALF
Source: as DCGAN.
"""

DCGAN_SN_HALF = dcgan_sn(32)
"""DCGAN_SN at half the width, for CPUs: 1,106,657 trainable parameters in the generator, 197,360 in the critic.

Multiply-adds: 21,869,056 in the generator, 3,835,904 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/mnist_repulsive.py --data fashion_mnist --architecture mnist/DCGAN_SN_HALF
Source: as DCGAN_SN.
"""
