"""Trains an MLP generator on the MMD of LeNet's features (the MMD GAN study).

    python experiments/mnist_lenet.py --data fashion_mnist
    python experiments/mnist_lenet.py --data mnist --source FOLDER --max_step 2000

LeNet-5 is trained as a classifier first, once, and kept as DATA_ROOT/<data>/lenet.npz; its last three layers are
cut off and the rest stays as it is. Kernels and optimiser as experiments/mnist_pixels.py.

20,000 steps of 18 ms of processor time, 6 minutes on one thread, measured in 12 steps on a busy 2-core AMD EPYC
(AVX-512); scores after each quarter.
"""

from mmdgan.cli.program import run_experiment
from study.lenet import with_lenet
from study.mnist import ROWS

PRESET = ROWS["lenet"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__, with_lenet)
