"""Which of the two networks a step updates (spec E.4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any

import tensorflow as tf

from mmdgan.core.errors import ConfigError

DYNAMIC = "dynamic"
_ALWAYS_BEFORE, _THRESHOLD = 1000, 0.1


class UpdateSchedule:
    """Decides before each step whether the critic and the generator are updated.

    Args:
        imbalanced_update: None: both at every step; (p_dis, p_gen), one of them 1: at global step n a network is
            updated if n mod p == 0; 'dynamic': the generator at every step, the critic at each of the first 1,000
            and from then on with probability 0.1 / max(loss_gen of the step before, 0.1) (spec D.2, quirk 38).

    Raises:
        ConfigError: anything else.
    """

    def __init__(self, imbalanced_update: Sequence[int] | str | None):
        self._periods = None
        self._loss_gen: tf.Variable | None = None
        if isinstance(imbalanced_update, str) and imbalanced_update == DYNAMIC:
            self._loss_gen = tf.Variable(0.0, trainable=False, name="loss_gen")
        elif imbalanced_update is not None:
            self._periods = _periods(imbalanced_update)

    @property
    def constant(self) -> bool:
        """Whether both networks are updated at every step."""
        return self._periods is None and self._loss_gen is None

    def state(self) -> dict[str, tf.Variable]:
        """Returns what a checkpoint must hold: the generator's last loss, if decisions depend on it."""
        return {} if self._loss_gen is None else {"schedule/loss_gen": self._loss_gen}

    def updates(self, step: tf.Variable, uniform: Callable[[], tf.Tensor]) -> tuple[bool, bool]:
        """Returns whether (critic, generator) are updated at this step.

        Args:
            step: the number of steps taken so far; read only if the decision depends on it, because reading waits
                for the device.
            uniform: draws this step's number from U(0, 1).
        """
        if self._periods is not None:
            number = int(step.numpy())
            return number % self._periods[0] == 0, number % self._periods[1] == 0
        if self._loss_gen is None or int(step.numpy()) < _ALWAYS_BEFORE:
            return True, True
        return float(uniform()) < _THRESHOLD / max(float(self._loss_gen.numpy()), _THRESHOLD), True

    def observe(self, loss_gen: tf.Tensor) -> None:
        """Remembers the generator's loss of the step that is being taken."""
        if self._loss_gen is not None:
            self._loss_gen.assign(tf.cast(loss_gen, self._loss_gen.dtype))


def _periods(imbalanced_update: Sequence[int] | str) -> tuple[int, int] | None:
    several = isinstance(imbalanced_update, Iterable) and not isinstance(imbalanced_update, str)
    periods: tuple[Any, ...] = tuple(imbalanced_update) if several else ()
    whole = all(isinstance(p, Integral) and int(p) >= 1 for p in periods)
    if len(periods) != 2 or not whole or 1 not in periods:
        raise ConfigError(
            f"imbalanced_update must be two periods (critic, generator), one of them 1, or {DYNAMIC!r}; "
            f"got {imbalanced_update!r}."
        )
    return None if math.prod(periods) == 1 else periods
