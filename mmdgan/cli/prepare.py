"""The verb `prepare`: converts images to a data set, or verifies one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.core.text import program, readable_bytes
from mmdgan.data.sources.base import PrepareOptions

if TYPE_CHECKING:
    from mmdgan.data.sidecar import Sidecar

FAULTY = 2

_PRESETS: dict[tuple[int, ...], tuple[str, str, str | None]] = {
    (1, 28, 28): ("mnist/DCGAN", "mnist/DCGAN_HALF", None),
    (3, 32, 32): ("cifar10/DCGAN", "sample/DCGAN_SMALL", "sample/PROJECTION_SMALL"),
    (3, 48, 48): ("stl10/DCGAN", "stl10/DCGAN_QUARTER", "sngan/PROJECTION_48_QUARTER"),
    (3, 64, 64): ("celeba/DCGAN", "celeba/DCGAN_QUARTER", "sngan/PROJECTION_64_QUARTER"),
    (3, 128, 128): ("imagenet/DCGAN", "imagenet/DCGAN_QUARTER", "sngan/PROJECTION_128_QUARTER"),
}
"""By shape of the images: an architecture, a small one to begin with, and a class-conditional one."""


@dataclass(frozen=True, kw_only=True)
class PrepareFlags(PrepareOptions):
    """The flags of `prepare`."""

    verify: str | None = option(None, "only check the data set in this folder", "instead")


def prepare(argv: Sequence[str]) -> int:
    """Convert images to a data set in Data/NAME; run again to go on with an interrupted conversion.

    WHAT is cifar10, stl10, celeba, lsun, imagenet, mnist or fashion_mnist; folder:PATH for your own images (a
    folder, zip or tar; a folder per class gives labels); or tfds:NAME for a data set of TensorFlow Datasets.

      prepare cifar10 --source cifar-10-binary.tar.gz
      prepare folder:photos --name mine --size 64
      prepare tfds:oxford_flowers102 --split train --size 64 --download
      prepare --verify Data/cifar10
    """
    usage = flags.usage("prepare WHAT [--flag=value ...]", prepare)
    verifying = any(word.lstrip("-").partition("=")[0] == "verify" and word.startswith("-") for word in argv)
    parsed = flags.parse(PrepareFlags(), argv, usage=usage, arguments=() if verifying else ("WHAT",))
    options: PrepareFlags = parsed.options
    if options.verify is not None:
        return _verify(options.verify)
    if not parsed.arguments:
        raise ConfigError("verify is none; name a folder with --verify=DIR, or what to prepare.")
    from mmdgan.data.preparation import prepare as preparing

    sidecar = preparing.prepare(parsed.arguments[0], options, say=print)
    print(_closing(sidecar, str(options.data_root)))
    return 0


def _verify(folder: str) -> int:
    """Prints what is wrong with a data set; returns the exit status."""
    from mmdgan.data.preparation.verify import verify

    report = verify(folder, print)
    for problem in report.problems:
        print(problem)
    found = f"{report.name}: {report.images:,} images in {_counted(report.shards, 'file')}"
    if report.problems:
        print(f"{found}, {_counted(len(report.problems), 'problem')}")
        return FAULTY
    print(f"{found}, all sound")
    return 0


def _closing(sidecar: Sidecar, data_root: str) -> str:
    """What was made, where, what was left out, and what to do next."""
    folder = Path(data_root) / sidecar.name
    channels, height, width = sidecar.shape
    size = readable_bytes(sum(shard.bytes or 0 for shard in sidecar.shards))
    kind = "grey image" if channels == 1 else "RGB image"
    classes = _counted(len(sidecar.class_names), "class", "classes") if sidecar.labels else "no labels"
    lines = [
        f"{sidecar.name}: {_counted(sidecar.count, kind)} of {width}x{height} pixels, {classes}; {size} in {folder}"
    ]
    names = sidecar.class_names
    if all(map(str.isdecimal, names)) and [*map(int, names)] != [*range(len(names))]:  # numbers, but of other classes
        lines.append(f"Labels: {', '.join(f'{label} = {name}' for label, name in enumerate(names))}")
    if sidecar.skipped:
        count = _counted(len(sidecar.skipped), "broken image")
        lines.append(
            f"{count} left out: {folder / sidecar.name}.json lists them, the first is {sidecar.skipped[0].name}"
        )
    command = f"{program()} " + shlex.join(
        ["train", "--data", sidecar.name, *(["--data_root", data_root] if data_root != "Data" else [])]
    )
    preset, small, conditional = _PRESETS.get(sidecar.shape, ("FILE:NAME", None, None))
    scores = "" if sidecar.labels else " --classifier_data sample"  # scores need labels of some set
    if small:
        lines.append(f"First try:    {command} --architecture {small} --max_step 2000{scores}")
    remark = "many hours without a GPU" if small else f"whose images are {channels},{height},{width}"
    lines.append(f"Train on it:  {command} --architecture {preset}{scores}   # {remark}")
    if sidecar.labels and conditional and len(sidecar.class_names) > 1:
        network = f"--architecture {conditional} --num_class {len(sidecar.class_names)} --loss hinge"
        lines.append(f"By classes:   {command} {network}")
    return "\n".join(lines)


def _counted(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
