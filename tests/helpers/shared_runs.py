"""Runs that share compiled networks, so that a test of what surrounds the steps does not wait for TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from mmdgan.runs import train

_GROUPS = ("networks", "loss", "options of the loss", "training", "training aids")


class SharedGans:
    """In place of `mmdgan.runs.train.make_gan`: like runs on one device get one GanStep, back in its first state."""

    def __init__(self) -> None:
        self.make = train.make_gan
        self._made: dict[str, tuple[Any, dict[str, Any]]] = {}

    def __call__(self, plan: Any, replicas: Any = None, seed: int | None = None) -> Any:
        e = plan.experiment
        seed = e.seed if seed is None else seed
        if e.jit or e.deterministic or (replicas is not None and replicas.count > 1):
            return self.make(plan, replicas, seed)
        names = [field.name for field in dataclasses.fields(e) if field.metadata["group"] in _GROUPS]
        fields = {name: getattr(e, name) for name in names if name not in ("architecture", "critic_weights")}
        key = json.dumps([plan.architecture, fields, seed])
        if key not in self._made:
            gan = self.make(plan, replicas, seed)
            self._made[key] = gan, {name: variable.numpy().copy() for name, variable in gan.state().items()}
        gan, first = self._made[key]
        for name, variable in gan.state().items():
            variable.assign(first[name])
        return gan
