"""Settings of the training aids: all are off by default, and none changes a number while it is off.

docs/training_aids.md says what each does and where it comes from. This module needs no TensorFlow; `GanStep` calls the
modules that implement them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import check_count
from mmdgan.core.text import format_value, nearest

KINDS = ("color", "translation", "cutout")
"""The kinds of augmentation, in the order in which they apply (`mmdgan.training.aids.augment`)."""

SCHEDULES = ("original", "constant", "linear", "cosine")
"""Learning-rate schedules; "original" is the optimiser's own (`mmdgan.training.optimizers`)."""

FALLING = ("linear", "cosine")


@dataclasses.dataclass(frozen=True)
class Aids:
    """Settings of a run's training aids.

    Attributes:
        ema: Decay of the average of the generator's weights (`mmdgan.training.aids.ema`), in (0, 1); None: no average.
        augment: Random changes of the images that the critic sees: some of `KINDS`.
        ada: Target of the overfitting measure that adapts the probability of these changes
            (`mmdgan.training.aids.augment`), in (0, 1); None: each change always applies.
        ada_images: Number of real images over which that probability can go from 0 to 1.
        instance_noise: (sigma, steps): Gaussian noise on the images that the critic sees, whose standard deviation
            falls linearly from sigma to 0 over so many steps; None: no noise.
        critic_steps: Number of updates of the critic, each on its own batch, for each update of the generator.
        r1: Weight gamma of the penalty R1; None: no penalty.
        clip_norm: Largest global norm of a player's gradients; None: no limit.
        lr_schedule: One of `SCHEDULES`.
        lr_steps: Step at which a falling rate reaches its end; None if none falls.
    """

    ema: float | None = None
    augment: tuple[str, ...] = ()
    ada: float | None = None
    ada_images: int = 500_000
    instance_noise: tuple[float, int] | None = None
    critic_steps: int = 1
    r1: float | None = None
    clip_norm: float | None = None
    lr_schedule: str = "original"
    lr_steps: int | None = None

    @property
    def falls(self) -> bool:
        """Whether learning rates fall from step to step, to their end at step `lr_steps`."""
        return self.lr_schedule in FALLING

    def check(self) -> None:
        """Checks the settings alone.

        Raises:
            ConfigError: A value that is not valid; the message names the field and the valid values.
        """
        if self.ema is not None and not 0 < self.ema < 1:
            raise ConfigError(f"ema is {self.ema}; give a decay between 0 and 1, such as 0.999.")
        self._check_critic_input()
        for name in ("r1", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value}; give a positive number.")
        check_count("critic_steps", self.critic_steps)
        if self.lr_schedule not in SCHEDULES:
            raise ConfigError(f"lr_schedule is {self.lr_schedule}; the valid values are {', '.join(SCHEDULES)}.")
        if self.lr_steps is not None and not self.falls:
            raise ConfigError(
                f"lr_steps is {self.lr_steps}, but lr_schedule is {self.lr_schedule}, which takes no number of steps; "
                "leave it out, or let lr_schedule be linear or cosine."
            )
        if self.falls and (self.lr_steps is None or self.lr_steps < 1):
            raise ConfigError(f"lr_steps is {self.lr_steps}; give the step at which a {self.lr_schedule} rate ends.")

    def _check_critic_input(self) -> None:
        for kind in self.augment:
            if kind not in KINDS:
                raise ConfigError(f"augment has {kind!r}{nearest(kind, KINDS)}; the kinds are {', '.join(KINDS)}.")
        if self.ada is not None and not 0 < self.ada < 1:
            raise ConfigError(f"ada is {self.ada}; give a target between 0 and 1, such as 0.6.")
        if self.ada is not None and not self.augment:
            raise ConfigError(
                f"ada is {self.ada}, but augment is empty, so that it has nothing to adapt; give the kinds, such as "
                f"--augment={','.join(KINDS)}."
            )
        check_count("ada_images", self.ada_images)
        noise = self.instance_noise
        if noise is not None and not (len(noise) == 2 and 0 < noise[0] < math.inf and noise[1] >= 1):
            raise ConfigError(
                f"instance_noise is {format_value(tuple(noise))}; give its first standard deviation and the steps "
                "after which it is gone, such as 0.1,10000."
            )

    def check_with(self, *, imbalanced_update: Sequence[int] | str | None, jit: bool, critic_learns: bool) -> None:
        """Checks the settings alone, and together with those of the step.

        Raises:
            ConfigError: Values that are not valid, or that contradict each other.
        """
        self.check()
        if self.critic_steps > 1:
            others: dict[str, Any] = {
                "imbalanced_update, which says itself how often each network is updated": imbalanced_update,
                "jit, which compiles one update alone": jit,
            }
            for what, given in others.items():
                if given:
                    raise ConfigError(f"critic_steps is {self.critic_steps} with {what}; leave one of them out.")
        if not critic_learns:
            for name, off in (("critic_steps", 1), ("r1", None)):
                if getattr(self, name) != off:
                    raise ConfigError(f"{name} is {getattr(self, name)}, but the critic does not learn; leave it out.")

    def describe(self) -> str:
        """A text that names the aids that are on; empty if none is."""
        parts = []
        if self.ema is not None:
            parts.append(f"the generator's weights averaged (decay {self.ema:g}), for samples and scores")
        if self.augment:
            how = "always" if self.ada is None else f"with a probability that is adapted (target {self.ada:g})"
            parts.append(f"images changed by {', '.join(self.augment)}, {how}")
        if self.instance_noise is not None:
            parts.append("noise on images, from {:g} to 0 over {:,} steps".format(*self.instance_noise))
        if self.critic_steps > 1:
            parts.append(f"{self.critic_steps} updates of the critic for each of the generator")
        if self.r1 is not None:
            parts.append(f"R1 with gamma {self.r1:g}")
        if self.clip_norm is not None:
            parts.append(f"gradients clipped to norm {self.clip_norm:g}")
        if self.lr_schedule != "original":
            parts.append(f"{self.lr_schedule} learning rates" + (f", to step {self.lr_steps:,}" if self.falls else ""))
        return "; ".join(parts)
