"""Trains the repulsive loss of Wang, Sun and Halgamuge (ICLR 2019) on the tasks of the MMD GAN study.

    python experiments/mnist_repulsive.py --data fashion_mnist
    python experiments/mnist_repulsive.py --data mnist --source FOLDER --max_step 2000

The critic of experiments/mnist_dcgan.py with spectral instead of batch normalisation, for which the loss is
meant.
"""

from mmdgan.cli import run_experiment
from mmdgan.study.mnist import ROWS

PRESET = ROWS["repulsive"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
