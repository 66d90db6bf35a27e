"""Trains the paper's CelebA network, as the authors' my_test_celebA.py (Wang, Sun, Halgamuge, ICLR 2019).

    python -m mmdgan prepare celeba --source img_align_celeba.zip
    python experiments/my_test_celebA.py --loss rep_b
    python experiments/my_test_celebA.py --loss hinge --dry_run

100,000 steps of 64 faces, at 64x64, in eight rounds, each followed by a grid of samples and by scores. On two CPU
cores that would take nine days, a step 8 s; with --architecture celeba/DCGAN_QUARTER it takes fourteen hours.
"""

from mmdgan.cli.program import run_experiment
from mmdgan.runs.experiment import Experiment

# The rest of the authors' settings are what an Experiment has by itself.
PRESET = Experiment(
    architecture="celeba/DCGAN",
    data="celeba",
    lr_dis=1e-4,
    lr_gen=2e-4,
)

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
