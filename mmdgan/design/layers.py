"""From one layer dictionary to its specification: keys, defaults, override rules, parts and shapes.

The order of the parts of each type is that of the original (spec A.2, A.5), with the corrections of the last column of
D.2: labels reach every part, non-local layers need no normalisation, pools infer their channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mmdgan.core.text import listed
from mmdgan.design.keys import (
    DEFAULT_TYPES,
    DENSE,
    KEYS,
    LARGEST,
    NON_LOCAL_TYPES,
    POOLS,
    RESIDUAL_TYPES,
    TRANSPOSED,
    Place,
    check_keys,
    keys_read,
    list_lengths,
)
from mmdgan.design.spec import LayerSpec, Part, Shape

BLOCK_OPS = ("c", "sc", "tc", "cck", "tcck")
"""Operations that residual and non-local layers take."""


def parse_layer(place: Place, written: Mapping, input_shape: Shape, num_class: int) -> LayerSpec:
    """Resolve one layer dictionary and infer its shapes.

    Args:
        place: Where it stands, for error messages.
        written: The dictionary as written.
        input_shape: Shape of the layer's input, before in_reshape.
        num_class: Number of classes of the network.

    Raises:
        DesignError: Names the network, the layer and the key that is wrong.
    """
    options, notes = _resolve(place, written)
    kind, op = options["type"], options["op"]
    shape = _reshaped(place, "in_reshape", options["in_reshape"], input_shape)
    rank = None if op == "i" else 1 if op in DENSE else 3
    if rank not in (None, len(shape)):
        raise place.error("in_reshape", _rank_advice(op, shape, place.index))
    build = _default if kind in DEFAULT_TYPES else _residual if kind in RESIDUAL_TYPES else _non_local
    parts, op_shape = build(PartMaker(place, options, num_class), shape)
    if op in POOLS:
        options["out"] = parts[0].output_shape[0]
    entries = {entry.name: options[entry.name] for entry in fields(LayerSpec) if entry.name in KEYS}
    return LayerSpec(
        **entries,
        input_shape=shape,
        op_shape=op_shape,
        output_shape=_reshaped(place, "out_reshape", options["out_reshape"], op_shape),
        parts=tuple(parts),
        notes=tuple(notes),
    )


def _resolve(place: Place, written: Mapping) -> tuple[dict, list[str]]:
    """Every key of a layer with its default, its check and the override rules applied, and the notes."""
    check_keys(place, written, tuple(KEYS))
    options: dict[str, Any] = {**dict.fromkeys(KEYS), "act_k": 1.0}

    def read(key: str, lengths: tuple[int, ...] = ()) -> None:
        if key == "out" and written.get(key) is None:
            raise place.error(key, "is missing; give the number of channels or features that the layer puts out")
        try:
            options[key] = KEYS[key].resolve(written.get(key, KEYS[key].default), lengths)
        except ValueError as error:
            raise place.error(key, str(error)) from None

    read("type")
    read("op")
    _check_type(place, options["type"], options["op"])
    keys = keys_read(options["type"], options["op"])
    lengths = list_lengths(options["type"])
    for key in keys:
        # A pool gives as many channels as it gets; a written number is compared with that.
        if not (key == "out" and options["op"] in POOLS and written.get(key) is None):
            read(key, lengths)
    notes = [
        _why_unread(options["type"], options["op"], key)
        for key, value in written.items()
        if key not in keys and value is not None and value is not False
    ]
    _override(options, notes)
    return options, notes


def _check_type(place: Place, kind: str, op: str) -> None:
    ops = DENSE if kind == "project" else None if kind in DEFAULT_TYPES else BLOCK_OPS
    if ops is not None and op not in ops:
        raise place.error("op", f"type {kind!r} takes the ops {listed(ops)}, not {op!r}")


def _why_unread(kind: str, op: str, key: str) -> str:
    if key in ("w_p", "aux"):
        return f"{key} is never read"
    owner = f"type {kind!r}" if kind in NON_LOCAL_TYPES else f"op {op!r}"
    if key in ("w_nm", "act_k"):
        return f"{key} has no effect because {owner} has no kernel"
    return f"{key} has no effect because {owner} does not read it"


def _override(options: dict, notes: list[str]) -> None:
    """Rules by which one key makes another one idle, in the original's order (spec A.2)."""
    if options["act_nm"] == "bn" and options["bias"] == "b":
        options["bias"] = None  # beta takes its place
    if options["act_nm"] == "cbn":
        options["bias"] = None
    if options["dilation"] is not None:
        options["dilation"] = _effective_dilation(options["strides"], options["dilation"], notes)
    if options["w_nm"] is None and options["act_k"] not in (1.0, (1.0,) * 2, (1.0,) * 3):
        notes.append("act_k has no effect because w_nm is not 's'")
    if options["type"] in NON_LOCAL_TYPES and options["act"] != "linear":
        notes.append(f"act {options['act']!r} only selects the initialiser: type {options['type']!r} does not apply it")


def _effective_dilation(strides: Any, dilation: Any, notes: list[str]) -> int | tuple[int, ...]:
    """The dilation with 1 wherever strides are above 1, as the original has it."""
    steps, spreads = (value if isinstance(value, tuple) else (value,) * 3 for value in (strides, dilation))
    pairs = list(zip(steps, spreads, strict=False))  # lists of 'res_i' may have 2 or 3 entries
    idle = {pair for pair in pairs if min(pair) > 1}
    if not idle:
        return dilation
    notes += [f"dilation {spread} has no effect because strides is {step}" for step, spread in sorted(idle)]
    kept = tuple(1 if pair in idle else pair[1] for pair in pairs)
    return kept if isinstance(strides, tuple) or isinstance(dilation, tuple) else kept[0]


def _default(maker: PartMaker, shape: Shape) -> tuple[list[Part], Shape]:
    """Types 'default', 'c_bias' and 'project'."""
    options, place = maker.options, maker.place
    parts: list[Part] = []
    x = maker.enlarged(shape)
    if options["op"] != "i":
        parts.append(maker.kernel("kernel", 0, x))
        channels, x = x[0], parts[0].output_shape
        if options["op"] in POOLS and options["out"] not in (None, channels):
            raise place.error(
                "out",
                f"op {options['op']!r} gives the {channels} channels it gets, not {options['out']}; omit 'out'",
            )
    parts += maker.bias("bias", options["bias"], x)
    parts += maker.norm("BN", x)
    x = maker.reduced(maker.activated(x))
    if options["type"] == "project":
        if x != (1,):
            raise place.error(
                "act" if options["act"] == "crelu" else "out",
                f"type 'project' gives one score per sample but its {x[0]} cannot be added to a label projection; "
                f"write 'out': 1 (--score_size=1)",
            )
        common = {"spectral": options["w_nm"] == "s", "num_class": maker.num_class}
        parts.append(maker.checked(Part("project", "project", shape, (1,), **common), "type"))
    return parts, x


def _residual(maker: PartMaker, shape: Shape) -> tuple[list[Part], Shape]:
    """Types 'res', 'res_i' and 'res_v1'."""
    options, place, kind = maker.options, maker.place, maker.options["type"]
    _check_residual_scale(place, kind, options["scale"])
    parts: list[Part] = []
    x = shape
    if kind != "res_v1":
        parts += maker.norm("BN_0", x)
        x = maker.activated(x)
    first = maker.kernel("kernel_0", 0, maker.enlarged(x))
    x = first.output_shape
    parts += [first, *maker.bias("bias_0", options["bias"], x), *maker.norm("BN_1", x)]
    # The second kernel of a block that enlarges by a transposed convolution keeps the size.
    second = maker.kernel("kernel_1", 1, maker.activated(x), {"tc": "c", "tcck": "cck"}.get(options["op"]))
    parts += [second, *maker.bias("bias_1", options["bias"], second.output_shape)]
    main = maker.reduced(second.output_shape)
    more, shortcut = ([], shape) if kind == "res_i" else _shortcut(maker, shape)
    if main != shortcut:
        remedy = "make the block keep its input's shape, or use type 'res'"
        if more:
            remedy = "make them equal (a list holds the values of kernel_0, kernel_1 and kernel_sc)"
        raise place.error(
            "out" if main[0] != shortcut[0] else "strides",
            f"the branches of a residual block are added, but the main one gives {main} and the shortcut {shortcut}; "
            f"{remedy}",
        )
    return [*parts, *more], main


def _check_residual_scale(place: Place, kind: str, scale: tuple | None) -> None:
    if scale and kind == "res_i":
        raise place.error("scale", "type 'res_i' cannot scale because its shortcut is its input; use type 'res'")
    if scale and kind == "res_v1" and scale[1] > 0:
        raise place.error("scale", f"type 'res_v1' can only reduce, not scale by {scale[1]}; use type 'res'")


def _shortcut(maker: PartMaker, shape: Shape) -> tuple[list[Part], Shape]:
    """The shortcut with a kernel; its bias is only suppressed by False, so that a block with BN has it."""
    first = maker.options["type"] == "res_v1"
    kernel = maker.kernel("kernel_sc", 2, maker.reduced(shape) if first else maker.enlarged(shape))
    bias = "b" if maker.options["bias"] is None else maker.options["bias"]
    x = kernel.output_shape
    return [kernel, *maker.bias("bias_sc", bias, x)], x if first else maker.reduced(x)


def _non_local(maker: PartMaker, shape: Shape) -> tuple[list[Part], Shape]:
    """Types 'nl', 'nl_dist', 'nl_pool' and 'nl_pool_dist': attention of each pixel to all, or to the pooled ones."""
    options, place = maker.options, maker.place
    seen = shape
    if "pool" in options["type"]:
        seen = (shape[0], *(-(-side // 2) for side in shape[1:]))
    f, g, h = (
        maker.kernel("f_x", 0, shape),
        maker.kernel("g_x", 1, seen),
        maker.kernel("h_x", 2, seen),
    )
    if f.output_shape[1:] != shape[1:]:
        raise place.error("strides", f"f_x must keep the sides of its input {shape}, but gives {f.output_shape}")
    if g.output_shape[1:] != h.output_shape[1:]:
        raise place.error("strides", f"g_x and h_x must have the same sides, not {g.output_shape} and {h.output_shape}")
    if f.output_shape[0] != g.output_shape[0] or h.output_shape[0] != shape[0]:
        raise place.error(
            "out",
            f"a non-local layer needs [c, c, {shape[0]}]: f_x and g_x alike, h_x as its input, not "
            f"{[part.output_shape[0] for part in (f, g, h)]}",
        )
    bias = "b" if options["bias"] is None else options["bias"]
    scalar = Part("k_x", "k", shape, shape, spectral=options["w_nm"] == "s")
    parts = [f, *maker.bias("bias_f", bias, f.output_shape), g, h, *maker.norm("BN_1", shape, scale=False), scalar]
    return parts, shape


def _reshaped(place: Place, key: str, target: Shape | None, shape: Shape) -> Shape:
    if target is None:
        return shape
    if math.prod(target) != math.prod(shape):
        raise place.error(
            key,
            f"{list(target)} holds {math.prod(target)} values but its input {shape} holds "
            f"{math.prod(shape)}; make them equal",
        )
    return target


def _rank_advice(op: str, shape: Shape, index: int | None) -> str:
    """What to add to a layer whose op takes another rank than `shape`."""
    size = math.prod(shape)
    if len(shape) == 3:
        takes, advice = "flat features", f"{[size]} here"
    else:
        side = next((side for side in (4, 8, 7, 6, 5, 3, 2) if size % side**2 == 0), 1)
        takes, advice = "an image (C, H, W)", f"[C, H, W] here, such as {[size // side**2, side, side]}"
    before = ", or the same as 'out_reshape' to the layer before" if index else ""
    return f"op {op!r} takes {takes} but its input is {shape}; add 'in_reshape': {advice}{before}"


@dataclass(frozen=True)
class PartMaker:
    """Makes the parts of one layer from its resolved keys, and infers their shapes (spec A.4, A.6).

    What does not fit is a DesignError at the layer's place.

    Attributes:
        place: Where the layer is, for error messages.
        options: Its resolved keys; list-valued ones have one entry per kernel.
        num_class: Number of classes of the network.
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
