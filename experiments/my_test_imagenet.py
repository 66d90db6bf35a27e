"""Trains networks for 128x128 images on ImageNet: the DCGAN of Wang, Sun, Halgamuge (ICLR 2019) with one stage more.

    python -m mmdgan prepare imagenet --source ILSVRC2012_img_train.tar
    python experiments/my_test_imagenet.py --loss rep_b
    python experiments/my_test_imagenet.py --architecture sngan/PROJECTION_128 --num_class 1000 --loss hinge --dry_run

100,000 steps of 64 images in eight rounds, each followed by a grid of samples and by scores. The paper has no run at
this size: the learning rates are those of its LSUN script. For CPUs there is --architecture imagenet/DCGAN_QUARTER.
"""

from mmdgan.cli.program import run_experiment
from mmdgan.runs.experiment import Experiment

# The rest of the authors' settings are what an Experiment has by itself.
PRESET = Experiment(
    architecture="imagenet/DCGAN",
    data="imagenet",
    lr_dis=2e-4,
    lr_gen=1e-4,
)

if __name__ == "__main__":
    run_experiment(PRESET, __file__, __doc__)
