"""Trains the WGAN that the MMD GAN study compares with: the same networks, the Wasserstein loss and a gradient
penalty.

    python experiments/mnist_wgan_gp.py --data fashion_mnist
    python experiments/mnist_wgan_gp.py --data mnist --source FOLDER --max_step 2000

One score in the place of 16, penalty weight 0.1, one critic step per step of the generator.

20,000 steps of 653 ms of processor time, 3.6 hours on one thread, measured in 12 steps on a busy 2-core AMD
EPYC (AVX-512); scores after each quarter. --architecture mnist/DCGAN_HALF has half the width.
"""

from mmdgan.cli.program import run_experiment
from study.mnist import ROWS

PRESET = ROWS["wgan_gp"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
