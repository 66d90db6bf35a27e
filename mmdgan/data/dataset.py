"""Image data sets, in memory (`ImageData`) or on disk (`StoredImages`); both give images by number, in blocks."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mmdgan.core.errors import DataError

if TYPE_CHECKING:
    from mmdgan.data.records.reader import RecordFile

# These sizes determine the order of the images, so they are the same on every machine.
CHUNK_BYTES = 2**20
WINDOW_BYTES = 2**28

_SAMPLED = 64  # records in the fingerprint of files without known checksums


@dataclass(eq=False, repr=False)
class ImageData:
    """Images in memory, with their labels, names and origin.

    Attributes:
        name: The data set's name, such as "cifar10".
        images: uint8 (N, C, H, W), in memory or memory-mapped.
        labels: int64 (N,) in [0, num_class), or None.
        class_names: One name per class; empty without labels.
        num_class: Number of classes; 0 without labels.
        folder: Where the records are; None for a set that is made on the spot.
        source: What the images were made from, in words.
        groups: int64 (N,), or None. Images of one group show the same original object, so that a fair test set
            holds out whole groups.
        digest: The digest of the files' checksums, if known, which `fingerprint` returns then.
        mode: "memory".
    """

    mode: ClassVar[str] = "memory"

    name: str
    images: np.ndarray
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    num_class: int = 0
    folder: Path | None = None
    source: str = ""
    groups: np.ndarray | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        """Raises a DataError for images of another type or rank, or labels of another length or out of range."""
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            found = f"{self.images.dtype} {self.images.shape}"
            hint = "" if self.images.dtype == np.uint8 else f": {scaling(self.images)}"
            raise DataError(f"The images of {self.name} are {found}; give uint8 of shape (N, C, H, W){hint}.")
        if self.groups is not None and self.groups.shape != (self.count,):
            raise DataError(f"The groups of {self.name} are {self.groups.shape} for {self.count} images.")
        if self.labels is not None:
            self.labels = checked_labels(self.labels, self.count, self.name)
            _check_range(self.labels, self.num_class, f"of {self.name}")

    def __repr__(self) -> str:
        return _brief(self)

    @property
    def count(self) -> int:
        """The number of images N."""
        return self.images.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one image."""
        return tuple(self.images.shape[1:])

    @property
    def labelled(self) -> bool:
        """Whether each image has a label."""
        return self.labels is not None

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Copies of the images of these numbers, uint8 (n, C, H, W), and of their labels, int64 (n,), or None.

        Args:
            indices: int64 (n,), in any order; a number may come more than once.
        """
        return self.images[indices], None if self.labels is None else self.labels[indices]

    def fingerprint(self) -> str:
        """A hexadecimal digest that differs if the data do.

        It is equal for equal data if the checksums of the files are known of both or of neither.
        """
        return self.digest or self.content_digest()

    def content_digest(self) -> str:
        """A hexadecimal digest of the images and labels themselves."""
        return self._content_digest

    @functools.cached_property
    def _content_digest(self) -> str:
        digest = hashlib.blake2b(repr(self.images.shape).encode(), digest_size=16)
        for start in range(0, self.count, 4096):
            digest.update(np.ascontiguousarray(self.images[start : start + 4096]).data)
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels, np.int64).data)
        return digest.hexdigest()


class StoredImages:
    """Images on disk, in files of records, with the attributes of `ImageData`; images are read as they are needed.

    Attributes:
        mode: "stream".
        chunk: Number of neighbouring images that stay together when a training order is drawn: about 1 MiB.
        window: Number of images that are shuffled together: about 256 MiB.
    """

    mode = "stream"
    groups = None

    def __init__(
        self,
        name: str,
        shape: tuple[int, int, int],
        files: Sequence[RecordFile],
        *,
        class_names: Sequence[str] = (),
        num_class: int = 0,
        folder: Path | None = None,
        source: str = "",
        digest: str | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        """Reads one record at most, to find out whether it has a label.

        Args:
            name, class_names, num_class, folder, source, digest: As in `ImageData`.
            shape: (C, H, W) of one image.
            files: The files in the order of their images.
            chunk_bytes, window_bytes: The sizes of chunks and windows.

        Raises:
            DataError: There are no files, or the first record cannot be read.
        """
        if not files:
            raise DataError(f"The data set {name} has no files of records; convert it again.")
        self.name, self.shape = name, tuple(shape)
        self.class_names, self.num_class = tuple(class_names), num_class
        self.folder, self.source = folder, source
        self._files, self._digest = tuple(files), digest
        self._starts = np.cumsum([0, *(file.count for file in files)])
        size = int(np.prod(self.shape))
        self.chunk = max(1, chunk_bytes // size)
        self.window = max(1, window_bytes // size)
        self.labelled = next((file.labelled for file in files if file.count), False)

    def __repr__(self) -> str:
        return _brief(self)

    @property
    def count(self) -> int:
        """The number of images N."""
        return int(self._starts[-1])

    @functools.cached_property
    def labels(self) -> np.ndarray | None:
        """The labels of all images, int64 (N,), or None; read from the files on first use."""
        if not self.labelled:
            return None
        labels = np.empty(self.count, np.int64)
        for file, start in zip(self._files, self._starts, strict=False):
            if file.count:
                found = file.scan_labels()
                self._check(found is not None, found, file)
                assert found is not None
                labels[start : start + file.count] = found
        return labels

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """As `ImageData.take`; DataError if a record is damaged or foreign, which is named with its file."""
        numbers, places = np.unique(np.asarray(indices, np.int64), return_inverse=True)
        images, labels = np.empty((len(numbers), *self.shape), np.uint8), np.empty(len(numbers), np.int64)
        self.read(numbers, images, labels)
        if not np.array_equal(places, np.arange(len(places))):
            images, labels = images[places], labels[places]
        return images, labels if self.labelled else None

    def read(self, numbers: np.ndarray, images: np.ndarray, labels: np.ndarray) -> None:
        """Reads images into existing arrays.

        Args:
            numbers: int64 (n,), ascending, each once.
            images: Filled: uint8 (n, C, H, W).
            labels: Filled, if there are labels: int64 (n,).

        Raises:
            IndexError: A number is not one of 0 .. N - 1.
            DataError: As `take`.
        """
        if len(numbers) and not 0 <= numbers[0] <= numbers[-1] < self.count:
            raise IndexError(f"{self.name} has the images 0 to {self.count - 1}, not {numbers[0]} to {numbers[-1]}")
        ends = np.searchsorted(numbers, self._starts)
        for number in np.flatnonzero(ends[:-1] < ends[1:]):
            part = slice(ends[number], ends[number + 1])
            file, wanted = self._files[number], images[part]
            found = file.read(numbers[part] - self._starts[number], wanted.reshape(len(wanted), -1), labels[part])
            self._check(found, labels[part], file)

    def fingerprint(self) -> str:
        """A hexadecimal digest: of the files' checksums if known, else of their names, sizes and some records."""
        return self._digest or self._sampled_digest

    @functools.cached_property
    def _sampled_digest(self) -> str:
        digest = hashlib.blake2b(repr((self.count, *self.shape)).encode(), digest_size=16)
        for file in self._files:
            digest.update(f"{file.path.name} {file.count} {file.path.stat().st_size}\n".encode())
        chosen: Any = np.unique(np.linspace(0, self.count - 1, _SAMPLED).astype(np.int64)) if self.count else []
        images, labels = self.take(np.array(chosen, np.int64))
        digest.update(images.data)
        if labels is not None:
            digest.update(labels.data)
        return digest.hexdigest()

    def _check(self, labelled: bool, labels: np.ndarray | None, file: RecordFile) -> None:
        if labelled != self.labelled:
            holds, others = ("labels", "none") if labelled else ("no labels", "labels")
            raise DataError(
                f"{file.path} holds {holds} where the data set {self.name} should have {others}; convert it again."
            )
        if labelled and labels is not None:
            _check_range(labels, self.num_class, f"in {file.path}")


def checked_labels(labels: np.ndarray, count: int, name: str) -> np.ndarray:
    """Labels as int64 (N,)."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise DataError(
            f"The labels of {name} are {labels.dtype} {labels.shape} where {count:,} images need integers ({count},)."
        )
    return labels.reshape(-1).astype(np.int64)


def _check_range(labels: np.ndarray, num_class: int, where: str) -> None:
    """Raises a DataError unless all labels are numbers of classes."""
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_class:
        raise DataError(
            f"The labels {where} run from {labels.min()} to {labels.max()}; {num_class} classes need "
            f"0 to {num_class - 1}."
        )


def wanted_form(images: np.ndarray) -> str:
    """What images should be, as the end of a sentence, and how to turn these into that."""
    wanted = "uint8 images (N, H, W, 1 or 3) are expected"
    if images.ndim == 4 and 0 in images.shape:
        return f"{wanted}, at least one of them"
    steps = []
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[-1] not in (1, 3):
        steps.append("transpose them by (0, 2, 3, 1)")
    elif images.ndim == 3:
        steps.append("add the axis of channels, images[..., None]")
    if images.dtype != np.uint8 and images.ndim in (3, 4):
        steps.append(scaling(images))
    return f"{wanted}: {'; '.join(steps)}" if steps else wanted


def scaling(images: np.ndarray) -> str:
    """How images of another type become uint8, by the range of their values."""
    if images.dtype.kind == "b":
        return "False and True become 0 and 255 by images.astype('uint8') * 255"
    if images.dtype.kind not in "iuf":
        return "give numbers from 0 to 255"
    least, most = float(images.min()), float(images.max())
    if not np.isfinite((least, most)).all():
        return "there are infinities or NaN among the values, which are no images"
    fractions = images.dtype.kind == "f"
    if fractions and -1 <= least < 0 and most <= 1:
        return "values in [-1, 1] become uint8 by rint((x + 1) * 127.5).astype('uint8')"
    if fractions and 0 <= least and most <= 1:
        return "values in [0, 1] become uint8 by rint(x * 255).astype('uint8')"
    if least >= 0 and 2 <= most <= 255:  # else a little beyond another range
        return f"values in [0, 255] become uint8 by {'rint(x)' if fractions else 'x'}.astype('uint8')"
    if images.dtype == np.uint16:
        return "values in [0, 65535] become uint8 by (x // 257).astype('uint8')"
    return f"the values lie in [{least:g}, {most:g}]; bring them to whole numbers in [0, 255]"


def _brief(data: ImageData | StoredImages) -> str:
    classes = f", {data.num_class} classes" if data.num_class else ""
    return f"{type(data).__name__}({data.name!r}, {data.count:,} images {data.shape}{classes})"
