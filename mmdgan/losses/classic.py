"""Losses without an MMD: of critics that judge samples one by one, as logistic and Wasserstein; and drifting.

Sources: Goodfellow et al. 2014 (logistic and minimax), Lim & Ye 2017 and Miyato et al. 2018 (hinge), Arjovsky
et al. 2017 and Gulrajani et al. 2017 (Wasserstein). Of scores with several columns the means run over all entries.

Drifting (Deng et al. 2026, "Generative modeling via drifting", algorithms 1 and 2) has no critic that learns: generated
scores are drawn to data scores and pushed off one another, in features that stay as they are. The field V that moves a
generated score g is a difference of means of data and of generated scores, weighted by ``exp(-|a - b| / T)``. Where
both distributions are equal it is 0 on average. The generator learns to be where V would have moved its samples.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmdgan.core.lazy import tf
from mmdgan.core.types import TensorLike
from mmdgan.losses.kernels import as_floats, root, squared_distances
from mmdgan.losses.registry import GanLosses, LossInputs, loss

_FAR = 1e6
"""Added to the distance of a sample to itself, by which nothing is pushed."""


@loss(
    "logistic",
    "",
    source="Goodfellow et al. 2014",
    formula=r"\mean \softplus(-s_g); \mean \softplus(s_g) + \mean \softplus(-s_x)",
    score_size=1,
    penalty_weight=None,
)
def logistic(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs) -> GanLosses:
    """Non-saturating loss: softplus(-s_g); softplus(s_g) + softplus(-s_x)."""
    score_gen, score_data = as_floats(score_gen, score_data)
    loss_gen = tf.reduce_mean(tf.nn.softplus(-score_gen))
    return GanLosses(loss_gen, _logistic_critic(score_gen, score_data), {}, inputs.state)


@loss(
    "minimax",
    source="Goodfellow et al. 2014, Eq. 1",
    formula=r"-L_D; \mean \softplus(s_g) + \mean \softplus(-s_x)",
    score_size=1,
    zero_sum=True,
    penalty_weight=None,
)
def minimax(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs) -> GanLosses:
    """Zero-sum logistic loss: L_G = -L_D.

    L_D is that of `logistic`; its data term does not reach the generator.
    """
    loss_dis = _logistic_critic(*as_floats(score_gen, score_data))
    return GanLosses(-loss_dis, loss_dis, {}, inputs.state)


@loss(
    "hinge",
    source="Miyato et al. 2018, Eq. 16, 17",
    formula=r"-\mean s_g; \mean \max(1 + s_g, 0) + \mean \max(1 - s_x, 0)",
    score_size=1,
    penalty_weight=None,
)
def hinge(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs) -> GanLosses:
    """Hinge loss: -s_g; max(1 + s_g, 0) + max(1 - s_x, 0)."""
    score_gen, score_data = as_floats(score_gen, score_data)
    loss_dis = tf.reduce_mean(tf.nn.relu(1.0 + score_gen)) + tf.reduce_mean(tf.nn.relu(1.0 - score_data))
    return GanLosses(-tf.reduce_mean(score_gen), loss_dis, {}, inputs.state)


@loss(
    "wasserstein",
    source="Gulrajani et al. 2017, Eq. 3",
    formula=r"\mean s_x - \mean s_g; \mean s_g - \mean s_x + w \mean (|\nabla s(\hat{x})| - 1)^2",
    score_size=1,
    penalty_weight=10.0,
    needs_penalty=True,
)
def wasserstein(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs) -> GanLosses:
    """Wasserstein loss with gradient penalty: s_x - s_g; s_g - s_x + 10 * mean (|gradient of s| - 1)^2."""
    score_gen, score_data = as_floats(score_gen, score_data)
    loss_gen = tf.reduce_mean(score_data) - tf.reduce_mean(score_gen)
    return GanLosses(loss_gen, inputs.penalised(-loss_gen), {}, inputs.state)


def _logistic_critic(score_gen: tf.Tensor, score_data: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.softplus(score_gen)) + tf.reduce_mean(tf.nn.softplus(-score_data))


@loss(
    "drift",
    source="Deng et al. 2026",
    formula=r"\mean |V|^2; 0",
    penalty_weight=None,
    frozen=True,
)
def drift(
    score_gen: TensorLike,
    score_data: TensorLike,
    inputs: LossInputs,
    *,
    temperature: Sequence[float] = (0.02, 0.05, 0.2),
) -> GanLosses:
    """Drifting: mean |g - stop(g + V(g))|^2 of scores in units of their mean distance; 0, for the critic is fixed.

    V is the sum over the temperatures T, in units of the mean distance of generated to data scores.
    """
    score_gen, score_data = as_floats(score_gen, score_data)
    scale = tf.stop_gradient(tf.reduce_mean(root(squared_distances(score_gen, score_data))))
    generated, data = score_gen / scale, tf.stop_gradient(score_data / scale)
    fields = drifts(tf.stop_gradient(generated), data, temperature)
    target = tf.stop_gradient(generated + tf.add_n(fields))
    loss_gen = tf.reduce_mean(tf.reduce_sum(tf.square(generated - target), axis=1))
    logs = {f"{inputs.scope}/field_{each:g}": tf.norm(found) for each, found in zip(temperature, fields, strict=True)}
    return GanLosses(loss_gen, tf.zeros_like(loss_gen), logs, inputs.state)


def drifts(generated: tf.Tensor, data: tf.Tensor, temperatures: Sequence[float]) -> list[tf.Tensor]:
    """The field V at each generated score: attraction by data minus repulsion by the other generated scores.

    Args:
        generated: (B, d).
        data: (N, d).
        temperatures: T of the kernels ``exp(-|a - b| / T)``.

    Returns:
        (B, d) for each temperature.
    """
    count = tf.shape(generated)[0]
    to_data = root(squared_distances(generated, data))
    to_generated = root(squared_distances(generated, generated)) + _FAR * tf.eye(count, dtype=generated.dtype)
    distances = tf.concat([to_data, to_generated], axis=1)

    def field(temperature: float) -> tf.Tensor:
        logits = -distances / temperature
        weights = tf.sqrt(tf.nn.softmax(logits, axis=1) * tf.nn.softmax(logits, axis=0))
        of_data, of_generated = tf.split(weights, [tf.shape(data)[0], count], axis=1)
        attraction = tf.matmul(of_data * tf.reduce_sum(of_generated, 1, keepdims=True), data)
        repulsion = tf.matmul(of_generated * tf.reduce_sum(of_data, 1, keepdims=True), generated)
        return attraction - repulsion

    return [field(each) for each in temperatures]
