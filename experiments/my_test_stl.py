"""Trains the paper's STL-10 network, as the authors' my_test_stl.py (Wang, Sun, Halgamuge, ICLR 2019).

    python -m mmdgan prepare stl10 --source stl10_binary
    python experiments/my_test_stl.py --loss rep_b
    python experiments/my_test_stl.py --architecture stl10/DCGAN_PAPER --dry_run

100,000 steps of 64 of the unlabelled images, at 48x48, in eight rounds, each followed by a grid of samples and by
scores. On two CPU cores that would take more than three days, a step 3 s; with --architecture stl10/DCGAN_QUARTER
it takes six hours and a half.
"""

from mmdgan.cli.program import run_experiment
from mmdgan.runs.experiment import Experiment

# The rest of the authors' settings are what an Experiment has by itself.
PRESET = Experiment(
    architecture="stl10/DCGAN",
    data="stl10",
    lr_dis=2e-4,
    lr_gen=2e-4,
)

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
