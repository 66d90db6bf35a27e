"""The table of losses: what is known of each without TensorFlow.

Defaults are the original's, i.e. the paper's settings. A name ending in "_gp" adds a gradient penalty to the
critic's loss (on the witness function of the loss's kernel; `mmdgan.losses.penalties`), one ending in "_ds"
scales the critic's loss down where its Jacobian is large. How they are looked up: `mmdgan.losses.registry`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_PAPER = "Wang et al. 2019"
_RELEASED = f"{_PAPER}, released code"
_SIGMAS = (1.0, math.sqrt(2.0), 2.0, math.sqrt(8.0), 4.0)
_ALPHAS = (0.2, 0.5, 1.0, 2.0, 5.0)
_BOUNDS = {"lower_bound": 0.25, "upper_bound": 4.0}
_BIASED = {"biased": False}
_DOT = {"add_dot": 0.0, **_BIASED}
_WEIGHTS = {"rep_weights": (0.0, -1.0), "rep_lambda": None}
_WIDTH = {"sigma": 1.0, "variance": None}
_OMEGA = {"omega": (0.05, 0.85)}
_RANDOM = {**_OMEGA, "ref_normal": 1.0}
_COIN = {"average": 0.0, "probability": 0.0}

SCALE_WEIGHT = 0.1
"""Weight of the mean squared Jacobian in the scale of the "_ds" losses."""

VARIANTS = {
    "": ("", ""),
    "gp": (
        "{name} + {weight:g} * mean (|gradient of its kernel's witness| - 1)^2 for the critic",
        "Binkowski et al. 2018",
    ),
    "ds": ("{name} with the critic's loss scaled by 1 / (1 + {weight:g} E|Jacobian|^2)", "Arbel et al. 2018"),
}
"""Summary and source of each kind of variant; "" is the loss itself."""


@dataclass(frozen=True)
class LossEntry:
    """What is known of a loss before it is computed.

    Attributes:
        function: "module.name" under `mmdgan.losses`, called as
            ``name(score_gen, score_data, inputs: LossInputs, **options) -> GanLosses``.
        summary: one line: what it computes, the generator's loss first.
        source: where it comes from.
        aliases: its other names.
        score_size: see `catalog.Loss`.
        zero_sum: loss_dis == -loss_gen if nothing is added.
        penalty_weight: default weight of its gradient penalty; None if it has no "_gp" variant.
        needs_penalty: its own name means the variant with penalty.
        adds_penalty: a penalty is added to the critic's loss although its name does not end in "_gp".
        scalable: it has a "_ds" variant.
        width: "module.name" of the function ``name(score_gen, score_data, inputs, **options) -> sigma`` of
            the random-width losses.
        state: the state before the first call.
        defaults: its options.
    """

    function: str
    summary: str
    source: str
    aliases: tuple[str, ...] = ()
    score_size: int = 16
    zero_sum: bool = False
    penalty_weight: float | None = 1.0
    needs_penalty: bool = False
    adds_penalty: bool = False
    scalable: bool = False
    width: str | None = None
    state: Mapping[str, float] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)


ENTRIES: dict[str, LossEntry] = {
    "logistic": LossEntry(
        "classic.logistic",
        "non-saturating loss: softplus(-s_g); softplus(s_g) + softplus(-s_x)",
        "Goodfellow et al. 2014",
        aliases=("",),
        score_size=1,
        penalty_weight=None,
    ),
    "minimax": LossEntry(
        "classic.minimax",
        "zero-sum logistic loss: L_G = -L_D",
        "Goodfellow et al. 2014, Eq. 1",
        score_size=1,
        zero_sum=True,
        penalty_weight=None,
    ),
    "hinge": LossEntry(
        "classic.hinge",
        "hinge loss: -s_g; max(1 + s_g, 0) + max(1 - s_x, 0)",
        "Miyato et al. 2018, Eq. 16, 17",
        score_size=1,
        penalty_weight=None,
    ),
    "wasserstein": LossEntry(
        "classic.wasserstein",
        "Wasserstein loss with gradient penalty: s_x - s_g; s_g - s_x + 10 * mean (|gradient of s| - 1)^2",
        "Gulrajani et al. 2017, Eq. 3",
        score_size=1,
        penalty_weight=10.0,
        needs_penalty=True,
    ),
    "fixed_g": LossEntry(
        "mmd.fixed_g",
        "MMD-rbf: MMD^2 summed over Gaussian widths sigma; L_D = -L_G",
        f"{_PAPER}, Eq. 2, 3",
        aliases=("mmd_g",),
        zero_sum=True,
        adds_penalty=True,
        defaults={"sigma": _SIGMAS, "variance": None, **_DOT},
    ),
    "fixed_t": LossEntry(
        "mmd.fixed_t",
        "MMD-rq: MMD^2 summed over rational quadratic exponents alpha; L_D = -L_G",
        f"{_PAPER}, section 2; Binkowski et al. 2018",
        aliases=("mmd_t",),
        zero_sum=True,
        adds_penalty=True,
        defaults={"alpha": _ALPHAS, "beta": 2.0, **_DOT},
    ),
    "mgb": LossEntry(
        "mmd.mgb",
        "MMD-rbf-b: one Gaussian, attractive critic loss on bounded distances",
        f"{_PAPER}, Eq. 6",
        adds_penalty=True,
        defaults={**_WIDTH, **_BOUNDS, **_BIASED},
    ),
    "rep": LossEntry(
        "mmd.rep",
        "MMD-rep: one Gaussian, repulsive critic loss E k_xx - E k_gg (rep_weights, rep_lambda)",
        f"{_PAPER}, Eq. 4, 5",
        aliases=("rep_mmd_g",),
        penalty_weight=0.1,
        adds_penalty=True,
        scalable=True,
        defaults={**_WEIGHTS, **_WIDTH, **_BIASED},
    ),
    "rmb": LossEntry(
        "mmd.rmb",
        "MMD-rep-b: repulsive critic loss on bounded distances, the paper's best",
        f"{_PAPER}, Eq. 7",
        aliases=("rep_b", "rep_mmd_b"),
        penalty_weight=0.1,
        adds_penalty=True,
        scalable=True,
        defaults={**_WEIGHTS, **_WIDTH, **_BOUNDS, "cross_bound": False, **_BIASED},
    ),
    "rand_g": LossEntry(
        "random_width.rand_g",
        "MMD^2 at the Gaussian width of a random mean kernel value omega; L_D = MMD^2(x, normal) - L_G",
        _RELEASED,
        width="random_width.width",
        defaults=_RANDOM,
    ),
    "rgb": LossEntry(
        "random_width.rgb",
        "MMD^2 at a random, clipped Gaussian width; L_D = 2 E k_xx - E k_gg - E k_gx, bounded",
        _RELEASED,
        penalty_weight=0.1,
        width="random_width.clipped_width",
        defaults=_OMEGA,
    ),
    "sym_rg": LossEntry(
        "random_width.sym_rg",
        "rand_g with data and generated scores drawn to normals around 0.5 and -0.5",
        _RELEASED,
        aliases=("sym_rand_g",),
        width="random_width.width",
        defaults=_RANDOM,
    ),
    "mmd_g_mix": LossEntry(
        "mixing.mmd_g_mix",
        "fixed_g whose critic sees groups mixed more and more while L_G stays above mix_threshold",
        _RELEASED,
        aliases=("fixed_g_mix",),
        state=_COIN,
        defaults={"sigma": _SIGMAS, "mix_threshold": 1.0},
    ),
    "sgm": LossEntry(
        "mixing.sgm",
        "mmd_g_mix with one Gaussian",
        _RELEASED,
        state=_COIN,
        defaults={"sigma": 1.0, "mix_threshold": 0.2},
    ),
    "rand_g_mix": LossEntry(
        "mixing.rand_g_mix",
        "rand_g whose critic sees mixed groups, as mmd_g_mix",
        _RELEASED,
        width="random_width.width",
        state=_COIN,
        defaults={**_RANDOM, "mix_threshold": 0.2},
    ),
    "sym_rg_mix": LossEntry(
        "mixing.sym_rg_mix",
        "rand_g_mix that also draws generated scores to the normal: L_G + MMD^2(g, normal)",
        _RELEASED,
        width="random_width.width",
        state=_COIN,
        defaults={**_RANDOM, "mix_threshold": 0.2},
    ),
    "ins_noise": LossEntry(
        "mixing.ins_noise",
        "rand_g on scores with Gaussian noise that grows while L_G stays above mix_threshold",
        _RELEASED,
        aliases=("instance_noise",),
        width="mixing.noisy_width",
        state={"average": 0.0, "level": 0.0},
        defaults={**_RANDOM, "mix_threshold": 0.2},
    ),
}
