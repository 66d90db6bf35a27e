"""Networks for points of the plane: a small generator, a small critic, and a critic that leaves points as they are."""

from __future__ import annotations

ACT_K = 8.0 ** (1 / 3)  # over the critic's three layers the multipliers make 8

_GENERATOR = [
    {"name": "l1", "op": "d", "out": 128, "act": "relu"},
    {"name": "l2", "op": "d", "out": 128, "act": "relu"},
    {"name": "l3_x", "op": "d", "out": 2},
]
_CRITIC = {"op": "d", "w_nm": "s", "act_k": ACT_K}

MLP = {
    "input": [(2,)],
    "code": [(16, "linear")],
    "generator": _GENERATOR,
    "discriminator": [
        {"name": "l1", "out": 128, "act": "lrelu", **_CRITIC},
        {"name": "l2", "out": 128, "act": "lrelu", **_CRITIC},
        {"name": "l3_s", "out": 16, **_CRITIC},
    ],
}
"""A learned kernel: 18,946 trainable parameters in the generator, 18,960 in the critic.

Multiply-adds: 18,688 in the generator, 18,688 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/points_learned.py --points ring --loss rep_b
Source: the multilayer perceptrons with two hidden layers of 128 units that the ring and the grid of Gaussians are
    commonly learned with (Metz et al. 2017, "Unrolled generative adversarial networks", appendix; Srivastava et al.
    2017, VEEGAN), with the spectral normalisation of Wang, Sun, Halgamuge (ICLR 2019); there is no published score.
"""

IDENTITY = {
    "input": MLP["input"],
    "code": MLP["code"],
    "generator": _GENERATOR,
    "discriminator": [{"name": "points", "op": "i"}],
}
"""A fixed kernel, of the points themselves: 18,946 trainable parameters in the generator, 0 in the critic.

Multiply-adds: 18,688 in the generator, 0 in the critic.
Expected: less than 0.1 s a step, an estimate.
Command: python experiments/points_fixed.py --points ring --sigma 0.05,0.2,1
Source: as MLP; a generator of points trained on MMD^2 alone is that of Li, Swersky, Zemel (ICML 2015) and of Dziugaite,
    Roy, Ghahramani (UAI 2015).
"""
