"""Keras layers with spectral normalisation, and the block that one layer dictionary describes.

`SpectralConv2D`, `SpectralConv2DTranspose` and `SpectralDense` work in any Keras model.
"""

from __future__ import annotations

import importlib

_EXPORTS = {
    "SpectralConv2D": "linear",
    "SpectralConv2DTranspose": "linear",
    "SpectralDense": "linear",
    "exact_spectral_norm": "spectral",
    "spectral_norm": "spectral",
}
_SUBMODULES = ("blocks", "initializers", "linear", "normalization", "scope", "spectral")

__all__ = list(_EXPORTS)


def __getattr__(name: str):
    """Loads what needs TensorFlow when it is first asked for (PEP 562)."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
