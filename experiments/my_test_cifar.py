"""Trains the paper's CIFAR-10 network, as the authors' my_test_cifar.py (Wang, Sun, Halgamuge, ICLR 2019).

    python experiments/my_test_cifar.py --loss rep_b
    python experiments/my_test_cifar.py --loss hinge --architecture my.py:MINE --dry_run

100,000 steps of 64 images in eight rounds, each followed by a grid of samples and by scores. Without a GPU
this takes days: see experiments/my_test_sample.py for minutes, or give --architecture cifar10/DCGAN_QUARTER.
"""

from mmdgan.cli.program import run_experiment
from mmdgan.runs.experiment import Experiment

# The rest of the authors' settings are what an Experiment has by itself.
PRESET = Experiment(
    architecture="cifar10/DCGAN",
    data="cifar10",
    lr_dis=5e-4,
    lr_gen=2e-4,
)

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
