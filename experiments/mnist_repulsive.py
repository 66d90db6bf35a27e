"""Trains the repulsive loss of Wang, Sun and Halgamuge (ICLR 2019) on the tasks of the MMD GAN study.

    python experiments/mnist_repulsive.py --data fashion_mnist
    python experiments/mnist_repulsive.py --data mnist --source FOLDER --max_step 2000

The critic of experiments/mnist_dcgan.py with spectral instead of batch normalisation, for which the loss is
meant.

20,000 steps of 531 ms of processor time, 3 hours on one thread, measured in 12 steps on a busy 2-core AMD EPYC
(AVX-512); scores after each quarter. --architecture mnist/DCGAN_SN_HALF has half the width.
"""

from mmdgan.cli.program import run_experiment
from study.mnist import ROWS

PRESET = ROWS["repulsive"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
