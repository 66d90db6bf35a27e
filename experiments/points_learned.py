"""Points of the plane learned with a learned kernel: a small critic's scores, and any loss of the catalogue.

    python experiments/points_learned.py --points ring --loss mmd_g,rep,rep_b,hinge
    python experiments/points_learned.py --points grid --loss rep_gp,wasserstein --penalty_weight 0.1

A run for each loss, side by side: a table (modes covered, high-quality fraction, energy distance, p-values of
two-sample tests), a picture (points, witness function, movement), a film of the training as a GIF, and CSV files.
"""

from paper.output import run_figure
from study.points import compare
from study.points_options import LearnedOptions, learned_settings

if __name__ == "__main__":
    run_figure(
        lambda options: compare(learned_settings(options), options, "points_learned"),
        LearnedOptions(),
        __file__,
        __doc__,
    )
