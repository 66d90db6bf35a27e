"""What a run's config.json says, in the form that reports need; without TensorFlow, without the data."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdgan import design
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import fields_with
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.published import Wanted

_PLACES = frozenset(fields_with(Experiment, scope="place") + fields_with(Experiment, scope="call"))
"""Fields that say where things are, or how to begin, and nothing of what is trained."""


@dataclass(frozen=True)
class RunFacts:
    """A run's configuration.

    Attributes:
        folder: the run's directory.
        experiment: every field of `Experiment`, with the defaults of this version where an older one knew no such
            field, and the fields of newer versions as they are.
        architecture: the dictionaries of both networks.
        data: of the images: count, source, fingerprint, mode; {} of a run that has not begun.
        versions: of the libraries it was begun with.
    """

    folder: RunFolder
    experiment: dict[str, Any]
    architecture: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]

    @classmethod
    def of(cls, run: str | os.PathLike | RunFolder) -> RunFacts:
        """The facts of a run directory; ConfigError if it is none, or damaged."""
        folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
        config = folder.read_config()
        defaults = {field.name: field.default for field in dataclasses.fields(Experiment)}
        saved = {name: tuple(v) if isinstance(v, list) else v for name, v in config["experiment"].items()}
        return cls(folder, defaults | saved, config["architecture"], config.get("data", {}), config.get("versions", {}))

    @property
    def name(self) -> str:
        """The directory's own name."""
        return self.folder.path.resolve().name

    @functools.cached_property
    def networks(self) -> tuple[design.NetworkSpec, design.NetworkSpec]:
        """Generator and critic."""
        return design.parse_architecture(self.architecture, self.experiment["num_class"])

    @property
    def gain(self) -> float:
        """K, the product of the multipliers of all spectrally normalised layers of the critic; 1 if there are none."""
        parts = [part for layer in self.networks[1].layers for part in layer.parts if part.spectral and part.gain]
        return math.prod(part.gain for part in parts)

    @property
    def score_size(self) -> int:
        """Outputs of the critic."""
        return self.networks[1].output_shape[0]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        channels, height, width = self.networks[0].output_shape
        return height, width, channels

    def wanted(self) -> Wanted:
        """What published scores are looked up by."""
        return Wanted.of(self.experiment, self.networks[1])

    def changed(self) -> dict[str, Any]:
        """The fields of this version that differ from its defaults: what a command must say to make such a run."""
        known = {field.name: field.default for field in dataclasses.fields(Experiment)}
        given = {name: value for name, value in self.experiment.items() if name in known}
        return {name: value for name, value in given.items() if value != known[name]}


def run_folders(words: list[str]) -> list[RunFolder]:
    """The runs of a command line: run directories, and all runs below other directories, each once.

    Raises:
      ConfigError: a directory that does not exist, or with no run below it.
    """
    found: dict[str, RunFolder] = {}
    for word in words:
        folder = RunFolder(Path(word))
        runs = [folder]
        if not folder.config_file.is_file():
            runs = [RunFolder(file.parent) for file in sorted(folder.path.glob("**/config.json"))]
        if not runs:
            what = "holds no run" if folder.path.is_dir() else "does not exist"
            raise ConfigError(f"{folder.path} {what}; give run directories, or one above them such as Results/cifar10.")
        found |= {str(run.path.resolve()): run for run in runs}
    return list(found.values())


def differing_fields(facts: list[RunFacts]) -> dict[str, list[Any]]:
    """The fields of the configurations that are not the same in all runs, with the value of each run.

    Besides the experiment's fields (but for folders and files): "networks" (parameters of generator and critic),
    "images" (their number and fingerprint) and versions of libraries.
    """
    if len(facts) < 2:
        return {}
    names = [name for name in dict.fromkeys(n for f in facts for n in f.experiment) if name not in _PLACES]
    rows = {name: [f.experiment.get(name) for f in facts] for name in names}
    if any(f.architecture != facts[0].architecture for f in facts):
        rows["networks"] = [" and ".join(f"{spec.parameters:,}" for spec in f.networks) for f in facts]
    prints = [f.data.get("fingerprint", "unknown") for f in facts]
    rows["images"] = [f"{f.data.get('count', 0):,}, {mark[:8]}" for f, mark in zip(facts, prints, strict=True)]
    for library in dict.fromkeys(name for f in facts for name in f.versions):
        rows[library] = [f.versions.get(library, "unknown") for f in facts]
    always = {"networks"}  # equal counts of parameters do not mean equal networks
    return {name: row for name, row in rows.items() if name in always or any(value != row[0] for value in row)}
