"""Trains a small MMD-GAN on the embedded `sample` images, offline, in a few minutes on a laptop's CPU.

    python experiments/my_test_sample.py

The bounded repulsive loss, the CIFAR-10 network at a quarter of its width, 4,000 steps of 64 images.
Afterwards the last grid in Results/sample/.../samples/ shows digits on dim backgrounds, and the scores
compare them with real ones.
"""

from mmdgan.cli.program import run_experiment
from mmdgan.runs.experiment import Experiment

PRESET = Experiment(
    architecture="sample/DCGAN_SMALL",
    data="sample",
    loss="rep_b",
    batch_size=64,
    lr_dis=1e-3,
    lr_gen=1e-3,
    max_step=4000,
    rounds=2,
    query_step=500,
    save_every=500,
    grid=(10, 10),
    score_count=2000,
    features="classifier",
)

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
