"""CelebA (Liu et al. 2015), aligned and cropped: 202,599 faces of 178x218 pixels, whose attributes can be classes.

The original trains on all of them, and so does this: the published partition is not used.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.core.files import read_text
from mmdgan.data.sources.archives import recognise
from mmdgan.data.sources.attributes import attribute_class, chosen_attributes, class_names
from mmdgan.data.sources.base import ImageSource, Request, source
from mmdgan.data.sources.containers import Files, Listing, image_source, printable

_ARCHIVE = "img_align_celeba.zip"
_FOLDERS = ("img_align_celeba", "img_align_celeba_png")
_AROUND = ("", "Img")  # where the publisher's folder has the images
_TABLES = ("list_attr_celeba.txt", "list_attr_celeba.csv")


@source(
    "celeba",
    words="img_align_celeba.zip or the folder img_align_celeba, with list_attr_celeba.txt next to it for classes",
)
def find(path: Path, request: Request) -> ImageSource | None:
    """Recognises the images in a zip, a tar or a folder, as jpg or png, or the folder around these.

    With labels "source" the attributes make the classes; list_attr_celeba.txt, or the .csv of Kaggle, is then looked
    for next to the images and above.
    """
    for place in _places(path):
        container = recognise(place)
        if container is None:
            continue
        listing = container.listing()
        files = listing.files.images()
        if not len(files):
            continue
        if request.split != "train":
            raise DataError(
                f"CelebA is used whole, as the original does, and has no split {request.split}: ask for train."
            )
        return _source(f"CelebA in a {container.kind}", path, place, files, listing, request)
    return None


def _places(path: Path) -> Iterator[Path]:
    """Where the images may be, the likeliest first."""
    if path.is_dir():
        for base in (path / folder for folder in _AROUND):
            yield from (base / name for name in _FOLDERS if (base / name).is_dir())
            if (base / _ARCHIVE).is_file():
                yield base / _ARCHIVE
    yield path


def _source(kind: str, path: Path, place: Path, files: Files, listing: Listing, request: Request) -> ImageSource:
    faults, labels = listing.faults, None
    classes: tuple[str, ...] = ()
    stems = _stems(files, place)
    if request.labels == "source":
        table = _find_table(place, path)
        attributes, rows = read_attributes(table, request.attributes)
        known = np.array([stem in rows for stem in stems])
        if not known.any():
            raise DataError(f"{table} has a row for none of the images in {place}: it is the table of others.")
        reason = f"has no row in {table.name}"
        faults += tuple((files.names[i], reason) for i in np.flatnonzero(~known).tolist())
        files = files.take(np.flatnonzero(known))
        labels = np.array([rows[stem] for stem in stems if stem in rows], np.int64)
        classes = class_names(attributes)
    return image_source(kind, path, files, request, labels, class_names=classes, faults=faults)


def _stems(files: Files, place: Path) -> list[str]:
    """The names without folder and extension, which the table uses; each must be there once."""
    stems = [PurePosixPath(name).stem for name in files.names]
    if len(set(stems)) < len(stems):
        first: dict[str, str] = {}
        for stem, name in zip(stems, files.names, strict=True):
            if first.setdefault(stem, name) != name:
                names = printable(f"{first[stem]} and {name}")
                raise DataError(
                    f"{place} holds the image {printable(stem)} twice ({names}): name the folder of one kind."
                )
    return stems


def _find_table(place: Path, path: Path) -> Path:
    around = [place, place.parent, place.parent.parent, path, path.parent]
    for folder in dict.fromkeys(around):
        for name in itertools.chain(_TABLES, (f"Anno/{name}" for name in _TABLES)):
            if (folder / name).is_file():
                return folder / name
    raise DataError(
        f"CelebA's attributes are missing: put {_TABLES[0]} in {place} or next to it, or give --labels none."
    )


def read_attributes(path: Path, attributes: Sequence[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Reads list_attr_celeba.txt (their number, the attributes, a row of 1 and -1 per image) or Kaggle's .csv.

    Args:
        path: The table.
        attributes: The attributes that make the classes; empty for `DEFAULT`.

    Returns:
        The attributes as the table spells them, and {name of an image without its extension: its class}.

    Raises:
        DataError: The table is truncated or of another form, or an attribute is unknown.
    """
    try:
        lines = enumerate(read_text(path, "replace").split("\n"), 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    first = next(lines, (0, ""))[1].strip()
    comma = next((mark for mark in ",;\t" if mark in first), None)
    names = first.split(comma)[1:] if comma else next(lines, (0, ""))[1].split()
    if not names or not (comma or first.isdecimal()):
        raise DataError(f"{path} does not begin as CelebA's table of attributes does: get it again.")
    chosen = chosen_attributes(attributes, names)
    columns = [names.index(name) + 1 for name in chosen]
    classes: dict[str, int] = {}
    for number, line in lines:
        row = line.strip().split(comma)
        if row in ([], [""]):
            continue
        values = [row[column].strip() for column in columns] if len(row) == len(names) + 1 else ["none"]
        stem = PurePosixPath(row[0]).stem
        if not {*values} <= {"1", "-1"} or stem in classes:
            raise DataError(
                f"Line {number} of {path} is not one image with {len(names)} attributes of 1 or -1: get the file again."
            )
        classes[stem] = attribute_class([value == "1" for value in values])
    if not comma and int(first) != len(classes):
        raise DataError(f"{path} holds {len(classes):,} rows where it says {int(first):,}: get it again.")
    return chosen, classes
