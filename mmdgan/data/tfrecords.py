"""TFRecords in the original's format: one Example per image.

'x' is one bytes feature, the image's uint8 values in (C, H, W) order; 'y', optional, is one int64, its class.
The records hold no shape: it comes from the sidecar, or from the catalogue for the original's own files.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mmdgan.data.sidecar import Shard
from mmdgan.errors import DataError

SUFFIX = ".tfrecords"
_READ_BATCH = 512
_FRAME = 16  # bytes around a record's data: length (8), its checksum (4), the data's checksum (4)
_STALE_SECONDS = 3600


def serialize(image: np.ndarray, label: int | None = None) -> bytes:
    """One image uint8 (C, H, W) and its label as a tf.train.Example; the same input gives the same bytes."""
    import tensorflow as tf

    features = {"x": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()]))}
    if label is not None:
        features["y"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[int(label)]))
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def write_records(
    folder: Path,
    name: str,
    blocks: Iterable[tuple[np.ndarray, np.ndarray | None]],
    count: int,
    num_shards: int = 1,
) -> tuple[Shard, ...]:
    """Writes images as `<name>-<shard>-of-<shards>.tfrecords`; the names appear when all are complete.

    Args:
        folder: where; it exists. A file of the same name in it is kept with `.old` after its name.
        name: the data set's name.
        blocks: images uint8 (n, C, H, W) with labels (n,) or None, in order.
        count: the number of images in all blocks.
        num_shards: the number of files; their sizes differ by one image at most.

    Returns:
        the files and how many images each holds.

    Raises:
        DataError: another number of images than announced, or a file that cannot be written.
    """
    ends = [(shard + 1) * count // num_shards for shard in range(num_shards)]
    files = [folder / f"{name}-{shard:05d}-of-{num_shards:05d}{SUFFIX}" for shard in range(num_shards)]
    images = ((image, label) for block in blocks for image, label in _pairs(*block))
    with _temporary(files) as temporaries:
        written = 0
        for file, temporary, end in zip(files, temporaries, ends, strict=True):
            with _writer(temporary, file) as writer:
                for image, label in images:
                    writer.write(serialize(image, label))
                    written += 1
                    if written == end:
                        break
        if written != count or next(images, None) is not None:
            raise DataError(f"The source of {name} gave another number of images than the {count} it announced.")
        for file, temporary in zip(files, temporaries, strict=True):
            if file.exists():
                file.replace(file.with_name(f"{file.name}.old"))
            temporary.replace(file)
    starts = [0, *ends]
    return tuple(Shard(file.name, end - start) for file, start, end in zip(files, starts, ends, strict=False))


def read_records(
    files: Sequence[Path], shape: tuple[int, int, int], counts: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads files of records into memory, checking every checksum.

    Args:
        files: in the order of their images.
        shape: (C, H, W) of one image.
        counts: the number of images that each file should hold, when known.

    Returns:
        images uint8 (N, C, H, W), and labels int64 (N,) or None.

    Raises:
        DataError: a file that is missing, empty or shorter than `counts` says, a record with a wrong
            checksum, of another length or with foreign features, labels in some of the records only. The file
            and the record (counted from 0) are named.
    """
    found = [count_records(file) for file in files]
    for file, number, expected in zip(files, found, counts or found, strict=True):
        if number == 0 or number != expected:
            raise DataError(
                f"{file} holds {number} records where {expected or 'some'} are expected; convert the data set again."
            )
    images = np.empty((sum(found), *shape), np.uint8)
    labels = np.empty(sum(found), np.int64)
    labelled, start = set(), 0
    for file, number in zip(files, found, strict=True):
        part = slice(start, start + number)
        labelled.add(_read_file(file, images[part].reshape(number, -1), labels[part]))
        start += number
    if len(labelled) > 1:
        raise DataError(f"Some of the files in {files[0].parent} hold labels and some do not.")
    return images, labels if labelled.pop() else None


def check_shards(files: Sequence[Path]) -> None:
    """Raises a DataError when one of the files `...-<shard>-of-<shards>.tfrecords` is missing."""
    for file in files:
        match = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})", file.stem)
        for shard in range(int(match[2]) if match else 0):
            other = file.with_name(f"{match[1]}-{shard:05d}-of-{match[2]}{SUFFIX}")
            if not other.is_file():
                raise DataError(f"{other} is missing beside {file.name}; convert the data set again.")


def count_records(file: Path) -> int:
    """Counts the records of a file by their lengths, without reading their data.

    Raises:
        DataError: a missing file, or one whose lengths do not add up to its size.
    """
    if not file.is_file():
        raise DataError(f"{file} is missing; convert the data set again.")
    size = file.stat().st_size
    if size == 0:
        return 0
    with open(file, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        position = count = 0
        while position + _FRAME <= size:
            position += _FRAME + struct.unpack_from("<Q", content, position)[0]
            count += 1
    if position != size:
        raise _first_fault(file, None, whole=False)
    return count


def _read_file(file: Path, images: np.ndarray, labels: np.ndarray) -> bool:
    """Fills images (n, C*H*W) and labels (n,) from one file; returns whether it holds labels."""
    import tensorflow as tf

    features = {"x": tf.io.FixedLenFeature([], tf.string), "y": tf.io.RaggedFeature(tf.int64)}
    records = tf.data.TFRecordDataset(str(file)).batch(_READ_BATCH)
    parsed = records.map(lambda batch: tf.io.parse_example(batch, features)).prefetch(2)
    labelled, start = set(), 0
    try:
        for batch in parsed:
            values = batch["x"].numpy()
            part = slice(start, start + len(values))
            images[part] = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), -1)
            numbers = np.unique(batch["y"].row_lengths())
            if numbers.tolist() == [1]:
                labels[part] = batch["y"].values
            elif numbers.tolist() != [0]:
                raise ValueError("not one label each")
            labelled.add(bool(numbers[0]))
            start = part.stop
    except (tf.errors.OpError, ValueError) as error:
        raise _first_fault(file, images.shape[1], whole=True) from error
    if len(labelled) != 1:
        raise DataError(f"{file} holds labels in some of its records only.")
    return labelled.pop()


def _first_fault(file: Path, size: int | None, whole: bool) -> DataError:
    """The error that names the first faulty record of a file, found by reading one at a time.

    A tail shorter than a record's header ends TensorFlow's reading without an error; `whole` says that the
    lengths add up to the file's size.
    """
    import tensorflow as tf

    number = 0
    remedy = "get the file anew or convert the data set again"
    try:
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            fault = _fault(record, size)
            if fault:
                return DataError(f"Record {number} of {file} {fault}; {remedy}.")
            number += 1
    except tf.errors.DataLossError:
        whole = False
    if not whole:
        return DataError(f"Record {number} of {file} is corrupt: its checksum or its end is wrong; {remedy}.")
    return DataError(f"{file} cannot be read: some records have a label 'y' and some do not; {remedy}.")


def _fault(record: bytes, size: int | None) -> str | None:
    """What is wrong with one record whose image should have `size` bytes (None: unknown), or None."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        return "is not a tf.train.Example"
    values = features["x"].bytes_list.value if "x" in features else ()
    if len(values) != 1:
        return f"has no image 'x' of one bytes value (its features: {', '.join(sorted(features)) or 'none'})"
    if size is not None and len(values[0]) != size:
        return f"holds an image of {len(values[0])} bytes where {size} are expected"
    if "y" in features and len(features["y"].int64_list.value) != 1:
        return "has a label 'y' that is not one integer"
    return None


def _pairs(images: np.ndarray, labels: np.ndarray | None) -> Iterator[tuple[np.ndarray, int | None]]:
    return zip(images, [None] * len(images) if labels is None else labels, strict=True)


@contextmanager
def _writer(temporary: Path, file: Path) -> Iterator:
    """A TFRecordWriter whose failures (no space, no permission) name the file meant."""
    import tensorflow as tf

    try:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            yield writer
    except tf.errors.OpError as error:
        raise DataError(f"{file} cannot be written: {error.message}.") from error


@contextmanager
def _temporary(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Names to write under until all is complete; what is left of them goes, and so do a killed process's."""
    for part in files[0].parent.glob(f"*{SUFFIX}.*.part"):
        if time.time() - part.stat().st_mtime > _STALE_SECONDS:
            part.unlink(missing_ok=True)
    temporaries = [file.with_name(f"{file.name}.{os.getpid()}.part") for file in files]
    try:
        yield temporaries
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)
