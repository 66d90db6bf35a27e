"""Maximum mean discrepancy: the statistic, its witness function, and the losses made of it.

Source: Wang, Sun, Halgamuge, "Improving MMD-GAN Training with Repulsive Loss Function", ICLR 2019 (equation
numbers are its own). Notation: g generated and x data scores, D_ab their squared distances, E the mean over
pairs i != j, **the cross term included** (Eq. S2). In log tags "xx" is generated-generated, "yy" data-data
and "xy" generated-data, "_b" the bounded ones, "/d0" the first member of a mixture. How each loss function
is called: `mmdgan.losses.catalog.LossEntry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from mmdgan.errors import ConfigError
from mmdgan.losses import kernels
from mmdgan.losses.catalog import GanLosses, LossInputs
from mmdgan.losses.kernels import gaussian, mean_without_diagonal, squared_distances

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


def mmd2(x, y, kernel: str = "gaussian", unbiased: bool = True, **options) -> tf.Tensor:
    """Squared maximum mean discrepancy between two samples, by one of three estimators.

    * ``unbiased=True``, equally many rows n: all three means run over i != j and are divided by n(n - 1), the
      cross term too (Eq. S2), as in the losses. Rows are paired: reordering y changes the value a little.
    * ``unbiased=True``, M != N rows: the own terms run over i != j, the cross term is the plain mean over all
      M N pairs (Gretton et al. 2012, Eq. 3).
    * ``unbiased=False``: three plain means, diagonals included (the V-statistic, Gretton et al., Eq. 5).

    Args:
        x: (M, d).
        y: (N, d). The unbiased estimators need at least 2 rows of each.
        kernel: "gaussian" or "rational_quadratic".
        unbiased: see above.
        **options: ``sigma`` (gaussian, default 1) or ``alpha`` and ``beta`` (rational quadratic, defaults 1
            and 2). Lists of ``sigma`` or ``alpha`` are mixtures: the kernels are summed.

    Returns:
        A scalar.

    Raises:
        ConfigError: an unknown kernel or option, or shapes that do not fit.
    """
    distances = _pair_distances("x", x, "y", y, least=2 if unbiased else 1)
    own, cross = (mean_without_diagonal, _cross_mean) if unbiased else (tf.reduce_mean, tf.reduce_mean)
    return tf.add_n(
        [
            Pairs(own(k(distances.gg)), own(k(distances.xx)), cross(k(distances.gx))).mmd2()
            for k in kernels.mixture(kernel, **options)
        ]
    )


def witness(z, x, y, kernel: str = "gaussian", **options) -> tf.Tensor:
    """The witness function ``f(z) = mean_j k(z, x_j) - mean_j k(z, y_j)``: high where x is denser than y.

    Args:
        z: (N, d), where to evaluate it.
        x: (M, d), e.g. data.
        y: (L, d), e.g. generated.
        kernel: as in `mmd2`.
        **options: as in `mmd2`; the members of a mixture are summed.

    Returns:
        (N,)

    Raises:
        ConfigError: as `mmd2`.
    """
    z, x, y = kernels.as_floats(z, x, y)
    _check_rows("z", z, "x", x, least=1)
    _check_rows("z", z, "y", y, least=1)
    to_x, to_y = squared_distances(z, x), squared_distances(z, y)
    members = kernels.mixture(kernel, **options)
    return tf.add_n([tf.reduce_mean(k(to_x), axis=1) - tf.reduce_mean(k(to_y), axis=1) for k in members])


def fixed_g(score_gen, score_data, inputs: LossInputs, *, sigma: Sequence[float]) -> GanLosses:
    """MMD-rbf (Eq. 2, 3): L_G = MMD^2 summed over Gaussian widths, L_D = -L_G (+ dis_penalty)."""
    return _attractive(score_gen, score_data, inputs, kernels.gaussians(sigma))


def fixed_t(score_gen, score_data, inputs: LossInputs, *, alpha: Sequence[float], beta: float) -> GanLosses:
    """MMD-rq: L_G = MMD^2 summed over rational quadratic exponents, L_D = -L_G (+ dis_penalty)."""
    return _attractive(score_gen, score_data, inputs, kernels.rational_quadratics(alpha, beta))


def mgb(
    score_gen, score_data, inputs: LossInputs, *, sigma: float, lower_bound: float, upper_bound: float
) -> GanLosses:
    """MMD-rbf-b (Eq. 6): L_G = MMD^2; L_D = -MMD^2 (+ dis_penalty) of bounded distances.

    Pairs of one kind attract at max(D, lower_bound), generated and data repel at min(D, upper_bound).
    """
    distances = _score_distances(score_gen, score_data)
    bounded = Pairs(
        tf.maximum(distances.gg, lower_bound),
        tf.maximum(distances.xx, lower_bound),
        tf.minimum(distances.gx, upper_bound),
    )
    means, logs = _kernel_means(distances, sigma, inputs.scope)
    means_b, logs_b = _kernel_means(bounded, sigma, inputs.scope, suffix="_b")
    loss_dis = _with_penalty(-means_b.mmd2(), inputs)
    return GanLosses(means.mmd2(), loss_dis, {**logs, **logs_b, **_distance_logs(distances)}, inputs.state)


def rep(score_gen, score_data, inputs: LossInputs, *, rep_weights: tuple[float, float], sigma: float) -> GanLosses:
    """MMD-rep (Eq. 4, 5): L_G = MMD^2, L_D = w0 E k_gx - E k_gg - w1 E k_xx, w = (1 - lambda, -lambda).

    A ``dis_penalty`` is added first; with a ``dis_scale`` the critic's loss then is ``(L_D - 1) dis_scale``.
    """
    distances = _score_distances(score_gen, score_data)
    means, logs = _kernel_means(distances, sigma, inputs.scope)
    loss_dis = _with_penalty(means.repulsion(rep_weights), inputs)
    if inputs.dis_scale is not None:
        loss_dis = (loss_dis - 1.0) * tf.cast(inputs.dis_scale, loss_dis.dtype)
    return GanLosses(means.mmd2(), loss_dis, {**logs, **_distance_logs(distances)}, inputs.state)


def rmb(
    score_gen,
    score_data,
    inputs: LossInputs,
    *,
    rep_weights: tuple[float, float],
    sigma: float,
    lower_bound: float,
    upper_bound: float,
    cross_bound: bool,
) -> GanLosses:
    """MMD-rep-b (Eq. 7): `rep` with a critic that sees bounded distances; L_G stays unbounded.

    Generated pairs are at max(D, lower_bound). Data pairs repel at min(D, upper_bound) if w1 <= 0, else
    (lambda < 0) attract at max(D, lower_bound). Cross pairs are unbounded as in the released code, unless
    ``cross_bound`` and lambda < 0: then at min(D, upper_bound), the paper's Eq. 6. A ``dis_penalty`` is added
    first, then the critic's loss is multiplied by a ``dis_scale`` (without the -1 of `rep`).
    """
    distances = _score_distances(score_gen, score_data)
    attract = rep_weights[1] > 0
    bounded = Pairs(
        tf.maximum(distances.gg, lower_bound),
        tf.maximum(distances.xx, lower_bound) if attract else tf.minimum(distances.xx, upper_bound),
        tf.minimum(distances.gx, upper_bound) if attract and cross_bound else distances.gx,
    )
    means, logs = _kernel_means(distances, sigma, inputs.scope)
    means_b, logs_b = _kernel_means(bounded, sigma, inputs.scope, suffix="_b")
    loss_dis = _with_penalty(means_b.repulsion(rep_weights), inputs)
    if inputs.dis_scale is not None:
        loss_dis = loss_dis * tf.cast(inputs.dis_scale, loss_dis.dtype)
    return GanLosses(means.mmd2(), loss_dis, {**logs, **logs_b, **_distance_logs(distances)}, inputs.state)


def _attractive(score_gen, score_data, inputs: LossInputs, members: Sequence[kernels.KernelFunction]) -> GanLosses:
    distances = _score_distances(score_gen, score_data)
    logs = _distance_logs(distances)
    terms = []
    for i, kernel in enumerate(members):
        means = Pairs(*(mean_without_diagonal(kernel(d)) for d in distances))
        logs.update(_mean_logs(means, inputs.scope, suffix=f"/d{i}"))
        terms.append(means.mmd2())
    loss_gen = tf.add_n(terms)
    return GanLosses(loss_gen, _with_penalty(-loss_gen, inputs), logs, inputs.state)


def _cross_mean(matrix: tf.Tensor) -> tf.Tensor:
    """The mean over i != j of a square matrix, and over all entries of any other."""
    shape = tf.shape(matrix)
    return tf.where(shape[0] == shape[1], mean_without_diagonal(matrix), tf.reduce_mean(matrix))


def _kernel_means(distances: Pairs, sigma: float, scope: str, suffix: str = "") -> tuple[Pairs, Logs]:
    means = Pairs(*(mean_without_diagonal(gaussian(d, sigma)) for d in distances))
    return means, _mean_logs(means, scope, suffix)


def _mean_logs(means: Pairs, scope: str, suffix: str) -> Logs:
    return {
        f"{scope}/kxx{suffix}": means.gg,
        f"{scope}/kxy{suffix}": means.gx,
        f"{scope}/kyy{suffix}": means.xx,
    }


def _distance_logs(distances: Pairs) -> Logs:
    return {
        "squared_dist/dxx": distances.gg,
        "squared_dist/dxy": distances.gx,
        "squared_dist/dyy": distances.xx,
    }


def _with_penalty(loss_dis: tf.Tensor, inputs: LossInputs) -> tf.Tensor:
    if inputs.dis_penalty is None:
        return loss_dis
    return loss_dis + tf.cast(inputs.dis_penalty, loss_dis.dtype)


def _score_distances(score_gen, score_data) -> Pairs:
    return _pair_distances("score_gen", score_gen, "score_data", score_data, least=2)


def _pair_distances(name_a: str, a, name_b: str, b, least: int) -> Pairs:
    a, b = kernels.as_floats(a, b)
    _check_rows(name_a, a, name_b, b, least)
    return Pairs(squared_distances(a, a), squared_distances(b, b), squared_distances(a, b))


def _check_rows(name_a: str, a: tf.Tensor, name_b: str, b: tf.Tensor, least: int) -> None:
    """Refuses shapes that leave no pairs of rows to compare; sizes unknown before the run pass."""
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
