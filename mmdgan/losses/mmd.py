"""Maximum mean discrepancy: the statistic, its witness function, and the losses made of it.

Source: Wang, Sun, Halgamuge, "Improving MMD-GAN Training with Repulsive Loss Function", ICLR 2019 (equation
numbers are its own). Notation and log tags: `mmdgan.losses.kernels`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from mmdgan.core.lazy import tf
from mmdgan.core.signatures import takes
from mmdgan.core.types import TensorLike
from mmdgan.losses.kernels import (
    OPTIONS,
    Blocked,
    Distances,
    KernelFunction,
    Pairs,
    apply,
    as_floats,
    at_least,
    at_most,
    centred,
    check_rows,
    distance_logs,
    full_mean,
    gaussian,
    kernel_means,
    mean_without_diagonal,
    mixture,
    mixture_mmd2,
    normal_means,
    pair_distances,
    pair_products,
    root,
    score_distances,
    squared_distances,
)
from mmdgan.losses.options import check_option
from mmdgan.losses.registry import GanLosses, LossInputs, loss

SIGMAS = (1.0, math.sqrt(2.0), 2.0, math.sqrt(8.0), 4.0)
_PAPER = "Wang et al. 2019"


@takes(*OPTIONS)
def mmd2(
    x: TensorLike, y: TensorLike, kernel: str = "gaussian", unbiased: bool = True, add_dot: float = 0.0, **options: Any
) -> tf.Tensor:
    """Squared maximum mean discrepancy between two samples, by one of three estimators.

    * ``unbiased=True``, equally many rows n: all three means run over i != j and are divided by n(n - 1), the
      cross term too (Eq. S2), as in the losses. Rows are paired: reordering y changes the value a little.
    * ``unbiased=True``, M != N rows: the own terms run over i != j, the cross term is the plain mean over all
      M N pairs (Gretton et al. 2012, Eq. 3).
    * ``unbiased=False``: three plain means, diagonals included (the V-statistic, Gretton et al., Eq. 5).

    Args:
        x: (M, d).
        y: (N, d). The unbiased estimators need at least 2 rows of each.
        kernel: "gaussian", "rational_quadratic" or "laplace" (``exp(-|a - b| / (2 sigma^2))``).
        unbiased: See above.
        add_dot: This times ``<x, y>`` is added to the sum of kernels, once (Binkowski et al. 2018).
        **options: ``sigma`` (gaussian and laplace, default 1) or ``variance``, its square; or ``alpha`` and
            ``beta`` (rational quadratic, defaults 1 and 2). Lists of ``sigma``, ``variance`` or ``alpha`` are
            mixtures: the kernels are summed.

    Returns:
        A scalar.

    Raises:
        ConfigError: An unknown kernel or option, or shapes that do not fit.
    """
    add_dot = check_option("MMD", "add_dot", add_dot, 0.0)
    distances = pair_distances("x", x, "y", y, least=2 if unbiased else 1)
    total = tf.add_n([_estimate(distances, k, unbiased) for k in mixture(kernel, **options)])
    return total + add_dot * _estimate(pair_products(*centred(x, y)), tf.identity, unbiased) if add_dot else total


def cramer(x: TensorLike, y: TensorLike, unbiased: bool = True) -> tf.Tensor:
    """The Cramer (energy) distance ``2 E|x - y| - E|x - x'| - E|y - y'|``: the MMD of the kernel ``-|a - b|``.

    Source: Szekely & Rizzo 2004; Bellemare et al. 2017. A 1e-16 under the root keeps gradients finite.

    Args:
        x: (M, d).
        y: (N, d).
        unbiased: As in `mmd2`.

    Returns:
        A scalar.

    Raises:
        ConfigError: Shapes that do not fit.
    """
    distances = pair_distances("x", x, "y", y, least=2 if unbiased else 1)
    return _estimate(distances, lambda squared: -root(squared), unbiased)


def mmd2_normal(
    x: TensorLike, mean: TensorLike = 0.0, variance: float = 1.0, sigma: Any = 1.0, unbiased: bool = True
) -> tf.Tensor:
    """Squared MMD between a sample and the normal N(mean, variance I), whose expectations are exact.

    With the Gaussian kernel and w = sigma^2: ``E k_xy = (w / (w + v))^(d/2) exp(-|x - mean|^2 / (2 (w + v)))``,
    averaged over x, and ``E k_yy = (w / (w + 2 v))^(d/2)``. (The original's function of this kind took w.)

    Args:
        x: (N, d).
        mean: Mean of the normal: a number, or (d,).
        variance: v, the variance of each coordinate.
        sigma: Kernel width, or several: the kernels are summed.
        unbiased: Whether the mean over pairs of x runs over i != j (at least 2 rows) or over all pairs.

    Returns:
        A scalar.

    Raises:
        ConfigError: Shapes that do not fit, or a width or variance that is not positive.
    """
    variance = check_option("normal reference", "variance", variance, 1.0)
    [x] = as_floats(x)
    mean = tf.cast(mean, x.dtype) if tf.is_tensor(mean) else tf.convert_to_tensor(mean, x.dtype)
    check_rows("x", x, "x", x, least=2 if unbiased else 1)
    if mean.shape.rank:
        check_rows("x", x, "mean", tf.reshape(mean, (1, -1)), least=1)
    own = mean_without_diagonal if unbiased else tf.reduce_mean
    distances, from_mean = squared_distances(x, x), tf.reduce_sum(tf.square(x - mean), axis=1)
    size = tf.cast(tf.shape(x)[1], x.dtype)
    terms = []
    for width in check_option("kernel 'gaussian'", "sigma", sigma, SIGMAS):
        cross, reference = normal_means(from_mean, size, variance, 0.5 / width**2)
        terms.append(own(gaussian(distances, width)) + reference - 2.0 * cross)
    return tf.add_n(terms)


@takes(*OPTIONS)
def witness(
    z: TensorLike, x: TensorLike, y: TensorLike, kernel: str = "gaussian", add_dot: float = 0.0, **options: Any
) -> tf.Tensor:
    """The witness function ``f(z) = mean_j k(z, x_j) - mean_j k(z, y_j)``: high where x is denser than y.

    Args:
        z: (N, d), where to evaluate it.
        x: (M, d), e.g. data.
        y: (L, d), e.g. generated.
        kernel: As in `mmd2`.
        add_dot: As in `mmd2`.
        **options: As in `mmd2`; the members of a mixture are summed.

    Returns:
        (N,)

    Raises:
        ConfigError: As `mmd2`.
    """
    z, x, y = as_floats(z, x, y)
    check_rows("z", z, "x", x, least=1)
    check_rows("z", z, "y", y, least=1)
    to_x, to_y = squared_distances(z, x), squared_distances(z, y)
    members = mixture(kernel, **options)
    total = tf.add_n([tf.reduce_mean(k(to_x), axis=1) - tf.reduce_mean(k(to_y), axis=1) for k in members])
    if not (add_dot := check_option("witness", "add_dot", add_dot, 0.0)):
        return total
    return total + add_dot * tf.linalg.matvec(z, tf.reduce_mean(x, axis=0) - tf.reduce_mean(y, axis=0))


@loss(
    "fixed_g",
    "mmd_g",
    source=f"{_PAPER}, Eq. 2, 3",
    formula=r"\sum_\sigma \MMD^2(k_\sigma); -L_G",
    zero_sum=True,
    adds_penalty=True,
)
def fixed_g(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    sigma: Sequence[float] = SIGMAS,
    add_dot: float = 0.0,
    biased: bool = False,
) -> GanLosses:
    """MMD-rbf: MMD^2 summed over Gaussian widths sigma; L_D = -L_G."""
    return _attractive(score_gen, score_data, inputs, mixture("gaussian", sigma=sigma), add_dot, biased)


@loss(
    "fixed_t",
    "mmd_t",
    source=f"{_PAPER}, section 2; Binkowski et al. 2018",
    formula=r"\sum_\alpha \MMD^2(k_\alpha); -L_G",
    zero_sum=True,
    adds_penalty=True,
)
def fixed_t(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    alpha: Sequence[float] = (0.2, 0.5, 1.0, 2.0, 5.0),
    beta: float = 2.0,
    add_dot: float = 0.0,
    biased: bool = False,
) -> GanLosses:
    """MMD-rq: MMD^2 summed over rational quadratic exponents alpha; L_D = -L_G."""
    members = mixture("rational_quadratic", alpha=alpha, beta=beta)
    return _attractive(score_gen, score_data, inputs, members, add_dot, biased)


@loss(
    "mgb",
    source=f"{_PAPER}, Eq. 6",
    formula=r"\MMD^2(k_\sigma); 2 \E k(\min(D_{gx}, b_u)) - \E k(\max(D_{gg}, b_l)) - \E k(\max(D_{xx}, b_l))",
    adds_penalty=True,
)
def mgb(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    sigma: float = 1.0,
    lower_bound: float = 0.25,
    upper_bound: float = 4.0,
    biased: bool = False,
) -> GanLosses:
    """MMD-rbf-b: one Gaussian, attractive critic loss on bounded distances.

    L_D = -MMD^2 (+ dis_penalty): pairs of one kind attract at max(D, lower_bound), generated and data repel at
    min(D, upper_bound).
    """
    distances = score_distances(score_gen, score_data)
    bounded = Pairs(
        at_least(distances.gg, lower_bound),
        at_least(distances.xx, lower_bound),
        at_most(distances.gx, upper_bound),
    )
    kernel = functools.partial(gaussian, sigma=sigma)
    means, logs = kernel_means(distances, kernel, inputs.scope, biased=biased)
    means_b, logs_b = kernel_means(bounded, kernel, inputs.scope, "_b", biased)
    loss_dis = inputs.penalised(-means_b.mmd2())
    return GanLosses(means.mmd2(), loss_dis, {**logs, **logs_b, **distance_logs(distances)}, inputs.state)


@loss(
    "rep",
    "rep_mmd_g",
    source=f"{_PAPER}, Eq. 4, 5",
    formula=r"\MMD^2(k_\sigma); w_0 \E k(D_{gx}) - \E k(D_{gg}) - w_1 \E k(D_{xx})",
    penalty_weight=0.1,
    adds_penalty=True,
    scalable=True,
)
def rep(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    rep_weights: tuple[float, float] = (0.0, -1.0),
    sigma: float = 1.0,
    biased: bool = False,
) -> GanLosses:
    """MMD-rep: one Gaussian, repulsive critic loss E k_xx - E k_gg (rep_weights, rep_lambda).

    L_D = w0 E k_gx - E k_gg - w1 E k_xx with w = (1 - lambda, -lambda). A ``dis_penalty`` is added first; with a
    ``dis_scale`` the critic's loss then is ``(L_D - 1) dis_scale``.
    """
    distances = score_distances(score_gen, score_data)
    kernel = functools.partial(gaussian, sigma=sigma)
    means, logs = kernel_means(distances, kernel, inputs.scope, biased=biased)
    loss_dis = inputs.penalised(means.repulsion(rep_weights))
    if inputs.dis_scale is not None:
        loss_dis = (loss_dis - 1.0) * tf.cast(inputs.dis_scale, loss_dis.dtype)
    return GanLosses(means.mmd2(), loss_dis, {**logs, **distance_logs(distances)}, inputs.state)


@loss(
    "rmb",
    "rep_b",
    "rep_mmd_b",
    source=f"{_PAPER}, Eq. 7",
    formula=r"\MMD^2(k_\sigma); w_0 \E k(D_{gx}) - \E k(\max(D_{gg}, b_l)) - w_1 \E k(\min(D_{xx}, b_u))",
    penalty_weight=0.1,
    adds_penalty=True,
    scalable=True,
)
def rmb(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    rep_weights: tuple[float, float] = (0.0, -1.0),
    sigma: float = 1.0,
    lower_bound: float = 0.25,
    upper_bound: float = 4.0,
    cross_bound: bool = False,
    biased: bool = False,
) -> GanLosses:
    """MMD-rep-b: repulsive critic loss on bounded distances, the paper's best.

    `rep` with a critic that sees bounded distances; L_G stays unbounded. Generated pairs are at
    max(D, lower_bound). Data pairs repel at min(D, upper_bound) if w1 <= 0, else (lambda < 0) attract at
    max(D, lower_bound). Cross pairs are unbounded as in the released code, unless ``cross_bound`` and lambda < 0:
    then at min(D, upper_bound), the paper's Eq. 6. A ``dis_penalty`` is added first, then the critic's loss is
    multiplied by a ``dis_scale`` (without the -1 of `rep`).
    """
    distances = score_distances(score_gen, score_data)
    attract = rep_weights[1] > 0
    bounded = Pairs(
        at_least(distances.gg, lower_bound),
        at_least(distances.xx, lower_bound) if attract else at_most(distances.xx, upper_bound),
        at_most(distances.gx, upper_bound) if attract and cross_bound else distances.gx,
    )
    kernel = functools.partial(gaussian, sigma=sigma)
    means, logs = kernel_means(distances, kernel, inputs.scope, biased=biased)
    means_b, logs_b = kernel_means(bounded, kernel, inputs.scope, "_b", biased)
    loss_dis = inputs.penalised(means_b.repulsion(rep_weights))
    if inputs.dis_scale is not None:
        loss_dis = loss_dis * tf.cast(inputs.dis_scale, loss_dis.dtype)
    return GanLosses(means.mmd2(), loss_dis, {**logs, **logs_b, **distance_logs(distances)}, inputs.state)


def _attractive(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    members: Sequence[KernelFunction],
    add_dot: float,
    biased: bool,
) -> GanLosses:
    """The members' MMD^2, plus that of ``add_dot <x, y>`` (logged as "<scope>/kxx/dot", without the factor)."""
    distances = score_distances(score_gen, score_data)
    loss_gen, logs = mixture_mmd2(distances, members, inputs.scope, biased=biased)
    if add_dot:
        products = pair_products(score_gen, score_data)
        _, more_logs = kernel_means(products, tf.identity, inputs.scope, "/dot", biased)
        means, _ = kernel_means(
            pair_products(*centred(score_gen, score_data)), tf.identity, inputs.scope, biased=biased
        )
        loss_gen, logs = loss_gen + add_dot * means.mmd2(), {**logs, **more_logs}
    return GanLosses(loss_gen, inputs.penalised(-loss_gen), {**logs, **distance_logs(distances)}, inputs.state)


def _estimate(distances: Pairs, kernel: KernelFunction, unbiased: bool) -> tf.Tensor:
    own, cross = (mean_without_diagonal, _cross_mean) if unbiased else (full_mean, full_mean)
    gg, xx, gx = (apply(kernel, each) for each in distances)
    return Pairs(own(gg), own(xx), cross(gx)).mmd2()


def _cross_mean(matrix: Distances) -> tf.Tensor:
    """The mean over i != j of a square matrix, and over all entries of any other."""
    if isinstance(matrix, Blocked):
        return matrix.mean(diagonal=matrix.a.shape[0] != matrix.b.shape[0])
    if matrix.shape.is_fully_defined():
        return mean_without_diagonal(matrix) if matrix.shape[0] == matrix.shape[1] else tf.reduce_mean(matrix)
    rows, columns = tf.unstack(tf.shape(matrix))
    return tf.where(rows == columns, mean_without_diagonal(matrix), tf.reduce_mean(matrix))
