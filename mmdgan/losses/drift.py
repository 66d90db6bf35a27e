"""Critic-free: generated scores are drawn to data scores and pushed off one another, in features that stay as they are.

Source: Deng et al. 2026, "Generative modeling via drifting", algorithms 1 and 2. The field V that moves a generated
score g is a difference of means of data and of generated scores, weighted by the kernel ``exp(-|a - b| / T)``. Where
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
