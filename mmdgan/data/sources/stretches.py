"""Runs of bytes in files: a whole file, what a gzip file holds, or one member of a tar or tar.gz.

Archives are read where they are and nothing is unpacked to the disk. A `Stretch` is small and can be pickled,
so that a process can be told what to read.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from mmdgan.errors import DataError

LIMIT = 2**30  # bytes that a gzip file may hold: no official file that is read this way comes near it
_BLOCK = 512  # of a tar
_CHUNK = 2**20
_WITHOUT_CONTENT = frozenset({tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE})
_FILES = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})


@dataclass(frozen=True)
class Stretch:
    """Consecutive bytes of a file or of what a gzip file holds.

    Attributes:
        path: the file on the disk.
        start: where they begin, in the unpacked content.
        size: how many they are.
        stamp: the size and the modification time (ns) that the file on the disk had when it was listed.
        compressed: whether the file is a gzip file.
        member: their name in the archive; empty outside of archives.
    """

    path: Path
    start: int
    size: int
    stamp: tuple[int, int]
    compressed: bool = False
    member: str = ""

    @property
    def name(self) -> str:
        """Where they are, for messages."""
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    def after(self, count: int) -> Stretch:
        """These bytes without the first ones."""
        return replace(self, start=self.start + count, size=self.size - count)

    def state(self) -> str:
        """A text that changes when the bytes or their place do."""
        return f"{self.name} {self.stamp} {self.start}+{self.size}"


def whole_file(path: Path) -> Stretch:
    """All bytes of a file as they are.

    Raises:
        DataError: a file that is not there.
    """
    with _named_faults(path):
        stamp = _stamp(os.stat(path))
    return Stretch(path, 0, stamp[0], stamp)


def unpacked_file(path: Path) -> Stretch:
    """What a file holds: unpacked, to its end and checksum, when it is a gzip file.

    Raises:
        DataError: a gzip file that is damaged or holds more than `LIMIT` bytes.
    """
    if not is_gzip(path):
        return whole_file(path)
    with _opened(path, True) as stream:
        return Stretch(path, 0, _run_out(path, stream), _stamp(os.fstat(stream.fileno())), True)


def is_gzip(path: Path) -> bool:
    """Whether a file begins as a gzip file does (RFC 1952)."""
    with _named_faults(path), open(path, "rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def tar_members(path: Path) -> Iterator[Stretch]:
    """The files in a tar or tar.gz, in its order, each by the last part of its name.

    Stricter than `tarfile`, which takes a damaged header for the end: that would be an archive that has lost
    its tail. A tar.gz is read to its end, so that its checksum counts. Links, folders and the like are left out.

    Raises:
        DataError: the archive is damaged, truncated or holds more than `LIMIT` bytes unpacked.
    """
    compressed = is_gzip(path)
    with _opened(path, compressed) as stream:
        stamp = _stamp(os.fstat(stream.fileno()))
        limit = LIMIT if compressed else stamp[0]
        position = 0
        while True:
            stream.seek(position)
            header = stream.read(_BLOCK)
            if header == bytes(_BLOCK):
                break
            if len(header) < _BLOCK:
                raise DataError(f"{path} is truncated: it ends without the mark of a tar's end; download it again.")
            entry = _entry(path, position, header)
            content = 0 if entry.type in _WITHOUT_CONTENT else entry.size
            start = position + _BLOCK
            position = start + -(-content // _BLOCK) * _BLOCK
            if position > limit:
                raise _too_long(path) if compressed else _truncated(path)
            if entry.type in _FILES:
                yield Stretch(path, start, content, stamp, compressed, PurePosixPath(entry.name).name)
        if compressed:
            _run_out(path, stream)


def archived_files(path: Path, names: Collection[str], official: Collection[str]) -> dict[str, Stretch] | None:
    """The files of some names in an archive.

    Args:
        path: a file.
        names: the last parts of the names of what is looked for.
        official: what the archive is called where it comes from; a file of such a name must be one.

    Returns:
        the stretches by these names, or None when the file is no tar or tar.gz.

    Raises:
        DataError: the archive is damaged, or holds a file twice.
    """
    if not is_tar(path):
        if path.name in official:
            raise DataError(f"{path} is no tar or tar.gz: it is another file or damaged; download it again.")
        return None
    files: dict[str, Stretch] = {}
    for member in tar_members(path):
        if member.member in files:
            raise DataError(f"{path} holds {member.member} twice: download it again.")
        if member.member in names:
            files[member.member] = member
    return files


def is_tar(path: Path) -> bool:
    """Whether a file begins as a tar or tar.gz does."""
    try:
        with _opened(path, is_gzip(path)) as stream:
            _entry(path, 0, stream.read(_BLOCK))
    except DataError:
        return False
    return True


class Contents:
    """Reads stretches, as a context manager; a file stays open, so that going on in a gzip file costs no new start."""

    def __enter__(self) -> Contents:
        self._stack = ExitStack()
        self._streams: dict[Path, BinaryIO] = {}
        return self

    def __exit__(self, *error: object) -> None:
        self._streams.clear()
        self._stack.close()

    def read(self, stretch: Stretch, start: int = 0, size: int | None = None) -> bytes:
        """Some bytes of a stretch.

        Args:
            stretch: what to read.
            start: the first byte, counted from the beginning of the stretch.
            size: how many bytes; None for all that follow.

        Returns:
            exactly so many bytes.

        Raises:
            DataError: the file is gone, is damaged, or has changed since it was listed.
        """
        size = stretch.size - start if size is None else size
        if stretch.path not in self._streams:
            stream = self._stack.enter_context(_opened(stretch.path, stretch.compressed))
            if _stamp(os.fstat(stream.fileno())) != stretch.stamp:
                raise DataError(f"{stretch.path} was changed while it was being read: run the command again.")
            self._streams[stretch.path] = stream
        with _named_faults(stretch.path):
            stream = self._streams[stretch.path]
            stream.seek(stretch.start + start)
            content = stream.read(size)
        if len(content) != size:
            raise _truncated(stretch.path)
        return content


@contextmanager
def _opened(path: Path, compressed: bool) -> Iterator[Any]:
    """A file, open for reading, unpacked when it is compressed; every fault inside becomes a DataError."""
    with _named_faults(path), gzip.open(path, "rb") if compressed else open(path, "rb") as stream:
        yield stream


@contextmanager
def _named_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or truncated ({error}): download it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error


def _run_out(path: Path, stream: BinaryIO) -> int:
    """Reads to the end, where gzip compares its checksum, and returns how long the content is."""
    while stream.read(_CHUNK):
        if stream.tell() > LIMIT:
            raise _too_long(path)
    return stream.tell()


def _entry(path: Path, position: int, header: bytes) -> tarfile.TarInfo:
    try:
        entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise DataError(f"{path} has a damaged tar header at byte {position:,}: download it again.") from error
    if entry.size < 0:
        raise DataError(f"{path} has a tar header of negative size at byte {position:,}: download it again.")
    return entry


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _truncated(path: Path) -> DataError:
    return DataError(f"{path} is truncated: it ends within a file that it should hold; download it again.")


def _too_long(path: Path) -> DataError:
    return DataError(f"{path} unpacks to more than {LIMIT:,} bytes, as no official file does: unpack it yourself.")
