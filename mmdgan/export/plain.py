"""From a network of ours to a Functional model of standard Keras layers that computes the same in inference.

The order of operations of each layer type is that of `mmdgan.layers` (spec A.5); the layers themselves are made in
`plain_layers` and `plain_kernels`. The model takes channels_last images or flat features and, if the network is
conditional, integer class labels (N,), and works in float32.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.export.plain_kernels import plain_kernel
from mmdgan.export.plain_layers import PlainLayers, layers
from mmdgan.layers.linear import SpectralLayer
from mmdgan.layers.resampling import POOLS
from mmdgan.networks.blocks import Block, DefaultBlock, NonLocalBlock, ResidualBlock, batch_shape
from mmdgan.networks.network import Network


def float32_network(net: Network) -> Network:
    """Returns a copy of a network that computes in float32 on channels_last images, whatever `net` does."""
    copy = Network.from_config({**net.get_config(), "precision": "float32", "data_format": "channels_last"})
    copy.set_weights(net.get_weights())
    return copy


def plain_model(net: Network, name: str, input_name: str) -> keras.Model:
    """Returns the model of standard Keras layers that equals a network in inference mode.

    Args:
        net: in float32 and channels_last, as `float32_network` makes it.
        name: of the model.
        input_name: of its first input: 'codes' or 'images'. A conditional network's second one is 'labels' (N,).

    Raises:
        ConfigError: a part that cannot be written in standard layers; names the layer and the key.
    """
    x = keras.Input(batch_shape(net.spec.input_shape, "channels_last")[1:], name=input_name, dtype="float32")
    labels = keras.Input((), name="labels", dtype="int32") if net.conditional else None
    plain = PlainLayers([input_name, "labels"], labels)
    results: list[keras.KerasTensor] = []
    for block, route in zip(net.blocks, net.spec.routes, strict=True):
        sources = [x if source < 0 else results[source] for source in route.sources]
        joined = sources[0]
        if len(sources) > 1:
            kind = layers.Concatenate if route.how == "concat" else layers.Add
            joined = plain.put(kind, f"{block.name}_{route.how}", sources)
        if route.pieces > 1:
            joined = plain.slice(f"{block.name}_slice", joined, route.piece, route.pieces)
        results.append(_PLAIN_BLOCKS[type(block)](plain, net.name, block).apply(joined))
    outputs = {net.blocks[index].name: results[index] for index in net.spec.outputs}
    inputs = x if labels is None else [x, labels]
    return keras.Model(inputs, outputs if len(outputs) > 1 else next(iter(outputs.values())), name=name)


class PlainBlock:
    """What the plain forms of all layer types share; one type's order of operations is its `transform`.

    Args:
        plain: where the layers are put.
        network: the network's name, for errors.
        block: ours.
    """

    def __init__(self, plain: PlainLayers, network: str, block: Block):
        self.plain = plain
        self.network = network
        self.block = block
        self.spec = block.spec

    def apply(self, x: Any) -> Any:
        """Returns what the layer makes of its input."""
        if self.spec.in_reshape is not None:
            x = self.plain.reshaped(self.name("in_reshape"), x, self.spec.input_shape)
        x = self.transform(x)
        if self.spec.out_reshape is not None:
            x = self.plain.reshaped(self.name("out_reshape"), x, self.spec.output_shape)
        return x

    def transform(self, x: Any) -> Any:
        """Returns what the layer makes of its input between both reshapes."""
        raise NotImplementedError(f"{type(self).__name__} must say its order of operations.")

    def name(self, slot: str) -> str:
        """The name of a plain layer."""
        return f"{self.spec.name}_{slot}"

    def kernel(self, slot: str, bias_slot: str, x: Any) -> Any:
        """Returns x after the kernel and the bias in two slots, of which each may be empty."""
        part, bias = self.spec.part(slot), self.spec.part(bias_slot)
        common = None
        if part is not None and part.op not in POOLS:
            layer: SpectralLayer = self.block.sublayers[slot]
            if bias is not None and bias.op == "b":
                common = np.asarray(self.block.sublayers[bias_slot].bias)
            kernel = tf.nest.map_structure(np.asarray, layer.effective_kernel(training=False))
            x = plain_kernel(self.plain, self.name(slot), x, part, kernel, common)
        elif part is not None:
            assert part.kernel is not None and part.strides is not None and part.padding is not None  # a pool's
            x = self.plain.pooled(self.name(slot), x, part.op, part.kernel, part.strides, part.padding)
        return x if bias is None or common is not None else self._bias(bias_slot, x)

    def norm(self, slot: str, x: Any) -> Any:
        """Returns x after the normalisation in a slot, if there is one."""
        part = self.spec.part(slot)
        if part is None:
            return x
        try:
            return self.plain.normalised(self.name(slot), x, part.op, self.block.sublayers[slot])
        except ConfigError as error:
            raise ConfigError(
                f"{self.network}, layer {self.spec.name!r}, key 'act_nm': {part.op!r} {error}; export with "
                "--format savedmodel or onnx."
            ) from None

    def activate(self, x: Any, name: str = "act") -> Any:
        """Returns x after the layer's activation."""
        return self.plain.activated(self.name(name), x, self.spec.act)

    def upsample(self, x: Any, name: str = "scale") -> Any:
        """Returns x enlarged if the layer's `scale` enlarges."""
        return self._scaled(x, 1, name)

    def downsample(self, x: Any, name: str = "scale") -> Any:
        """Returns x made smaller if the layer's `scale` does so."""
        return self._scaled(x, -1, name)

    def _scaled(self, x: Any, sign: int, name: str) -> Any:
        if self.spec.scale is None or self.spec.scale[1] * sign <= 0:
            return x
        return self.plain.resampled(self.name(name), x, *self.spec.scale)

    def _bias(self, slot: str, x: Any) -> Any:
        layer, part = self.block.sublayers[slot], self.spec.part(slot)
        assert part is not None  # as it has a layer
        op = part.op
        if op == "b":
            return self.plain.add_bias(self.name(slot), x, np.asarray(layer.bias))
        biases = np.asarray(layer.c_bias) + (np.asarray(layer.bias) if op == "bcb" else 0.0)
        rows = self.plain.per_channel(f"{self.name(slot)}_classes", x, biases)
        return self.plain.put(layers.Add, self.name(slot), [x, rows])


class PlainDefault(PlainBlock):
    """As `DefaultBlock`."""

    def transform(self, x: Any) -> Any:
        inputs = x
        x = self.norm("BN", self.kernel("kernel", "bias", self.upsample(x)))
        x = self.downsample(self.activate(x))
        if self.spec.part("project") is None:
            return x
        projection = self.kernel("project", "", inputs)
        return self.plain.put(layers.Add, self.name("sum"), [x, projection])


class PlainResidual(PlainBlock):
    """As `ResidualBlock`."""

    def transform(self, x: Any) -> Any:
        main = x
        if self.spec.type != "res_v1":
            main = self.activate(self.norm("BN_0", main), "act_0")
        main = self.norm("BN_1", self.kernel("kernel_0", "bias_0", self.upsample(main)))
        main = self.kernel("kernel_1", "bias_1", self.activate(main, "act_1"))
        return self.plain.put(layers.Add, self.name("sum"), [self.downsample(main), self._shortcut(x)])

    def _shortcut(self, x: Any) -> Any:
        if self.spec.type == "res_i":
            return x
        scale = "scale_sc"
        x = self.downsample(x, scale) if self.spec.type == "res_v1" else self.upsample(x, scale)
        x = self.kernel("kernel_sc", "bias_sc", x)
        return x if self.spec.type == "res_v1" else self.downsample(x, scale)


class PlainNonLocal(PlainBlock):
    """As `NonLocalBlock`. Logits by distance leave out |f_p|^2, which is the same for all keys of a softmax."""

    def transform(self, x: Any) -> Any:
        keys = x
        if "pool" in self.spec.type:
            keys = self.plain.pooled(self.name("pool"), x, "max", 2, 2, "SAME")
        f, g, h = (
            self._pixels(slot, self.kernel(slot, bias, source))
            for slot, bias, source in (("f_x", "bias_f", x), ("g_x", "", keys), ("h_x", "", keys))
        )
        weights = self.plain.put(layers.Softmax, self.name("attention"), self._logits(f, g))
        attended = self.plain.put(layers.Dot, self.name("attended"), [weights, h], axes=(2, 1))
        y = self.plain.put(layers.Reshape, self.name("image"), attended, target_shape=(*x.shape[1:3], h.shape[-1]))
        y = self.norm("BN_1", y)
        y = self.plain.put(layers.Rescaling, self.name("k_x"), y, scale=float(self.block.sublayers["k_x"].kernel))
        return self.plain.put(layers.Add, self.name("sum"), [x, y])

    def _logits(self, f: Any, g: Any) -> Any:
        products, channels = self.plain.put(layers.Dot, self.name("products"), [f, g], axes=(2, 2)), f.shape[-1]
        if "dist" not in self.spec.type:
            return self.plain.put(layers.Rescaling, self.name("logits"), products, scale=1 / math.sqrt(channels))
        products = self.plain.put(layers.Rescaling, self.name("scaled_products"), products, scale=2 / channels)
        squares = self.plain.put(layers.Multiply, self.name("squares"), [g, g])
        pool = layers.GlobalAveragePooling1D  # seen with channels first it averages over the channels
        means = self.plain.put(pool, self.name("mean_squares"), squares, data_format="channels_first")
        means = self.plain.put(layers.Reshape, self.name("mean_square_row"), means, target_shape=(1, g.shape[1]))
        return self.plain.put(layers.Subtract, self.name("logits"), [products, means])

    def _pixels(self, slot: str, x: Any) -> Any:
        shape = (x.shape[1] * x.shape[2], x.shape[3])
        return self.plain.put(layers.Reshape, self.name(f"{slot}_pixels"), x, target_shape=shape)


_PLAIN_BLOCKS = {DefaultBlock: PlainDefault, ResidualBlock: PlainResidual, NonLocalBlock: PlainNonLocal}
