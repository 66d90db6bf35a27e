"""The verb `summary`: tables of the networks of a dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmdgan import design
from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError, DesignError
from mmdgan.core.options import option
from mmdgan.design.files import load_dictionary


@dataclass(frozen=True)
class SummaryOptions:
    """The flags of `summary`."""

    num_class: int = option(0, "number of classes of conditional layers; 0: unconditional")
    score_size: int | None = option(None, "outputs of the last critic layer; none: the dictionary's")
    input_shape: tuple[int, ...] | None = option(
        None, "input of a single network: C,H,W of images, or the number of features"
    )


def summary(argv: Sequence[str]) -> int:
    """Print tables of the networks of a dictionary: resolved keys, shapes, parameters, multiply-adds.

    NAME is an architecture with generator and critic, or a single network (a list of layer dictionaries, or a graph
    with "layers" and "links"), which needs --input_shape.
    """
    usage = flags.usage("summary FILE:NAME [--flag=value ...]", summary)
    parsed = flags.parse(SummaryOptions(), argv, usage=usage, arguments=("FILE:NAME",))
    reference, options = parsed.arguments[0], parsed.options
    dictionary = load_dictionary(reference)
    if isinstance(dictionary, Mapping) and "layers" not in dictionary:
        specs = _architecture(reference, dictionary, options)
    else:
        specs = [_single_network(reference, dictionary, options)]
    print("\n\n".join(design.describe(spec) for spec in specs))
    return 0


def _architecture(reference: str, dictionary: Mapping, options: SummaryOptions) -> Sequence[design.NetworkSpec]:
    if options.input_shape is not None:
        raise ConfigError(f"{reference} is an architecture, which has its own input; leave --input_shape out.")
    if options.score_size is not None:
        dictionary = design.with_score_size(dictionary, options.score_size)
    try:
        return design.parse_architecture(dictionary, options.num_class)
    except DesignError as error:
        hint = " Give --num_class." if options.num_class < 2 and "num_class" in str(error) else ""
        raise DesignError(f"{error}{hint}") from None


def _single_network(reference: str, network: list | Mapping, options: SummaryOptions) -> design.NetworkSpec:
    """The specification of a network that belongs to no architecture."""
    if options.score_size is not None:
        raise ConfigError(f"{reference} is a single network, which has no score size; leave --score_size out.")
    if options.input_shape is None:
        raise ConfigError(
            f"{reference} is a single network: give its input, such as --input_shape=3,32,32 (C,H,W) or "
            "--input_shape=128."
        )
    name = reference.replace("/", ":").rpartition(":")[2]
    return design.parse_network(network, options.input_shape, name, options.num_class)
