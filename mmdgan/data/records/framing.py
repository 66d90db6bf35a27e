"""Where the records of a file stand, and reading neighbours at once; their content is not looked at."""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.records.example import FRAME, HEAD, framed, head

REMEDY = "get the file anew or convert the data set again"

_SPAN = 2**20  # bytes that are read at once, unless one record is longer
_GAP = 2**16  # unwanted bytes between two records that are read along rather than skipped
_PROBES = 64


class RecordError(DataError):
    """A record that is not as it should be.

    Attributes:
        number: its number in the file, counted from 0.
        what: what is wrong, as the rest of a sentence that begins with the record.
    """

    def __init__(self, path: Path, number: int, what: str) -> None:
        """Makes the sentence."""
        super().__init__(f"Record {number} of {path} {what}; {REMEDY}.")
        self.number = int(number)
        self.what = what


class MisframedError(Exception):
    """A record does not stand where the length of the others puts it."""


@dataclass(frozen=True)
class Frames:
    """Where records stand.

    Attributes:
        count: how many there are.
        stride: the bytes of each with its frame; 0 when they differ.
        ends: int64 (count + 1,), where each begins and the last one ends; None when all have one length.
    """

    count: int
    stride: int = 0
    ends: np.ndarray | None = None

    def bounds(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first byte of some records, and the first one after each, int64 (n,)."""
        if self.ends is None:
            return numbers * self.stride, (numbers + 1) * self.stride
        return self.ends[numbers], self.ends[numbers + 1]


def corrupt(path: Path, number: int) -> RecordError:
    """What is said of a record whose checksum or length is wrong."""
    return RecordError(path, number, "is corrupt: its checksum or its end is wrong")


def walk(path: Path) -> tuple[Frames, bool]:
    """Finds the records by their lengths, whose checksums are verified.

    Returns:
        the records up to the first whose length is wrong, and whether there is no such record.

    Raises:
        DataError: a file that is missing or cannot be read.
    """
    known: dict[bytes, int] = {}
    ends, position, size = array("q", [0]), 0, size_of(path)
    with opened(path) as file:
        while position < size:
            found = os.pread(file, HEAD, position)
            if found not in known:
                length = struct.unpack("<Q", found[:8])[0] if len(found) == HEAD else 0
                if found != head(length):
                    break
                known[found] = length + FRAME
            position += known[found]
            if position > size:
                break
            ends.append(position)
    return Frames(len(ends) - 1, ends=np.array(ends, np.int64)), ends[-1] == size


def walk_all(path: Path) -> Frames:
    """The records of a file whose lengths are all sound, or a DataError that names the first that is not."""
    frames, sound = walk(path)
    if not sound:
        raise corrupt(path, frames.count)
    return frames


def guess(path: Path, expected: int | None) -> Frames:
    """The records as `walk_all` finds them, without touching each where all seem to have the first one's length.

    That is so when the lengths add up to the file's size, and there are as many as expected or, if that is
    unknown, the lengths are right at many places. Who reads a record checks that it stands there.
    """
    size = size_of(path)
    with opened(path) as file:
        first = os.pread(file, HEAD, 0)
        if len(first) < HEAD or first != head(struct.unpack("<Q", first[:8])[0]):
            raise corrupt(path, 0)
        stride = struct.unpack("<Q", first[:8])[0] + FRAME
        count, rest = divmod(size, stride)
        if not rest and expected in (None, count):
            probes = np.linspace(0, count - 1, _PROBES if expected is None else 2).astype(int).tolist()
            if all(os.pread(file, HEAD, number * stride) == first for number in probes):
                return Frames(count, stride)
    return walk_all(path)


def read_record(path: Path, frames: Frames, number: int) -> bytes:
    """Reads the data of one record.

    Raises:
        RecordError: it is corrupt.
        DataError: the file cannot be read.
    """
    (start,), (stop,) = (bounds.tolist() for bounds in frames.bounds(np.array([number])))
    with opened(path) as file:
        frame = read_bytes(file, start, stop)
    data = frame[HEAD : HEAD - FRAME]
    if len(frame) != stop - start or frame != framed(data):
        raise corrupt(path, number)
    return data


def read_rows(path: Path, starts: np.ndarray, stops: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reads records, neighbours at once, about a megabyte at a time.

    Args:
        path: the file.
        starts: int64 (n,), ascending, where the records begin.
        stops: int64 (n,), where they end.

    Yields:
        which of them, int64 (k,), and as many of one length with their frames, uint8 (k, length).

    Raises:
        MisframedError: the file is shorter.
        DataError: it cannot be read.
    """
    begins = np.empty_like(starts)  # in the block
    content: list[bytes] = []
    held = done = 0
    with opened(path) as file:
        for part in _runs(starts, stops):
            first, last = int(starts[part.start]), int(stops[part.stop - 1])
            content.append(read_bytes(file, first, last))
            if len(content[-1]) < last - first:
                raise MisframedError
            begins[part] = starts[part] - first + held
            held += last - first
            if held >= _SPAN or part.stop == len(starts):
                block, some = np.frombuffer(b"".join(content), np.uint8), slice(done, part.stop)
                for chosen, rows in _by_length(block, begins[some], (stops - starts)[some]):
                    yield done + chosen, rows
                content, held, done = [], 0, part.stop


def _runs(starts: np.ndarray, stops: np.ndarray) -> Iterator[slice]:
    """Cuts records, in the order of the file, into those that one call reads."""
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


def read_bytes(file: int, start: int, stop: int) -> bytes:
    """Some bytes of an open file; fewer where it ends."""
    found = os.pread(file, stop - start, start)
    while len(found) < stop - start:
        more = os.pread(file, stop - start - len(found), start + len(found))
        if not more:
            break
        found += more
    return found


def read_pieces(path: Path, starts: np.ndarray, length: int) -> np.ndarray:
    """Reads a few bytes at many places, uint8 (n, length).

    Raises:
        MisframedError: the file is shorter.
        DataError: it cannot be read.
    """
    with opened(path) as file:
        content = b"".join([os.pread(file, length, start) for start in starts.tolist()])
    if len(content) < len(starts) * length:
        raise MisframedError
    return np.frombuffer(content, np.uint8).reshape(len(starts), length)


def size_of(path: Path) -> int:
    """The size of a file.

    Raises:
        DataError: it is missing.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing; convert the data set again.")
    return path.stat().st_size


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """The descriptor of a file that is open for a while; what goes wrong names it."""
    file = None
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        yield file
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {REMEDY}.") from error
    finally:
        if file is not None:
            os.close(file)
