"""The frames of TFRecord files: where the records of a file stand, and how neighbours are read at once.

A frame is the length of the data (8 bytes), its checksum (4), the data and their checksum (4), all little-endian
(tensorflow/core/lib/io/record_writer.h). What the data hold is not looked at. TensorFlow is not needed.
"""

from __future__ import annotations

import hashlib
import os
import struct
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.core.files import pread

HEAD = 12  # bytes of a frame before the data
FRAME = 16  # bytes of a frame around the data
REMEDY = "get the file again or convert the data set again"

_CHUNK = 2**22  # bytes that are hashed at once
_SPAN = 2**20  # bytes that are read at once, unless one record is longer
_GAP = 2**16  # unwanted bytes between two records that are read rather than skipped
_PROBES = 64

_MASK_DELTA = 0xA282EAD8


class RecordError(DataError):
    """A record that is not as it should be.

    Attributes:
        number: Its number in the file, counted from 0.
        what: What is wrong, as the rest of a sentence that begins with the record.
    """

    def __init__(self, path: Path, number: int, what: str, remedy: str = REMEDY) -> None:
        super().__init__(f"Record {number} of {path} {what}; {remedy}.")
        self.number = int(number)
        self.what = what


class MisframedError(Exception):
    """A record does not stand where the length of the others puts it."""


@dataclass(frozen=True)
class Frames:
    """Where the records of a file stand."""

    count: int  # number of records
    stride: int = 0  # bytes of each frame; 0 when they differ
    # int64 (count + 1,), where each begins and the last one ends; None when all have one length
    ends: np.ndarray | None = None

    def bounds(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first byte of each of these frames, and the byte after its last one, int64 (n,)."""
        if self.ends is None:
            return numbers * self.stride, (numbers + 1) * self.stride
        return self.ends[numbers], self.ends[numbers + 1]


def head(length: int) -> bytes:
    """The bytes before data of this length: the length and its checksum."""
    size = struct.pack("<Q", length)
    return size + struct.pack("<I", masked_crc(size))


def framed(data: bytes) -> bytes:
    """One record as it stands in a file."""
    return b"".join((head(len(data)), data, struct.pack("<I", masked_crc(data))))


def corrupt(path: Path, number: int) -> RecordError:
    """The error of a record whose checksum or length is wrong."""
    if number == 0:
        with opened(path) as file:
            if os.pread(file, 2, 0) == b"\x1f\x8b":
                return RecordError(path, 0, "cannot be read: the file is compressed by gzip", "unpack it with gunzip")
    return RecordError(path, number, "is corrupt: its checksum or its end is wrong")


def payloads(path: Path, skip: int = 0) -> Iterator[bytes | None]:
    """Reads the data of all records in the order of the file.

    Args:
        path: The file.
        skip: Number of records to pass over.

    Yields:
        The data of a record, or None if their checksum is wrong.

    Raises:
        RecordError: A length is wrong or the file ends early, so that nothing after it can be found.
    """
    size, position, number = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while position < size:
            length = _length(file.read(HEAD))
            if length is None or position + length + FRAME > size:
                raise corrupt(path, number)
            position += length + FRAME
            if number < skip:
                file.seek(position)
            else:
                data, footer = file.read(length), file.read(FRAME - HEAD)
                if len(footer) < FRAME - HEAD:
                    raise corrupt(path, number)
                yield data if masked_crc(data) == struct.unpack("<I", footer)[0] else None
            number += 1


def walk(path: Path) -> tuple[Frames, bool]:
    """Finds the records by their lengths, whose checksums are verified.

    Returns:
        The records before the first wrong length, and whether all lengths are right.

    Raises:
        DataError: The file is missing or cannot be read.
    """
    known: dict[bytes, int] = {}
    ends, position, size = array("q", [0]), 0, size_of(path)
    with opened(path) as file:
        while position < size:
            header = os.pread(file, HEAD, position)
            if header not in known:
                length = _length(header)
                if length is None:
                    break
                known[header] = length + FRAME
            position += known[header]
            if position > size:
                break
            ends.append(position)
    return Frames(len(ends) - 1, ends=np.array(ends, np.int64)), ends[-1] == size


def walk_all(path: Path) -> Frames:
    """The records of a file whose lengths are all right; else a DataError that names the first wrong one."""
    frames, sound = walk(path)
    if not sound:
        raise corrupt(path, frames.count)
    return frames


def guess(path: Path, expected: int | None) -> Frames:
    """Finds the records without reading every length, if all seem to have the first one's.

    They do if their lengths add up to the file's size and there are as many as expected or, if that number is
    unknown, the lengths are right at many places. The reader of a record checks that it stands there.
    """
    size = size_of(path)
    with opened(path) as file:
        first = os.pread(file, HEAD, 0)
        length = _length(first)
        if length is None:
            raise corrupt(path, 0)
        stride = length + FRAME
        count, rest = divmod(size, stride)
        if not rest and expected in (None, count):
            probes = np.linspace(0, count - 1, _PROBES if expected is None else 2).astype(int).tolist()
            if all(os.pread(file, HEAD, number * stride) == first for number in probes):
                return Frames(count, stride)
    return walk_all(path)


def read_record(path: Path, frames: Frames, number: int) -> bytes:
    """Reads the data of one record; RecordError if it is corrupt."""
    (start,), (stop,) = (bounds.tolist() for bounds in frames.bounds(np.array([number])))
    with opened(path) as file:
        frame = pread(file, start, stop - start)
    data = frame[HEAD : HEAD - FRAME]
    if len(frame) != stop - start or frame != framed(data):
        raise corrupt(path, number)
    return data


def read_rows(path: Path, starts: np.ndarray, stops: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reads frames, neighbours at once, about a megabyte at a time.

    Args:
        path: The file.
        starts: int64 (n,), ascending, where the frames begin.
        stops: int64 (n,), where they end.

    Yields:
        The indices of some frames of one length, int64 (k,), and their bytes, uint8 (k, length).

    Raises:
        MisframedError: The file is shorter.
        DataError: It cannot be read.
    """
    begins = np.empty_like(starts)  # in the block
    content: list[bytes] = []
    held = done = 0
    with opened(path) as file:
        for part in _runs(starts, stops):
            first, last = int(starts[part.start]), int(stops[part.stop - 1])
            content.append(pread(file, first, last - first))
            if len(content[-1]) < last - first:
                raise MisframedError
            begins[part] = starts[part] - first + held
            held += last - first
            if held >= _SPAN // 2 or part.stop == len(starts):  # then a full run needs no join
                block, some = np.frombuffer(b"".join(content), np.uint8), slice(done, part.stop)
                for chosen, rows in _by_length(block, begins[some], (stops - starts)[some]):
                    yield done + chosen, rows
                content, held, done = [], 0, part.stop


def read_pieces(path: Path, starts: np.ndarray, length: int) -> np.ndarray:
    """Reads a few bytes at many places, uint8 (n, length); MisframedError if the file is shorter."""
    with opened(path) as file:
        content = b"".join([os.pread(file, length, start) for start in starts.tolist()])
    if len(content) < len(starts) * length:
        raise MisframedError
    return np.frombuffer(content, np.uint8).reshape(len(starts), length)


def size_of(path: Path) -> int:
    """The size of a file; DataError if it is missing."""
    if not path.is_file():
        raise DataError(f"{path} is missing; convert the data set again.")
    return path.stat().st_size


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 of a file's content; DataError if it cannot be read."""
    digest = hashlib.sha256()
    with opened(path) as file:
        while content := os.read(file, _CHUNK):
            digest.update(content)
    return digest.hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The descriptor of an open file; errors of the system become a DataError that names it."""
    file = None
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        yield file
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {REMEDY}.") from error
    finally:
        if file is not None:
            os.close(file)


def _length(header: bytes) -> int | None:
    """The length that the first bytes of a frame state; None if they are damaged or too few."""
    if len(header) < HEAD or masked_crc(header[:8]) != struct.unpack_from("<I", header, 8)[0]:
        return None
    return struct.unpack_from("<Q", header)[0]


def _runs(starts: np.ndarray, stops: np.ndarray) -> Iterator[slice]:
    """Cuts frames, in the order of the file, into those that one call reads."""
    breaks = np.append(np.flatnonzero(starts[1:] - stops[:-1] > _GAP) + 1, len(starts))
    low = 0
    while low < len(starts):
        near = int(breaks[np.searchsorted(breaks, low, "right")])
        high = min(near, max(int(np.searchsorted(stops, starts[low] + _SPAN, "right")), low + 1))
        yield slice(low, high)
        low = high


def _by_length(block: np.ndarray, begins: np.ndarray, lengths: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for length in np.unique(lengths):
        chosen = np.flatnonzero(lengths == length)
        places = begins[chosen]
        if (np.diff(places) == length).all():
            yield chosen, block[places[0] : places[0] + len(chosen) * length].reshape(-1, length)
        else:
            yield chosen, np.stack([block[place : place + length] for place in places])


def masked_crc(data: bytes | np.ndarray) -> int:
    """The checksum of the TFRecord format: CRC-32C (RFC 3720), rotated by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def masked_crcs(rows: Iterable[np.ndarray], count: int) -> np.ndarray:
    """The checksums uint32 (count,) of as many rows of bytes."""
    crcs = np.fromiter(map(google_crc32c.value, rows), np.uint32, count)
    return (crcs >> np.uint32(15) | crcs << np.uint32(17)) + np.uint32(_MASK_DELTA)
