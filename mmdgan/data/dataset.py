"""ImageData: a whole image data set in memory. `StoredImages` is its twin for sets that stay on disk.

Whoever needs images takes them by number, in blocks, so that both kinds will do.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.memory import choose_cache

if TYPE_CHECKING:
    from mmdgan.data.records.reader import RecordFile

__all__ = ["ImageData", "choose_cache"]


@dataclass(eq=False)
class ImageData:
    """Images with their labels, names and origin.

    Attributes:
        name: the name a person gives it, such as "cifar10".
        images: uint8 (N, C, H, W), in memory or memory-mapped.
        labels: int64 (N,) in [0, num_class), or None.
        class_names: one name per class; empty when there are no labels.
        num_class: number of classes; 0 when there are no labels.
        folder: where the records are; None for a set that is made on the spot.
        source: what the images were made from, in words.
        groups: int64 (N,), or None. Images of one group show the same original thing, so that a fair test set
            holds out whole groups.
        digest: what `fingerprint` returns, where the files' checksums tell it; None for the images' own.
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
        """Checks that the parts belong together.

        Raises:
            DataError: images of another type or rank, labels of another length or outside [0, num_class).
        """
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            found = f"{self.images.dtype} {self.images.shape}"
            raise DataError(f"The images of {self.name} are {found}; give uint8 of shape (N, C, H, W).")
        for what in ("labels", "groups"):
            values = getattr(self, what)
            if values is not None and values.shape != (self.count,):
                raise DataError(f"The {what} of {self.name} are {values.shape} for {self.count} images.")
        if self.labels is not None and self.count:
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= self.num_class:
                raise DataError(
                    f"The labels of {self.name} run from {low} to {high}; {self.num_class} classes need "
                    f"0 to {self.num_class - 1}."
                )

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
        """Some of the images.

        Args:
            indices: their numbers, int64 (n,), in any order; one may come more than once.

        Returns:
            copies of the images, uint8 (n, C, H, W), and of their labels, int64 (n,), or None.
        """
        return self.images[indices], None if self.labels is None else self.labels[indices].astype(np.int64, copy=False)

    def fingerprint(self) -> str:
        """A hexadecimal digest: equal exactly when the data are, among sets that know their files' checksums or
        among those that do not."""
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


# MERGED mmdgan/data/dataset.py
# StoredImages: an image data set that stays on disk, in files of records, read as it is needed.


# Of these sizes follows the order of the images, so they are the same on every machine.
CHUNK_BYTES = 2**20
WINDOW_BYTES = 2**28

_SAMPLED = 64  # records in the fingerprint of files without known checksums


class StoredImages:
    """Images in files of records, by the same names as those of `ImageData`; only what is asked for is read.

    Attributes:
        name: the name a person gives it, such as "lsun".
        shape: (C, H, W) of one image.
        count: the number of images N.
        labelled: whether each image has a label.
        class_names: one name per class; empty when there are no labels.
        num_class: number of classes; 0 when there are no labels.
        folder: where the records are.
        source: what the images were made from, in words.
        groups: None.
        mode: "stream".
        chunk: how many neighbouring images stay together when a training order is drawn: about 1 MiB of them.
        window: how many images are shuffled among each other: about 256 MiB of them.
    """

    mode = "stream"
    groups = None

    def __init__(
        self,
        name: str,
        shape: tuple[int, int, int],
        files: Sequence[RecordFile],
        *,
        labelled: bool | None = None,
        class_names: Sequence[str] = (),
        num_class: int = 0,
        folder: Path | None = None,
        source: str = "",
        digest: str | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        """Reads one record at most, to see whether it has a label.

        Args:
            name, class_names, num_class, folder, source: as above.
            shape: (C, H, W).
            files: in the order of their images.
            labelled: whether the records hold labels, as the sidecar says; None to look at the first one.
            digest: what `fingerprint` returns, where the files' checksums tell it.
            chunk_bytes, window_bytes: the sizes of chunks and windows.

        Raises:
            DataError: no files, or a first record that cannot be read.
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
        if labelled is None:
            labelled = next((file.labelled for file in files if file.count), False)
        self.labelled = labelled

    @property
    def count(self) -> int:
        """The number of images N."""
        return int(self._starts[-1])

    @functools.cached_property
    def labels(self) -> np.ndarray | None:
        """The labels of all images, int64 (N,), or None; read from the files on first use.

        Raises:
            DataError: a file that cannot be read, or labels that are missing or out of range.
        """
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
        """Some of the images, read from disk.

        Args:
            indices: their numbers, int64 (n,), in any order; one may come more than once.

        Returns:
            the images, uint8 (n, C, H, W), and their labels, int64 (n,), or None.

        Raises:
            DataError: a record that is damaged or of another form; it and its file are named.
        """
        numbers, places = np.unique(np.asarray(indices, np.int64), return_inverse=True)
        images, labels = np.empty((len(numbers), *self.shape), np.uint8), np.empty(len(numbers), np.int64)
        self.read(numbers, images, labels)
        if len(numbers) != len(places) or not np.array_equal(places, np.arange(len(places))):
            images, labels = images[places], labels[places]
        return images, labels if self.labelled else None

    def read(self, numbers: np.ndarray, images: np.ndarray, labels: np.ndarray) -> None:
        """Reads images into arrays that are there already.

        Args:
            numbers: int64 (n,), ascending, each once.
            images: filled: uint8 (n, C, H, W).
            labels: filled, if there are labels: int64 (n,).

        Raises:
            IndexError: a number that is not one of 0 .. N - 1.
            DataError: as `take`.
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
        """A hexadecimal digest of the data: of the files' checksums where they are known, as in memory; else of
        their names and sizes and of some of their records."""
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
        """Checks what was read against what the data set should hold."""
        if labelled != self.labelled:
            holds, others = ("labels", "none") if labelled else ("no labels", "labels")
            raise DataError(
                f"{file.path} holds {holds} where the data set {self.name} should have {others}; convert it again."
            )
        if labels is not None and labelled and len(labels) and not 0 <= labels.min() <= labels.max() < self.num_class:
            raise DataError(
                f"The labels in {file.path} run from {labels.min()} to {labels.max()}; {self.num_class} classes need "
                f"0 to {self.num_class - 1}."
            )
