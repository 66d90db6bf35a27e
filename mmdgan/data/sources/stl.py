"""STL-10's official binary version (Coates, Ng & Lee 2011): 96x96 images, each channel stored column by column.

unlabeled_X.bin holds 100,000 images without labels, on which the original trains; train_X.bin and test_X.bin hold
5,000 and 8,000 more, whose labels 1 to 10 are in train_y.bin and test_y.bin; class_names.txt names the classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmdgan.core.errors import DataError
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.base import ImageSource, Request
from mmdgan.data.sources.containers import Stretch, archived_files, is_gzip, whole_file
from mmdgan.data.sources.tables import FixedTable, check_split, read_names, table_source

SHAPE = (3, 96, 96)
FOLDER = "stl10_binary"
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_NAMES = "class_names.txt"
_ARCHIVES = ("stl10_binary.tar.gz", "stl10_binary.tar")


@dataclass(frozen=True)
class _Files:
    """The files of one split; `labels` is empty where there are none."""

    images: str
    labels: str = ""


SPLITS = {
    "train": _Files("unlabeled_X.bin"),
    "labelled": _Files("train_X.bin", "train_y.bin"),
    "test": _Files("test_X.bin", "test_y.bin"),
}
_KNOWN = frozenset(name for files in SPLITS.values() for name in (files.images, files.labels) if name) | {_NAMES}


def find(path: Path, request: Request) -> ImageSource | None:
    """Recognises the binary version: its folder, the folder around that, one file of images, or the archive as a tar.

    Args:
        path: what a person named.
        request: the split: train (the images without labels), labelled, or test; and whether labels are wanted.

    Returns:
        the source, or None when the path holds something else.

    Raises:
        DataError: files missing or of another length, labels asked for where there are none, or the archive as a
            tar.gz, in which nothing can be found without unpacking all that comes before.
    """
    if path.is_file():
        images = {files.images: split for split, files in SPLITS.items()}
        if path.name not in images:
            return _from_archive(path, request)
        if images[path.name] != request.split:
            raise DataError(f"{path} is the split {images[path.name]}: name that with --split, or another file.")
        return _from_files(path, path.parent, _listed(path.parent), request)
    for folder in (path, path / FOLDER):
        source = _from_files(path, folder, _listed(folder), request)
        if source is not None:
            return source
    archives = [path / name for name in reversed(_ARCHIVES) if (path / name).is_file()]
    return _from_archive(archives[0], request) if archives else None


def _listed(folder: Path) -> dict[str, Stretch]:
    return {name: whole_file(folder / name) for name in sorted(_KNOWN) if (folder / name).is_file()}


def _from_archive(path: Path, request: Request) -> ImageSource | None:
    if path.name == _ARCHIVES[0] and is_gzip(path):
        raise DataError(f"{path} must be unpacked first: tar -xzf {path.name}, and name the folder {FOLDER} it makes.")
    files = archived_files(path, _KNOWN, _ARCHIVES) if path.name in _ARCHIVES else None
    if files is None:
        return None
    source = _from_files(path, path, files, request)
    if source is None:
        raise DataError(f"{path} holds no file of STL-10's binary version: download it again.")
    return source


def _from_files(path: Path, where: Path, files: Mapping[str, Stretch], request: Request) -> ImageSource | None:
    if not files.keys() - {_NAMES}:
        return None
    wanted = SPLITS[check_split(request, tuple(SPLITS))]
    if request.labels == "source" and not wanted.labels:
        raise DataError(f"{wanted.images} of {where} has no labels: leave them out, or take --split labelled.")
    labelled = bool(wanted.labels) and request.labels != "none"
    needed = [wanted.images, wanted.labels] if labelled else [wanted.images]
    missing = [name for name in needed if name not in files]
    if missing:
        raise DataError(f"{where} lacks {', '.join(missing)} of the split {request.split}: unpack the archive again.")
    table = FixedTable(
        files[wanted.images],
        SHAPE,
        labels=files[wanted.labels] if labelled else None,
        first_label=1,
        num_class=len(CLASSES),
        labelled=labelled,
        column_major=True,
    )
    sizes = {files[name].path: files[name].stamp[0] for name in needed}
    origin = Origin("STL-10 binary", str(path.resolve()), len(sizes), sum(sizes.values()))
    class_names = read_names(files.get(_NAMES), CLASSES) if labelled else ()
    return table_source(origin, [table], SHAPE, class_names, request)
