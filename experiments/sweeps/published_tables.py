"""The authors' tables for CIFAR-10: 96 cells for each of four losses, at the paper's size.

    python -m mmdgan sweep experiments/sweeps/published_tables.py --engine ray --ray_address auto --gpus 1
    python -m mmdgan sweep table published_tables --rows loss,lr --columns gain,spectral

Sixteen pairs of learning rates; the product K of the critic's multipliers from 16 to 256 with PICO; and PIM, for which
the authors do not say their K: here it is 64, that of their scripts. `sweep table` prints their numbers with ours.
"""

from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps import Sweep

RATES = [1e-4, 2e-4, 5e-4, 1e-3]

SWEEP = Sweep(
    name="published_tables",
    base=Experiment(architecture="cifar10/DCGAN", data="cifar10", max_step=100_000, metrics=("fid", "is")),
    grid={"loss": ["hinge", "mmd_g", "rep", "rep_b"], "lr_dis": RATES, "lr_gen": RATES},
    points=[{"gain": gain, "spectral": "pico"} for gain in (16.0, 32.0, 64.0, 128.0, 256.0)]
    + [{"gain": 64.0, "spectral": "pim"}],
    metric="fid",
)
