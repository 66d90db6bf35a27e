"""Scores of any two sets of images in one call, from Python: folders or archives of pictures, .npz files, data sets.

found = mmdgan.metrics.score("generated.npz", "photos/", metrics=("fid", "prdc"), features="inception")
print(found)                # a table with the protocol
found["FID"]                # one number
found.records[0]["count"]   # its protocol
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdgan.core.errors import DataError, MetricError
from mmdgan.core.progress import Say, counter, log
from mmdgan.core.text import command
from mmdgan.data.catalog import DataInfo
from mmdgan.data.preparation.geometry import BrokenImage, Geometry, declared, load_image
from mmdgan.data.sources.archives import holds_arrays, recognise
from mmdgan.data.sources.arrays import read_arrays
from mmdgan.data.sources.base import Item, Request
from mmdgan.data.sources.byte_ranges import Broken
from mmdgan.data.sources.containers import FORMATS_READ, printable
from mmdgan.data.sources.folders import Pictures, split_named
from mmdgan.metrics.evaluate import EvaluateOptions, check_sets, evaluate_sets
from mmdgan.metrics.features.resolve import resolve
from mmdgan.metrics.records import format_table
from mmdgan.metrics.registry import get, identifiers, needs_features
from mmdgan.metrics.sets import (
    ArraySet,
    DataSet,
    ImageSet,
    check_count,
    finish_digest,
    new_digest,
    random_order,
)

if TYPE_CHECKING:
    from mmdgan.metrics.features.extractor import Extractor

Images = np.ndarray | str | os.PathLike | ImageSet
"""What `score` compares: an array, a folder, an archive, a .npz file, the name of a data set, or an opened set."""


class Scores(dict[str, float | None]):
    """Scores by their names; printed, a table.

    Attributes:
        records: One per score, with its protocol, as `evaluate_sets` returns them.
        notes: What a reader should know, such as which metrics were left out.
    """

    def __init__(self, records: Sequence[dict[str, Any]], notes: Iterable[str] = ()) -> None:
        super().__init__((record["metric"], record["value"]) for record in records)
        self.records, self.notes = list(records), tuple(notes)

    def __str__(self) -> str:
        return "\n".join([format_table(self.records), *self.notes])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # what a notebook shows


def score(
    generated: Images,
    real: Images,
    metrics: Iterable[str] | None = None,
    features: str | Extractor = "auto",
    *,
    count: int | None = None,
    seed: int = 0,
    options: EvaluateOptions | None = None,
    data_root: str | Path = "Data",
    inception: str | Path | None = None,
    classifier_data: str | None = None,
    resize: str | None = None,
    cache: str | os.PathLike | None = None,
    say: Say = log,
) -> Scores:
    """Scores images against real ones: any two sets, each given as an array or a path.

    Args:
        generated: uint8 (N, H, W, C); or a folder of pictures, a .zip or .tar of one, a .npz file, or the name of a
            data set.
        real: What to compare them with, in the same forms.
        metrics: Identifiers of `mmdgan.metrics.METRICS`. None: fid, is and kid if there are features for them, else
            those that need no features; the notes say which were left out and why.
        features: As `--features` of the command line: "auto", "inception", "classifier" or "keras:NAME"; or an
            extractor, as `mmdgan.metrics.resolve` returns them.
        count: Number of images of each set, chosen at random; None: all.
        seed: Seed of the order of the images and of random choices.
        options: How the metrics are computed.
        data_root: Folder of data sets, of the Inception graph and of trained classifiers.
        inception, classifier_data, resize: As of `mmdgan.metrics.resolve`.
        cache: Folder for computed features, which makes a second call quick; None keeps none.
        say: Takes one sentence at a time.

    Returns:
        The scores by name, such as {"FID": 12.3, ...}, with their records.

    Raises:
        DataError: One of the sets is not images, or holds fewer than `count`.
        MetricError: A metric is unknown or cannot be computed, or there are no features for one that was asked for.
    """
    sets = [
        _open(images, name, data_root, count, seed, say) for images, name in ((generated, "generated"), (real, "real"))
    ]
    notes: list[str] = []
    leave_out = notes.append if metrics is None else None
    wanted = tuple(metrics) if metrics is not None else ("fid", "is", "kid")
    extractor = None if isinstance(features, str) or not needs_features(wanted) else features
    if isinstance(features, str) and needs_features(wanted):
        data = next((images.data for images in reversed(sets) if isinstance(images, DataSet)), None)
        places: dict[str, Any] = {"inception": inception, "classifier_data": classifier_data, "resize": resize}
        try:
            extractor = resolve(features, data, data_root=data_root, **places, say=say)
        except MetricError as error:
            if metrics is not None or features != "auto":
                raise
            wanted = tuple(name for name in identifiers() if not get(name).features)
            notes.append(f"Without fid, is and kid, which need features. {error}")
    options = options or EvaluateOptions()
    wanted = check_sets(wanted, sets[:1], sets[1], extractor, options=options, leave_out=leave_out)
    for note in notes:
        say(note)
    records = evaluate_sets(
        sets[0],
        sets[1],
        extractor,
        wanted,
        options=options,
        seed=seed,
        data=sets[1].name,
        split="",
        cache=None if cache is None else Path(cache),
        say=say,
    )
    return Scores(records, notes)


def _open(images: Images, name: str, data_root: str | Path, count: int | None, seed: int, say: Say) -> ImageSet:
    """A set of images in random order."""
    if isinstance(images, str | os.PathLike):
        return open_images(os.fspath(images), data_root=data_root, count=count, seed=seed, say=say)
    opened = images if isinstance(images, ImageSet) else ArraySet(np.asarray(images), name=name)
    count = opened.count if count is None else count
    check_count(count, opened.name, opened.count)
    # Arrays are often sorted by class; some metrics need each part of a set to be like the whole.
    order = np.arange(count) if opened is images else random_order(opened.count, seed)[:count]
    return opened.chosen(order)


class FolderSet(ImageSet):
    """The pictures below a folder, in the order of their names, read as they are asked for.

    Two or more folders with pictures are classes, as for `python -m mmdgan prepare`. The pictures are grey if all of
    them are, else RGB.

    Attributes:
        indices: int64 (N,), the pictures' places in the order of their names.
    """

    def __init__(self, path: str | Path, *, say: Say = log) -> None:
        """Reads every file of a folder, or of a .zip or .tar of one, for its size, colours and checksum.

        Raises:
            DataError: There are no pictures, one is broken, or they differ in size.
        """
        path = Path(path)
        container = recognise(path)
        if container is None:
            raise DataError(f"{path} is neither a folder of pictures nor an archive of one nor a .npz file of images.")
        pictures = Pictures(listing := container.listing(), path)
        for name, reason in pictures.faults:
            raise DataError(f"{printable(container.where(name))} {reason}; remove it from the pictures.")
        if not pictures.indices.size:
            raise DataError(f"{path} holds no pictures ({FORMATS_READ}): name a folder that does.")
        classes, self.labels = pictures.labelled(Request(DataInfo(path.name, (0, 0, 0))))
        if classes and all(map(split_named, classes)):
            raise DataError(
                f"{path} holds the parts {', '.join(classes)} of a data set: name the folder of one of them."
            )
        self.name, self.class_names = path.name or str(path), tuple(map(printable, classes or ()))
        for note in filter(None, pictures.notes()):
            say(f"{self.name}: {note}")
        self._files = listing.files.take(pictures.indices)
        self.count = len(self._files)
        self.indices = np.arange(self.count)
        (width, height), grey = self._inspect(say)
        self.shape = (height, width, 1 if grey else 3)

    def _inspect(self, say: Say) -> tuple[tuple[int, int], bool]:
        """Reads all files; returns the size (width, height) of the pictures, and whether all are grey."""
        size: Any = None
        grey, digests, report = True, [], counter(f"Looking at the pictures of {self.name}", say)
        for index, content in enumerate(self._files.read()):
            if isinstance(content, Broken):
                raise self._broken(index, str(content))
            try:
                found, is_grey = declared(content)
            except BrokenImage as broken:
                raise self._broken(index, broken.reason) from broken
            if size not in (None, found):
                raise DataError(
                    f"{self._files.where(index)} is {found[0]}x{found[1]} pixels where those before it are "
                    f"{size[0]}x{size[1]}: scores need pictures of one size, so resize them alike, as "
                    f"{command('prepare', 'folder:PATH', '--name', 'NAME', '--size', 'SIZE')} does."
                )
            size, grey = found, grey and is_grey
            digests.append(hashlib.sha256(content).digest())
            report(index, self.count)
        self._digests = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)
        return size, grey

    def _broken(self, index: int, reason: str) -> DataError:
        return DataError(f"{self._files.where(index)} {reason}; remove it from the pictures, or get it again.")

    def fingerprint(self) -> str:
        """As of every `ImageSet`; of the files' contents, so that it stays when they are moved or renamed in order."""
        digest = new_digest("files", self.shape)
        digest.update(self._digests.data)
        return finish_digest(digest, self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """As of every `ImageSet`; DataError for a file that is broken, gone or changed."""
        height, width, channels = self.shape
        images = np.empty((len(indices), *self.shape), np.uint8)
        for place, (index, content) in enumerate(zip(indices, self._files.take(indices).read(), strict=True)):
            item = Item("", fault=str(content)) if isinstance(content, Broken) else Item("", encoded=content)
            try:
                image = load_image(item, Geometry(), (channels, height, width), (width, height))
            except BrokenImage as broken:
                raise self._broken(int(index), broken.reason) from broken
            images[place] = image.transpose(1, 2, 0)
        return images

    def chosen(self, indices: np.ndarray) -> FolderSet:
        part = self._part(indices, _files=self._files.take(indices), _digests=self._digests[indices])
        part.indices = self.indices[indices]
        return part


def open_images(
    what: str | Path,
    *,
    data_root: str | Path = "Data",
    count: int | None = None,
    seed: int = 0,
    say: Say = log,
) -> ImageSet:
    """Opens the images that a user names, in a random order that the seed gives.

    Files are often sorted by class, and metrics that divide a set into parts need each part to be like the whole.

    Args:
        what: A folder of pictures (or a .zip or .tar of one); a file of arrays, as for `open_arrays`; or the name of a
            data set.
        data_root: Folder of all data sets.
        count: Number of images, chosen at random; None for all.
        seed: Seed of choice and order.
        say: Takes one sentence at a time.

    Raises:
        DataError: Nothing is there, or something that is not images of one size; or fewer images than wanted.
    """
    from mmdgan.data import names, open_data

    check_named(what, data_root)
    path = Path(what)
    if path.is_file() and (path.suffix.lower() == ".npz" or holds_arrays(path)):
        images: ImageSet = open_arrays(path, say)
    elif path.exists():
        if path.is_dir() and str(what) in names(data_root):
            say(f"The images are those of the folder {path}, not of the data set of that name.")
        images = FolderSet(path, say=say)
    else:
        return DataSet(open_data(str(what), data_root=data_root, say=say), count, seed)
    if count is not None:
        check_count(count, images.name, images.count)
    return images.chosen(random_order(images.count, seed)[:count])


def check_named(what: str | Path, data_root: str | Path = "Data") -> None:
    """Raises a DataError if there is neither a file or folder nor a data set of this name; nothing is downloaded."""
    from mmdgan.data import info, names

    path, known = Path(what), names(data_root)
    if path.exists() or str(what) in known:
        return
    if path.suffix or len(path.parts) != 1:
        raise DataError(f"There is no folder or file {path}: name a folder of pictures, a .npz file or a data set.")
    try:
        info(str(what), data_root)
    except DataError as error:
        if ":" in str(what):
            raise
        raise DataError(f"There is no folder or file {what}. {error}") from error


def open_arrays(path: Path, say: Say = log) -> ArraySet:
    """The images in a .npy or .npz file as `read_arrays` reads them; DataError if they are not uint8 (N, H, W, C)."""
    images, labels, names = read_arrays(path, say)
    return ArraySet(images, labels, name=path.name, class_names=names)
