"""Figure 4 of the paper: t-SNE of the critic's scores of real images, by class, of an attractive and a repulsive run.

    python experiments/figure4_scores.py RUN RUN
    python experiments/figure4_scores.py --data sample --max_step 2000

Without runs it trains MMD-rbf (mmd_g) and MMD-rep (rep), or goes on with those of an earlier call. With the picture
it gives the silhouette of the classes and the accuracy of nearest neighbours, in the scores and in the embedding, with
what chance would give: Results/figures/figure4_scores.png, .pdf, .csv (numbers), _points.csv (the embedding).

Two given runs and 2,000 images take about half a minute on two CPU cores; training as long as --max_step says.
"""

from paper.figure4_scores import ScoreFigureOptions, make
from paper.output import run_figure

if __name__ == "__main__":
    run_figure(make, ScoreFigureOptions(), __file__, __doc__, arguments=("[RUN...]",))
