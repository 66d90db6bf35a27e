"""Table 1 of the paper, made again: seven methods on one data set over several seeds, with the published numbers.

    python experiments/table1.py --runs Results/sweeps/table1_small/cifar10
    python experiments/table1.py --data cifar10 --architecture cifar10/DCGAN_QUARTER --max_step 1500 --seeds 0,1

With runs it collects what they have: scores at their last step, or that they diverged. Without, it trains each method
and seed that is missing by a sweep, in Results/sweeps/table1; stopped at any time, the same command goes on.
--learning_rates 5e-4/2e-4,1e-4/2e-4 tries several pairs, of which each method's best is shown, as in the paper. It
prints the table as Markdown and writes Results/figures/table1.md, .png, .pdf, .csv and _runs.csv (every run).

Collecting takes seconds, a run of 1,500 steps of the quarter-width network some five minutes on one CPU core. The
paper's own protocol needs GPUs: 100,000 steps at full width, 16 pairs of learning rates.
"""

from paper.output import run_figure
from paper.table1 import TableOptions, make

if __name__ == "__main__":
    run_figure(make, TableOptions(), __file__, __doc__, arguments=("[RUN...]",))
