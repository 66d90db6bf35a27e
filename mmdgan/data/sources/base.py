"""ImageSource: images that can be read once, in order, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mmdgan.data.sidecar import Origin

BLOCK = 512  # images read at a time

Blocks = Iterator[tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class ImageSource:
    """Images to convert.

    Attributes:
        origin: what they are, in words and sizes.
        count: how many there are.
        class_names: one name per class; empty without labels.
        blocks: reads them: images uint8 (n, C, H, W) with labels int64 (n,) or None, n <= BLOCK.
        note: something a person should know, such as what was left aside; empty if nothing.
    """

    origin: Origin
    count: int
    class_names: tuple[str, ...]
    blocks: Callable[[], Blocks]
    note: str = ""
