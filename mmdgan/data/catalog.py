"""The data sets known by name: their form, and where each is looked for."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan.data.sidecar import Sidecar, read_sidecar
from mmdgan.errors import DataError

if TYPE_CHECKING:
    from mmdgan.data.images import ImageData
    from mmdgan.data.sources.base import ImageSource


@dataclass(frozen=True)
class DataInfo:
    """What is known of a data set before it is read.

    Attributes:
        name: the name a person gives it, and its folder's.
        shape: (C, H, W) of one image.
        num_class: number of classes.
        count: number of training images; None when unknown.
        class_names: one name per class.
        tfds: its name in TensorFlow Datasets; empty when it is not fetched from there.
        legacy: the original's files below the data folder, the labelled ones first.
        homepage: where it is explained.
        address: where it can be downloaded.
    """

    name: str
    shape: tuple[int, int, int]
    num_class: int
    count: int | None = None
    class_names: tuple[str, ...] = ()
    tfds: str = ""
    legacy: tuple[str, ...] = ()
    homepage: str = ""
    address: str = ""


_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"

CATALOG = {
    info.name: info
    for info in (
        DataInfo(
            name="cifar10",
            shape=(3, 32, 32),
            num_class=10,
            count=50_000,
            class_names=tuple(_CIFAR10_CLASSES.split()),
            tfds="cifar10",
            legacy=("cifar_NCHW/cifar_xy.tfrecords", "cifar_NCHW/cifar.tfrecords"),
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
            address="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        ),
        DataInfo(
            name="sample",
            shape=(3, 32, 32),
            num_class=10,
            count=10_782,
            class_names=tuple("0123456789"),
            homepage="https://scikit-learn.org/stable/datasets/toy_dataset.html",
        ),
    )
}


def names() -> list[str]:
    """The names of all data sets."""
    return sorted(CATALOG)


def info(name: str, data_root: str | Path = "Data") -> DataInfo:
    """What is known of a data set without reading an image.

    Args:
        name: the data set's name.
        data_root: the folder of the data sets; what was converted there gives the number of images.

    Returns:
        its entry in the catalogue.

    Raises:
        DataError: an unknown name, with the nearest known one.
    """
    if name not in CATALOG:
        near = difflib.get_close_matches(str(name).lower(), CATALOG, 1, 0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise DataError(f"There is no data set named {name!r}: {hint}The names are {', '.join(names())}.")
    entry = CATALOG[name]
    sidecar = read_sidecar(Path(data_root) / name, name)
    return replace(entry, count=sidecar.count, class_names=sidecar.class_names) if sidecar else entry


def open_data(
    name: str,
    *,
    data_root: str | Path = "Data",
    source: str | Path | None = None,
    progress: Callable[[str], object] = print,
) -> ImageData:
    """Opens a data set, converting it first if need be.

    Looked for, in this order: records in `<data_root>/<name>/`; the original's files below `data_root`;
    `source`; TensorFlow Datasets. A source that is named wins over records that do not say what they were
    made from, such as the original's; these stay where they are.

    Args:
        name: the data set's name.
        data_root: the folder of the data sets.
        source: a copy to convert: the official binary files or one folder of images per class.
        progress: takes lines of text.

    Returns:
        the images in memory.

    Raises:
        DataError: an unknown name, no data, broken data, or records that were made from another source.
    """
    entry = info(name, data_root)
    if name == "sample":
        if source is not None:
            raise DataError(f"The data set sample is made on the spot and takes no source; leave {source} out.")
        from mmdgan.data.sample import make_sample

        return make_sample()
    folder = Path(data_root) / name
    sidecar = read_sidecar(folder, name)
    if sidecar is not None:
        if source is not None:
            _check_origin(source, sidecar, folder)
        return _read(sidecar, folder)
    loose = _loose_records(entry, Path(data_root))
    if loose and source is None:
        return _read_loose(entry, loose, progress)
    if loose:
        progress(f"{loose[0]} is left aside, because the source {source} is named.")
    from mmdgan.data.convert import convert, find_source

    found = find_source(source, entry) if source is not None else _fetch(entry, folder, progress)
    return _read(convert(found, entry, folder, progress), folder)


def _read(sidecar: Sidecar, folder: Path) -> ImageData:
    from mmdgan.data.images import ImageData
    from mmdgan.data.tfrecords import read_records

    files = [folder / shard.file for shard in sidecar.shards]
    images, labels = read_records(files, sidecar.shape, [shard.count for shard in sidecar.shards])
    if (labels is not None) != sidecar.labels:
        raise DataError(f"The records in {folder} and their sidecar disagree on labels; convert them again.")
    return ImageData(
        name=sidecar.name,
        images=images,
        labels=labels,
        class_names=sidecar.class_names,
        num_class=len(sidecar.class_names),
        folder=folder,
        source=str(sidecar.origin),
    )


def _loose_records(entry: DataInfo, data_root: Path) -> list[Path]:
    """Records without a sidecar, such as the original's, in the data set's folder or at their old place."""
    files = sorted((data_root / entry.name).glob("*.tfrecords"))
    return files or [data_root / file for file in entry.legacy if (data_root / file).is_file()][:1]


def _read_loose(entry: DataInfo, files: list[Path], progress: Callable[[str], object]) -> ImageData:
    from mmdgan.data.images import ImageData
    from mmdgan.data.tfrecords import check_shards, read_records

    check_shards(files)
    images, labels = read_records(files, entry.shape)
    what = f"{len(images):,} images {'without' if labels is None else 'with'} labels"
    progress(f"Read {what} from records in {files[0].parent} that do not say what they were made from")
    return ImageData(
        name=entry.name,
        images=images,
        labels=labels,
        class_names=() if labels is None else entry.class_names,
        num_class=0 if labels is None else entry.num_class,
        folder=files[0].parent,
        source=f"records {files[0].resolve()}",
    )


def _check_origin(source: str | Path, sidecar: Sidecar, folder: Path) -> None:
    """Raises a DataError when records were made from something else than the source that is named now."""
    from mmdgan.data.convert import find_source

    path = Path(source).expanduser()
    same = str(path.resolve()) == sidecar.origin.path
    if same and path.exists():
        same = find_source(path, CATALOG[sidecar.name]).origin == sidecar.origin
    if not same:
        raise DataError(
            f"The records in {folder} were made from {sidecar.origin} ({sidecar.origin.files} files, "
            f"{sidecar.origin.bytes:,} bytes), not from {source} as it is now: leave the source out to use "
            f"them, or move {folder} aside to convert again."
        )


def _fetch(entry: DataInfo, folder: Path, progress: Callable[[str], object]) -> ImageSource:
    """The data set from TensorFlow Datasets, or the one sentence that names all the other ways."""
    from mmdgan.data.sources.tfds import fetch

    places = [str(folder), *(str(folder.parent / file) for file in entry.legacy)]
    progress(f"{entry.name} is not in {folder}; asking TensorFlow Datasets")
    try:
        return fetch(entry.tfds, entry.address, progress)
    except DataError as error:
        raise DataError(
            f"There is no data for {entry.name}: no records in {', '.join(places)}, no source named, and "
            f"TensorFlow Datasets could not fetch it ({error}); name a copy with --source PATH (the official "
            "binary files or one folder of images per class), connect to the network, or train on the "
            "embedded set with --data sample."
        ) from error
