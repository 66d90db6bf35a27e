"""Files of records in the original's format, read by number: one tf.train.Example per image (`records.example`).

Every checksum is verified whenever a record is read. TensorFlow is not needed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.core.progress import Say, Ticker, log
from mmdgan.data.records.example import Layout
from mmdgan.data.records.framing import (
    FRAME,
    HEAD,
    REMEDY,
    Frames,
    MisframedError,
    RecordError,
    corrupt,
    guess,
    head,
    masked_crcs,
    read_pieces,
    read_record,
    read_rows,
    size_of,
    walk_all,
)
from mmdgan.data.sidecar import Shard

SUFFIX = ".tfrecords"

_BLOCK = 2**24  # bytes of images between two reports of progress
_EXTRA = 2**24  # bytes that a record may hold around the image
_LONG = 2**14  # bytes of an image from which on labels are read without it
_LAYOUTS = 8  # that are kept per length of a record
_REPORT_SECONDS = 2.0


class RecordFile:
    """A file of records.

    It can be pickled and used by several threads at once: no file stays open between two calls. Every method raises
    a DataError for a file that is damaged or foreign, or holds another number of records than the sidecar says.

    Attributes:
        path: The file.
        image_bytes: C*H*W of an image.
        shard: The sidecar's entry, or None.
    """

    def __init__(self, path: str | Path, image_bytes: int, shard: Shard | None = None) -> None:
        """Compares the file's size with the sidecar's; the content is read when it is needed."""
        self.path = Path(path)
        self.image_bytes = image_bytes
        self.shard = shard
        self._frames: Frames | None = None
        self._labelled = False
        self._layouts: dict[int, list[Layout]] = {}
        size = size_of(self.path)
        if shard is not None and shard.bytes not in (None, size):
            self._checked(walk_all(self.path))  # names the fault more precisely
            raise DataError(f"{self.path} has {size:,} bytes where {shard.bytes:,} are expected; {REMEDY}.")

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_frames": None, "_layouts": {}}

    @property
    def count(self) -> int:
        """The number of records: the sidecar's if it gives the file's size too, else the file's own."""
        if self.shard is not None and self.shard.bytes is not None:
            return self.shard.count
        return self.check().count

    @property
    def labelled(self) -> bool:
        """Whether the first record has a label, and so must all; False for an empty file."""
        self.check()
        return self._labelled

    def check(self) -> Frames:
        """Checks once the first record, and that all lengths add up to the file's size and the expected count."""
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
        """Reads records in the order of the file, neighbours at once.

        Args:
            numbers: int64 (n,), the records, counted from 0, in any order.
            images: Filled, uint8 (n, image_bytes); None to read the labels only.
            labels: Filled, int64 (n,); left as it is if there are no labels.

        Returns:
            Whether there are labels.

        Raises:
            DataError: A record is corrupt, foreign or of another length, or has a label where the first has none, or
                the reverse.
            IndexError: A number is outside the file.
        """
        self._read(self._gather, np.asarray(numbers, np.int64), images, labels)
        return self._labelled

    def scan_labels(self) -> np.ndarray | None:
        """The labels int64 (count,) of all records, or None.

        Of long records only the bytes around the images are read, whose checksums cannot be verified then.
        """
        count = self.check().count
        if not self._labelled:
            return None
        labels = np.empty(count, np.int64)
        for part in blocks(count, self.image_bytes, _BLOCK):
            read = self._gather if self.image_bytes < _LONG else self._scan
            self._read(read, np.arange(part.start, part.stop), None, labels[part])
        return labels

    def _read(self, read: Callable, numbers: np.ndarray, *into: np.ndarray | None) -> None:
        """Reads with `_gather` or `_scan`; a second time if the guessed places of the records are wrong."""
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
        """Reads labels from the bytes around the images."""
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
        """Verifies frames of one length, uint8 (k, length), and copies images and labels to their places."""
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
            chosen = slice(None) if len(some) == len(places) else some  # a slice copies nothing
            where = _as_slice(places[chosen])
            if images is not None:
                images[where] = data[chosen, layout.start : layout.start + self.image_bytes]
            if layout.labelled:
                labels[where] = layout.labels(data[chosen, :around], data[chosen, length - around :])

    def _sorted(
        self, heads: np.ndarray, tails: np.ndarray, length: int, numbers: np.ndarray
    ) -> Iterator[tuple[Layout, np.ndarray]]:
        """The layouts of records of one length, each with the indices (k,), ascending, of the records that have it."""
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
        """The layout of one record, or a RecordError that says what is wrong with it."""
        numbers = np.array([number])
        starts, stops = frames.bounds(numbers)
        self._check_lengths(numbers, stops - starts, longest_only=True)
        try:
            layout = Layout(read_record(self.path, frames, number))
        except ValueError as error:
            raise RecordError(self.path, number, str(error)) from error
        if layout.image_bytes != self.image_bytes:
            expected = f"where {self.image_bytes} are expected"
            raise RecordError(self.path, number, f"holds an image of {layout.image_bytes} bytes {expected}")
        return layout

    def _check_lengths(self, numbers: np.ndarray, sizes: np.ndarray, longest_only: bool = False) -> None:
        """Raises a RecordError for a frame too short for an image, or longer than is read into memory."""
        long = sizes > self.image_bytes + FRAME + _EXTRA
        if long.any():
            what = f"has {sizes[long][0]:,} bytes where an image of {self.image_bytes:,} is expected"
            raise RecordError(self.path, int(numbers[long][0]), what)
        short = sizes < self.image_bytes + FRAME
        if short.any() and not longest_only:
            self._learn(self.check(), int(numbers[short][0]))

    def _checked(self, frames: Frames) -> Frames:
        if self.shard is not None and self.shard.count != frames.count:
            raise _miscounted(self.path, frames.count, self.shard.count)
        return frames


def read_records(
    files: Sequence[Path], shape: tuple[int, int, int], shards: Sequence[Shard] | None = None, say: Say = log
) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads files of records into memory.

    Args:
        files: The files in the order of their images.
        shape: (C, H, W) of one image.
        shards: The sidecar's entries of the files.
        say: Takes a line of progress every two seconds.

    Returns:
        images uint8 (N, C, H, W), and labels int64 (N,) or None.

    Raises:
        DataError: A file is missing, empty or not as its shard says, a record is corrupt, foreign or of another
            length, or only some have labels. File and record (counted from 0) are named.
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
    done, ticker = 0, Ticker(_REPORT_SECONDS)
    for source in sources:
        for part in blocks(source.check().count, size, _BLOCK):
            into = slice(done, done + part.stop - part.start)
            source.read(np.arange(part.start, part.stop), images[into], labels[into])
            done = into.stop
            if ticker.due():
                say(f"Read {done:,} of {total:,} images from {files[0].parent}")
    return images.reshape(total, *shape), labels if True in labelled else None


def missing_shards(files: Sequence[Path]) -> dict[Path, Path]:
    """The files that are missing, each with one that says by its name `...-<shard>-of-<shards>` that it should be."""
    sets: dict[tuple[Path, str, str], Path] = {}  # one file of each set that names speak of
    for file in files:
        match = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})", file.stem)
        if match is not None:
            sets.setdefault((file.parent, match[1], match[2]), file)
    return {
        other: file
        for (folder, name, shards), file in sets.items()
        for shard in range(int(shards))
        if not (other := folder / f"{name}-{shard:05d}-of-{shards}{SUFFIX}").is_file()
    }


def blocks(count: int, image_bytes: int, block_bytes: int) -> Iterator[slice]:
    """Cuts images into blocks of about so many bytes, to read them one after another."""
    step = max(1, block_bytes // max(1, image_bytes))
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
