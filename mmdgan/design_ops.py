"""What a parsed network is made of: specifications of layers and networks, and the table of operations.

Shapes are (C, H, W) or (features,), without batch dimension, in this order whatever the data format.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields

from mmdgan.design_keys import Place

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerSpec:
    """One layer with every key resolved and every shape inferred.

    Order of operations: in_reshape, kernel, bias, normalisation, activation, out_reshape.

    Attributes:
        input_shape: what the kernel sees, after in_reshape.
        op_shape: what the kernel (and bias and normalisation) gives; 'crelu' then doubles the first axis.
        output_shape: what the next layer sees, after out_reshape.
        kernel, strides, dilation, padding: None for op 'd'.
        act_k: multiplier of the normalised kernel; without effect unless w_nm is 's'.
        notes: remarks on keys that have no effect, for the summary.
    """

    name: str
    type: str
    op: str
    out: int
    bias: str | None
    act: str
    act_nm: str | None
    act_k: float
    w_nm: str | None
    kernel: int | None
    strides: int | None
    dilation: int | None
    padding: str | None
    in_reshape: Shape | None
    out_reshape: Shape | None
    input_shape: Shape
    op_shape: Shape
    output_shape: Shape
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def kernel_shape(self) -> Shape:
        """(k, k, in, out) for 'c', (k, k, out, in) for 'tc', (in, out) for 'd', in both data formats."""
        return OPS[self.op].kernel_shape(self)

    @property
    def parameters(self) -> int:
        """Number of trainable values: kernel, bias, and gamma and beta of the batch norm."""
        channels = self.op_shape[0]
        return math.prod(self.kernel_shape) + channels * ((self.bias == "b") + 2 * (self.act_nm == "bn"))

    @property
    def state(self) -> int:
        """Number of moving means and variances of the batch norm (spectral vectors are not counted)."""
        return 2 * self.op_shape[0] if self.act_nm == "bn" else 0

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the kernel for one sample."""
        return math.prod(self.kernel_shape) * OPS[self.op].positions(self)


@dataclass(frozen=True)
class NetworkSpec:
    """A chain of resolved layers."""

    name: str
    input_shape: Shape
    layers: tuple[LayerSpec, ...]
    num_class: int = 0

    @property
    def output_shape(self) -> Shape:
        """Shape of the last layer's output: (C, H, W) or (features,)."""
        return self.layers[-1].output_shape

    @property
    def parameters(self) -> int:
        """Number of trainable values."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def state(self) -> int:
        """Number of moving means and variances."""
        return sum(layer.state for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one sample."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def layer_dicts(self) -> list[dict]:
        """The layers as plain, resolved, JSON-able dictionaries; parsing them gives an equal network."""
        known = {entry.name for entry in fields(LayerSpec)}
        return [
            {key: _plain(getattr(layer, key)) for key in OPS[layer.op].keys if key in known} for layer in self.layers
        ]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Op:
    """What the language knows about one kernel operation.

    Attributes:
        keys: the keys that a layer with this op may have.
        rank: of the input, 1 for features or 3 for images.
        shape: (resolved keys, input shape) -> output shape; raises DesignError through `place`.
        kernel_shape, positions: of a LayerSpec; multiply-adds are their product.
    """

    keys: tuple[str, ...]
    rank: int
    shape: Callable[[Place, Mapping, Shape], Shape]
    kernel_shape: Callable[[LayerSpec], Shape]
    positions: Callable[[LayerSpec], int]


def _dense_shape(place: Place, options: Mapping, shape: Shape) -> Shape:
    return (options["out"],)


def _conv_shape(place: Place, options: Mapping, shape: Shape) -> Shape:
    """SAME: ceil(n / s); VALID: ceil((n - (k - 1) * dilation) / s)."""
    kernel, strides, dilation = options["kernel"], options["strides"], options["dilation"]
    overlap = (kernel - 1) * dilation if options["padding"] == "VALID" else 0
    if overlap >= min(shape[1:]):
        reach = f"spans {overlap + 1} pixels"
        raise place.error(
            "kernel",
            f"a kernel of {kernel} with dilation {dilation} {reach} and does not fit the input {shape} with "
            f"'VALID' padding; make it smaller or use 'SAME'",
        )
    return (options["out"], *(-(-(side - overlap) // strides) for side in shape[1:]))


def _transposed_shape(place: Place, options: Mapping, shape: Shape) -> Shape:
    """SAME: n * s; VALID: n * s + (k - 1)."""
    if options["dilation"] > 1:
        raise place.error("dilation", "must be 1 with op 'tc', which has no dilated form")
    extra = options["kernel"] - 1 if options["padding"] == "VALID" else 0
    return (options["out"], *(side * options["strides"] + extra for side in shape[1:]))


_DENSE_KEYS = (
    *("name", "type", "op", "out", "bias", "act", "act_nm", "act_k", "w_nm", "w_p"),
    *("in_reshape", "out_reshape", "aux"),
)
_SPATIAL_KEYS = (*_DENSE_KEYS, "kernel", "strides", "dilation", "padding", "scale")

OPS: dict[str, Op] = {
    "c": Op(
        _SPATIAL_KEYS,
        3,
        _conv_shape,
        lambda layer: (layer.kernel, layer.kernel, layer.input_shape[0], layer.out),
        lambda layer: math.prod(layer.op_shape[1:]),
    ),
    "d": Op(_DENSE_KEYS, 1, _dense_shape, lambda layer: (layer.input_shape[0], layer.out), lambda layer: 1),
    "tc": Op(
        _SPATIAL_KEYS,
        3,
        _transposed_shape,
        lambda layer: (layer.kernel, layer.kernel, layer.out, layer.input_shape[0]),
        lambda layer: math.prod(layer.input_shape[1:]),
    ),
}
