"""What a run's directory says of the run, in the form that reports need; without TensorFlow, without the images."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmdgan import design
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import defaults, fields_with
from mmdgan.core.progress import Say, log
from mmdgan.runs.experiment import Experiment, placed
from mmdgan.runs.folder import RunFolder, find_runs
from mmdgan.runs.published import Wanted

_PLACES = frozenset(fields_with(Experiment, scope="place") + fields_with(Experiment, scope="call"))
"""Fields that say where things are, or how to begin, and nothing of what is trained."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class RunFacts:
    """The configuration of a run.

    Attributes:
        folder: The run's directory.
        experiment: Every field of `Experiment`: this version's default where the run's version had no such field;
            fields of newer versions as they are.
        architecture: The dictionaries of both networks.
        data: Facts of the images: count, source, fingerprint, mode; {} for a run that has not begun.
        versions: Versions of the libraries that the run was begun with.
    """

    folder: RunFolder
    experiment: dict[str, Any]
    architecture: dict[str, Any]
    data: dict[str, Any]
    versions: dict[str, str]

    @classmethod
    def of(cls, run: str | os.PathLike | RunFolder) -> RunFacts:
        """Returns the facts of a run directory; a ConfigError says that it is none, or damaged."""
        folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
        config = folder.read_config()
        return cls(
            folder,
            defaults(Experiment) | placed(folder, config["experiment"]),
            config["architecture"],
            config.get("data", {}),
            config.get("versions", {}),
        )

    @property
    def name(self) -> str:
        """Name of the directory."""
        return self.folder.path.resolve().name

    @functools.cached_property
    def networks(self) -> tuple[design.NetworkSpec, design.NetworkSpec]:
        """Generator and critic."""
        return design.parse_architecture(self.architecture, self.experiment["num_class"])

    @property
    def gain(self) -> float:
        """K, the product of the multipliers of all spectrally normalised layers of the critic; 1 if there are none."""
        return self.wanted().gain or 1.0

    @property
    def score_size(self) -> int:
        """Number of outputs of the critic."""
        return self.networks[1].output_shape[0]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        channels, height, width = self.networks[0].output_shape
        return height, width, channels

    @functools.cached_property
    def diverged(self) -> int | None:
        """The step at which training diverged and stopped; see `RunFolder.diverged`."""
        return self.folder.diverged()

    def wanted(self) -> Wanted:
        """What published scores are looked up by."""
        return Wanted.of(self.experiment, self.networks[1])

    def changed(self) -> dict[str, Any]:
        """The fields of this version that differ from its defaults: what a command must say to make such a run."""
        known = defaults(Experiment)
        return {name: value for name, value in self.experiment.items() if name in known and value != known[name]}


def run_folders(words: list[str], say: Say = log) -> list[RunFolder]:
    """The runs of a command line: run directories, and all runs below other directories, each once.

    Damaged ones below a directory are passed over, which `say` is told.

    Raises:
        ConfigError: A directory does not exist, or there is no run below it.
    """
    found: dict[str, RunFolder] = {}
    for word in words:
        folder = RunFolder(Path(word))
        runs = [folder] if folder.config_file.is_file() else list(find_runs(folder.path, kept=True, say=say))
        if not runs:
            what = "holds no run" if folder.path.is_dir() else "does not exist"
            raise ConfigError(f"{folder.path} {what}; give run directories, or one above them such as Results/cifar10.")
        found |= {str(run.path.resolve()): run for run in runs}
    return list(found.values())


def differing_fields(facts: list[RunFacts]) -> dict[str, list[Any]]:
    """The fields of the configurations that are not the same in all runs, with the value of each run.

    Besides the experiment's fields (without folders and files): "networks" (parameters of generator and critic),
    "images" (their number and fingerprint) and versions of libraries.
    """
    if len(facts) < 2:
        return {}
    names = [name for name in dict.fromkeys(n for f in facts for n in f.experiment) if name not in _PLACES]
    rows = {name: [f.experiment.get(name) for f in facts] for name in names}
    if any(f.architecture != facts[0].architecture for f in facts):
        rows["networks"] = [" and ".join(f"{spec.parameters:,}" for spec in f.networks) for f in facts]
    rows["images"] = [f"{f.data.get('count', 0):,}, {f.data.get('fingerprint', 'unknown')[:8]}" for f in facts]
    for library in dict.fromkeys(name for f in facts for name in f.versions):
        rows[library] = [f.versions.get(library, "unknown") for f in facts]
    always = {"networks"}  # equal counts of parameters do not mean equal networks
    return {name: row for name, row in rows.items() if name in always or any(value != row[0] for value in row)}


def spread_out(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items: the first, the last, and evenly spread ones between them."""
    places = np.linspace(0, len(items) - 1, min(most, len(items)))
    return [items[index] for index in sorted({round(place) for place in places})]
