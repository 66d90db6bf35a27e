"""Looking at a trained run: critic scores and the witness function, spectral norms, the fixed codes over the run.

Everything returns arrays, figures or bytes; only `write_projector` and `write_all` write files. Names load on first
use: TensorFlow, matplotlib and scikit-learn are imported by what needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.analysis.critic import (
        CriticView as CriticView,
        critic_scores as critic_scores,
        extremes as extremes,
        view_critic as view_critic,
        witness_values as witness_values,
    )
    from mmdgan.analysis.evolution import evolution_frames as evolution_frames
    from mmdgan.analysis.pictures import write_all as write_all
    from mmdgan.analysis.plots import (
        plot_curves as plot_curves,
        plot_extremes as plot_extremes,
        plot_scores as plot_scores,
        plot_spectra as plot_spectra,
        plot_tsne as plot_tsne,
        plot_witness as plot_witness,
        to_png as to_png,
        to_svg as to_svg,
    )
    from mmdgan.analysis.projector import write_projector as write_projector
    from mmdgan.analysis.spectra import LayerNorm as LayerNorm, spectral_history as spectral_history
    from mmdgan.analysis.tsne import embed_scores as embed_scores

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


def __getattr__(name: str) -> Any:
    """Finds a public name in its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
