"""Byte ranges of files: a whole file, the content of a gzip file, or a member of a tar or tar.gz.

Archives are read in place and nothing is unpacked to the disk. A `ByteRange` is small and can be pickled, so that
another process can be told what to read.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from mmdgan.core.errors import DataError
from mmdgan.core.files import pread

LIMIT = 2**30  # bytes that a gzip file may hold; the official files that are read this way are much smaller
MAX_OFFSET = 2**62
AGAIN = "it is damaged, or its download broke off; get it again"
_CHUNK = 2**20


class Broken(Exception):
    """One file that cannot be read: its text is the rest of a sentence that begins with the file's name."""


@dataclass(frozen=True)
class ByteRange:
    """Consecutive bytes of a file or of the content of a gzip file."""

    path: Path  # the file on the disk
    start: int  # where they begin, in the unpacked content
    size: int  # number of bytes
    stamp: tuple[int, int]  # the `stamp` of the file on the disk when it was listed
    compressed: bool = False  # whether that is a gzip file
    member: str = ""  # their name in the archive; empty outside of archives

    @property
    def name(self) -> str:
        """How messages name them."""
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    def after(self, count: int) -> ByteRange:
        """These bytes without the first ones."""
        return replace(self, start=self.start + count, size=self.size - count)

    def state(self) -> str:
        """A text that changes when the bytes or their place do."""
        return f"{self.name} {self.stamp} {self.start}+{self.size}"


def whole_file(path: Path) -> ByteRange:
    """All bytes of a file as they are; DataError if it is missing."""
    with named_faults(path):
        now = stamp(os.stat(path))
    return ByteRange(path, 0, now[1], now)


def unpacked_file(path: Path) -> ByteRange:
    """The content of a file: unpacked, to its end and checksum, if it is a gzip file.

    Raises:
        DataError: The gzip file is damaged or holds more than `LIMIT` bytes.
    """
    if not is_gzip(path):
        return whole_file(path)
    with open_unpacked(path, True) as stream:
        return ByteRange(path, 0, read_out(path, stream), stamp(os.fstat(stream.fileno())), True)


def is_gzip(path: Path) -> bool:
    """Whether a file begins as a gzip file does (RFC 1952)."""
    with named_faults(path), open(path, "rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


class Contents:
    """Reads byte ranges within a `with` block; files stay open, so that a gzip file is not unpacked from its start."""

    def __enter__(self) -> Contents:
        self._stack = ExitStack()
        self._streams: dict[Path, BinaryIO] = {}
        return self

    def __exit__(self, *error: object) -> None:
        self._streams.clear()
        self._stack.close()

    def read(self, source: ByteRange, start: int = 0, size: int | None = None) -> bytes:
        """Reads exactly `size` bytes of a range from its byte `start` on; all that follow if no size is given.

        Raises:
            DataError: The file is missing or damaged, or has changed since it was listed.
        """
        size = source.size - start if size is None else size
        if source.path not in self._streams:
            stream = self._stack.enter_context(open_unpacked(source.path, source.compressed))
            if stamp(os.fstat(stream.fileno())) != source.stamp:
                raise DataError(f"{source.path} was changed while it was being read: run the command again.")
            self._streams[source.path] = stream
        with named_faults(source.path):
            stream = self._streams[source.path]
            stream.seek(source.start + start)
            content = stream.read(size)
        if len(content) != size:
            raise DataError(f"{source.path} is truncated: it ends within {source.name}; download it again.")
        return content


def stamp(status: os.stat_result) -> tuple[int, int]:
    """(time of modification in ns, size): tells whether a file is still the one that was listed."""
    return status.st_mtime_ns, status.st_size


@contextmanager
def open_listed(path: str | Path, expected: tuple[int, int] | None = None) -> Iterator[int]:
    """The descriptor of a file.

    Args:
        path: The file.
        expected: Its `stamp` when it was listed; None if it was not.

    Raises:
        DataError: The file cannot be read or has changed since it was listed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    try:
        if expected not in (None, stamp(os.fstat(descriptor))):
            raise DataError(f"{path} has changed since it was listed: start again.")
        yield descriptor
    finally:
        os.close(descriptor)


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Reads from an open file without moving its position; raises `Broken` at an error or an early end."""
    if offset + size > MAX_OFFSET:
        raise Broken("lies outside its file")
    try:
        content = pread(descriptor, offset, size)
    except OSError as error:
        raise Broken(f"cannot be read ({error.strerror})") from error
    if len(content) < size:
        raise Broken("ends too early")
    return content


@contextmanager
def open_unpacked(path: Path, compressed: bool) -> Iterator[Any]:
    """A file open for reading, unpacked if it is compressed; every fault inside becomes a DataError."""
    with named_faults(path), gzip.open(path, "rb") if compressed else open(path, "rb") as stream:
        yield stream


def read_out(path: Path, stream: BinaryIO) -> int:
    """Reads an unpacked file to its end, where gzip compares its checksum, and returns the length of its content."""
    while stream.read(_CHUNK):
        if stream.tell() > LIMIT:
            raise too_long(path)
    return stream.tell()


def too_long(path: Path) -> DataError:
    """The error of a gzip file that holds more than `LIMIT` bytes."""
    return DataError(f"{path} unpacks to more than {LIMIT:,} bytes, as no official file does: unpack it yourself.")


@contextmanager
def named_faults(path: Path) -> Iterator[None]:
    """Turns errors of the system and of gzip into a DataError that names the file."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or truncated ({error}): download it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
