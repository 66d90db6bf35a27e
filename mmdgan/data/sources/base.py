"""What a source of images is: a listing that can be cut into parts, each of which another process can read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan.data.sidecar import Origin

if TYPE_CHECKING:
    import numpy as np

    from mmdgan.data.catalog import DataInfo


@dataclass(frozen=True)
class Request:
    """What is wanted of a source.

    Attributes:
        info: the data set that it should be.
        split: "train", or another part of the data set, such as "test".
        labels: "auto" for what the source has, "source" for an error when it has none, or "none".
        attributes: CelebA's attributes that make the classes.
        mapping: the file that says the classes of ImageNet's validation images.
    """

    info: DataInfo
    split: str = "train"
    labels: str = "auto"
    attributes: tuple[str, ...] = ()
    mapping: Path | None = None


@dataclass(frozen=True)
class Item:
    """One image as its source holds it: as pixels, as a file's content, or as the reason why neither can be had.

    Attributes:
        name: where it is, for messages: a path, "train.tar: n01440764_10026.JPEG", "record 17 of data_batch_1.bin".
        label: its class, or None.
        pixels: uint8 (H, W, C) with C 1 or 3, or None.
        encoded: the bytes of a file in any format that Pillow reads, or None.
        fault: why the image cannot be had, as the rest of a sentence that begins with `name`; or None.
    """

    name: str
    label: int | None = None
    pixels: np.ndarray | None = None
    encoded: bytes | None = None
    fault: str | None = None


class Part(ABC):
    """Some consecutive images of a source. It can be pickled, and holds no open file and no image."""

    @abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """Reads the images, exactly `len(self)` of them, in order. One that is broken has a `fault`.

        Raises:
            DataError: nothing of the part can be read any more, such as a file that is gone.
        """

    @abstractmethod
    def state(self) -> str:
        """A text that changes when the part does: names, sizes and modification times of what is read."""


@dataclass(frozen=True)
class ImageSource:
    """Images to convert.

    Attributes:
        origin: what they are, in words and sizes.
        count: how many there are.
        part: (start, stop) -> the images start .. stop - 1.
        class_names: one name per class; empty without labels.
        size: (width, height) that each image has or must have, before any resizing; None for any size.
        note: something a person should know, such as what was left aside; empty if nothing.
        channels: 1 for grey images, 3 for others; 0 where that is not known.
        divisible: whether small parts are worth while: not where there is nothing to decode, or where a part is found
            only by unpacking all that comes before it.
    """

    origin: Origin
    count: int
    part: Callable[[int, int], Part] = field(repr=False)
    class_names: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    note: str = ""
    channels: int = 0
    divisible: bool = True


def fewer_note(count: int, request: Request) -> str:
    """A note for `ImageSource` when the training images are not as many as were published; empty when they are."""
    published = request.info.count
    if request.split != "train" or published in (None, count):
        return ""
    return f"{count:,} images where {published:,} were published"
