"""GanSteps that tests share, so that each is built and compiled once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from mmdgan.training import GanStep

_GROUPS = ("networks", "loss", "options of the loss", "training", "training aids")


class Shared:
    """Makes GanSteps by a function; the same arguments give the same one again, back in its first state.

    Not for tests that change more of it than its state, or what it does when it is compiled.
    """

    def __init__(self, make: Callable[..., GanStep]) -> None:
        self.make = make
        self._made: dict[str, tuple[GanStep, dict[str, Any]]] = {}

    def __call__(self, *args: Any, **options: Any) -> GanStep:
        return self._shared(repr((args, sorted(options.items()))), *args, **options)

    def clear(self) -> None:
        self._made.clear()

    def _shared(self, key: str, *args: Any, **options: Any) -> GanStep:
        if key not in self._made:
            gan = self.make(*args, **options)
            self._made[key] = gan, {name: variable.numpy().copy() for name, variable in gan.state().items()}
        gan, first = self._made[key]
        for name, variable in gan.state().items():
            variable.assign(first[name])
        return gan


class SharedGans(Shared):
    """In place of `mmdgan.runs.train.make_gan`: like runs on one device get one GanStep, back in its first state."""

    def __call__(self, plan: Any, replicas: Any = None, seed: int | None = None) -> GanStep:
        e = plan.experiment
        seed = e.seed if seed is None else seed
        if e.jit or e.deterministic or (replicas is not None and replicas.count > 1):
            return self.make(plan, replicas, seed)
        names = [field.name for field in dataclasses.fields(e) if field.metadata["group"] in _GROUPS]
        fields = {name: getattr(e, name) for name in names if name not in ("architecture", "critic_weights")}
        return self._shared(json.dumps([plan.architecture, fields, seed]), plan, replicas, seed)
