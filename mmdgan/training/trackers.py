"""Weights & Biases and MLflow beside TensorBoard: a `Monitor` passes on what it writes (`--log wandb,mlflow`).

Where a run is tracked is kept in RUN/trackers.json, so that a resumed run goes on there and its report has the address.
Nothing global is set: neither package's active run is touched. Each works offline in its own way (WANDB_MODE=offline,
MLFLOW_TRACKING_URI=file:PATH). A tracker that fails is left alone from then on, with one warning: training goes on.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.files import write_json

if TYPE_CHECKING:
    import numpy as np

FILE = "trackers.json"
_PROJECT = "mmdgan"


def addresses(run: str | os.PathLike) -> dict[str, dict[str, str]]:
    """Where a run is tracked: tracker -> its "id" and "address"; {} if it is not."""
    try:
        return json.loads((Path(run) / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def open_trackers(names: Sequence[str], run: Path, config: Mapping[str, Any]) -> list[Tracker]:
    """The trackers of a run, begun or gone on with.

    Args:
        names: Keys of `TRACKERS`.
        run: The run's directory, whose name the tracked run gets.
        config: The run's settings.

    Raises:
        ConfigError: A package is not installed, or the tracker refuses.
    """
    known, opened = addresses(run), []
    for name in names:
        try:
            tracker = TRACKERS[name](run, config, known.get(name, {}).get("id"))
        except ImportError as error:
            raise ConfigError(
                f"log is {name}, but its package is not installed: pip install 'mmdgan[{name}]'."
            ) from error
        except Exception as error:
            raise ConfigError(f"log is {name}, which cannot be begun: {error}") from error
        known[name] = {"id": tracker.id, "address": tracker.address}
        opened.append(tracker)
    if opened:
        write_json(run / FILE, known)
    return opened


class Tracker(ABC):
    """A tracked run.

    Attributes:
        id: Its identifier there.
        address: Where people find it: a URL, or a folder if it is offline.
    """

    id: str
    address: str

    def __init__(self, run: Path, config: Mapping[str, Any], known: str | None) -> None:
        """Begins a tracked run, or goes on with the one of a known identifier."""
        self._works = True

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Passes on numbers by their names."""
        if values:
            self._try(lambda: self._scalars(step, values))

    def image(self, step: int, name: str, picture: np.ndarray) -> None:
        """Passes on a picture, uint8 (H, W, C)."""
        self._try(lambda: self._image(step, name, picture))

    def close(self, succeeded: bool) -> None:
        """Ends the tracked run."""
        self._try(lambda: self._close(succeeded))

    @abstractmethod
    def _scalars(self, step: int, values: Mapping[str, float]) -> None: ...

    @abstractmethod
    def _image(self, step: int, name: str, picture: np.ndarray) -> None: ...

    @abstractmethod
    def _close(self, succeeded: bool) -> None: ...

    def _try(self, task: Callable[[], object]) -> None:
        if not self._works:
            return
        try:
            task()
        except Exception as error:
            self._works = False
            logging.getLogger("mmdgan").warning("%s takes nothing more of this run: %s", type(self).__name__, error)


class WeightsAndBiases(Tracker):
    """A run of wandb, whose steps are a metric of their own: a run that went back to a checkpoint may repeat some."""

    def __init__(self, run: Path, config: Mapping[str, Any], known: str | None) -> None:
        import wandb

        super().__init__(run, config, known)
        self._wandb = wandb
        options: dict[str, Any] = {"project": _PROJECT, "name": run.name, "dir": str(run), "reinit": "create_new"}
        self._run = wandb.init(config=dict(config), id=known, resume="allow" if known else None, **options)
        self._run.define_metric("*", step_metric="step")
        self.id, self.address = self._run.id, self._run.url or self._run.dir

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def _image(self, step: int, name: str, picture: np.ndarray) -> None:
        self._run.log({"step": step, name: self._wandb.Image(picture)})

    def _close(self, succeeded: bool) -> None:
        self._run.finish(exit_code=0 if succeeded else 1)


class Mlflow(Tracker):
    """A run of MLflow in the experiment "mmdgan"; characters that its names may not have become "_"."""

    def __init__(self, run: Path, config: Mapping[str, Any], known: str | None) -> None:
        import mlflow
        from mlflow.entities import Param

        super().__init__(run, config, known)
        self._client = client = mlflow.MlflowClient()
        if known is None:
            experiment = client.get_experiment_by_name(_PROJECT)
            number = client.create_experiment(_PROJECT) if experiment is None else experiment.experiment_id
            self.id = client.create_run(number, run_name=run.name).info.run_id
            client.log_batch(self.id, params=[Param(name, str(value)) for name, value in config.items()])
        else:
            self.id = client.get_run(known).info.run_id
            client.update_run(self.id, status="RUNNING")
        self.address = f"{mlflow.get_tracking_uri()} run {self.id}"

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_plain(name), value, now, step) for name, value in values.items()]
        self._client.log_batch(self.id, metrics=metrics)  # one request

    def _image(self, step: int, name: str, picture: np.ndarray) -> None:
        self._client.log_image(self.id, picture, artifact_file=f"{_plain(name)}/{step}.png")

    def _close(self, succeeded: bool) -> None:
        self._client.set_terminated(self.id, "FINISHED" if succeeded else "FAILED")


def _plain(name: str) -> str:
    return re.sub(r"[^\w\-. :/]", "_", name)


TRACKERS: dict[str, type[Tracker]] = {"wandb": WeightsAndBiases, "mlflow": Mlflow}
"""The trackers by their names in `--log`."""
