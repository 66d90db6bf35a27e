"""Keras layers with spectral normalisation, with and without class labels.

    critic = keras.Sequential([
        mmdgan.layers.SpectralConv2D(64, 4, strides=2, activation="leaky_relu"),
        keras.layers.Flatten(),
        mmdgan.layers.SpectralDense(16),
    ])

What is exported here works in any Keras model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import lazy

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.layers import (
        conditional as conditional,
        initializers as initializers,
        layout as layout,
        linear as linear,
        normalization as normalization,
        resampling as resampling,
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
        SpectralLayer as SpectralLayer,
        SpectralSeparableConv2D as SpectralSeparableConv2D,
    )
    from mmdgan.layers.normalization import (
        BatchNorm as BatchNorm,
        ConditionalBatchNorm as ConditionalBatchNorm,
        LocalResponseNorm as LocalResponseNorm,
    )
    from mmdgan.layers.spectral import exact_spectral_norm as exact_spectral_norm, spectral_norm as spectral_norm

__getattr__, __dir__, __all__ = lazy.attach(__name__)
