"""Image data sets: opened by name, converted when they are not there yet, and fed to training.

    data = mmdgan.data.open_data("cifar10")
    pipeline = mmdgan.data.Pipeline(data, batch_size=64)

Points of the plane instead of images come from `mmdgan.data.synthetic`. Names load on first use, so that asking for
a data set's shape needs neither NumPy nor TensorFlow.
"""

from __future__ import annotations

import importlib

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


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"mmdgan.data.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"mmdgan.data.{name}")
    raise AttributeError(f"module 'mmdgan.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
