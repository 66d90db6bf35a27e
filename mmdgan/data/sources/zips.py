"""Zip archives (APPNOTE 6.3, with Zip64), read at any place.

Python's `zipfile` reads the whole directory each time an archive is opened and keeps half a kilobyte per member; here
a part of a listing is enough to read its members.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmdgan.data.sources.containers import MAX_BYTES, Broken, Container, Listing, ListingBuilder
from mmdgan.data.sources.tars import read_at, stamp
from mmdgan.errors import DataError

_END = struct.Struct("<4s4H2LH")  # end of central directory
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")  # central directory
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_HUGE = 2**62
_AGAIN = "it is damaged, or its download broke off; get it again"


@dataclass(frozen=True)
class Zip(Container):
    """A zip archive; a file's place is (header's offset, compressed size, CRC-32, method, CRC-32 of its name, size).

    Attributes:
        path: the archive.
        stamp: its (time of modification in ns, size).
    """

    path: str
    stamp: tuple[int, int]
    kind = "zip archive"

    @classmethod
    def of(cls, path: Path) -> Zip:
        """The archive as it is now."""
        return cls(str(path), stamp(os.stat(path)))

    def listing(self) -> Listing:
        """See `Container`."""
        builder = ListingBuilder(6, backslashes=True)
        with self._descriptor() as descriptor:
            try:
                count, start, size = _directory(descriptor, self.stamp[1])
                _add_entries(builder, read_at(descriptor, start, size), count, start)
            except (Broken, struct.error, ValueError) as error:
                raise DataError(f"{self.path} is not a sound zip archive ({error}): {_AGAIN}.") from error
        return _without_overlaps(builder.listing(self))

    @contextmanager
    def opened(self) -> Iterator[Callable[[str, Sequence[int]], bytes]]:
        """See `Container`."""
        with self._descriptor() as descriptor:
            yield lambda name, place: _read(descriptor, place)

    def where(self, name: str) -> str:
        """See `Container`."""
        return f"{self.path}: {name}"

    @contextmanager
    def _descriptor(self) -> Iterator[int]:
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read ({error.strerror}).") from error
        try:
            if stamp(os.fstat(descriptor)) != self.stamp:
                raise DataError(f"{self.path} has changed since it was listed: start again.")
            yield descriptor
        finally:
            os.close(descriptor)


def _directory(descriptor: int, total: int) -> tuple[int, int, int]:
    """The central directory's (number of entries, offset, size); a ValueError says what is wrong."""
    tail = read_at(descriptor, max(0, total - _END.size - 65535), min(total, _END.size + 65535))
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise ValueError("its directory, which should be at the end, is missing")
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
    end = total - len(tail) + at
    if end + _END.size + comment != total:
        raise ValueError("its end is cut off or followed by something else")
    if 0xFFFF in (here, count) or 0xFFFFFFFF in (size, start):
        located = _located64(descriptor, end)
        if located:
            return located
    if disk or first_disk or here != count:
        raise ValueError("it is one of several volumes")
    return _checked(count, start, size, end)


def _located64(descriptor: int, end: int) -> tuple[int, int, int] | None:
    if end < _LOCATOR64.size:
        return None
    magic, _, at, disks = _LOCATOR64.unpack(read_at(descriptor, end - _LOCATOR64.size, _LOCATOR64.size))
    if magic != b"PK\6\7":
        return None
    if disks > 1 or at + _END64.size > end:
        raise ValueError("its Zip64 directory is missing")
    magic, *_, count, size, start = _END64.unpack(read_at(descriptor, at, _END64.size))
    if magic != b"PK\6\6":
        raise ValueError("its Zip64 directory is missing")
    return _checked(count, start, size, at)


def _checked(count: int, start: int, size: int, end: int) -> tuple[int, int, int]:
    if start + size != end:
        raise ValueError("its directory is not where its end says")
    if count * _ENTRY.size > size:
        raise ValueError("its directory is shorter than its number of members says")
    return count, start, size


def _add_entries(builder: ListingBuilder, directory: bytes, count: int, end: int) -> None:
    """Reads the central directory; `end` is the byte where it begins and the members end."""
    position = 0
    for _ in range(count):
        (magic, made, _, flags, method, _, _, crc, packed, size, *lengths, _, _, attributes, offset) = (
            _ENTRY.unpack_from(directory, position)
        )
        name_at, extra_at = position + _ENTRY.size, position + _ENTRY.size + lengths[0]
        position = extra_at + lengths[1] + lengths[2]
        if magic != b"PK\1\2" or position > len(directory):
            raise ValueError("its directory is damaged")
        raw = directory[name_at:extra_at]
        name = raw.decode("utf-8", "surrogateescape") if flags & 0x800 else raw.decode("cp437")
        if 0xFFFFFFFF in (size, packed, offset):
            size, packed, offset = _zip64(directory[extra_at : extra_at + lengths[1]], size, packed, offset)
        mode = attributes >> 16 if made >> 8 == 3 else 0  # made by a Unix program
        if name.endswith("/"):
            builder.folder(name)
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            builder.fault(name, "is a link or a device, which is not followed inside an archive")
        elif flags & 0x2041:
            builder.fault(name, "is encrypted")
        elif method not in (_STORED, _DEFLATED):
            builder.fault(name, f"is compressed by method {method}, which is not read: unpack the archive")
        elif offset + _LOCAL.size + lengths[0] + packed > end:
            builder.fault(name, "lies outside its archive")
        else:
            builder.file(name, offset, packed, crc, method, zlib.crc32(raw), min(size, _HUGE))


def _zip64(extra: bytes, *values: int) -> Iterator[int]:
    """Size, compressed size and offset, those that are 0xFFFFFFFF replaced by the Zip64 extra field's."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        content, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == 1:
            numbers = iter(struct.unpack(f"<{len(content) // 8}Q", content[: len(content) // 8 * 8]))
            return (next(numbers, value) if value == 0xFFFFFFFF else value for value in values)
    return iter(values)


def _without_overlaps(listing: Listing) -> Listing:
    """Members that share bytes, of which zip bombs are made, become faults."""
    places, names = listing.files.places, listing.files.names
    order = np.argsort(places[:, 0], kind="stable")
    ends = places[order, 0] + _LOCAL.size + places[order, 1]
    overlapping = np.zeros(len(order), bool)
    overlapping[order[1:]] = places[order[1:], 0] < np.maximum.accumulate(ends)[:-1]
    if not overlapping.any():
        return listing
    faults = tuple((names[i], "shares its bytes with another member") for i in np.flatnonzero(overlapping).tolist())
    return replace(listing, files=listing.files.take(np.flatnonzero(~overlapping)), faults=listing.faults + faults)


def _read(descriptor: int, place: Sequence[int]) -> bytes:
    offset, packed, crc, method, name_crc, size = place
    if packed > MAX_BYTES:
        raise Broken(f"claims to hold {packed:,} bytes, which is no image")
    magic, *_, name_length, extra_length = _LOCAL.unpack(read_at(descriptor, offset, _LOCAL.size))
    if magic != b"PK\3\4":
        raise Broken("has no header where its archive's directory says")
    if zlib.crc32(read_at(descriptor, offset + _LOCAL.size, name_length)) != name_crc:
        raise Broken("has another name in its header than in its archive's directory")
    content = read_at(descriptor, offset + _LOCAL.size + name_length + extra_length, packed)
    if method == _DEFLATED:
        content = _inflated(content, size)
    if len(content) != size or zlib.crc32(content) != crc:
        raise Broken("has another size or checksum than its archive's directory says")
    return content


def _inflated(packed: bytes, size: int) -> bytes:
    """Decompresses, to `size` bytes and one more at most."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise Broken(f"cannot be decompressed ({error})") from error
