"""Which training aids a run uses: all are off by default, and none changes a number while it is off.

docs/training_aids.md tells what each does and where it comes from. This module needs no TensorFlow; the aids
themselves are in modules of their own, which `GanStep` calls.
"""

from __future__ import annotations

import dataclasses

from mmdgan.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Aids:
    """The settings of a run's training aids.

    Attributes:
        ema: decay of the average of the generator's weights (`mmdgan.training.ema`), in (0, 1); None: no average.
    """

    ema: float | None = None

    def check(self) -> None:
        """Checks every setting by itself.

        Raises:
            ConfigError: a value that is not valid; it names the field and the valid values.
        """
        if self.ema is not None and not 0 < self.ema < 1:
            raise ConfigError(f"ema is {self.ema}; give a decay between 0 and 1, such as 0.999.")

    def describe(self) -> str:
        """The aids that are on, in words; empty if none is."""
        parts = []
        if self.ema is not None:
            parts.append(f"the generator's weights averaged (decay {self.ema:g}), for samples and scores")
        return "; ".join(parts)


NAMES = tuple(field.name for field in dataclasses.fields(Aids))
"""The fields, which are fields of an `Experiment` too."""
