"""TensorFlow Datasets as a source: `tensorflow-datasets` downloads a data set into its own folder, once.

That library tries a download for minutes when there is no network, so the address is tried first, for some seconds.
Images are taken in the encoded form in which it stores them, so that all sources are decoded alike. Its usual files,
TFRecords, are read without TensorFlow, so that the processes of a conversion start at once and stay small; what is
stored otherwise is read through the library, in the order of the files.
"""

from __future__ import annotations

import logging
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.core.network import unreachable
from mmdgan.core.progress import Say
from mmdgan.core.text import nearest
from mmdgan.data.catalog import DataInfo
from mmdgan.data.records.framing import RecordError, corrupt, payloads
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.attributes import attribute_class, chosen_attributes, class_names
from mmdgan.data.sources.base import ImageSource, Item, Part, Request, cut
from mmdgan.data.sources.byte_ranges import named_faults, stamp, whole_file

if TYPE_CHECKING:
    import tensorflow as tf

LONGEST = 400  # characters of an exception that are quoted
KIND = "TensorFlow Datasets"
_BATCH = 64


def fetch(
    info: DataInfo, request: Request, say: Say, *, download: bool = True, data_dir: str | Path | None = None
) -> ImageSource:
    """Gets an image data set from the library's own folder, or by download.

    Args:
        info: The data set, whose `tfds` is its name as `tfds.builder` takes it: NAME[/CONFIG][:VERSION].
        request: What is asked for, with any split expression, such as "train[:10%]+test".
        say: Takes lines of text.
        download: Whether it may be downloaded.
        data_dir: The library's folder; by default its own choice, ~/tensorflow_datasets.

    Raises:
        DataError: The library or the network is missing, the download failed, there is no such data set or
            split, or it holds no images; the reason as a part of a sentence.
    """
    name = info.tfds
    try:
        import tensorflow_datasets as tfds

        with _quiet():
            builder = tfds.builder(name, data_dir=data_dir)
            prepared = builder.is_prepared()
        if not prepared:
            _download(builder, info.address, say, download)
        return from_builder(builder, request)
    except ImportError as error:
        missing = getattr(error, "name", None) or error
        raise DataError(f"the Python package {missing} is missing") from error
    except DataError:
        raise
    except Exception as error:  # whatever a builder, a server or a disk raises ends in the same sentence
        logging.getLogger(__name__).debug("TFDS failed", exc_info=True)
        raise DataError(_reason(error, name)) from error


def from_builder(builder: Any, request: Request) -> ImageSource:
    """The images of a prepared builder as a source, in the order of its files.

    Args:
        builder: A `tfds.core.DatasetBuilder`. Its feature `image`, or the only one that is an image, is taken; the
            classes are its feature `label`, or the only one that is a class, or those of the attributes asked for.
        request: What is asked for.

    Raises:
        DataError: No such split, no or several features to choose from, or no labels where they are asked for.
    """
    split = _split(request)
    try:
        found = builder.info.splits[split]
        count, files = found.num_examples, _files(builder, found)
    except (ValueError, KeyError, NotImplementedError) as error:
        known = ", ".join(sorted(builder.info.splits)) or "unknown"
        raise DataError(f"{builder.info.full_name} has no split {split!r}; its splits are {known}") from error
    columns, class_names, size = _columns(builder, request)
    title = builder.info.full_name

    def part(start: int, stop: int) -> Part:
        if files is not None:
            return file_part(files, start, stop, columns)
        return builder_part(builder, split, start, stop, columns)

    if columns.labels and count and _is_unlabelled(part(0, 1)):
        if request.labels == "source":
            raise DataError(f"the images of {title}'s split {split} have no labels")
        columns, class_names = Columns(columns.image), ()
    columns = replace(columns, classes=len(class_names))
    sizes = [Path(path).stat().st_size for path in {file.path for file in files or ()}]
    origin = Origin(KIND, title, len(sizes), sum(sizes))
    channels = builder.info.features[columns.image].shape[2]
    return ImageSource(
        origin,
        count,
        part,
        class_names,
        size or request.info.size,
        channels={None: 0, 1: 1}.get(channels, 3),
        encoded=True,
    )


def _download(builder: Any, address: str, say: Say, allowed: bool) -> None:
    """Makes the library download and prepare a data set, if its address answers."""
    title, folder = builder.info.full_name, builder.data_dir
    if not allowed:
        raise DataError(f"it has no {title} in {folder} yet, and --download is not given")
    if getattr(builder, "MANUAL_DOWNLOAD_INSTRUCTIONS", None):  # the library looks for a copy of the user's
        say(f"{KIND} has no {title} in {folder} yet; it must be downloaded by hand")
    else:
        address = next(iter(builder.url_infos or ()), address)
        say(f"{KIND} has no {title} in {folder} yet; trying {address or 'to download it'}")
        reason = unreachable(address) if address else None
        if reason:
            raise DataError(f"{address} cannot be reached ({reason})")
    builder.download_and_prepare()


def _split(request: Request) -> str:
    """The library's name of the split; DataError for an expression if the data set's splits have other names here."""
    renamed = dict(request.info.tfds_splits)
    split = request.split.strip()
    if renamed and not re.fullmatch(r"\w+", split):
        raise DataError(
            f"the splits of {request.info.name} are not those of {KIND}, so {split!r} is not clear; "
            f"prepare tfds:{request.info.tfds} for theirs"
        )
    return renamed.get(split, split)


def _files(builder: Any, split: Any) -> tuple[Piece, ...] | None:
    """The parts of files that make up a split; None where they are not TFRecords on a local disk."""
    from tensorflow_datasets.core.file_adapters import FileFormat

    if builder.info.file_format != FileFormat.TFRECORD or not split.num_examples:
        return None
    try:
        instructions = split.file_instructions
    except (AttributeError, ValueError):  # a builder that reads images in place
        return None
    pieces = tuple(Piece(str(file.filename), file.skip, file.take) for file in instructions)
    return pieces if all(Path(piece.path).is_file() for piece in pieces) else None


def _columns(builder: Any, request: Request) -> tuple[Columns, tuple[str, ...], tuple[int, int] | None]:
    """Which features to read; the classes' names; and (width, height) of the images where it is fixed."""
    import tensorflow_datasets as tfds

    title, features = builder.info.full_name, builder.info.features
    image = _only(features, "image", tfds.features.Image)
    if image is None:
        raise DataError(f"{title} has no image feature, or several and none named image: {', '.join(features)}")
    kind = np.dtype(features[image].np_dtype).name
    if kind not in ("uint8", "uint16"):
        raise DataError(f"the images of {title} are {kind}, not uint8 or uint16")
    height, width = features[image].shape[:2]
    size = (width, height) if height and width else None
    if request.labels == "none":
        return Columns(image), (), size
    if request.attributes and "attributes" not in features:
        raise DataError(f"{title} has no attributes, but {', '.join(features)}")
    if request.labels == "source" and "attributes" in features:
        chosen = chosen_attributes(request.attributes, tuple(features["attributes"]))
        keys = tuple(f"attributes/{name}" for name in chosen)
        return Columns(image, keys, attributes=True), class_names(chosen), size
    label = _only(features, "label", tfds.features.ClassLabel)
    if label is not None and features[label].num_classes:
        return Columns(image, (label,)), tuple(features[label].names), size
    if request.labels == "source":
        raise DataError(f"{title} has no labels, or several and none named label: {', '.join(features)}")
    return Columns(image), (), size


def _only(features: Any, name: str, kind: type) -> str | None:
    """The feature of this name and kind, else the only one of this kind, else None."""
    found = [key for key, feature in features.items() if isinstance(feature, kind)]
    return name if name in found else found[0] if len(found) == 1 else None


def _is_unlabelled(part: Part) -> bool:
    """Whether the first image says that its split has no labels: by the label -1, as that library does."""
    return next(iter(part.items())).label == -1


def _reason(error: Exception, name: str) -> str:
    """An exception of the library as a part of a sentence: one short line."""
    text = textwrap.shorten(str(error), LONGEST, placeholder=" ...") or "failed"
    if type(error).__name__ == "DatasetNotFoundError":
        import tensorflow_datasets as tfds

        wanted = re.split("[/:]", name)[0]
        return f"it has no data set {wanted}{nearest(wanted, tfds.list_builders(with_community_datasets=False))}"
    text = re.sub(r'^Failed to construct dataset ".*?", builder_kwargs ".*?": ', "", text).rstrip(". ")
    return f"{type(error).__name__}: {text}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the library's warning that a folder lacks a file, which only means that there is no data yet."""

    def relevant(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Variant folder")

    logger = logging.getLogger("absl")
    logger.addFilter(relevant)
    try:
        yield
    finally:
        logger.removeFilter(relevant)


@dataclass(frozen=True)
class Columns:
    """Which features of an example are read."""

    image: str  # the feature that holds an image
    # the feature that is the class, or the attributes that make it, as "attributes/Male"; empty: no labels
    labels: tuple[str, ...] = ()
    attributes: bool = False  # whether `labels` are attributes
    classes: int = 0  # number of classes, to check labels against; 0: not checked

    def item(self, name: str, encoded: bytes, values: Sequence[int]) -> Item:
        """One image, with the class that the values of the features `labels` make."""
        if not values:
            return Item(name, encoded=encoded)
        if self.attributes:
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
            path, number = Path(piece.path), piece.skip
            try:
                with named_faults(path):
                    for data in islice(payloads(path, piece.skip), piece.take):
                        yield _item(f"record {number} of {path.name}", data, self.columns)
                        number += 1
                if number < piece.skip + piece.take:
                    raise corrupt(path, number)
            except RecordError as error:
                remedy = f"remove the folder {path.parent} and get the data set again"
                raise DataError(f"Record {error.number} of {path} {error.what}; {remedy}.") from error

    def state(self) -> str:
        return repr((self.columns, [(piece, whole_file(Path(piece.path)).stamp) for piece in self.pieces]))


@dataclass(frozen=True)
class BuilderPart(Part):
    """Consecutive examples of splits, read by the library."""

    builder: Any  # the library's builder; None in another process, which opens `folder` itself
    # where the library prepared the data set; None if the builder reads images in place: such a builder gives whole
    # splits only
    folder: str | None
    title: str  # the data set's name and version
    # (split, first example, end) of each of the splits that are read one after another
    slices: tuple[tuple[str, int, int], ...]
    columns: Columns  # the features that are read

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
        folder = Path(self.folder) if self.folder else None
        files = sorted(folder.iterdir()) if folder and folder.is_dir() else []
        return repr((self.title, self.slices, self.columns, [(file.name, stamp(file.stat())) for file in files]))

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
    chosen = cut((piece.take for piece in pieces), start, stop)
    return FilePart(tuple(Piece(pieces[i].path, pieces[i].skip + a, b - a) for i, a, b in chosen), columns)


def builder_part(builder: Any, split: str, start: int, stop: int, columns: Columns) -> BuilderPart:
    """The examples start .. stop - 1 of a split expression."""
    from tensorflow_datasets.core.splits import AbstractSplit

    splits = builder.info.splits
    whole = [
        (part.splitname, part.from_ or 0, splits[part.splitname].num_examples if part.to is None else part.to)
        for part in AbstractSplit.from_spec(split).to_absolute(splits)
    ]
    chosen = cut((high - low for _, low, high in whole), start, stop)
    slices = tuple((whole[i][0], whole[i][1] + first, whole[i][1] + last) for i, first, last in chosen)
    prepared = (Path(builder.data_dir) / "dataset_info.json").exists()
    folder = str(builder.data_dir) if prepared else None
    return BuilderPart(builder, folder, builder.info.full_name, slices, columns)


def _item(where: str, data: bytes | None, columns: Columns) -> Item:
    """One example as an item; its data are None if their checksum is wrong."""
    if data is None:
        return Item(where, fault="is corrupt: its checksum is wrong")
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
