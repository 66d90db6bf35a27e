"""GanSteps that tests share, so that each is built and compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmdgan.training import GanStep


class Shared:
    """Makes GanSteps by a function; the same arguments give the same one again, back in its first state.

    Not for tests that change more of it than its state, or what it does when it is compiled.
    """

    def __init__(self, make: Callable[..., GanStep]) -> None:
        self._make = make
        self._made: dict[str, tuple[GanStep, dict[str, Any]]] = {}

    def __call__(self, *args: Any, **options: Any) -> GanStep:
        key = repr((args, sorted(options.items())))
        if key not in self._made:
            gan = self._make(*args, **options)
            self._made[key] = gan, {name: variable.numpy().copy() for name, variable in gan.state().items()}
        gan, first = self._made[key]
        for name, variable in gan.state().items():
            variable.assign(first[name])
        return gan
