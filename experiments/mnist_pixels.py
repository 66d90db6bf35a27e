"""Trains an MLP generator on the MMD of its pixels: a fixed kernel, no critic (the MMD GAN study).

    python experiments/mnist_pixels.py --data fashion_mnist
    python experiments/mnist_pixels.py --data mnist --source FOLDER --max_step 2000

MMD-rbf with variances 2 to 80 on the 784 pixels, Adam at 2e-4 (beta1 0.5), batch 64. --biased gives the
V-statistic, --add_dot 0.1 a linear term; --loss mmd_t --variance none --alpha 0.1,1,10 the study's rational
quadratic kernels.

20,000 steps of 12 ms of processor time, 4 minutes on one thread, measured in 12 steps on a busy 2-core AMD EPYC
(AVX-512); scores after each quarter.
"""

from mmdgan.cli.program import run_experiment
from study.mnist import ROWS

PRESET = ROWS["pixels"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
