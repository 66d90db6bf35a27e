"""The verb `presets`: a table of the networks of the library."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.core.text import program, table as aligned

if TYPE_CHECKING:
    from mmdgan.design.files import Preset

_HEADER = (
    *("preset", "image", "code", "classes"),
    *("parameters: gen", "dis", "10^6 multiply-adds: gen", "dis", "source"),
)
_SOURCE_WIDTH = 56


@dataclass(frozen=True)
class PresetsOptions:
    """The flags of `presets`."""

    family: tuple[str, ...] = option((), "modules of presets to list, such as sngan,sagan; none: all")
    num_class: int = option(
        0, "number of classes to count conditional networks for; 0: that of the data set that each is meant for"
    )


def presets(argv: Sequence[str]) -> int:
    """List the networks of the library, and those in ./architectures.

    Image: channels, height, width, or the numbers of a point. Classes: the --num_class of networks that depend on
    labels, for which parameters are counted. Parameters: trained ones, of generator and critic. Multiply-adds: per
    image.
    """
    usage = flags.usage("presets [--flag=value ...]", presets)
    options: PresetsOptions = flags.parse(PresetsOptions(), argv, usage=usage).options
    if options.num_class and options.num_class < 2:
        raise ConfigError(f"num_class is {options.num_class}; give at least 2 classes, or 0.")
    from mmdgan.design import files as catalog

    print(table(catalog.presets(options.family, options.num_class)))
    print(f"\nDetails: {program()} summary NAME; published scores and the command: in the preset's module.")
    return 0


def table(found: Sequence[Preset]) -> str:
    """The presets in aligned columns, one per line."""
    return aligned([_HEADER, *map(_row, found)], left=(0, len(_HEADER) - 1), rule=True)


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
