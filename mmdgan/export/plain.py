"""From a network of mmdgan to a Functional model of standard Keras layers that computes the same in inference.

A file of such a model loads where mmdgan is not installed. The order of operations of each layer type is that of
`mmdgan.networks.blocks` (spec A.5). The model takes channels_last images or flat features and, if the network is
conditional, integer class labels (N,), and works in float32. Kernels come divided by their spectral norms, batch norm
uses its moving averages, class tensors become embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.design.spec import Part
from mmdgan.layers.initializers import LEAKY_SLOPE
from mmdgan.layers.linear import SpectralLayer
from mmdgan.layers.normalization import EPSILON, MOMENTUM, RESPONSE_EPSILON
from mmdgan.layers.resampling import POOLS, interpolation_matrix
from mmdgan.networks.blocks import Block, DefaultBlock, NonLocalBlock, ResidualBlock, batch_shape
from mmdgan.networks.network import Network

layers = keras.layers
Weights = Sequence[np.ndarray]

_SCALED = {"cck": "c", "tcck": "tc", "dck": "d"}
"""Kernels with a multiplier per class and output channel, and the common kernel in each."""


def float32_network(net: Network) -> Network:
    """Returns a copy of a network that computes in float32 on channels_last images."""
    copy = Network.from_config({**net.get_config(), "precision": "float32", "data_format": "channels_last"})
    copy.set_weights(net.get_weights())
    return copy


def plain_model(net: Network, name: str, input_name: str) -> keras.Model:
    """Returns the model of standard Keras layers that equals a network in inference mode.

    Args:
        net: A network in float32 and channels_last, as `float32_network` makes it.
        name: Name of the model.
        input_name: Name of its first input: 'codes' or 'images'. The second input of a conditional network is 'labels'
            (N,).

    Raises:
        ConfigError: A part has no equivalent in standard layers; the sentence names the layer and the key.
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
    """The plain form of a block: what all types of blocks share. The order of operations of a type is its `transform`.

    Args:
        plain: Makes the layers.
        network: Name of the network, for error messages.
        block: The block of mmdgan.
    """

    def __init__(self, plain: PlainLayers, network: str, block: Block):
        self.plain = plain
        self.network = network
        self.block = block
        self.spec = block.spec

    def apply(self, x: Any) -> Any:
        """Returns the output of the block."""
        if self.spec.in_reshape is not None:
            x = self.plain.reshaped(self.name("in_reshape"), x, self.spec.input_shape)
        x = self.transform(x)
        if self.spec.out_reshape is not None:
            x = self.plain.reshaped(self.name("out_reshape"), x, self.spec.output_shape)
        return x

    def transform(self, x: Any) -> Any:
        """Returns the output between both reshapes."""
        raise NotImplementedError(f"{type(self).__name__} must define the order of its operations.")

    def name(self, slot: str) -> str:
        """The name of a plain layer."""
        return f"{self.spec.name}_{slot}"

    def kernel(self, slot: str, bias_slot: str, x: Any) -> Any:
        """Returns x after the kernel and the bias in two slots; each may be empty."""
        part, bias = self.spec.part(slot), self.spec.part(bias_slot)
        common = None
        if part is not None and part.op not in POOLS:
            layer: SpectralLayer = self.block.sublayers[slot]
            if bias is not None and bias.op == "b":
                common = np.asarray(self.block.sublayers[bias_slot].bias)
            kernel = tf.nest.map_structure(np.asarray, layer.effective_kernel(training=False))
            x = self.plain.kernel(self.name(slot), x, part.op, part, kernel, common)
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
    """The plain form of `DefaultBlock`."""

    def transform(self, x: Any) -> Any:
        inputs = x
        x = self.norm("BN", self.kernel("kernel", "bias", self.upsample(x)))
        x = self.downsample(self.activate(x))
        if self.spec.part("project") is None:
            return x
        projection = self.kernel("project", "", inputs)
        return self.plain.put(layers.Add, self.name("sum"), [x, projection])


class PlainResidual(PlainBlock):
    """The plain form of `ResidualBlock`."""

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
    """The plain form of `NonLocalBlock`; logits by distance leave out |f_p|^2, the same for all keys of a softmax."""

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
        pool = layers.GlobalAveragePooling1D  # as if channels came first, it averages over the channels
        means = self.plain.put(pool, self.name("mean_squares"), squares, data_format="channels_first")
        means = self.plain.put(layers.Reshape, self.name("mean_square_row"), means, target_shape=(1, g.shape[1]))
        return self.plain.put(layers.Subtract, self.name("logits"), [products, means])

    def _pixels(self, slot: str, x: Any) -> Any:
        shape = (x.shape[1] * x.shape[2], x.shape[3])
        return self.plain.put(layers.Reshape, self.name(f"{slot}_pixels"), x, target_shape=shape)


_PLAIN_BLOCKS = {DefaultBlock: PlainDefault, ResidualBlock: PlainResidual, NonLocalBlock: PlainNonLocal}


class PlainLayers:
    """Applies standard layers, each with a unique name and with given weights.

    Args:
        taken: Names that no layer may have: those of the inputs.
        labels: Symbolic class labels (N,), or None.
    """

    def __init__(self, taken: Sequence[str], labels: keras.KerasTensor | None):
        self._taken = set(taken)
        self._labels = labels

    def put(self, kind: type[keras.layers.Layer], name: str, inputs: Any, weights: Weights = (), **options: Any) -> Any:
        """Returns the output of a new layer.

        Args:
            kind: A class of keras.layers.
            name: Name of the layer; a number is added if another layer has it.
            inputs: A symbolic tensor, or a list of them.
            weights: Weights of the layer, in Keras's order.
            **options: Arguments of `kind`.
        """
        unique, number = name, 1
        while unique in self._taken:
            number += 1
            unique = f"{name}_{number}"
        self._taken.add(unique)
        layer = kind(name=unique, dtype="float32", **options)
        outputs = layer(inputs)
        if len(weights):
            layer.set_weights([np.asarray(w, "float32") for w in weights])
        return outputs

    def kernel(self, name: str, x: Any, op: str, part: Part, kernel: Any, bias: np.ndarray | None) -> Any:
        """Returns x after a kernel of the dictionary language.

        Args:
            name: Name of the layer that holds the kernel.
            x: Symbolic images (N, H, W, C) or features (N, F).
            op: Operation: that of the part, or the common kernel in it.
            part: Part that says the window.
            kernel: What our layer applies in inference, `SpectralLayer.effective_kernel`: an array, or a pair.
            bias: One number per output channel, added directly after the kernel, or None.
        """
        if op in _SCALED:
            kernel, multipliers = kernel
            x = self.kernel(name, x, _SCALED[op], part, kernel, None)
            x = self.put(layers.Multiply, f"{name}_scaled", [x, self.per_channel(f"{name}_classes", x, multipliers)])
            return x if bias is None else self.add_bias(f"{name}_bias", x, bias)
        if op in ("dcd", "project"):
            rows = self.of_class(f"{name}_classes", kernel, kernel.shape[1:])
            x = self.put(layers.Dot, name, [x, rows], axes=1)
            return x if bias is None else self.add_bias(f"{name}_bias", x, bias)
        options: dict[str, Any] = {"kernel_size": part.kernel, "strides": part.strides}
        options |= {"padding": str(part.padding).lower(), "dilation_rate": part.dilation or 1}
        kind: type[keras.layers.Layer] = layers.Conv2D
        if op == "d":
            kind, options = layers.Dense, {"units": kernel.shape[1]}
        elif op == "sc":
            depthwise, kernel = kernel
            x = self.put(layers.DepthwiseConv2D, f"{name}_depthwise", x, [depthwise], use_bias=False, **options)
            options = {"kernel_size": 1, "filters": kernel.shape[3]}
        elif op == "tc":
            # With zeros behind its entries the window reaches to the ends of the output, as all programs want it:
            # Keras's 'valid' output is shorter than ours, and others know no windows smaller than their strides.
            assert part.kernel is not None and part.strides is not None  # of every convolution
            size = part.kernel + part.strides - 1 if part.padding == "VALID" else max(part.kernel, part.strides)
            missing = size - part.kernel
            kernel = np.pad(kernel, ((0, missing), (0, missing), (0, 0), (0, 0)))
            kind, options = layers.Conv2DTranspose, {**options, "kernel_size": size, "filters": kernel.shape[2]}
        else:
            options["filters"] = kernel.shape[3]
        weights = [kernel] if bias is None else [kernel, bias]
        return self.put(kind, name, x, weights, use_bias=bias is not None, **options)

    def of_class(self, name: str, table: np.ndarray, shape: tuple[int, ...]) -> Any:
        """Returns each sample's row of a class tensor (classes, ...), reshaped to (N, *shape)."""
        table = np.asarray(table)
        table = table.reshape(len(table), -1)
        rows = self.put(layers.Embedding, name, self._labels, [table], input_dim=len(table), output_dim=table.shape[1])
        return rows if len(shape) == 1 else self.put(layers.Reshape, f"{name}_rows", rows, target_shape=shape)

    def per_channel(self, name: str, x: Any, table: np.ndarray) -> Any:
        """Returns the rows of a class tensor with one number per channel, so that they broadcast with x."""
        return self.of_class(name, table, (*[1] * (len(x.shape) - 2), x.shape[-1]))

    def add_bias(self, name: str, x: Any, bias: np.ndarray) -> Any:
        """Returns x plus one number per channel."""
        axes = "abcd"[: len(x.shape)]
        options = {"equation": f"{axes},{axes[-1]}->{axes}", "output_shape": x.shape[1:], "bias_axes": axes[-1]}
        return self.put(layers.EinsumDense, name, x, [np.ones_like(bias), bias], **options)

    def reshaped(self, name: str, x: Any, shape: tuple[int, ...]) -> Any:
        """Returns x in a shape that, like its flat order, means (C, H, W)."""
        if len(x.shape) == 4:
            x = self.put(layers.Permute, f"{name}_first", x, dims=(3, 1, 2))
        x = self.put(layers.Reshape, name, x, target_shape=shape)
        return self.put(layers.Permute, f"{name}_last", x, dims=(2, 3, 1)) if len(shape) == 3 else x

    def slice(self, name: str, x: Any, piece: int, pieces: int) -> Any:
        """Returns one of `pieces` equal slices of the channels."""
        channels = x.shape[-1]
        size = channels // pieces
        cut = (piece * size, channels - (piece + 1) * size)
        if len(x.shape) == 4:
            # As if channels came first, the channels are the columns, which this layer can cut.
            return self.put(layers.Cropping2D, name, x, cropping=((0, 0), cut), data_format="channels_first")
        x = self.put(layers.Reshape, f"{name}_column", x, target_shape=(channels, 1))
        x = self.put(layers.Cropping1D, name, x, cropping=cut)
        return self.put(layers.Reshape, f"{name}_flat", x, target_shape=(size,))

    def activated(self, name: str, x: Any, activation: str) -> Any:
        """Returns x after an activation of the dictionary language."""
        if activation == "linear":
            return x
        if activation == "lrelu":
            return self.put(layers.LeakyReLU, name, x, negative_slope=LEAKY_SLOPE)
        if activation == "crelu":
            negative = self.put(layers.Rescaling, f"{name}_minus", x, scale=-1.0)
            halves = [self.put(layers.Activation, f"{name}_half", half, activation="relu") for half in (x, negative)]
            return self.put(layers.Concatenate, name, halves)
        return self.put(layers.Activation, name, x, activation=activation)

    def pooled(self, name: str, x: Any, op: str, kernel: int, strides: int, padding: str) -> Any:
        """Returns x after the pool 'max', 'avg' or 'sum'."""
        kind = layers.MaxPooling2D if op == "max" else layers.AveragePooling2D
        x = self.put(kind, name, x, pool_size=kernel, strides=strides, padding=padding.lower())
        return self.put(layers.Rescaling, f"{name}_sum", x, scale=float(kernel**2)) if op == "sum" else x

    def resampled(self, name: str, x: Any, method: str, factor: float) -> Any:
        """Returns x scaled as `mmdgan.layers.resampling.resample` does."""
        size: Any = abs(factor)  # whole, unless the method interpolates
        if method in ("avg", "max"):
            return self.pooled(name, x, method, size, size, "SAME")
        if method == "unpool":
            return self.put(layers.UpSampling2D, name, x, size=size, interpolation="nearest")
        if method == "ps":
            return self._shuffled(name, x, size, factor > 0)
        for axis, equation in ((1, "ahwc,hn->anwc"), (2, "ahwc,wn->ahnc")):
            side = x.shape[axis]
            matrix = interpolation_matrix(method, side, max(int(side * size if factor > 0 else side / size), 1)).T
            shape = [*x.shape[1:axis], matrix.shape[1], *x.shape[axis + 1 :]]
            options = {"equation": equation, "output_shape": shape, "trainable": False}
            x = self.put(layers.EinsumDense, f"{name}_axis{axis}", x, [matrix], **options)
        return x

    def _shuffled(self, name: str, x: Any, size: int, enlarge: bool) -> Any:
        """Periodic shuffling: channel (i size + j) C + c is pixel (i, j) of a cell, and the other way round."""
        _, height, width, channels = x.shape
        if enlarge:
            cells = (height, width, size, size, channels // size**2)
            shape = (height * size, width * size, channels // size**2)
        else:
            cells = (height // size, size, width // size, size, channels)
            shape = (height // size, width // size, channels * size**2)
        x = self.put(layers.Reshape, f"{name}_cells", x, target_shape=cells)
        x = self.put(layers.Permute, f"{name}_shuffle", x, dims=(1, 3, 2, 4, 5))
        return self.put(layers.Reshape, name, x, target_shape=shape)

    def normalised(self, name: str, x: Any, op: str, layer: Any) -> Any:
        """Returns x after a normalisation 'bn', 'cbn' or 'lrn'; `layer` is ours."""
        if op == "lrn":
            if not hasattr(layers, "RMSNormalization"):
                raise ConfigError(f"needs Keras 3.9 or newer to be written in plain layers, not {keras.__version__}")
            return self.put(layers.RMSNormalization, name, x, epsilon=RESPONSE_EPSILON)
        affine = [variable for variable in (layer.gamma, layer.beta) if variable is not None]
        options = {"center": layer.beta is not None, "scale": layer.gamma is not None}
        weights = [*affine, layer.moving_mean, layer.moving_variance]
        x = self.put(
            layers.BatchNormalization, name, x, weights, momentum=MOMENTUM, epsilon=EPSILON, trainable=False, **options
        )
        if op == "bn":
            return x
        x = self.put(layers.Multiply, f"{name}_scaled", [x, self.per_channel(f"{name}_scale", x, layer.class_scale)])
        return self.put(layers.Add, f"{name}_moved", [x, self.per_channel(f"{name}_offset", x, layer.class_offset)])
