"""Sets of images to score: arrays, folders of pictures, data sets and generators behind one face.

Whoever computes something of a set asks for batches, so that only what is being looked at is in memory.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.metrics.array_sets import ArraySet, BaseSet, ImageSet, check_count, checked_labels, finish, new_digest
from mmdgan.metrics.picture_files import FolderSet, open_npz

if TYPE_CHECKING:
    import keras

    from mmdgan.data import ImageData
    from mmdgan.data.dataset import StoredImages

__all__ = ["ArraySet", "DataSet", "FolderSet", "GeneratedSet", "ImageSet", "open_images"]

_GENERATE_BATCH = 100


class DataSet(BaseSet):
    """Different images of a data set, the same and in the same order as `Pipeline.real_images` gives.

    Attributes:
        indices: int64 (N,), the images' numbers in the data set.
    """

    def __init__(self, data: ImageData | StoredImages, count: int | None = None, seed: int | None = 0) -> None:
        """Chooses the images; none is read yet.

        Args:
            data: in memory or on disk.
            count: how many; None for all.
            seed: gives the choice and the order; None for the first images in the data set's own order.

        Raises:
            DataError: more images wanted than there are.
        """
        count = data.count if count is None else count
        check_count(count, data.name, data.count)
        channels, height, width = data.shape
        self.name, self.shape, self.class_names = data.name, (height, width, channels), tuple(data.class_names)
        self.data, self.count = data, count
        self.indices = np.arange(count) if seed is None else _random_order(data.count, seed)[:count]

    @functools.cached_property
    def labels(self) -> np.ndarray | None:
        """int64 (N,), or None; those of stored images are read on first use."""
        labels = self.data.labels if self.data.labelled else None
        return None if labels is None else labels[self.indices].astype(np.int64)

    def fingerprint(self) -> str:
        """See `ImageSet`: of the data set's fingerprint and the images' numbers."""
        digest = new_digest("data", self.data.fingerprint(), self.shape)
        digest.update(np.ascontiguousarray(self.indices, "<i8").data)
        return digest.hexdigest()

    def take(self, indices: np.ndarray) -> np.ndarray:
        """See `ImageSet`."""
        from mmdgan.data.pipeline import channels_last

        return channels_last(self.data.take(self.indices[indices])[0])

    def chosen(self, indices: np.ndarray) -> DataSet:
        """See `ImageSet`."""
        part = DataSet(self.data, 1)
        part.indices, part.count = self.indices[indices], len(indices)
        return part


class GeneratedSet(BaseSet):
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
        """Draws the codes; no image is made yet. The generator must not be trained while the set is in use.

        Args:
            generator: a model of `mmdgan.build_generator`.
            count: N.
            seed: gives codes and labels, as `sampling.score_codes` and `sampling.score_labels` draw them.
            labels: integers (N,) or (N, 1) instead of these, for a conditional generator.
            codes: float32 (N, code_size) instead of these.
            name, class_names: as in `ImageSet`.

        Raises:
            DataError: codes or labels of another number, or of another size than the generator's.
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
        """See `ImageSet`: of the generator's weights and layers, the codes and the labels."""
        generator = self._generator
        digest = new_digest("generated", generator.spec, generator.precision, generator.spectral, generator.legacy)
        for array in generator.get_weights():
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        digest.update(np.ascontiguousarray(self._codes).data)
        return finish(digest, self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """See `ImageSet`."""
        images = np.empty((len(indices), *self.shape), np.uint8)
        for start in range(0, len(indices), _GENERATE_BATCH):
            part = indices[start : start + _GENERATE_BATCH]
            labels = None if self.labels is None else self.labels[part, None]
            images[start : start + len(part)] = self._sample(self._codes[part], labels)
        return images

    def chosen(self, indices: np.ndarray) -> GeneratedSet:
        """See `ImageSet`."""
        part = copy.copy(self)
        part.count, part._codes = len(indices), self._codes[indices]
        part.labels = None if self.labels is None else self.labels[indices]
        return part

    @functools.cached_property
    def _sample(self) -> Callable[..., np.ndarray]:
        from mmdgan import sampling

        return sampling.sampler(self._generator, self._codes.shape[1], _GENERATE_BATCH, self.labels is not None)


def open_images(
    what: str | Path,
    *,
    data_root: str | Path = "Data",
    count: int | None = None,
    seed: int = 0,
    progress: Callable[[str], object] = print,
) -> ImageSet:
    """Opens the images that a person names, in a random order that the seed gives.

    Files are often sorted by class, and scores that divide a set into parts need each part to be like the whole.

    Args:
        what: a folder of pictures (or a .zip or .tar of one); a file .npz with the key `images` or `arr_0`, uint8
            (N, H, W, C), and maybe `labels`; or the name of a data set.
        data_root: the folder of all data sets.
        count: how many images, chosen at random; None for all.
        seed: gives choice and order.
        progress: takes one sentence at a time.

    Raises:
        DataError: nothing is there, or something that is not images of one size; or fewer images than wanted.
    """
    path = Path(what)
    if path.suffix == ".npz" and path.is_file():
        images: ImageSet = open_npz(path)
    elif path.exists():
        if path.is_dir() and str(what) in _names(data_root):
            progress(f"The images are those of the folder {path}, not of the data set of that name.")
        images = FolderSet(path, progress=progress)
    elif str(what) not in _names(data_root) and (path.suffix or len(path.parts) != 1):
        raise DataError(f"There is no folder or file {path}: name a folder of pictures, a .npz file or a data set.")
    else:
        from mmdgan.data import open_data

        try:
            data = open_data(str(what), data_root=data_root, say=progress)
        except DataError as error:
            if ":" in str(what) or str(what) in _names(data_root):
                raise
            raise DataError(f"There is no folder or file {what}. {error}") from error
        return DataSet(data, count, seed)
    if count is not None:
        check_count(count, images.name, images.count)
    return images.chosen(_random_order(images.count, seed)[:count])


def _names(data_root: str | Path) -> list[str]:
    from mmdgan.data import names

    return names(data_root)


def _random_order(count: int, seed: int) -> np.ndarray:
    """The order in which `Pipeline.real_images` takes images, int64 (count,)."""
    from mmdgan.core.shuffling import permutation
    from mmdgan.data import order

    return permutation(count, seed, order.REAL_IMAGES)
