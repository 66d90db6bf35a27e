"""A GanStep of a few numbers: quick, deterministic, and told when to misbehave."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from mmdgan.data import ImageData, Pipeline


class FakeGan:
    """Gradient noise with momentum on two weights; the losses depend on weights, step and batch.

    `at` maps a step to what is done at its beginning (a callable), for signals and spoilt weights;
    `losses` maps a step to what it reports as loss_gen.
    """

    def __init__(self, at=None, losses=None):
        self.generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        self.weights = tf.Variable([1.0, -2.0])
        self.moments = tf.Variable([0.0, 0.0])
        self.iterations = tf.Variable(0, dtype=tf.int64)
        self.at = at or {}
        self.losses = losses or {}
        self.inspected = []

    def step(self, real, labels=None):
        number = int(self.iterations) + 1
        self.at.get(number, lambda: None)()
        noise = tf.random.stateless_normal((2,), [5, number])
        mean = tf.reduce_mean(tf.cast(real, tf.float32)) / 255.0
        loss = tf.reduce_sum(self.weights) * mean
        self.moments.assign(0.9 * self.moments + noise * mean)
        self.weights.assign_sub(0.1 * self.moments)
        self.iterations.assign_add(1)
        return {"loss_gen": self.losses.get(number, loss), "loss_dis": -loss}

    def inspect(self, real, labels=None):
        self.inspected.append((int(self.iterations), np.asarray(real)))
        return {
            "scalars": {"GANLoss/gen": tf.constant(0.0), "rep_b/kxx": tf.reduce_sum(self.weights)},
            "histograms": {"gen/l1/kernel/kernel": self.weights},
            "images": {"Ig": tf.zeros((4, 5, 6, 3))},
        }

    def state(self):
        return {"gen/w": self.weights, "gen/w/Momentum": self.moments, "global_step": self.iterations}


def small_pipeline(count=24, batch_size=4):
    """Random images of 3x2x2, in a stream that depends on nothing but these numbers."""
    images = np.random.default_rng(0).integers(0, 256, (count, 3, 2, 2), dtype=np.uint8)
    return Pipeline(ImageData("random", images), batch_size)
