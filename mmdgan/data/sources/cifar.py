"""CIFAR-10 as it is published (Krizhevsky 2009): the binary and the Python version.

Binary: data_batch_1.bin to data_batch_5.bin and test_batch.bin, in each record one label byte, then 3,072 bytes
in (C, H, W) order; batches.meta.txt names the classes. The original renames the files cifar_1.bin to cifar_5.bin.
Python: data_batch_1 to data_batch_5 and test_batch, each a pickled dict with `data` uint8 (n, 3072) and `labels`;
batches.meta names the classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.sources.base import ImageSource, Request, source
from mmdgan.data.sources.byte_ranges import ByteRange, Contents
from mmdgan.data.sources.fixed_records import (
    Release,
    Table,
    check_labels,
    check_names,
    find_release,
    read_names,
)
from mmdgan.data.sources.pickles import as_text, loads

SHAPE = (3, 32, 32)
_PICKLE_LIMIT = 2**26  # bytes of one batch; the official ones have 31,035,704


@source("cifar10", words="cifar-10-binary.tar.gz or cifar-10-python.tar.gz, or the folder of either unpacked")
def find(path: Path, request: Request) -> ImageSource | None:
    """Recognises either version; any file that ends in .bin is taken for a binary batch."""
    return find_release(path, request, _BINARY, _RENAMED, _PYTHON)


@dataclass(frozen=True)
class _PickledTable(Table):
    """One batch of the Python version."""

    count: int = 0

    def __post_init__(self) -> None:
        pass  # the length of a pickle says nothing

    def __len__(self) -> int:
        return self.count

    def blocks(self, contents: Contents, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        images, labels = _load(contents, self.records, self.num_class)
        yield self._pixels(images[start:stop]), labels[start:stop] if self.labelled else None


def _pickled_tables(batches: Sequence[ByteRange], _: object, num_class: int, labelled: bool) -> list[Table]:
    with Contents() as contents:
        in_order = sorted(batches, key=lambda batch: batch.start)  # so that a gzip archive is unpacked only once
        counts = {batch: len(_load(contents, batch, num_class)[0]) for batch in in_order}
    return [
        _PickledTable(batch, SHAPE, num_class=num_class, labelled=labelled, count=counts[batch]) for batch in batches
    ]


def _load(contents: Contents, file: ByteRange, num_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads one batch: images uint8 (n, 3072) and labels int64 (n,)."""
    batch = _load_dict(contents, file)
    images, labels = batch.get("data"), batch.get("labels")
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (3072,) or not len(images):
        raise DataError(f"{file.name} has no 'data' of bytes (n, 3072): it is another file; download it again.")
    if isinstance(labels, np.ndarray):
        labels = labels.tolist()
    if not isinstance(labels, list) or len(labels) != len(images) or any(type(label) is not int for label in labels):
        raise DataError(
            f"{file.name} has no 'labels' of {len(images)} integers, one per image: it is another file; download it "
            "again."
        )
    limited = [min(max(label, -1), 2**31) for label in labels]  # a pickle can hold any integer
    return images, check_labels(np.array(limited, np.int64), num_class, file.name)


def _load_dict(contents: Contents, file: ByteRange) -> dict[str, Any]:
    if file.size > _PICKLE_LIMIT:
        raise DataError(f"{file.name} is too long for a batch of CIFAR-10: it is another file; download it again.")
    value = loads(contents.read(file), file.name)
    if not isinstance(value, dict):
        raise DataError(f"{file.name} holds no dict: it is another file; download it again.")
    return {as_text(key, file.name): entry for key, entry in value.items()}


def _pickled_names(file: ByteRange | None, usual: Sequence[str]) -> tuple[str, ...]:
    if file is None:
        return tuple(usual)
    with Contents() as contents:
        names = _load_dict(contents, file).get("label_names")
    if not isinstance(names, list):
        raise DataError(f"{file.name} has no list 'label_names': it is another file; download it again.")
    return check_names([as_text(name, file.name) for name in names], usual, file.name)


def _binary_tables(batches: Sequence[ByteRange], _: object, num_class: int, labelled: bool) -> list[Table]:
    return [Table(batch, SHAPE, label_bytes=1, num_class=num_class, labelled=labelled) for batch in batches]


def _numbered(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.format(k) for k in range(1, 6))


_BINARY = Release(
    kind="CIFAR-10 binary",
    shape=SHAPE,
    splits={"train": _numbered("data_batch_{}.bin"), "test": ("test_batch.bin",)},
    names="batches.meta.txt",
    folders=("cifar-10-batches-bin",),
    archives=("cifar-10-binary.tar.gz", "cifar-10-binary.tar"),
    read_names=read_names,
    tables=_binary_tables,
    ending=".bin",
)
_RENAMED = replace(_BINARY, splits={"train": _numbered("cifar_{}.bin")})
_PYTHON = Release(
    kind="CIFAR-10 python",
    shape=SHAPE,
    splits={"train": _numbered("data_batch_{}"), "test": ("test_batch",)},
    names="batches.meta",
    folders=("cifar-10-batches-py",),
    archives=("cifar-10-python.tar.gz", "cifar-10-python.tar"),
    read_names=_pickled_names,
    tables=_pickled_tables,
)
