"""Non-local blocks (self-attention over pixels): 'nl', 'nl_dist', 'nl_pool', 'nl_pool_dist'.

Sources: Wang et al. 2018, "Non-local Neural Networks"; Zhang et al. 2019, SAGAN. The original adds batch norm before
the trainable scalar, and logits by distance: -|f_p - g_q|^2 / c instead of f_p . g_q / sqrt(c) (spec A.5).
"""

from __future__ import annotations

import math

import tensorflow as tf

from mmdgan.layers.blocks import Block
from mmdgan.layers.resampling import pool


class NonLocalBlock(Block):
    """x + k norm(sum over q of softmax_q(logits_pq) h_q), with queries f of x and keys g, values h of x.

    In the 'pool' types g and h see x after 2x2 max pooling. k is a scalar that starts at 0. `act` is not applied.
    """

    def transform(self, x: tf.Tensor, labels: tf.Tensor | None, training: bool) -> tf.Tensor:
        keys = x
        if "pool" in self.spec.type:
            keys = pool(x, "max", 2, 2, "SAME", self.data_format)
        f = self.apply_part("bias_f", self.apply_part("f_x", x, labels, training), labels, training)
        g = self.apply_part("g_x", keys, labels, training)
        h = self.apply_part("h_x", keys, labels, training)
        attended = tf.matmul(self._attention(self._pixels(f), self._pixels(g)), self._pixels(h))
        y = self._image(attended)
        y = self.apply_part("k_x", self.apply_part("BN_1", y, labels, training), labels, training)
        return x + y

    def _attention(self, f: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
        """Weights (N, P, Q) of Q keys (N, Q, c) for P queries (N, P, c), softmax in the variables' dtype."""
        channels = f.shape[-1]
        products = tf.cast(tf.matmul(f, g, transpose_b=True), self.variable_dtype)
        if "dist" in self.spec.type:
            f, g = tf.cast(f, self.variable_dtype), tf.cast(g, self.variable_dtype)
            squares_f = tf.reduce_sum(f * f, axis=2)[:, :, None]
            squares_g = tf.reduce_sum(g * g, axis=2)[:, None, :]
            logits = -tf.maximum(squares_f - 2.0 * products + squares_g, 0.0) / channels
        else:
            logits = products / math.sqrt(channels)
        return tf.cast(tf.nn.softmax(logits), self.compute_dtype)

    def _pixels(self, x: tf.Tensor) -> tf.Tensor:
        """Images as (N, pixels, channels)."""
        if self.data_format == "channels_first":
            x = tf.transpose(x, (0, 2, 3, 1))
        return tf.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))

    def _image(self, x: tf.Tensor) -> tf.Tensor:
        _, height, width = self.spec.input_shape
        x = tf.reshape(x, (-1, height, width, x.shape[-1]))
        return tf.transpose(x, (0, 3, 1, 2)) if self.data_format == "channels_first" else x
