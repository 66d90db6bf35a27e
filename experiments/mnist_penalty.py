"""Trains the DCGAN of the MMD GAN study with a gradient penalty on the witness function.

    python experiments/mnist_penalty.py --data fashion_mnist
    python experiments/mnist_penalty.py --data mnist --source FOLDER --max_step 2000

As experiments/mnist_dcgan.py with --loss mmd_g_gp; the study tried weights from --penalty_weight 0.05 to 0.1.

20,000 steps of 662 ms of processor time, 3.7 hours on one thread, measured in 12 steps on a busy 2-core AMD
EPYC (AVX-512); scores after each quarter. --architecture mnist/DCGAN_HALF has half the width.
"""

from mmdgan.cli.program import run_experiment
from study.mnist import ROWS

PRESET = ROWS["penalty"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
