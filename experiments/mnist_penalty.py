"""Trains the DCGAN of the MMD GAN study with a gradient penalty on the witness function.

    python experiments/mnist_penalty.py --data fashion_mnist
    python experiments/mnist_penalty.py --data mnist --source FOLDER --max_step 2000

As experiments/mnist_dcgan.py with --loss mmd_g_gp; the study tried weights from --penalty_weight 0.05 to 0.1.
"""

from mmdgan.cli import run_experiment
from mmdgan.study.mnist import ROWS

PRESET = ROWS["penalty"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
