"""What a source of images is: a listing that can be cut into parts, each of which another process can read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmdgan.core.options import option
from mmdgan.data.sidecar import Origin

if TYPE_CHECKING:
    import numpy as np

    from mmdgan.data.catalog import DataInfo

_WHERE, _IMAGES, _CLASSES, _RESULT = "where from", "images", "classes", "result"


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How a data set is prepared: the options of `prepare`, which are its flags too."""

    source: str | Path | None = option(None, "the official files, or images in folders, as a folder or archive", _WHERE)
    download: bool = option(False, "let TensorFlow Datasets download what it does not have", _WHERE)
    split: str = option("train", "the part of the data set, such as test; of tfds: any split expression", _WHERE)
    checksum: bool = option(False, "compare the official files with their publishers' MD5 sums first", _WHERE)
    size: int | None = option(
        None,
        "pixels of a side: images are scaled to cover it (Lanczos); none: a named set as the original makes it, other "
        "images as they are, which must then be of one size",
        _IMAGES,
        least=1,
        also="image_size img_size resolution",
    )
    crop: str = option("center", "with --size: cut the middle out, or leave all", _IMAGES, ("center", "none"))
    channels: int | None = option(
        None, "1: grey images (luma of ITU-R 601), 3: RGB; none: what a named set has, RGB of your own images", _IMAGES
    )
    skip_broken: bool = option(False, "leave broken images out and list them, instead of stopping", _IMAGES)
    labels: str = option(
        "auto",
        "auto: those there are (of CelebA none); source or folders: an error if there are none",
        _CLASSES,
        ("auto", "none", "source", "folders"),
    )
    attributes: tuple[str, ...] = option(
        (), "attributes of CelebA that make the classes, such as Male,Smiling", _CLASSES
    )
    mapping: str | Path | None = option(
        None, "the classes of ImageNet's validation images: lines of NAME WNID", _CLASSES
    )
    name: str | None = option(None, "the data set's name; none: NAME, with _SPLIT if that is not train", _RESULT)
    data_root: str | Path = option("Data", "the folder that holds the data sets", _RESULT)
    workers: int | None = option(None, "processes; none: one for each core", _RESULT, least=1)


@dataclass(frozen=True)
class Request(PrepareOptions):
    """What is asked of a source: the options of `prepare`, and what is known of the data set that it should be."""

    info: DataInfo


@dataclass(frozen=True)
class Item:
    """One image as its source holds it: as pixels, as a file's content, or as the reason why neither can be had."""

    name: str  # where it is, for messages: a path, "train.tar: n01440764_10026.JPEG", "record 17 of data_batch_1.bin"
    label: int | None = None  # its class, or None
    pixels: np.ndarray | None = None  # uint8 (H, W, C) with C 1 or 3, or None
    encoded: bytes | None = None  # the bytes of a file in any format that Pillow reads, or None
    fault: str | None = None  # why the image cannot be read, as the rest of a sentence that begins with `name`; or None


class Part(ABC):
    """Some consecutive images of a source. It can be pickled, and holds no open file and no image."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of images."""

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """Reads the images, exactly `len(self)` of them, in order. A broken one has a `fault`.

        Raises:
            DataError: Nothing of the part can be read, such as when a file is missing or has changed.
        """

    @abstractmethod
    def state(self) -> str:
        """A text that changes when the part does: names, sizes and modification times of what is read."""


@dataclass(frozen=True)
class ImageSource:
    """Images to convert."""

    origin: Origin  # what they are, in words and sizes
    count: int  # number of images
    part: Callable[[int, int], Part] = field(repr=False)  # (start, stop) -> the images start .. stop - 1
    class_names: tuple[str, ...] = ()  # one name per class; empty without labels
    # (width, height) that each image has or must have, before any resizing; None for any size
    size: tuple[int, int] | None = None
    note: str = ""  # what the user should know, such as what was left aside; may be empty
    channels: int = 0  # 1 for grey images, 3 for others; 0 if unknown
    # whether small parts are worth while: not where there is nothing to decode, or where a part is found only by
    # unpacking all that comes before it
    divisible: bool = True
    encoded: bool = False  # whether its images are files, whose metadata may say how they are to be turned


Finder = Callable[[Path, Request], ImageSource | None]


class Form(NamedTuple):
    """A form of source: how it is recognised, and for which data sets."""

    find: Finder
    names: tuple[str, ...]
    words: str
    own: bool


FORMS: list[Form] = []
"""All forms, in the order in which they are registered."""


def source(*names: str, words: str, own: bool = False) -> Callable[[Finder], Finder]:
    """Registers a function that recognises a form of source by its content.

    The function takes the path that the user named and what is asked for. It returns the source, of which only names,
    sizes and labels were read, or None when the path holds something else. It raises a DataError when the path holds
    that form, but it is broken, incomplete or not what is asked for.

    Args:
        *names: The data sets that can be made from it.
        words: What it is, for messages.
        own: Whether the user's own images may have this form; for the data sets above, such a form is tried last.
    """

    def register(find: Finder) -> Finder:
        FORMS.append(Form(find, names, words, own))
        return find

    return register


def cut(lengths: Iterable[int], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Where start .. stop - 1 are in consecutive sequences of these lengths: (which sequence, first, last + 1)."""
    before = 0
    for number, length in enumerate(lengths):
        first, last = max(start - before, 0), min(stop - before, length)
        if first < last:
            yield number, first, last
        before += length
        if before >= stop:
            return


def fewer_note(count: int, request: Request) -> str:
    """A note for `ImageSource` if the training images are not as many as were published; else empty."""
    published = request.info.count
    if request.split != "train" or published in (None, count):
        return ""
    return f"{count:,} images where {published:,} were published"
