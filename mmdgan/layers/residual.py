"""Residual blocks: 'res', 'res_i' (identity shortcut) and 'res_v1' (first block of a critic).

Sources: He et al. 2016 (pre-activation blocks); Gulrajani et al. 2017 and Miyato et al. 2018 (the up- and
downsampling forms); order of operations: the original's (spec A.5). There is no activation after the sum.
"""

from __future__ import annotations

import tensorflow as tf

from mmdgan.layers.blocks import Block


class ResidualBlock(Block):
    """Main branch: norm, act, up, kernel, bias, norm, act, kernel, bias, down; plus the shortcut.

    'res_v1' sees images first, so it leaves out the first norm and activation, and its shortcut scales down before
    its kernel. 'res_i' adds its input itself.
    """

    def transform(self, x: tf.Tensor, labels: tf.Tensor | None, training: bool) -> tf.Tensor:
        main = x
        if self.spec.type != "res_v1":
            main = self.activate(self.apply_part("BN_0", main, labels, training))
        main = self.upsample(main)
        for slot in ("kernel_0", "bias_0", "BN_1"):
            main = self.apply_part(slot, main, labels, training)
        main = self.activate(main)
        for slot in ("kernel_1", "bias_1"):
            main = self.apply_part(slot, main, labels, training)
        return self.downsample(main) + self._shortcut(x, labels, training)

    def _shortcut(self, x: tf.Tensor, labels: tf.Tensor | None, training: bool) -> tf.Tensor:
        if self.spec.type == "res_i":
            return x
        x = self.downsample(x) if self.spec.type == "res_v1" else self.upsample(x)
        for slot in ("kernel_sc", "bias_sc"):
            x = self.apply_part(slot, x, labels, training)
        return x if self.spec.type == "res_v1" else self.downsample(x)
