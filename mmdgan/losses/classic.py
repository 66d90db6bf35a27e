"""Losses of critics that judge samples one by one: logistic, minimax, hinge, Wasserstein.

Sources: Goodfellow et al. 2014 (logistic and minimax), Lim & Ye 2017 and Miyato et al. 2018 (hinge), Arjovsky
et al. 2017 and Gulrajani et al. 2017 (Wasserstein). Of scores with several columns the means run over all
entries. How each function is called: `mmdgan.losses.registry.LossEntry`.
"""

from __future__ import annotations

import tensorflow as tf

from mmdgan.core.types import TensorLike
from mmdgan.losses.kernels import as_floats
from mmdgan.losses.registry import GanLosses, LossInputs


def logistic(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs) -> GanLosses:
    """Non-saturating loss: L_G = E softplus(-s_g), L_D = E softplus(s_g) + E softplus(-s_x)."""
    score_gen, score_data = as_floats(score_gen, score_data)
    loss_gen = tf.reduce_mean(tf.nn.softplus(-score_gen))
    return GanLosses(loss_gen, _logistic_critic(score_gen, score_data), {}, inputs.state)


def minimax(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs) -> GanLosses:
    """Zero-sum loss: L_D as in `logistic`, L_G = -L_D (whose data term does not reach the generator)."""
    loss_dis = _logistic_critic(*as_floats(score_gen, score_data))
    return GanLosses(-loss_dis, loss_dis, {}, inputs.state)


def hinge(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs) -> GanLosses:
    """Hinge loss: L_G = -E s_g, L_D = E max(1 + s_g, 0) + E max(1 - s_x, 0)."""
    score_gen, score_data = as_floats(score_gen, score_data)
    loss_dis = tf.reduce_mean(tf.nn.relu(1.0 + score_gen)) + tf.reduce_mean(tf.nn.relu(1.0 - score_data))
    return GanLosses(-tf.reduce_mean(score_gen), loss_dis, {}, inputs.state)


def wasserstein(score_gen: TensorLike, score_data: TensorLike, inputs: LossInputs) -> GanLosses:
    """Wasserstein loss: L_G = E s_x - E s_g, L_D = -L_G + dis_penalty."""
    score_gen, score_data = as_floats(score_gen, score_data)
    loss_gen = tf.reduce_mean(score_data) - tf.reduce_mean(score_gen)
    return GanLosses(loss_gen, tf.cast(inputs.dis_penalty, loss_gen.dtype) - loss_gen, {}, inputs.state)


def _logistic_critic(score_gen: tf.Tensor, score_data: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.nn.softplus(score_gen)) + tf.reduce_mean(tf.nn.softplus(-score_data))
