"""Trains the bounded repulsive loss of Wang, Sun and Halgamuge (ICLR 2019) on the tasks of the MMD GAN study.

    python experiments/mnist_bounded.py --data fashion_mnist
    python experiments/mnist_bounded.py --data mnist --source FOLDER --max_step 2000

As experiments/mnist_repulsive.py with bounded squared distances in the critic's loss.
"""

from mmdgan.cli import run_experiment
from mmdgan.study.mnist import ROWS

PRESET = ROWS["bounded"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
