"""The files that say the classes of ImageNet's validation images, in the forms that people have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mmdgan.errors import DataError

_CLASS = re.compile(r"n\d{8}")
_MAX_BYTES = 64 * 2**20


def read_mapping(path: Path, stems: Sequence[str]) -> dict[str, str]:
    """Reads a mapping of one of these forms.

    - lines "ILSVRC2012_val_00000001.JPEG n01751748", parted by spaces, tabs or commas;
    - Kaggle's LOC_val_solution.csv: a header, then "ILSVRC2012_val_00000001,n01751748 1 2 3 4 ...";
    - a shell script's lines "mv ILSVRC2012_val_00000001.JPEG n01751748/", with anything else between them;
    - one class per line, in the order of the images' names;
    - a pickled dict {image: class}, packed by gzip, as the original needs it.

    Args:
        path: the mapping.
        stems: the images' names without folder and extension, sorted.

    Returns:
        {name of the image without folder and extension: class}.

    Raises:
        DataError: another form, a line that does not fit the others, or one image in two classes.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"The mapping {path} cannot be read ({error.strerror}).") from error
    if content.startswith((b"\x1f\x8b", b"\x80")):
        from mmdgan.data.sources import pickles

        return _keyed(path, [(number, *pair) for number, pair in enumerate(pickles.load_mapping(path).items(), 1)])
    if len(content) > _MAX_BYTES:
        raise DataError(f"The mapping {path} holds more than {_MAX_BYTES:,} bytes: it is another file.")
    lines = content.decode("utf-8-sig", "replace").splitlines()
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
            raise DataError(f"Entry {number} of {path} gives {stem} a second class, {label}: mend it.")
    if not mapping:
        raise DataError(f"The mapping {path} is empty.")
    return mapping
