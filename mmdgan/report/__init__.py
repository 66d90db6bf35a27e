"""Reports: a page of one run, a comparison of several, plots of critics and samples.

write_report("Results/cifar10/sngan_rep_b_5e-04_2e-04_k1.68_0.0_-1.0")
print(compare_runs(["Results/cifar10"]).text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import lazy

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.report.compare import compare_runs as compare_runs
    from mmdgan.report.critic_view import (
        CriticView as CriticView,
        critic_scores as critic_scores,
        embed_scores as embed_scores,
        extremes as extremes,
        view_critic as view_critic,
        witness_values as witness_values,
        write_projector as write_projector,
    )
    from mmdgan.report.evolution import evolution_frames as evolution_frames
    from mmdgan.report.page import write_report as write_report
    from mmdgan.report.plots import (
        plot_curves as plot_curves,
        plot_extremes as plot_extremes,
        plot_scores as plot_scores,
        plot_spectra as plot_spectra,
        plot_tsne as plot_tsne,
        plot_witness as plot_witness,
        to_png as to_png,
        to_svg as to_svg,
        write_all as write_all,
    )
    from mmdgan.report.spectra import LayerNorm as LayerNorm, spectral_history as spectral_history

__getattr__, __dir__, __all__ = lazy.attach(__name__)
