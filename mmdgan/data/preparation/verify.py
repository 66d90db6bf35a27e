"""Verifies a data set on the disk: everything that its sidecar says, and every record."""

from __future__ import annotations

import itertools
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.core.progress import Say, Ticker, log
from mmdgan.core.text import duration
from mmdgan.core.workers import available_cores
from mmdgan.data.preparation.convert import FOLDER
from mmdgan.data.records.example import Layout
from mmdgan.data.records.framing import (
    REMEDY,
    Frames,
    MisframedError,
    RecordError,
    corrupt,
    read_record,
    sha256_of,
    size_of,
    walk,
)
from mmdgan.data.records.reader import SUFFIX, RecordFile, blocks, missing_shards
from mmdgan.data.sidecar import Shard, Sidecar, read_sidecar, sidecar_path

_BLOCK = 2**22  # bytes between two reports of progress
_REPORT_SECONDS = 2.0


@dataclass(frozen=True)
class Report:
    """The result of a verification."""

    name: str  # the data set's name
    images: int  # number of records that were found
    shards: int  # number of files that there are or should be
    problems: tuple[str, ...]  # one sentence each, in the order of the files; empty when all is well
    notes: tuple[str, ...] = ()  # what else the user may want to know, such as files that belong to no shard


@dataclass(frozen=True)
class _Expected:
    """What the records of a file should be; None where that is unknown."""

    image_bytes: int
    labels: bool | None = None
    num_class: int | None = None
    shard: Shard | None = None


@dataclass
class _Checked:
    """The result for one file; `labels` is None if no record is sound."""

    count: int
    problems: list[str]
    labels: bool | None = None


def verify(folder: str | Path, say: Say = log) -> Report:
    """Reads a whole data set and lists all that is wrong with it.

    Always verified: each record has right checksums and is a tf.train.Example with an image of the right length
    (without a sidecar: the first one's); all or no records have labels, within the classes. With a sidecar: each file
    is there and has its size, SHA-256 and number of records.

    Args:
        folder: The folder of one data set; or a file of records.
        say: Takes the notes, and a line of progress every two seconds.

    Raises:
        DataError: There is nothing to verify.
    """
    folder = Path(folder)
    if folder.is_file():
        return _verify_loose(folder.stem, [folder], [], [], say)
    name = _name(folder)
    files = sorted(path for path in folder.glob(f"[!.]*{SUFFIX}") if path.is_file())
    partial = folder / FOLDER
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
            problems.append(f"{folder} holds an unfinished conversion; run the command that began it again.")
        elif not problems:
            notes.append(f"{folder} has no sidecar: what the records should be is taken from the first of them.")
        return _verify_loose(name, files, problems, notes, say)
    return _verify_prepared(sidecar, folder, problems, say)


def _verify_prepared(sidecar: Sidecar, folder: Path, problems: list[str], say: Say) -> Report:
    expected = _Expected(math.prod(sidecar.shape), sidecar.labels, len(sidecar.class_names))
    owned = {shard.file for shard in sidecar.shards}
    others = [path for path in sorted(folder.iterdir()) if SUFFIX in path.name and path.name not in owned]
    notes = [f"{path} belongs to no shard; it is not used." for path in others]
    if (folder / FOLDER).exists():
        notes.append(
            f"{folder / FOLDER} is left over from a conversion; the command that made the data set removes it."
        )
    found = _check_all(
        [folder / shard.file for shard in sidecar.shards],
        [replace(expected, shard=shard) for shard in sidecar.shards],
        notes,
        say,
    )
    problems = problems + [problem for checked in found for problem in checked.problems]
    return Report(sidecar.name, sum(checked.count for checked in found), len(found), tuple(problems), tuple(notes))


def _verify_loose(name: str, files: list[Path], problems: list[str], notes: list[str], say: Say) -> Report:
    """Verifies records without a sidecar."""
    missing = dict.fromkeys(f"{path} is missing; {REMEDY}." for path in missing_shards(files))
    found = _check_all(files, [_Expected(_image_bytes(files))] * len(files), notes, say)
    problems = [*problems, *missing, *(problem for checked in found for problem in checked.problems)]
    if {True, False} <= {checked.labels for checked in found}:
        problems.append(f"Some of the files in {files[0].parent} hold labels and some do not; {REMEDY}.")
    return Report(name, sum(checked.count for checked in found), len(files), tuple(problems), tuple(notes))


def _name(folder: Path) -> str:
    """The data set's name: the folder's, or that of the only JSON file in one that was renamed."""
    if not folder.is_dir():
        raise DataError(f"There is nothing to verify: {folder} does not exist.")
    sidecars = [path.stem for path in folder.glob("[!.]*.json")]
    name = folder.resolve().name
    return sidecars[0] if len(sidecars) == 1 and name not in sidecars else name


def _contradictions(sidecar: Sidecar, path: Path) -> Iterator[str]:
    """What is wrong within a sidecar."""
    if sidecar.labels != bool(sidecar.class_names):
        said = "labels but no names of classes" if sidecar.labels else "names of classes but no labels"
        yield f"{path} says that there are {said}; {REMEDY}."
    for name, count in Counter(shard.file for shard in sidecar.shards).items():
        if count > 1:
            yield f"{path} lists {name} more than once; {REMEDY}."
    if sidecar.shape[0] not in (1, 3):
        yield f"{path} says that images have the shape {sidecar.shape}, which cannot be; {REMEDY}."


def _check_all(files: Sequence[Path], expected: Sequence[_Expected], notes: Sequence[str], say: Say) -> list[_Checked]:
    """Verifies files on all cores: reading and SHA-256 take most of the time."""
    for note in notes:
        say(note)
    total, done = sum(file.stat().st_size for file in files if file.is_file()), 0
    ticker, lock = Ticker(_REPORT_SECONDS), threading.Lock()

    def report(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            if ticker.due():
                left = duration(max(0, total - done) * ticker.elapsed / done)
                say(f"Verified {done / 1e6:,.0f} of {total / 1e6:,.0f} MB, {left} left")

    pool = ThreadPoolExecutor(available_cores())
    try:
        return list(pool.map(_check_file, files, expected, [report] * len(files)))
    finally:
        pool.shutdown(cancel_futures=True)


def _check_file(path: Path, expected: _Expected, report: Callable[[int], object]) -> _Checked:
    checked = _Checked(0, [])
    try:
        size = size_of(path)
        checked.problems += _shard_problems(path, size, expected.shard)
        frames, sound = walk(path)
        records = _FoundRecords(path, expected, frames if sound else _regular(frames, size, expected.shard))
        checked.count = records.frames.count
        checked.problems += records.problems(report)
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
    if shard is not None and shard.sha256 not in (None, sha256_of(path)):
        return [f"{path} has another SHA-256 than its sidecar says; {REMEDY}."]
    return []


def _regular(frames: Frames, size: int, shard: Shard | None) -> Frames:
    """The records of a file with a damaged length: all, if they have one length, else those before it."""
    if shard is not None and shard.count and size % shard.count == 0:
        stride = size // shard.count
        if frames.count == 0 or np.all(np.diff(np.asarray(frames.ends)) == stride):
            return Frames(shard.count, stride)
    return frames


class _FoundRecords(RecordFile):
    """The records of a file that were found, whatever is wrong with them.

    Attributes:
        frames: Where they are.
        labels: Whether the first sound one has a label; None if there is no sound one.
    """

    def __init__(self, path: Path, expected: _Expected, frames: Frames) -> None:
        super().__init__(path, expected.image_bytes)
        self.expected = expected
        self.frames = self._frames = frames
        self.labels: bool | None = None

    def problems(self, report: Callable[[int], object]) -> Iterator[str]:
        """What is wrong, in the order of the records; the same fault of neighbours is reported once."""
        self.labels = self._first_labels()
        self._labelled = bool(self.labels)
        if self.labels is not None and self.expected.labels not in (None, self.labels):
            has, says = ("no labels", "there are") if self.expected.labels else ("labels", "there are none")
            yield f"{self.path} holds {has} where its sidecar says that {says}; {REMEDY}."
        numbered = enumerate(self._faults(report))
        for _, run in itertools.groupby(numbered, lambda pair: (pair[1].what, pair[1].number - pair[0])):
            first, *others = (fault for _, fault in run)
            yield _sentence(first, len(others))

    def _first_labels(self) -> bool | None:
        for number in range(self.frames.count):
            try:
                return self._learn(self.frames, number).labelled
            except RecordError:
                continue
        return None

    def _faults(self, report: Callable[[int], object]) -> Iterator[RecordError]:
        for part in blocks(self.frames.count, self.image_bytes, _BLOCK):
            numbers = np.arange(part.start, part.stop)
            yield from self._block_faults(numbers)
            starts, stops = self.frames.bounds(numbers)
            report(int((stops - starts).sum()))

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


def _sentence(first: RecordError, more: int) -> str:
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
