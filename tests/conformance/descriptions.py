"""The list of everything that a dictionary, a loss name or a preset can name, each described once.

The other modules of this folder send every description through every mode; `test_conformance_coverage` fails when
something that can be named is missing here. Sizes are tiny; height and width differ, so that exchanging them is
noticed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import mmdgan
from mmdgan.design import NetworkSpec, parse_network
from mmdgan.design.keys import KEYS

CLASSES = 3
IMAGE = (2, 4, 6)
FLAT = (5,)


@dataclass(frozen=True)
class Description:
    """A network to be sent through every mode.

    Attributes:
        name: of the test.
        layers: what `mmdgan.build_network` takes.
        input_shape: (C, H, W) or (features,).
        num_class: of its conditional layers.
        options: further ones of `build_network`, such as spectral='pim'.
    """

    name: str
    layers: list | Mapping = field(hash=False)
    input_shape: tuple[int, ...] = IMAGE
    num_class: int = CLASSES
    options: Mapping = field(default_factory=dict, hash=False)

    def make(self, **options):
        """Builds the network; options go before the description's own."""
        options = {"data_format": "channels_last", **self.options, **options}
        return mmdgan.build_network(self.layers, self.input_shape, num_class=self.num_class, **options)

    @functools.cached_property
    def spec(self) -> NetworkSpec:
        """What the dictionary language infers."""
        return parse_network(self.layers, self.input_shape, num_class=self.num_class)

    @property
    def kinked(self) -> bool:
        """Whether derivatives jump somewhere: at the kinks of an activation, or where another pixel is the largest."""
        kinks = {("act", name) for name in ("relu", "lrelu", "selu", "crelu")} | {("op", "max")}
        scales = {("scale", "max", False)}
        pooled = {("type", "nl_pool"), ("type", "nl_pool_dist")}
        return not self.covers.isdisjoint(kinks | scales | pooled)

    @property
    def normalised(self) -> bool:
        """Whether inference and training differ: batch normalisation."""
        return not self.covers.isdisjoint({("part", "bn"), ("part", "cbn")})

    @functools.cached_property
    def covers(self) -> frozenset[tuple]:
        """What it names: ('op', 'tc'), ('listed', 'out'), ('spectral', 'pim', 'tc'), ('rank', 'bn', 1), ..."""
        found: set[tuple] = {("legacy", self.options.get("legacy", False))}
        graph = self.layers if isinstance(self.layers, Mapping) else {"layers": self.layers}
        for layer in graph["layers"]:
            found.update(_named(layer))
        found |= {("how", link.get("how"), len(link["from"]), len(link["to"])) for link in graph.get("links", ())}
        found |= {("outputs", len(self.spec.outputs))}
        for part in (part for layer in self.spec.layers for part in layer.parts):
            found |= {("part", part.op), ("rank", part.op, len(part.input_shape))}
            found |= {("initializer", self.options.get("initializer", "default"), part.op)}
            if part.spectral:
                found.add(("spectral", self.options.get("spectral", "pico"), part.op))
            found |= {(key, part.op, getattr(part, key)) for key in ("padding", "strides", "dilation")}
            if part.kernel == 1 and part.strides > 1:
                found.add(("gaps", part.op))
        return frozenset(found)


def _named(layer: Mapping) -> Iterator[tuple]:
    """What one layer dictionary names, defaults included."""
    yield "type and op", layer.get("type", "default"), layer.get("op", "c")
    for key, rule in KEYS.items():
        value = layer.get(key, rule.default)
        if key in layer:
            yield "listed" if isinstance(value, list) else "key", key
        yield from ((key, entry) for entry in (value if isinstance(value, list) else [value]))
    if layer.get("scale"):
        method, factor = (*layer["scale"], 2)[:2]
        yield "scale", method, factor > 0


def _one(name: str, input_shape: tuple[int, ...] = IMAGE, options: Mapping | None = None, **layer) -> Description:
    """A network of one layer."""
    return Description(name, [{"name": "l", **layer}], input_shape, options=options or {})


def _chain(name: str, input_shape: tuple[int, ...], *layers: Mapping, options: Mapping | None = None) -> Description:
    """A network of several layers, which are named by their numbers."""
    named = [{"name": f"l{number}", **layer} for number, layer in enumerate(layers, start=1)]
    return Description(name, named, input_shape, options=options or {})


def _graph(name: str, layers: list, links: list, outputs: list | None = None) -> Description:
    """A network of 1x1 convolutions linked in some way."""
    layers = [{"kernel": 1, "act": "tanh", **layer} for layer in layers]
    graph = {"layers": layers, "links": links}
    return Description(name, {**graph, "outputs": outputs} if outputs else graph)


_DENSE_KERNELS = {
    "d": {"op": "d", "out": 4, "act": "relu"},
    "dcd": {"op": "dcd", "out": 4, "act": "softplus"},
    "dck": {"op": "dck", "out": 4, "act": "softsign"},
    "project": {"op": "d", "out": 1, "type": "project", "act": "sigmoid"},
}
_IMAGE_KERNELS = {
    "c": {"op": "c", "out": 3, "strides": 2, "act": "lrelu"},
    "tc": {"op": "tc", "out": 3, "kernel": 4, "strides": 2, "act": "elu"},
    "sc": {"op": "sc", "out": 3, "strides": 2, "act": "selu"},
    "cck": {"op": "cck", "out": 3, "strides": 2, "act": "tanh"},
    "tcck": {"op": "tcck", "out": 3, "kernel": 4, "strides": 2, "act": "relu"},
}
_NORMALISED = {"w_nm": "s", "act_k": 1.7}
_PIM = {"spectral": "pim"}

_KERNELS = [
    *(_one(f"{name}_pico", FLAT, **layer, **_NORMALISED) for name, layer in _DENSE_KERNELS.items()),
    *(_one(f"{name}_pico", **layer, **_NORMALISED) for name, layer in _IMAGE_KERNELS.items()),
    *(_one(f"{name}_pim", IMAGE, _PIM, **layer, **_NORMALISED) for name, layer in _IMAGE_KERNELS.items()),
    _chain(
        "dense_pim",
        FLAT,
        *({**layer, **_NORMALISED} for layer in _DENSE_KERNELS.values()),
        options=_PIM,
    ),
    _one("project_legacy", FLAT, {"legacy": True}, **_DENSE_KERNELS["project"], **_NORMALISED),
    _one("project_dcd", FLAT, type="project", op="dcd", out=1, w_nm="s"),
    _one("project_dck", FLAT, type="project", op="dck", out=1, act="elu"),
    # Vectors on the side of the outputs, and closed forms without a vector.
    _chain(
        "narrow_and_wide",
        FLAT,
        {"op": "d", "out": 7, "w_nm": "s", "act_k": None},
        {"op": "dck", "out": 1, "w_nm": "s", "act_k": True},
        {"op": "dcd", "out": 3, "w_nm": "s", "act_k": False},
        {"op": "d", "out": 1, **_NORMALISED},
    ),
    _chain(
        "valid",
        IMAGE,
        {"op": "tc", "out": 2, "padding": "VALID", "w_nm": "s"},
        {"op": "c", "out": 2, "padding": "VALID", "w_nm": "s"},
        {"op": "sc", "out": 3, "padding": "VALID", "kernel": 2, "w_nm": "s"},
        {"op": "tcck", "out": 2, "padding": "VALID", "w_nm": "s"},
        {"op": "cck", "out": 2, "padding": "VALID", "w_nm": "s"},
    ),
    _chain(
        "dilated",
        IMAGE,
        {"op": "c", "out": 2, "dilation": 2, "padding": "VALID", "kernel": 2, "w_nm": "s"},
        {"op": "sc", "out": 3, "dilation": 2, "w_nm": "s"},
        {"op": "cck", "out": 2, "dilation": 2, "w_nm": "s"},
    ),
]

_WEIGHTS = [
    Description(
        f"weights_{mode}",
        [
            {"name": "dense", "op": "d", "out": 12, "act": "relu", "out_reshape": [2, 2, 3]},
            {"name": "up", "op": "tc", "out": 3, "act": "lrelu"},
            {"name": "conv", "op": "c", "out": 3, "act": "sigmoid"},
            {"name": "same", "op": "c", "out": 3, "act": "tanh", "w_nm": "s"},
            {"name": "separable", "op": "sc", "out": 2, "act": "tanh"},
            {"name": "scaled", "op": "cck", "out": 2},
            {"name": "scaled_up", "op": "tcck", "out": 2, "out_reshape": [12]},
            {"name": "classes", "op": "dcd", "out": 4},
            {"name": "columns", "op": "dck", "out": 3},
            {"name": "score", "type": "project", "op": "d", "out": 1},
        ],
        FLAT,
        options={"initializer": mode},
    )
    for mode in ("sn_paper", "pg_paper")
]

_CHANNELWISE = [
    _chain(
        "biases",
        IMAGE,
        {"type": "c_bias", "out": 2, "bias": "c_bias", "aux": "never read", "w_p": 0},
        {"op": "tc", "out": 3, "bias": "bias", "act": "softsign"},
        {"op": "sc", "out": 2, "bias": "bcb", "act": "tanh"},
        {"out": 3, "bias": None},
    ),
    _chain(
        "biases_flat",
        FLAT,
        {"op": "d", "out": 4, "bias": "cb", "act": "sigmoid"},
        {"op": "d", "out": 3, "bias": "bcb", "act": "elu"},
        {"op": "d", "out": 4, "bias": False},
    ),
    _one("crelu", op="c", out=3, act="crelu"),
    _one("crelu_flat", FLAT, op="d", out=3, act="crelu"),
    _one("norm", op="c", out=3, act_nm="bn", act="relu"),
    _one("norm_flat", FLAT, op="d", out=3, act_nm="BN", act="relu"),
    _one("norm_and_bias", op="c", out=3, act_nm="b", bias="cb"),
    _one("class_norm", op="tc", out=3, act_nm="cbn", act="lrelu"),
    _one("class_norm_flat", FLAT, op="d", out=3, act_nm="CBN", act="selu"),
    _one("response_norm", op="c", out=3, act_nm="lrn"),
    _one("response_norm_flat", FLAT, op="d", out=4, act_nm="lrn", act="tanh"),
]

_GAPS = [
    _one(f"{op}_gaps", op=op, out=3, kernel=1, strides=2, act="tanh", w_nm="s")
    for op in ("c", "tc", "sc", "cck", "tcck")
]
"""Windows that skip pixels."""

_RESHAPES_AND_POOLS = [
    _one("identity_images", op="i", act="tanh", act_nm="cbn"),
    _one("identity_flat", FLAT, op="i", act="softplus", act_nm="bn"),
    _one("reshapes", IMAGE, op="d", out=24, in_reshape=[48], out_reshape=[4, 3, 2]),
    _one("reshapes_images", IMAGE, op="c", out=3, in_reshape=[4, 6, 2], out_reshape=[2, 3, 6], padding="SAME"),
    _one("max", op="max", out=2, kernel=2, strides=2, padding="VALID", bias="cb", act_nm="b"),
    _one("avg", op="avg", kernel=3, strides=2, act_nm="bn", act="relu"),
    _one("sum", op="sum", kernel=2, strides=2, padding="VALID", scale=["avg", -1]),
]

_SCALES = [
    _one("shuffled_up", (8, 2, 3), op="c", out=3, scale=["ps", 2]),
    _one("shuffled_down", op="c", out=3, scale=["ps", -2], w_nm="s"),
    _one("bilinear_up", op="c", out=3, scale=["bil"], w_nm="s"),
    _one("bilinear_down", op="c", out=3, scale=["bil", -1.5]),
    _one("bicubic_up", op="sc", out=3, scale=["bic", 1.5]),
    _one("bicubic_down", op="cck", out=3, scale=["bic", -2]),
    _one("averaged", op="c", out=3, scale=["avg", -2]),
    _one("maximal", op="c", out=3, scale=["max", -2]),
    _one("unpooled", op="c", out=3, scale=["unpool", 2], act_nm="bn"),
]

_RESIDUAL = [
    _one(
        "res",
        type="res",
        op="c",
        out=[3, 4, 4],
        kernel=[3, 2, 1],
        act_k=[1.5, 1.2, 1.1],
        padding=["SAME", "SAME", "VALID"],
        strides=[2, 1, 2],
        dilation=[1, 1, 1],
        w_nm="s",
        act="lrelu",
    ),
    _one("res_norm", type="res", out=3, act="relu", act_nm="bn", scale=["unpool", 2], kernel=[3, 3, 1]),
    _one("res_class_norm", type="res", out=3, act="relu", act_nm="cbn", bias=False, scale=["avg", -2], w_nm="s"),
    _one("res_crelu", type="res", out=3, act="crelu", bias="cb"),
    _one("res_tc", type="res", op="tc", out=3, kernel=4, strides=[2, 1, 2], act="elu", w_nm="s", bias="bcb"),
    _one("res_sc", type="res", op="sc", out=3, act="tanh", w_nm="s", act_nm="lrn"),
    _one("res_cck", type="res", op="cck", out=3, act="softplus", w_nm="s"),
    _one("res_tcck", type="res", op="tcck", out=3, kernel=4, strides=[2, 1, 2], act="tanh"),
    _one("res_i", type="res_i", out=[3, 2], act="lrelu", act_nm="bn"),
    _one("res_v1", type="res_v1", out=3, act="relu", scale=["avg", -2], kernel=[3, 3, 1], **_NORMALISED),
]

_NON_LOCAL = [
    _one("nl", type="nl", out=[2, 2, 2], kernel=1, act_nm="bn", **_NORMALISED),
    _one("nl_dist", type="nl_dist", op="sc", out=[3, 3, 2], kernel=1, act_nm=None, bias=False),
    _one("nl_pool", type="nl_pool", op="cck", out=[1, 1, 2], kernel=1, act_nm="cbn", w_nm="s"),
    _one("nl_pool_dist", type="nl_pool_dist", op="tcck", out=2, kernel=[1, 3, 1], act_nm="lrn", bias="cb"),
    _one("nl_tc", type="nl", op="tc", out=[2, 2, 2], kernel=1, w_nm="s", bias="bcb"),
]

_GRAPHS = [
    _graph(
        "pairwise_and_sum",
        [{"name": name, "out": 3} for name in "abcde"],
        [
            {"from": ["input"], "to": ["a", "b"]},
            {"from": ["a", "b"], "to": ["d", "c"], "how": None},
            {"from": ["c", "d"], "to": ["e"], "how": "sum"},
        ],
    ),
    _graph(
        "split_and_concat",
        [{"name": "c", "out": 2, "w_nm": "s"}, {"name": "a", "out": 3, "bias": "cb"}, {"name": "b", "out": 2}],
        [
            {"from": ["input"], "to": ["a", "b"], "how": "split"},
            {"from": ["b", "a"], "to": ["c"], "how": "concat"},
        ],
    ),
    _graph(
        "outputs",
        [
            {"name": "trunk", "out": 3, "act_nm": "bn"},
            {"name": "x", "out": 1},
            {"name": "y", "out": 2, "act_nm": "cbn"},
        ],
        [{"from": ["input"], "to": ["trunk"]}, {"from": ["trunk"], "to": ["x", "y"]}],
        ["y", "trunk", "x"],
    ),
]

NETWORKS = (
    *_KERNELS,
    *_WEIGHTS,
    *_CHANNELWISE,
    *_GAPS,
    *_RESHAPES_AND_POOLS,
    *_SCALES,
    *_RESIDUAL,
    *_NON_LOCAL,
    *_GRAPHS,
)

LOSSES = (
    *("logistic", "minimax", "hinge", "wasserstein", "wasserstein_gp"),
    *("fixed_g", "mmd_g", "fixed_g_gp", "mmd_g_gp", "fixed_t", "mmd_t", "fixed_t_gp", "mmd_t_gp", "mgb", "mgb_gp"),
    *("rep", "rep_mmd_g", "rep_gp", "rep_mmd_g_gp", "rep_ds", "rep_mmd_g_ds"),
    *("rmb", "rep_b", "rep_mmd_b", "rmb_gp", "rep_b_gp", "rep_mmd_b_gp", "rmb_ds", "rep_b_ds", "rep_mmd_b_ds"),
    *("rand_g", "rand_g_gp", "rgb", "rgb_gp", "sym_rg", "sym_rand_g", "sym_rg_gp", "sym_rand_g_gp"),
    *("mmd_g_mix", "fixed_g_mix", "mmd_g_mix_gp", "fixed_g_mix_gp", "sgm", "sgm_gp"),
    *("rand_g_mix", "rand_g_mix_gp", "sym_rg_mix", "sym_rg_mix_gp"),
    *("ins_noise", "instance_noise", "ins_noise_gp", "instance_noise_gp"),
)


@dataclass(frozen=True)
class Preset:
    """An architecture to be built and trained for five steps.

    Attributes:
        name: what `mmdgan.load_architecture` takes.
        loss: to train it with.
        num_class: of its conditional layers.
        twin: a preset of the same layers, but for their widths, that is built and trained in its place; for large
            networks.
        slow: whether its training takes long.
    """

    name: str
    loss: str = "rep_b"
    num_class: int = 0
    twin: str = ""
    slow: bool = False


def _residual(name: str, num_class: int = 0, slow: bool = True, loss: str = "hinge") -> tuple[Preset, Preset]:
    """A residual network and the one of a quarter of its width, with that many classes."""
    quarter = f"{name}_QUARTER"
    return Preset(name, loss, num_class, quarter), Preset(quarter, loss, num_class, slow=slow)


PRESETS = (
    Preset("celeba/DCGAN", twin="celeba/DCGAN_QUARTER"),
    Preset("celeba/DCGAN_QUARTER"),
    Preset("cifar10/DCGAN"),
    Preset("cifar10/DCGAN_EIGHTH"),
    Preset("cifar10/DCGAN_QUARTER"),
    Preset("imagenet/DCGAN", twin="imagenet/DCGAN_QUARTER"),
    Preset("imagenet/DCGAN_QUARTER", slow=True),
    Preset("lsun/DCGAN", twin="celeba/DCGAN_QUARTER"),
    Preset("mnist/DCGAN", twin="mnist/DCGAN_HALF"),
    Preset("mnist/DCGAN_HALF"),
    Preset("mnist/DCGAN_SN", twin="mnist/DCGAN_SN_HALF"),
    Preset("mnist/DCGAN_SN_HALF"),
    Preset("mnist/LENET", loss="hinge"),
    Preset("mnist/MLP_TRAINED", loss="hinge"),
    Preset("mnist/PIXELS", loss="hinge"),
    Preset("mnist/RANDOM_FEATURES", loss="hinge"),
    Preset("points/IDENTITY", loss="mmd_g"),
    Preset("points/MLP"),
    *_residual("sagan/PROJECTION_128", 10),
    *_residual("sagan/PROJECTION_64", 10),
    *_residual("sagan/RESNET_128"),
    *_residual("sagan/RESNET_64"),
    Preset("sample/DCGAN_SMALL"),
    Preset("sample/PROJECTION_SMALL", loss="hinge", num_class=10),
    Preset("sample/RANDOM_FEATURES", loss="hinge"),
    *_residual("sngan/PROJECTION_128", 10),
    *_residual("sngan/PROJECTION_32", 10, slow=False),
    *_residual("sngan/PROJECTION_48", 10),
    *_residual("sngan/PROJECTION_64", 10),
    *_residual("sngan/RESNET_128"),
    *_residual("sngan/RESNET_32"),
    *_residual("sngan/RESNET_48"),
    *_residual("sngan/RESNET_64"),
    Preset("stl10/DCGAN", twin="stl10/DCGAN_QUARTER"),
    Preset("stl10/DCGAN_PAPER", twin="cifar10/DCGAN_QUARTER"),
    Preset("stl10/DCGAN_QUARTER"),
    *_residual("wgan_gp/RESNET_32", loss="wasserstein"),
)
