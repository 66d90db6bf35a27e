"""Draws the scores of sweeps over λ and the learning rates, with the authors' grid (the paper's Figure 3).

    python -m mmdgan sweep experiments/sweeps/figure3_small.py --jobs 2 --threads 1
    python experiments/figure3_sweep.py Results/sweeps/figure3_small
    python experiments/figure3_sweep.py --quick

A sweep that is still running is drawn as far as it is. Diverged runs are at infinity, and so is what is beyond --limit.
"""

import os
import sys
from collections.abc import Sequence

from mmdgan.cli.flags import parse
from mmdgan.cli.program import run_main
from paper.sweep_scores import SweepFigureOptions, make_figure


def main(argv: Sequence[str]) -> None:
    """Makes the figure and prints its files."""
    usage = f"usage: python {os.path.relpath(__file__)} [SWEEP ...] [--flag=value ...]\n\n{__doc__}"
    parsed = parse(SweepFigureOptions(), argv, usage=usage, arguments=("[SWEEP...]",))
    for file in make_figure(parsed.options, parsed.arguments).files:
        print(file)


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
