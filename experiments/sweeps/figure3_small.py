"""The grid of the paper's Figure 3 at a size that two cores manage: 96 short runs of a very narrow network.

    python -m mmdgan sweep experiments/sweeps/figure3_small.py --jobs 2 --threads 1
    python experiments/figure3_sweep.py Results/sweeps/figure3_small

Six λ, sixteen pairs of learning rates, the repulsive loss without bounds, CIFAR-10's images. What so few steps show is
which settings learn quickly and which ones diverge, not where they end: for that there is figure3.py.
"""

from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps import Sweep

RATES = [1e-4, 2e-4, 5e-4, 1e-3]

SWEEP = Sweep(
    name="figure3_small",
    base=Experiment(
        architecture="cifar10/DCGAN_EIGHTH",
        data="cifar10",
        loss="rep",
        batch_size=32,
        max_step=150,
        rounds=1,
        query_step=150,
        save_every=None,
        keep=1,
        grid=(8, 8),
        metrics=("fid",),
        features="classifier",
        score_count=2048,
    ),
    grid={"rep_lambda": [-1.0, -0.5, 0.0, 0.5, 1.0, 2.0], "lr_dis": RATES, "lr_gen": RATES},
    metric="fid",
)
