"""A folder and all folders below it as a container of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mmdgan.data.sources.containers import Broken, Container, Listing, ListingBuilder, is_image
from mmdgan.errors import DataError


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
