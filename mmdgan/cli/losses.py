"""The verb `losses`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmdgan.cli import flags


@dataclass(frozen=True)
class _NoOptions:
    """A verb without flags."""


def losses(argv: Sequence[str]) -> int:
    """Print every loss: its names, what it computes (generator's loss; critic's loss), its source."""
    flags.parse(_NoOptions(), argv, usage=flags.usage("losses", losses))
    from mmdgan.losses import describe

    print(describe())
    return 0
