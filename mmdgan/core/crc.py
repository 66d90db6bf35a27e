"""The masked checksums of TFRecord files."""

from __future__ import annotations

from collections.abc import Iterable

import google_crc32c
import numpy as np

_MASK_DELTA = 0xA282EAD8


def masked_crc(data: bytes | np.ndarray) -> int:
    """The checksum of the TFRecord format: CRC-32C (RFC 3720), rotated by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def masked_crcs(rows: Iterable[np.ndarray], count: int) -> np.ndarray:
    """The checksums uint32 (count,) of as many rows of bytes."""
    crcs = np.fromiter(map(google_crc32c.value, rows), np.uint32, count)
    return (crcs >> np.uint32(15) | crcs << np.uint32(17)) + np.uint32(_MASK_DELTA)
