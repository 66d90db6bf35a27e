"""The verb `export`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Literal

from mmdgan.cli import flags
from mmdgan.cli.sample import EMA, STEP
from mmdgan.core.options import option
from mmdgan.export import FORMATS, NETWORKS


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """The flags of `export`."""

    format: str = option(
        "keras",
        "form: one file of standard Keras layers (keras), for TensorFlow (savedmodel), or for ONNX runtimes (onnx)",
        choices=tuple(FORMATS),
    )
    out: str | None = option(None, "folder to write into; none: RUN/export/<step>_<format>")
    step: int | Literal["best"] | None = option(None, STEP)
    ema: bool | None = option(None, EMA)
    network: str = option(
        "generator",
        "network to export; a critic in the format keras keeps mmdgan's layers",
        choices=NETWORKS,
    )
    overwrite: bool = option(False, "replace an existing export")


def export(argv: Sequence[str]) -> int:
    """Write a run's generator in a form that other programs load without mmdgan, with a model card and samples."""
    usage = flags.usage("export RUN [--flag=value ...]", export)
    parsed = flags.parse(ExportOptions(), argv, usage=usage, arguments=("RUN",))
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.export import export_network
    from mmdgan.export.card import closeness
    from mmdgan.runs.pretrained import open_folder

    folder = open_folder(parsed.arguments[0])
    prepare_tensorflow()
    begun = time.monotonic()
    done = export_network(folder, **dataclasses.asdict(parsed.options))
    print(
        f"The {parsed.options.network} of step {done.step:,}: {done.model} ({done.bytes / 1e6:.3g} MB, "
        f"{time.monotonic() - begun:.0f} s); 4 outputs equal the run's {closeness(done.difference)}."
    )
    print(f"How to load it, and what it is: {done.folder / 'README.md'}")
    return 0
