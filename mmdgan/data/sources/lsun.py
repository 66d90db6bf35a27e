"""LSUN's bedrooms (Yu et al. 2015): bedroom_train_lmdb as it is published, or the webp images exported from it."""

from __future__ import annotations

from pathlib import Path

from mmdgan.core.errors import DataError
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources import folders
from mmdgan.data.sources.archives import recognise
from mmdgan.data.sources.base import ImageSource, Request, fewer_note, source
from mmdgan.data.sources.containers import Container, image_source, is_image, printable
from mmdgan.data.sources.lmdb import FILE, Lmdb

_FOLDERS = {"train": "bedroom_train_lmdb", "validation": "bedroom_val_lmdb", "val": "bedroom_val_lmdb"}


@source("lsun", words="the folder bedroom_train_lmdb, or a folder, zip or tar of webp images")
def find(path: Path, request: Request) -> ImageSource | None:
    """Recognises the database, its folder or the folder around that; or webp images in a folder, a zip or a tar."""
    if request.labels == "source":
        raise DataError("LSUN's bedrooms have no labels: prepare them with --labels none.")
    database = _database(path, request.split)
    if database is not None:
        return _of_database(database, path, request)
    container = recognise(path)
    return None if container is None else _of_files(container, path, request)


def _database(path: Path, split: str) -> Path | None:
    if path.name == FILE and path.is_file():
        return path
    for folder in (path, path / _FOLDERS.get(split, _FOLDERS["train"])):
        if (folder / FILE).is_file():
            return folder / FILE
    return None


def _of_database(database: Path, path: Path, request: Request) -> ImageSource:
    named = database.resolve().parent.name
    if named in _FOLDERS.values() and named != _FOLDERS.get(request.split):
        raise DataError(f"{database} is not LSUN's split {request.split}, by its folder's name: name the other folder.")
    values = Lmdb.of(database)
    return ImageSource(
        origin=Origin("LMDB database", printable(str(path.resolve())), 1, values.stamp[1]),
        count=len(values),
        part=values.part,
        size=request.info.size,
        note=fewer_note(len(values), request),
        encoded=True,
    )


def _of_files(container: Container, path: Path, request: Request) -> ImageSource | None:
    listing = container.listing()
    names = listing.files.names
    packed = next((name for name in names if name.rpartition("/")[2] == FILE), None)
    if packed is not None and container.kind != "folder":
        raise DataError(
            f"{path} holds the database {printable(packed)}: unpack it first (unzip {path}), then name its folder."
        )
    if not any(is_image(name) for name in names):
        return None
    pictures = folders.Pictures(listing, path)
    if request.split != "train":
        pictures.enter(request.split)
    return image_source(
        f"images in a {container.kind}", path, listing.files.take(pictures.indices), request, faults=pictures.faults
    )
