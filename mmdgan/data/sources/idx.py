"""MNIST and Fashion-MNIST in their official form, IDX (LeCun, Cortes & Burges): big-endian sizes, then bytes.

A file of images begins with the number 0x803 and (n, H, W) as 32-bit integers, one of labels with 0x801 and (n).
Each may be compressed by gzip. Both data sets use the same names and sizes; the published checksums tell one from the
other.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

from mmdgan.core.errors import DataError
from mmdgan.data.sources import checksums
from mmdgan.data.sources.base import ImageSource, Request, source
from mmdgan.data.sources.byte_ranges import ByteRange, Contents, unpacked_file
from mmdgan.data.sources.fixed_records import Table, check_split, table_source

SPLITS = {"train": "train", "test": "t10k"}
FOLDERS = ("", "raw")
_IMAGES, _LABELS = "images", "labels"
_RANKS = {_IMAGES: 3, _LABELS: 1}


@source(
    "mnist",
    "fashion_mnist",
    words="a folder with train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz, unpacked or not",
)
def find(path: Path, request: Request) -> ImageSource | None:
    """Recognises the official files: their folder, the folder around a folder `raw`, or the file of the images."""
    for folder in [path / name for name in FOLDERS] if path.is_dir() else [path.parent]:
        files = [file for split in SPLITS for kind in _RANKS if (file := _file(folder, split, kind))]
        if files and (path.is_dir() or path in files):
            return _source(path, folder, request)
    return None


def _source(path: Path, folder: Path, request: Request) -> ImageSource:
    split, info = check_split(request, tuple(SPLITS)), request.info
    labelled = request.labels != "none"
    kinds = (_IMAGES, _LABELS) if labelled else (_IMAGES,)
    files = {kind: _file(folder, split, kind) for kind in kinds}
    for kind, file in files.items():
        if file is None:
            raise DataError(f"{folder} lacks {_names(split, kind)[0]} of the split {split}: download it as well.")
    if path.is_file() and path != files[_IMAGES]:
        raise DataError(f"{path} is not the file of the images of the split {split}: name {files[_IMAGES]}.")
    contents = {kind: unpacked_file(file) for kind, file in files.items() if file is not None}
    images, (_, height, width) = _body(contents[_IMAGES], _IMAGES)
    labels = _body(contents[_LABELS], _LABELS)[0] if labelled else None
    owner = checksums.owner(contents[kinds[-1]], _names(split, kinds[-1])[1])
    if owner not in (None, info.name):
        raise DataError(f"{path} holds {owner}, not {info.name}: name another folder, or prepare {owner}.")
    if info.size not in (None, (width, height)):
        raise DataError(
            f"{images.name} holds images of {width}x{height} pixels where {info.name} has {info.size[0]}x"
            f"{info.size[1]}: it is another data set; download it again."
        )
    shape = (1, height, width)
    table = Table(images, shape, labels=labels, num_class=len(info.class_names), labelled=labelled)
    classes = info.class_names if labelled else ()
    return table_source("IDX", path, list(contents.values()), [table], shape, classes, request)


def _file(folder: Path, split: str, kind: str) -> Path | None:
    return next((folder / name for name in _names(split, kind) if (folder / name).is_file()), None)


def _names(split: str, kind: str) -> list[str]:
    """The possible names of a file; the dot is a mistake of some programs that unpack it."""
    stems = [f"{SPLITS[split]}-{kind}{mark}idx{_RANKS[kind]}-ubyte" for mark in "-."]
    return [stem + ending for stem in stems for ending in (".gz", "")]


def _body(file: ByteRange, kind: str) -> tuple[ByteRange, tuple[int, ...]]:
    """Checks a file's header and length: its content after the header, and the sizes that the header gives."""
    header = struct.Struct(f">{1 + _RANKS[kind]}I")
    with Contents() as contents:
        begin = contents.read(file, 0, min(header.size, file.size))
    if len(begin) < header.size or begin[:4] != bytes([0, 0, 8, _RANKS[kind]]):
        raise DataError(f"{file.name} is not an IDX file of {kind}: it is damaged or another file; download it again.")
    sizes = header.unpack(begin)[1:]
    content = file.after(header.size)
    if content.size != math.prod(sizes) or not content.size:
        raise DataError(
            f"{file.name} holds {content.size:,} bytes where its header says {' x '.join(map(str, sizes))}: it is "
            "truncated or damaged; download it again."
        )
    return content, sizes
