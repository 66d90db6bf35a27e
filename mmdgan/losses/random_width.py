"""MMD losses whose Gaussian kernel has a random width: rand_g, rgb, sym_rg.

Source: the released code of Wang et al. 2019 (spec D). In each step a mean kernel value omega is drawn, and the
width is chosen so that the kernel ``exp(-beta D)`` has this mean over generated-data pairs: a width that fits
the scores at hand. Gradients pass through beta. Notation: `mmdgan.losses.kernels`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from mmdgan.core import random
from mmdgan.core.lazy import tf
from mmdgan.core.random import WIDTH, stream
from mmdgan.core.types import TensorLike
from mmdgan.losses.kernels import (
    Distances,
    KernelFunction,
    Logs,
    Pairs,
    apply,
    as_floats,
    at_least,
    at_most,
    distance_logs,
    exponential,
    full_mean,
    kernel_means,
    mean_without_diagonal,
    normal_means,
    score_distances,
)
from mmdgan.losses.registry import GanLosses, LossInputs, loss

RELEASED = "Wang et al. 2019, released code"
OMEGA = (0.05, 0.85)

EPSILON = 1e-10
"""Added to the mean distance and to the derivative, as in the original: equal scores do not divide by 0."""

NEWTON_STEPS = 3

BETA_BOUNDS = (0.125, 2.0)
"""Bounds of rgb for beta, and (fixed in the original too) for beta D."""


def width(
    score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs, *, omega: Sequence[float], **_: Any
) -> tf.Tensor:
    """The kernel width sigma, exp(-D / (2 sigma^2)), that R(g, x) of these scores has at this seed."""
    return _sigma(_drawn_beta(score_gen, score_data, inputs, omega))


def clipped_width(
    score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs, *, omega: Sequence[float]
) -> tf.Tensor:
    """The kernel width of rgb: as `width`, with beta clipped to `BETA_BOUNDS`."""
    return _sigma(tf.clip_by_value(_drawn_beta(score_gen, score_data, inputs, omega), *BETA_BOUNDS))


@loss("rand_g", source=RELEASED, formula="R(g, x); N(x) - R(g, x)", width=width)
def rand_g(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    omega: Sequence[float] = OMEGA,
    ref_normal: float = 1.0,
) -> GanLosses:
    """MMD^2 at the Gaussian width of a random mean kernel value omega; L_D = MMD^2(x, normal) - L_G.

    L_G = R(g, x), L_D = N(x) - R(g, x) with a normal around 0.
    """
    distances = score_distances(score_gen, score_data)
    omega = draw_omega(inputs.seed, omega, distances.gx.dtype)
    loss_gen, logs = random_mmd2(distances, omega, inputs.scope)
    from_normal = normal_mmd2(score_data, distances.xx, omega, ref_normal)
    logs |= {"GANLoss/gr": loss_gen, "GANLoss/rn": from_normal, **distance_logs(distances)}
    return GanLosses(loss_gen, inputs.penalised(from_normal - loss_gen), logs, inputs.state)


@loss(
    "rgb",
    source=RELEASED,
    formula=r"R(g, x); \E (2 e^{-\max(\beta D_{xx}, 1/8)} - e^{-\max(\beta D_{gg}, 1/8)} - e^{-\min(\beta D_{gx}, 2)})",
    penalty_weight=0.1,
    width=clipped_width,
)
def rgb(
    score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs, *, omega: Sequence[float] = OMEGA
) -> GanLosses:
    """MMD^2 at a random, clipped Gaussian width; L_D = 2 E k_xx - E k_gg - E k_gx, bounded.

    L_D is the repulsive combination for weights (-1, -2), with the bounds of the attractive loss, as released: beta D
    is at least 0.125 for pairs of one kind, at most 2 for generated-data pairs. beta is clipped to `BETA_BOUNDS`.
    """
    distances = score_distances(score_gen, score_data)
    omega = draw_omega(inputs.seed, omega, distances.gx.dtype)
    beta = tf.clip_by_value(match_beta(distances.gx, omega), *BETA_BOUNDS)
    means, logs = kernel_means(distances, _exponential(beta), inputs.scope)
    low, high = (bound / beta for bound in BETA_BOUNDS)
    bounded = Pairs(at_least(distances.gg, low), at_least(distances.xx, low), at_most(distances.gx, high))
    means_b, logs_b = kernel_means(bounded, _exponential(beta), inputs.scope, "_b")
    loss_dis = inputs.penalised(means_b.repulsion((-1.0, -2.0)))
    logs |= {**logs_b, **_width_logs(omega, beta, inputs.scope), **distance_logs(distances)}
    return GanLosses(means.mmd2(), loss_dis, logs, inputs.state)


@loss("sym_rg", "sym_rand_g", source=RELEASED, formula=r"R(g, x); \frac{1}{2} (N_+(x) + N_-(g)) - R(g, x)", width=width)
def sym_rg(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    omega: Sequence[float] = OMEGA,
    ref_normal: float = 1.0,
) -> GanLosses:
    """rand_g with data and generated scores drawn to normals around 0.5 and -0.5.

    L_G = R(g, x); L_D = (N(x) + N(g)) / 2 - R(g, x).
    """
    distances = score_distances(score_gen, score_data)
    omega = draw_omega(inputs.seed, omega, distances.gx.dtype)
    loss_gen, logs = random_mmd2(distances, omega, inputs.scope)
    of_data = normal_mmd2(score_data, distances.xx, omega, ref_normal, mean=0.5)
    of_gen = normal_mmd2(score_gen, distances.gg, omega, ref_normal, mean=-0.5)
    loss_dis = inputs.penalised(0.5 * (of_data + of_gen) - loss_gen)
    logs |= {"GANLoss/gr": loss_gen, "GANLoss/rn": of_data, "GANLoss/gn": of_gen, **distance_logs(distances)}
    return GanLosses(loss_gen, loss_dis, logs, inputs.state)


def draw_omega(seed: TensorLike | None, omega: Sequence[float], dtype: tf.DType) -> tf.Tensor:
    """The mean kernel value of this step: uniform in a range (low, high), or the one number given."""
    if len(omega) == 1:
        return tf.constant(omega[0], dtype)
    low, high = (tf.constant(bound, dtype) for bound in omega)
    return random.uniform((), stream(seed, WIDTH), low, high, dtype)


def random_mmd2(distances: Pairs, omega: tf.Tensor, scope: str, suffix: str = "") -> tuple[tf.Tensor, Logs]:
    """R(g, x): squared MMD of the kernel ``exp(-beta D)`` whose mean over all gx pairs is omega; and its logs."""
    beta = match_beta(distances.gx, omega)
    means, logs = kernel_means(distances, _exponential(beta), scope, suffix)
    return means.mmd2(), logs | _width_logs(omega, beta, scope, suffix)


def normal_mmd2(
    scores: TensorLike, distances: Distances, omega: tf.Tensor, ref_normal: float, mean: float = 0.0
) -> tf.Tensor:
    """N(z): squared MMD of scores from the normal N(mean, ref_normal / (2 d) I), at the width matched to both.

    Args:
        scores: z, (B, d).
        distances: Their own squared distances, (B, B).
        omega: Mean of the kernel between scores and normal.
        ref_normal: Mean squared distance of two draws from the normal.
        mean: Mean of each coordinate of the normal.
    """
    scores = tf.cast(as_floats(scores)[0], distances.dtype)
    size = tf.cast(tf.shape(scores)[1], scores.dtype)
    squared_radii = tf.reduce_sum(tf.square(scores - mean), axis=1)
    variance = ref_normal / (2 * size)

    def error_and_slope(beta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        shrink = 1.0 / (1.0 + 2.0 * variance * beta)
        values = shrink ** (0.5 * size) * tf.exp(-beta * shrink * squared_radii)
        slope = -0.5 * ref_normal * shrink * tf.reduce_mean(values) - tf.reduce_mean(shrink**2 * squared_radii * values)
        return tf.reduce_mean(values) - omega, slope

    start = -tf.math.log(omega) / (tf.reduce_mean(squared_radii) + 0.5 * ref_normal)
    beta = _newton(start, error_and_slope)
    cross, own = normal_means(squared_radii, size, variance, beta)
    return mean_without_diagonal(apply(_exponential(beta), distances)) + own - 2.0 * cross


def match_beta(distances: Distances, omega: tf.Tensor) -> tf.Tensor:
    """The beta at which the mean of ``exp(-beta D)`` over all entries is omega, after three Newton steps.

    They start at the beta of equal distances, below the solution because the exponential is convex, and approach
    it from there.
    """

    def error_and_slope(beta: TensorLike) -> tuple[tf.Tensor, tf.Tensor]:
        moment = apply(functools.partial(_first_moment, beta=beta), distances)
        return full_mean(apply(_exponential(beta), distances)) - omega, -full_mean(moment)

    shifted = apply(functools.partial(tf.add, y=EPSILON), distances)
    return _newton(-tf.math.log(omega) / full_mean(shifted), error_and_slope)


def _newton(beta: tf.Tensor, error_and_slope: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]) -> tf.Tensor:
    for _ in range(NEWTON_STEPS):
        error, slope = error_and_slope(beta)
        beta = beta - error / (slope + EPSILON)
    return beta


def _drawn_beta(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs, omega: Sequence[float]) -> tf.Tensor:
    distances = score_distances(score_gen, score_data).gx
    return match_beta(distances, draw_omega(inputs.seed, omega, distances.dtype))


def _exponential(beta: tf.Tensor) -> KernelFunction:
    return functools.partial(exponential, beta=beta)


def _first_moment(distances: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    return distances * exponential(distances, beta)


def _sigma(beta: tf.Tensor) -> tf.Tensor:
    """The width of ``exp(-beta D)``; where equal scores have made beta negative, a flat kernel."""
    return tf.math.rsqrt(2.0 * tf.maximum(beta, EPSILON))


def _width_logs(omega: tf.Tensor, beta: tf.Tensor, scope: str, suffix: str = "") -> Logs:
    return {f"{scope}/omega": omega, f"{scope}/beta{suffix}": beta}
