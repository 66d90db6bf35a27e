"""Keras layers with spectral normalisation, with and without class labels, and the blocks made of them.

What is exported here works in any Keras model.
"""

from __future__ import annotations

import importlib

_EXPORTS = {
    "BatchNorm": "normalization",
    "Bias": "linear",
    "ConditionalBatchNorm": "normalization",
    "ConditionalBias": "conditional",
    "ConditionalDense": "conditional",
    "LabelProjection": "conditional",
    "LocalResponseNorm": "normalization",
    "ScaledConv2D": "conditional",
    "ScaledConv2DTranspose": "conditional",
    "ScaledDense": "conditional",
    "SpectralConv2D": "linear",
    "SpectralConv2DTranspose": "linear",
    "SpectralDense": "linear",
    "SpectralSeparableConv2D": "linear",
    "exact_spectral_norm": "spectral",
    "spectral_norm": "spectral",
}
_SUBMODULES = (
    "attention",
    "blocks",
    "conditional",
    "initializers",
    "layout",
    "linear",
    "normalization",
    "resampling",
    "residual",
    "scalar",
    "scope",
    "spectral",
)

__all__ = list(_EXPORTS)


def __getattr__(name: str):
    """Loads what needs TensorFlow when it is first asked for (PEP 562)."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
