"""Shape inference: what kernels, pools, scaling, biases and normalisations make of a shape, and when they cannot.

Source: spec A.4 and A.6. Everything a person can get wrong is a DesignError at the layer's place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmdgan.design_keys import DENSE, LARGEST, POOLS, TRANSPOSED, Place
from mmdgan.design_ops import Part, Shape


@dataclass(frozen=True)
class PartMaker:
    """Makes the parts of one layer from its resolved keys, checking that each fits.

    Attributes:
        place: of the layer, for errors.
        options: its resolved keys; list-valued ones have one entry per kernel.
        num_class: of the network.
    """

    place: Place
    options: Mapping
    num_class: int

    def kernel(self, slot: str, index: int, shape: Shape, op: str | None = None) -> Part:
        """The kernel or pool in `slot`; `index` selects from list-valued keys."""
        op = op or self.options["op"]
        out: Any = shape[0] if op in POOLS else self.entry("out", index)
        spectral = self.options["w_nm"] == "s"
        common: dict[str, Any] = {
            "spectral": spectral,
            "gain": self.entry("act_k", index) if spectral else 1.0,
            "act": self.options["act"],
            "num_class": self.num_class,
        }
        if op in DENSE:
            return self.checked(Part(slot, op, shape, (out,), **common), "out")
        window: dict[str, Any] = {key: self.entry(key, index) for key in ("kernel", "strides", "dilation", "padding")}
        sides = self._transposed_sides if op in TRANSPOSED else self._window_sides
        output = (out, *sides(slot, op, shape, **window))
        return self.checked(Part(slot, op, shape, output, **window, **common), "kernel")

    def bias(self, slot: str, bias: Any, shape: Shape) -> list[Part]:
        """The bias in `slot`, or nothing for None and False."""
        if not bias:
            return []
        return [self.checked(Part(slot, bias, shape, shape, num_class=self.num_class), "bias")]

    def norm(self, slot: str, shape: Shape, scale: bool = True) -> list[Part]:
        """The normalisation in `slot`, or nothing; `scale`: whether a batch norm has gamma."""
        op = self.options["act_nm"]
        if op is None:
            return []
        switches: dict[str, Any] = {"bn": {"scale": scale}, "cbn": {"center": False, "scale": False}}.get(op, {})
        return [self.checked(Part(slot, op, shape, shape, num_class=self.num_class, **switches), "act_nm")]

    def activated(self, shape: Shape) -> Shape:
        """The shape after the activation: 'crelu' joins relu(x) and relu(-x) along the channels."""
        doubled = (2 * shape[0], *shape[1:]) if self.options["act"] == "crelu" else shape
        return self.bounded("act", doubled)

    def enlarged(self, shape: Shape) -> Shape:
        """The shape after the layer's scaling, if it enlarges."""
        scale = self.options["scale"]
        return self._scaled(shape, *scale) if scale and scale[1] > 0 else shape

    def reduced(self, shape: Shape) -> Shape:
        """The shape after the layer's scaling, if it reduces."""
        scale = self.options["scale"]
        return self._scaled(shape, *scale) if scale and scale[1] < 0 else shape

    def entry(self, key: str, index: int) -> object:
        """The value of a key for the kernel of that index."""
        value = self.options[key]
        return value[index] if isinstance(value, tuple) else value

    def checked(self, part: Part, key: str) -> Part:
        """The part, unless it lacks classes or is larger than TensorFlow's tensors."""
        if part.conditional and self.num_class < 2:
            raise self.place.error(
                {"project": "type", "cb": "bias", "bcb": "bias", "cbn": "act_nm"}.get(part.op, "op"),
                f"{part.op!r} is conditional on class labels; give the network num_class of at least 2 "
                f"(it is {self.num_class}), or use an unconditional one",
            )
        self.bounded(key, part.output_shape)
        for name, shape in part.variables.items():
            if math.prod(shape) > LARGEST:
                raise self.place.error(key, f"the variable {part.slot}/{name} {shape} has more than {LARGEST} values")
        if part.kernel is not None:
            # A dilated kernel is computed as one spread with zeros.
            span = (part.kernel - 1) * (part.dilation or 1) + 1
            if span**2 * (1 if part.op in POOLS else part.input_shape[0] * part.output_shape[0]) > LARGEST:
                raise self.place.error("kernel", f"the window of {part.slot}, {span} pixels, is too large to compute")
        if part.spectral and part.conditional:
            values = part.num_class * min(math.prod(part.input_shape), math.prod(part.output_shape))
            if values > LARGEST:
                raise self.place.error("w_nm", f"the spectral vectors of {part.slot} have more than {LARGEST} values")
        return part

    def bounded(self, key: str, shape: Shape) -> Shape:
        """The shape, unless one sample of it has more values than TensorFlow can index."""
        if math.prod(shape) > LARGEST:
            raise self.place.error(key, f"the features {shape} of one sample are more than {LARGEST} values")
        return shape

    def _window_sides(
        self, slot: str, op: str, shape: Shape, kernel: Any, strides: Any, dilation: Any, padding: str
    ) -> Shape:
        """Sides after a convolution or pool. SAME: ceil(n / s); VALID: ceil((n - (k - 1) * dilation) / s)."""
        overlap = (kernel - 1) * (dilation or 1)
        spread = f" with dilation {dilation}" if dilation and dilation > 1 else ""
        window = f"{'a kernel' if slot == 'kernel' else slot} of {kernel}{spread}"
        if padding == "SAME":
            overlap = 0
        if overlap >= min(shape[1:]):
            raise self.place.error(
                "kernel",
                f"{window} spans {overlap + 1} pixels and does not fit the input {shape} with 'VALID' padding; make "
                f"it smaller or use 'SAME'",
            )
        return tuple(-(-(side - overlap) // strides) for side in shape[1:])

    def _transposed_sides(
        self, slot: str, op: str, shape: Shape, kernel: Any, strides: Any, dilation: Any, padding: str
    ) -> Shape:
        """Sides after a transposed convolution. SAME: n * s; VALID: n * s + (k - 1)."""
        if dilation > 1:
            raise self.place.error("dilation", f"must be 1 with op {op!r}, which has no dilated form")
        extra = kernel - 1 if padding == "VALID" else 0
        return tuple(side * strides + extra for side in shape[1:])

    def _scaled(self, shape: Shape, method: str, factor: Any) -> Shape:
        size = abs(factor)
        if method in ("bil", "bic"):
            sides = tuple(int(side * size) if factor > 0 else int(side / size) for side in shape[1:])
            if min(sides) < 1:
                raise self.place.error("scale", f"{[method, factor]} leaves no pixel of its input {shape}")
            return self.bounded("scale", (shape[0], *sides))
        advice = self._unfit_scaling(shape, method, factor)
        if advice:
            raise self.place.error("scale", f"{[method, factor]} {advice}")
        channels = shape[0]
        if method == "ps":
            channels = channels // size**2 if factor > 0 else channels * size**2
        sides = tuple(side * size if factor > 0 else side // size for side in shape[1:])
        return self.bounded("scale", (channels, *sides))

    def _unfit_scaling(self, shape: Shape, method: str, factor: int | float) -> str | None:
        """Why a scaling by whole pixels cannot be done, or None if it can."""
        size = abs(factor)
        if not isinstance(factor, int):
            return "needs a whole factor; only 'bil' and 'bic' take others"
        if method in ("avg", "max") and factor > 0:
            return f"can only reduce; write {[method, -factor]}, or enlarge with 'unpool', 'bil', 'bic' or 'ps'"
        if method == "unpool" and factor < 2:
            return "can only enlarge, by a factor of at least 2; reduce with 'avg', 'max', 'bil', 'bic' or 'ps'"
        if factor < 0 and any(side % size for side in shape[1:]):
            return f"does not divide the sides of its input {shape}"
        if method == "ps" and factor > 0 and shape[0] % size**2:
            return f"needs channels divisible by {size**2}, but its input is {shape}"
        return None
