"""PICO and PIM: spectral norms of a trained critic's layers by both power iterations and exact, and what they gave.

    python experiments/pico_vs_pim.py RUN...
    python experiments/pico_vs_pim.py --data sample --max_step 2000

Each layer's norm by PICO (with the convolution itself) and by PIM (with its kernel as a matrix), converged, with the
exact one and the one that training used, whose vector had one iteration per step; the paper says that PICO > PIM.
Below, the authors' published FIDs with either. It prints both as Markdown tables and writes
Results/figures/pico_vs_pim.png, .pdf, .md, .csv (the norms) and _published.csv. Without runs it trains MMD-rep (rep).

A run of the quarter-width CIFAR-10 network takes some ten seconds on one CPU core, a full-width one minutes.
"""

from paper.output import run_figure
from paper.pico_vs_pim import SpectralOptions, make

if __name__ == "__main__":
    run_figure(make, SpectralOptions(), __file__, __doc__, arguments=("[RUN...]",))
