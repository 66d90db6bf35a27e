"""Sets of images to score: arrays, data sets and generators behind one interface (`comparison`: files too).

Metrics ask for batches or for single images, so that only what is being looked at is in memory.
"""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.dataset import checked_labels, wanted_form

if TYPE_CHECKING:
    import keras

    from mmdgan.data import ImageData
    from mmdgan.data.dataset import StoredImages

BLOCK_BYTES = 2**25  # of images that are read at a time: large enough for files to be read nearly in their order
_GENERATE_BATCH = 100

S = TypeVar("S", bound="ImageSet")


class ImageSet:
    """Images in a fixed order; its subclasses say how they are read.

    Attributes:
        name: What they are, for users.
        count: Number of images N.
        shape: (H, W, C) of one image.
        labels: int64 (N,), or None.
        class_names: One name per class; empty where there are none.
    """

    name: str
    count: int
    shape: tuple[int, int, int]
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """A hexadecimal SHA-256 of the images, their order and labels, or of all that determines them."""
        raise NotImplementedError

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Some of the images, by their places in the set, in any order: uint8 (n, H, W, C)."""
        raise NotImplementedError

    def chosen(self, indices: np.ndarray) -> ImageSet:
        """The set of some of the images, by their places, in that order."""
        raise NotImplementedError

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """All images in their order: uint8 (n, H, W, C), n = size except for the last batch. Can be called again."""
        block = size * max(1, BLOCK_BYTES // (size * int(np.prod(self.shape))))
        for start in range(0, self.count, block):
            images = self.take(np.arange(start, min(start + block, self.count)))
            for place in range(0, len(images), size):
                yield images[place : place + size]

    def first(self, count: int) -> ImageSet:
        """The set of the first images; DataError if there are fewer."""
        check_count(count, self.name, self.count)
        return self.chosen(np.arange(count))

    def _part(self: S, indices: np.ndarray, **arrays: Any) -> S:
        """A copy with other arrays, and the labels of some of the images."""
        part = copy.copy(self)
        part.count = len(indices)
        part.labels = None if self.labels is None else self.labels[indices]
        vars(part).update(arrays)
        return part


class ArraySet(ImageSet):
    """Images in an array, in memory or memory-mapped; it must not change any more."""

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        name: str = "images",
        class_names: Sequence[str] = (),
    ) -> None:
        """Takes images, uint8 (N, H, W, 1 or 3), and labels, integers (N,) or (N, 1); DataError for other arrays."""
        self.name, self.class_names = name, tuple(class_names)
        if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8 or 0 in images.shape:
            raise DataError(f"{name} holds {images.dtype} {images.shape} where {wanted_form(images)}.")
        self.count, self.shape = len(images), tuple(images.shape[1:])
        self.labels = None if labels is None else checked_labels(labels, self.count, name)
        self._images = images

    @functools.cached_property
    def _digest(self) -> str:
        digest = new_digest("array", self.shape, self.count)
        block = max(1, BLOCK_BYTES // int(np.prod(self.shape)))
        for start in range(0, self.count, block):
            digest.update(np.ascontiguousarray(self._images[start : start + block]).data)
        return finish_digest(digest, self.labels)

    def fingerprint(self) -> str:
        return self._digest

    def take(self, indices: np.ndarray) -> np.ndarray:
        return np.asarray(self._images[indices])

    def chosen(self, indices: np.ndarray) -> ImageSet:
        if np.array_equal(indices, np.arange(len(indices))):
            labels = None if self.labels is None else self.labels[: len(indices)]
            return ArraySet(self._images[: len(indices)], labels, name=self.name, class_names=self.class_names)
        return _Chosen(self, indices)


class _Chosen(ImageSet):
    """Some images of an array, in any order; `indices` are their places there."""

    def __init__(self, whole: ArraySet, indices: np.ndarray) -> None:
        self.name, self.shape, self.class_names = whole.name, whole.shape, whole.class_names
        self.count = len(indices)
        self.labels = None if whole.labels is None else whole.labels[indices]
        self._whole, self.indices = whole, indices

    def fingerprint(self) -> str:
        digest = new_digest("chosen", self._whole.fingerprint())
        digest.update(np.ascontiguousarray(self.indices, "<i8").data)
        return digest.hexdigest()

    def take(self, indices: np.ndarray) -> np.ndarray:
        return self._whole.take(self.indices[indices])

    def chosen(self, indices: np.ndarray) -> _Chosen:
        return _Chosen(self._whole, self.indices[indices])


class InColour(ImageSet):
    """Grey images as RGB: their one channel three times."""

    def __init__(self, grey: ImageSet) -> None:
        self.name, self.count, self.class_names = grey.name, grey.count, grey.class_names
        self.shape, self.indices = (*grey.shape[:2], 3), getattr(grey, "indices", None)
        self._grey = grey

    @property
    def labels(self) -> np.ndarray | None:  # type: ignore[override]
        return self._grey.labels

    def fingerprint(self) -> str:
        return new_digest("in colour", self._grey.fingerprint()).hexdigest()

    def take(self, indices: np.ndarray) -> np.ndarray:
        return np.repeat(self._grey.take(indices), 3, axis=-1)

    def chosen(self, indices: np.ndarray) -> InColour:
        return InColour(self._grey.chosen(indices))


class DataSet(ImageSet):
    """Different images of a data set, the same and in the same order as `Pipeline.real_images` gives.

    Attributes:
        indices: int64 (N,), the images' numbers in the data set.
    """

    def __init__(self, data: ImageData | StoredImages, count: int | None = None, seed: int | None = 0) -> None:
        """Chooses the images without reading one.

        Args:
            data: A data set in memory or on disk.
            count: Number of images; None for all.
            seed: Seed of the choice and the order; None for the first images in the data set's own order.

        Raises:
            DataError: More images are wanted than there are.
        """
        count = data.count if count is None else count
        check_count(count, data.name, data.count)
        channels, height, width = data.shape
        self.name, self.shape, self.class_names = data.name, (height, width, channels), tuple(data.class_names)
        self.data, self.count = data, count
        self.indices = np.arange(count) if seed is None else random_order(data.count, seed)[:count]

    @functools.cached_property
    def labels(self) -> np.ndarray | None:  # type: ignore[override]
        """int64 (N,), or None; those of stored images are read on first use."""
        labels = self.data.labels if self.data.labelled else None
        return None if labels is None else labels[self.indices].astype(np.int64)

    def fingerprint(self) -> str:
        digest = new_digest("data", self.data.fingerprint(), self.shape)
        digest.update(np.ascontiguousarray(self.indices, "<i8").data)
        return digest.hexdigest()

    def take(self, indices: np.ndarray) -> np.ndarray:
        from mmdgan.data.pipeline import channels_last

        return channels_last(self.data.take(self.indices[indices])[0])

    def chosen(self, indices: np.ndarray) -> DataSet:
        part = DataSet(self.data, 1)
        part.indices, part.count = self.indices[indices], len(indices)
        return part


class GeneratedSet(ImageSet):
    """Images of a generator, made whenever they are asked for."""

    def __init__(
        self,
        generator: keras.Model,
        count: int,
        seed: int = 0,
        labels: np.ndarray | None = None,
        codes: np.ndarray | None = None,
        *,
        name: str = "generated",
        class_names: Sequence[str] = (),
    ) -> None:
        """Draws the codes without making an image. The generator must not be trained while the set is in use.

        Args:
            generator: A model of `mmdgan.build_generator`.
            count: Number of images N.
            seed: Seed of codes and labels, as `sampling.score_codes` and `sampling.score_labels` draw them.
            labels: Integers (N,) or (N, 1) to use instead, for a conditional generator.
            codes: float32 (N, code_size) to use instead.
            name, class_names: As in `ImageSet`.

        Raises:
            DataError: There are codes or labels of another number, or of another size than the generator's.
        """
        from mmdgan import sampling

        spec = generator.spec
        code_size, (channels, height, width) = spec.input_shape[0], spec.output_shape
        self.name, self.class_names = name, tuple(class_names)
        self.count, self.shape = count, (height, width, channels)
        codes = sampling.score_codes(count, code_size, seed) if codes is None else np.asarray(codes, np.float32)
        if codes.shape != (count, code_size):
            raise DataError(f"The codes are {codes.shape}; the generator takes ({count}, {code_size}).")
        if labels is None:
            labels = sampling.score_labels(count, spec.num_class, seed)
        self.labels = None if labels is None else checked_labels(labels, count, name)
        self._generator, self._codes = generator, codes

    def fingerprint(self) -> str:
        generator = self._generator
        digest = new_digest("generated", generator.spec, generator.precision, generator.spectral, generator.legacy)
        for array in generator.get_weights():
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        digest.update(np.ascontiguousarray(self._codes).data)
        return finish_digest(digest, self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        images = np.empty((len(indices), *self.shape), np.uint8)
        for start in range(0, len(indices), _GENERATE_BATCH):
            part = indices[start : start + _GENERATE_BATCH]
            labels = None if self.labels is None else self.labels[part, None]
            images[start : start + len(part)] = self._sample(self._codes[part], labels)
        return images

    def chosen(self, indices: np.ndarray) -> GeneratedSet:
        return self._part(indices, _codes=self._codes[indices])

    @functools.cached_property
    def _sample(self) -> Callable[..., np.ndarray]:
        from mmdgan import sampling

        return sampling.sampler(self._generator, self._codes.shape[1], _GENERATE_BATCH, self.labels is not None)


def random_order(count: int, seed: int) -> np.ndarray:
    """The order in which `Pipeline.real_images` takes images, int64 (count,)."""
    from mmdgan.core.shuffling import permutation
    from mmdgan.data import order

    return permutation(count, seed, order.REAL_IMAGES)


def check_count(count: int, name: str, there: int) -> None:
    if not 1 <= count <= there:
        raise DataError(f"{count:,} images of {name} are wanted; it holds {there:,}: ask for 1 to {there:,}.")


def new_digest(*facts: object) -> hashlib._Hash:
    return hashlib.sha256(repr(facts).encode())


def finish_digest(digest: hashlib._Hash, labels: np.ndarray | None) -> str:
    """The hexadecimal digest, after the labels."""
    if labels is not None:
        digest.update(b"labels")
        digest.update(np.ascontiguousarray(labels, "<i8").data)
    return digest.hexdigest()
