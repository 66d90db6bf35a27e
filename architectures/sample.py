"""Networks for the embedded `sample` images, 3x32x32: the CIFAR-10 network at a quarter of its width."""

from __future__ import annotations

ACT_K = 64.0 ** (1 / 8)  # over the critic's eight layers the multipliers make 64

_UP = {"op": "tc", "kernel": 4, "strides": 2, "act": "relu", "act_nm": "bn"}
_CRITIC = {"act": "lrelu", "w_nm": "s", "act_k": ACT_K}
_DOWN = {**_CRITIC, "kernel": 4, "strides": 2}

DCGAN_SMALL: dict = {
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

Multiply-adds: 6,995,968 in the generator, 13,844,480 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/my_test_cifar.py --data sample --loss rep_b --architecture sample/DCGAN_SMALL
Source: the CIFAR-10 network of Wang, Sun, Halgamuge (ICLR 2019) with every width divided by four; there is no
    published score.
"""

_POOL = {"op": "max", "kernel": 2, "strides": 2, "bias": None}

RANDOM_FEATURES = {
    **DCGAN_SMALL,
    "discriminator": [
        {"name": "conv1", "out": 32, "act": "relu"},
        {"name": "pool1", **_POOL},
        {"name": "conv2", "out": 64, "act": "relu"},
        {"name": "pool2", **_POOL, "out_reshape": [4096]},
    ],
}
"""The generator of DCGAN_SMALL, 436,883 trainable parameters, judged by the features of a small convolutional network
of 19,392 that keeps its random weights.

Multiply-adds: 6,995,968 in the generator, 5,603,328 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/mmd_study.py --data sample --rows random_features,drift,bounded
Source: the fixed feature extractor of mnist/RANDOM_FEATURES, for images in colour; there is no published score.
"""

PROJECTION_SMALL = {
    "input": DCGAN_SMALL["input"],
    "code": DCGAN_SMALL["code"],
    "generator": [
        DCGAN_SMALL["generator"][0],
        {"name": "l2_up", "out": 64, **_UP, "act_nm": "cbn"},
        {"name": "l3_up", "out": 32, **_UP, "act_nm": "cbn"},
        {"name": "l4_up", "out": 16, **_UP, "act_nm": "cbn"},
        {"name": "l5_t32", "out": 3, "act": "tanh"},
    ],
    "discriminator": [
        *DCGAN_SMALL["discriminator"][:-1],
        {"name": "l8_s", "type": "project", "op": "d", "out": 1, "w_nm": "s", "act_k": ACT_K},
    ],
}
"""DCGAN_SMALL with class labels: conditional batch normalisation in the generator, a label projection in the critic.

438,899 trainable parameters in the generator, 388,993 in the critic.

Classes: 10
Multiply-adds: 6,995,968 in the generator, 13,815,808 in the critic.
Command: python experiments/my_test_sample.py --architecture sample/PROJECTION_SMALL --num_class 10 --loss hinge
    --max_step 3000
Measured: about 7 min on one core of a 2-core Intel Xeon; FD[classifier] 3.3 and CS[classifier] 7.5 on 2,000 images; the
    classifier finds the asked class in 87% of 4,000.
Source: the projection critic of Miyato and Koyama (ICLR 2018) and the conditional batch normalisation of Dumoulin,
    Shlens, Kudlur (ICLR 2017) in the network above; there is no published score.
"""
