"""Trains an MLP generator on the MMD of LeNet's features (the MMD GAN study).

    python experiments/mnist_lenet.py --data fashion_mnist
    python experiments/mnist_lenet.py --data mnist --source FOLDER --max_step 2000

LeNet-5 is trained as a classifier first, once, and kept as DATA_ROOT/<data>/lenet.npz; its last three layers are
cut off and the rest stays as it is. Kernels and optimiser as experiments/mnist_pixels.py.
"""

from mmdgan.cli import run_experiment
from mmdgan.study.mnist import ROWS

PRESET = ROWS["lenet"].experiment

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
