"""Checks a data set on the disk: everything that its sidecar says, and every record."""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.core.text import duration
from mmdgan.data.records.example import Layout
from mmdgan.data.records.framing import (
    REMEDY,
    Frames,
    MisframedError,
    RecordError,
    corrupt,
    opened,
    read_record,
    size_of,
    walk,
)
from mmdgan.data.records.reader import SUFFIX, RecordFile, missing_shards
from mmdgan.data.sidecar import Shard, Sidecar, read_sidecar, sidecar_path

PARTIAL = ".partial"
_BLOCK = 2**22  # bytes between two looks at the clock
_PROGRESS_SECONDS = 2.0


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        name: the data set's.
        images: the number of records that could be found.
        shards: the number of files that there are or should be.
        problems: one sentence each, in the order of the files; none when all is well.
        notes: what a person may want to know besides, such as files that belong to no shard.
    """

    name: str
    images: int
    shards: int
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Expected:
    """What the records of a file should be; None where that is not known."""

    image_bytes: int
    labels: bool | None = None
    num_class: int | None = None
    shard: Shard | None = None


@dataclass
class _Checked:
    """What was found in one file; `labels` is None where no record is sound."""

    count: int
    problems: list[str]
    labels: bool | None = None


def verify(folder: str | Path, progress: Callable[[str], object] = print) -> Report:
    """Reads a whole data set and lists all that is wrong with it.

    With a sidecar: each of its files is there, has its size, SHA-256 and number of records. Always: each record
    has sound checksums and is a tf.train.Example with an image of the right length (without a sidecar: the
    first one's), with labels in all or none of them and within the classes.

    Args:
        folder: of one data set; or a file of records.
        progress: takes the notes, and how far it is every two seconds.

    Returns:
        what was found.

    Raises:
        DataError: there is nothing to verify.
    """
    folder = Path(folder)
    if folder.is_file():
        return _verify_loose(folder.stem, [folder], [], [], progress)
    name = _name(folder)
    files = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())
    partial = folder / PARTIAL
    if not (files or partial.is_dir() or sidecar_path(folder, name).is_file()):
        raise DataError(f"There are no records to verify in {folder}; name the folder of one prepared data set.")
    sidecar, problems, notes = None, [], []
    try:
        sidecar = read_sidecar(folder, name)
    except DataError as error:
        problems.append(str(error))
    if sidecar is not None:
        problems += _contradictions(sidecar, sidecar_path(folder, name))
    if sidecar is None:
        if not problems and partial.is_dir():
            problems.append(f"{folder} holds an unfinished conversion; give the command that began it once more.")
        elif not problems:
            notes.append(f"{folder} has no sidecar: what the records should be is taken from the first of them.")
        return _verify_loose(name, files, problems, notes, progress)
    return _verify_prepared(sidecar, folder, problems, progress)


def _verify_prepared(sidecar: Sidecar, folder: Path, problems: list[str], progress: Callable[[str], object]) -> Report:
    expected = _Expected(math.prod(sidecar.shape), sidecar.labels, len(sidecar.class_names))
    owned = {shard.file for shard in sidecar.shards}
    others = [path for path in sorted(folder.iterdir()) if SUFFIX in path.name and path.name not in owned]
    notes = [f"{path} belongs to no shard; it is not used." for path in others]
    if (folder / PARTIAL).exists():
        notes.append(
            f"{folder / PARTIAL} is left over from a conversion; the command that made the data set removes it."
        )
    found = _check_all(
        [folder / shard.file for shard in sidecar.shards],
        [replace(expected, shard=shard) for shard in sidecar.shards],
        notes,
        progress,
    )
    problems = problems + [problem for checked in found for problem in checked.problems]
    return Report(sidecar.name, sum(checked.count for checked in found), len(found), tuple(problems), tuple(notes))


def _verify_loose(
    name: str, files: list[Path], problems: list[str], notes: list[str], progress: Callable[[str], object]
) -> Report:
    """Checks records of which nothing is known."""
    missing = dict.fromkeys(f"{path} is missing; {REMEDY}." for path in missing_shards(files))
    found = _check_all(files, [_Expected(_image_bytes(files))] * len(files), notes, progress)
    problems = [*problems, *missing, *(problem for checked in found for problem in checked.problems)]
    if {True, False} <= {checked.labels for checked in found}:
        problems.append(f"Some of the files in {files[0].parent} hold labels and some do not; {REMEDY}.")
    return Report(name, sum(checked.count for checked in found), len(files), tuple(problems), tuple(notes))


def _name(folder: Path) -> str:
    """The data set's name: the folder's, or that of the only JSON file in one that was renamed."""
    if not folder.is_dir():
        raise DataError(f"There is nothing to verify: {folder} does not exist.")
    sidecars = [path.stem for path in folder.glob("*.json")]
    name = folder.resolve().name
    return sidecars[0] if len(sidecars) == 1 and name not in sidecars else name


def _contradictions(sidecar: Sidecar, path: Path) -> Iterator[str]:
    """What is wrong with a sidecar by itself."""
    if sidecar.labels != bool(sidecar.class_names):
        said = "labels but no names of classes" if sidecar.labels else "names of classes but no labels"
        yield f"{path} says that there are {said}; {REMEDY}."
    names = [shard.file for shard in sidecar.shards]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"{path} lists {name} more than once; {REMEDY}."
    if sidecar.shape[0] not in (1, 3):
        yield f"{path} says that images have the shape {sidecar.shape}, which cannot be; {REMEDY}."


def _check_all(
    files: Sequence[Path], expected: Sequence[_Expected], notes: Sequence[str], progress: Callable[[str], object]
) -> list[_Checked]:
    """Checks files on all cores, since most of the time goes into reading and SHA-256."""
    for note in notes:
        progress(note)
    meter = _Meter(sum(file.stat().st_size for file in files if file.is_file()), progress)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        return list(pool.map(_check_file, files, expected, [meter] * len(files)))
    finally:
        pool.shutdown(cancel_futures=True)


def _check_file(path: Path, expected: _Expected, meter: _Meter) -> _Checked:
    checked = _Checked(0, [])
    try:
        size = size_of(path)
        checked.problems += _shard_problems(path, size, expected.shard)
        frames, sound = walk(path)
        records = _FoundRecords(path, expected, frames if sound else _regular(frames, size, expected.shard))
        checked.count = records.frames.count
        checked.problems += records.problems(meter)
        checked.labels = records.labels
    except DataError as error:
        checked.problems.append(str(error))
        return checked
    wanted = expected.shard.count if expected.shard is not None else checked.count or "some"
    if not sound and checked.count == frames.count:
        fault = str(corrupt(path, checked.count)).rstrip(".")
        checked.problems.append(f"{fault}, and what comes after it was not checked.")
    elif checked.count != wanted:
        checked.problems.append(f"{path} holds {checked.count} records where {wanted} are expected; {REMEDY}.")
    return checked


def _shard_problems(path: Path, size: int, shard: Shard | None) -> list[str]:
    """What is wrong with a file as a whole."""
    if shard is not None and shard.bytes not in (None, size):
        return [f"{path} has {size:,} bytes where {shard.bytes:,} are expected; {REMEDY}."]
    if shard is not None and shard.sha256 not in (None, _sha256(path)):
        return [f"{path} has another SHA-256 than its sidecar says; {REMEDY}."]
    return []


def _regular(frames: Frames, size: int, shard: Shard | None) -> Frames:
    """The records of a file in which a length is damaged: all, if they have one length, else those before it."""
    if shard is not None and shard.count and size % shard.count == 0:
        stride = size // shard.count
        if frames.count == 0 or np.all(np.diff(np.asarray(frames.ends)) == stride):
            return Frames(shard.count, stride)
    return frames


class _FoundRecords(RecordFile):
    """The records of a file that could be found, whatever is wrong with them.

    Attributes:
        frames: where they are.
        labels: whether the first sound one has a label; None if there is no sound one.
    """

    def __init__(self, path: Path, expected: _Expected, frames: Frames) -> None:
        super().__init__(path, expected.image_bytes)
        self.expected = expected
        self.frames = self._frames = frames
        self.labels: bool | None = None

    def problems(self, meter: _Meter) -> Iterator[str]:
        """What is wrong, in the order of the records; the same fault in neighbours is said once."""
        self.labels = self._first_labels()
        self._labelled = bool(self.labels)
        if self.labels is not None and self.expected.labels not in (None, self.labels):
            has, says = ("no labels", "there are") if self.expected.labels else ("labels", "there are none")
            yield f"{self.path} holds {has} where its sidecar says that {says}; {REMEDY}."
        first, more = None, 0
        for fault in self._faults(meter):
            if first is not None and fault.what == first.what and fault.number == first.number + more + 1:
                more += 1
                continue
            if first is not None:
                yield _said(first, more)
            first, more = fault, 0
        if first is not None:
            yield _said(first, more)

    def _first_labels(self) -> bool | None:
        for number in range(self.frames.count):
            try:
                return self._learn(self.frames, number).labelled
            except RecordError:
                continue
        return None

    def _faults(self, meter: _Meter) -> Iterator[RecordError]:
        step = max(1, _BLOCK // max(1, self.image_bytes))
        for start in range(0, self.frames.count, step):
            numbers = np.arange(start, min(self.frames.count, start + step))
            yield from self._block_faults(numbers)
            starts, stops = self.frames.bounds(numbers)
            meter.add(int((stops - starts).sum()))

    def _block_faults(self, numbers: np.ndarray) -> Iterator[RecordError]:
        labels = np.zeros(len(numbers), np.int64)
        faults = {}
        try:
            self._gather(self.frames, numbers, None, labels)
        except (RecordError, MisframedError):
            for place, number in enumerate(numbers):
                try:
                    self._gather(self.frames, numbers[place : place + 1], None, labels[place : place + 1])
                except RecordError as fault:
                    faults[place] = fault
                except MisframedError:
                    faults[place] = corrupt(self.path, number)
        num_class = self.expected.num_class
        if self.labels and num_class:
            for place in np.flatnonzero((labels < 0) | (labels >= num_class)).tolist():
                what = f"has the label {labels[place]} where {num_class} classes need 0 to {num_class - 1}"
                faults.setdefault(place, RecordError(self.path, numbers[place], what))
        return (faults[place] for place in sorted(faults))


def _said(first: RecordError, more: int) -> str:
    if not more:
        return str(first)
    return f"{str(first).rstrip('.')} (and so with the {more:,} record{'s' * (more > 1)} after it)."


def _image_bytes(files: Sequence[Path]) -> int:
    """The length of the first image that can be read; 0 if none can."""
    for path in files:
        frames = walk(path)[0]
        for number in range(frames.count):
            try:
                return Layout(read_record(path, frames, number)).image_bytes
            except (RecordError, ValueError):
                continue
    return 0


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with opened(path) as file:
        while content := os.read(file, _BLOCK):
            digest.update(content)
    return digest.hexdigest()


class _Meter:
    """Says how far the reading is."""

    def __init__(self, total: int, progress: Callable[[str], object]) -> None:
        self._total, self._progress = total, progress
        self._lock = threading.Lock()
        self._begun = self._last = time.monotonic()
        self._done = 0

    def add(self, count: int) -> None:
        """So many bytes more."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._last < _PROGRESS_SECONDS:
                return
            self._last = now
            left = max(0, self._total - self._done) * (now - self._begun) / self._done
            sizes = f"{self._done / 1e6:,.0f} of {self._total / 1e6:,.0f} MB"
            self._progress(f"Verified {sizes}, {duration(left)} left")
