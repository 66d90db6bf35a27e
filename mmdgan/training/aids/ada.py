"""Adaptive augmentation (ADA): the probability of the changes follows a measure of how far the critic overfits.

Karras et al. 2020 (section 3): every 4 steps p moves by a fixed amount, up if the mean of the measure over these steps
is above the target, else down, within [0, 1]; the amount is such that p goes from 0 to 1 over 500,000 real images.

The measure r is about 0 if the critic cannot tell real images from generated ones, and 1 if it tells all apart:

- logistic, minimax and hinge losses: their r_t = mean sign D(real), for a score of 0 is where the critic is undecided.
- MMD losses have no such score: D gives d numbers whose distances count. Their critic's verdict on an image is the
  witness f(z) = mean_j k(z, x_j) - mean_j k(z, y_j) of its scores z against those of real images x and generated ones
  y (Gretton et al. 2012, section 2.3), taken against images that z is not among: the batch is cut in halves, each of
  which is judged by the other. The sign of f is of no use: a repulsive critic spreads the scores of real images out,
  so that most witnesses are negative, the real images' less so. Its order is: r = mean sign(f(real) - f(generated))
  over all pairs of a half, which is 2 AUC - 1 of the witness as a classifier (the statistic of Mann and Whitney).
- wasserstein: the same of the scores themselves, which have no zero either.

Like r_t, this is high whenever the critic wins, also against a generator that is merely bad: at the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from mmdgan.losses.mmd import witness
from mmdgan.losses.registry import Loss

INTERVAL = 4
"""Steps between two moves of p."""

_UNDECIDED_AT_ZERO = ("logistic", "minimax", "hinge")


class AdaptiveProbability(tf.Module):
    """The probability p and the rule that moves it.

    Args:
        target: Target of the measure.
        images: Number of real images over which p goes from 0 to 1 if it only rises.

    Attributes:
        probability: Probability p (tf.Variable, float32).
    """

    def __init__(self, target: float, images: int) -> None:
        super().__init__(name="ada")
        self.target = float(target)
        self.images = int(images)
        self.probability = tf.Variable(0.0, trainable=False, name="probability")
        self._sum = tf.Variable(0.0, trainable=False, name="sum")
        self._steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="steps")

    def state(self) -> dict[str, tf.Variable]:
        """Returns what a checkpoint must hold."""
        return {"ada/probability": self.probability, "ada/sum": self._sum, "ada/steps": self._steps}

    def update(self, measure: tf.Tensor, images: int | tf.Tensor) -> None:
        """Adds one step's measure; moves p after every `INTERVAL` steps.

        Args:
            measure: The measure r, a scalar.
            images: Number of real images in a step.
        """
        total, steps = self._sum + tf.cast(measure, tf.float32), self._steps + 1
        due = steps >= INTERVAL
        amount = tf.cast(images, tf.float32) * (INTERVAL / self.images)
        moved = self.probability + amount * tf.sign(total / INTERVAL - self.target)
        self.probability.assign(tf.where(due, tf.clip_by_value(moved, 0.0, 1.0), self.probability))
        self._sum.assign(tf.where(due, 0.0, total))
        self._steps.assign(tf.where(due, tf.zeros_like(steps), steps))


def overfitting(
    loss: Loss,
    score_gen: tf.Tensor,
    score_data: tf.Tensor,
    seed: tf.Tensor | None = None,
    state: Mapping[str, tf.Tensor] | None = None,
) -> tf.Tensor:
    """The measure r of one batch, from -1 to 1; see the module.

    Args:
        loss: The critic's loss.
        score_gen: (N, d) scores of generated images, N >= 2.
        score_data: (N, d) scores of real ones.
        seed, state: As the loss takes them, for the width of a random-width loss.
    """
    if loss.canonical in _UNDECIDED_AT_ZERO:
        return tf.reduce_mean(tf.sign(score_data))
    kernel = loss.penalty_kernel(score_gen, score_data, seed, state)
    if not kernel:
        return _order(tf.reduce_mean(score_data, 1), tf.reduce_mean(score_gen, 1))
    kind = "rational_quadratic" if "alpha" in kernel else "gaussian"
    halves = [(score_data[half::2], score_gen[half::2]) for half in range(2)]
    found = []
    for own, other in (halves, halves[::-1]):
        values = [witness(scores, *other, kind, **kernel) for scores in own]
        found.append(_order(*values))
    return tf.add_n(found) / 2


def _order(real: tf.Tensor, generated: tf.Tensor) -> tf.Tensor:
    """The mean of sign(real - generated) over all pairs."""
    return tf.reduce_mean(tf.sign(real[:, None] - generated[None, :]))
