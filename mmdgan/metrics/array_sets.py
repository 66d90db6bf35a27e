"""What a set of images is to the scores: images in a fixed order, of which batches are asked for.

The sets of arrays are here too; those of folders, data sets and generators are in `picture_files` and `image_sets`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from mmdgan.core.errors import DataError

_BLOCK_BYTES = 2**25  # of images that are read at a time: large enough for files to be read nearly in their order


class ImageSet(Protocol):
    """Images in a fixed order.

    Attributes:
        name: what they are, for people.
        count: their number N.
        shape: (H, W, C) of one image.
        labels: int64 (N,), or None.
        class_names: one name per class; empty where there are none.
    """

    name: str
    count: int
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]

    @property
    def labels(self) -> np.ndarray | None: ...

    def fingerprint(self) -> str:
        """A hexadecimal SHA-256 of the images, of their order and labels, or of all that determines them."""

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """All images in their order: uint8 (n, H, W, C), n = size but for the last batch. It can be called again."""

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Some of the images, by their places in the set, in any order: uint8 (n, H, W, C)."""

    def first(self, count: int) -> ImageSet:
        """The set of the first images; DataError if there are fewer."""

    def chosen(self, indices: np.ndarray) -> ImageSet:
        """The set of some of the images, in the order of these places."""


class BaseSet:
    """What all sets have in common; each has `take`, `fingerprint` and `chosen` of its own."""

    name: str
    count: int
    shape: tuple[int, int, int]
    class_names: tuple[str, ...] = ()

    def take(self, indices: np.ndarray) -> np.ndarray:
        """See `ImageSet`."""
        raise NotImplementedError

    def chosen(self, indices: np.ndarray) -> ImageSet:
        """See `ImageSet`."""
        raise NotImplementedError

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """See `ImageSet`."""
        block = size * max(1, _BLOCK_BYTES // (size * int(np.prod(self.shape))))
        for start in range(0, self.count, block):
            images = self.take(np.arange(start, min(start + block, self.count)))
            for place in range(0, len(images), size):
                yield images[place : place + size]

    def first(self, count: int) -> ImageSet:
        """See `ImageSet`."""
        check_count(count, self.name, self.count)
        return self.chosen(np.arange(count))


class ArraySet(BaseSet):
    """Images in an array, in memory or memory-mapped; they must not change any more."""

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        name: str = "images",
        class_names: Sequence[str] = (),
    ) -> None:
        """Checks the arrays' forms.

        Args:
            images: uint8 (N, H, W, C), C 1 or 3.
            labels: integers (N,) or (N, 1), or None.
            name, class_names: as in `ImageSet`.

        Raises:
            DataError: an array of another form.
        """
        self.name, self.class_names = name, tuple(class_names)
        if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8 or 0 in images.shape:
            raise DataError(f"{name} holds {images.dtype} {images.shape} where {_wanted(images)}.")
        self.count, self.shape = len(images), tuple(images.shape[1:])
        self.labels = None if labels is None else checked_labels(labels, self.count, name)
        self._images = images

    @functools.cached_property
    def _digest(self) -> str:
        digest = new_digest("array", self.shape, self.count)
        block = max(1, _BLOCK_BYTES // int(np.prod(self.shape)))
        for start in range(0, self.count, block):
            digest.update(np.ascontiguousarray(self._images[start : start + block]).data)
        return finish(digest, self.labels)

    def fingerprint(self) -> str:
        """See `ImageSet`: of the content."""
        return self._digest

    def take(self, indices: np.ndarray) -> np.ndarray:
        """See `ImageSet`."""
        return np.asarray(self._images[indices])

    def chosen(self, indices: np.ndarray) -> _Chosen | ArraySet:
        """See `ImageSet`."""
        if np.array_equal(indices, np.arange(len(indices))):
            labels = None if self.labels is None else self.labels[: len(indices)]
            return ArraySet(self._images[: len(indices)], labels, name=self.name, class_names=self.class_names)
        return _Chosen(self, indices)


class _Chosen(BaseSet):
    """Some images of another set, in any order; `take` of the other set reads them."""

    def __init__(self, whole: ImageSet, indices: np.ndarray) -> None:
        self.name, self.shape, self.class_names = whole.name, whole.shape, whole.class_names
        self.count = len(indices)
        self.labels = None if whole.labels is None else whole.labels[indices]
        self._whole, self.indices = whole, indices

    def fingerprint(self) -> str:
        """See `ImageSet`."""
        digest = new_digest("chosen", self._whole.fingerprint())
        digest.update(np.ascontiguousarray(self.indices, "<i8").data)
        return digest.hexdigest()

    def take(self, indices: np.ndarray) -> np.ndarray:
        """See `ImageSet`."""
        return self._whole.take(self.indices[indices])

    def chosen(self, indices: np.ndarray) -> _Chosen:
        """See `ImageSet`."""
        return _Chosen(self._whole, self.indices[indices])


def check_count(count: int, name: str, there: int) -> None:
    if not 1 <= count <= there:
        raise DataError(f"{count:,} images of {name} are wanted; it holds {there:,}: ask for 1 to {there:,}.")


def checked_labels(labels: np.ndarray, count: int, name: str) -> np.ndarray:
    """Labels as int64 (N,)."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise DataError(
            f"The labels of {name} are {labels.dtype} {labels.shape} where {count:,} images need integers ({count},)."
        )
    return labels.reshape(-1).astype(np.int64)


def _wanted(images: np.ndarray) -> str:
    """What images should be, as the end of a sentence, with what turns these into them."""
    wanted = "uint8 images (N, H, W, 1 or 3) are expected"
    if images.ndim == 4 and 0 in images.shape:
        return f"{wanted}, at least one of them"
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[-1] not in (1, 3):
        return f"{wanted}: transpose them by (0, 2, 3, 1)"
    if images.ndim == 3:
        return f"{wanted}: add the axis of channels, images[..., None]"
    if images.dtype.kind == "f":
        return f"{wanted}: images in [-1, 1] become uint8 by rint((x + 1) * 127.5)"
    return wanted


def new_digest(*facts: object) -> hashlib._Hash:
    return hashlib.sha256(repr(facts).encode())


def finish(digest: hashlib._Hash, labels: np.ndarray | None) -> str:
    """The hexadecimal digest, after the labels."""
    if labels is not None:
        digest.update(b"labels")
        digest.update(np.ascontiguousarray(labels, "<i8").data)
    return digest.hexdigest()
