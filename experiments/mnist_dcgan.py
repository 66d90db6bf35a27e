"""Trains the DCGAN of the MMD GAN study: transposed convolutions and a convolutional critic with batch norm.

    python experiments/mnist_dcgan.py --data fashion_mnist
    python experiments/mnist_dcgan.py --data mnist --source FOLDER --max_step 2000

The attractive MMD loss, variances 2 to 80, Adam at 2e-4 (beta1 0.5) for both, batch 64.

20,000 steps of 507 ms of processor time, 2.8 hours on one thread, measured in 12 steps on a busy 2-core AMD
EPYC (AVX-512); scores after each quarter. --architecture mnist/DCGAN_HALF has half the width.
"""

from mmdgan.cli.program import run_experiment
from study.mnist import ROWS

PRESET = ROWS["dcgan"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
