"""Files inside a folder, a tar archive or a zip archive: listed once, then read piece by piece, in any process.

A listing of a million files is a list of names beside one array of numbers, and a slice of it holds nothing of the
other files. What would be dangerous to unpack (links, names that lead outside) or cannot be read is a fault with a
name and a reason, and never a file.
"""

from __future__ import annotations

import builtins
import hashlib
import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.base import ImageSource, Item, Part
from mmdgan.errors import DataError

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
    from mmdgan.data.sources import directories, tars, zips

    try:
        if path.is_dir():
            return directories.Directory(str(path))
        with open(path, "rb") as stream:
            start = stream.read(tars.BLOCK)
        if start.startswith((b"PK\3\4", b"PK\5\6")) or path.suffix.lower() == ".zip":
            return zips.Zip.of(path)
        if tars.is_header(start) or path.suffix.lower() == ".tar":
            return tars.Tars.of([path])
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
