"""What aids add to the critic's loss and do to gradients: the penalty R1, gradient clipping, several critic updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from mmdgan.core import replicas
from mmdgan.core.errors import ConfigError
from mmdgan.losses.penalties import jacobian_squared_norms


def r1_penalty(critic: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, gamma: float) -> tf.Tensor:
    """``gamma / 2 mean |J|_F^2`` of the critic's Jacobian at real images (Mescheder et al. 2018, Eq. 9).

    For d > 1 scores the squared norm of the gradient becomes that of the Jacobian: the sum over the scores. The
    witness, the other scalar that could take the score's place, is flat where all kernel values are near 0, so that
    a penalty on it does not bound a critic that has moved its scores far apart. One backward pass for each score.

    Args:
        critic: images (N, ...) -> scores (N, d) that treats samples apart.
        real: (N, ...) images as the critic sees them.
        gamma: the weight.
    """
    return gamma / 2 * tf.reduce_mean(jacobian_squared_norms(critic, real))


def clipped(gradients: Sequence[tf.Tensor], limit: float) -> list[tf.Tensor]:
    """Gradients of one player, divided by what their norm, taken together, exceeds the limit by (Pascanu et al. 2013).

    Args:
        gradients: of each variable, the same ones on all replicas.
        limit: of the root of the sum of all squares.
    """
    norm = tf.linalg.global_norm(gradients)
    factor = limit / tf.maximum(norm, limit)
    return [gradient * tf.cast(factor, gradient.dtype) for gradient in gradients]


def clipped_mean(gradients: Sequence[tf.Tensor], limit: float) -> list[tf.Tensor]:
    """The mean of the replicas' gradients, clipped: what all replicas then apply alike."""
    return clipped(replicas.mean_over_replicas(list(gradients)), limit)


def batches_of_step(count: int, real: tf.Tensor, labels: tf.Tensor | None) -> list[tuple[tf.Tensor, tf.Tensor | None]]:
    """The batches of one step with `count` critic updates, the last of which is the generator's too.

    Args:
        count: how many equal parts to take the images in.
        real: (count B, ...) images.
        labels: (count B, 1) their classes.

    Raises:
        ConfigError: another number of images.
    """
    if count == 1:
        return [(real, labels)]
    real = tf.convert_to_tensor(real)
    if real.shape[0] is None or real.shape[0] % count:
        raise ConfigError(
            f"critic_steps is {count}, but a step was given {real.shape[0]} images; give a batch for each update."
        )
    parts = tf.split(real, count)
    return list(zip(parts, [None] * count if labels is None else tf.split(labels, count), strict=True))
