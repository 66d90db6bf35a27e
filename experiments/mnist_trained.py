"""Trains an MLP generator and a small convolutional critic on the MMD of its scores (the MMD GAN study).

    python experiments/mnist_trained.py --data fashion_mnist
    python experiments/mnist_trained.py --data mnist --source FOLDER --max_step 2000

The attractive loss: the critic raises the MMD that the generator lowers. Kernels and optimiser as
experiments/mnist_pixels.py.

20,000 steps of 49 ms of processor time, 16 minutes on one thread, measured in 12 steps on a busy 2-core AMD
EPYC (AVX-512); scores after each quarter.
"""

from mmdgan.cli.program import run_experiment
from study.mnist import ROWS

PRESET = ROWS["trained"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
