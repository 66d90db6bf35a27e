"""Losses of generator and critic, and the kernel statistics behind them.

    loss = mmdgan.losses.get("rep_b")
    losses = loss(score_gen, score_data)        # losses.gen, losses.dis, both to be minimised

Names, options and default score sizes are known without TensorFlow; whatever computes loads it on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmdgan.losses.registry import GanLosses, Loss, canonical_name, describe, get, names, resolve_options, score_size

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.losses.mmd import cramer as cramer, mmd2 as mmd2, mmd2_normal as mmd2_normal, witness as witness
    from mmdgan.losses.penalties import gradient_penalty as gradient_penalty, jacobian_scale as jacobian_scale

_NUMERIC = {
    "cramer": "mmdgan.losses.mmd",
    "gradient_penalty": "mmdgan.losses.penalties",
    "jacobian_scale": "mmdgan.losses.penalties",
    "mmd2": "mmdgan.losses.mmd",
    "mmd2_normal": "mmdgan.losses.mmd",
    "witness": "mmdgan.losses.mmd",
}

__all__ = [
    "GanLosses",
    "Loss",
    "canonical_name",
    "cramer",
    "describe",
    "get",
    "gradient_penalty",
    "jacobian_scale",
    "mmd2",
    "mmd2_normal",
    "names",
    "resolve_options",
    "score_size",
    "witness",
]


def __getattr__(name: str) -> Any:
    """Load the functions that need TensorFlow when they are first asked for (PEP 562)."""
    if name in _NUMERIC:
        import importlib

        return getattr(importlib.import_module(_NUMERIC[name]), name)
    raise AttributeError(f"module 'mmdgan.losses' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
