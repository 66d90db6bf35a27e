"""Image sets in files that people have: pictures in a folder or archive, and arrays in a .npz file."""

from __future__ import annotations

import copy
import hashlib
import io
import shutil
import tempfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.catalog import DataInfo
from mmdgan.data.preparation.geometry import FORMATS, GREY, BrokenImage, Geometry, load_image
from mmdgan.data.sources.archives import recognise
from mmdgan.data.sources.base import Item, Request
from mmdgan.data.sources.byte_ranges import Broken
from mmdgan.data.sources.containers import EXTENSIONS, printable
from mmdgan.data.sources.folders import SPLITS, Pictures
from mmdgan.metrics.array_sets import ArraySet, BaseSet, finish, new_digest

IMAGE_KEYS = ("images", "arr_0")
_SPLIT_FOLDERS = {name for names in SPLITS.values() for name in names}
_ZIP_HEADER = 30  # bytes of a member's own header before its name; the lengths of name and extra field end it


class FolderSet(BaseSet):
    """The pictures below a folder, in the order of their names, read as they are asked for.

    Two or more folders with pictures are classes, as for `python -m mmdgan prepare`. The pictures are grey if all of
    them are, else RGB.
    """

    def __init__(self, path: str | Path, *, progress: Callable[[str], object] | None = None) -> None:
        """Looks at every file once: at its size, its colours and its content's checksum.

        Args:
            path: a folder, or a .zip or .tar of one.
            progress: takes a sentence every ten seconds.

        Raises:
            DataError: no pictures, one that is broken, or pictures of different sizes.
        """
        path = Path(path)
        container = recognise(path)
        if container is None:
            raise DataError(f"{path} is no folder of pictures, no archive of one and no .npz file of images.")
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
        (width, height), grey = self._look(progress)
        self.shape = (height, width, 1 if grey else 3)

    def _look(self, progress: Callable[[str], object] | None) -> tuple[tuple[int, int], bool]:
        """Reads all files; returns the size (width, height) of the pictures, and whether all are grey."""
        size: Any = None
        grey, digests, said = True, [], time.monotonic()
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
            if progress and time.monotonic() - said > 10:
                progress(f"Looking at the pictures of {self.name}: {index:,} of {self.count:,}")
                said = time.monotonic()
        self._digests = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
        return size, grey

    def _form(self, index: int, content: bytes | Broken) -> tuple[tuple[int, int], bool]:
        """The size (width, height) that a file declares, and whether it is grey."""
        from PIL import Image

        if isinstance(content, Broken):
            raise self._broken(index, str(content))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                    return image.size, image.mode in GREY or image.mode.startswith("I")
        except Exception as error:  # what Pillow raises for damaged files is not confined to any list
            raise self._broken(index, f"cannot be read as an image of {', '.join(FORMATS)}") from error

    def _broken(self, index: int, reason: str) -> DataError:
        return DataError(f"{self._files.where(index)} {reason}; remove it from the pictures, or get it again.")

    def fingerprint(self) -> str:
        """See `ImageSet`: of the files' contents, so that it stays when they are moved or renamed in order."""
        digest = new_digest("files", self.shape)
        digest.update(self._digests.data)
        return finish(digest, self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """See `ImageSet`.

        Raises:
            DataError: a file that is broken, gone or changed.
        """
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
        """See `ImageSet`."""
        part = copy.copy(self)
        part._files, part._digests, part.count = self._files.take(indices), self._digests[indices], len(indices)
        part.labels = None if self.labels is None else self.labels[indices]
        return part


def open_npz(path: Path) -> ArraySet:
    """The images in a .npz file, memory-mapped.

    A compressed array is unpacked into a temporary file first, which is gone when the array is.

    Args:
        path: a file with the key `images` or `arr_0`, uint8 (N, H, W, C), and maybe `labels`, integers (N,).

    Raises:
        DataError: a file that cannot be read, or without images.
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
