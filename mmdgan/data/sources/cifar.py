"""CIFAR-10 as it is distributed (Krizhevsky 2009): the binary and the Python version, packed or unpacked.

Binary: data_batch_1.bin to data_batch_5.bin and test_batch.bin, in each record one label byte, then 3,072 bytes
in (C, H, W) order; batches.meta.txt names the classes. The original renames the files cifar_1.bin to cifar_5.bin.
Python: data_batch_1 to data_batch_5 and test_batch, each a pickled dict with `data` uint8 (n, 3072) and `labels`;
batches.meta names the classes. Either is read from its folder, the folder around it, or the archive as downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.base import ImageSource, Request
from mmdgan.data.sources.containers import Contents, Stretch, archived_files, whole_file
from mmdgan.data.sources.pickles import as_text, loads
from mmdgan.data.sources.tables import (
    FixedTable,
    Table,
    check_labels,
    check_names,
    check_split,
    read_names,
    table_source,
)

SHAPE = (3, 32, 32)
SPLITS = ("train", "test")
FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")
ARCHIVES = tuple(f"cifar-10-{form}.{ending}" for form in ("binary", "python") for ending in ("tar.gz", "tar"))
_PICKLE_LIMIT = 2**26  # bytes of one batch, which has 31,035,704 officially


@dataclass(frozen=True)
class _Form:
    """One way in which the batches are named and written."""

    kind: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    pickled: bool = False

    @property
    def batches(self) -> tuple[str, ...]:
        return self.train + self.test


def _numbered(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.format(k) for k in range(1, 6))


_FORMS = (
    _Form("CIFAR-10 binary", _numbered("data_batch_{}.bin"), ("test_batch.bin",), "batches.meta.txt"),
    _Form("CIFAR-10 binary", _numbered("cifar_{}.bin"), (), "batches.meta.txt"),
    _Form("CIFAR-10 python", _numbered("data_batch_{}"), ("test_batch",), "batches.meta", pickled=True),
)
_NAMES = frozenset(name for form in _FORMS for name in (*form.batches, form.names))


def find(path: Path, request: Request) -> ImageSource | None:
    """Recognises either version: its folder, the folder around that, its archive, or one file of it.

    Args:
        path: what a person named; any file that ends in .bin is taken for binary batches.
        request: the split (train or test) and whether labels are wanted; its `info` names the classes where
            the file that names them is missing.

    Returns:
        the source, or None when the path holds something else.

    Raises:
        DataError: some of the files missing, damaged or of another length, or names that do not fit.
    """
    if path.is_file():
        return _from_batch(path, request) or _from_archive(path, request)
    for folder in (path, *(path / name for name in FOLDERS)):
        files = {name: whole_file(folder / name) for name in sorted(_NAMES) if (folder / name).is_file()}
        source = _from_files(path, folder, files, request)
        if source is not None:
            return source
    archives = [path / name for name in ARCHIVES if (path / name).is_file()]
    return _from_archive(archives[0], request) if archives else None


def _from_batch(path: Path, request: Request) -> ImageSource | None:
    """One file of batches, under a name of its own or, in the binary version, any other."""
    form = next((form for form in _FORMS if path.name in form.batches), _FORMS[0] if path.suffix == ".bin" else None)
    if form is None:
        return None
    if path.name in (form.train if check_split(request, SPLITS) == "test" else form.test):
        raise DataError(f"{path} is not of the split {request.split}: name a file that is, or the other --split.")
    names = path.with_name(form.names)
    return _source(path, form, [whole_file(path)], whole_file(names) if names.is_file() else None, request)


def _from_archive(path: Path, request: Request) -> ImageSource | None:
    files = archived_files(path, _NAMES, ARCHIVES)
    if files is None:
        return None
    source = _from_files(path, path, files, request)
    if source is None and path.name in ARCHIVES:
        raise DataError(f"{path} holds no batches of CIFAR-10: it is another archive; download it again.")
    return source


def _from_files(path: Path, where: Path, files: Mapping[str, Stretch], request: Request) -> ImageSource | None:
    """The first form of which all files are there, or a DataError when one is there in part."""
    forms = [form for form in _FORMS if files.keys() & set(form.batches)]
    if not forms:
        return None
    split = check_split(request, SPLITS)
    faults = []
    for form in forms:
        batches = form.test if split == "test" else form.train
        missing = [name for name in batches if name not in files]
        if batches and not missing:
            return _source(path, form, [files[name] for name in batches], files.get(form.names), request)
        faults.append(", ".join(missing) or f"the batches of the split {split}")
    raise DataError(f"{where} lacks {faults[0]}: download the official archive again, or name one file alone.")


def _source(path: Path, form: _Form, batches: list[Stretch], names: Stretch | None, request: Request) -> ImageSource:
    info, labelled = request.info, request.labels != "none"
    read = _pickled_names if form.pickled else read_names
    class_names = read(names, info.class_names)
    if form.pickled:
        tables: list[Table] = _pickled_tables(batches, len(class_names), labelled)
    else:
        tables = [
            FixedTable(batch, SHAPE, label_bytes=1, num_class=len(class_names), labelled=labelled) for batch in batches
        ]
    sizes = {batch.path: batch.stamp[0] for batch in batches}
    origin = Origin(form.kind, str(path.resolve()), len(sizes), sum(sizes.values()))
    return table_source(origin, tables, SHAPE, class_names if labelled else (), request)


@dataclass(frozen=True)
class _PickledTable(Table):
    """One batch of the Python version."""

    file: Stretch
    count: int
    num_class: int
    labelled: bool

    @property
    def name(self) -> str:
        return self.file.name

    def __len__(self) -> int:
        return self.count

    def blocks(self, contents: Contents, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        images, labels = _load(contents, self.file, self.num_class)
        pixels = images[start:stop].reshape(-1, *SHAPE).transpose(0, 2, 3, 1)
        yield np.ascontiguousarray(pixels), labels[start:stop] if self.labelled else None

    def state(self) -> str:
        return f"{self.file.state()} {self.num_class} {self.labelled}"


def _pickled_tables(batches: list[Stretch], num_class: int, labelled: bool) -> list[Table]:
    with Contents() as contents:
        in_order = sorted(batches, key=lambda batch: batch.start)  # the archive's order: it is unpacked but once
        counts = {batch: len(_load(contents, batch, num_class)[0]) for batch in in_order}
    return [_PickledTable(batch, counts[batch], num_class, labelled) for batch in batches]


def _load(contents: Contents, file: Stretch, num_class: int) -> tuple[np.ndarray, np.ndarray]:
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
    limited = [min(max(label, -1), 2**31) for label in labels]  # any integer can stand in a pickle
    return images, check_labels(np.array(limited, np.int64), num_class, file.name)


def _load_dict(contents: Contents, file: Stretch) -> dict[str, Any]:
    if file.size > _PICKLE_LIMIT:
        raise DataError(f"{file.name} is too long for a batch of CIFAR-10: it is another file; download it again.")
    value = loads(contents.read(file), file.name)
    if not isinstance(value, dict):
        raise DataError(f"{file.name} holds no dict: it is another file; download it again.")
    return {as_text(key, file.name): entry for key, entry in value.items()}


def _pickled_names(file: Stretch | None, usual: Sequence[str]) -> tuple[str, ...]:
    if file is None:
        return tuple(usual)
    with Contents() as contents:
        names = _load_dict(contents, file).get("label_names")
    if not isinstance(names, list):
        raise DataError(f"{file.name} has no list 'label_names': it is another file; download it again.")
    return check_names([as_text(name, file.name) for name in names], usual, file.name)
