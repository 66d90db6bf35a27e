"""The exponential moving average of the generator's weights, for samples and scores.

Karras et al. 2018 (section 4) show images of a generator whose weights are averaged with decay 0.999 over the steps.
Here the average of n updates is the corrected one of Kingma and Ba 2015 (section 7.2),

    a_n = (1 - d) sum_i d^(n - i) w_i / (1 - d^n),    i = 1 .. n,

so that the initial weights have no part in it: early on it is nearly the mean of all weights so far. With d = 0.999,
the uncorrected average of a run of 1,000 steps would be to 37% the initial weights.

Moving averages of batch normalisation are averaged by the same rule, because they are statistics of the averaged
weights' activations. Vectors of spectral norms are copied: they are directions, and the mean of directions is not one.
"""

from __future__ import annotations

import math

import tensorflow as tf

from mmdgan import tf1
from mmdgan.networks.network import Network
from mmdgan.training.checkpoints import AVERAGES


class WeightAverage(tf.Module):
    """The average of a generator's weights, held by a second network.

    Args:
        generator: A built network. Within the scope of a `tf.distribute.Strategy`, the average must be made there too.
        decay: Decay d, between 0 and 1.

    Attributes:
        network: The generator with averaged weights; before the first update, with the present ones.
        count: Number n of updates (tf.Variable, int64).
    """

    def __init__(self, generator: Network, decay: float) -> None:
        super().__init__(name="ema")
        self.decay = float(decay)
        self.network: Network = type(generator).from_config(generator.get_config())
        self.count = tf.Variable(0, dtype=tf.int64, trainable=False, name="count")
        self._pairs = list(zip(self.network.variables, generator.variables, strict=True))
        self.reset()

    def reset(self) -> None:
        """Starts again: the average is the generator as it is."""
        self.count.assign(0)
        for average, variable in self._pairs:
            average.assign(tf.convert_to_tensor(variable))

    def update(self) -> None:
        """Adds the generator's present weights to the average; called outside of replicas, once per step."""
        number = tf.cast(self.count.assign_add(1), tf.float64)
        share = (1.0 - self.decay) / -tf.math.expm1(number * math.log(self.decay))
        for average, variable in self._pairs:
            new = tf.convert_to_tensor(variable)
            if not variable.path.endswith("/in_rand"):
                weight = tf.cast(share, new.dtype)
                new = (1 - weight) * tf.convert_to_tensor(average) + weight * new
            average.assign(new)

    def state(self) -> dict[str, tf.Variable]:
        """Returns what a checkpoint must hold."""
        averages = {AVERAGES + tf1.original_name(average): average.value for average, _ in self._pairs}
        return averages | {f"{AVERAGES}count": self.count}
