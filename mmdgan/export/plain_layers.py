"""Standard Keras layers that compute what the parts of our blocks compute in inference, with the same numbers.

Images are channels_last, everything is float32. Kernels come divided by their spectral norms, batch norm uses its
moving averages, class tensors become embeddings. No layer here is one of ours, so that a file of them loads where
mmdgan is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.layers.initializers import LEAKY_SLOPE
from mmdgan.layers.normalization import EPSILON, MOMENTUM, RESPONSE_EPSILON
from mmdgan.layers.resampling import interpolation_matrix

layers = keras.layers
Weights = Sequence[np.ndarray]


class PlainLayers:
    """Applies standard layers, each under a name of its own and with given weights.

    Args:
        taken: names that no layer may have: those of the inputs.
        labels: the symbolic class labels (N,), or None.
    """

    def __init__(self, taken: Sequence[str], labels: keras.KerasTensor | None):
        self._taken = set(taken)
        self._labels = labels

    def put(self, kind: type[keras.layers.Layer], name: str, inputs: Any, weights: Weights = (), **options: Any) -> Any:
        """Returns what a new layer makes of `inputs`.

        Args:
            kind: a class of keras.layers.
            name: that the layer has, unless another one has it.
            inputs: a symbolic tensor, or a list of them.
            weights: of the layer, in Keras's order.
            **options: of `kind`.
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
            # Seen with channels first, the channels are the columns, which this layer can cut.
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
        """Returns x after a normalisation 'bn', 'cbn' or 'lrn', whose layer of ours is `layer`."""
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
