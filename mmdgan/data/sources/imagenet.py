"""ImageNet's classes of 2012 (ILSVRC, Russakovsky et al. 2015) as published: a tar of one tar per class for training,
and a tar of 50,000 images for validation, whose classes are in a file of their own.

The classes are the sorted WordNet ids ("n01440764" is 0), as the original and other libraries number them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.core.files import decoded
from mmdgan.data.sources import pickles
from mmdgan.data.sources.archives import Tars, is_archive, recognise
from mmdgan.data.sources.base import ImageSource, Request, source
from mmdgan.data.sources.containers import Container, Files, Listing, image_source, numbered, printable

_TRAIN, _VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
_VALIDATION_IMAGE = "ILSVRC2012_val_"
_VALIDATION_NAMES = ("validation", "val")
_CLASS = re.compile(r"n\d{8}")
_MAX_BYTES = 64 * 2**20  # of a mapping


@source(
    "imagenet",
    words="ILSVRC2012_img_train.tar, a folder of its inner tars, or ILSVRC2012_img_val.tar with --mapping",
)
def find(path: Path, request: Request) -> ImageSource | None:
    """Recognises the published archives, the folder around them, or the training archives of the classes.

    For the split "validation" the mapping says the classes; see `read_mapping`.
    """
    if request.split == "train":
        return _training(path, request)
    if request.split in _VALIDATION_NAMES:
        return _validation(path, request)
    return None


def _training(path: Path, request: Request) -> ImageSource | None:
    archives: Container | None
    if (path / _TRAIN).is_file():
        archives = Tars.of([path / _TRAIN])
    elif path.is_dir():
        inner = sorted(file for file in path.iterdir() if re.fullmatch(r"n\d{8}\.tar", file.name) and file.is_file())
        if not inner:
            return None
        archives = Tars.of(inner, [file.stem for file in inner])
    else:
        archives = recognise(path)
    if not isinstance(archives, Tars):
        return None
    listing = archives.listing()
    names = listing.files.names
    if len(archives.paths) == 1 and any(is_archive(name) for name in names):
        if not all(is_archive(name) for name in names):
            other = next(name for name in names if not is_archive(name))
            raise DataError(
                f"{path} holds {printable(other)} among the archives of the classes: it is another archive."
            )
        listing = archives.listing(inner=True)
    elif not any(archives.folders):
        if any(stem_of(name).startswith(_VALIDATION_IMAGE) for name in names):
            raise DataError(
                f"{path} holds ImageNet's validation images: ask for them with --split validation, and name the file "
                "that says their classes with --mapping FILE."
            )
        return None
    return _by_class(path, listing, request)


def _by_class(path: Path, listing: Listing, request: Request) -> ImageSource:
    """The images of a listing with one folder per class."""
    files = listing.files.images()
    found = [name.partition("/")[0] for name in files.names]
    classes = sorted({*found, *listing.empty})
    labels = None
    if request.labels != "none":
        bare = sorted({*classes} - {*found})
        if bare:
            raise DataError(f"{path}: {printable(bare[0])}.tar holds no images: get it again.")
        expected = request.info.num_class
        if expected and len(classes) != expected:
            raise DataError(
                f"{path} holds the archives of {len(classes):,} classes where {expected:,} are expected: it is "
                "incomplete; get it again."
            )
        labels = numbered(classes, found)
    kind = "ImageNet's training archives"
    return image_source(kind, path, files, request, labels, class_names=classes, faults=listing.faults)


def _validation(path: Path, request: Request) -> ImageSource | None:
    place = next((path / name for name in (_VALIDATION, *_VALIDATION_NAMES) if (path / name).exists()), path)
    container = recognise(place)
    if container is None:
        return None
    kind = f"ImageNet's validation images in a {container.kind}"
    listing = container.listing()
    files = listing.files.images()
    if not len(files) and any(is_archive(name) for name in listing.files.names):
        raise DataError(f"{place} holds the archives of ImageNet's training images: ask for them with --split train.")
    if not len(files) or any("/" in name for name in files.names) and request.mapping is None:
        return None
    if request.labels == "none" or request.mapping is None:
        if request.labels == "source":
            raise DataError(
                f"{place} does not say the classes of ImageNet's validation images: name the file that does with "
                "--mapping FILE."
            )
        note = "" if request.labels == "none" else "without labels, for no --mapping says them"
        return image_source(kind, path, files, request, faults=listing.faults, notes=(note,))
    return _mapped(path, kind, files, listing.faults, request)


def _mapped(path: Path, kind: str, files: Files, faults: tuple[tuple[str, str], ...], request: Request) -> ImageSource:
    """The validation images with the classes of the mapping; an image that only one of the two has is a fault."""
    stems = [stem_of(name) for name in files.names]
    assert request.mapping is not None  # as the caller has checked
    mapping = read_mapping(request.mapping, stems)
    classes = sorted(set(mapping.values()))
    if request.info.num_class and len(classes) != request.info.num_class:
        raise DataError(
            f"{request.mapping} names {len(classes):,} classes where {request.info.num_class:,} are expected: it is "
            "the mapping of another set."
        )
    known = np.array([stem in mapping for stem in stems])
    if not known.any():
        raise DataError(f"{request.mapping} names none of the images in {path}: it is the mapping of others.")
    without = tuple((files.names[i], f"has no class in {request.mapping}") for i in np.flatnonzero(~known).tolist())
    absent = tuple(
        (stem, f"is missing, but has a class in {request.mapping}") for stem in sorted({*mapping} - {*stems})
    )
    labels = numbered(classes, (mapping[stem] for stem in stems if stem in mapping))
    files, faults = files.take(np.flatnonzero(known)), faults + without + absent
    return image_source(kind, path, files, request, labels, class_names=classes, faults=faults)


def read_mapping(path: str | Path, stems: Sequence[str]) -> dict[str, str]:
    """Reads a file that says the classes of the validation images, in one of these forms.

    - lines "ILSVRC2012_val_00000001.JPEG n01751748", separated by spaces, tabs or commas;
    - Kaggle's LOC_val_solution.csv: a header, then "ILSVRC2012_val_00000001,n01751748 1 2 3 4 ...";
    - a shell script's lines "mv ILSVRC2012_val_00000001.JPEG n01751748/", with anything else between them;
    - one class per line, in the order of the images' names;
    - a pickled dict {image: class}, compressed by gzip, as the original needs it.

    Args:
        path: The mapping.
        stems: The images' names without folder and extension, sorted.

    Returns:
        {name of the image without folder and extension: class}.

    Raises:
        DataError: The file has another form, a line does not fit the others, or an image has two classes.
    """
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"The mapping {path} cannot be read ({error.strerror}).") from error
    if content.startswith((b"\x1f\x8b", b"\x80")):
        return _keyed(path, [(number, *pair) for number, pair in enumerate(pickles.load_pairs(path), 1)])
    if len(content) > _MAX_BYTES:
        raise DataError(f"The mapping {path} holds more than {_MAX_BYTES:,} bytes: it is another file.")
    lines = decoded(content, "replace").splitlines()
    rows = [(number, re.split(r"[\s,]+", line.strip())) for number, line in enumerate(lines, 1) if line.strip()]
    if rows and all(len(words) == 1 for _, words in rows):
        return _in_order(path, rows, stems)
    return _keyed(path, _pairs(path, rows))


def stem_of(name: str) -> str:
    """A file's name without folder and extension."""
    return PurePosixPath(name).stem


def _pairs(path: Path, rows: list[tuple[int, list[str]]]) -> list[tuple[int, str, str]]:
    script = any(words[0] == "mv" for _, words in rows)
    if script:
        rows = [(number, words[1:]) for number, words in rows if words[0] == "mv"]
    elif rows and rows[0][1][0] == "ImageId":
        rows = rows[1:]
    pairs = []
    for number, words in rows:
        label = words[1].rstrip("/").rpartition("/")[2] if len(words) > 1 else ""
        if not _CLASS.fullmatch(label):
            raise DataError(
                f"Line {number} of {path} is not an image and its class, such as ILSVRC2012_val_00000001.JPEG "
                "n01751748: name another mapping."
            )
        pairs.append((number, words[0], label))
    return pairs


def _in_order(path: Path, rows: list[tuple[int, list[str]]], stems: Sequence[str]) -> dict[str, str]:
    if all(words[0].isdecimal() for _, words in rows):
        raise DataError(
            f"{path} holds numbers, whose classes only ImageNet's development kit says: name a mapping with WordNet "
            "ids, such as LOC_val_solution.csv."
        )
    for number, words in rows:
        if not _CLASS.fullmatch(words[0]):
            raise DataError(f"Line {number} of {path} is not a class such as n01751748: name another mapping.")
    if len(rows) != len(stems):
        raise DataError(f"{path} holds {len(rows):,} classes in order where there are {len(stems):,} images.")
    return dict(zip(sorted(stems), (words[0] for _, words in rows), strict=True))


def _keyed(path: Path, pairs: list[tuple[int, str, str]]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    for number, name, label in pairs:
        stem = stem_of(name)
        if mapping.setdefault(stem, label) != label:
            raise DataError(f"Entry {number} of {path} gives {stem} a second class, {label}: correct it.")
    if not mapping:
        raise DataError(f"The mapping {path} is empty.")
    return mapping
