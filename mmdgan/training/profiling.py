"""A profile of some training steps, for TensorBoard and as a Chrome trace that needs only a browser.

Its own file because its class is a Keras callback: the training loop does not import Keras before it runs.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from mmdgan.core.progress import Say, log

_WARM_UP = 10  # steps before a profile of (number,) steps


class Profile(keras.callbacks.Callback):
    """Profiles a range of steps, into `plugins/profile` of a folder, where TensorBoard looks for it.

    It writes TensorBoard's `*.xplane.pb`, and `trace.json.gz` for chrome://tracing or ui.perfetto.dev.
    """

    def __init__(self, log_dir: str | os.PathLike, steps: Sequence[int], say: Say = log):
        """Nothing is profiled yet.

        Args:
            log_dir: Folder of the run's logs.
            steps: (first, last), or (number,): so many steps after the first ten that this object sees.
            say: Takes the sentence that names the files.
        """
        super().__init__()
        self._folder = Path(log_dir)
        self._steps = tuple(steps)
        self._running = False
        self._say = say

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        step = self.params["step"]
        if len(self._steps) == 1:
            first = step + _WARM_UP
            self._steps = first, first + self._steps[0] - 1
        if not self._running and self._steps[0] <= step <= self._steps[1]:
            options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3)  # short operations too
            tf.profiler.experimental.start(str(self._folder), options)
            self._running = True

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._running and self.params["step"] >= self._steps[1]:
            for value in (logs or {}).values():
                float(value)  # waits for the device
            self._stop()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._running:
            self._stop()

    def _stop(self) -> None:
        tf.profiler.experimental.stop()
        self._running = False
        for file in sorted(self._folder.glob("plugins/profile/*/*.xplane.pb")):
            if not (trace := file.parent / "trace.json.gz").exists():
                write_chrome_trace(file, trace)
                self._say(f"Profile: {file}\nChrome trace: {trace}")


def write_chrome_trace(source: Path, target: Path) -> None:
    """Writes the events of an `*.xplane.pb` as gzipped JSON in Chrome's trace event format: microseconds, by thread."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(source.read_bytes())
    events: list[dict] = []
    for process, plane in enumerate(space.planes):
        names = {key: value.display_name or value.name for key, value in plane.event_metadata.items()}
        place = {"pid": process, "ph": "M"}
        events.append({**place, "name": "process_name", "args": {"name": plane.name}})
        for thread, line in enumerate(plane.lines):
            label = line.display_name or line.name or str(line.id)
            events.append({**place, "tid": thread, "name": "thread_name", "args": {"name": label}})
            events += (
                {
                    "pid": process,
                    "tid": thread,
                    "ph": "X",
                    "name": names[event.metadata_id],
                    "ts": line.timestamp_ns / 1e3 + event.offset_ps / 1e6,
                    "dur": event.duration_ps / 1e6,
                }
                for event in line.events
            )
    with gzip.open(target, "wt") as file:
        json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, file)
