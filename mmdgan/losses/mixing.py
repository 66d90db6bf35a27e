"""Losses that make the critic's task harder the better it does: groups mixed by a coin, and instance noise.

Source: the released code of Wang et al. 2019 (spec D). While a running mean of the generator's loss is above a
threshold, a probability (or the noise) grows, else it shrinks. The state of one step is computed from the state
before it, which is the one that the step uses. Notation: `mmdgan.losses.kernels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdgan.core import random
from mmdgan.core.errors import ConfigError
from mmdgan.core.lazy import tf
from mmdgan.core.random import COIN, NOISE_DATA, NOISE_GEN, stream
from mmdgan.core.types import TensorLike
from mmdgan.losses.kernels import Pairs, as_floats, distance_logs, mixture, mixture_mmd2, score_distances
from mmdgan.losses.mmd import SIGMAS
from mmdgan.losses.random_width import OMEGA, RELEASED, draw_omega, normal_mmd2, rand_g, random_mmd2, width
from mmdgan.losses.registry import GanLosses, LossInputs, loss

DECAY = 0.99
COIN_RATE, MOST_MIXED = 0.01, 0.5
NOISE_RATE, MOST_NOISE = 0.001, 1.7183
"""How fast mixing probability and noise level follow the threshold, and their upper bounds; the lower are 0."""

_COIN = {"average": 0.0, "probability": 0.0}


def noisy_width(
    score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs, *, omega: Sequence[float], **_: Any
) -> tf.Tensor:
    """The kernel width of `ins_noise` at this seed and state."""
    return width(*add_noise(score_gen, score_data, inputs), inputs, omega=omega)


@loss(
    "mmd_g_mix",
    "fixed_g_mix",
    source=RELEASED,
    formula=r"\sum_\sigma \MMD^2(k_\sigma); -\sum_\sigma \MMD^2(k_\sigma; g', x')",
    state=_COIN,
)
def mmd_g_mix(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    sigma: float | Sequence[float] = SIGMAS,
    mix_threshold: float = 1.0,
) -> GanLosses:
    """fixed_g whose critic sees groups mixed more and more while L_G stays above mix_threshold."""
    distances, kernels = score_distances(score_gen, score_data), mixture("gaussian", sigma=sigma)
    loss_gen, logs = mixture_mmd2(distances, kernels, inputs.scope)
    mixed, probability = _mixed_distances(score_gen, score_data, inputs)
    of_mixed, logs_mixed = mixture_mmd2(mixed, kernels, inputs.scope, "_mix")
    state = next_coin(inputs.state, loss_gen, mix_threshold)
    logs |= {**logs_mixed, "GANLoss/gen_average": state["average"], "GANLoss/mix_prob": probability}
    return GanLosses(loss_gen, inputs.penalised(-of_mixed), logs | distance_logs(distances), state)


@loss("sgm", source=RELEASED, formula=r"\MMD^2(k_\sigma); -\MMD^2(k_\sigma; g', x')", state=_COIN)
def sgm(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    sigma: float = 1.0,
    mix_threshold: float = 0.2,
) -> GanLosses:
    """mmd_g_mix with one Gaussian."""
    return mmd_g_mix(score_gen, score_data, inputs, sigma=sigma, mix_threshold=mix_threshold)


@loss("rand_g_mix", source=RELEASED, formula="R(g, x); N(x) - R(g', x')", width=width, state=_COIN)
def rand_g_mix(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    omega: Sequence[float] = OMEGA,
    ref_normal: float = 1.0,
    mix_threshold: float = 0.2,
) -> GanLosses:
    """rand_g whose critic sees mixed groups, as mmd_g_mix.

    L_G = R(g, x); L_D = N(x) - R of the mixed groups, with R and N of `random_width` at one omega.
    """
    return _mixed_random(score_gen, score_data, inputs, omega, ref_normal, mix_threshold)


@loss("sym_rg_mix", source=RELEASED, formula="R(g, x) + N(g); N(x) - R(g', x') - N(g)", width=width, state=_COIN)
def sym_rg_mix(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    omega: Sequence[float] = OMEGA,
    ref_normal: float = 1.0,
    mix_threshold: float = 0.2,
) -> GanLosses:
    """rand_g_mix that also draws generated scores to the normal: L_G + MMD^2(g, normal).

    L_G = R(g, x) + N(g); L_D = N(x) - R of the mixed groups - N(g).
    """
    return _mixed_random(score_gen, score_data, inputs, omega, ref_normal, mix_threshold, symmetric=True)


@loss(
    "ins_noise",
    "instance_noise",
    source=RELEASED,
    formula=r"R(\tilde{g}, \tilde{x}); N(\tilde{x}) - R(\tilde{g}, \tilde{x})",
    width=noisy_width,
    state={"average": 0.0, "level": 0.0},
)
def ins_noise(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    omega: Sequence[float] = OMEGA,
    ref_normal: float = 1.0,
    mix_threshold: float = 0.2,
) -> GanLosses:
    """rand_g on scores with Gaussian noise that grows while L_G stays above mix_threshold.

    The noise is independent, of standard deviation log(1 + level), at most 1.
    """
    noisy_gen, noisy_data = add_noise(score_gen, score_data, inputs)
    losses = rand_g(noisy_gen, noisy_data, inputs, omega=omega, ref_normal=ref_normal)
    average, level = _floats(inputs.state, "average", "level")
    state = {
        "average": DECAY * average + (1 - DECAY) * tf.cast(losses.gen, tf.float32),
        "level": tf.clip_by_value(level + NOISE_RATE * (average - mix_threshold), 0.0, MOST_NOISE),
    }
    logs = {**losses.logs, "GANLoss/gr_average": state["average"], "GANLoss/sigma": tf.math.log1p(level)}
    return losses._replace(logs=logs, state=state)


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


def _mixed_random(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    omega: Sequence[float],
    ref_normal: float,
    threshold: float,
    symmetric: bool = False,
) -> GanLosses:
    distances = score_distances(score_gen, score_data)
    omega = draw_omega(inputs.seed, omega, distances.gx.dtype)
    plain, logs = random_mmd2(distances, omega, inputs.scope)
    mixed_distances, probability = _mixed_distances(score_gen, score_data, inputs)
    mixed, logs_mixed = random_mmd2(mixed_distances, omega, inputs.scope, "_mix")
    data_normal = normal_mmd2(score_data, distances.xx, omega, ref_normal)
    state = next_coin(inputs.state, plain, threshold)
    logs |= {**logs_mixed, **distance_logs(distances), "GANLoss/gr": plain, "GANLoss/rn": data_normal}
    logs |= {"GANLoss/gr_mix": mixed, "GANLoss/gr_average": state["average"], "GANLoss/mix_prob": probability}
    loss_gen, loss_dis = plain, data_normal - mixed
    if symmetric:
        gen_normal = normal_mmd2(score_gen, distances.gg, omega, ref_normal)
        loss_gen, loss_dis = loss_gen + gen_normal, loss_dis - gen_normal
        logs["GANLoss/gn"] = gen_normal
    return GanLosses(loss_gen, inputs.penalised(loss_dis), logs, state)


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
