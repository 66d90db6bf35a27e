"""The verb `presets`: a table of the networks that come with mmdgan."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.core.text import program

if TYPE_CHECKING:
    from mmdgan.design.presets import Preset

_HEADER = (
    *("preset", "image", "code", "classes"),
    *("parameters: gen", "dis", "10^6 multiply-adds: gen", "dis", "source"),
)
_LEFT = ("preset", "source")
_SOURCE_WIDTH = 56


@dataclass(frozen=True)
class PresetsOptions:
    """The flags of `presets`."""

    family: tuple[str, ...] = option((), "modules of presets, such as sngan,sagan; none: all")
    num_class: int = option(
        0, "classes that conditional networks are counted for; 0: those of the data set that each is meant for"
    )


def presets(argv: Sequence[str]) -> int:
    """Lists the networks that come with mmdgan, and those in ./architectures.

    Image: channels, height, width, or the numbers of a point. Classes: what --num_class must be for networks that
    depend on labels; parameters are counted for so many. Parameters: trained ones, of generator and critic.
    Multiply-adds: for one image.
    """
    usage = f"usage: {program()} presets [--flag=value ...]\n\n{inspect.cleandoc(presets.__doc__ or '')}"
    options: PresetsOptions = flags.parse(PresetsOptions(), argv, usage=usage).options
    if options.num_class and options.num_class < 2:
        raise ConfigError(f"num_class is {options.num_class}; give at least 2 classes, or 0.")
    from mmdgan.design import presets as catalog

    print(table(catalog.presets(options.family, options.num_class)))
    print(f"\nMore of one: {program()} summary NAME; what its authors report, and its command: in its module.")
    return 0


def table(found: Sequence[Preset]) -> str:
    """The presets in aligned columns, one a line."""
    rows = [_HEADER, *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(
            text.ljust(width) if name in _LEFT else text.rjust(width)
            for name, text, width in zip(_HEADER, row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def _row(preset: Preset) -> tuple[str, ...]:
    networks = (preset.gen, preset.dis)
    return (
        preset.name,
        "x".join(map(str, preset.dis.input_shape)),
        str(preset.gen.input_shape[0]),
        f"{preset.classes:,}" if preset.classes else "-",
        *(f"{network.parameters:,}" for network in networks),
        *(f"{network.multiply_adds / 1e6:,.1f}" for network in networks),
        textwrap.shorten(preset.source, _SOURCE_WIDTH, placeholder=" ..."),
    )
