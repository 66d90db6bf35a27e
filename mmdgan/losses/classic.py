"""Losses of critics that judge samples one by one: logistic, minimax, hinge, Wasserstein.

Sources: Goodfellow et al. 2014 (logistic and minimax), Lim & Ye 2017 and Miyato et al. 2018 (hinge), Arjovsky
et al. 2017 and Gulrajani et al. 2017 (Wasserstein). Of scores with several columns the means run over all entries.
"""

from __future__ import annotations

from mmdgan.core.lazy import tf
from mmdgan.core.types import TensorLike
from mmdgan.losses.kernels import as_floats
from mmdgan.losses.registry import GanLosses, LossInputs, loss


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
