"""Training: one step (`GanStep`), the loop (`Trainer`), checkpoints, TensorBoard (`Monitor`) and optimisers.

The names load when first used, so that importing this package does not import TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "GanStep": "step",
    "Trainer": "trainer",
    "Interrupted": "signals",
    "WorkerLost": "lost",
    "Diverged": "divergence",
    "Checkpoints": "checkpoints",
    "Monitor": "monitor",
    "Progress": "progress",
    "make_optimizer": "optimizers",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
