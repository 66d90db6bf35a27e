"""Trains an MLP generator on the MMD of the features of a fixed, random convolutional network (the MMD GAN study).

    python experiments/mnist_random_features.py --data fashion_mnist
    python experiments/mnist_random_features.py --data mnist --source FOLDER --max_step 2000

Two convolutions and pools that keep their first weights; optimiser as experiments/mnist_pixels.py, kernels of four
times the variances.

20,000 steps of 34 ms of processor time, 11 minutes on one thread, measured in 12 steps on a busy 2-core AMD
EPYC (AVX-512); scores after each quarter.
"""

from mmdgan.cli.program import run_experiment
from study.mnist import ROWS

PRESET = ROWS["random_features"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
