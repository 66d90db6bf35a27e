"""Where images come from before they are records: one module per form of source."""

from __future__ import annotations

import importlib
from pathlib import Path

from mmdgan.core.errors import DataError
from mmdgan.data.sources.base import ImageSource, Request

# The modules of each data set, asked in this order; a person's own images are folders.
_MODULES = {
    "cifar10": ("cifar", "folders"),
    "stl10": ("stl", "folders"),
    "celeba": ("celeba",),
    "lsun": ("lsun",),
    "imagenet": ("imagenet", "folders"),
    "mnist": ("idx", "folders"),
    "fashion_mnist": ("idx", "folders"),
}
_OWN = ("folders",)

_RECOGNISED = {
    "cifar": "cifar-10-binary.tar.gz or cifar-10-python.tar.gz, or the folder of either unpacked",
    "stl": "the folder stl10_binary with unlabeled_X.bin",
    "celeba": "img_align_celeba.zip or the folder img_align_celeba, with list_attr_celeba.txt beside it for classes",
    "lsun": "the folder bedroom_train_lmdb, or a folder, zip or tar of webp images",
    "imagenet": "ILSVRC2012_img_train.tar, a folder of its inner tars, or ILSVRC2012_img_val.tar with --mapping",
    "idx": "a folder with train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz, unpacked or not",
    "folders": "a folder, zip or tar of images, or of one folder of images per class",
}


def find(path: Path, request: Request) -> ImageSource:
    """Recognises by its content what a person named as the source of a data set.

    Args:
        path: a file or a folder.
        request: the data set that it should be, and what is wanted of it.

    Returns:
        the source; nothing but names, sizes and labels was read.

    Raises:
        DataError: a path that does not exist, holds nothing that is known, or something known that is broken.
    """
    path, name = Path(path).expanduser(), request.info.name
    try:
        if not path.exists():
            raise DataError(f"The source {path} of {name} does not exist.")
        modules = _MODULES.get(name, _OWN)
        for module in modules:
            source = importlib.import_module(f"{__name__}.{module}").find(path, request)
            if source is not None:
                return source
    except OSError as error:
        raise DataError(f"The source {path} of {name} cannot be read ({error.strerror or error}).") from error
    raise DataError(f"The source {path} holds nothing that is recognised as {name}, which is {recognised(name)}.")


def recognised(name: str) -> str:
    """What can be the source of a data set, in words."""
    return "; or ".join(_RECOGNISED[module] for module in _MODULES.get(name, _OWN))
