"""Pairs of scores: their squared distances, means of kernel values over them, and how these are logged.

Notation of the loss modules: g generated and x data scores, D_ab their squared distances, E the mean over
pairs i != j, **the cross term included** (Wang et al. 2019, Eq. S2). In log tags "xx" is generated-generated,
"yy" data-data and "xy" generated-data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from mmdgan.errors import ConfigError
from mmdgan.losses import kernels
from mmdgan.losses.catalog import LossInputs
from mmdgan.losses.kernels import KernelFunction, mean_without_diagonal, squared_distances
from mmdgan.tensor_types import TensorLike

Logs = dict[str, tf.Tensor]


class Pairs(NamedTuple):
    """One quantity for the three kinds of pairs: generated-generated, data-data, generated-data."""

    gg: tf.Tensor
    xx: tf.Tensor
    gx: tf.Tensor

    def mmd2(self) -> tf.Tensor:
        """``gg + xx - 2 gx``, the squared MMD if these are mean kernel values."""
        return self.gg + self.xx - 2.0 * self.gx

    def repulsion(self, rep_weights: tuple[float, float]) -> tf.Tensor:
        """``w0 gx - gg - w1 xx``, the repulsive critic loss of mean kernel values (Eq. 4)."""
        return rep_weights[0] * self.gx - self.gg - rep_weights[1] * self.xx


def pair_products(a: TensorLike, b: TensorLike) -> Pairs:
    """Inner products ``<x, y>`` of the rows of two samples of equal width: the linear kernel."""
    a, b = kernels.as_floats(a, b)
    return Pairs(*(tf.matmul(first, second, transpose_b=True) for first, second in ((a, a), (b, b), (a, b))))


def score_distances(score_gen: TensorLike, score_data: TensorLike) -> Pairs:
    """Squared distances of generated (B, d) and data scores (B, d).

    Raises:
        ConfigError: fewer than 2 rows, or other shapes.
    """
    return pair_distances("score_gen", score_gen, "score_data", score_data, least=2)


def pair_distances(name_a: str, a: TensorLike, name_b: str, b: TensorLike, least: int) -> Pairs:
    """Squared distances of the rows of two samples; the names are for messages.

    Raises:
        ConfigError: fewer than `least` rows, or shapes that do not fit.
    """
    a, b = kernels.as_floats(a, b)
    check_rows(name_a, a, name_b, b, least)
    return Pairs(squared_distances(a, a), squared_distances(b, b), squared_distances(a, b))


def check_rows(name_a: str, a: tf.Tensor, name_b: str, b: tf.Tensor, least: int) -> None:
    """Refuses shapes that leave no pairs of rows to compare; sizes unknown before the run pass.

    Raises:
        ConfigError: as said.
    """
    for name, rows in ((name_a, a), (name_b, b)):
        if rows.shape.rank not in (None, 2):
            raise ConfigError(f"An MMD compares rows: {name} must be (N, d), not {tuple(rows.shape)}.")
        if rows.shape.rank == 2 and rows.shape[0] is not None and rows.shape[0] < least:
            raise ConfigError(f"This MMD needs {least} rows or more, but {name} has {rows.shape[0]}.")
    if not a.shape[1:].is_compatible_with(b.shape[1:]):
        raise ConfigError(
            f"An MMD compares rows of equal width, but {name_a} is {tuple(a.shape)} and {name_b} "
            f"{tuple(b.shape)}: take both from the same critic."
        )


def kernel_means(
    distances: Pairs, kernel: KernelFunction, scope: str, suffix: str = "", biased: bool = False
) -> tuple[Pairs, Logs]:
    """Means of a kernel without the diagonals, and their logs ``<scope>/kxx<suffix>``, kxy, kyy.

    Biased means run over all pairs, diagonals included: those of the V-statistic (Gretton et al. 2012, Eq. 5).
    """
    mean = tf.reduce_mean if biased else mean_without_diagonal
    means = Pairs(*(mean(kernel(d)) for d in distances))
    logs = {
        f"{scope}/kxx{suffix}": means.gg,
        f"{scope}/kxy{suffix}": means.gx,
        f"{scope}/kyy{suffix}": means.xx,
    }
    return means, logs


def mixture_mmd2(
    distances: Pairs, members: Sequence[KernelFunction], scope: str, suffix: str = "", biased: bool = False
) -> tuple[tf.Tensor, Logs]:
    """Squared MMD summed over kernels, and the logs of each: ``<scope>/kxx<suffix>/d0`` and so on."""
    logs: Logs = {}
    terms = []
    for i, kernel in enumerate(members):
        means, member_logs = kernel_means(distances, kernel, scope, f"{suffix}/d{i}", biased)
        logs |= member_logs
        terms.append(means.mmd2())
    return tf.add_n(terms), logs


def distance_logs(distances: Pairs) -> Logs:
    """The squared distances as histograms."""
    return {
        "squared_dist/dxx": distances.gg,
        "squared_dist/dxy": distances.gx,
        "squared_dist/dyy": distances.xx,
    }


def with_penalty(loss_dis: tf.Tensor, inputs: LossInputs) -> tf.Tensor:
    """The critic's loss plus the penalty, if one was passed."""
    if inputs.dis_penalty is None:
        return loss_dis
    return loss_dis + tf.cast(inputs.dis_penalty, loss_dis.dtype)
