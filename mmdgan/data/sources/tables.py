"""Tables of images: files whose records are all of one length, as most small data sets are distributed.

A `Table` is one such file; a `TablePart` is some consecutive images of a row of tables.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.base import ImageSource, Item, Part, Request, fewer_note
from mmdgan.data.sources.containers import Contents, Stretch

BLOCK = 2**20  # bytes that are read at once
_NAMES_LIMIT = 2**16  # bytes of a file with the names of some classes


class Table(ABC):
    """Images in one file, or in a file with their labels in another. It can be pickled."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Where it is, for messages."""

    @abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @abstractmethod
    def blocks(self, contents: Contents, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """The images start .. stop - 1.

        Yields:
            pixels uint8 (n, H, W, C) and labels int64 (n,) or None.

        Raises:
            DataError: the file is damaged, or a label is not one of the classes.
        """

    @abstractmethod
    def state(self) -> str:
        """A text that changes when the file or the way of reading it does."""


@dataclass(frozen=True)
class FixedTable(Table):
    """Records of one length: `label_bytes` bytes of label, then one image.

    Attributes:
        records: the bytes of all records.
        shape: (C, H, W) of one image.
        label_bytes: 0, or 1 where each record begins with its label.
        labels: one byte per record, where labels are in a file of their own.
        first_label: what the file calls class 0.
        num_class: how many labels are valid.
        labelled: whether the labels are wanted; those inside the records are checked anyhow.
        column_major: whether each channel is stored column by column.
    """

    records: Stretch
    shape: tuple[int, int, int]
    label_bytes: int = 0
    labels: Stretch | None = None
    first_label: int = 0
    num_class: int = 0
    labelled: bool = False
    column_major: bool = False

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
        return self.records.name

    def __len__(self) -> int:
        return self.records.size // self.length

    def blocks(self, contents: Contents, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
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
        files = " ".join(file.state() for file in (self.records, self.labels) if file is not None)
        layout = (self.shape, self.label_bytes, self.first_label, self.num_class, self.labelled, self.column_major)
        return f"{files} {layout}"


@dataclass(frozen=True)
class TablePart(Part):
    """Consecutive images of a row of tables: from each of these tables, those from a first to before a last one."""

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


def table_part(tables: Sequence[Table], start: int, stop: int) -> TablePart:
    """The images start .. stop - 1 of tables that follow one another."""
    pieces, before = [], 0
    for table in tables:
        first, last = max(start - before, 0), min(stop - before, len(table))
        if first < last:
            pieces.append((table, first, last))
        before += len(table)
    return TablePart(tuple(pieces))


def table_source(
    origin: Origin,
    tables: Sequence[Table],
    shape: tuple[int, int, int],
    class_names: Sequence[str],
    request: Request,
) -> ImageSource:
    """Tables of images (C, H, W) as a source; without `class_names` it has no labels."""
    count = sum(len(table) for table in tables)
    return ImageSource(
        origin=origin,
        count=count,
        part=partial(table_part, tuple(tables)),
        class_names=tuple(class_names),
        size=(shape[2], shape[1]),
        note=fewer_note(count, request),
        divisible=False,
    )


def check_labels(labels: np.ndarray, num_class: int, name: str, first: int = 0, first_label: int = 0) -> np.ndarray:
    """Returns labels int64 (n,) as they are.

    Args:
        labels: classes, counted from 0.
        num_class: how many classes there are.
        name: the file that they are from.
        first: the number of the first record.
        first_label: what the file calls class 0.

    Raises:
        DataError: a label that is no class, by its record and as the file has it.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= num_class))
    if len(wrong):
        raise DataError(
            f"Record {first + wrong[0]} of {name} has label {labels[wrong[0]] + first_label} where there are "
            f"{first_label} to {first_label + num_class - 1}: the file is damaged or another one; download it again."
        )
    return labels


def check_split(request: Request, splits: Sequence[str]) -> str:
    """The split that is wanted.

    Raises:
        DataError: one that the data set does not have.
    """
    if request.split not in splits:
        raise DataError(
            f"{request.info.name} has no split {request.split!r} in its official files: it has {', '.join(splits)}."
        )
    return request.split


def read_names(file: Stretch | None, usual: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes, one a line, from a file of the data set; the usual ones without a file.

    Raises:
        DataError: a file that is no text, or has another number of names.
    """
    if file is None:
        return tuple(usual)
    with Contents() as contents:
        content = contents.read(file, 0, min(file.size, _NAMES_LIMIT))
    try:
        return check_names(content.decode("utf-8").split(), usual, file.name)
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name} is no text: download it again.") from error


def check_names(names: Sequence[str], usual: Sequence[str], name: str) -> tuple[str, ...]:
    """Names of classes as they are, or a DataError when there are more or fewer than usual."""
    if len(names) != len(usual):
        raise DataError(f"{name} names {len(names)} classes where there are {len(usual)}: download it again.")
    return tuple(names)
