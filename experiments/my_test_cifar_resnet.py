"""Trains the residual networks of SNGAN on CIFAR-10 (Miyato, Kataoka, Koyama, Yoshida, ICLR 2018).

    python experiments/my_test_cifar_resnet.py
    python experiments/my_test_cifar_resnet.py --architecture sngan/RESNET_32_QUARTER --loss rep_b
    python experiments/my_test_cifar_resnet.py --architecture sngan/PROJECTION_32 --num_class 10 --dry_run

The hinge loss, spectral norms of reshaped kernels, learning rates 2e-4, and a generator step with every fifth critic
step, as published; but Adam has betas 0.5 and 0.999 here, in the source 0 and 0.9. 100,000 critic steps in eight
rounds, so 20,000 generator steps: --max_step 500000 for the published 100,000.
"""

from mmdgan.cli.program import run_experiment
from mmdgan.runs.experiment import Experiment

PRESET = Experiment(
    architecture="sngan/RESNET_32",
    data="cifar10",
    loss="hinge",
    spectral="pim",
    lr_dis=2e-4,
    lr_gen=2e-4,
    imbalanced_update=(1, 5),
)

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
