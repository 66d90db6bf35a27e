"""Sets of images to score: arrays, folders of pictures, .npz files, data sets and generators behind one interface.

Metrics ask for batches or for single images, so that only what is being looked at is in memory.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.core.progress import Say, counter, log
from mmdgan.data.catalog import DataInfo
from mmdgan.data.preparation.geometry import BrokenImage, Geometry, declared, load_image
from mmdgan.data.sources.archives import recognise
from mmdgan.data.sources.base import Item, Request
from mmdgan.data.sources.byte_ranges import Broken
from mmdgan.data.sources.containers import EXTENSIONS, printable
from mmdgan.data.sources.folders import SPLITS, Pictures

if TYPE_CHECKING:
    import keras

    from mmdgan.data import ImageData
    from mmdgan.data.dataset import StoredImages

IMAGE_KEYS = ("images", "arr_0")
_SPLIT_FOLDERS = {name for names in SPLITS.values() for name in names}
_BLOCK_BYTES = 2**25  # of images that are read at a time: large enough for files to be read nearly in their order
_GENERATE_BATCH = 100
_ZIP_HEADER = 30  # bytes of a member's own header before its name; the lengths of name and extra field end it

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
        block = size * max(1, _BLOCK_BYTES // (size * int(np.prod(self.shape))))
        for start in range(0, self.count, block):
            images = self.take(np.arange(start, min(start + block, self.count)))
            for place in range(0, len(images), size):
                yield images[place : place + size]

    def first(self, count: int) -> ImageSet:
        """The set of the first images; DataError if there are fewer."""
        _check_count(count, self.name, self.count)
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
            raise DataError(f"{name} holds {images.dtype} {images.shape} where {_wanted(images)}.")
        self.count, self.shape = len(images), tuple(images.shape[1:])
        self.labels = None if labels is None else _checked_labels(labels, self.count, name)
        self._images = images

    @functools.cached_property
    def _digest(self) -> str:
        digest = _new_digest("array", self.shape, self.count)
        block = max(1, _BLOCK_BYTES // int(np.prod(self.shape)))
        for start in range(0, self.count, block):
            digest.update(np.ascontiguousarray(self._images[start : start + block]).data)
        return _finish(digest, self.labels)

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
        digest = _new_digest("chosen", self._whole.fingerprint())
        digest.update(np.ascontiguousarray(self.indices, "<i8").data)
        return digest.hexdigest()

    def take(self, indices: np.ndarray) -> np.ndarray:
        return self._whole.take(self.indices[indices])

    def chosen(self, indices: np.ndarray) -> _Chosen:
        return _Chosen(self._whole, self.indices[indices])


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
        _check_count(count, data.name, data.count)
        channels, height, width = data.shape
        self.name, self.shape, self.class_names = data.name, (height, width, channels), tuple(data.class_names)
        self.data, self.count = data, count
        self.indices = np.arange(count) if seed is None else _random_order(data.count, seed)[:count]

    @functools.cached_property
    def labels(self) -> np.ndarray | None:  # type: ignore[override]
        """int64 (N,), or None; those of stored images are read on first use."""
        labels = self.data.labels if self.data.labelled else None
        return None if labels is None else labels[self.indices].astype(np.int64)

    def fingerprint(self) -> str:
        digest = _new_digest("data", self.data.fingerprint(), self.shape)
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
        self.labels = None if labels is None else _checked_labels(labels, count, name)
        self._generator, self._codes = generator, codes

    def fingerprint(self) -> str:
        generator = self._generator
        digest = _new_digest("generated", generator.spec, generator.precision, generator.spectral, generator.legacy)
        for array in generator.get_weights():
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        digest.update(np.ascontiguousarray(self._codes).data)
        return _finish(digest, self.labels)

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


class FolderSet(ImageSet):
    """The pictures below a folder, in the order of their names, read as they are asked for.

    Two or more folders with pictures are classes, as for `python -m mmdgan prepare`. The pictures are grey if all of
    them are, else RGB.
    """

    def __init__(self, path: str | Path, *, say: Say = log) -> None:
        """Reads every file of a folder, or of a .zip or .tar of one, for its size, colours and checksum.

        Raises:
            DataError: There are no pictures, one is broken, or they differ in size.
        """
        path = Path(path)
        container = recognise(path)
        if container is None:
            raise DataError(f"{path} is neither a folder of pictures nor an archive of one nor a .npz file of images.")
        pictures = Pictures(listing := container.listing(), path)
        for name, reason in pictures.faults:
            raise DataError(f"{printable(container.where(name))} {reason}; remove it from the pictures.")
        if not pictures.indices.size:
            raise DataError(f"{path} holds no pictures ({', '.join(sorted(EXTENSIONS))}): name a folder that does.")
        classes = pictures.classes(Request(DataInfo(path.name, (0, 0, 0))))
        if classes and not {*classes} - _SPLIT_FOLDERS:
            raise DataError(
                f"{path} holds the parts {', '.join(classes)} of a data set: name the folder of one of them."
            )
        self.name, self.class_names = path.name or str(path), tuple(map(printable, classes or ()))
        self.labels = None if classes is None else pictures.labels(classes)
        self._files = listing.files.take(pictures.indices)
        self.count = len(self._files)
        (width, height), grey = self._inspect(say)
        self.shape = (height, width, 1 if grey else 3)

    def _inspect(self, say: Say) -> tuple[tuple[int, int], bool]:
        """Reads all files; returns the size (width, height) of the pictures, and whether all are grey."""
        size: Any = None
        grey, digests, report = True, [], counter(f"Looking at the pictures of {self.name}", say)
        for index, content in enumerate(self._files.read()):
            found, is_grey = self._form(index, content)
            if size not in (None, found):
                raise DataError(
                    f"{self._files.where(index)} is {found[0]}x{found[1]} pixels where those before it are "
                    f"{size[0]}x{size[1]}: scores need pictures of one size, so resize them alike, as "
                    "python -m mmdgan prepare folder:PATH --name NAME --size SIZE does."
                )
            size, grey = found, grey and is_grey
            assert isinstance(content, bytes)  # what is broken was refused
            digests.append(hashlib.sha256(content).digest())
            report(index, self.count)
        self._digests = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
        return size, grey

    def _form(self, index: int, content: bytes | Broken) -> tuple[tuple[int, int], bool]:
        """The size (width, height) that a file declares, and whether it is grey."""
        if isinstance(content, Broken):
            raise self._broken(index, str(content))
        try:
            return declared(content)
        except BrokenImage as broken:
            raise self._broken(index, broken.reason) from broken

    def _broken(self, index: int, reason: str) -> DataError:
        return DataError(f"{self._files.where(index)} {reason}; remove it from the pictures, or get it again.")

    def fingerprint(self) -> str:
        """As of every `ImageSet`; of the files' contents, so that it stays when they are moved or renamed in order."""
        digest = _new_digest("files", self.shape)
        digest.update(self._digests.data)
        return _finish(digest, self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """As of every `ImageSet`; DataError for a file that is broken, gone or changed."""
        height, width, channels = self.shape
        images = np.empty((len(indices), *self.shape), np.uint8)
        for place, (index, content) in enumerate(zip(indices, self._files.take(indices).read(), strict=True)):
            item = Item("", fault=str(content)) if isinstance(content, Broken) else Item("", encoded=content)
            try:
                image = load_image(item, Geometry(), (channels, height, width), (width, height))
            except BrokenImage as broken:
                raise self._broken(int(index), broken.reason) from broken
            images[place] = image.transpose(1, 2, 0)
        return images

    def chosen(self, indices: np.ndarray) -> FolderSet:
        return self._part(indices, _files=self._files.take(indices), _digests=self._digests[indices])


def open_images(
    what: str | Path,
    *,
    data_root: str | Path = "Data",
    count: int | None = None,
    seed: int = 0,
    say: Say = log,
) -> ImageSet:
    """Opens the images that a user names, in a random order that the seed gives.

    Files are often sorted by class, and metrics that divide a set into parts need each part to be like the whole.

    Args:
        what: A folder of pictures (or a .zip or .tar of one); a file .npz with the key `images` or `arr_0`, uint8
            (N, H, W, C), and optionally `labels`; or the name of a data set.
        data_root: Folder of all data sets.
        count: Number of images, chosen at random; None for all.
        seed: Seed of choice and order.
        say: Takes one sentence at a time.

    Raises:
        DataError: Nothing is there, or something that is not images of one size; or fewer images than wanted.
    """
    from mmdgan.data import names, open_data

    path, known = Path(what), names(data_root)
    if path.suffix == ".npz" and path.is_file():
        images: ImageSet = open_npz(path)
    elif path.exists():
        if path.is_dir() and str(what) in known:
            say(f"The images are those of the folder {path}, not of the data set of that name.")
        images = FolderSet(path, say=say)
    elif str(what) not in known and (path.suffix or len(path.parts) != 1):
        raise DataError(f"There is no folder or file {path}: name a folder of pictures, a .npz file or a data set.")
    else:
        try:
            data = open_data(str(what), data_root=data_root, say=say)
        except DataError as error:
            if ":" in str(what) or str(what) in known:
                raise
            raise DataError(f"There is no folder or file {what}. {error}") from error
        return DataSet(data, count, seed)
    if count is not None:
        _check_count(count, images.name, images.count)
    return images.chosen(_random_order(images.count, seed)[:count])


def open_npz(path: Path) -> ArraySet:
    """The images in a .npz file, memory-mapped.

    A compressed array is unpacked into a temporary file first, which is removed with the array.

    Args:
        path: A file with the key `images` or `arr_0`, uint8 (N, H, W, C), and optionally `labels`, integers (N,).

    Raises:
        DataError: The file cannot be read, or has no images.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.removesuffix(".npy"): member for member in archive.namelist()}
            key = next((key for key in IMAGE_KEYS if key in members), None)
            if key is None:
                raise DataError(
                    f"{path} holds {', '.join(sorted(members)) or 'nothing'} and no images: they are looked for under "
                    f"the key {' or '.join(IMAGE_KEYS)}."
                )
            images = _mapped(path, archive, members[key])
            labels = None
            if "labels" in members:
                with archive.open(members["labels"]) as stream:
                    labels = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as a .npz file of images ({error}).") from error
    return ArraySet(images, labels, name=path.name)


def _mapped(path: Path, archive: zipfile.ZipFile, member: str) -> np.ndarray:
    """One array of a .npz file as a memory map; ValueError for one of objects or an incomplete one."""
    info = archive.getinfo(member)
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, column_major, dtype = read(stream)
        offset = stream.tell()
        if dtype.hasobject or column_major:
            raise ValueError(f"{member} holds {'Python objects' if dtype.hasobject else 'images in column order'}")
        if info.file_size != offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
            raise ValueError(f"{member} is incomplete")
        if not info.compress_type == zipfile.ZIP_STORED:
            with tempfile.TemporaryFile() as file:
                shutil.copyfileobj(stream, file, 2**24)
                file.flush()
                return np.memmap(file, dtype, "r", 0, shape)
    with open(path, "rb") as file:
        file.seek(info.header_offset + _ZIP_HEADER - 4)
        lengths = np.frombuffer(file.read(4), "<u2")
    return np.memmap(path, dtype, "r", info.header_offset + _ZIP_HEADER + int(lengths.sum()) + offset, shape)


def _random_order(count: int, seed: int) -> np.ndarray:
    """The order in which `Pipeline.real_images` takes images, int64 (count,)."""
    from mmdgan.core.shuffling import permutation
    from mmdgan.data import order

    return permutation(count, seed, order.REAL_IMAGES)


def _check_count(count: int, name: str, there: int) -> None:
    if not 1 <= count <= there:
        raise DataError(f"{count:,} images of {name} are wanted; it holds {there:,}: ask for 1 to {there:,}.")


def _checked_labels(labels: np.ndarray, count: int, name: str) -> np.ndarray:
    """Labels as int64 (N,)."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape not in ((count,), (count, 1)):
        raise DataError(
            f"The labels of {name} are {labels.dtype} {labels.shape} where {count:,} images need integers ({count},)."
        )
    return labels.reshape(-1).astype(np.int64)


def _wanted(images: np.ndarray) -> str:
    """What images should be, as the end of a sentence, and how to turn these into that."""
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


def _new_digest(*facts: object) -> hashlib._Hash:
    return hashlib.sha256(repr(facts).encode())


def _finish(digest: hashlib._Hash, labels: np.ndarray | None) -> str:
    """The hexadecimal digest, after the labels."""
    if labels is not None:
        digest.update(b"labels")
        digest.update(np.ascontiguousarray(labels, "<i8").data)
    return digest.hexdigest()
