"""Eight small runs on the embedded `sample` images, two of which diverge: some minutes on two cores.

    python -m mmdgan sweep experiments/sweeps/example.py
    python -m mmdgan sweep table example

Plain gradient descent at a critic's learning rate of 1e30 is meant to go wrong: that is a result too.
"""

from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps import Sweep

SWEEP = Sweep(
    name="example",
    base=Experiment(
        architecture="sample/DCGAN_SMALL",
        data="sample",
        batch_size=32,
        max_step=60,
        rounds=1,
        query_step=60,
        grid=(4, 4),
        metrics=("fid",),
        features="classifier",
        score_count=512,
        keep=1,
    ),
    points=[
        {"loss": "rep", "lr_dis": 5e-4},
        {"loss": "rep", "lr_dis": 1e-3},
        {"loss": "rep_b", "lr_dis": 1e-3},
        {"loss": "rep_b", "lr_dis": 1e30, "optimizer": "sgd"},
    ],
    grid={"lr_gen": [1e-3, 2e-3]},
)
