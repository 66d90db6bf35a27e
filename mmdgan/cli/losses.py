"""The verb `losses`."""

from __future__ import annotations

from collections.abc import Sequence

from mmdgan.cli import flags


def losses(argv: Sequence[str]) -> int:
    """Print every loss: its names, what it computes (generator's loss; critic's loss), its source."""
    flags.parse(flags.NoFlags(), argv, usage=flags.usage("losses", losses))
    from mmdgan.losses import describe

    print(describe())
    return 0
