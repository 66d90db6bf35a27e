"""Images in NumPy's files: an .npy, or an .npz with labels."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.core.progress import Say, log
from mmdgan.data.dataset import checked_labels, wanted_form
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.archives import holds_arrays
from mmdgan.data.sources.base import ImageSource, Item, Part, Request, fewer_note, source
from mmdgan.data.sources.containers import numbered_classes, printable
from mmdgan.data.sources.folders import split_named

IMAGE_KEYS = ("images", "arr_0")
_ZIP_HEADER = 30  # bytes of a member's own header before its name; the lengths of name and extra field end it


@source("cifar10", "mnist", "fashion_mnist", words="an .npz of images and labels, or an .npy of images", own=True)
def find(path: Path, request: Request) -> ImageSource | None:
    """Recognises a file of arrays, by its content."""
    if not path.is_file() or not holds_arrays(path):
        return None
    notes: list[str] = []
    images, labels, names = read_arrays(path, notes.append, request.split)
    images = np.asarray(images[..., None] if images.ndim == 3 else images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8 or 0 in images.shape:
        raise DataError(f"{path} holds {images.dtype} {images.shape} where {wanted_form(images)}, and save them again.")
    if request.labels == "none":
        labels, names, notes = None, (), []
    elif request.labels == "source" and labels is None:
        raise DataError(f"{path}: {notes[0] if notes else 'it has no labels: save them under the key labels.'}")
    if labels is not None:
        numbers, empty = numbered_classes(labels, str(path))
        notes.append(empty)
        if not names and len(numbers) <= request.info.num_class:
            names = request.info.class_names
        names = tuple(map(printable, names)) or numbers
        if len(names) < len(numbers):
            raise DataError(f"{path} has labels up to {numbers[-1]} and {len(names)} class_names: name every class.")
    return ImageSource(
        origin=Origin("arrays", printable(str(path.resolve())), 1, os.stat(path).st_size),
        count=len(images),
        part=lambda start, stop: ArrayPart(
            images[start:stop], None if labels is None else labels[start:stop], start, path.name
        ),
        class_names=names,
        size=request.info.size,
        note=", ".join(filter(None, (*(note.rstrip(".") for note in notes), fewer_note(len(images), request)))),
        channels=images.shape[-1],
        divisible=False,
    )


@dataclass(frozen=True, eq=False)
class ArrayPart(Part):
    """Some consecutive images of an array."""

    images: np.ndarray  # uint8 (n, H, W, 1 or 3), memory-mapped
    labels: np.ndarray | None  # int64 (n,)
    first: int  # the number of the first one
    name: str  # the file's

    def __len__(self) -> int:
        return len(self.images)

    def items(self) -> Iterator[Item]:
        for index, image in enumerate(self.images):
            label = None if self.labels is None else int(self.labels[index])
            yield Item(f"image {self.first + index} of {self.name}", label, np.asarray(image))

    def state(self) -> str:
        digest = hashlib.blake2b(np.ascontiguousarray(self.images).data, digest_size=16)
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


def read_arrays(
    path: Path, say: Say = log, split: str = "train"
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """The images in a .npy or .npz file, memory-mapped, their labels (N,) or None, and the names of the classes.

    A compressed array is unpacked into a temporary file first, which is removed with the array.

    Args:
        path: An .npy of images, or a .npz with the split's key (`x_train`, `x_test`) or else `images`, `arr_0` or `x`,
            and optionally `y_train`, `y_test` or else `labels`, `y` or `arr_1` (N,): whole numbers, one-hot rows or
            texts; and `class_names` of these numbers.
        say: Takes a sentence about labels that cannot be used, which are left out.
        split: The split of which `x_` and `y_` are taken.

    Raises:
        DataError: The file cannot be read, has no images, or does not say that they are those of a split other than
            train, by a key or its name; their form is not checked.
    """
    labels: np.ndarray | None = None
    names: tuple[str, ...] = ()
    try:
        if not zipfile.is_zipfile(path) and path.suffix.lower() != ".npz":
            _check_split(path, split)
            return np.load(path, mmap_mode="r", allow_pickle=False), None, ()
        with zipfile.ZipFile(path) as archive:
            members = {member.removesuffix(".npy"): member for member in archive.namelist()}
            key = next((key for key in (f"x_{split}", *IMAGE_KEYS, "x") if key in members), None)
            if key is None:
                raise DataError(
                    f"{path} holds {', '.join(sorted(members)) or 'nothing'} and no images: they are looked for under "
                    f"the key {', '.join(IMAGE_KEYS)}, x or x_{split}."
                )
            if key != f"x_{split}":
                _check_split(path, split)
            images = _mapped(path, archive, members[key])
            key = next((key for key in (f"y_{split}", "labels", "y", "arr_1") if key in members), None)
            if key is not None:
                labels, names = _labels(archive, members, key, images.shape[0] if images.ndim else 0, path.name, say)
    # A member with a password, or compressed by other methods, is a RuntimeError.
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as a .npz file of images ({error}).") from error
    return images, labels, names


def _check_split(path: Path, split: str) -> None:
    """Raises a DataError unless images that no key gives to a split are train, or the file's name says the split."""
    wanted = split_named(split) or split
    if split != "train" and not any(wanted in (word, split_named(word)) for word in re.split(r"[\W_]+", path.stem)):
        raise DataError(
            f"{path} does not say that its images are the split {split}: save them under the key x_{split}, or with "
            f"{split} in the file's name."
        )


def _labels(
    archive: zipfile.ZipFile, members: dict[str, str], key: str, count: int, name: str, say: Say
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Labels (N,) and names of classes; none for labels of another form, which only some metrics need."""

    def read(key: str) -> np.ndarray:
        with archive.open(members[key]) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)

    names: list[str] = []
    try:
        labels = read(key)
        if labels.ndim == 2 and labels.shape[1] > 1 and labels.dtype.kind in "biuf":
            if np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():  # one-hot
                labels = labels.argmax(axis=1)
        elif labels.dtype.kind in "SU":
            found, labels = np.unique(labels.astype(str), return_inverse=True)
            names = found.tolist()
        elif labels.dtype.kind in "bf" and (labels == np.rint(labels)).all():
            labels = labels.astype(np.int64)
        labels = checked_labels(labels, count, name)
        if "class_names" in members and not names:
            names = read("class_names").astype(str).tolist()
    except (ValueError, DataError) as error:  # ValueError: Python objects
        fault = error if isinstance(error, DataError) else f"The labels of {name} cannot be read ({error})"
        say(f"{str(fault).rstrip('.')}: they are left out.")
        return None, ()
    return labels, tuple(names)


def _mapped(path: Path, archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """One array of a .npz file as a memory map; ValueError for one of objects or an incomplete one."""
    info = archive.getinfo(member)
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, column_major, dtype = read(stream)
        offset = stream.tell()
        if dtype.hasobject:
            raise ValueError(f"{member} holds Python objects")
        order: Any = "F" if column_major else "C"
        if info.file_size != offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
            raise ValueError(f"{member} is incomplete")
        if not info.compress_type == zipfile.ZIP_STORED:
            with tempfile.TemporaryFile() as file:
                shutil.copyfileobj(stream, file, 2**24)
                file.flush()
                return np.memmap(file, dtype, "r", 0, shape, order)
    with open(path, "rb") as file:
        file.seek(info.header_offset + _ZIP_HEADER - 4)
        lengths = np.frombuffer(file.read(4), "<u2")
    return np.memmap(path, dtype, "r", info.header_offset + _ZIP_HEADER + int(lengths.sum()) + offset, shape, order)
