"""A run from Python: samples, curves, scores and networks of its directory.

run = mmdgan.open_run("Results/sample/my_run")
images = run.sample(64)
plt.plot(*run.curves["loss/generator"][:2])
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import ConfigError
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.pretrained import open_folder
from mmdgan.runs.scores import newest

if TYPE_CHECKING:
    import keras
    import numpy as np

    from mmdgan.training.event_files import Curves

_KEYS = ("folder", "step", "grid", "scores", "best")


def open_run(run: str | os.PathLike) -> Run:
    """A run's directory, `<results>/<data>/<run name>/`, as `train` prints it.

    Args:
        run: The directory; or `pretrained:NAME`, a generator that comes along.

    Raises:
        ConfigError: It is no run directory (the runs below it are named), or there is no such generator.
    """
    return Run(open_folder(run))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Run(Mapping[str, Any]):
    """A run, finished or not; returned by `open_run` and `Experiment.run`.

    What training changes is read anew at each use. As a mapping it is the outcome of the training that returned it, or
    of all training so far: "folder", "step", "grid" (path of that step's grid of samples, or None), "scores" (the last
    round's, by name) and "best" (step of the best checkpoint, or None).

    Attributes:
        files: Paths of the directory's parts.
        outcome: What training returned; None for a run that was opened.
    """

    files: RunFolder
    outcome: Mapping[str, Any] | None = None

    @property
    def folder(self) -> Path:
        """The directory."""
        return self.files.path

    @property
    def step(self) -> int:
        """Step of the newest checkpoint; 0 before the first one."""
        return max(self.files.steps(), default=0)

    @property
    def config(self) -> dict[str, Any]:
        """The contents of config.json.

        "experiment" (every field), "architecture" (the dictionaries of both networks), "data" (facts of the images)
        and "versions" (of the libraries).
        """
        return self.files.read_config()

    @property
    def scores(self) -> list[dict[str, Any]]:
        """The scores in metrics.jsonl, oldest first: each with "metric", "value", "step" and its protocol.

        Those of steps that training went back before are left out; `read_scores` of `mmdgan.runs.scores` has them too.
        """
        return self.files.records()

    @property
    def curves(self) -> Curves:
        """The scalars that were written for TensorBoard, by tag: arrays `steps`, `values` and `times`; {} before."""
        return self.files.curves()

    @functools.cached_property
    def generator(self) -> keras.Model:
        """The generator of the newest checkpoint, with averaged weights if the run has them (`ema`).

        It maps codes (N, code length) to images in [-1, 1]; that of a conditional run takes {"x": codes, "y": labels
        (N, 1)}. Loaded at the first use, and kept. `files.load_generator` loads those of other steps.

        Raises:
            CheckpointError: There is no checkpoint yet.
        """
        return self.files.load_generator()[0]

    @functools.cached_property
    def critic(self) -> keras.Model:
        """The critic of the newest checkpoint: images to scores (N, score size). Loaded at the first use, and kept.

        Raises:
            CheckpointError: There is no checkpoint yet.
        """
        return self.files.load_critic()[0]

    def sample(
        self,
        n: int = 64,
        *,
        seed: int = 0,
        class_: int | str | None = None,
        truncation: float | None = None,
        step: int | str | None = None,
    ) -> np.ndarray:
        """Images that the generator makes; the same ones as `python -m mmdgan sample` with these options.

        Args:
            n: How many. More of them begin with the same ones.
            seed: Seed of the codes.
            class_: Of a conditional run, the class of all images, by number or name; None: all classes in turn.
            truncation: Redraw components of codes beyond this; None: codes from N(0, 1).
            step: Step of the checkpoint, or "best"; None: the newest.

        Returns:
            uint8 (n, H, W, C).

        Raises:
            CheckpointError: There is no checkpoint, or none of this step.
            ConfigError: `n` is less than 1, or the run has no such class.
        """
        from mmdgan import sampling

        if n < 1:
            raise ConfigError(f"n is {n}; give the number of images, at least 1.")
        class_ = self.files.find_class(class_)
        generator = self.generator if step is None else self.files.load_generator(step)[0]
        size = generator.spec.input_shape[0]
        if truncation is None:
            codes = sampling.random_codes(n, size, seed)
        else:
            codes = sampling.truncated_codes(n, size, truncation, seed)
        labels = sampling.cycled_labels(n, generator.spec.num_class)
        if labels is not None and class_ is not None:
            labels[:] = class_
        return sampling.generate(generator, codes, labels, batch_size=min(n, 100))

    def __getitem__(self, key: str) -> Any:
        if key not in _KEYS:
            raise KeyError(key)
        if self.outcome is not None:
            return self.outcome[key]
        if key == "best":
            return self.files.best_step()
        if key == "grid":
            grid = self.files.grid_file(self.step)
            return grid if grid.is_file() else None
        if key == "scores":
            return {record["metric"]: record["value"] for record in newest(self.files.round_records())}
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(_KEYS)

    def __len__(self) -> int:
        return len(_KEYS)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, step={self.step})"
