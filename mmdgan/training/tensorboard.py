"""TensorBoard's files of a run, written through tf.summary under readable tags or the original's (original.md E.7).

A resumed run writes a new event file. Of the steps that a killed run had written after its last checkpoint, TensorBoard
shows only the new ones; so does `read_scalars`, which returns the scalars as arrays.

The HParams tab shows one row per run: its settings and its scores. Its messages are in an event file of their own,
which is replaced when they change, because TensorBoard takes the first message that it finds in a folder.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.pictures.grid import image_grid
from mmdgan.sampling import to_uint8
from mmdgan.training.event_files import Scalars, date_back, describe, read_scalars, readable
from mmdgan.training.trackers import Tracker

__all__ = ["Monitor", "Scalars", "read_scalars"]

LOSSES = ("GANLoss/gen", "GANLoss/dis")
"""Tags of the losses."""

_BUCKETS = 30  # TensorBoard's own default
_SUFFIX = ".hparams"


class Monitor:
    """Writes scalars, histograms, grids of images and texts to one folder, each call at once.

    Every method that writes raises a ConfigError when the folder cannot be written (disk full, read-only).
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        writes: bool = True,
        naming: str = "original",
        meaning: Callable[[str], str] = lambda _: "",
    ) -> None:
        """Nothing is written before the first call.

        Args:
            log_dir: Folder of the event files; made if missing, and existing files stay.
            writes: False drops everything, as on workers that are not the chief.
            naming: "original": tags are written as they are given; "readable": under their readable names, with
                descriptions, and in grids without empty cells.
            meaning: What to say of a score, by its name.

        Attributes:
            trackers: What scalars and images are passed on to (`mmdgan.training.trackers`).
            samples: If it is set, what makes the sheet of samples that `write` shows instead of inspected ones.
        """
        self.log_dir = Path(log_dir)
        self.writes, self.naming, self._meaning = writes, naming, meaning
        self.samples: Callable[[], np.ndarray] | None = None
        self.trackers: list[Tracker] = []
        self._writer: tf.summary.SummaryWriter | None = None

    def write(self, step: int, inspected: Mapping[str, Mapping[str, Any]]) -> None:
        """Writes what `GanStep.inspect` returns: its scalars, histograms and images."""
        self.scalars(step, inspected.get("scalars", {}))
        self.histograms(step, inspected.get("histograms", {}))
        images = dict(inspected.get("images", {}))
        if self.samples is not None and self.writes and images.pop("Ig", None) is not None:
            images["images/samples"] = self.samples()
        self.images(step, images)

    def name(self, tag: str) -> str:
        """The name under which a tag is written."""
        return readable(tag) if self.naming == "readable" else tag

    def _described(self, tag: str) -> tuple[str, str | None]:
        """A tag's name, and what TensorBoard says of it."""
        if self.naming != "readable":
            return tag, None
        kind, _, score = (name := readable(tag)).partition("/")
        texts = [self._meaning(score) if kind == "score" else "", describe(name)]
        return name, " ".join(filter(None, texts)) or None

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes single numbers by tag."""
        with self._writing():
            for tag, value in values.items():
                name, description = self._described(tag)
                tf.summary.scalar(name, value, step=step, description=description)
        for tracker in self.trackers:
            tracker.scalars(step, {self.name(tag): float(value) for tag, value in values.items()})

    def histograms(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes the distributions of arrays of any shape by tag; NaN and infinities in them are left out."""
        from tensorboard.plugins.histogram.metadata import create_summary_metadata

        with self._writing():
            for tag, value in values.items():
                name, description = self._described(tag)
                metadata = create_summary_metadata(display_name=None, description=description)
                tf.summary.write(name, _buckets(tf.cast(value, tf.float32).numpy()), step=step, metadata=metadata)

    def images(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes each batch of images, float (n, H, W, C) in [-1, 1] or uint8, as one grid by tag."""
        with self._writing():
            for tag, value in values.items():
                images = tf.convert_to_tensor(value).numpy()
                name, description = self._described(tag)
                columns = _columns(len(images)) if self.naming == "readable" else None
                grid = image_grid(images if images.dtype == np.uint8 else to_uint8(images), columns)
                tf.summary.image(name, grid[None], step=step, description=description)
                for tracker in self.trackers:
                    tracker.image(step, name, grid)

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """Writes a text, which TensorBoard reads as Markdown."""
        with self._writing():
            tf.summary.text(tag, markdown, step=step)

    def hparams(
        self,
        values: Mapping[str, Any],
        metrics: Sequence[str],
        *,
        first: Iterable[str] = (),
        succeeded: bool | None = None,
    ) -> None:
        """Writes the run's row of the HParams tab, as `write_run`."""
        with self._naming_errors():
            if self.writes:
                write_run(self.log_dir, values, [*map(self.name, metrics)], first=first, succeeded=succeeded)

    def close(self, succeeded: bool = True) -> None:
        """Ends the event file, and what the trackers track as a success or not; a later call begins a new file."""
        for tracker in self.trackers:
            tracker.close(succeeded)
        self.trackers = []
        if self._writer is not None:
            with contextlib.suppress(tf.errors.OpError):
                self._writer.close()
            self._writer = None

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Sends the block's summaries to the event file, which has them when the block ends."""
        with self._naming_errors():
            if self._writer is None:
                folder = str(self.log_dir)
                if self.writes:
                    date_back(self.log_dir, int(time.time()))
                self._writer = tf.summary.create_file_writer(folder) if self.writes else tf.summary.create_noop_writer()
            with self._writer.as_default():  # flushes at its end
                yield

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        """Turns an error of writing into a ConfigError."""
        try:
            yield
        except tf.errors.OpError as error:
            reason = next(iter(str(error.message).splitlines()), "").rpartition("; ")[2]
            raise ConfigError(
                f"what TensorBoard shows cannot be written to {self.log_dir} ({reason}); make room or the folder "
                "writable, then run the same command again."
            ) from error


def _columns(count: int) -> int:
    """Columns of a grid of so many images without an empty cell, as nearly square as that allows."""
    return next(columns for columns in range(math.isqrt(count - 1) + 1, count + 1) if count % columns == 0)


def write_scores(
    folder: str | os.PathLike, records: Iterable[Mapping[str, Any]], naming: str, meaning: Callable[[str], str]
) -> None:
    """Replaces a folder's event file by scores, in the order of steps, as readers want them.

    Args:
        folder: A folder for this alone, so that TensorBoard shows these scores as curves of their own.
        records: One line of metrics.jsonl for each score and step.
        naming, meaning: As of `Monitor`.
    """
    values = {(r["step"], r["metric"]): r["value"] for r in records if r["value"] is not None}
    old = list(Path(folder).glob("*tfevents*"))
    monitor = Monitor(folder, naming=naming, meaning=meaning)
    for step in sorted({step for step, _ in values}):
        monitor.scalars(step, {f"scores/{name}": value for (at, name), value in values.items() if at == step})
    monitor.close()
    for file in old:
        file.unlink(missing_ok=True)


def _buckets(values: np.ndarray) -> np.ndarray:
    """The histogram as TensorBoard stores it: float64 (buckets, 3) of left edge, right edge, count.

    NumPy's: tf.summary.histogram takes 30 times the array's memory, gigabytes for a large kernel.
    """
    values = values[np.isfinite(values)]
    if values.size == 0:
        return np.zeros((0, 3))
    # In float64: 30 edges may not fit between float32 values that are huge, as before a divergence, or nearly equal.
    low, high = np.float64(values.min()), np.float64(values.max())
    if high - low <= 2 * _BUCKETS * np.spacing(max(abs(low), abs(high))):
        return np.array([[low - 0.5, low + 0.5, values.size]], np.float64)
    counts, edges = np.histogram(values, _BUCKETS, range=(low, high))
    return np.stack([edges[:-1], edges[1:], counts], axis=1).astype(np.float64)


def write_run(
    folder: str | os.PathLike,
    values: Mapping[str, Any],
    metrics: Sequence[str],
    *,
    first: Iterable[str] = (),
    succeeded: bool | None = None,
) -> None:
    """Writes a run's row of the HParams tab.

    Args:
        folder: Folder of the run's event files.
        values: The run's fields; None is left out, lists become texts.
        metrics: Tags of the scalars that become columns.
        first: Fields whose columns come first; the others follow, and are hidden at first if they are many.
        succeeded: Whether the run has finished (True) or failed (False); None while it runs.
    """
    from tensorboard.plugins.hparams import api_pb2, summary

    plain = {name: _plain(value) for name, value in values.items() if value is not None}
    messages = [_experiment({name: [value] for name, value in plain.items()}, metrics, first)]
    messages.append(summary.session_start_pb(plain))
    if succeeded is not None:
        status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
        messages.append(summary.session_end_pb(status))
    _replace(folder, messages)


def write_sweep(folder: str | os.PathLike, values: Mapping[str, Iterable[Any]], metrics: Sequence[str]) -> None:
    """Writes the fields that a sweep varies, so that its table shows only these.

    Args:
        folder: Folder above those of the runs.
        values: Field -> the values that it takes.
        metrics: Tags of the scalars that become columns.
    """
    plain = {name: [_plain(value) for value in found if value is not None] for name, found in values.items()}
    _replace(folder, [_experiment(plain, metrics, plain)])


def _experiment(
    values: Mapping[str, Sequence[bool | float | str]], metrics: Sequence[str], first: Iterable[str]
) -> Any:
    """The message that names the columns."""
    from google.protobuf import struct_pb2
    from tensorboard.plugins.hparams import api_pb2, summary

    infos, first = [], set(first)
    for name, found in values.items():
        kinds = {type(value) for value in found}
        kind, domain = api_pb2.DATA_TYPE_STRING, None
        if kinds == {bool}:
            kind = api_pb2.DATA_TYPE_BOOL
        elif kinds and kinds <= {int, float}:
            kind = api_pb2.DATA_TYPE_FLOAT64
        if len(found) > 1 and kind != api_pb2.DATA_TYPE_FLOAT64:  # of a sweep: they are all
            domain = struct_pb2.ListValue()
            for value in sorted(set(found), key=str):
                domain.append(value if kind == api_pb2.DATA_TYPE_BOOL else str(value))
        infos.append(api_pb2.HParamInfo(name=name, type=kind, domain_discrete=domain, differs=name in first))
    columns = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics]
    return summary.experiment_pb(hparam_infos=infos, metric_infos=columns)


def _plain(value: Any) -> bool | float | str:
    """A value as the plugin takes it: tuples as on the command line."""
    if isinstance(value, (bool, int, float, str)):
        return value
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _replace(folder: str | os.PathLike, messages: Sequence[Any]) -> None:
    """Replaces the event file of messages."""
    old = list(Path(folder).glob(f"*tfevents*{_SUFFIX}"))
    writer = tf.summary.create_file_writer(str(folder), filename_suffix=_SUFFIX)
    with writer.as_default(step=0):
        for message in messages:
            tf.summary.experimental.write_raw_pb(message.SerializeToString(), step=0)
    writer.close()
    for file in old:
        file.unlink(missing_ok=True)
