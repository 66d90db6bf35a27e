"""TensorFlow Datasets as a source: `tensorflow-datasets` downloads a data set into its own folder, once.

That library tries a download for minutes when there is no network; so the address is tried first, for some
seconds. Images are taken as it stores them, in encoded form, so that all sources are decoded alike.
"""

from __future__ import annotations

import difflib
import http.client
import logging
import re
import textwrap
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmdgan.data.catalog import DataInfo
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.base import ImageSource, Part, Request
from mmdgan.data.sources.tfds_parts import Columns, Piece, builder_part, file_part
from mmdgan.errors import DataError

PATIENCE = 8.0  # seconds to wait for a first answer from the download's address
LONGEST = 400  # characters of an exception that are quoted
KIND = "TensorFlow Datasets"


def fetch(
    info: DataInfo,
    request: Request,
    progress: Callable[[str], object],
    *,
    download: bool = True,
    data_dir: str | Path | None = None,
) -> ImageSource:
    """Gets an image data set from the library's own folder, or by download.

    Args:
        info: the data set, whose `tfds` is its name as `tfds.builder` takes it: NAME[/CONFIG][:VERSION].
        request: what is wanted of it; any split expression will do, such as "train[:10%]+test".
        progress: takes lines of text.
        download: whether it may be downloaded.
        data_dir: the library's folder; by default its own choice, ~/tensorflow_datasets.

    Returns:
        the source.

    Raises:
        DataError: the library or the network is missing, the download failed, there is no such data set or
            split, or it holds no images; the reason as a part of a sentence.
    """
    name = info.tfds
    try:
        import tensorflow_datasets as tfds

        with _without_talk():
            builder = tfds.builder(name, data_dir=data_dir)
            prepared = builder.is_prepared()
        if not prepared:
            _download(builder, info.address, progress, download)
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
        builder: a `tfds.core.DatasetBuilder`. Its feature `image`, or the only one that is an image, is taken; the
            classes are its feature `label`, or the only one that is a class, or those of the wanted attributes.
        request: what is wanted of it.

    Returns:
        the source. Where the library stores records, its parts are read without TensorFlow.

    Raises:
        DataError: no such split, no or several features to choose from, or no labels where they are wanted.
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
        channels=channels and (1 if channels == 1 else 3) or 0,
    )


def unreachable(address: str, seconds: float = PATIENCE) -> str | None:
    """Why an address does not answer within some seconds, or None when it does.

    Looking a name up cannot be given a time limit, so it happens in a thread that is left behind if it hangs.
    """
    answer: list[str | None] = []

    def knock() -> None:
        request = urllib.request.Request(address, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=seconds).close()
            answer.append(None)
        except urllib.error.HTTPError:
            answer.append(None)
        except (OSError, ValueError, http.client.HTTPException) as error:
            answer.append(str(getattr(error, "reason", error)))

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else f"no answer within {seconds:g} seconds"


def _download(builder: Any, address: str, progress: Callable[[str], object], allowed: bool) -> None:
    """Lets the library download and prepare a data set, if its address answers."""
    title, folder = builder.info.full_name, builder.data_dir
    if not allowed:
        raise DataError(f"it has no {title} in {folder} yet, and --download is not given")
    if getattr(builder, "MANUAL_DOWNLOAD_INSTRUCTIONS", None):  # the library looks for a person's copy
        progress(f"{KIND} has no {title} in {folder} yet; it must be downloaded by hand")
    else:
        address = next(iter(builder.url_infos or ()), address)
        progress(f"{KIND} has no {title} in {folder} yet; trying {address or 'to download it'}")
        reason = unreachable(address) if address else None
        if reason:
            raise DataError(f"{address} cannot be reached ({reason})")
    builder.download_and_prepare()


def _split(request: Request) -> str:
    """The split as the library calls it.

    Raises:
        DataError: an expression about a data set whose splits have other names here.
    """
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
    except (AttributeError, ValueError):  # a builder that reads somebody's images where they are
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
        from mmdgan.data.sources import celeba

        chosen = celeba.chosen_attributes(request.attributes, tuple(features["attributes"]))
        keys = tuple(f"attributes/{name}" for name in chosen)
        return Columns(image, keys, attributes=True), celeba.class_names(chosen), size
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
    """An exception of the library as a part of a sentence: one line, and not a long one."""
    text = textwrap.shorten(str(error), LONGEST, placeholder=" ...") or "failed"
    if type(error).__name__ == "DatasetNotFoundError":
        import tensorflow_datasets as tfds

        wanted = re.split("[/:]", name)[0]
        near = difflib.get_close_matches(wanted, tfds.list_builders(with_community_datasets=False), 1, 0.5)
        return f"it has no data set {wanted}" + (f", but {near[0]}" if near else "")
    text = re.sub(r'^Failed to construct dataset ".*?", builder_kwargs ".*?": ', "", text).rstrip(". ")
    return f"{type(error).__name__}: {text}"


@contextmanager
def _without_talk() -> Iterator[None]:
    """Holds back the library's warning that a folder lacks a file, which only says that there is no data yet."""

    def relevant(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Variant folder")

    logger = logging.getLogger("absl")
    logger.addFilter(relevant)
    try:
        yield
    finally:
        logger.removeFilter(relevant)
