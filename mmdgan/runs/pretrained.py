"""Trained generators that come with the package: `pretrained:NAME` where a command takes a run's directory.

`mmdgan/pretrained/NAME/` holds what a run's directory holds of a finished training: config.json (with the step, the
command and the hash of the weights under "pretrained"), metrics.jsonl, and weights.npz, the generator in float16. What
commands write goes to the current folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.core.files import write_json, write_text
from mmdgan.core.text import nearest
from mmdgan.networks import weights
from mmdgan.runs.folder import RunFolder

if TYPE_CHECKING:
    import keras
    import numpy as np

PREFIX = "pretrained:"
ROOT = Path(__file__).resolve().parents[1] / "pretrained"
_WEIGHTS = "weights.npz"


def names() -> list[str]:
    """The names of the generators that come along, such as "sample/rep_b"."""
    return sorted(file.parent.relative_to(ROOT).as_posix() for file in ROOT.glob("*/*/config.json"))


def load_pretrained(name: str) -> keras.Model:
    """A generator that comes along, ready to use; it needs no network.

    Args:
        name: One of those that `python -m mmdgan pretrained` lists.

    Returns:
        A model that maps codes (N, code length) to images in [-1, 1]; a conditional one takes {"x": codes, "y":
        labels (N, 1)}. The weights were stored in float16.

    Raises:
        ConfigError: There is none of this name; the names are listed.
    """
    return Pretrained.named(name).load_generator()[0]


def open_folder(run: str | os.PathLike) -> RunFolder:
    """A run's directory, or `pretrained:NAME`; ConfigError as `RunFolder.open`."""
    text = os.fspath(run)
    return Pretrained.named(text) if text.startswith(PREFIX) else RunFolder.open(run)


class Pretrained(RunFolder):
    """A generator that comes along, as a run with one checkpoint in which nothing can be written."""

    @classmethod
    def named(cls, name: str) -> Pretrained:
        """The generator of a name, with or without the prefix."""
        name = name.removeprefix(PREFIX)
        if name not in names():
            raise ConfigError(
                f"there is no pretrained generator {name!r}{nearest(name, names())}; there are {', '.join(names())}."
            )
        return cls(ROOT / name)

    def card(self) -> dict[str, Any]:
        """How it was made: "step", "command", "ema", "sha256" of the weights, "note"."""
        return self.read_config()["pretrained"]

    @property
    def outputs(self) -> Path:
        return Path(".")

    def steps(self) -> list[int]:
        return [self.card()["step"]]

    def best_step(self) -> int | None:
        return None

    def has_average(self) -> bool:
        return False  # the stored weights are the only ones

    def append(self, step: int, by: str, records: Sequence[Mapping[str, Any]]) -> Path | None:
        return None

    def restore(self, model: keras.Model, step: int, averaged: bool) -> int:
        if model.spec.name != "gen":
            raise CheckpointError(f"{self.path.name} is a generator alone; what needs a critic needs a run.")
        weights.assign(model, weights.read(self.path / _WEIGHTS, model.spec))
        return step


def initial_weights(source: str, parts: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """The weights that another training may begin with.

    Args:
        source: A run's directory, `pretrained:NAME`, or a weight file (.npz) of one network.
        parts: "generator", "critic".

    Returns:
        Arrays of each part that is there, by "layer/slot/variable" (`mmdgan.networks.weights`); a weight file's are
        those of every part.

    Raises:
        ConfigError, CheckpointError: There is no such run, file or checkpoint.
    """
    if source.lower().endswith(".npz"):
        return dict.fromkeys(parts, weights.read_all(source))
    folder = open_folder(source)
    loaders = {"generator": folder.load_generator, "critic": folder.load_critic}
    if isinstance(folder, Pretrained):
        del loaders["critic"]
    return {part: weights.arrays(load()[0]) for part, load in loaders.items() if part in parts}


def save(run: str | os.PathLike, name: str, command: str, step: int | str | None = None, note: str = "") -> Path:
    """Makes one of a run's generator, with averaged weights if the run has them.

    Args:
        run: The run's directory.
        name: Its name, "data/name".
        command: The command that trains it.
        step: Step of the checkpoint, or "best"; None: the newest.
        note: What a user should know.

    Returns:
        Its folder.

    Raises:
        ConfigError: A weight is beyond the range of float16.
    """
    import numpy as np

    source = RunFolder.open(run)
    generator, step = source.load_generator(step)
    target = ROOT / name
    target.mkdir(parents=True, exist_ok=True)
    arrays = {key: np.asarray(value).astype(np.float16) for key, value in weights.arrays(generator).items()}
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ConfigError(f"{run} has weights beyond the range of float16.")
    np.savez_compressed(target / _WEIGHTS, **arrays)  # type: ignore[arg-type]
    digest = hashlib.sha256((target / _WEIGHTS).read_bytes()).hexdigest()
    card = {"step": step, "command": command, "ema": source.has_average(), "sha256": digest, "note": note}
    config = source.public_config()
    config["experiment"]["ema"] = None
    write_json(target / "config.json", {**config, "pretrained": card})
    averaged = "ema" if source.has_average() else None  # scores of other weights are not this generator's
    records = [r for r in source.records() if r["step"] == step and r.get("weights", averaged) == averaged]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    write_text(target / "metrics.jsonl", "".join(f"{line}\n" for line in lines))
    return target
