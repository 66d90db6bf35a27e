"""Any source of images to TFRecords with their sidecar, with a line of progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

from mmdgan.data.catalog import DataInfo
from mmdgan.data.sidecar import Sidecar
from mmdgan.data.sources import cifar_binary, class_folders
from mmdgan.data.sources.base import Blocks, ImageSource
from mmdgan.data.tfrecords import write_records
from mmdgan.errors import DataError

SHARD_BYTES = 32 * 2**20
PROGRESS_SECONDS = 2.0


def find_source(path: str | Path, info: DataInfo) -> ImageSource:
    """Recognises by its content what a person named as the source of a data set.

    Args:
        path: a file or a folder.
        info: the data set that it should be.

    Returns:
        the source; nothing but names and sizes was read.

    Raises:
        DataError: a path that does not exist or holds nothing that is known.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"The source {path} of {info.name} does not exist.")
    source = cifar_binary.find(path, info.class_names) if info.name == "cifar10" else None
    source = source or class_folders.find(path, info.shape, info.num_class)
    if source is None:
        hint = "unpack it first" if path.is_file() else "name the folder that holds them"
        raise DataError(
            f"The source {path} holds neither {info.name}'s official binary files nor one folder of images "
            f"per class: {hint}."
        )
    return source


def convert(source: ImageSource, info: DataInfo, folder: Path, progress: Callable[[str], object] = print) -> Sidecar:
    """Converts a source to records `<name>-<shard>-of-<shards>.tfrecords` and `<name>.json`.

    Args:
        source: what to read.
        info: the data set that it should be.
        folder: where the records go; it is made if need be.
        progress: takes lines of text: images so far, images/s, time left.

    Returns:
        the sidecar, which was written last.

    Raises:
        DataError: images of another shape, another number of classes, or a folder that cannot be written.
    """
    if source.class_names and len(source.class_names) != info.num_class:
        raise DataError(
            f"{source.origin} has {len(source.class_names)} classes where {info.name} has {info.num_class}."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be made ({error.strerror}).") from error
    note = f" ({source.note})" if source.note else ""
    progress(f"Converting {source.origin} to {folder}: {source.count:,} images{note}")
    shards = max(1, math.ceil(source.count * math.prod(info.shape) / SHARD_BYTES))
    blocks = _watched(source, info, progress)
    sidecar = Sidecar(
        name=info.name,
        shape=info.shape,
        labels=bool(source.class_names),
        class_names=source.class_names,
        origin=source.origin,
        shards=write_records(folder, info.name, blocks, source.count, shards),
    )
    sidecar.write(folder)
    return sidecar


def _watched(source: ImageSource, info: DataInfo, progress: Callable[[str], object]) -> Blocks:
    """The source's blocks, with their shape checked and progress told."""
    start = last = time.monotonic()
    done = 0
    for images, labels in source.blocks():
        if images.shape[1:] != info.shape:
            raise DataError(f"{source.origin} holds images {images.shape[1:]} where {info.name} has {info.shape}.")
        yield images, labels
        done += len(images)
        now = time.monotonic()
        if now - last >= PROGRESS_SECONDS or done == source.count:
            rate = done / max(now - start, 1e-9)
            left = (source.count - done) / rate
            progress(f"{info.name}: {done:,} of {source.count:,} images, {rate:,.0f} images/s, {left:.0f} s left")
            last = now
