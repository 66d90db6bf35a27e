"""Keras layers with spectral normalisation, with and without class labels, and the blocks made of them.

What is exported here works in any Keras model.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.layers import (
        attention as attention,
        base as base,
        blocks as blocks,
        conditional as conditional,
        initializers as initializers,
        layout as layout,
        linear as linear,
        normalization as normalization,
        resampling as resampling,
        residual as residual,
        scalar as scalar,
        scope as scope,
        spectral as spectral,
    )
    from mmdgan.layers.conditional import (
        ConditionalBias as ConditionalBias,
        ConditionalDense as ConditionalDense,
        LabelProjection as LabelProjection,
        ScaledConv2D as ScaledConv2D,
        ScaledConv2DTranspose as ScaledConv2DTranspose,
        ScaledDense as ScaledDense,
    )
    from mmdgan.layers.linear import (
        Bias as Bias,
        SpectralConv2D as SpectralConv2D,
        SpectralConv2DTranspose as SpectralConv2DTranspose,
        SpectralDense as SpectralDense,
        SpectralSeparableConv2D as SpectralSeparableConv2D,
    )
    from mmdgan.layers.normalization import (
        BatchNorm as BatchNorm,
        ConditionalBatchNorm as ConditionalBatchNorm,
        LocalResponseNorm as LocalResponseNorm,
    )
    from mmdgan.layers.spectral import exact_spectral_norm as exact_spectral_norm, spectral_norm as spectral_norm

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
    "base",
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


def __getattr__(name: str) -> Any:
    """Loads what needs TensorFlow when it is first asked for (PEP 562)."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
