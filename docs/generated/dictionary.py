"""The page of the dictionary language: keys, defaults, values, ops and types, as `mmdgan.design` has them.

Tables come from `mmdgan.design.keys`, shapes and variables from parsing small examples. What a name means in words is
here; a name of the code that has no words here, or the other way round, is an error, so that the page is complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

MEANINGS = {
    "name": "name of the layer, unique in its network: letters, digits, `_`, `.`, `-`; part of the variables' names",
    "type": "what kind of layer it is: see [types](#types)",
    "op": "operation of its kernel: see [operations](#operations)",
    "out": "channels (images) or features (flat) that it puts out; pools may omit it",
    "bias": "`b` one number per channel; `cb` one per channel and class; `bcb` both; `None` or `False` none",
    "act": "activation, after bias and normalisation; `lrelu` has slope 0.1; `crelu` doubles the channels",
    "act_nm": "normalisation before the activation: `bn` batch norm, `cbn` batch norm with scale and offset per class, "
    "`lrn` local response norm",
    "act_k": "multiplier of a kernel with `w_nm: s`; `False`, `None` and `True` stand for 1",
    "w_nm": "`s` divides the kernel by its spectral norm (of each class, where kernels have classes)",
    "w_p": "never read; the original's dictionaries have it",
    "kernel": "side of the window, in pixels",
    "strides": "step of the window; a transposed convolution enlarges by it",
    "dilation": "distance of the window's entries; 1 wherever `strides` is above 1",
    "padding": "`SAME`: ceil(n / strides) pixels; `VALID`: only whole windows",
    "scale": "`[method, factor]`: enlarges before the kernel (factor above 0) or reduces after the activation "
    "(below 0): see [scaling](#scaling)",
    "in_reshape": "shape of the input before everything else: `[C, H, W]` or `[features]`",
    "out_reshape": "shape of the output after everything else",
    "aux": "never read; the original's dictionaries have it",
}

TYPES = {
    "default": "enlarge, kernel, bias, norm, activation, reduce",
    "c_bias": "another name of `default`",
    "project": "`default` on flat features with `out` 1, plus the label projection V[y] · x of its input",
    "res": "residual block: norm, activation, enlarge, kernel, bias, norm, activation, kernel, bias, reduce; the "
    "shortcut has a kernel",
    "res_i": "`res` whose shortcut is the input itself; it cannot scale",
    "res_v1": "`res` without the first norm and activation, for a critic's first block; it can only reduce",
    "nl": "self-attention with logits f · g / √c, added to its input times a learned number that begins at 0",
    "nl_dist": "attention with logits -(f - g)² / c",
    "nl_pool": "`nl` whose g and h see the input after 2x2 max pooling",
    "nl_pool_dist": "`nl_dist` whose g and h see the input after 2x2 max pooling",
}

_INTRODUCTION = """# The dictionary language

Made from `mmdgan.design` when this page was built.

An architecture is a Python dictionary with four keys:

| key | value |
|---|---|
| `input` | a list with one shape: `[(C, H, W)]` of images, or `[(features,)]` of points |
| `code` | a list with one tuple: `[(length, "linear")]`; the second entry is never read |
| `generator` | the network that makes an image of a code |
| `discriminator` | the critic, which makes scores of an image; `out` of its last layer is their number |

A network is a list of layer dictionaries, applied in sequence, or `{"layers": [...], "links": [...], "outputs": [...]}`
(see [links](#links)). Shapes are (C, H, W) or (features,), without the batch, in both data formats.
`python -m mmdgan summary FILE:NAME` shows what a dictionary becomes; [how to write your own
networks](../howto/own_architecture.md) has examples.

## Keys of a layer

"List": residual and attention types also take a list, with one value per kernel.

"""

_LINKS = """## Links

A link is `{"from": [names], "to": [names], "how": HOW}`. The name `input` is the network's input. Each layer gets its
input from one link. `outputs` are the layers whose results leave the network; if omitted, it is the one layer that
feeds no other.

| `from` | `to` | `how` | what happens |
|---|---|---|---|
| n names | n names | `None` | pairwise |
| one | several | `None` | each gets the whole of it |
| one | several | `"split"` | each gets an equal slice of the channels |
| several | one | `"concat"` | joined along the channels |
| several | one | `"sum"` | added |

"""

_GRAPH = {
    "layers": [
        {"name": "wide", "out": 8, "kernel": 5},
        {"name": "narrow", "out": 8, "kernel": 1},
        {"name": "join", "op": "d", "out": 1, "in_reshape": [16384]},
    ],
    "links": [
        {"from": ["input"], "to": ["wide", "narrow"], "how": None},
        {"from": ["wide", "narrow"], "to": ["join"], "how": "concat"},
    ],
}

_MISTAKES = (
    {"name": "l1", "out": 64, "stride": 2},
    {"name": "l1", "out": 64, "act": "lerlu"},
    {"name": "l1", "op": "d", "out": 64},
)


def page() -> str:
    """The Markdown of the page.

    Raises:
      ValueError: the code has a name without words here, or words are left without a name.
    """
    from mmdgan.design import keys

    _same("MEANINGS", MEANINGS, keys.KEYS)
    _same("TYPES", TYPES, (*keys.DEFAULT_TYPES, *keys.RESIDUAL_TYPES, *keys.NON_LOCAL_TYPES))
    parts = [_INTRODUCTION, _key_table(), "\n", _overrides(), _operation_section(), _type_section()]
    parts += [_scaling_section(), _LINKS, _described("A critic with two branches", _GRAPH, (3, 32, 32)), _mistakes()]
    return "".join(parts)


def allowed(key: str) -> str:
    """The values that a key takes, from the sentence with which its check refuses others."""
    from mmdgan.design.keys import KEYS

    refused = _Nothing()
    try:
        KEYS[key].check(refused)
    except ValueError as error:
        text = str(error).replace(", not a value of type _Nothing", "").replace(repr(refused), "?")
        text = text.removesuffix(", not ?")
        return text.partition(" is not one of ")[2] or text.removeprefix("must be ")
    return "anything"


def _key_table() -> str:
    from mmdgan.design.keys import KEYS

    rows = []
    for name, key in KEYS.items():
        default = "required" if name == "name" else "required, but for pools" if name == "out" else _code(key.default)
        values = "see [types](#types)" if name == "type" else "see [operations](#operations)" if name == "op" else None
        values = values or ("a shape, or None" if name.endswith("_reshape") else _cell(allowed(name)))
        rows.append((f"`{name}`", default, values, "list" if key.listed else "", MEANINGS[name]))
    return _table(("key", "default", "values", "", "what it is"), rows)


def _overrides() -> str:
    return (
        "Some keys make others idle: `act_nm: bn` takes a common bias away (batch norm has its own offset), "
        "`act_nm: cbn` any bias; `tc` ignores `scale`; `act_k` counts only beside `w_nm: s`. `summary` notes what has "
        "no effect. A key that does not exist is refused.\n\n"
    )


def _operation_section() -> str:
    from mmdgan import design
    from mmdgan.design.keys import CONDITIONAL, DENSE, OPERATIONS, POOLS, keys_read

    rows = []
    for op, title in OPERATIONS.items():
        layer = {"name": "l", "op": op, "bias": None}
        layer |= {} if op in (*POOLS, "i") else {"out": 64}
        layer |= {"kernel": 2, "strides": 2} if op in POOLS else {"kernel": 4, "strides": 2} if op not in DENSE else {}
        given = (128,) if op in DENSE else (3, 32, 32)
        layer = {key: value for key, value in layer.items() if key in (*keys_read("default", op), "name", "op")}
        [spec] = design.parse_network([layer], given, num_class=10).layers
        variables = [f"`{name}` {shape}" for part in spec.parts for name, shape in part.variables.items()]
        title = title + (" (needs class labels)" if op in CONDITIONAL else "")
        rows.append((f"`{op}`", title, f"{given} to {spec.output_shape}", ", ".join(variables) or "none"))
    alike: dict[tuple[str, ...], list[str]] = {}
    for op in OPERATIONS:
        alike.setdefault(keys_read("default", op), []).append(f"`{op}`")
    everywhere = [key for key in keys_read("default", "i") if all(key in read for read in alike)]
    read = "".join(
        f"- {', '.join(ops)}: {', '.join(f'`{key}`' for key in keys if key not in everywhere) or 'nothing else'}\n"
        for keys, ops in alike.items()
    )
    common = ", ".join(f"`{key}`" for key in everywhere)
    return (
        "## Operations\n\nShapes and trainable variables of an example: 64 outputs, for convolutions a window of 4 and "
        "strides of 2 (pools 2 and 2), 10 classes, no bias.\n\n"
        + _table(("op", "what", "shapes", "variables"), rows)
        + f"\nIn a layer of type `default` all of them read {common}, and besides:\n\n{read}\n"
    )


def _type_section() -> str:
    from mmdgan.design.keys import DENSE, list_lengths
    from mmdgan.design.layers import BLOCK_OPS

    rows = []
    for name, text in TYPES.items():
        lengths = " or ".join(map(str, list_lengths(name)))
        ops = DENSE if name == "project" else () if name in ("default", "c_bias") else BLOCK_OPS
        rows.append((f"`{name}`", text, ", ".join(f"`{op}`" for op in ops) or "all", lengths and f"of {lengths}"))
    block = [{"name": "down", "type": "res", "out": 64, "kernel": [3, 3, 1], "act": "relu", "scale": ["avg", -2]}]
    attention = [{"name": "look", "type": "nl_pool", "out": [8, 8, 64], "kernel": 1, "act_nm": "bn"}]
    return (
        "## Types\n\n"
        + _table(("type", "what it computes", "ops", "lists"), rows)
        + "\nA list holds the values of `kernel_0`, `kernel_1`, `kernel_sc` (residual) or f, g, h (attention).\n\n"
        + _described("A residual block that halves the sides", block, (32, 16, 16))
        + _described("Attention to pooled pixels", attention, (64, 16, 16))
    )


def _scaling_section() -> str:
    from mmdgan.design.keys import SCALINGS

    rows = [(f"`{name}`", text, _factors(name)) for name, text in SCALINGS.items()]
    return (
        "## Scaling\n\n`scale: [method, factor]`, of images: a factor above 0 enlarges, one below 0 reduces. What each "
        "method does with factors of 2 to 16 channels of 8x8 pixels:\n\n"
        + _table(("method", "what", "shapes by factor"), rows)
        + "\n"
    )


def _factors(method: str) -> str:
    from mmdgan import design
    from mmdgan.core.errors import DesignError

    shown = []
    for factor in (2, -2, 1.5):
        layer = {"name": "l", "op": "i", "scale": [method, factor]}
        layer = (
            {"name": "l", "out": 16, "scale": [method, factor]} if factor < 0 else {**layer, "op": "max", "kernel": 1}
        )
        try:
            shown.append(f"{factor}: {design.parse_network([layer], (16, 8, 8)).output_shape}")
        except DesignError:
            shown.append(f"{factor}: refused")
    return "; ".join(shown)


def _mistakes() -> str:
    from mmdgan import design
    from mmdgan.core.errors import DesignError

    lines = []
    for layer in _MISTAKES:
        try:
            design.parse_network([layer], (3, 32, 32), "dis")
        except DesignError as error:
            lines.append(f"{layer}\n    {error}")
    if len(lines) != len(_MISTAKES):
        raise ValueError("an example of a mistake in docs/generated/dictionary.py is none any more")
    return "## Mistakes\n\nEach is one sentence that names network, layer, key and remedy:\n\n```text\n" + (
        "\n".join(lines) + "\n```\n"
    )


def _described(title: str, network: Sequence | Mapping, given: tuple[int, ...]) -> str:
    """An example, written and as `summary` shows it."""
    import pprint

    from mmdgan import design

    text = design.describe(design.parse_network(network, given, "net"))
    written = pprint.pformat(network, width=96, sort_dicts=False).replace("'", '"')
    return f"{title}:\n\n```python\n{written}\n```\n\n```text\n{text}\n```\n\n"


class _Nothing:
    """A value that no key takes."""


def _same(table: str, words: Iterable[str], names: Iterable[str]) -> None:
    if missing := sorted(set(names) ^ set(words)):
        raise ValueError(f"{table} in docs/generated/dictionary.py does not agree with the code on {missing}")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _code(value: object) -> str:
    return f"`{value!r}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("[", "\\[")
