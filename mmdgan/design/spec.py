"""What a parsed network is made of: parts, layers, the routes between them, and the network.

Shapes are (C, H, W) or (features,), without batch dimension, in this order whatever the data format. Names of
slots and variables are those of the original's checkpoints (spec A.4).
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from mmdgan.design.keys import CONDITIONAL, NON_LOCAL_TYPES, TRANSPOSED, keys_read

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """One piece of a layer: a kernel operation, a bias, a normalisation, an attention block's scalar.

    Attributes:
        slot: Its place in the layer, the last but one component of the original's variable names: 'kernel',
            'bias', 'BN', 'project'; in residual blocks 'BN_0', 'kernel_0', 'bias_0', 'BN_1', 'kernel_1', 'bias_1',
            'kernel_sc', 'bias_sc'; in non-local ones 'f_x', 'bias_f', 'g_x', 'h_x', 'BN_1', 'k_x'.
        op: Kernels 'c', 'd', 'tc', 'sc', 'dcd', 'dck', 'cck', 'tcck', 'project'; pools 'max', 'avg', 'sum'; biases
            'b', 'cb', 'bcb'; normalisations 'bn', 'cbn', 'lrn'; 'k', a trainable scalar.
        kernel: Side of the window; None, as the next three, unless the op moves one. Pools have no dilation.
        padding: 'SAME' or 'VALID'.
        spectral: The layer has w_nm 's': a kernel is divided by its spectral norm, 'k' is clipped to [-1, 1].
        gain: act_k of a normalised kernel, else 1.
        act: The activation that selects the initialiser.
        num_class: Number of classes of the network.
        center: Whether a 'bn' has beta.
        scale: Whether a 'bn' has gamma.
    """

    slot: str
    op: str
    input_shape: Shape
    output_shape: Shape
    kernel: int | None = None
    strides: int | None = None
    dilation: int | None = None
    padding: str | None = None
    spectral: bool = False
    gain: float = 1.0
    act: str = "linear"
    num_class: int = 0
    center: bool = True
    scale: bool = True

    @functools.cached_property
    def variables(self) -> dict[str, Shape]:
        """Trainable variables: name below the slot -> shape, the same in both data formats.

        Kernels are (k, k, in, out), transposed ones (k, k, out, in), dense ones (in, out); class tensors are
        (classes, 1, 1, channels) on images and (classes, channels) on features.
        """
        before, after = self.input_shape[0], self.output_shape[0]
        per_class = (self.num_class, 1, 1, after) if len(self.output_shape) == 3 else (self.num_class, after)
        window: tuple[Any, Any] = (self.kernel, self.kernel)
        batch_norm = ("gamma",) * self.scale + ("beta",) * self.center
        known: dict[str, dict[str, Shape]] = {
            "d": {"kernel": (before, after)},
            "dcd": {"kernel": (before, after), "c_kernel": (self.num_class, before, after)},
            "dck": {"kernel": (before, after), "c_kernel": per_class},
            "c": {"kernel": (*window, before, after)},
            "cck": {"kernel": (*window, before, after), "c_kernel": per_class},
            "tc": {"kernel": (*window, after, before)},
            "tcck": {"kernel": (*window, after, before), "c_kernel": per_class},
            "sc": {"depthwise_kernel": (*window, before, 1), "pointwise_kernel": (1, 1, before, after)},
            "project": {"kernel": (self.num_class, before)},
            "b": {"bias": (after,)},
            "cb": {"c_bias": per_class},
            "bcb": {"bias": (after,), "c_bias": per_class},
            "bn": dict.fromkeys(batch_norm, (after,)),
            "cbn": {"scale": per_class, "offset": per_class},
            "k": {"kernel": ()},
        }
        return known.get(self.op, {})

    @property
    def state(self) -> dict[str, Shape]:
        """Moving averages of a batch norm: name -> shape. Spectral vectors are not counted."""
        if self.op not in ("bn", "cbn"):
            return {}
        return dict.fromkeys(("moving_mean", "moving_variance"), (self.output_shape[0],))

    @property
    def conditional(self) -> bool:
        """Whether it needs class labels."""
        return self.op in CONDITIONAL

    @property
    def parameters(self) -> int:
        """Number of trainable values."""
        return sum(math.prod(shape) for shape in self.variables.values())

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of a kernel for one sample; what works on each value alone is not counted."""
        shapes = self.variables
        if self.op == "project":
            return self.input_shape[0]
        if self.op == "dcd":
            return 2 * math.prod(shapes["kernel"])
        grid = self.input_shape if self.op in TRANSPOSED else self.output_shape
        names = ("kernel", "depthwise_kernel", "pointwise_kernel") if self.op != "k" else ()
        return sum(math.prod(shapes[name]) for name in names if name in shapes) * math.prod(grid[1:])


@dataclass(frozen=True)
class LayerSpec:
    """One layer with every key resolved and every shape inferred.

    Order of operations of the types (spec A.5), between in_reshape and out_reshape:
        default, c_bias: enlarge, kernel, bias, normalisation, activation, reduce.
        project: the same, plus the label projection of the layer's input.
        res: BN_0, activation, enlarge, kernel_0, bias_0, BN_1, activation, kernel_1, bias_1, reduce; plus the
            shortcut: enlarge, kernel_sc, bias_sc, reduce. res_i: the shortcut is the input. res_v1: without BN_0
            and the first activation; its shortcut reduces first.
        nl*: x + k_x BN_1(softmax(logits of f_x + bias_f and g_x) h_x).

    Attributes:
        type, op, ...: The keys as resolved; None where the type and op do not read the key. In residual and
            non-local layers `out`, `act_k`, `kernel`, `strides`, `dilation` and `padding` are tuples where lists
            were written.
        bias: 'b', 'cb', 'bcb', None or False; a shortcut and f_x take None for 'b'.
        scale: None or (method, factor), the factor above 0 to enlarge, below to reduce.
        input_shape: Shape of the layer's input, after in_reshape.
        op_shape: Shape of its result, before out_reshape.
        output_shape: Shape that the next layer sees, after out_reshape.
        parts: Its parts in the original's order of creation.
        notes: Remarks on keys that have no effect, for the summary.
    """

    name: str
    type: str
    op: str
    out: int | tuple[int, ...] | None
    bias: str | bool | None
    act: str
    act_nm: str | None
    act_k: float | tuple[float, ...]
    w_nm: str | None
    kernel: int | tuple[int, ...] | None
    strides: int | tuple[int, ...] | None
    dilation: int | tuple[int, ...] | None
    padding: str | tuple[str, ...] | None
    scale: tuple[str, int | float] | None
    in_reshape: Shape | None
    out_reshape: Shape | None
    input_shape: Shape
    op_shape: Shape
    output_shape: Shape
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)

    def part(self, slot: str) -> Part | None:
        """The part in that slot, or None if the layer has none there."""
        return next((part for part in self.parts if part.slot == slot), None)

    @property
    def parameters(self) -> int:
        """Number of trainable values."""
        return sum(part.parameters for part in self.parts)

    @property
    def state(self) -> int:
        """Number of moving means and variances (spectral vectors are not counted)."""
        return sum(math.prod(shape) for part in self.parts for shape in part.state.values())

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the kernels, and of a non-local layer's two products over pixels, for one sample."""
        count = sum(part.multiply_adds for part in self.parts)
        if self.type in NON_LOCAL_TYPES:
            f, h = (next(part.output_shape for part in self.parts if part.slot == slot) for slot in ("f_x", "h_x"))
            count += math.prod(f[1:]) * math.prod(h[1:]) * (f[0] + h[0])
        return count

    @property
    def conditional(self) -> bool:
        """Whether any part needs class labels."""
        return any(part.conditional for part in self.parts)

    @property
    def config(self) -> dict:
        """The layer as a plain, resolved, JSON-able dictionary."""
        return {key: _plain(getattr(self, key)) for key in keys_read(self.type, self.op) if hasattr(self, key)}


@dataclass(frozen=True)
class Route:
    """Where a layer's input comes from.

    Attributes:
        sources: -1 for the network's input, else the index of an earlier layer.
        how: 'concat' or 'sum' of several sources, 'split' for one slice of a source's channels, else None.
        piece: Number of the slice.
        pieces: Number of equal slices.
    """

    sources: tuple[int, ...]
    how: str | None = None
    piece: int = 0
    pieces: int = 1


@dataclass(frozen=True)
class NetworkSpec:
    """Resolved layers in execution order, and how they are linked.

    Attributes:
        routes: The route of each layer.
        outputs: Indices of the layers whose outputs leave the network.
    """

    name: str
    input_shape: Shape
    layers: tuple[LayerSpec, ...]
    num_class: int
    routes: tuple[Route, ...]
    outputs: tuple[int, ...]

    @property
    def output_shape(self) -> Shape:
        """Shape of the output, of the first one if there are several: (C, H, W) or (features,)."""
        return self.layers[self.outputs[0]].output_shape

    @property
    def output_shapes(self) -> dict[str, Shape]:
        """Shapes of all outputs by the layers' names."""
        return {self.layers[index].name: self.layers[index].output_shape for index in self.outputs}

    @property
    def is_chain(self) -> bool:
        """Whether each layer takes the output of the one before it and only the last one's leaves the network."""
        last = len(self.layers) - 1
        return self.outputs == (last,) and all(route == Route((index - 1,)) for index, route in enumerate(self.routes))

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
    def conditional(self) -> bool:
        """Whether any layer needs class labels."""
        return any(layer.conditional for layer in self.layers)

    @property
    def layer_dicts(self) -> list[dict]:
        """The layers as plain, resolved, JSON-able dictionaries, in execution order."""
        return [layer.config for layer in self.layers]

    @property
    def config(self) -> list | dict:
        """The network as written: a list of layers, or layers, links and outputs; parsing it gives an equal one."""
        if self.is_chain:
            return self.layer_dicts
        names = [layer.name for layer in self.layers]
        return {
            "layers": self.layer_dicts,
            "links": self._links(names),
            "outputs": [names[index] for index in self.outputs],
        }

    def _links(self, names: list[str]) -> list[dict]:
        """One link per layer, and one per split for all its pieces."""
        links: list[dict] = []
        waiting: dict[tuple, list[dict]] = defaultdict(list)
        for name, route in zip(names, self.routes, strict=True):
            sources = ["input" if source < 0 else names[source] for source in route.sources]
            if route.how != "split":
                links.append({"from": sources, "to": [name], "how": route.how})
                continue
            group = (route.sources, route.pieces, route.piece)
            if not waiting[group]:
                link = {"from": sources, "to": [None] * route.pieces, "how": "split"}
                links.append(link)
                for piece in range(route.pieces):
                    waiting[route.sources, route.pieces, piece].append(link)
            waiting[group].pop()["to"][route.piece] = name
        return links


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
