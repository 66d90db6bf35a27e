"""Losses that make the critic's task harder the better it does: groups mixed by a coin, and instance noise.

Source: the released code of Wang et al. 2019 (spec D). While a running mean of the generator's loss is above a
threshold, a probability (or the noise) grows, else it shrinks. The state of one step is computed from the state
before it, which is the one that the step uses. Notation: `mmdgan.losses.kernels`. How each loss function is
called: `mmdgan.losses.entries.LossEntry`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from mmdgan.core import random
from mmdgan.core.errors import ConfigError
from mmdgan.core.random import COIN, NOISE_DATA, NOISE_GEN, stream
from mmdgan.core.types import TensorLike
from mmdgan.losses import random_width
from mmdgan.losses.kernels import (
    Logs,
    Pairs,
    as_floats,
    distance_logs,
    gaussians,
    mixture_mmd2,
    score_distances,
    with_penalty,
)
from mmdgan.losses.random_width import draw_omega, normal_mmd2, random_mmd2
from mmdgan.losses.registry import GanLosses, LossInputs

DECAY = 0.99
COIN_RATE, MOST_MIXED = 0.01, 0.5
NOISE_RATE, MOST_NOISE = 0.001, 1.7183
"""How fast mixing probability and noise level follow the threshold, and their upper bounds; the lower are 0."""


def mmd_g_mix(
    score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs, *, sigma: Sequence[float], mix_threshold: float
) -> GanLosses:
    """L_G = MMD^2 summed over Gaussian widths; L_D = -MMD^2 of the mixed groups."""
    distances, kernels = score_distances(score_gen, score_data), gaussians(sigma)
    loss_gen, logs = mixture_mmd2(distances, kernels, inputs.scope)
    mixed, probability = _mixed_distances(score_gen, score_data, inputs)
    of_mixed, logs_mixed = mixture_mmd2(mixed, kernels, inputs.scope, "_mix")
    state = next_coin(inputs.state, loss_gen, mix_threshold)
    logs |= {**logs_mixed, "GANLoss/gen_average": state["average"], "GANLoss/mix_prob": probability}
    return GanLosses(loss_gen, with_penalty(-of_mixed, inputs), logs | distance_logs(distances), state)


def sgm(
    score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs, *, sigma: float, mix_threshold: float
) -> GanLosses:
    """`mmd_g_mix` with one Gaussian."""
    return mmd_g_mix(score_gen, score_data, inputs, sigma=[sigma], mix_threshold=mix_threshold)


def rand_g_mix(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    omega: Sequence[float],
    ref_normal: float,
    mix_threshold: float,
) -> GanLosses:
    """L_G = R(g, x); L_D = N(x) - R of the mixed groups, with R and N of `random_width` at one omega."""
    terms = _random_terms(score_gen, score_data, inputs, omega, ref_normal, mix_threshold)
    loss_dis = with_penalty(terms.data_normal - terms.mixed, inputs)
    return GanLosses(terms.plain, loss_dis, terms.logs, terms.state)


def sym_rg_mix(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    omega: Sequence[float],
    ref_normal: float,
    mix_threshold: float,
) -> GanLosses:
    """L_G = R(g, x) + N(g); L_D = N(x) - R of the mixed groups - N(g)."""
    terms = _random_terms(score_gen, score_data, inputs, omega, ref_normal, mix_threshold)
    gen_normal = normal_mmd2(score_gen, terms.distances.gg, terms.omega, ref_normal)
    loss_dis = with_penalty(terms.data_normal - terms.mixed - gen_normal, inputs)
    logs = {**terms.logs, "GANLoss/gn": gen_normal}
    return GanLosses(terms.plain + gen_normal, loss_dis, logs, terms.state)


def ins_noise(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    omega: Sequence[float],
    ref_normal: float,
    mix_threshold: float,
) -> GanLosses:
    """`rand_g` on scores with independent Gaussian noise of standard deviation log(1 + level), at most 1."""
    noisy_gen, noisy_data = add_noise(score_gen, score_data, inputs)
    losses = random_width.rand_g(noisy_gen, noisy_data, inputs, omega=omega, ref_normal=ref_normal)
    average, level = _floats(inputs.state, "average", "level")
    state = {
        "average": DECAY * average + (1 - DECAY) * tf.cast(losses.gen, tf.float32),
        "level": tf.clip_by_value(level + NOISE_RATE * (average - mix_threshold), 0.0, MOST_NOISE),
    }
    logs = {**losses.logs, "GANLoss/gr_average": state["average"], "GANLoss/sigma": tf.math.log1p(level)}
    return losses._replace(logs=logs, state=state)


def noisy_width(
    score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs, *, omega: Sequence[float], **_: Any
) -> tf.Tensor:
    """The kernel width of `ins_noise` at this seed and state."""
    return random_width.width(*add_noise(score_gen, score_data, inputs), inputs, omega=omega)


def add_noise(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs) -> tuple[tf.Tensor, tf.Tensor]:
    """Generated and data scores (B, d) with this step's noise."""
    [level] = _floats(inputs.state, "level")
    noisy = []
    for scores, which in zip(as_floats(score_gen, score_data), (NOISE_GEN, NOISE_DATA), strict=True):
        normal = random.normal(tf.shape(scores), stream(inputs.seed, which), dtype=scores.dtype)
        noisy.append(scores + tf.cast(tf.math.log1p(level), scores.dtype) * normal)
    return noisy[0], noisy[1]


def next_coin(state: Mapping[str, Any], loss: tf.Tensor, threshold: float) -> dict[str, tf.Tensor]:
    """The coin's state (float32 scalars) after a step with this generator's loss."""
    average, probability = _floats(state, "average", "probability")
    return {
        "average": DECAY * average + (1 - DECAY) * tf.cast(loss, tf.float32),
        "probability": tf.clip_by_value(probability + COIN_RATE * (average - threshold), 0.0, MOST_MIXED),
    }


def mix(score_gen: tf.Tensor, score_data: tf.Tensor, keep: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Exchanges the pairs (g_i, x_i) that are not kept.

    Args:
        score_gen: (B, d).
        score_data: (B, d).
        keep: (B,) bool.

    Returns:
        Two groups (B, d): the kept g, then the exchanged x; and the exchanged g, then the kept x; both in the
        order of their indices.
    """
    both = tf.concat([score_gen, score_data], axis=0)
    leaves = tf.cast(tf.concat([~keep, keep], axis=0), tf.int32)
    # A stable sort has static shapes, unlike a selection by a mask, and so compiles for every device.
    order = tf.argsort(leaves, stable=True)
    size = tf.shape(score_gen)[0]
    # Gathered as a batch of one, because the gradient is then dense.
    mixed = tf.gather(both[tf.newaxis], order[tf.newaxis], batch_dims=1)[0]
    return mixed[:size], mixed[size:]


@dataclasses.dataclass(frozen=True)
class _RandomTerms:
    """Terms of the random-width losses with mixing: R(g, x), R of the mixed groups, N(x)."""

    distances: Pairs
    omega: tf.Tensor
    plain: tf.Tensor
    mixed: tf.Tensor
    data_normal: tf.Tensor
    logs: Logs
    state: dict[str, tf.Tensor]


def _random_terms(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    omega: Sequence[float],
    ref_normal: float,
    threshold: float,
) -> _RandomTerms:
    distances = score_distances(score_gen, score_data)
    omega = draw_omega(inputs.seed, omega, distances.gx.dtype)
    plain, logs = random_mmd2(distances, omega, inputs.scope)
    mixed_distances, probability = _mixed_distances(score_gen, score_data, inputs)
    mixed, logs_mixed = random_mmd2(mixed_distances, omega, inputs.scope, "_mix")
    data_normal = normal_mmd2(score_data, distances.xx, omega, ref_normal)
    state = next_coin(inputs.state, plain, threshold)
    logs |= {**logs_mixed, **distance_logs(distances), "GANLoss/gr": plain, "GANLoss/rn": data_normal}
    logs |= {"GANLoss/gr_mix": mixed, "GANLoss/gr_average": state["average"], "GANLoss/mix_prob": probability}
    return _RandomTerms(distances, omega, plain, mixed, data_normal, logs, state)


def _mixed_distances(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs) -> tuple[Pairs, tf.Tensor]:
    """Distances within and between the groups of this step, and the probability of an exchange."""
    score_gen, score_data = as_floats(score_gen, score_data)
    if not score_gen.shape.is_compatible_with(score_data.shape):
        raise ConfigError(
            f"The loss {inputs.scope!r} exchanges generated and data scores: give equally many, not "
            f"{tuple(score_gen.shape)} and {tuple(score_data.shape)}."
        )
    [probability] = _floats(inputs.state, "probability")
    coins = random.uniform(tf.shape(score_gen)[:1], stream(inputs.seed, COIN))
    return score_distances(*mix(score_gen, score_data, coins > probability)), probability


def _floats(state: Mapping[str, Any], *names: str) -> list[tf.Tensor]:
    return [tf.cast(state[name], tf.float32) for name in names]
