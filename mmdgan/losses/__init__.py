"""Losses of generator and critic, and the kernel statistics behind them.

    loss = mmdgan.losses.get("rep_b")
    losses = loss(score_gen, score_data)        # losses.gen, losses.dis, both to be minimised

Names, options and default score sizes are known without TensorFlow; what computes loads it on first use.
"""

from __future__ import annotations

from mmdgan.losses import classic, mixing, mmd, random_width  # noqa: F401  # their losses are registered
from mmdgan.losses.mmd import cramer, mmd2, mmd2_normal, witness
from mmdgan.losses.penalties import gradient_penalty, jacobian_scale
from mmdgan.losses.registry import (
    GanLosses,
    Loss,
    canonical_name,
    describe,
    get,
    loss,
    names,
    resolve_options,
    score_size,
)

__all__ = [
    "GanLosses",
    "Loss",
    "canonical_name",
    "cramer",
    "describe",
    "get",
    "gradient_penalty",
    "jacobian_scale",
    "loss",
    "mmd2",
    "mmd2_normal",
    "names",
    "resolve_options",
    "score_size",
    "witness",
]
