"""Trains the paper's LSUN network, as the authors' my_test_lsun.py (Wang, Sun, Halgamuge, ICLR 2019).

    python -m mmdgan prepare lsun --source bedroom_train_lmdb
    python experiments/my_test_lsun.py --loss rep_b
    python experiments/my_test_lsun.py --loss hinge --dry_run

100,000 steps of 64 bedrooms, at 64x64, in eight rounds, each followed by a grid of samples and by scores. On two
CPU cores that would take nine days, a step 8 s; with --architecture celeba/DCGAN_QUARTER it takes fourteen hours.
"""

from mmdgan.cli.program import run_experiment
from mmdgan.runs.experiment import Experiment

# The rest of the authors' settings are what an Experiment has by itself.
PRESET = Experiment(
    architecture="lsun/DCGAN",
    data="lsun",
    lr_dis=2e-4,
    lr_gen=1e-4,
)

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
