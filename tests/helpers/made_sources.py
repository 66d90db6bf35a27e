"""A small source of its own for tests of the conversion: what its items are is a function of their numbers."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.base import ImageSource, Item, Part


def picture(number: int, height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    """uint8 (H, W, C), the same for the same number."""
    return np.random.default_rng(number).integers(0, 256, (height, width, channels), np.uint8)


def encoded(image: np.ndarray | Image.Image, kind: str = "PNG", **options) -> bytes:
    """The content of an image file."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


@dataclass(frozen=True)
class MadePart(Part):
    """Pictures first .. stop - 1.

    Attributes:
        classes: the label is the number modulo this; 0 for none.
        version: stands for the modification time of the files.
        broken: the numbers of those that cannot be had.
        seconds: how long each takes.
        log: a file that gets a line for every part that is read; empty for none.
        ending: "killed" for a worker that dies at its first item, "crash" for one with a defect, "late" for a part that
            has fewer items than it says.
    """

    first: int
    stop: int
    classes: int = 10
    version: str = "1"
    broken: frozenset[int] = frozenset()
    seconds: float = 0.0
    log: str = ""
    ending: str = ""

    def __len__(self) -> int:
        return self.stop - self.first

    def items(self) -> Iterator[Item]:
        if self.log:
            with open(self.log, "a") as stream:
                print(self.first, os.getpid(), file=stream)
        if self.ending == "killed":
            os.kill(os.getpid(), 9)
        if self.ending == "crash":
            raise ZeroDivisionError("a defect")
        for number in range(self.first, self.stop - (self.ending == "short") + (self.ending == "long")):
            time.sleep(self.seconds)
            label = number % self.classes if self.classes else None
            if number in self.broken:
                yield Item(f"picture {number}", label, fault="is torn")
            elif number % 2:
                yield Item(f"picture {number}", label, encoded=encoded(picture(number)))
            else:
                yield Item(f"picture {number}", label, pixels=picture(number))

    def state(self) -> str:
        return f"{self.first} {self.stop} {self.version}"


def made_source(count: int, classes: int = 10, **options) -> ImageSource:
    """A source of `MadePart`s with these options."""
    return ImageSource(
        origin=Origin("made", "up", 1, count),
        count=count,
        part=lambda start, stop: MadePart(start, stop, classes, **options),
        class_names=tuple(f"class {k}" for k in range(classes)),
    )


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included, by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
