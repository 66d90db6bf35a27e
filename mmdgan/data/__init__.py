"""Image data sets: opened by name, converted when they are not there yet, and fed to training.

    data = mmdgan.data.open_data("cifar10")
    pipeline = mmdgan.data.Pipeline(data, batch_size=64)

Points of the plane instead of images come from `mmdgan.data.synthetic`. Names load on first use, so that asking for
a data set's shape needs neither NumPy nor TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.data import synthetic as synthetic
    from mmdgan.data.catalog import DataInfo as DataInfo, info as info, names as names
    from mmdgan.data.images import ImageData as ImageData
    from mmdgan.data.opening import open_data as open_data
    from mmdgan.data.pipeline import Pipeline as Pipeline
    from mmdgan.data.stored import StoredImages as StoredImages

_HOMES = {
    "DataInfo": "catalog",
    "info": "catalog",
    "names": "catalog",
    "open_data": "opening",
    "ImageData": "images",
    "StoredImages": "stored",
    "Pipeline": "pipeline",
}
_MODULES = ("synthetic",)

__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"mmdgan.data.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"mmdgan.data.{name}")
    raise AttributeError(f"module 'mmdgan.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
