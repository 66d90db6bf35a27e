"""Parts of a data set as TensorFlow Datasets stores it.

Its usual files, TFRecords, are read without TensorFlow, so that the processes of a conversion start at once and
stay small. What is stored otherwise is read through the library, in the order of the files.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mmdgan.data.sources.base import Item, Part
from mmdgan.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

_HEAD, _TAIL = 12, 4  # bytes before and after a record's data: length and its checksum; the data's checksum
_BATCH = 64


@dataclass(frozen=True)
class Columns:
    """Which features of an example are read.

    Attributes:
        image: the one that holds an image.
        labels: the one that is the class, or the attributes that make it, as "attributes/Male"; empty: no labels.
        attributes: whether `labels` are attributes.
        classes: the number of classes, to check labels against; 0: not checked.
    """

    image: str
    labels: tuple[str, ...] = ()
    attributes: bool = False
    classes: int = 0

    def item(self, name: str, encoded: bytes, values: Sequence[int]) -> Item:
        """One image, with the class that the values of the features `labels` make."""
        if not values:
            return Item(name, encoded=encoded)
        if self.attributes:
            from mmdgan.data.sources.celeba import attribute_class

            return Item(name, attribute_class([bool(value) for value in values]), encoded=encoded)
        label = int(values[0])
        if self.classes and not 0 <= label < self.classes:
            return Item(name, fault=f"has label {label} where there are {self.classes} classes")
        return Item(name, label, encoded=encoded)


@dataclass(frozen=True)
class Piece:
    """Some consecutive records of a file: `take` of them after the first `skip`."""

    path: str
    skip: int
    take: int


@dataclass(frozen=True)
class FilePart(Part):
    """Consecutive records of TFRecord files that the library wrote."""

    pieces: tuple[Piece, ...]
    columns: Columns

    def __len__(self) -> int:
        return sum(piece.take for piece in self.pieces)

    def items(self) -> Iterator[Item]:
        for piece in self.pieces:
            with _named(piece.path), open(piece.path, "rb") as stream:
                yield from _items(stream, piece, self.columns)

    def state(self) -> str:
        files = []
        for piece in self.pieces:
            with _named(piece.path):
                stat = os.stat(piece.path)
            files.append((piece, stat.st_size, stat.st_mtime_ns))
        return repr((self.columns, files))


@dataclass(frozen=True)
class BuilderPart(Part):
    """Consecutive examples of splits, read by the library.

    Attributes:
        builder: the library's; None in another process, which opens `folder` itself.
        folder: where the library prepared the data set; None if the builder reads somebody's images where they
            are: such a one gives whole splits only.
        title: of the data set, with its version.
        slices: (split, first example, end) of each of the splits that are read after another.
        columns: what is read of them.
    """

    builder: Any
    folder: str | None
    title: str
    slices: tuple[tuple[str, int, int], ...]
    columns: Columns

    def __len__(self) -> int:
        return sum(stop - start for _, start, stop in self.slices)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "builder": None if self.folder else self.builder}

    def items(self) -> Iterator[Item]:
        import tensorflow as tf
        import tensorflow_datasets as tfds

        builder = self.builder or tfds.builder_from_directory(self.folder)
        for split, start, stop in self.slices:
            number = start
            try:
                for encoded, *values in self._read(tfds, builder, split, start, stop):
                    yield self.columns.item(f"{self.title} {split}[{number}]", encoded, values)
                    number += 1
            except tf.errors.OpError as error:
                first = (error.message or "failed").splitlines()[0]
                raise DataError(f"{self.title} {split}[{number}] cannot be read: {first}.") from error
            if number != stop:
                raise DataError(f"{self.title} has {number - start} examples in {split}[{start}:{stop}].")

    def state(self) -> str:
        stamp: Any = ""
        if self.folder:
            files = sorted(Path(self.folder).iterdir()) if os.path.isdir(self.folder) else []
            stamp = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return repr((self.title, self.slices, self.columns, stamp))

    def _read(self, tfds: Any, builder: Any, split: str, start: int, stop: int) -> Iterator[tuple]:
        """The encoded image and the labels' values of each example."""
        keys = (self.columns.image, *self.columns.labels)
        wanted: dict[str, Any] = {}
        for key in keys:
            *outer, last = key.split("/", 1) if key.startswith("attributes/") else (key,)
            (wanted.setdefault(outer[0], {}) if outer else wanted)[last] = True
        decoders = {self.columns.image: tfds.decode.SkipDecoding()}
        if self.folder:
            examples: tf.data.Dataset = builder.as_dataset(
                split=tfds.core.ReadInstruction(split, from_=start, to=stop, unit="abs"),
                decoders=tfds.decode.PartialDecoding(wanted, decoders=decoders),
                read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),  # the files' order
            )
        else:
            examples = builder.as_dataset(split=split, decoders=decoders).skip(start).take(stop - start)
        for batch in tfds.as_numpy(examples.batch(_BATCH)):
            columns = [batch[key] if key in batch else batch["attributes"][key.split("/", 1)[1]] for key in keys]
            yield from zip(*columns, strict=True)


def file_part(pieces: Sequence[Piece], start: int, stop: int, columns: Columns) -> FilePart:
    """The records start .. stop - 1 of all that the pieces hold."""
    chosen, first = [], 0
    for piece in pieces:
        begin, end = max(start - first, 0), min(stop - first, piece.take)
        if begin < end:
            chosen.append(Piece(piece.path, piece.skip + begin, end - begin))
        first += piece.take
    return FilePart(tuple(chosen), columns)


def builder_part(builder: Any, split: str, start: int, stop: int, columns: Columns) -> BuilderPart:
    """The examples start .. stop - 1 of a split expression."""
    from tensorflow_datasets.core.splits import AbstractSplit

    splits = builder.info.splits
    slices, first = [], 0
    for part in AbstractSplit.from_spec(split).to_absolute(splits):
        count = splits[part.splitname].num_examples
        low, high = part.from_ or 0, count if part.to is None else part.to
        begin, end = max(start - first, 0), min(stop - first, high - low)
        if begin < end:
            slices.append((part.splitname, low + begin, low + end))
        first += high - low
    prepared = (Path(builder.data_dir) / "dataset_info.json").exists()
    folder = str(builder.data_dir) if prepared else None
    return BuilderPart(builder, folder, builder.info.full_name, tuple(slices), columns)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Names the file that the system refuses."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error


def _items(stream: BinaryIO, piece: Piece, columns: Columns) -> Iterator[Item]:
    """The records of a piece. A wrong length ends the file, as what follows cannot be found."""
    from mmdgan.data.records import masked_crc

    size, name = os.fstat(stream.fileno()).st_size, Path(piece.path).name
    remedy = f"remove the folder {Path(piece.path).parent} and get the data set again"
    position = 0
    for number in range(piece.skip + piece.take):
        stream.seek(position)
        head = stream.read(_HEAD)
        sound = len(head) == _HEAD and masked_crc(head[:8]) == struct.unpack("<I", head[8:])[0]
        length = struct.unpack("<Q", head[:8])[0] if sound else size
        end = position + _HEAD + length + _TAIL
        if end > size:
            raise DataError(f"Record {number} of {piece.path} is corrupt: its length or its end is wrong; {remedy}.")
        if number >= piece.skip:
            data = stream.read(length)
            where = f"record {number} of {name}"
            if masked_crc(data) != struct.unpack("<I", stream.read(_TAIL))[0]:
                yield Item(where, fault="is corrupt: its checksum is wrong")
            else:
                yield _item(where, data, columns)
        position = end


def _item(where: str, data: bytes, columns: Columns) -> Item:
    """One example as an item."""
    from google.protobuf.message import DecodeError
    from tensorflow_datasets.proto import tf_example_pb2

    try:
        features = tf_example_pb2.Example.FromString(data).features.feature
    except DecodeError:
        return Item(where, fault="is not a tf.train.Example")
    images: Any = features[columns.image].bytes_list.value if columns.image in features else ()
    labels: list[Any] = [features[key].int64_list.value if key in features else () for key in columns.labels]
    if len(images) != 1 or any(len(values) != 1 for values in labels):
        return Item(where, fault=f"has not one value in each of {', '.join((columns.image, *columns.labels))}")
    return columns.item(where, images[0], [values[0] for values in labels])
