"""Files of records in the original's format: one tf.train.Example per image, as `records` describes it.

Every checksum is verified whenever a record is read. TensorFlow is not needed.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mmdgan.core.crc import masked_crcs
from mmdgan.core.errors import DataError
from mmdgan.data.records.example import FRAME, HEAD, Layout, head
from mmdgan.data.records.framing import (
    REMEDY,
    Frames,
    MisframedError,
    RecordError,
    corrupt,
    guess,
    read_pieces,
    read_record,
    read_rows,
    size_of,
    walk_all,
)
from mmdgan.data.sidecar import Shard

SUFFIX = ".tfrecords"

_BLOCK = 2**24  # bytes of images between two looks at the clock
_EXTRA = 2**24  # bytes that a record may hold beside the image
_LONG = 2**14  # bytes of an image from which on labels are read without it
_LAYOUTS = 8  # that are kept per length of a record
_PROGRESS_SECONDS = 2.0


class RecordFile:
    """A file of records, read by their numbers.

    It can be pickled and used by several threads at once: no file stays open between two calls.

    Attributes:
        path: the file.
        image_bytes: C*H*W of an image.
        shard: what the sidecar says of it, or None.
    """

    def __init__(self, path: str | Path, image_bytes: int, shard: Shard | None = None) -> None:
        """Looks at the file's size only, if that is as it should be; what is in it is read when it is needed.

        Raises:
            DataError: a missing file, or one of another size than the sidecar says.
        """
        self.path = Path(path)
        self.image_bytes = image_bytes
        self.shard = shard
        self._frames: Frames | None = None
        self._labelled = False
        self._layouts: dict[int, list[Layout]] = {}
        size = size_of(self.path)
        if shard is not None and shard.bytes not in (None, size):
            self._checked(walk_all(self.path))  # which says better what is wrong
            raise DataError(f"{self.path} has {size:,} bytes where {shard.bytes:,} are expected; {REMEDY}.")

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_frames": None, "_layouts": {}}

    @property
    def count(self) -> int:
        """The number of records: the sidecar's if the file has the size that it says, else the file's own.

        Raises:
            DataError: as `check`.
        """
        if self.shard is not None and self.shard.bytes is not None:
            return self.shard.count
        return self.check().count

    @property
    def labelled(self) -> bool:
        """Whether the first record has a label, and so must all; False for an empty file.

        Raises:
            DataError: as `check`.
        """
        self.check()
        return self._labelled

    def check(self) -> Frames:
        """Checks once the first record, and that the lengths of all add up to the file and to the expected count.

        Raises:
            DataError: a file that is damaged or foreign, or holds another number of records.
        """
        if self._frames is None:
            if size_of(self.path):
                expected = None if self.shard is None else self.shard.count
                frames = self._checked(guess(self.path, expected))
                self._labelled = self._learn(frames, 0).labelled
            else:
                frames = self._checked(Frames(0))
            self._frames = frames
        return self._frames

    def read(self, numbers: np.ndarray, images: np.ndarray | None, labels: np.ndarray) -> bool:
        """Reads some records, in the order in which they stand in the file, neighbours at once.

        Args:
            numbers: int64 (n,), counted from 0, in any order.
            images: filled, uint8 (n, image_bytes); None to read the labels only.
            labels: filled, int64 (n,); left alone without labels.

        Returns:
            whether there are labels.

        Raises:
            DataError: a record that is corrupt, of another length or foreign, or that has a label where the first
                has none, or the other way round.
            IndexError: a number outside the file.
        """
        self._read(self._gather, np.asarray(numbers, np.int64), images, labels)
        return self._labelled

    def scan_labels(self) -> np.ndarray | None:
        """The labels int64 (count,) of all records, or None.

        Of long records only the bytes around the images are read, whose checksums cannot be verified then.

        Raises:
            DataError: as `read`.
        """
        count = self.check().count
        if not self._labelled:
            return None
        labels = np.empty(count, np.int64)
        for part in _blocks(count, self.image_bytes):
            read = self._gather if self.image_bytes < _LONG else self._scan
            self._read(read, np.arange(part.start, part.stop), None, labels[part])
        return labels

    def _read(self, read: Callable, numbers: np.ndarray, *into: np.ndarray | None) -> None:
        """Reads with `_gather` or `_scan`, a second time if not all records have the length that they seemed to."""
        frames = self.check()
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < frames.count:
            raise IndexError(f"{self.path} has the records 0 to {frames.count - 1}")
        try:
            read(frames, numbers, *into)
        except MisframedError:
            self._frames = self._checked(walk_all(self.path))  # names what is wrong, if anything is
            try:
                read(self._frames, numbers, *into)
            except MisframedError:
                raise DataError(f"{self.path} was changed while it was read; start again.") from None

    def _gather(self, frames: Frames, numbers: np.ndarray, images: np.ndarray | None, labels: np.ndarray) -> None:
        """Reads whole records."""
        places = np.argsort(numbers, kind="stable")
        numbers = numbers[places]
        starts, stops = frames.bounds(numbers)
        self._check_lengths(numbers, stops - starts)
        for some, rows in read_rows(self.path, starts, stops):
            self._take(rows, numbers[some], places[some], images, labels)

    def _scan(self, frames: Frames, numbers: np.ndarray, images: None, labels: np.ndarray) -> None:
        """Reads the labels of records, in the order of the file, from the bytes around their images."""
        starts, stops = frames.bounds(numbers)
        self._check_lengths(numbers, stops - starts)
        for size in np.unique(stops - starts):
            chosen = np.flatnonzero(stops - starts == size)
            length = int(size) - FRAME
            around = length - self.image_bytes
            heads = read_pieces(self.path, starts[chosen], HEAD + around)
            tails = read_pieces(self.path, stops[chosen] + (HEAD - FRAME) - around, around)
            if (heads[:, :HEAD] != np.frombuffer(head(length), np.uint8)).any():
                raise MisframedError
            for layout, some in self._sorted(heads[:, HEAD:], tails, length, numbers[chosen]):
                labels[chosen[some]] = layout.labels(heads[some, HEAD:], tails[some])

    def _take(
        self,
        rows: np.ndarray,
        numbers: np.ndarray,
        places: np.ndarray,
        images: np.ndarray | None,
        labels: np.ndarray,
    ) -> None:
        """Verifies records of one length, uint8 (k, length), and puts images and labels into their places."""
        data = rows[:, HEAD : HEAD - FRAME]
        length = data.shape[1]
        if (rows[:, :HEAD] != np.frombuffer(head(length), np.uint8)).any():
            raise MisframedError
        stored = np.ascontiguousarray(rows[:, HEAD - FRAME :]).view("<u4")[:, 0]
        wrong = masked_crcs(data, len(data)) != stored
        if wrong.any():
            raise corrupt(self.path, numbers[wrong].min())
        around = length - self.image_bytes
        for layout, some in self._sorted(data[:, :around], data[:, length - around :], length, numbers):
            chosen = slice(None) if len(some) == len(places) else some
            where = _as_slice(places[chosen])
            if images is not None:
                images[where] = data[some, layout.start : layout.start + self.image_bytes]
            if layout.labelled:
                labels[where] = layout.labels(data[some, :around], data[some, length - around :])

    def _sorted(
        self, heads: np.ndarray, tails: np.ndarray, length: int, numbers: np.ndarray
    ) -> Iterator[tuple[Layout, np.ndarray]]:
        """Records of one length by their layouts, with the places (k,) of those that have it, ascending."""
        layouts = self._layouts.setdefault(length, [])
        left, tried = np.arange(len(numbers)), 0
        while len(left):
            if tried < len(layouts):
                layout, tried = layouts[tried], tried + 1
            else:
                layout = self._learn(self.check(), int(numbers[left[0]]))
                if layout.labelled != self._labelled:
                    has = ("no label", "one") if self._labelled else ("a label", "none")
                    raise RecordError(self.path, int(numbers[left[0]]), f"has {has[0]} 'y' where record 0 has {has[1]}")
                if len(layouts) < _LAYOUTS:
                    layouts.append(layout)
                    tried += 1
                if not layout.matches(heads[left[:1]], tails[left[:1]]).all():
                    raise MisframedError  # the record was another one a moment ago
            fits = layout.matches(heads[left], tails[left])
            if fits.any():
                yield layout, left[fits]
                left = left[~fits]

    def _learn(self, frames: Frames, number: int) -> Layout:
        """Reads one record by itself, and says what is wrong with it if anything is."""
        starts, stops = frames.bounds(np.array([number]))
        self._check_lengths([number], stops - starts, longest_only=True)
        try:
            layout = Layout(read_record(self.path, frames, number))
        except ValueError as error:
            raise RecordError(self.path, number, str(error)) from error
        if layout.image_bytes != self.image_bytes:
            expected = f"where {self.image_bytes} are expected"
            raise RecordError(self.path, number, f"holds an image of {layout.image_bytes} bytes {expected}")
        return layout

    def _check_lengths(
        self, numbers: Sequence[int] | np.ndarray, sizes: np.ndarray, longest_only: bool = False
    ) -> None:
        """Raises a DataError when a record is too short for an image, or longer than is read into memory."""
        long = sizes > self.image_bytes + FRAME + _EXTRA
        if long.any():
            what = f"has {sizes[long][0]:,} bytes where an image of {self.image_bytes:,} is expected"
            raise RecordError(self.path, int(np.asarray(numbers)[long][0]), what)
        short = sizes < self.image_bytes + FRAME
        if short.any() and not longest_only:
            self._learn(self.check(), int(np.asarray(numbers)[short][0]))

    def _checked(self, frames: Frames) -> Frames:
        if self.shard is not None and self.shard.count != frames.count:
            raise _miscounted(self.path, frames.count, self.shard.count)
        return frames


def read_records(
    files: Sequence[Path],
    shape: tuple[int, int, int],
    shards: Sequence[Shard] | None = None,
    progress: Callable[[str], object] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads files of records into memory.

    Args:
        files: in the order of their images.
        shape: (C, H, W) of one image.
        shards: what the sidecar says of the files.
        progress: takes a line of text every two seconds.

    Returns:
        images uint8 (N, C, H, W), and labels int64 (N,) or None.

    Raises:
        DataError: a file that is missing, empty or not as its shard says, a record that is corrupt, of another
            length or foreign, labels in some of the records only. The file and the record (counted from 0) are
            named.
    """
    size = math.prod(shape)
    known: Sequence[Shard | None] = shards or [None] * len(files)
    sources = [RecordFile(file, size, shard) for file, shard in zip(files, known, strict=True)]
    for source in sources:
        if source.check().count == 0 and source.shard is None:
            raise _miscounted(source.path, 0, None)
    total = sum(source.check().count for source in sources)
    labelled = {source.labelled for source in sources if source.check().count}
    if len(labelled) > 1:
        raise DataError(f"Some of the files in {files[0].parent} hold labels and some do not.")
    try:
        images, labels = np.empty((total, size), np.uint8), np.empty(total, np.int64)
    except MemoryError as error:
        raise DataError(f"The {total:,} images in {files[0].parent} do not fit into memory.") from error
    done, last = 0, time.monotonic()
    for source in sources:
        for part in _blocks(source.check().count, size):
            into = slice(done, done + part.stop - part.start)
            source.read(np.arange(part.start, part.stop), images[into], labels[into])
            done = into.stop
            if progress is not None and time.monotonic() - last >= _PROGRESS_SECONDS:
                progress(f"Read {done:,} of {total:,} images from {files[0].parent}")
                last = time.monotonic()
    return images.reshape(total, *shape), labels if True in labelled else None


def missing_shards(files: Sequence[Path]) -> dict[Path, Path]:
    """The files that are missing, each with one that says by its name `...-<shard>-of-<shards>` that it should be."""
    missing: dict[Path, Path] = {}
    for file in files:
        match = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})", file.stem)
        if match is None:
            continue
        for shard in range(int(match[2])):
            other = file.with_name(f"{match[1]}-{shard:05d}-of-{match[2]}{SUFFIX}")
            if not other.is_file():
                missing.setdefault(other, file)
    return missing


def check_shards(files: Sequence[Path]) -> None:
    """Raises a DataError when one of the files `...-<shard>-of-<shards>.tfrecords` is missing."""
    for other, file in missing_shards(files).items():
        raise DataError(f"{other} is missing beside {file.name}; convert the data set again.")


def count_records(file: Path) -> int:
    """Counts the records of a file by their lengths, without reading their data.

    Raises:
        DataError: a missing file, or one whose lengths do not add up to its size.
    """
    return walk_all(file).count


def _blocks(count: int, image_bytes: int) -> Iterator[slice]:
    """Cuts images into blocks between which a person can be told how far it is."""
    step = max(1, _BLOCK // max(1, image_bytes))
    return (slice(start, min(count, start + step)) for start in range(0, count, step))


def _miscounted(path: Path, found: int, expected: int | None) -> DataError:
    wanted = "some" if expected is None else expected
    return DataError(f"{path} holds {found} records where {wanted} are expected; convert the data set again.")


def _as_slice(places: np.ndarray) -> slice | np.ndarray:
    """Consecutive places as a slice, which copies faster."""
    first, last = int(places[0]), int(places[-1])
    if last - first + 1 == len(places) and (np.diff(places) == 1).all():
        return slice(first, last + 1)
    return places
