"""Reads the scalars of a run's event files as arrays; the successor of the original's read_event_file.

    losses = read_scalars("Results/cifar10/sngan_rep_5e-04_2e-04_k1.68_0.0_-1.0", "loss/generator")
    plt.plot(losses.steps, losses.values)

An event file has the frames of a TFRecord file; the data of each is one serialized tensorboard.Event. This module does
not import TensorFlow.
"""

from __future__ import annotations

import contextlib
import functools
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.text import listed, nearest
from mmdgan.data.records.framing import RecordError, payloads

_PLAYERS = {"gen": "generator", "dis": "critic"}
_RENAMED = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"GANLoss/(gen|dis)", "loss/{}"),
        (r"GANLoss/(.+)", "loss/{}"),
        (r"[^/]+/(k(?:xx|xy|yy).*)", "mmd/{}"),
        (r"kernel_norm/(gen|dis)/(.+?)(?:/kernel)?", "spectral/{}/{}"),
        (r"learning_rate/(gen|dis|generator|critic)", "training/learning_rate_{}"),
        (r"images_per_second", "training/images_per_second"),
        (r"scores/(.+)", "score/{}"),
        (r"scores_(spread|interval)/(.+)", "score_{}/{}"),
        (r"x/sx", "critic/scores_real"),
        (r"x/sg", "critic/scores_generated"),
        (r"x/g_x_norm", "critic/gradient_norm_real"),
        (r"x/g_gen_norm", "critic/gradient_norm_generated"),
        (r"x/x_gen", "images/pixels_generated"),
        (r"Ir", "images/real"),
        (r"Ig", "images/generated"),
        (r"grad_(gen|dis)/(.+)", "gradients/{}/{}"),
        (r"(gen|dis)/(.+)", "weights/{}/{}"),
    )
)
"""The original's tags (original.md E.7) and ours of the same kind in its manner, and what a newcomer reads."""

DESCRIPTIONS = {
    "loss/generator": "What the generator minimises.",
    "loss/critic": "What the critic minimises, penalties included.",
    "loss/": "A part of the losses.",
    "mmd/kxx": "Mean kernel between the critic's scores of pairs of generated images; `_b`: bounded.",
    "mmd/kxy": "Mean kernel between the scores of generated and real images; `_b`: bounded.",
    "mmd/kyy": "Mean kernel between the scores of pairs of real images; `_b`: bounded.",
    "spectral/": "Spectral norm of a layer's kernel before it is divided by it: one power iteration a step.",
    "training/learning_rate_": "Learning rate of this network's optimiser.",
    "score/": "metrics.jsonl has the protocol of this score.",
    "score_spread/": "How far this score would scatter, in its units; metrics.jsonl says of what.",
    "score_interval/": "An end of this score's 95% interval.",
    "training/images_per_second": "Real images that training takes a second.",
    "images/real": "Real images of this step's batch.",
    "images/samples": "Images of the run's fixed codes, the same at each step.",
    "critic/scores_": "The critic's scores of a batch.",
    "critic/gradient_norm_": "Norm of the critic's gradient at each image.",
}
"""What TensorBoard says of a tag, or of all that begin so."""

_TWICE = re.compile(r"(/[^/]+)\1$")  # Keras weights that are named as their layer, such as "kernel/kernel"
_FLOAT = struct.Struct("<f")
_PLUGIN = "scalars"
_NAME = re.compile(r"(.*tfevents\.)(\d+)(\..*)")
_DT_FLOAT = 1  # of tensorflow.DataType


class Scalars(NamedTuple):
    """The points of one curve, in ascending order of steps.

    Attributes:
        steps: int64 (n,), each step once.
        values: float64 (n,).
        times: float64 (n,), the time of writing in seconds since 1970.
    """

    steps: np.ndarray
    values: np.ndarray
    times: np.ndarray


@functools.lru_cache(4096)
def readable(tag: str) -> str:
    """The name that a newcomer reads of a tag, the same for every loss: "loss/generator" of "GANLoss/gen".

    Tags that are readable already, and those that nobody has named, stay as they are.
    """
    for pattern, name in _RENAMED:
        if found := pattern.fullmatch(tag):
            made = name.format(*(_PLAYERS.get(part, part) for part in found.groups()))
            return _TWICE.sub(r"\1", made)
    return tag


def describe(tag: str) -> str | None:
    """What TensorBoard says of a readable tag; None for others."""
    return next((text for name, text in DESCRIPTIONS.items() if tag.startswith(name)), None)


class Curves(dict[str, Scalars]):
    """Curves by their readable tags, which are found under the original's tags too."""

    def __missing__(self, tag: str) -> Scalars:
        if super().__contains__(name := readable(tag)):
            return self[name]
        raise KeyError(tag)

    def __contains__(self, tag: object) -> bool:
        return super().__contains__(tag) or (isinstance(tag, str) and super().__contains__(readable(tag)))


@overload
def read_scalars(run: str | Path, tags: str) -> Scalars: ...  # type: ignore[overload-overlap]  # str is an Iterable
@overload
def read_scalars(run: str | Path, tags: Iterable[str] | None = None) -> Curves: ...
def read_scalars(run: str | Path, tags: str | Iterable[str] | None = None) -> Scalars | Curves:
    """Reads the scalars that a run has written for TensorBoard.

    A resumed run writes a new event file. As in TensorBoard, a later point of a tag replaces all earlier ones of the
    same or a higher step, in whatever file they are: what a killed run had written after its last checkpoint does not
    appear. Of a file that is still being written, or was cut off or damaged, the sound part is read.

    Args:
        run: A run directory, its folder logs/ (or any other folder of event files), or a single event file.
        tags: One tag, several, or None for all; readable ones or the original's, whichever the run has written.

    Returns:
        The points of the tag; or a dictionary of the tags, in the order of `tags` (for None of the readable names of
        all, in alphabetical order). Either name of a tag finds its curve.

    Raises:
        ConfigError: There are no event files, or none has a tag; the message names the nearest tag.
    """
    files = _event_files(Path(run))
    asked = [tags] if isinstance(tags, str) else None if tags is None else list(tags)
    curves = _curves(files, None if asked is None else frozenset(map(readable, asked)))
    if asked is None:
        return Curves({tag: _in_order(curves[tag]) for tag in sorted(curves)})
    for tag in asked:
        if readable(tag) not in curves:
            known = sorted(_curves(files, None))
            choice = f"it has {listed(known)}" if known else "it has none"
            raise ConfigError(f"{run} has no scalars with the tag {tag!r}{nearest(tag, known)}; {choice}.")
    found = Curves({tag: _in_order(curves[readable(tag)]) for tag in asked})
    return found[tags] if isinstance(tags, str) else found


def _event_files(run: Path) -> list[Path]:
    """The event files of a run, in the order of writing."""
    folder = run / "logs" if (run / "logs").is_dir() else run
    if not folder.exists():
        raise ConfigError(f"{run} does not exist; give a run directory, such as `train` prints, or its folder logs.")
    files = [folder] if folder.is_file() else [path for path in folder.glob("*tfevents*") if path.is_file()]
    if not files:
        raise ConfigError(f"{folder} holds no event files; give a run directory, such as `train` prints.")
    return sorted(files, key=_order)


def _order(path: Path) -> tuple[float, float, str]:
    """The place of a file among others: by the whole seconds in its name, then by the time of its first event."""
    named, start = _NAME.fullmatch(path.name), next((event.wall_time for event in _events(path)), np.inf)
    return (int(named[2]) if named else start, start, path.name)


def date_back(folder: Path, now: int) -> None:
    """Renames a folder's event files that are from the future, so that a new one comes after them in every reader.

    Where a clock was set back, the names of files tell another order than that of writing.

    Args:
        folder: Folder of the event files, which nobody writes.
        now: Present time in seconds.
    """
    for file in sorted(folder.glob("*tfevents*"), key=_order, reverse=True):
        if named := _NAME.fullmatch(file.name):
            seconds = int(named[2])
            now = now - 1 if seconds > now else seconds
            if now < seconds:
                file.rename(file.with_name(f"{named[1]}{now}{named[3]}"))


def _curves(files: Iterable[Path], wanted: frozenset[str] | None) -> dict[str, list[tuple[int, float, float]]]:
    """(step, value, time) of every point, in the order of writing, by readable tag.

    A tag's first event may be the only one that says that it is a scalar, so this is remembered.
    """
    curves: dict[str, list[tuple[int, float, float]]] = {}
    scalars: set[str] = set()
    for path in files:
        for event in _events(path):
            for summary in event.summary.value:
                tag = readable(summary.tag)
                if wanted is not None and tag not in wanted:
                    continue
                kind = summary.WhichOneof("value")
                if kind == "tensor":
                    if summary.metadata.plugin_data.plugin_name == _PLUGIN:
                        scalars.add(tag)
                    value = _number(summary.tensor) if tag in scalars else None
                else:
                    value = summary.simple_value if kind == "simple_value" else None
                if value is not None:
                    curves.setdefault(tag, []).append((event.step, value, event.wall_time))
    return curves


def _number(tensor: Any) -> float | None:
    """The value of a TensorProto of one number; None if it is another tensor."""
    # The tensors of tf.summary.scalar are read without an array, which would take half of the time.
    if tensor.dtype == _DT_FLOAT and len(tensor.tensor_content) == _FLOAT.size:
        return _FLOAT.unpack(tensor.tensor_content)[0]
    from tensorboard.util.tensor_util import make_ndarray

    try:
        array = make_ndarray(tensor)
        return float(array.item()) if array.size == 1 else None
    except (TypeError, ValueError):
        return None


def _in_order(points: list[tuple[int, float, float]]) -> Scalars:
    """The points that no later one replaces."""
    steps = np.array([step for step, _, _ in points], np.int64)
    values, times = np.array([point[1:] for point in points], np.float64).T
    # A point stays if all that were written after it are of higher steps.
    lowest_after = np.minimum.accumulate(steps[::-1])[::-1]
    stays = np.append(steps[:-1] < lowest_after[1:], True)
    return Scalars(steps[stays], values[stays], times[stays])


def _events(path: Path) -> Iterator[Any]:
    """The sound tensorboard.Event messages of a file."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    try:
        for payload in payloads(path):
            if payload is not None:
                with contextlib.suppress(DecodeError):
                    yield Event.FromString(payload)
    except RecordError:  # a file that is still being written, or damaged: what is before that place is read
        return
