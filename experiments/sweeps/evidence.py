"""Four losses at the paper's length: 100,000 steps each of a quarter-width DCGAN on CIFAR-10's images.

    python -m mmdgan sweep experiments/sweeps/evidence.py --jobs 2 --threads 1

The learning rates are those of the released CIFAR-10 script; a moving average of the generator's weights runs along.
Each run keeps its checkpoint after 1, 2, 5, 10, 20, 50 and 100 thousand steps, to be scored later, so that no
feature network has to be at hand while it trains. On a GPU, cifar10/DCGAN in place of the architecture is the
paper's own experiment.
"""

from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps import Sweep

SWEEP = Sweep(
    name="evidence",
    base=Experiment(
        architecture="cifar10/DCGAN_QUARTER",
        data="cifar10",
        lr_dis=5e-4,
        lr_gen=2e-4,
        ema=0.999,
        score_steps=(1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000),
        keep_rounds=True,
        query_step=1_000,
        grid=(10, 10),
        metrics=(),
        features="classifier",
    ),
    grid={"loss": ["rep_b", "hinge", "rep", "mmd_g"]},
)
