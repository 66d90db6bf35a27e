"""STL-10's official binary version (Coates, Ng & Lee 2011): 96x96 images, each channel stored column by column.

unlabeled_X.bin holds 100,000 images without labels, on which the original trains; train_X.bin and test_X.bin hold
5,000 and 8,000 more, whose labels 1 to 10 are in train_y.bin and test_y.bin; class_names.txt names the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdgan.data.sources.base import ImageSource, Request, source
from mmdgan.data.sources.byte_ranges import ByteRange
from mmdgan.data.sources.fixed_records import Release, Table, find_release, read_names

SHAPE = (3, 96, 96)


@source("stl10", words="the folder stl10_binary with unlabeled_X.bin")
def find(path: Path, request: Request) -> ImageSource | None:
    """Recognises the binary version; the split labelled is the publishers' train."""
    return find_release(path, request, _RELEASE)


def _tables(
    images: Sequence[ByteRange], labels: Sequence[ByteRange | None], num_class: int, labelled: bool
) -> list[Table]:
    return [
        Table(file, SHAPE, labels=apart, first_label=1, num_class=num_class, labelled=labelled, column_major=True)
        for file, apart in zip(images, labels, strict=True)
    ]


_RELEASE = Release(
    kind="STL-10 binary",
    shape=SHAPE,
    splits={"train": ("unlabeled_X.bin",), "labelled": ("train_X.bin",), "test": ("test_X.bin",)},
    labels={"train_X.bin": "train_y.bin", "test_X.bin": "test_y.bin"},
    names="class_names.txt",
    classes=("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
    folders=("stl10_binary",),
    archives=("stl10_binary.tar", "stl10_binary.tar.gz"),
    unpacks=True,
    read_names=read_names,
    tables=_tables,
)
