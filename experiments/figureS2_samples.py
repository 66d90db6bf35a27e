"""Figures S2 and S3 of the paper: what each method generates, in grids next to real images.

    python experiments/figureS2_samples.py RUN...
    python experiments/figureS2_samples.py --data sample --max_step 2000

Each panel is a run, named as in the paper, with the first images of its own fixed codes: none is picked by hand.
Without runs it trains the seven methods of Table 1, or goes on with those of an earlier call. It writes
Results/figures/figureS2_samples.png, .pdf and .csv, which says what was drawn: run, loss, step, seed.

Seven given runs take about half a minute on two CPU cores; training as long as --max_step says.
"""

from paper.figureS2_samples import SampleFigureOptions, make
from paper.output import run_figure

if __name__ == "__main__":
    run_figure(make, SampleFigureOptions(), __file__, __doc__, arguments=("[RUN...]",))
