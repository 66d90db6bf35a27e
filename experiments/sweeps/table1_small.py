"""The paper's Table 1 at a size that two cores manage: seven methods, two pairs of learning rates, two seeds.

    python -m mmdgan sweep experiments/sweeps/table1_small.py --jobs 2 --threads 1
    python experiments/table1.py --runs Results/sweeps/table1_small/cifar10

28 short runs of a very narrow network on CIFAR-10's images; the better pair of each method goes into the table, as the
best of sixteen does in the paper. At the paper's size it is a sweep of cifar10/DCGAN with 100,000 steps.
"""

from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps import Sweep

SWEEP = Sweep(
    name="table1_small",
    base=Experiment(
        architecture="cifar10/DCGAN_EIGHTH",
        data="cifar10",
        batch_size=32,
        max_step=400,
        rounds=1,
        query_step=400,
        save_every=None,
        keep=1,
        grid=(8, 8),
        metrics=("fid", "is", "kid"),
        features="classifier",
        score_count=2048,
    ),
    grid={"loss": ["logistic", "hinge", "mmd_g", "mmd_t", "mgb", "rep", "rep_b"], "seed": [0, 1]},
    zip={"lr_dis": [5e-4, 1e-3], "lr_gen": [5e-4, 1e-3]},
    metric="fid",
)
