"""Points of the plane learned by MMD^2 with a fixed kernel of the points themselves: the bandwidth decides.

    python experiments/points_fixed.py --points ring --sigma 0.05,0.2,1
    python experiments/points_fixed.py --points grid --sigma 0.05,0.2,1 --mixture
    python experiments/points_fixed.py --kernel rational_quadratic --alpha 0.1,1,10

A run for each width, side by side: a table (modes covered, high-quality fraction, energy distance, p-values of
two-sample tests), a picture (points, witness function, movement), a film of the training as a GIF, and CSV files.
"""

from paper.output import run_figure
from study.points import compare
from study.points_options import FixedOptions, fixed_settings

if __name__ == "__main__":
    run_figure(
        lambda options: compare(fixed_settings(options), options, "points_fixed"), FixedOptions(), __file__, __doc__
    )
