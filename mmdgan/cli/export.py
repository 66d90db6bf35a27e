"""The verb `export`: a network in a form that other programs load."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Literal

from mmdgan.cli import flags
from mmdgan.core.options import option
from mmdgan.core.text import program
from mmdgan.export import FORMATS, NETWORKS


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """The flags of `export`."""

    format: str = option(
        "keras",
        "keras: one file of standard Keras layers; savedmodel: for TensorFlow alone; onnx: for any ONNX runtime",
        choices=tuple(FORMATS),
    )
    out: str | None = option(None, "the folder to write into; none: RUN/export/<step>_<format>")
    step: int | Literal["best"] | None = option(
        None, "the checkpoint of this step; best: the one kept for its score; none: the newest"
    )
    ema: bool | None = option(
        None, "the averaged weights of a run with --ema, or with --noema those of the step; none: the averaged ones"
    )
    network: str = option(
        "generator",
        "which network; a critic in the format keras keeps mmdgan's layers",
        choices=NETWORKS,
    )
    overwrite: bool = option(False, "replace an export that is there already")


def export(argv: Sequence[str]) -> int:
    """Writes a run's generator in a form that other programs load without mmdgan, with a model card and samples."""
    usage = f"usage: {program()} export RUN [--flag=value ...]\n\n{export.__doc__}"
    parsed = flags.parse(ExportOptions(), argv, usage=usage, arguments=("RUN",))
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.export import export_network
    from mmdgan.export.card import closeness
    from mmdgan.runs.folder import RunFolder

    folder = RunFolder.open(parsed.arguments[0])
    prepare_tensorflow()
    begun = time.monotonic()
    done = export_network(folder, **dataclasses.asdict(parsed.options))
    print(
        f"The {parsed.options.network} of step {done.step:,}: {done.model} ({done.bytes / 1e6:.3g} MB, "
        f"{time.monotonic() - begun:.0f} s); 4 outputs equal the run's {closeness(done.difference)}."
    )
    print(f"How to load it, and what it is: {done.folder / 'README.md'}")
    return 0
