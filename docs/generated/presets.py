"""The page of the presets: what each is, from its networks and from the text beneath it in `architectures/`."""

from __future__ import annotations

import ast
from pathlib import Path

from mmdgan.design.files import Preset, presets

_FOLDER = Path(__file__).resolve().parents[2] / "architectures"
_INTRODUCTION = """# Presets

The networks that come with mmdgan, from `architectures/` when this page was built. A name such as `sngan/RESNET_32` is
what `--architecture` and `mmdgan.load_architecture` take; `python -m mmdgan presets` prints this list,
`python -m mmdgan summary NAME` every layer of one. To change a network, copy its dictionary: [write your own
networks](../howto/own_architecture.md).

Parameters are the trained ones, multiply-adds those of one image. Where a preset depends on classes, both are counted
for the number in the column. Published scores are of the source's own code and protocol; this library has not repeated
them.

"""
_HEADER = """| preset | image | classes | parameters: generator, critic | 10⁶ multiply-adds |
|---|---|---|---|---|
"""
_SHOWN = ("Source", "Published score", "Measured", "Expected", "Command")


def page() -> str:
    """The Markdown of the page."""
    families: dict[str, list[Preset]] = {}
    for preset in presets():
        families.setdefault(preset.name.partition("/")[0], []).append(preset)
    sections = [_family(name, found) for name, found in families.items()]
    return _INTRODUCTION + "\n".join([*sections, f"## Residual networks\n\n{_text('resnet')}\n"])


def _family(name: str, found: list[Preset]) -> str:
    return (
        f"## {name}\n\n{_text(name)}\n\n{_HEADER}"
        + "\n".join(map(_row, found))
        + "\n\n"
        + "\n".join(map(_entry, found))
    )


def _row(preset: Preset) -> str:
    gen, dis = preset.gen, preset.dis
    image = "x".join(map(str, dis.input_shape))
    classes = f"{preset.classes:,}" if preset.classes else ""
    parameters = f"{gen.parameters:,}, {dis.parameters:,}"
    work = f"{gen.multiply_adds / 1e6:,.1f}, {dis.multiply_adds / 1e6:,.1f}"
    return f"| `{preset.name}` | {image} | {classes} | {parameters} | {work} |"


def _text(module: str) -> str:
    """What a module of `architectures/` says of itself, but for the programs in it."""
    text = ast.get_docstring(ast.parse((_FOLDER / f"{module}.py").read_text(encoding="utf-8"))) or ""
    return "\n\n".join(part for part in text.split("\n\n") if not part.startswith("    "))


def _entry(preset: Preset) -> str:
    lines = [f"### {preset.name}", ""]
    for key in _SHOWN:
        if said := preset.entries.get(key):
            lines.append(f"- {key}: `{said}`" if key == "Command" else f"- {key}: {said}")
    return "\n".join(lines) + "\n"
