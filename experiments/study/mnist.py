"""The rows of the MMD GAN study on MNIST and Fashion-MNIST: what each trains, and the experiment that does it.

Source: Benaziza, Baranova, Meziane, a student study of MMD as a GAN's loss, 2024; the repulsive and bounded losses
beside it are those of Wang, Sun, Halgamuge, ICLR 2019. Imports neither TensorFlow nor NumPy.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from mmdgan.runs.experiment import Experiment
from study.mnist_lenet import LeNetExperiment

VARIANCES = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
"""The a of the study's sum of Gaussians exp(-D / (2 a))."""

WIDER_VARIANCES = tuple(4 * a for a in VARIANCES)
"""Of random features, whose squared distances are some twice those of pixels (medians on Fashion-MNIST: 670 to 1,100
with three seeds, against 530), and thousands from noise: with `VARIANCES` all kernels would be 0 there."""

_COMMON = {
    "data": "fashion_mnist",
    "loss": "mmd_g",
    "variance": VARIANCES,
    "batch_size": 64,
    "lr_dis": 2e-4,
    "lr_gen": 2e-4,
    "max_step": 20_000,
    "rounds": 4,
    "query_step": 500,
    "save_every": 500,
    "grid": (10, 10),
    "features": "classifier",
    "metrics": ("fid", "is", "prdc", "nn"),
    "score_count": 5000,
}
"""What the rows share: Adam with beta1 0.5 and 2e-4, batch 64, the study's kernels."""


class Row(NamedTuple):
    """One row of the comparison.

    Attributes:
        experiment: what it trains.
        features: what the kernel compares, in a few words.
        penalty: the gradient penalty, in a few words.
        title: what is special about it.
    """

    experiment: Experiment
    features: str
    penalty: str
    title: str


def _row(title: str, features: str, penalty: str = "none", kind: type[Experiment] = Experiment, **fields: Any) -> Row:
    experiment = kind(**{**_COMMON, **fields})
    if experiment.loss not in ("mmd_g", "mmd_g_gp"):
        experiment = dataclasses.replace(experiment, variance=None)
    return Row(experiment, features, penalty, title)


ROWS: dict[str, Row] = {
    "pixels": _row("fixed kernel on pixels", "pixels", architecture="mnist/PIXELS"),
    "random_features": _row(
        "fixed random features",
        "random convolutions, fixed",
        architecture="mnist/RANDOM_FEATURES",
        variance=WIDER_VARIANCES,
        fixed_critic=True,
    ),
    "lenet": _row(
        "fixed LeNet features",
        "LeNet-5, fixed",
        architecture="mnist/LENET",
        fixed_critic=True,
        kind=LeNetExperiment,
    ),
    "trained": _row("trained features, MLP generator", "small convolutions, trained", architecture="mnist/MLP_TRAINED"),
    "rare": _row(
        "features trained every 500th step",
        "64-128-256, trained rarely",
        architecture="mnist/DCGAN",
        imbalanced_update=(500, 1),
    ),
    "dcgan": _row("DCGAN", "64-128-256, trained", architecture="mnist/DCGAN"),
    "penalty": _row(
        "DCGAN with gradient penalty",
        "64-128-256, trained",
        "0.1, of the witness",
        architecture="mnist/DCGAN",
        loss="mmd_g_gp",
        penalty_weight=0.1,
    ),
    "wgan_gp": _row(
        "WGAN with gradient penalty",
        "64-128-256, trained",
        "0.1, of the score",
        architecture="mnist/DCGAN",
        loss="wasserstein",
        penalty_weight=0.1,
    ),
    "attractive_sn": _row(
        "attractive loss, spectral norm", "64-128-256, trained, spectral norm", architecture="mnist/DCGAN_SN"
    ),
    "repulsive": _row(
        "repulsive loss", "64-128-256, trained, spectral norm", architecture="mnist/DCGAN_SN", loss="rep"
    ),
    "bounded": _row(
        "bounded repulsive loss", "64-128-256, trained, spectral norm", architecture="mnist/DCGAN_SN", loss="rep_b"
    ),
}
"""The rows by their names, in the order of the study."""


def script(row: str) -> str:
    """The script of a row, with its flags where it shares one."""
    if row == "attractive_sn":
        return "experiments/mnist_dcgan.py --architecture mnist/DCGAN_SN"
    return f"experiments/mnist_{row}.py"
