"""Uncompressed tar archives, also an archive of archives (as ImageNet is published), read at any place.

Python's `tarfile` takes a damaged header after the first for the end of the archive and says nothing; here an archive
must be sound to its end, which is marked by blocks of zeros (POSIX.1-2001, pax and ustar; GNU's long names).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdgan.data.sources.containers import Broken, Container, Listing, ListingBuilder
from mmdgan.errors import DataError

BLOCK = 512
_ZEROS = bytes(BLOCK)
_MAX_OFFSET = 2**62
_MAX_TAIL = 2**20  # zeros at the end; more are what a download that broke off leaves in a file made in advance
_MAX_EXTENSION = 2**20  # bytes of a pax header or a long name
_AGAIN = "it is damaged, or its download broke off; get it again"


class Member(NamedTuple):
    """What a tar archive holds at one place: a "file", a "folder", or else why it is not read."""

    kind: str
    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Tars(Container):
    """One or several tar archives; a file's place is (number of the archive, offset, size).

    Attributes:
        paths: the archives.
        stamps: (time of modification in ns, size) of each.
        folders: the folder that each archive's files appear in; empty for none.
    """

    paths: tuple[str, ...]
    stamps: tuple[tuple[int, int], ...]
    folders: tuple[str, ...]
    kind = "tar archive"

    @classmethod
    def of(cls, paths: Sequence[Path], folders: Sequence[str] | None = None) -> Tars:
        """The archives as they are now."""
        return cls(
            tuple(str(path) for path in paths),
            tuple(stamp(os.stat(path)) for path in paths),
            tuple(folders or [""] * len(paths)),
        )

    def listing(self) -> Listing:
        """See `Container`."""
        return self._listed(inner=False)

    def inner_listing(self) -> Listing:
        """Lists the files of the archives inside: those of `a.tar` appear in the folder `a`."""
        return self._listed(inner=True)

    @contextmanager
    def opened(self) -> Iterator[Callable[[str, Sequence[int]], bytes]]:
        """See `Container`."""
        with ExitStack() as stack:
            open_ones: dict[int, int] = {}

            def read(name: str, place: Sequence[int]) -> bytes:
                number, offset, size = place
                if number not in open_ones:
                    open_ones[number] = self._descriptor(number, stack)
                return read_at(open_ones[number], offset, size)

            yield read

    def where(self, name: str) -> str:
        """See `Container`."""
        folder, _, rest = name.partition("/")
        if folder in self.folders:
            return f"{self.paths[self.folders.index(folder)]}: {rest}"
        return f"{self.paths[0]}: {name}"

    def narrowed(self, places: np.ndarray) -> tuple[Tars, np.ndarray]:
        """See `Container`."""
        if len(self.paths) == 1:
            return self, places
        used, numbers = np.unique(places[:, 0], return_inverse=True)
        used = used if len(used) else np.array([0])
        parts: list[Any] = [tuple(values[i] for i in used) for values in (self.paths, self.stamps, self.folders)]
        return Tars(*parts), np.column_stack([numbers, places[:, 1:]])

    def _listed(self, inner: bool) -> Listing:
        builder = ListingBuilder(3)
        for number, (path, folder) in enumerate(zip(self.paths, self.folders, strict=True)):
            if folder:
                builder.folder(folder)
            with ExitStack() as stack:
                descriptor = self._descriptor(number, stack)
                try:
                    for member in members(descriptor, 0, self.stamps[number][1], path):
                        if inner and is_archive(member.name):
                            for deep in _inner_members(descriptor, member, path):
                                _add(builder, number, folder, deep)
                        else:
                            _add(builder, number, folder, member)
                except OSError as error:
                    raise DataError(f"{path} cannot be read ({error.strerror}).") from error
        return builder.listing(self)

    def _descriptor(self, number: int, stack: ExitStack) -> int:
        try:
            descriptor = os.open(self.paths[number], os.O_RDONLY)
        except OSError as error:
            raise DataError(f"{self.paths[number]} cannot be read ({error.strerror}).") from error
        stack.callback(os.close, descriptor)
        if stamp(os.fstat(descriptor)) != self.stamps[number]:
            raise DataError(f"{self.paths[number]} has changed since it was listed: start again.")
        return descriptor


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Reads from an open file without moving its position; raises `Broken` at an error or an early end."""
    pieces, left = [], size
    if offset + size > _MAX_OFFSET:
        raise Broken("lies outside its file")
    try:
        while left:
            piece = os.pread(descriptor, left, offset + size - left)
            if not piece:
                raise Broken("ends too early")
            pieces.append(piece)
            left -= len(piece)
    except OSError as error:
        raise Broken(f"cannot be read ({error.strerror})") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def is_header(block: bytes) -> bool:
    """Whether the first bytes of a file are a tar header with the right checksum."""
    if len(block) < BLOCK or block == _ZEROS:
        return False
    stated = _number(block[148:156])
    if stated is None:
        return False
    found = sum(block) - sum(block[148:156]) + 8 * ord(" ")  # the checksum itself counts as spaces
    # Some old programs summed signed bytes.
    return stated == found or stated == found - 256 * sum(byte > 127 for byte in block[:148] + block[156:])


def members(descriptor: int, start: int, end: int, archive: str) -> Iterator[Member]:
    """Goes through the archive that fills the bytes start .. end - 1 of an open file.

    Args:
        descriptor: of the open file; only headers are read.
        start: the archive's first byte.
        end: the byte after its last.
        archive: its name for messages.

    Raises:
        DataError: a wrong checksum, a member that reaches beyond the end, or no end mark. Byte and member are named.
    """
    position, last = start, "its beginning"
    extension: dict[str, Any] = {}
    while True:
        header = os.pread(descriptor, BLOCK, position)
        if position + BLOCK > end or len(header) < BLOCK:
            raise DataError(f"{archive} is truncated after {last}: it has no end mark; {_AGAIN}.")
        if header == _ZEROS:
            return _check_tail(descriptor, position, end, archive, last)
        size = _number(header[124:136])
        if size is None or not is_header(header):
            raise DataError(f"{archive} has a faulty header at byte {position - start:,}, after {last}: {_AGAIN}.")
        kind = header[156:157]
        size = extension.get("size", size) if kind not in b"xgLK" else size
        # Folders, links and devices have no content, whatever size they state.
        length = 0 if kind in (b"1", b"2", b"3", b"4", b"5", b"6") else size
        offset = position + BLOCK
        name = _decoded(extension.get("path") or _name(header))
        if length > end - offset:
            raise DataError(f"{archive} is truncated in {name}, which should have {size:,} bytes: {_AGAIN}.")
        position = offset + -(-length // BLOCK) * BLOCK
        if kind in b"xgLK":
            if length > _MAX_EXTENSION:
                raise DataError(f"{archive} has a name of {length:,} bytes after {last}: {_AGAIN}.")
            if kind in b"xL":
                extension |= _extension(kind, os.pread(descriptor, length, offset), archive, last)
            continue
        if kind == b"S" or "sparse" in extension:
            raise DataError(f"{archive} holds {name} as a sparse file: pack it again without --sparse.")
        last, extension = name, {}
        yield Member(_kind(kind, name), name, offset, length)


def is_archive(name: str) -> bool:
    """Whether a member is an archive that may hold images."""
    return name.endswith(".tar") and not os.path.basename(name).startswith(".")


def _inner_members(descriptor: int, archive: Member, path: str) -> Iterator[Member]:
    """The members of an archive inside an archive, below a folder of its name."""
    folder = os.path.basename(archive.name)[: -len(".tar")]
    yield Member("folder", folder, 0, 0)
    end = archive.offset + archive.size
    for member in members(descriptor, archive.offset, end, f"{path}: {archive.name}"):
        yield member._replace(name=f"{folder}/{member.name}")


def _check_tail(descriptor: int, position: int, end: int, archive: str, last: str) -> None:
    """What follows the end mark must be zeros, and not many: a hole in the file looks like an end."""
    if end - position > _MAX_TAIL or os.pread(descriptor, _MAX_TAIL, position)[: end - position].strip(b"\0"):
        raise DataError(
            f"{archive} has {end - position - BLOCK:,} bytes after its end mark, which follows {last}: {_AGAIN}, or "
            "unpack it and name the folder."
        )


def _extension(kind: bytes, content: bytes, archive: str, last: str) -> dict:
    """The name and size that a GNU long name or a pax header gives to the next member."""
    if kind == b"L":
        return {"path": content.rstrip(b"\0")}
    found: dict = {}
    while content.strip(b"\0"):
        number, _, rest = content.partition(b" ")
        length = int(number) if number.isdigit() and len(number) < 9 else 0
        key, equals, value = rest[: max(0, length - len(number) - 1)].partition(b"=")
        if not (equals and value.endswith(b"\n") and length <= len(content)):
            raise DataError(f"{archive} has a faulty pax header after {last}: {_AGAIN}.")
        value, content = value[:-1], content[length:]
        if key == b"path":
            found["path"] = value
        elif key == b"size" and value.isdigit() and len(value) < 19:
            found["size"] = int(value)
        elif key.startswith(b"GNU.sparse"):
            found["sparse"] = True
    return found


def _number(field: bytes) -> int | None:
    """An octal number, or GNU's binary form; None for neither."""
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
        return value if value < _MAX_OFFSET else None
    digits = field.partition(b"\0")[0].strip(b" ")
    try:
        return int(digits or b"0", 8) if digits.isdigit() or not digits else None
    except ValueError:
        return None


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _kind(flag: bytes, name: str) -> str:
    if flag in (b"0", b"\0", b"7"):
        return "folder" if name.endswith("/") else "file"
    if flag == b"5":
        return "folder"
    if flag in (b"1", b"2"):
        return "is a link, which is not followed inside an archive"
    return "is a device or of an unknown kind"


def _add(builder: ListingBuilder, number: int, folder: str, member: Member) -> None:
    name = f"{folder}/{member.name}" if folder else member.name
    if member.kind == "file":
        builder.file(name, number, member.offset, member.size)
    elif member.kind == "folder":
        builder.folder(name)
    else:
        builder.fault(name, member.kind)


def stamp(status: os.stat_result) -> tuple[int, int]:
    """(time of modification in ns, size): tells whether a file is still the one that was listed."""
    return status.st_mtime_ns, status.st_size
