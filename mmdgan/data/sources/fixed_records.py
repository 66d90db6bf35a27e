"""Official files whose records all have one length, as most small data sets are published.

A `Release` says which files a published form of a data set has; a `Table` is one of them that holds images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.core.files import decoded
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.archives import archived_files
from mmdgan.data.sources.base import ImageSource, Item, Part, Request, cut, fewer_note
from mmdgan.data.sources.byte_ranges import ByteRange, Contents, is_gzip, whole_file

BLOCK = 2**20  # bytes that are read at once
_NAMES_LIMIT = 2**16  # bytes of a file with the names of some classes


@dataclass(frozen=True)
class Table:
    """Images in one file of records: `label_bytes` bytes of label, then one image. It can be pickled."""

    records: ByteRange  # the bytes of all records
    shape: tuple[int, int, int]  # (C, H, W) of one image
    label_bytes: int = 0  # 1 where each record begins with its label
    labels: ByteRange | None = None  # one byte per record, where labels are in a file of their own
    first_label: int = 0  # what the file calls class 0
    num_class: int = 0
    labelled: bool = False  # whether labels are wanted; those inside the records are checked anyhow
    column_major: bool = False  # whether each channel is stored column by column

    def __post_init__(self) -> None:
        if self.records.size == 0 or self.records.size % self.length:
            raise DataError(
                f"{self.name} holds {self.records.size} bytes, which is no multiple of its {self.length} bytes per "
                "record: it is truncated or another file; download it again."
            )
        if self.labels is not None and self.labels.size != len(self):
            raise DataError(
                f"{self.labels.name} holds {self.labels.size} labels where {self.name} holds {len(self)} images: one "
                "of them is truncated or of another data set; download both again."
            )

    @property
    def length(self) -> int:
        """The bytes of one record."""
        return self.label_bytes + math.prod(self.shape)

    @property
    def name(self) -> str:
        """How messages name it."""
        return self.records.name

    def __len__(self) -> int:
        return self.records.size // self.length

    def blocks(self, contents: Contents, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Reads the images start .. stop - 1.

        Yields:
            pixels uint8 (n, H, W, C) and labels int64 (n,) or None.

        Raises:
            DataError: The file is damaged, or a label is not one of the classes.
        """
        step = max(1, BLOCK // self.length)
        for first in range(start, stop, step):
            count = min(step, stop - first)
            content = contents.read(self.records, first * self.length, count * self.length)
            records = np.frombuffer(content, np.uint8).reshape(count, self.length)
            labels = self._labels(contents, records, first)
            yield self._pixels(records[:, self.label_bytes :]), labels if self.labelled else None

    def _labels(self, contents: Contents, records: np.ndarray, first: int) -> np.ndarray | None:
        if self.label_bytes:
            file, values = self.records, records[:, 0]
        elif self.labels is not None:
            file = self.labels
            values = np.frombuffer(contents.read(file, first, len(records)), np.uint8)
        else:
            return None
        labels = values.astype(np.int64) - self.first_label
        return check_labels(labels, self.num_class, file.name, first, self.first_label)

    def _pixels(self, images: np.ndarray) -> np.ndarray:
        channels, height, width = self.shape
        if self.column_major:
            return np.ascontiguousarray(images.reshape(-1, channels, width, height).transpose(0, 3, 2, 1))
        return np.ascontiguousarray(images.reshape(-1, channels, height, width).transpose(0, 2, 3, 1))

    def state(self) -> str:
        """A text that changes when the file or the way of reading it does."""
        files = " ".join(file.state() for file in (self.records, self.labels) if file is not None)
        layout = (self.shape, self.label_bytes, self.first_label, self.num_class, self.labelled, self.column_major)
        return f"{files} {layout}"


@dataclass(frozen=True)
class TablePart(Part):
    """Consecutive images: of each of these tables, those from a first to before a last one."""

    pieces: tuple[tuple[Table, int, int], ...]

    def __len__(self) -> int:
        return sum(stop - start for _, start, stop in self.pieces)

    def items(self) -> Iterator[Item]:
        with Contents() as contents:
            for table, number, stop in self.pieces:
                for pixels, labels in table.blocks(contents, number, stop):
                    for i, image in enumerate(pixels):
                        label = None if labels is None else int(labels[i])
                        yield Item(f"record {number + i} of {table.name}", label, image)
                    number += len(pixels)

    def state(self) -> str:
        return "\n".join(f"{table.state()} [{start}:{stop}]" for table, start, stop in self.pieces)


def table_source(
    kind: str,
    path: Path,
    files: Sequence[ByteRange],
    tables: Sequence[Table],
    shape: tuple[int, int, int],
    class_names: Sequence[str],
    request: Request,
) -> ImageSource:
    """Tables of images (C, H, W), which are in these files, as a source; without `class_names` it has no labels."""
    sizes = {file.path: file.stamp[1] for file in files}
    count = sum(len(table) for table in tables)
    return ImageSource(
        origin=Origin(kind, str(path.resolve()), len(sizes), sum(sizes.values())),
        count=count,
        part=lambda start, stop: TablePart(
            tuple((tables[i], first, last) for i, first, last in cut(map(len, tables), start, stop))
        ),
        class_names=tuple(class_names),
        size=(shape[2], shape[1]),
        note=fewer_note(count, request),
        divisible=False,
    )


@dataclass(frozen=True)
class Release:
    """One published form of a data set: its files, where they are, and how they are read."""

    kind: str  # what it is, in words
    shape: tuple[int, int, int]  # (C, H, W) of one image
    splits: Mapping[str, tuple[str, ...]]  # split -> its files of images
    names: str  # the file that names the classes
    folders: tuple[str, ...]  # possible names of the folder that holds the files
    archives: tuple[str, ...]  # possible names of the archive that holds them
    tables: Callable[[Sequence[ByteRange], Sequence[ByteRange | None], int, bool], Sequence[Table]]
    """(files of images, their labels, number of classes, whether labels are wanted) -> tables"""
    read_names: Callable[[ByteRange | None, Sequence[str]], tuple[str, ...]]
    """(the file that names the classes, or None; their usual names) -> their names"""
    labels: Mapping[str, str] | None = None  # file of images -> file of labels; None where labels are in the records
    classes: tuple[str, ...] = ()  # usual names of the classes, if not the catalogue's
    unpacks: bool = False  # whether a compressed archive is too large to be read in place
    ending: str = ""  # any other file with such a name is taken for one of images

    def files(self) -> set[str]:
        """All files but the one that names the classes."""
        return {name for names in self.splits.values() for name in names} | set((self.labels or {}).values())


def find_release(path: Path, request: Request, *releases: Release) -> ImageSource | None:
    """Recognises a release: its folder, the folder around that, its archive (also under another name), or one file."""
    if path.is_file():
        for release in releases:
            split = next((split for split, images in release.splits.items() if path.name in images), None)
            if split is None and not (release.ending and path.name.endswith(release.ending)):
                continue
            if split not in (None, request.split):
                raise DataError(
                    f"{path} is not of the split {request.split}, but of {split}: name that with --split, or another "
                    "file."
                )
            files = {**_listed(path.parent, releases), path.name: whole_file(path)}
            alone = replace(release, splits={request.split: (path.name,)})
            return _from_files(path, path.parent, files, request, [alone])
        return _from_archive(path, request, releases)
    for folder in (path, *(path / name for release in releases for name in release.folders)):
        source = _from_files(path, folder, _listed(folder, releases), request, releases)
        if source is not None:
            return source
    archives = [path / name for release in releases for name in release.archives if (path / name).is_file()]
    return _from_archive(archives[0], request, releases) if archives else None


def _from_archive(path: Path, request: Request, releases: Sequence[Release]) -> ImageSource | None:
    official = [archive for release in releases for archive in release.archives]
    if any(release.unpacks for release in releases) and is_gzip(path):
        if path.name in official:
            raise DataError(f"{path} must be unpacked first: tar -xzf {path.name}, and name the folder it makes.")
        return None
    files = archived_files(path, _names(releases), official)
    source = None if files is None else _from_files(path, path, files, request, releases)
    if source is None and path.name in official:
        raise DataError(f"{path} holds no file of {request.info.name}: it is another archive; download it again.")
    return source


def _from_files(
    path: Path, where: Path, files: Mapping[str, ByteRange], request: Request, releases: Sequence[Release]
) -> ImageSource | None:
    """The first release of which all files are there, or a DataError if one is there in part."""
    known = [release for release in releases if files.keys() & release.files()]
    if not known:
        return None
    split = check_split(request, dict.fromkeys(split for release in releases for split in release.splits))
    lacking = []
    for release in known:
        images = release.splits.get(split, ())
        inside = release.labels is None
        apart = [release.labels[name] for name in images if name in release.labels] if release.labels else []
        if images and request.labels == "source" and not (inside or apart):
            others = [split for split, names in release.splits.items() if names[0] in (release.labels or {})]
            raise DataError(
                f"{images[0]} of {where} has no labels: leave them out, or take --split {' or '.join(others)}."
            )
        labelled = request.labels != "none" and (inside or bool(apart))
        apart = apart if labelled else []
        missing = [name for name in (*images, *apart) if name not in files]
        if missing or not images:
            lacking.append(", ".join(missing) or "all files")
            continue
        classes: tuple[str, ...] = ()
        if inside or labelled:
            classes = release.read_names(files.get(release.names), release.classes or request.info.class_names)
        pictures, labels = [files[name] for name in images], [files[name] for name in apart]
        tables = release.tables(pictures, labels or [None] * len(pictures), len(classes), labelled)
        used = classes if labelled else ()
        return table_source(release.kind, path, pictures + labels, tables, release.shape, used, request)
    raise DataError(
        f"{where} lacks {lacking[0]} of the split {split}: unpack or download the official archive again, or name one "
        "file alone."
    )


def _names(releases: Sequence[Release]) -> set[str]:
    return {name for release in releases for name in (*release.files(), release.names)}


def _listed(folder: Path, releases: Sequence[Release]) -> dict[str, ByteRange]:
    return {name: whole_file(folder / name) for name in sorted(_names(releases)) if (folder / name).is_file()}


def check_split(request: Request, splits: Iterable[str]) -> str:
    """The split that is asked for, or a DataError if the data set does not have it."""
    if request.split not in splits:
        raise DataError(
            f"{request.info.name} has no split {request.split!r} in its official files: it has {', '.join(splits)}."
        )
    return request.split


def check_labels(labels: np.ndarray, num_class: int, name: str, first: int = 0, first_label: int = 0) -> np.ndarray:
    """Returns labels int64 (n,), counted from 0, of the records from `first` on; DataError if one is not a class.

    The message names the record, and the label as the file has it, which calls class 0 `first_label`.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= num_class))
    if len(wrong):
        raise DataError(
            f"Record {first + wrong[0]} of {name} has label {labels[wrong[0]] + first_label} where there are "
            f"{first_label} to {first_label + num_class - 1}: the file is damaged or another one; download it again."
        )
    return labels


def read_names(file: ByteRange | None, usual: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes, one a line, from a file of the data set; the usual ones without a file."""
    if file is None:
        return tuple(usual)
    with Contents() as contents:
        content = contents.read(file, 0, min(file.size, _NAMES_LIMIT))
    try:
        return check_names(decoded(content).split(), usual, file.name)
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is not text: download it again.") from error


def check_names(names: Sequence[str], usual: Sequence[str], name: str) -> tuple[str, ...]:
    """Names of classes as they are; DataError if there are more or fewer than usual."""
    if len(names) != len(usual):
        raise DataError(f"{name} names {len(names)} classes where there are {len(usual)}: download it again.")
    return tuple(names)
