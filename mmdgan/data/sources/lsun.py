"""LSUN's bedrooms (Yu et al. 2015): bedroom_train_lmdb as it is published, or the webp images exported from it.

The database is an LMDB (format of liblmdb 0.9, 64 bits), whose values are read in the order of their keys. liblmdb maps
its file into memory and trusts it: a truncated download, or one wrong byte, kills the process that reads it (SIGBUS,
SIGSEGV). Here every page is checked before it is used, nothing needs to be installed, and a listing holds only the
numbers of the pages with keys, so that three million images are listed in seconds.

The file is a B+tree of pages. A page begins with its own number (8 bytes), flags, and the ends of its free space; a
leaf's nodes hold a key and a value, or the number of the first of the pages that the value fills.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources import folders
from mmdgan.data.sources.archives import recognise
from mmdgan.data.sources.base import ImageSource, Item, Part, Request, fewer_note, source
from mmdgan.data.sources.byte_ranges import AGAIN, Broken, open_listed, read_at, stamp
from mmdgan.data.sources.containers import MAX_BYTES, Container, image_source, is_image, printable

_FOLDERS = {"train": "bedroom_train_lmdb", "validation": "bedroom_val_lmdb", "val": "bedroom_val_lmdb"}
FILE = "data.mdb"
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_HEADER = struct.Struct("<QHHHH")  # the page's number, padding, flags, lower and upper end of the free space
_META = struct.Struct("<2L2Q")  # magic, version, address, size of the map; two databases and these follow:
_TREE = struct.Struct("<L2H5Q")  # page size, flags, depth, branch, leaf and overflow pages, entries, root
_LAST = struct.Struct("<2Q")  # last page, transaction
_NODE = struct.Struct("<4H")  # low and high half of a size, flags, length of the key
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_PASSING = 0x8010  # flags that mean nothing in a file at rest
_BIG = 1  # the node holds the number of the page where its value is
_SEVERAL = 4  # a database's flag
_MAX_DEPTH = 32


@source("lsun", words="the folder bedroom_train_lmdb, or a folder, zip or tar of webp images")
def find(path: Path, request: Request) -> ImageSource | None:
    """Recognises the database, its folder or the folder around that; or webp images in a folder, a zip or a tar."""
    if request.labels == "source":
        raise DataError("LSUN's bedrooms have no labels: prepare them with --labels none.")
    database = _database(path, request.split)
    if database is not None:
        return _of_database(database, path, request)
    container = recognise(path)
    return None if container is None else _of_files(container, path, request)


def _database(path: Path, split: str) -> Path | None:
    if path.name == FILE and path.is_file():
        return path
    for folder in (path, path / _FOLDERS.get(split, _FOLDERS["train"])):
        if (folder / FILE).is_file():
            return folder / FILE
    return None


def _of_database(database: Path, path: Path, request: Request) -> ImageSource:
    named = database.resolve().parent.name
    if named in _FOLDERS.values() and named != _FOLDERS.get(request.split):
        raise DataError(f"{database} is not LSUN's split {request.split}, by its folder's name: name the other folder.")
    values = Lmdb.of(database)
    return ImageSource(
        origin=Origin("LMDB database", printable(str(path.resolve())), 1, values.stamp[1]),
        count=len(values),
        part=values.part,
        size=request.info.size,
        note=fewer_note(len(values), request),
        encoded=True,
    )


def _of_files(container: Container, path: Path, request: Request) -> ImageSource | None:
    listing = container.listing()
    names = listing.files.names
    packed = next((name for name in names if name.rpartition("/")[2] == FILE), None)
    if packed is not None and container.kind != "folder":
        raise DataError(
            f"{path} holds the database {printable(packed)}: unpack it first (unzip {path}), then name its folder."
        )
    if not any(is_image(name) for name in names):
        return None
    pictures = folders.Pictures(listing, path)
    pictures.enter(request.split)
    return image_source(
        f"images in a {container.kind}",
        path,
        listing.files.take(pictures.indices),
        request,
        faults=pictures.faults,
        notes=pictures.notes(),
    )


@dataclass(frozen=True)
class Lmdb:
    """A database, as it was when it was listed."""

    path: str  # the file data.mdb
    stamp: tuple[int, int]  # its `stamp`
    page_size: int  # bytes of a page
    leaves: np.ndarray = field(repr=False)  # int64 (l,), the numbers of the pages that hold the keys, in order
    ends: np.ndarray = field(repr=False)  # int64 (l,), the number of keys up to the end of each

    @classmethod
    def of(cls, path: Path) -> Lmdb:
        """Lists the database in a file data.mdb; DataError if it is truncated, damaged or of another kind."""
        with open_listed(path) as descriptor:
            now = stamp(os.fstat(descriptor))
            try:
                page_size, tree = _tree(descriptor, now[1])
                leaves, counts = _leaves(descriptor, page_size, tree)
            except (Broken, struct.error, ValueError) as error:
                raise DataError(f"{path} is not a sound LMDB database ({error}): {AGAIN}.") from error
        return cls(str(path), now, page_size, np.array(leaves, np.int64), np.cumsum(counts, dtype=np.int64))

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def part(self, start: int, stop: int) -> LmdbPart:
        """The values of the keys start .. stop - 1."""
        first, last = np.searchsorted(self.ends, [start, stop - 1], side="right") if stop > start else (0, -1)
        before = int(self.ends[first - 1]) if first else 0
        leaves = tuple(self.leaves[first : last + 1].tolist())
        return LmdbPart(self.path, self.stamp, self.page_size, leaves, start - before, stop - start)


@dataclass(frozen=True)
class LmdbPart(Part):
    """Some values with neighbouring keys."""

    path: str  # the file data.mdb
    stamp: tuple[int, int]  # its `stamp`
    page_size: int  # bytes of a page
    leaves: tuple[int, ...]  # the pages that hold the keys
    skip: int  # number of keys of the first page that belong to the part before
    count: int  # number of values

    def __len__(self) -> int:
        return self.count

    def items(self) -> Iterator[Item]:
        with open_listed(self.path, self.stamp) as descriptor:
            left, skip = self.count, self.skip
            for leaf in self.leaves:
                try:
                    page, nodes = _page(descriptor, leaf, self.page_size, _LEAF)
                except Broken as error:
                    raise DataError(f"Page {leaf} of {self.path} {error}: {AGAIN}.") from error
                for node in nodes[skip : skip + left]:
                    left -= 1
                    yield self._item(descriptor, page, node)
                skip = 0
        if left:
            raise DataError(f"{self.path} holds fewer values than it did when it was listed: {AGAIN}.")

    def state(self) -> str:
        return hashlib.blake2b(repr(self).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()

    def _item(self, descriptor: int, page: bytes, node: int) -> Item:
        low, high, flags, length = _NODE.unpack_from(page, node)
        size, value = low | high << 16, node + _NODE.size + length
        key = page[node + _NODE.size : value].decode("utf-8", "surrogateescape")
        name = printable(f"{self.path}: {key}")
        try:
            if flags & ~_BIG:
                raise Broken("is a table, where an image is expected")
            if size > MAX_BYTES:
                raise Broken(f"claims to hold {size:,} bytes, which is no image")
            if not flags & _BIG:
                if value + size > self.page_size:
                    raise Broken("reaches beyond its page")
                return Item(name, encoded=page[value : value + size])
            (first,) = struct.unpack_from("<Q", page, value)
            return Item(name, encoded=_overflow(descriptor, first, size, self.page_size, self.stamp[1]))
        except (Broken, struct.error) as error:
            return Item(name, fault=str(error))


def _tree(descriptor: int, size: int) -> tuple[int, tuple[int, ...]]:
    """The size of a page, and (flags, depth, leaf pages, entries, root) of the newest main database."""
    first = _meta(descriptor, 0)
    if first is None:
        raise ValueError("it does not begin as one of format 1 does")
    page_size = first[1]
    if not 256 <= page_size <= 65536:
        raise ValueError(f"its pages are said to be of {page_size} bytes")
    second = _meta(descriptor, page_size)
    transaction, _, last_page, tree = max(meta for meta in (first, second) if meta is not None)
    if (last_page + 1) * page_size > size:
        raise ValueError(f"it is truncated: it holds {size:,} bytes of {(last_page + 1) * page_size:,}")
    if tree[2] > last_page:
        raise ValueError("it says to have more pages of keys than pages")
    return page_size, tree


def _meta(descriptor: int, offset: int) -> tuple[int, int, int, tuple[int, ...]] | None:
    """(transaction, page size, last page, tree) of one of the two pages that describe the file."""
    at = _HEADER.size + _META.size
    page = read_at(descriptor, offset, at + 2 * _TREE.size + _LAST.size)
    magic, version, *_ = _META.unpack_from(page, _HEADER.size)
    if (magic, version) != (_MAGIC, _VERSION):
        return None
    page_size, *_ = _TREE.unpack_from(page, at)
    _, flags, depth, _, leaves, _, entries, root = _TREE.unpack_from(page, at + _TREE.size)
    last_page, transaction = _LAST.unpack_from(page, at + 2 * _TREE.size)
    return transaction, page_size, last_page, (flags, depth, leaves, entries, root)


def _leaves(descriptor: int, page_size: int, tree: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """The leaves in the order of their keys, and the number of keys in each."""
    flags, depth, expected, entries, root = tree
    if flags & _SEVERAL:
        raise ValueError("its keys have several values")
    leaves: list[int] = []
    counts: list[int] = []
    stack = [(root, depth)] if entries else []
    if entries and not 0 < depth <= _MAX_DEPTH:
        raise ValueError(f"it is said to be {depth} pages deep")
    while stack:
        number, level = stack.pop()
        if level > 1:
            page, nodes = _page(descriptor, number, page_size, _BRANCH)
            children = [_child(page, node) for node in nodes]
            stack += [(child, level - 1) for child in reversed(children)]
        else:
            leaves.append(number)
            counts.append(_count(read_at(descriptor, number * page_size, _HEADER.size), number, page_size, _LEAF))
        if len(leaves) > expected:
            raise ValueError("some of its pages are met twice")
    if len(leaves) != (expected if entries else 0) or sum(counts) != entries:
        raise ValueError(f"it holds {sum(counts):,} values where it says {entries:,}")
    return leaves, counts


def _page(descriptor: int, number: int, page_size: int, kind: int) -> tuple[bytes, list[int]]:
    """A branch or a leaf, and where its nodes begin; they must fill it to its end, and their keys must ascend.

    Raises:
        Broken: a page of another kind or number, or nodes that are not inside it.
    """
    page = read_at(descriptor, number * page_size, page_size)
    count = _count(page, number, page_size, kind)
    nodes = list(struct.unpack_from(f"<{count}H", page, _HEADER.size))
    position = _HEADER.unpack_from(page)[4]
    for node in sorted(nodes):
        if node != position or node + _NODE.size > page_size:
            raise Broken("has nodes that are not side by side")
        position += _node_size(page, node, kind)
    if position != page_size:
        raise Broken("has nodes that do not fill it")
    keys = [page[node + _NODE.size :][: _NODE.unpack_from(page, node)[3]] for node in nodes]
    keys = keys[1:] if kind == _BRANCH else keys  # the first key of a branch is not used
    if any(a >= b for a, b in zip(keys, keys[1:], strict=False)):
        raise Broken("has keys that are not in order")
    return page, nodes


def _count(header: bytes, number: int, page_size: int, kind: int) -> int:
    found, _, flags, lower, upper = _HEADER.unpack_from(header)
    if found != number or flags & ~_PASSING != kind or not _HEADER.size <= lower <= upper <= page_size:
        raise Broken(f"is not the page {number} that it should be")
    return (lower - _HEADER.size) // 2


def _node_size(page: bytes, node: int, kind: int) -> int:
    low, high, flags, length = _NODE.unpack_from(page, node)
    value = 0 if kind == _BRANCH else 8 if flags & _BIG else low | high << 16
    return (_NODE.size + length + value + 1) // 2 * 2


def _child(page: bytes, node: int) -> int:
    low, high, top, _ = _NODE.unpack_from(page, node)
    return low | high << 16 | top << 32


def _overflow(descriptor: int, number: int, size: int, page_size: int, total: int) -> bytes:
    """A value that fills pages of its own, after one page header."""
    if number * page_size + _HEADER.size + size > total:
        raise Broken("reaches beyond the end of its file")
    found, _, flags, pages = struct.unpack("<QHHL", read_at(descriptor, number * page_size, _HEADER.size))
    if found != number or flags & ~_PASSING != _OVERFLOW or pages != -(-(size + _HEADER.size) // page_size):
        raise Broken(f"is not in the page {number} where it should be")
    return read_at(descriptor, number * page_size + _HEADER.size, size)
