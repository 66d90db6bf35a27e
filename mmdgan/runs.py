"""A run's directory, `<results>/<data>/<run name>/`: what is in it, and what can be done with a finished run.

config.json     the configuration, the architecture as dictionaries, the versions of the libraries
checkpoints/    the newest, and with --keep_rounds each round's
logs/           TensorBoard                   samples/        a grid of pictures per round
metrics.jsonl   one line per evaluation
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    import keras


_OTHER_FILES = frozenset(".jpg .jpeg .gif .webp .bmp .tif .tiff .npy .zip .mp4".split())


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The paths of one run's directory, and its configuration and score files."""

    path: Path

    @classmethod
    def open(cls, path: str | os.PathLike) -> RunFolder:
        """An existing run's directory.

        Raises:
          ConfigError: the directory holds no config.json; the runs below it are named.
        """
        folder = cls(Path(path))
        if folder.config_file.is_file():
            return folder
        below = sorted(str(file.parent) for file in folder.path.glob("*/**/config.json"))[:5]
        hint = f"did you mean {' or '.join(below)}?" if below else "a run directory is what `train` printed."
        what = "holds no config.json" if folder.path.is_dir() else "does not exist"
        raise ConfigError(f"{folder.path} is no run directory, it {what}; {hint}")

    @property
    def config_file(self) -> Path:
        return self.path / "config.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    def grid_file(self, step: int) -> Path:
        """The grid of pictures made after a step."""
        return self.path / "samples" / f"{step}.png"

    def read_config(self) -> dict[str, Any]:
        """The contents of config.json; ConfigError if it is damaged."""
        try:
            config = json.loads(self.config_file.read_text(encoding="utf-8"))
            if not {"experiment", "architecture"} <= set(config):
                raise ValueError("experiment or architecture is missing")
        except ValueError as error:
            raise ConfigError(
                f"{self.config_file} is no run's configuration ({error}); restore it, or begin anew with --restart."
            ) from None
        return config

    def check(self, config: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        """Checks that the run in this directory, if there is one, can be resumed with a configuration.

        Args:
          config: what config.json would hold; JSON-able, with the keys "experiment", "architecture" and, once
            the data are open, "data".
          identity: the fields of "experiment" that both must share, with the values of runs made before there was
            such a field; the architecture must be the same too.

        Raises:
          ConfigError: they differ; the fields are named.
        """
        if not self.config_file.is_file():
            return
        before, config = self.read_config(), json.loads(json.dumps(config))
        differing = [
            f"{name} ({_brief(old)} there, {_brief(new)} now)"
            for name, absent in identity.items()
            if (old := before["experiment"].get(name, absent)) != (new := config["experiment"][name])
        ]
        if before["architecture"] != config["architecture"]:
            reference = config["experiment"]["architecture"]
            differing.insert(0, f"the networks (those of {reference} are not the ones it was made with)")
        data = [part.get("data", {}) for part in (before, config)]
        if all(data) and data[0]["fingerprint"] != data[1]["fingerprint"]:
            differing.append(f"the images (from {data[0]['source']} there, from {data[1]['source']} now)")
        if differing:
            raise ConfigError(
                f"{self.path} holds a run of another configuration: {'; '.join(differing)}. Give --restart "
                "to begin anew (the earlier run is moved aside), or another --run_name."
            )

    def prepare(self, config: Mapping[str, Any], restart: bool) -> None:
        """Makes the directory and config.json; `restart` first moves an existing one to `<path>-old-<n>`."""
        if restart and self.path.exists():
            print(f"The earlier run is kept as {self._move_aside()}.")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(self.config_file, json.dumps(config, indent=1) + "\n")
        except OSError as error:
            raise ConfigError(
                f"the run directory {self.path} cannot be written ({error.strerror or error}); give another --results."
            ) from error

    def _move_aside(self) -> Path:
        number = 1
        while (target := self.path.with_name(f"{self.path.name}-old-{number}")).exists():
            number += 1
        return self.path.rename(target)

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, oldest first; a line cut off by a crash is left out."""
        if not self.metrics_file.is_file():
            return []
        lines = []
        for line in self.metrics_file.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        return lines

    def append(self, step: int, by: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Adds the scores of one evaluation to metrics.jsonl, as one line.

        Args:
          step: of the checkpoint.
          by: "train" or "evaluate": who asked for them.
          records: of `mmdgan.metrics.evaluate_images`; they hold the protocol of each score.
        """
        from mmdgan.metrics import append_jsonl

        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "step": step,
            "by": by,
            "scores": {record["metric"]: record["value"] for record in records},
            "records": list(records),
        }
        append_jsonl(self.metrics_file, [line])

    def load_generator(self, step: int | None = None) -> tuple[keras.Model, int]:
        """The generator of a checkpoint: (model, its step).

        Args:
          step: which checkpoint; the newest by default.

        Raises:
          CheckpointError: there is none, or none of this step; the steps that exist are named.
        """
        from mmdgan import build_generator
        from mmdgan.training.checkpoints import restore_model, saved_steps

        if not saved_steps(self.checkpoints):
            raise CheckpointError(f"{self.path} has no checkpoint yet; train it first, or wait for the first one.")
        config = self.read_config()
        experiment = config["experiment"]
        options = {name: experiment[name] for name in ("precision", "spectral", "initializer")}
        num_class, legacy = experiment.get("num_class", 0), experiment.get("legacy", False)
        model = build_generator(config["architecture"], num_class, legacy=legacy, **options)
        return model, restore_model(self.checkpoints, model, step)


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file so that a reader, or a crash, never sees half of it."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def check_image_target(path: str | os.PathLike | None) -> None:
    """Refuses names that `save_images` would take for a folder although they look like another kind of file."""
    if path is not None and Path(path).suffix.lower() in _OTHER_FILES:
        raise ConfigError(f"{path} would be a folder; name a .npz, a .png (a grid), or a plain folder.")


def save_images(path: str | os.PathLike, images: Any, columns: int | None = None, labels: Any | None = None) -> Path:
    """Writes images, uint8 (N, H, W, C), in the form that the path's ending names.

    Args:
      path: *.npz (key `images`), *.png (a grid), or a folder, which gets one PNG per image.
      images: uint8 (N, H, W, C).
      columns: images per row of a grid.
      labels: int (N, 1) or None: the key `labels` of a *.npz, int32 (N,).

    Raises:
      ConfigError: another kind of file, or a place that cannot be written to.
    """
    check_image_target(path)
    try:
        return _save_images(Path(path), images, columns, labels)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror or error}); name another place.") from error


def _save_images(path: Path, images: Any, columns: int | None, labels: Any | None) -> Path:
    import numpy as np

    from mmdgan import pictures

    ending = path.suffix.lower()
    if ending == ".png":
        return pictures.save_png(path, pictures.image_grid(images, columns))
    if ending != ".npz":
        return pictures.save_folder(path, images)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial.npz")
    arrays = {"images": images} if labels is None else {"images": images, "labels": np.reshape(labels, -1)}
    np.savez_compressed(partial, **arrays)
    os.replace(partial, path)
    return path


def counter(what: str, write: Callable[[str], Any] = print) -> Callable[[int, int], None]:
    """A progress callback that writes "what: done of total" every 10 seconds."""
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 10 and done < total:
            last = time.monotonic()
            write(f"{what}: {done:,} of {total:,}")

    return report


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
