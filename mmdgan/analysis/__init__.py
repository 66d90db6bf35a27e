"""Looking at a trained run: critic scores and the witness function, spectral norms, the fixed codes over the run.

Everything returns arrays, figures or bytes; only `write_projector` and `write_all` write files. Names load on first
use: TensorFlow, matplotlib and scikit-learn are imported by what needs them.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "CriticView": "critic",
    "view_critic": "critic",
    "critic_scores": "critic",
    "witness_values": "critic",
    "extremes": "critic",
    "LayerNorm": "spectra",
    "spectral_history": "spectra",
    "embed_scores": "tsne",
    "write_projector": "projector",
    "evolution_frames": "evolution",
    "plot_curves": "plots",
    "plot_scores": "plots",
    "plot_tsne": "plots",
    "plot_spectra": "plots",
    "plot_witness": "plots",
    "plot_extremes": "plots",
    "to_png": "plots",
    "to_svg": "plots",
    "write_all": "pictures",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    """Finds a public name in its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
