"""Tar and zip archives, read in place at any offset; nothing is unpacked to the disk.

A damaged archive is an error, never a shorter archive: `tarfile.open` takes a damaged header after the first one for
the end and says nothing, so headers are read one by one here, to the blocks of zeros that mark the end (POSIX.1-2001).
`zipfile` reads the whole directory each time it opens an archive and keeps half a kilobyte per member; here a part of
a listing is enough to read its members (APPNOTE 6.3, with Zip64).
"""

from __future__ import annotations

import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.sources import byte_ranges
from mmdgan.data.sources.byte_ranges import (
    AGAIN,
    MAX_OFFSET,
    Broken,
    ByteRange,
    is_gzip,
    open_listed,
    open_unpacked,
    read_at,
    read_out,
    stamp,
    too_long,
)
from mmdgan.data.sources.containers import MAX_BYTES, Container, Directory, Listing, ListingBuilder, ReadFile

ENDINGS = (".tar", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
}

_PROGRAMS = (b"MZ", b"\x7fELF", b"#!")  # how the programs before self-extracting zip archives begin

_BLOCK = 512  # of a tar
_MAX_TAIL = 2**20  # zeros at the end; more are what a download that broke off leaves in a preallocated file
_MAX_EXTENSION = 2**20  # bytes of a pax header or a long name
_EXTENSIONS = b"xgLK"  # headers that describe the next member: pax, pax for all members, GNU's long name and link
_GNU_FOLDER, _GNU_LABEL = b"D", b"V"  # of incremental archives, with a list of its files; the name of an archive
_NO_CONTENT = frozenset(
    {tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE}
)
_SIZE = re.compile(rb"[\x80\xff].*| *[0-7]*[ \0]*", re.DOTALL)

_END = struct.Struct("<4s4H2LH")  # end of a zip's central directory
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")  # central directory
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_MAX_SNIFFED = 64 * 2**20  # bytes of a zip's member that is unpacked to see whether it is a picture


def recognise(path: Path) -> Container | None:
    """Finds out by its content what container a path is.

    Returns:
        The container, of which only the first bytes were read, or None for a file of another kind.

    Raises:
        DataError: A compressed archive, or a path that cannot be read.
    """
    try:
        if path.is_dir():
            return Directory(str(path))
        with open(path, "rb") as stream:
            start = stream.read(_BLOCK)
        if _are_arrays(start):
            raise DataError(
                f"{path} holds arrays, not pictures: prepare them as a data set of their own, folder:{path} with a "
                "--name."
            )
        compressed = next((program for magic, program in _COMPRESSED.items() if start.startswith(magic)), "")
        ending = "" if compressed or _header(start) else path.suffix.lower()  # which counts if the content says nothing
        if start.startswith((b"PK\3\4", b"PK\5\6")) or ending == ".zip" or _is_self_extracting(path, start):
            return Zip(str(path), stamp(os.stat(path)))
        if _header(start) or ending == ".tar":
            return Tars.of([path])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    if compressed:
        raise DataError(f"{path} is compressed by {compressed}: unpack it first, then name the folder it went to.")
    return None


def holds_arrays(path: Path) -> bool:
    """Whether a file holds arrays of NumPy, by its content: an .npy, or a zip whose first file is one."""
    try:
        with open(path, "rb") as stream:
            return _are_arrays(stream.read(_BLOCK))
    except OSError:
        return False


def _are_arrays(start: bytes) -> bool:
    named = start.startswith(b"PK\3\4") and len(start) >= _LOCAL.size
    name = start[_LOCAL.size :][: _LOCAL.unpack_from(start)[-2]] if named else b""
    return start.startswith(np.lib.format.MAGIC_PREFIX) or name.endswith(b".npy")


def _is_self_extracting(path: Path, start: bytes) -> bool:
    """Whether a file is a program that has a zip archive at its end."""
    return start.startswith(_PROGRAMS) and zipfile.is_zipfile(path)


def archived_files(path: Path, names: Collection[str], official: Collection[str]) -> dict[str, ByteRange] | None:
    """The files of some names in a tar or tar.gz, which is read to its end, so that a gzip's checksum counts.

    Args:
        path: A file.
        names: The files to look for, by the last parts of their names.
        official: The published names of the archive; a file of such a name must be one.

    Returns:
        The byte ranges by these names, or None when the file is not a tar or tar.gz.

    Raises:
        DataError: The archive is damaged, or holds a file twice.
    """
    compressed = is_gzip(path)
    files: dict[str, ByteRange] = {}
    with open_unpacked(path, compressed) as stream:

        def read(offset: int, size: int) -> bytes:
            if compressed and offset + size > byte_ranges.LIMIT:
                raise too_long(path)
            stream.seek(offset)
            return stream.read(size)

        try:
            is_tar = _header(read(0, _BLOCK)) is not None
        except (OSError, EOFError, zlib.error):  # a damaged gzip file
            is_tar = False
        if not is_tar:
            if path.name in official:
                raise DataError(f"{path} is not a tar or tar.gz: it is another file or damaged; download it again.")
            return None
        now = stamp(os.fstat(stream.fileno()))
        for member in _tar_members(read, 0, None if compressed else now[1], str(path)):
            name = PurePosixPath(member.name).name
            if member.kind == "file" and name in names:
                if name in files:
                    raise DataError(f"{path} holds {name} twice: download it again.")
                files[name] = ByteRange(path, member.offset, member.size, now, compressed, name)
        if compressed:
            read_out(path, stream)
    return files


def is_archive(name: str) -> bool:
    """Whether a member of a tar is an archive that may hold images."""
    return name.endswith(".tar") and not os.path.basename(name).startswith(".")


class TarMember(NamedTuple):
    """What a tar archive holds at one place: a "file", a "folder", or else why it is not read."""

    kind: str
    name: str
    offset: int
    size: int
    link: str = ""  # of a hard link: the member whose content it has


@dataclass(frozen=True)
class Tars(Container):
    """One or several uncompressed tar archives; a file's place is (number of the archive, offset, size)."""

    paths: tuple[str, ...]  # the archives
    stamps: tuple[tuple[int, int], ...]  # the `stamp` of each
    folders: tuple[str, ...]  # the folder that each archive's files appear in; empty for none
    kind = "tar archive"

    @classmethod
    def of(cls, paths: Sequence[Path], folders: Sequence[str] | None = None) -> Tars:
        """The archives as they are now."""
        return cls(
            tuple(str(path) for path in paths),
            tuple(stamp(os.stat(path)) for path in paths),
            tuple(folders or [""] * len(paths)),
        )

    def listing(self, inner: bool = False) -> Listing:
        """As of every container; `inner`: of the archives inside, the files of `a.tar` appear in the folder `a`."""
        builder = ListingBuilder(3)
        for number, (path, folder) in enumerate(zip(self.paths, self.folders, strict=True)):
            if folder:
                builder.folder(folder)
            with open_listed(path, self.stamps[number]) as descriptor:

                def read(offset: int, size: int, descriptor: int = descriptor) -> bytes:
                    return os.pread(descriptor, size, offset)

                try:
                    for member in _tar_members(read, 0, self.stamps[number][1], path, inner):
                        name = f"{folder}/{member.name}" if folder else member.name
                        if member.kind == "file":
                            builder.file(name, number, member.offset, member.size)
                        elif member.link:
                            builder.hard_link(name, f"{folder}/{member.link}" if folder else member.link)
                        elif member.kind == "folder":
                            builder.folder(name)
                        else:
                            builder.fault(name, member.kind)
                except OSError as error:
                    raise DataError(f"{path} cannot be read ({error.strerror}).") from error
        return builder.listing(self)

    @contextmanager
    def open(self) -> Iterator[ReadFile]:
        with ExitStack() as stack:
            descriptors: dict[int, int] = {}

            def read(name: str, place: Sequence[int]) -> bytes:
                number, offset, size = place
                if number not in descriptors:
                    descriptors[number] = stack.enter_context(open_listed(self.paths[number], self.stamps[number]))
                return read_at(descriptors[number], offset, size)

            yield read

    def where(self, name: str) -> str:
        folder, _, rest = name.partition("/")
        if folder in self.folders:
            return f"{self.paths[self.folders.index(folder)]}: {rest}"
        return f"{self.paths[0]}: {name}"

    def head(self, read: ReadFile, name: str, place: Sequence[int]) -> bytes:
        return read(name, (*place[:2], min(place[2], _BLOCK)))

    def narrowed(self, places: np.ndarray) -> tuple[Tars, np.ndarray]:
        if len(self.paths) == 1:
            return self, places
        used, numbers = np.unique(places[:, 0], return_inverse=True)
        used = used if len(used) else np.array([0])
        parts: list[Any] = [tuple(values[i] for i in used) for values in (self.paths, self.stamps, self.folders)]
        return Tars(*parts), np.column_stack([numbers, places[:, 1:]])


def _tar_members(
    read: Callable[[int, int], bytes], start: int, end: int | None, archive: str, inner: bool = False
) -> Iterator[TarMember]:
    """Goes through a tar archive, of which only headers are read.

    Args:
        read: (offset, size) -> the bytes there.
        start: The archive's first byte.
        end: The byte after its last; None if that is not known, as of a gzip file.
        archive: Its name for messages.
        inner: Whether archives inside are replaced by their members, below a folder of the archive's name.

    Raises:
        DataError: A damaged header, a member that reaches beyond the end, or no end mark. Byte and member are named.
    """
    position, last = start, "its beginning"
    extension: dict[str, Any] = {}
    while True:
        block = read(position, _BLOCK)
        if len(block) < _BLOCK or end is not None and position + _BLOCK > end:
            raise DataError(f"{archive} is truncated after {last}: it has no end mark; {AGAIN}.")
        if not any(block):
            return None if end is None else _check_tail(read, position, end, archive, last)
        header = _header(block)
        if header is None:
            raise DataError(f"{archive} has a faulty header at byte {position - start:,}, after {last}: {AGAIN}.")
        extends = header.type in _EXTENSIONS
        size = header.size if extends else extension.get("size", header.size)
        length = 0 if header.type in _NO_CONTENT else size  # whatever size they state
        name, target = extension.get("path", header.name), extension.get("linkpath", header.linkname)
        offset = position + _BLOCK
        if end is not None and length > end - offset:
            raise DataError(f"{archive} is truncated in {name}, which should have {size:,} bytes: {AGAIN}.")
        position = offset + -(-length // _BLOCK) * _BLOCK
        if extends:
            if length > _MAX_EXTENSION:
                raise DataError(f"{archive} has a name of {length:,} bytes after {last}: {AGAIN}.")
            if header.type in b"xLK":
                extension |= _extension(header.type, read(offset, length), archive, last)
            continue
        if header.type == tarfile.GNUTYPE_SPARSE or "sparse" in extension:
            raise DataError(f"{archive} holds {name} as a sparse file: pack it again without --sparse.")
        last, extension = name, {}
        if header.type == _GNU_LABEL:
            continue
        if inner and is_archive(name):
            folder = os.path.basename(name)[: -len(".tar")]
            yield TarMember("folder", folder, 0, 0)
            for member in _tar_members(read, offset, offset + length, f"{archive}: {name}"):
                target = f"{folder}/{member.link}" if member.link else ""
                yield member._replace(name=f"{folder}/{member.name}", link=target)
        else:
            yield TarMember(_kind(header, name), name, offset, length, target if header.islnk() else "")


def _header(block: bytes) -> tarfile.TarInfo | None:
    """The header in a block of a tar; None for anything else, such as a damaged one."""
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    if block[257:265] == tarfile.GNU_MAGIC:  # `frombuf` takes the times in an incremental archive for a prefix
        name = block[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        header.name = name.rstrip("/") if header.isdir() else name
    # `frombuf` takes negative sizes and, by int(), such digits as 0o17 and 1_7.
    sound = _SIZE.fullmatch(block[124:136]) and 0 <= header.size < MAX_OFFSET
    return header if sound else None


def _kind(header: tarfile.TarInfo, name: str) -> str:
    if header.isdir() or header.type == _GNU_FOLDER or header.isreg() and name.endswith("/"):
        return "folder"
    if header.isreg():
        return "file"
    if header.islnk() or header.issym():
        return "is a link, which is not followed inside an archive"
    return "is a device or of an unknown kind"


def _extension(kind: bytes, content: bytes, archive: str, last: str) -> dict[str, Any]:
    """The name and size that a GNU long name or a pax header gives to the next member."""
    if kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        field = "path" if kind == tarfile.GNUTYPE_LONGNAME else "linkpath"
        return {field: content.rstrip(b"\0").decode("utf-8", "surrogateescape")}
    found: dict[str, Any] = {}
    while content.strip(b"\0"):
        number, _, rest = content.partition(b" ")
        length = int(number) if number.isdigit() and len(number) < 9 else 0
        key, equals, value = rest[: max(0, length - len(number) - 1)].partition(b"=")
        if not (equals and value.endswith(b"\n") and length <= len(content)):
            raise DataError(f"{archive} has a faulty pax header after {last}: {AGAIN}.")
        value, content = value[:-1], content[length:]
        if key in (b"path", b"linkpath"):
            found[key.decode()] = value.decode("utf-8", "surrogateescape")
        elif key == b"size" and value.isdigit() and len(value) < 19:
            found["size"] = int(value)
        elif key.startswith(b"GNU.sparse"):
            found["sparse"] = True
    return found


def _check_tail(read: Callable[[int, int], bytes], position: int, end: int, archive: str, last: str) -> None:
    """Only a few zeros may follow the end mark: a hole in a file looks like an end."""
    if end - position > _MAX_TAIL or read(position, _MAX_TAIL)[: end - position].strip(b"\0"):
        raise DataError(
            f"{archive} has {end - position - _BLOCK:,} bytes after its end mark, which follows {last}: {AGAIN}, or "
            "unpack it and name the folder."
        )


@dataclass(frozen=True)
class Zip(Container):
    """A zip archive; a file's place is (header's offset, compressed size, CRC-32, method, CRC-32 of its name, size)."""

    path: str  # the archive
    stamp: tuple[int, int]  # its `stamp`
    kind = "zip archive"

    def listing(self) -> Listing:
        builder = ListingBuilder(6, backslashes=True)
        with open_listed(self.path, self.stamp) as descriptor:
            try:
                count, start, size, before = _directory(descriptor, self.stamp[1])
                _add_entries(builder, read_at(descriptor, start, size), count, start, before)
            except (Broken, struct.error, ValueError) as error:
                raise DataError(f"{self.path} is not a sound zip archive ({error}): {AGAIN}.") from error
        return _without_overlaps(builder.listing(self))

    @contextmanager
    def open(self) -> Iterator[ReadFile]:
        with open_listed(self.path, self.stamp) as descriptor:
            yield lambda name, place: _read_member(descriptor, place)

    def head(self, read: ReadFile, name: str, place: Sequence[int]) -> bytes:
        return read(name, place) if place[-1] <= _MAX_SNIFFED else b""

    def where(self, name: str) -> str:
        return f"{self.path}: {name}"


def _directory(descriptor: int, total: int) -> tuple[int, int, int, int]:
    """The central directory's (number of entries, offset, size), and the bytes before the archive in its file.

    Only a program may be before it. A ValueError says what is wrong.
    """
    program = read_at(descriptor, 0, min(total, 4)).startswith(_PROGRAMS)
    tail = read_at(descriptor, max(0, total - _END.size - 65535), min(total, _END.size + 65535))
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise ValueError("its directory, which should be at the end, is missing")
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail, at)
    end = total - len(tail) + at
    if end + _END.size + comment != total:
        raise ValueError("its end is cut off or followed by something else")
    if 0xFFFF in (here, count) or 0xFFFFFFFF in (size, start):
        located = _located64(descriptor, end, program)
        if located:
            return located
    if disk or first_disk or here != count:
        raise ValueError("it is one of several volumes")
    return _checked(count, start, size, end, program)


def _located64(descriptor: int, end: int, program: bool) -> tuple[int, int, int, int] | None:
    if end < _LOCATOR64.size:
        return None
    magic, _, at, disks = _LOCATOR64.unpack(read_at(descriptor, end - _LOCATOR64.size, _LOCATOR64.size))
    if magic != b"PK\6\7":
        return None
    if disks > 1 or at + _END64.size > end:
        raise ValueError("its Zip64 directory is missing")
    if program:
        at = end - _LOCATOR64.size - _END64.size
    magic, *_, count, size, start = _END64.unpack(read_at(descriptor, at, _END64.size))
    if magic != b"PK\6\6":
        raise ValueError("its Zip64 directory is missing")
    return _checked(count, start, size, at, program)


def _checked(count: int, start: int, size: int, end: int, program: bool) -> tuple[int, int, int, int]:
    before = end - start - size
    if before < 0 or before and not program:
        raise ValueError("its directory is not where its end says")
    if count * _ENTRY.size > size:
        raise ValueError("its directory is shorter than its number of members says")
    return count, start + before, size, before


def _add_entries(builder: ListingBuilder, directory: bytes, count: int, end: int, before: int) -> None:
    """Reads the central directory.

    Args:
        builder: Takes the members.
        directory: The central directory.
        count: Number of members.
        end: The byte where the directory begins and the members end.
        before: Bytes before the archive, which its offsets do not count.
    """
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
        offset += before
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
            builder.file(name, offset, packed, crc, method, zlib.crc32(raw), min(size, MAX_OFFSET))


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


def _read_member(descriptor: int, place: Sequence[int]) -> bytes:
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
