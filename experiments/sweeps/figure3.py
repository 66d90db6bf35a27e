"""The 192 runs of the paper's Figure 3: the repulsive losses over λ and both learning rates, at the paper's size.

    python -m mmdgan sweep experiments/sweeps/figure3.py --engine ray --ray_address auto --gpus 1
    python experiments/figure3_sweep.py Results/sweeps/figure3

Six λ from -1 (MMD-GAN) over 0 to 2, sixteen pairs of learning rates, without bounds and with them; `cross_bound`
bounds the cross term too, as the paper's Eq. 6 does for λ < 0. 100,000 steps each: for a cluster.
"""

from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps import Sweep

RATES = [1e-4, 2e-4, 5e-4, 1e-3]

SWEEP = Sweep(
    name="figure3",
    base=Experiment(architecture="cifar10/DCGAN", data="cifar10", max_step=100_000, metrics=("fid", "is")),
    zip={"loss": ["rep", "rep_b"], "cross_bound": [False, True]},
    grid={"rep_lambda": [-1.0, -0.5, 0.0, 0.5, 1.0, 2.0], "lr_dis": RATES, "lr_gen": RATES},
    metric="fid",
)
