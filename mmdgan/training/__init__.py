"""Training: one step (`GanStep`), the loop (`Trainer`), checkpoints, TensorBoard (`Monitor`) and optimisers.

The names load when first used, so that importing this package does not import TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.training.checkpoints import Checkpoints as Checkpoints
    from mmdgan.training.divergence import Diverged as Diverged
    from mmdgan.training.lost import WorkerLost as WorkerLost
    from mmdgan.training.monitor import Monitor as Monitor
    from mmdgan.training.optimizers import make_optimizer as make_optimizer
    from mmdgan.training.progress import Progress as Progress
    from mmdgan.training.signals import Interrupted as Interrupted
    from mmdgan.training.step import GanStep as GanStep
    from mmdgan.training.trainer import Trainer as Trainer

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
