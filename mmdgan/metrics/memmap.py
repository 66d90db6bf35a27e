"""Memory-mapped arrays that are larger than what a process should hold."""

from __future__ import annotations

import mmap
from typing import Any

from mmdgan.core.lazy import np


def release(array: np.ndarray) -> None:
    """Gives the pages of a memory-mapped array back to the system, which reads them again when they are needed.

    Without it, a pass over a file of features leaves all of it in memory. Does nothing to other arrays, to those that
    may be written to (whose changes may be nowhere else), and where the system has no such call.

    Args:
        array: A `numpy.memmap` of mode "r", a part or a view of one, or any array.
    """
    if array.flags.writeable:
        return
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
