"""ImageData: a whole image data set in memory. `StoredImages` is its twin for sets that stay on disk.

Whoever needs images takes them by number, in blocks, so that both kinds will do.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from mmdgan.data.memory import choose_cache
from mmdgan.errors import DataError

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
