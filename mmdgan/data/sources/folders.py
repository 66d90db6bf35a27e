"""Folders of images, in a directory, a zip archive or a tar archive.

The sorted folders are classes 0, 1, ..., each read in the order of its file names; or all images are read without
labels, folder by folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.catalog import CATALOG
from mmdgan.data.sources.archives import ENDINGS, recognise
from mmdgan.data.sources.base import ImageSource, Request, source
from mmdgan.data.sources.containers import EXTENSIONS, Listing, image_source, is_image, numbered, printable

# The folders that a split may be in.
SPLITS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
_SPLIT_NAMES = {name for names in SPLITS.values() for name in names} | {"unlabeled", "unlabelled", "extra"}


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
    classes = pictures.classes(request)
    labels = None if classes is None else pictures.labels(classes)
    others = pictures.others()
    left = f"{others:,} other file{'s are' if others > 1 else ' is'} left aside" if others else ""
    where = "" if container.kind == "folder" else f" in a {container.kind}"
    return image_source(
        ("folder of images" if labels is None else "class folders") + where,
        path,
        listing.files.take(pictures.indices),
        request,
        labels,
        class_names=classes or (),
        faults=pictures.faults,
        notes=(left,),
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
        self._empty = listing.empty
        self._prefix = ""
        self.indices = np.array([i for i, name in enumerate(self._names) if is_image(name)], np.int64)
        self.faults = listing.faults

    def enter(self, split: str) -> None:
        """Goes to the folder of a split, through folders that hold only one other folder.

        Raises:
            DataError: There is no such folder, and the split is not "train".
        """
        wanted = SPLITS.get(split, (split,))
        while True:
            holding = self._holding()
            folders = sorted(holding.keys() - {""})
            found = [name for name in wanted if name in folders]
            if found and (split != "train" or holding["train"] or not {*folders} - _SPLIT_NAMES):
                return self._go(found[0])
            if len(folders) != 1 or "" in holding or not holding[folders[0]]:
                break
            self._go(folders[0])
        if split != "train" and self._path.name not in wanted:
            raise DataError(
                f"{self._path} has no folder {' or '.join(wanted)} with images: name the folder that holds the images "
                f"of the split {split}."
            )

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
                raise DataError(f"{self._where(folder)} holds no images ({', '.join(sorted(EXTENSIONS))}).")
        return folders

    def labels(self, classes: Sequence[str]) -> np.ndarray:
        """int64 (n,), the number of each image's folder among the classes."""
        return numbered(classes, self._folders())

    def others(self) -> int:
        """The number of other files."""
        return len(self._below(self._names)) - len(self.indices)

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

    def _folders(self) -> list[str]:
        """The folder below the prefix that each image is in; "" for none."""
        names = self._below(self._names[i] for i in self.indices)
        return [name.partition("/")[0] if "/" in name else "" for name in names]

    def _holding(self) -> dict[str, bool]:
        """The folders of `_folders`, and whether all their images are in folders further down."""
        found: dict[str, bool] = {}
        for name in self._below(self._names[i] for i in self.indices):
            folder, slash, rest = name.partition("/")
            folder = folder if slash else ""
            found[folder] = found.get(folder, True) and "/" in rest
        return found

    def _all_folders(self) -> list[str]:
        """The folders below the prefix, with those without images."""
        names = [name for name in self._below(self._names) if "/" in name] + self._below(self._empty)
        return sorted({name.partition("/")[0] for name in names})

    def _where(self, folder: str = "") -> str:
        return printable(f"{self._path}/{self._prefix}{folder}".rstrip("/"))


def _check_nothing(path: Path, request: Request, listing: Listing) -> None:
    """Raises a DataError that says why there are no images; not for a data set that has other forms too."""
    archives = [name for name in listing.files.names if name.lower().endswith(ENDINGS)]
    if request.info.name in CATALOG and path.is_dir():
        return
    if archives:
        raise DataError(f"{path} holds no images but archives such as {printable(archives[0])}: unpack them first.")
    raise DataError(f"{path} holds no images ({', '.join(sorted(EXTENSIONS))}).")
