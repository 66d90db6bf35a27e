"""Folders of images, in a directory, a zip archive or a tar archive.

The sorted folders are classes 0, 1, ..., each read in the order of its file names; or all images are read without
labels, folder by folder.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.core.files import csv_rows, decoded
from mmdgan.data.catalog import CATALOG
from mmdgan.data.sources.archives import ENDINGS, recognise
from mmdgan.data.sources.base import ImageSource, Request, source
from mmdgan.data.sources.byte_ranges import Broken
from mmdgan.data.sources.containers import (
    FORMATS_READ,
    Listing,
    image_source,
    is_image,
    numbered,
    numbered_classes,
    printable,
)

_SPLITS = {
    "train": "train training trn",
    "validation": "validation val valid validate dev development eval evaluation",
    "test": "test testing tst",
    "unlabeled": "unlabeled unlabelled",
    "extra": "extra",
}
_SPELLINGS = {word: split for split, words in _SPLITS.items() for word in words.split()}
_WORDS_AROUND = "(?:images?|imgs?|data|dataset|set|split|folder|dir|pictures|photos|samples)"

# Pictures that are left out by their first bytes or their endings, and why.
_CONVERT = "which is not read: convert it to PNG or JPEG"
_UNREAD_ENDINGS = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIF"),
    **dict.fromkeys(
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".pef", ".srw", ".raf"), "a raw photograph"
    ),
    **dict.fromkeys((".svg", ".svgz", ".eps", ".ps", ".ai", ".wmf", ".emf"), "a drawing"),
    **dict.fromkeys((".psd", ".psb", ".xcf", ".kra"), "a document of an image editor"),
    **dict.fromkeys((".exr", ".hdr", ".pfm", ".fits", ".dcm"), "a picture without 8 or 16 bits"),
    **dict.fromkeys((".jxl", ".pcx", ".sgi", ".rgb", ".ras", ".xpm", ".xbm", ".dds", ".icns", ".jls"), "a rare format"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm"), "a film"),
}
_COPIES = ("~", ".bak", ".orig", ".tmp", ".part", ".partial", ".crdownload", ".old")
# Files of these endings are not opened to see whether they are pictures.
_NO_PICTURES = frozenset(
    ".txt .json .jsonl .csv .tsv .xml .md .rst .yaml .yml .html .htm .css .js .py .sh .pdf .npz .npy .mat .pkl "
    ".pickle .pt .pth .h5 .hdf5 .safetensors .parquet .arrow .tfrecord .tfrecords .mdb .db .sqlite .ini .log .lnk .url "
    ".caption .mp3 .wav .flac .exe .dll .zip .tar .gz .tgz .bz2 .xz .zst .7z .rar".split()
)
_TABLES = ("metadata.csv", "metadata.jsonl", "dataset.json")  # of Hugging Face's image folders and of StyleGAN
_LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category")
_INDEXED = re.compile(r"(\d{5})/img(\d{8})\.(?:png|jpe?g)", re.IGNORECASE)


@source(
    "cifar10",
    "stl10",
    "imagenet",
    "mnist",
    "fashion_mnist",
    words="a folder, zip or tar of images, or of one folder of images per class",
    own=True,
)
def find(path: Path, request: Request) -> ImageSource | None:
    """Recognises images in folders; where there is a folder of the split's name, the images below it.

    A data set whose number of classes is known must have as many folders; otherwise two or more folders are classes
    if no image lies next to them.
    """
    container = recognise(path)
    if container is None:
        return None
    listing = container.listing()
    pictures = Pictures(listing, path)
    if not pictures.indices.size and not pictures.faults:
        _check_nothing(path, request, listing)
        return None
    pictures.enter(request.split)
    classes, labels = pictures.labelled(request)
    where = "" if container.kind == "folder" else f" in a {container.kind}"
    return image_source(
        ("folder of images" if labels is None else "class folders") + where,
        path,
        listing.files.take(pictures.indices),
        request,
        labels,
        class_names=classes or (),
        faults=pictures.faults,
        notes=pictures.notes(),
    )


class Pictures:
    """The images of a listing that are below one of its folders.

    Args:
        listing: The content of a container.
        path: The container, for messages.

    Attributes:
        indices: int64 (n,), the numbers of the images among the files.
        faults: (name, reason) of what is broken.
    """

    def __init__(self, listing: Listing, path: Path) -> None:
        self._path = path
        self._names = listing.files.names
        self._listing = listing
        self._prefix = ""
        self._tables: list[str] = []
        self._remarks: list[str] = []
        self._unused: np.ndarray = np.zeros(0, np.int64)
        self.faults = listing.faults
        chosen = [is_image(name) for name in self._names]
        self._left: dict[str, str] = {}  # why a picture is left out
        doubtful = []
        for index, name in enumerate(self._names):
            if not chosen[index]:
                ending = PurePosixPath(name).suffix.lower()
                if ending in _UNREAD_ENDINGS:
                    self._left[name] = f"{_UNREAD_ENDINGS[ending]}, {_CONVERT}"
                elif name.lower().endswith(_COPIES):
                    self._left[name] = "a copy or a part, by its ending"
                elif ending not in _NO_PICTURES:
                    doubtful.append(index)
        heads = listing.files.take(np.array(doubtful, np.int64)).heads()
        for index, head in zip(doubtful, heads, strict=True):
            if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
                self._left[self._names[index]] = f"HEIF, {_CONVERT}"
            chosen[index] = _is_picture(head)
        self.indices: np.ndarray = np.flatnonzero(chosen).astype(np.int64)

    def enter(self, split: str) -> None:
        """Goes to the folder of a split, through folders that hold only one other folder.

        Raises:
            DataError: There is no such folder, and the split is not "train"; or there are several.
        """
        wanted = split_named(split) or split
        while True:
            holding = self._holding()
            folders = sorted(holding.keys() - {""})
            found = [name for name in folders if (split_named(name) or name) == wanted]
            found = [name for name in found if name == split] or found
            others = [name for name in folders if not split_named(name)]
            several = len({split_named(name) for name in folders} - {""}) > 1  # so that none of them is a class
            if found and (split != "train" or several or all(holding[name] for name in found) or not others):
                if len(found) > 1:
                    raise DataError(f"{self._where()} holds {' and '.join(found)}: name the folder to be read.")
                return self._go(found[0])
            if len(folders) != 1 or "" in holding or not holding[folders[0]]:
                break
            self._go(folders[0])
        if self._splits_inside_classes(wanted):
            return None
        if split != "train" and split_named(self._path.stem) != wanted and self._path.name != split:
            raise DataError(
                f"{self._path} has no folder {wanted} with images: name the folder that holds the "
                f"images of the split {split}."
            )
        if len(folders) > 1 and not others and "" not in holding:
            raise DataError(
                f"{self._where()} holds the parts {', '.join(folders)} of a data set and no folder train: ask for one "
                f"with --split, or name its folder."
            )
        return None

    def _splits_inside_classes(self, wanted: str) -> bool:
        """Whether the images are in CLASS/SPLIT/...; then only those of the split are kept."""
        inside = [name.split("/")[1:-1] for name in self._images()]
        splits = [split_named(folders[0]) if folders else "" for folders in inside]
        if not splits or not all(splits) or len({*splits}) < 2 or wanted not in splits:
            return False
        self._unused = self.indices[np.array(splits) != wanted]
        self.indices = self.indices[np.array(splits) == wanted]
        self._remarks.append(f"{len(self._unused):,} images of other splits are left aside")
        return True

    def labelled(self, request: Request) -> tuple[list[str] | None, np.ndarray | None]:
        """The names of the classes, and int64 (n,), the number of each image's class; None without labels.

        They come from StyleGAN's dataset.json or the metadata.csv or .jsonl of Hugging Face, or else from the folders.

        Raises:
            DataError: As `classes`; or such a file is broken, or does not name an image.
        """
        if request.labels != "none":
            table = self._table()
            if table is not None:
                return self._by_table(table)
            if request.labels == "auto" and not request.info.num_class and self._indexed():
                self._remarks.append("without labels: folders such as 00000 are StyleGAN's index, not classes")
                return None, None
        classes = self.classes(request)
        return classes, None if classes is None else numbered(classes, self._folders())

    def notes(self) -> tuple[str, ...]:
        """What the user should know: which files are left aside, and why."""
        others = self.others()
        left = f"{others:,} other file{'s are' if others > 1 else ' is'} left aside" if others else ""
        reasons = [f"{printable(name)} ({why})" for name, why in self._left.items() if name.startswith(self._prefix)]
        if reasons:
            more = f" and {len(reasons) - 3:,} more pictures" if len(reasons) > 3 else ""
            left += f": {', '.join(reasons[:3])}{more}"
        return (left, *self._remarks)

    def _indexed(self) -> bool:
        """Whether the folders are StyleGAN's: 00000/img00000000.png, a thousand images in each."""
        found = [_INDEXED.fullmatch(name) for name in self._images()]
        return bool(found) and all(match and int(match[2]) // 1000 == int(match[1]) for match in found)

    def _table(self) -> dict[str, Any] | None:
        """{name of an image: label} of the files that say it; a label None says that there are none."""
        found: dict[str, Any] = {}
        said = False
        for number, name in enumerate(self._names):
            folder, slash, file = name.rpartition("/")
            folder += slash
            if file not in _TABLES or not (folder.startswith(self._prefix) or self._prefix.startswith(folder)):
                continue
            content = next(self._listing.files.take(np.array([number])).read())
            where = printable(f"{self._path}/{name}")
            if isinstance(content, Broken):
                raise DataError(f"{where} {content}.")
            rows = _read_table(where, file, content)
            if rows is not None:
                said = True
                self._tables.append(name)
                for image, label in rows:
                    if found.setdefault(f"{folder}{image}", label) != label:
                        raise DataError(
                            f"{where} gives {printable(image)} a second label, {label!r}: correct it, or prepare the "
                            "images without labels (--labels none)."
                        )
        return found if said else None

    def _by_table(self, table: dict[str, Any]) -> tuple[list[str] | None, np.ndarray | None]:
        source = printable(self._tables[0])
        if not any(label is not None for label in table.values()):
            self._remarks.append(f"without labels, as {source} says")
            return None, None
        values = []
        for index in self.indices.tolist():
            label = table.get(self._names[index])
            if label is None:
                raise DataError(
                    f"{self._path}/{source} says no label of {printable(self._names[index])}: complete it, or prepare "
                    "the images without labels (--labels none)."
                )
            values.append(label)
        self._remarks.append(f"labels of {source}")
        if values and all(isinstance(value, int) for value in values):
            names, empty = numbered_classes(np.array(values), f"{self._path}/{source}")
            self._remarks += [empty]
            return list(names), np.array(values, np.int64)
        classes = sorted({str(value) for value in values})
        return classes, numbered(classes, map(str, values))

    def classes(self, request: Request) -> list[str] | None:
        """The names of the classes, sorted; None for images without labels.

        Raises:
            DataError: Images next to the folders, another number of folders than expected, or one without images.
        """
        if request.labels == "none":
            return None
        holding, expected = self._holding(), request.info.num_class
        direct = self._folders().count("")
        if not (expected or request.labels == "source" or len(holding) > 1 and not direct):
            return None
        if direct:
            raise DataError(
                f"{self._where()} holds {direct:,} images that are in no class's folder: sort them into one folder per "
                "class, or prepare the images without labels (--labels none)."
            )
        folders = self._all_folders()
        if expected and len(folders) != expected:
            names = ", ".join(folders[:12]) + (", ..." if len(folders) > 12 else "")
            raise DataError(
                f"{self._where()} holds {len(folders)} folders where {expected} classes are expected: "
                f"{printable(names)}."
            )
        for folder in folders:
            if folder not in holding:
                raise DataError(f"{self._where(folder)} holds no images ({FORMATS_READ}).")
        return folders

    def others(self) -> int:
        """The number of other files."""
        inside = sum(name.startswith(self._prefix) for name in self._names)
        tables = sum(name.startswith(self._prefix) for name in self._tables)
        return inside - len(self.indices) - len(self._unused) - tables

    def _go(self, folder: str) -> None:
        self._prefix += f"{folder}/"
        self.indices = np.array([i for i in self.indices if self._names[i].startswith(self._prefix)], np.int64)
        self.faults = tuple(
            (name, reason)
            for name, reason in self.faults
            # a name that leads outside its archive is in no folder
            if name.startswith((self._prefix, "/")) or ".." in name.split("/")
        )

    def _below(self, names: Iterable[str]) -> list[str]:
        """The names below the prefix, relative to it."""
        return [name[len(self._prefix) :] for name in names if name.startswith(self._prefix)]

    def _images(self) -> list[str]:
        """The names of the images, relative to the prefix."""
        return self._below(self._names[i] for i in self.indices.tolist())

    def _folders(self) -> list[str]:
        """The folder below the prefix that each image is in; "" for none."""
        return [name.partition("/")[0] if "/" in name else "" for name in self._images()]

    def _holding(self) -> dict[str, bool]:
        """The folders of `_folders`, and whether all their images are in folders further down."""
        found: dict[str, bool] = {}
        for name in self._images():
            folder, slash, rest = name.partition("/")
            folder = folder if slash else ""
            found[folder] = found.get(folder, True) and "/" in rest
        return found

    def _all_folders(self) -> list[str]:
        """The folders below the prefix, with those without images."""
        names = [name for name in self._below(self._names) if "/" in name] + self._below(self._listing.empty)
        return sorted({name.partition("/")[0] for name in names})

    def _where(self, folder: str = "") -> str:
        return printable(f"{self._path}/{self._prefix}{folder}".rstrip("/"))


def split_named(folder: str) -> str:
    """The split that a folder's name means, in any usual spelling and case; empty for none."""
    words = re.sub(r"[\W_]+", "", folder.lower())
    words = re.sub(r"(?<=[a-z])(19|20)\d\d$", "", words)
    while words not in _SPELLINGS:
        shorter = re.sub(f"^{_WORDS_AROUND}|{_WORDS_AROUND}$", "", words, count=1)
        if shorter == words:
            return ""
        words = shorter
    return _SPELLINGS[words]


def _is_picture(head: bytes) -> bool:
    """Whether a file's first bytes are those of a format that is read."""
    return bool(
        head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"qoif"))
        or head[:4] == b"RIFF"
        and head[8:12] == b"WEBP"
        or head[:2] == b"BM"
        and head[6:10] == bytes(4)
        and len(head) > 25
        or head[:2] in (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
        and head[2:3] in (b" ", b"\n", b"\t", b"\r")
        or head[4:8] == b"ftyp"
        and head[8:12] in (b"avif", b"avis")
        or head.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"))
    )


def _read_table(where: str, file: str, content: bytes) -> list[tuple[str, Any]] | None:
    """The images' names and labels (None: without one) of a file; None if it is of another kind or has no labels."""
    try:
        text = decoded(content)
        if file == "dataset.json":
            held = json.loads(text)
            if not isinstance(held, dict) or "labels" not in held:
                return None
            rows = held["labels"] or []
            if not all(isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) for row in rows):
                return None
            return [(name, _label(label)) for name, label in rows]
        if file.endswith(".jsonl"):
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        else:
            rows = list(csv_rows(text))
        column = next((name for name in _LABEL_COLUMNS if rows and name in rows[0]), None)
        if column is None or "file_name" not in rows[0]:
            return None
        labels = [_label(row[column]) for row in rows]
        if all(isinstance(label, str) and re.fullmatch(r"\d{1,5}", label) for label in labels):
            labels = [int(label) for label in labels]
        return [(row["file_name"].removeprefix("./"), label) for row, label in zip(rows, labels, strict=True)]
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise DataError(f"{where} does not give each image a label ({error}): correct it, or take it out.") from error


def _label(value: Any) -> Any:
    """A label as a number or a text; of a one-hot vector its place."""
    if value is None or value == "":
        return None
    if isinstance(value, list):
        if sorted(value) != [0] * (len(value) - 1) + [1]:
            raise ValueError(f"{str(value)[:60]} is not the label of one class")
        return value.index(1)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, (int, str)) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a label")
    return value


def _check_nothing(path: Path, request: Request, listing: Listing) -> None:
    """Raises a DataError that says why there are no images; not for a data set that has other forms too."""
    archives = [name for name in listing.files.names if name.lower().endswith(ENDINGS)]
    if request.info.name in CATALOG and path.is_dir():
        return
    if archives:
        raise DataError(f"{path} holds no images but archives such as {printable(archives[0])}: unpack them first.")
    raise DataError(f"{path} holds no images ({FORMATS_READ}).")
