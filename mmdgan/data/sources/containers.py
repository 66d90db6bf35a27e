"""Files inside a folder, a tar archive or a zip archive: listed once, then read in parts, in any process.

The listing of a million files is a list of names and one array of numbers, and a slice of it holds nothing of the
other files. Links, names that lead outside (dangerous to unpack) and what cannot be read are faults with a name and a
reason, never files.
"""

from __future__ import annotations

import builtins
import hashlib
import os
import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.base import ImageSource, Item, Part, Request, fewer_note
from mmdgan.data.sources.byte_ranges import Broken, stamp

EXTENSIONS = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .mpo .webp .bmp .dib .ppm .pgm .pbm .pnm .tif .tiff .gif .avif .avifs .jp2 .j2k "
    ".jpx .jpf .jpc .j2c .tga .ico .qoi".split()
)
FORMATS_READ = ".bmp, .gif, .jpg, .png, .tif, .webp and others that Pillow reads"
MAX_BYTES = 512 * 2**20  # of one file: no image is that large, and it must fit in memory
_MOST_CLASSES = 100_000

_MAX_NAME = 4096
_HEAD = 64
# What file systems, desktops and network drives keep next to pictures: thumbnails, waste baskets, settings.
_SYSTEM = re.compile(
    r"(?:^|/)(?:__MACOSX|@eaDir|@__thumb|@tmp|@Recycle|@Recently-Snapshot|#recycle|#snapshot|\$RECYCLE\.BIN|RECYCLER|"
    r"System Volume Information|lost\+found|(?:eh)?thumbs(?:_vista)?\.db|desktop\.ini|SYNOPHOTO_THUMB[^/]*)(?:/|$)",
    re.IGNORECASE,
)
# A relative name without hidden parts; anything else is examined part by part.
_PLAIN = re.compile(r"[^/.\\:][^/\\:]*(?:/[^/.\\][^/\\]*)*")

ReadFile = Callable[[str, Sequence[int]], bytes]
"""(name, place) -> content; raises `Broken`."""


class Container(ABC):
    """A place that holds files. It can be pickled, and holds no open file."""

    kind: str

    @abstractmethod
    def listing(self) -> Listing:
        """Lists the files, sorted folder by folder as they would be once unpacked, without hidden ones.

        Raises:
            DataError: The container is damaged, truncated or cannot be read.
        """

    @abstractmethod
    def open(self) -> AbstractContextManager[ReadFile]:
        """Opens the container for reading; DataError if it is missing or has changed since it was listed."""

    @abstractmethod
    def where(self, name: str) -> str:
        """How messages name a file."""

    @abstractmethod
    def head(self, read: ReadFile, name: str, place: Sequence[int]) -> bytes:
        """The first bytes of a file, at least 32 where there are as many; raises `Broken`."""

    def narrowed(self, places: np.ndarray) -> tuple[Container, np.ndarray]:
        """What is needed of the container for these places only."""
        return self, places


@dataclass(frozen=True)
class Files:
    """Some files of a container, in order."""

    container: Container  # where they are
    names: Sequence[str]  # their names relative to the container, with "/" between folders
    places: np.ndarray  # int64 (n, k), numbers that tell the container where each of them is; the last one is its size

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: np.ndarray) -> Files:
        """The files of these numbers, in the order given."""
        container, places = self.container.narrowed(self.places[indices])
        return Files(container, [self.names[i] for i in indices.tolist()], places)

    def slice(self, start: int, stop: int) -> Files:
        """The files start .. stop - 1."""
        return self.take(np.arange(start, stop))

    def images(self) -> Files:
        """The files whose names end as those of images do."""
        return self.take(np.array([i for i, name in enumerate(self.names) if is_image(name)], np.int64))

    @property
    def bytes(self) -> int:
        """The sum of their sizes."""
        return int(self.places[:, -1].sum())

    def where(self, index: int) -> str:
        """How messages name one of the files."""
        return printable(self.container.where(self.names[index]))

    def read(self) -> Iterator[builtins.bytes | Broken]:
        """The content of each file in order, or why it cannot be read.

        Raises:
            DataError: The container is missing or has changed since it was listed.
        """
        with self.container.open() as read:
            for name, place in zip(self.names, self.places.tolist(), strict=True):
                try:
                    if place[-1] > MAX_BYTES:
                        raise Broken(f"claims to hold {place[-1]:,} bytes, which is no image")
                    yield read(name, place)
                except Broken as fault:
                    yield fault

    def heads(self) -> Iterator[builtins.bytes]:
        """The first bytes of each file, as `Container.head`; none of what cannot be read."""
        with self.container.open() as read:
            for name, place in zip(self.names, self.places.tolist(), strict=True):
                try:
                    yield self.container.head(read, name, place)
                except Broken:
                    yield b""

    def state(self) -> str:
        """A digest that changes when the names, sizes, places or times of modification do."""
        digest = hashlib.blake2b(repr(self.container).encode("utf-8", "surrogateescape"), digest_size=16)
        digest.update("\0".join(self.names).encode("utf-8", "surrogateescape"))
        digest.update(np.ascontiguousarray(self.places, "<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Listing:
    """All that a container holds."""

    files: Files  # the files
    faults: tuple[tuple[str, str], ...] = ()  # (name, reason) of what is not read because it is broken or dangerous
    empty: tuple[str, ...] = ()  # the folders without any file


class ListingBuilder:
    """Collects what a container holds, in any order.

    Args:
        width: Number of integers that say where a file is.
        backslashes: Whether they stand for slashes, as in zip archives made by some Windows programs.
    """

    def __init__(self, width: int, backslashes: bool = False) -> None:
        self._width = width
        self._backslashes = backslashes
        self._names: list[str] = []
        self._places = array("q")
        self._folders: set[str] = set()
        self._faults: list[tuple[str, str]] = []
        self._targets: dict[str, list[int]] = {}  # of hard links: the numbers of the files of each name,
        self._known = 0  # of so many files, for few archives have links

    def file(self, raw: str, *place: int) -> None:
        """Adds a file by the name that the container gives it."""
        name = self._checked(raw)
        if name:
            self._names.append(name)
            self._places.extend(place)

    def hard_link(self, raw: str, target: str) -> None:
        """Adds a second name of a file that was added before."""
        for index in range(self._known, len(self._names)):
            places = self._targets.setdefault(self._names[index], [])
            places.append(index)
        self._known = len(self._names)
        found = self._targets.get("/".join(part for part in target.split("/") if part not in ("", ".")), [])
        if len(found) == 1:
            self.file(raw, *self._places[found[0] * self._width : (found[0] + 1) * self._width])
        else:
            there = "is there more than once" if found else "is not before it in the archive"
            self.fault(raw, f"is a hard link to {printable(target)}, which {there}: unpack the archive")

    def folder(self, raw: str) -> None:
        """Adds a folder, which may be empty."""
        name = self._checked(raw)
        if name:
            self._folders.add(name)

    def fault(self, raw: str, reason: str) -> None:
        """Adds what cannot be read, by a name that begins with its folders as those of files do."""
        raw = raw.replace("\\", "/") if self._backslashes else raw
        name = "/".join(part for part in raw.split("/") if part not in ("", ".")) or raw
        self._faults.append(("/" * raw.startswith("/") + name, reason))

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
        system = _SYSTEM.search(raw)
        if len(raw) <= _MAX_NAME and _PLAIN.fullmatch(raw) and not system:
            return raw
        parts = [part for part in raw.split("/") if part not in ("", ".")]
        if len(raw) > _MAX_NAME:
            self.fault(f"{raw[:80]}...", f"has a name of {len(raw):,} characters")
        elif raw.startswith("/") or parts and re.fullmatch("[A-Za-z]:", parts[0]):
            self.fault(raw, "has an absolute path, which points outside its archive")
        elif ".." in parts:
            self.fault(raw, "points outside its archive")
        elif not system and not any(part.startswith(".") for part in parts):
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
class Directory(Container):
    """A folder; a file's place is its `stamp`.

    Links are followed. One that leads back to a folder around it is left out, for it adds nothing; one to a folder
    that is listed anyway is a fault, for its images would count twice.
    """

    path: str
    kind = "folder"

    def listing(self) -> Listing:
        builder = ListingBuilder(2)
        if not os.path.isdir(self.path):
            raise DataError(f"{self.path} is not a folder.")
        seen: set[tuple[int, int]] = set()
        # Links wait until every folder was reached by its own path.
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
    def open(self) -> Iterator[ReadFile]:
        if not os.path.isdir(self.path):
            raise DataError(f"{self.path} is missing or cannot be read.")
        yield self._read

    def where(self, name: str) -> str:
        return os.path.join(self.path, name)

    def head(self, read: ReadFile, name: str, place: Sequence[int]) -> bytes:
        try:
            with open(self.where(name), "rb") as stream:
                return stream.read(_HEAD)
        except OSError:
            return b""

    def _read(self, name: str, place: Sequence[int]) -> bytes:
        try:
            with open(self.where(name), "rb") as stream:
                now = stamp(os.fstat(stream.fileno()))
                content = stream.read(place[1] + 1)
        except OSError as error:
            raise Broken(f"cannot be read ({error.strerror})") from error
        if now != tuple(place) or len(content) != place[1]:
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
                entries = [entry for entry in scan if not entry.name.startswith(".") and not _SYSTEM.search(entry.name)]
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
                builder.file(name, *stamp(entry.stat()))
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


@dataclass(frozen=True)
class FilePart(Part):
    """Images that are files: first those that cannot be read, then the others."""

    files: Files  # the files
    labels: np.ndarray | None  # int64 (n,), their classes, or None
    faults: tuple[tuple[str, str], ...] = ()  # (how messages name it, reason) of what cannot be read

    def __len__(self) -> int:
        return len(self.faults) + len(self.files)

    def items(self) -> Iterator[Item]:
        for name, reason in self.faults:
            yield Item(name, fault=reason)
        labels = [None] * len(self.files) if self.labels is None else self.labels.tolist()
        for index, (content, label) in enumerate(zip(self.files.read(), labels, strict=True)):
            if isinstance(content, Broken):
                yield Item(self.files.where(index), label, fault=str(content))
            else:
                yield Item(self.files.where(index), label, encoded=content)

    def state(self) -> str:
        labels = b"" if self.labels is None else np.ascontiguousarray(self.labels, "<i8").tobytes()
        rest = hashlib.blake2b(labels + repr(self.faults).encode("utf-8", "backslashreplace"), digest_size=16)
        return f"{self.files.state()} {rest.hexdigest()}"


def image_source(
    kind: str,
    path: Path,
    files: Files,
    request: Request,
    labels: np.ndarray | None = None,
    *,
    class_names: Sequence[str] = (),
    faults: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> ImageSource:
    """A source whose images are files.

    Args:
        kind: What it is, in words.
        path: The source that the user named.
        files: The images, in order.
        request: What is asked for.
        labels: int64 (n,), the class of each, or None.
        class_names: One name per class; not used without labels.
        faults: (name inside the container, reason) of images that cannot be read: the source begins with them, so
            that a conversion that will stop there stops at once.
        notes: What the user should know; empty ones are left out.
    """
    named = tuple((printable(files.container.where(name)), reason) for name, reason in faults)

    def part(start: int, stop: int) -> FilePart:
        first, last = (min(max(0, edge - len(named)), len(files)) for edge in (start, stop))
        return FilePart(files.slice(first, last), None if labels is None else labels[first:last], named[start:stop])

    return ImageSource(
        origin=Origin(kind, printable(str(path.resolve())), len(files), files.bytes),
        count=len(named) + len(files),
        part=part,
        class_names=() if labels is None else tuple(printable(name) for name in class_names),
        size=request.info.size,
        note=", ".join(filter(None, (*notes, fewer_note(len(files), request)))),
        encoded=True,
    )


def numbered(class_names: Sequence[str], names: Iterable[str]) -> np.ndarray:
    """The numbers of classes given by name, int64 (n,)."""
    numbers = {name: number for number, name in enumerate(class_names)}
    return np.array([numbers[name] for name in names], np.int64)


def numbered_classes(labels: np.ndarray, where: str) -> tuple[tuple[str, ...], str]:
    """The names "0", "1", ... of classes given by number, and a note on those without images (else empty).

    Raises:
        DataError: A number is negative, or too large to be that of a class.
    """
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most >= _MOST_CLASSES:
        raise DataError(f"{where} has labels from {least} to {most}: number the classes from 0.")
    empty = np.flatnonzero(np.bincount(labels.astype(np.int64)) == 0).tolist()
    some = ", ".join(map(str, empty[:5])) + ", ..." * (len(empty) > 5)
    return tuple(map(str, range(most + 1))), f"classes without images: {some}" if empty else ""


def is_image(name: str) -> bool:
    """Whether a name ends as those of images do."""
    return name[name.rfind(".") :].lower() in EXTENSIONS


def printable(text: str) -> str:
    """A name for messages and JSON: bytes that are not UTF-8 and control characters are escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
