"""Files inside a folder, a tar archive or a zip archive: listed once, then read piece by piece, in any process.

A listing of a million files is a list of names beside one array of numbers, and a slice of it holds nothing of the
other files. What would be dangerous to unpack (links, names that lead outside) or cannot be read is a fault with a
name and a reason, and never a file.
"""

from __future__ import annotations

import builtins
import gzip
import hashlib
import os
import re
import stat
import struct
import tarfile
import zlib
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.base import ImageSource, Item, Part

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".gif"})
ARCHIVES = (".tar", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
MAX_BYTES = 512 * 2**20  # of one file: an image of that size is none, and it must fit in memory

_MAX_NAME = 4096
_HIDDEN = "__MACOSX"  # what macOS adds to the zip archives that it makes
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
}
# A relative name without hidden parts; anything else is looked at part by part.
_PLAIN = re.compile(r"[^/.\\:][^/\\:]*(?:/[^/.\\][^/\\]*)*")


class Broken(Exception):
    """One file that cannot be read: its text is the rest of a sentence that begins with the file's name."""


class Container(ABC):
    """A place that holds files. It can be pickled, and holds no open file."""

    kind: str

    @abstractmethod
    def listing(self) -> Listing:
        """Lists the files, sorted folder by folder as they would be once unpacked; hidden ones are left out.

        Raises:
            DataError: a container that is damaged, truncated or cannot be read.
        """

    @abstractmethod
    def opened(self) -> AbstractContextManager[Callable[[str, Sequence[int]], bytes]]:
        """Opens the container: a function (name, place) -> content, which raises `Broken`.

        Raises:
            DataError: a container that is gone or has changed since it was listed.
        """

    @abstractmethod
    def where(self, name: str) -> str:
        """How messages name a file."""

    def narrowed(self, places: np.ndarray) -> tuple[Container, np.ndarray]:
        """What is needed of the container for these places only."""
        return self, places


@dataclass(frozen=True)
class Files:
    """Some files of a container, in order.

    Attributes:
        container: what they are in.
        names: one for each, relative to the container, with "/" between folders.
        places: int64 (n, k), numbers that tell the container where each of them is; the last one is its size.
    """

    container: Container
    names: Sequence[str]
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: np.ndarray) -> Files:
        """The files of these numbers, in the order given."""
        container, places = self.container.narrowed(self.places[indices])
        return Files(container, [self.names[i] for i in indices.tolist()], places)

    def slice(self, start: int, stop: int) -> Files:
        """The files start .. stop - 1."""
        container, places = self.container.narrowed(self.places[start:stop].copy())
        return Files(container, self.names[start:stop], places)

    @property
    def bytes(self) -> int:
        """The sum of their sizes."""
        return int(self.places[:, -1].sum())

    def where(self, index: int) -> str:
        """How messages name one of the files."""
        return printable(self.container.where(self.names[index]))

    def read(self) -> Iterator[builtins.bytes | Broken]:
        """The content of each file in order, or why it cannot be had.

        Raises:
            DataError: a container that is gone or has changed since it was listed.
        """
        with self.container.opened() as read:
            for name, place in zip(self.names, self.places.tolist(), strict=True):
                try:
                    if place[-1] > MAX_BYTES:
                        raise Broken(f"claims to hold {place[-1]:,} bytes, which is no image")
                    yield read(name, place)
                except Broken as fault:
                    yield fault

    def state(self) -> str:
        """A digest that changes when the names, the sizes, the places or the times of modification do."""
        digest = hashlib.blake2b(repr(self.container).encode("utf-8", "surrogateescape"), digest_size=16)
        digest.update("\0".join(self.names).encode("utf-8", "surrogateescape"))
        digest.update(np.ascontiguousarray(self.places, "<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Listing:
    """All that a container holds.

    Attributes:
        files: the files.
        faults: (name, reason) of what is not read because it is broken or dangerous.
        empty: the folders without any file.
    """

    files: Files
    faults: tuple[tuple[str, str], ...] = ()
    empty: tuple[str, ...] = ()


class ListingBuilder:
    """Collects what a container holds, in any order.

    Args:
        width: how many numbers say where a file is.
        backslashes: whether they stand for slashes, as in zip archives made by some Windows programs.
    """

    def __init__(self, width: int, backslashes: bool = False) -> None:
        self._width = width
        self._backslashes = backslashes
        self._names: list[str] = []
        self._places = array("q")
        self._folders: set[str] = set()
        self._faults: list[tuple[str, str]] = []

    def file(self, raw: str, *place: int) -> None:
        """Adds a file by the name that the container gives it."""
        name = self._checked(raw)
        if name:
            self._names.append(name)
            self._places.extend(place)

    def folder(self, raw: str) -> None:
        """Adds a folder, which may be empty."""
        name = self._checked(raw)
        if name:
            self._folders.add(name)

    def fault(self, raw: str, reason: str) -> None:
        """Adds what cannot be read."""
        self._faults.append((raw, reason))

    def listing(self, container: Container) -> Listing:
        """Sorts folder by folder; the second file of one name is a fault."""
        keys = [name.replace("/", "\0") for name in self._names]
        order: list[int] = []
        for index in sorted(range(len(keys)), key=keys.__getitem__):
            if order and keys[index] == keys[order[-1]]:
                self.fault(self._names[index], "is there more than once")
            else:
                order.append(index)
        places = np.array(self._places, np.int64).reshape(-1, self._width)[np.array(order, np.int64)]
        names = [self._names[i] for i in order]
        empty = self._folders - _ancestors(names) if self._folders else set()
        return Listing(Files(container, names, places), tuple(self._faults), tuple(sorted(empty)))

    def _checked(self, raw: str) -> str:
        """The name to use; empty for a hidden one, or for one that leads outside, which becomes a fault."""
        if self._backslashes:
            raw = raw.replace("\\", "/")
        if len(raw) <= _MAX_NAME and _PLAIN.fullmatch(raw) and not raw.startswith(_HIDDEN):
            return raw
        parts = [part for part in raw.split("/") if part not in ("", ".")]
        if len(raw) > _MAX_NAME:
            self.fault(f"{raw[:80]}...", f"has a name of {len(raw):,} characters")
        elif raw.startswith("/") or parts and re.fullmatch("[A-Za-z]:", parts[0]):
            self.fault(raw, "has an absolute path, which points outside its archive")
        elif ".." in parts:
            self.fault(raw, "points outside its archive")
        elif not any(part.startswith(".") or part == _HIDDEN for part in parts):
            return "/".join(parts)
        return ""


def _ancestors(names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


@dataclass(frozen=True)
class FilePart(Part):
    """Images that are files: first those that cannot be had, then the others.

    Attributes:
        files: the files.
        labels: int64 (n,), their classes, or None.
        faults: (how messages name it, reason) of what cannot be had.
    """

    files: Files
    labels: np.ndarray | None
    faults: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.faults) + len(self.files)

    def items(self) -> Iterator[Item]:
        """Reads the files in order."""
        for name, reason in self.faults:
            yield Item(name, fault=reason)
        labels = [None] * len(self.files) if self.labels is None else self.labels.tolist()
        for index, (content, label) in enumerate(zip(self.files.read(), labels, strict=True)):
            if isinstance(content, Broken):
                yield Item(self.files.where(index), label, fault=str(content))
            else:
                yield Item(self.files.where(index), label, encoded=content)

    def state(self) -> str:
        """Changes with the files, their labels and the faults."""
        labels = b"" if self.labels is None else np.ascontiguousarray(self.labels, "<i8").tobytes()
        rest = hashlib.blake2b(labels + repr(self.faults).encode("utf-8", "backslashreplace"), digest_size=16)
        return f"{self.files.state()} {rest.hexdigest()}"


def image_source(
    kind: str,
    path: Path,
    files: Files,
    labels: np.ndarray | None = None,
    *,
    faults: Sequence[tuple[str, str]] = (),
    class_names: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    note: str = "",
) -> ImageSource:
    """A source whose images are files.

    Args:
        kind: what it is, in words.
        path: what a person named.
        files: the images, in order.
        labels: int64 (n,), the class of each, or None.
        faults: (name inside the container, reason) of images that cannot be had: the source begins with them, so that
            a conversion that will stop there stops at once.
        class_names: one name per class.
        size: (width, height) that each image must have; None for any.
        note: what a person should know.
    """
    named = tuple((printable(files.container.where(name)), reason) for name, reason in faults)

    def part(start: int, stop: int) -> FilePart:
        first, last = (min(max(0, edge - len(named)), len(files)) for edge in (start, stop))
        return FilePart(files.slice(first, last), None if labels is None else labels[first:last], named[start:stop])

    return ImageSource(
        origin=Origin(kind, printable(str(path.resolve())), len(files), files.bytes),
        count=len(named) + len(files),
        part=part,
        class_names=tuple(printable(name) for name in class_names),
        size=size,
        note=note,
    )


def recognise(path: Path) -> Container | None:
    """Finds out by its content what container a path is.

    Returns:
        the container, of which only the first bytes were read, or None for a file of another kind.

    Raises:
        DataError: a compressed archive, or a path that cannot be read.
    """

    try:
        if path.is_dir():
            return Directory(str(path))
        with open(path, "rb") as stream:
            start = stream.read(BLOCK)
        if start.startswith((b"PK\3\4", b"PK\5\6")) or path.suffix.lower() == ".zip":
            return Zip.of(path)
        if is_header(start) or path.suffix.lower() == ".tar":
            return Tars.of([path])
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    for magic, program in _COMPRESSED.items():
        if start.startswith(magic):
            raise DataError(f"{path} is compressed by {program}: unpack it first, then name the folder it went to.")
    return None


def is_image(name: str) -> bool:
    """Whether a name ends as those of images do."""
    return name[name.rfind(".") :].lower() in EXTENSIONS


def is_plain(name: str) -> bool:
    """Whether a name is relative and leads nowhere outside."""
    return not name.startswith("/") and ".." not in name.split("/")


def printable(text: str) -> str:
    """A name for messages and JSON: bytes that are no UTF-8 and control characters are escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


# MERGED mmdgan/data/sources/containers.py
# A folder and all folders below it as a container of files.


@dataclass(frozen=True)
class Directory(Container):
    """A folder; a file's place is (time of modification in ns, size).

    Links are followed. One that leads back to a folder around it is left out, for it adds nothing; one to a folder
    that is listed anyway is a fault, for its images would count twice.
    """

    path: str
    kind = "folder"

    def listing(self) -> Listing:
        """See `Container`."""
        builder = ListingBuilder(2)
        if not os.path.isdir(self.path):
            raise DataError(f"{self.path} is no folder.")
        seen: set[tuple[int, int]] = set()
        # Links wait until every folder was reached by its own road.
        links = _walk(self.path, [""], builder, seen)
        while links:
            batch, links = sorted(links), []
            for link in batch:
                status = os.stat(os.path.join(self.path, link))
                if (status.st_dev, status.st_ino) not in seen:
                    links += _walk(self.path, [link], builder, seen)
                elif not _leads_back(os.path.join(self.path, link)):
                    builder.fault(link, "is a link to a folder whose files are listed already")
        return builder.listing(self)

    @contextmanager
    def opened(self) -> Iterator[Callable[[str, Sequence[int]], bytes]]:
        """See `Container`."""
        if not os.path.isdir(self.path):
            raise DataError(f"{self.path} is gone or cannot be read.")
        yield self._read

    def where(self, name: str) -> str:
        """See `Container`."""
        return os.path.join(self.path, name)

    def _read(self, name: str, place: Sequence[int]) -> bytes:
        try:
            with open(os.path.join(self.path, name), "rb") as stream:
                status = os.fstat(stream.fileno())
                content = stream.read(place[1] + 1)
        except OSError as error:
            raise Broken(f"cannot be read ({error.strerror})") from error
        if [status.st_mtime_ns, status.st_size] != [*place] or len(content) != place[1]:
            raise Broken("has changed since it was listed")
        return content


def _walk(root: str, folders: list[str], builder: ListingBuilder, seen: set[tuple[int, int]]) -> list[str]:
    """Lists folders and what is below them; returns the links to folders that were met."""
    links: list[str] = []
    while folders:
        folder = folders.pop()
        try:
            status = os.stat(os.path.join(root, folder))
            with os.scandir(os.path.join(root, folder)) as scan:
                entries = [entry for entry in scan if not entry.name.startswith(".")]
        except OSError as error:
            builder.fault(folder or ".", f"cannot be read ({error.strerror})")
            continue
        seen.add((status.st_dev, status.st_ino))
        if folder:
            builder.folder(folder)
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            kind = _kind(entry)
            if kind == "folder":
                (links if entry.is_symlink() else folders).append(name)
            elif kind == "file":
                status = entry.stat()
                builder.file(name, status.st_mtime_ns, status.st_size)
            elif is_image(name):
                builder.fault(name, kind)
    return links


def _kind(entry: os.DirEntry) -> str:
    """ "file", "folder", or why it is neither."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "is a link to nothing" if entry.is_symlink() else "is no regular file"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _leads_back(link: str) -> bool:
    target, around = os.path.realpath(link), os.path.realpath(os.path.dirname(link))
    return os.path.commonpath([target, around]) == target


# MERGED mmdgan/data/sources/containers.py
# Runs of bytes in files: a whole file, what a gzip file holds, or one member of a tar or tar.gz.
#
# Archives are read where they are and nothing is unpacked to the disk. A `Stretch` is small and can be pickled,
# so that a process can be told what to read.


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


# MERGED mmdgan/data/sources/containers.py
# Uncompressed tar archives, also an archive of archives (as ImageNet is published), read at any place.
#
# Python's `tarfile` takes a damaged header after the first for the end of the archive and says nothing; here an archive
# must be sound to its end, which is marked by blocks of zeros (POSIX.1-2001, pax and ustar; GNU's long names).


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
        yield Member(_kind_tars(kind, name), name, offset, length)


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


def _kind_tars(flag: bytes, name: str) -> str:
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


# MERGED mmdgan/data/sources/containers.py
# Zip archives (APPNOTE 6.3, with Zip64), read at any place.
#
# Python's `zipfile` reads the whole directory each time an archive is opened and keeps half a kilobyte per member; here
# a part of a listing is enough to read its members.


_END = struct.Struct("<4s4H2LH")  # end of central directory
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")  # central directory
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_HUGE = 2**62
_AGAIN_zips = "it is damaged, or its download broke off; get it again"


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
                raise DataError(f"{self.path} is not a sound zip archive ({error}): {_AGAIN_zips}.") from error
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
