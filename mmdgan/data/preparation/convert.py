"""Converts any source of images to TFRecords with their sidecar: on all cores, restartable, deterministic.

A conversion keeps its files in `.partial` of the data set's folder until all are finished:

    <folder>/.partial/.lock                                     held while a conversion runs
    <folder>/.partial/<name>-00000-of-00005.tfrecords           finished
    <folder>/.partial/<name>-00000-of-00005.tfrecords.json      its receipt, written after it
    <folder>/.partial/.<name>-00001-of-00005.<...>.partial.tfrecords    being written

At the end the files move to the folder, then the sidecar is written there, then `.partial` is removed. Wherever this
is interrupted, the same conversion continues from there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdgan.core.errors import DataError
from mmdgan.core.files import atomic, sync, write_json
from mmdgan.core.lock import FolderLock
from mmdgan.core.progress import Say, Ticker, log
from mmdgan.core.text import duration, readable_bytes
from mmdgan.core.versions import VERSION
from mmdgan.core.workers import available_cores, run_jobs
from mmdgan.data.catalog import DataInfo
from mmdgan.data.preparation.geometry import BrokenImage, Geometry, load_image
from mmdgan.data.records.framing import sha256_of, size_of
from mmdgan.data.records.writer import ShardWriter
from mmdgan.data.sidecar import Shard, Sidecar, Skipped, sidecar_path
from mmdgan.data.sources.base import ImageSource, Item, Part

SHARD_BYTES = 32 * 2**20  # of images in a file, approximately; the number of files does not depend on the machine
JOBS = 128  # at least, in a long conversion, so that all cores have work to the end
PIECE_BYTES = 4 * 2**20  # of encoded images in a piece of a file, at least: about half a second of work
FEW_IMAGES = 2000  # fewer, of less than two pieces' bytes, are converted before worker processes would have started
_REPORT_SECONDS = 2.0
_WORKER_KILLED = (
    "run the same command again, which goes on where this one stopped, with a smaller number of --workers if it "
    "happens again"
)
_RECORD_OVERHEAD = 64  # bytes of a record around its image, at most
RECEIPT_FORMAT = 2
_BLOCK = 2**20
_AGAIN = "fix that and run the same command again; it continues from there"
REMEDY = "fix it or take it out, or have all broken images left out and listed with --skip_broken"
FOLDER = ".partial"
_BEING_WRITTEN = (".*.partial.*", "*.part")  # the second one by version 0.1
_OWN = (".tfrecords", ".json")
# Workers whose parent was killed hold the lock until they have noticed it.
_PATIENCE_SECONDS = 3.0


def convert(
    source: ImageSource,
    info: DataInfo,
    folder: Path,
    *,
    geometry: Geometry,
    options: dict[str, Any],
    skip_broken: bool = False,
    workers: int | None = None,
    say: Say = log,
) -> Sidecar:
    """Converts a source to records `<name>-<shard>-of-<shards>.tfrecords` and `<name>.json`.

    An interrupted conversion leaves its finished files in `<folder>/.partial`; the same call continues from there.

    Args:
        source: The images.
        info: The data set that they should be: name, shape, number of classes (0 for any).
        folder: Where the records go; it is made if necessary. A file in their way is kept as `<file>.old`.
        geometry: How the images are resized and cropped.
        options: How the data set is made, for its sidecar: JSON values by name.
        skip_broken: Leave broken images out, and list them in the sidecar.
        workers: Number of processes; all cores by default. The files do not depend on it.
        say: Takes lines of progress: images so far, images/s, time left.

    Returns:
        The sidecar, which is written last.

    Raises:
        DataError: An image is broken or of another shape, the number of classes is another, the disk is too small,
            the folder cannot be written, or a worker process was killed.
    """
    _check(source, info)
    prepared = sidecar_path(folder, info.name).exists()
    workers = workers or available_cores()
    with Staging(folder) as staging:
        if not prepared and sidecar_path(folder, info.name).exists():
            raise DataError(f"Another process has just converted {info.name} into {folder}: run the command again.")
        shards = _shards(source, info, staging.path, geometry, options, skip_broken)
        receipts = _kept([shard.whole for shard in shards], folder, workers)
        shards_left = [shard for shard in shards if shard.whole.file not in receipts]
        receipts |= _kept([piece for shard in shards_left for piece in shard.pieces], folder, workers)
        pending = [job for shard in shards_left for job in shard.jobs if job.file not in receipts]
        images = sum(len(job.part) for job in pending)
        _check_space(info, images, folder, any(shard.pieces for shard in shards_left))
        note = f" ({source.note})" if source.note else ""
        say(f"Converting {source.origin} to {folder}: {source.count:,} images{note}")
        if receipts:
            say(f"{source.count - images:,} images are kept from an interrupted conversion")
        meter = _Meter(info.name, source.count, source.count - images, say)
        if images < FEW_IMAGES and source.origin.bytes * images < 2 * PIECE_BYTES * source.count:
            workers = 1
        receipts = _joined(shards_left, receipts, _results(pending, workers, meter, staging.descriptor))
        sidecar = _sidecar(source, info, [receipts[shard.whole.file] for shard in shards], options)
        staging.finish(sidecar)
    return sidecar


def _check(source: ImageSource, info: DataInfo) -> None:
    if source.count == 0:
        raise DataError(f"{source.origin} holds no images.")
    classes = len(source.class_names)
    if classes and info.num_class and classes != info.num_class:
        raise DataError(f"{source.origin} has {classes} classes where {info.name} has {info.num_class}.")


@dataclass(frozen=True)
class _Shard:
    """One file of the data set."""

    whole: ShardJob  # the job that makes it
    pieces: tuple[ShardJob, ...]  # the jobs that make it instead, together; empty if it is made at once

    @property
    def jobs(self) -> tuple[ShardJob, ...]:
        return self.pieces or (self.whole,)


def _shards(
    source: ImageSource,
    info: DataInfo,
    folder: Path,
    geometry: Geometry,
    options: dict[str, Any],
    skip_broken: bool,
) -> list[_Shard]:
    """The files, whose numbers of images differ by one at most, as do those of the pieces of a file."""
    count = min(source.count, max(1, math.ceil(source.count * math.prod(info.shape) / SHARD_BYTES)))
    whole = ShardJob(
        file=folder,
        part=source.part(0, 0),
        shape=info.shape,
        geometry=geometry,
        size=source.size or info.size,
        num_class=len(source.class_names),
        options=options,
        skip_broken=skip_broken,
    )

    def cut(start: int, stop: int, parts: int, name: str) -> list[tuple[int, int, ShardJob]]:
        edges = [start + part * (stop - start) // parts for part in range(parts + 1)]
        files = [folder / f"{name.format(part)}.tfrecords" for part in range(parts)]
        return [
            (first, last, replace(whole, file=file, part=source.part(first, last)))
            for file, first, last in zip(files, edges, edges[1:], strict=False)
        ]

    pieces = _pieces(source, count)
    shards = []
    for start, stop, job in cut(0, source.count, count, f"{info.name}-{{:05d}}-of-{count:05d}"):
        parts = min(pieces, stop - start)
        name = f"{job.file.stem}-piece-{{:03d}}-of-{parts:03d}"
        shards.append(_Shard(job, tuple(piece for *_, piece in cut(start, stop, parts, name)) if parts > 1 else ()))
    return shards


def _pieces(source: ImageSource, shards: int) -> int:
    """The number of pieces of a file; it does not depend on the machine.

    Without pieces, a thousand photographs that are scaled down to one file would be hours of work for one core.
    """
    if not source.divisible:
        return 1
    return max(1, min(math.ceil(JOBS / shards), source.origin.bytes // (PIECE_BYTES * shards)))


def _kept(jobs: Sequence[ShardJob], folder: Path, workers: int) -> dict[Path, Receipt]:
    """The receipts of the jobs that an earlier attempt has done, by their files."""
    with ThreadPoolExecutor(workers) as pool:
        receipts = list(pool.map(lambda job: kept_receipt(job, folder), jobs))
    return {job.file: receipt for job, receipt in zip(jobs, receipts, strict=True) if receipt is not None}


def _joined(
    shards: Sequence[_Shard], kept: dict[Path, Receipt], done: Iterator[tuple[ShardJob, Receipt]]
) -> dict[Path, Receipt]:
    """The receipts of all files, given those that are kept and, as they come, those of the other jobs.

    A file is joined as soon as its pieces are done.
    """
    owners = {job.file: shard for shard in shards for job in shard.jobs}
    receipts = dict(kept)

    def join(shard: _Shard) -> None:
        if shard.pieces and all(piece.file in receipts for piece in shard.pieces):
            found = [receipts[piece.file] for piece in shard.pieces]
            receipts[shard.whole.file] = join_pieces(shard.whole, shard.pieces, found)

    for shard in shards:  # an earlier attempt may have been interrupted before it could
        join(shard)
    for job, receipt in done:
        receipts[job.file] = receipt
        join(owners[job.file])
    return receipts


def _check_space(info: DataInfo, images: int, folder: Path, in_pieces: bool) -> None:
    # While a file is joined, it is on the disk twice.
    twice = min(images * math.prod(info.shape), SHARD_BYTES) if in_pieces else 0
    needed = images * (math.prod(info.shape) + _RECORD_OVERHEAD) + twice
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{info.name} takes another {readable_bytes(needed)} in {folder}, whose disk has {readable_bytes(free)} "
            "free: make room, or name a folder on another disk with --data_root."
        )


def _results(jobs: Sequence[ShardJob], workers: int, meter: _Meter, lock: int) -> Iterator[tuple[ShardJob, Receipt]]:
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, make_shard(job, meter.add)
    else:
        # The workers hold the lock too: if this process is killed, a new one must wait until they have ended.
        for i, receipt in run_jobs(make_shard, jobs, workers, meter.add, [lock], _WORKER_KILLED):
            yield jobs[i], receipt


def _sidecar(source: ImageSource, info: DataInfo, receipts: list[Receipt], options: dict[str, Any]) -> Sidecar:
    skipped = tuple(image for receipt in receipts for image in receipt.skipped)
    if len(skipped) == source.count:
        raise DataError(
            f"All {source.count:,} images of {source.origin} are broken, the first of them as follows: "
            f"{skipped[0].name} {skipped[0].reason}."
        )
    return Sidecar(
        name=info.name,
        shape=info.shape,
        labels=bool(source.class_names),
        class_names=source.class_names,
        origin=source.origin,
        shards=tuple(receipt.shard for receipt in receipts),
        options=options,
        skipped=skipped,
        version=VERSION,
    )


class _Meter:
    """Reports the number of images, their rate and the time left, every other second and at the end."""

    def __init__(self, name: str, total: int, done: int, say: Say) -> None:
        self._name, self._total, self._done, self._say = name, total, done, say
        self._before = done
        self._ticker = Ticker(_REPORT_SECONDS)

    def add(self, images: int) -> None:
        self._done += images
        if not self._ticker.due() and (self._done < self._total or not images):
            return
        rate = (self._done - self._before) / max(self._ticker.elapsed, 1e-9)
        left = f"{duration((self._total - self._done) / rate)} left" if rate else "time left unknown"
        self._say(f"{self._name}: {self._done:,} of {self._total:,} images, {rate:,.0f} images/s, {left}")


@dataclass(frozen=True)
class ShardJob:
    """What it takes to make one file of records; it can be pickled."""

    file: Path  # the file to write, next to which its receipt is written
    part: Part  # the images
    shape: tuple[int, int, int]  # (C, H, W) of each
    geometry: Geometry  # how they are resized and cropped
    size: tuple[int, int] | None  # (width, height) that each has before; None for any
    num_class: int  # 0 without labels
    options: dict[str, Any]  # how the data set is made, as its sidecar will say
    skip_broken: bool  # leave broken images out

    def key(self) -> str:
        """A hexadecimal digest of everything that the file's content depends on."""
        fields = [RECEIPT_FORMAT, importlib.metadata.version("pillow"), self.part.state(), len(self.part)]
        fields += [self.shape, dataclasses.astuple(self.geometry), self.size, self.num_class]
        fields.append(json.dumps(self.options, sort_keys=True))
        return hashlib.sha256(repr(fields).encode()).hexdigest()


@dataclass(frozen=True)
class Receipt:
    """A finished file: what it is, what it was made from (`ShardJob.key`), and which images are not in it."""

    key: str
    shard: Shard
    skipped: tuple[Skipped, ...] = ()


def receipt_path(file: Path) -> Path:
    """Where the receipt of a file of records is."""
    return file.with_name(f"{file.name}.json")


def make_shard(job: ShardJob, report: Callable[[int], object] = lambda images: None) -> Receipt:
    """Writes one file of records and its receipt; neither has its name before it is complete and on the disk.

    Args:
        job: What to do.
        report: Called with 1 after each image.

    Raises:
        DataError: An image is broken and not to be skipped, or a file cannot be read or written.
    """
    skipped, count = [], 0
    try:
        key = job.key()
        with atomic(job.file) as partial, ShardWriter(partial) as writer:
            for item in job.part.items():
                count += 1
                if count > len(job.part):
                    break
                try:
                    writer.write(load_image(item, job.geometry, job.shape, job.size), _label(item, job.num_class))
                except BrokenImage as error:
                    if not job.skip_broken:
                        raise DataError(f"{item.name} {error.reason}; {REMEDY}.") from error
                    skipped.append(Skipped(item.name, error.reason))
                report(1)
            if count != len(job.part):
                raise DataError(f"The source gave another number of images than the {len(job.part)} that it announced.")
        return _written(job.file, Receipt(key, writer.shard(job.file.name), tuple(skipped)))
    except OSError as error:
        raise DataError(f"The images for {job.file} cannot be read or written ({error}); {_AGAIN}.") from error


def join_pieces(job: ShardJob, pieces: Sequence[ShardJob], receipts: Sequence[Receipt]) -> Receipt:
    """Joins the files of other jobs, and removes them: makes the same file as its own job would.

    Args:
        job: The job whose file is to be made.
        pieces: The jobs that were done instead, in the order of their images.
        receipts: Their receipts.

    Raises:
        DataError: A file cannot be read or written.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with atomic(job.file) as partial, open(partial, "wb") as stream:
            for piece in pieces:
                with open(piece.file, "rb") as source:
                    while block := source.read(_BLOCK):
                        digest.update(block)
                        size += stream.write(block)
        shard = Shard(job.file.name, sum(receipt.shard.count for receipt in receipts), size, digest.hexdigest())
        skipped = tuple(image for receipt in receipts for image in receipt.skipped)
        receipt = _written(job.file, Receipt(job.key(), shard, skipped))
        for piece in pieces:
            receipt_path(piece.file).unlink()
            piece.file.unlink()
    except OSError as error:
        raise DataError(f"{job.file} cannot be written ({error}); {_AGAIN}.") from error
    return receipt


def kept_receipt(job: ShardJob, folder: Path) -> Receipt | None:
    """The receipt of a file that need not be made again, because it is what `make_shard` would make.

    Args:
        job: The job whose file is to be made.
        folder: Where files go at the end: an interrupted conversion may have moved this one already.

    Returns:
        None if there is no receipt, or the file is not as it says, or was made from something else.
    """
    try:
        content = json.loads(receipt_path(job.file).read_text(encoding="utf-8"))
        skipped = tuple(Skipped(**entry) for entry in content["skipped"])
        receipt = Receipt(content["key"], Shard(**content["shard"]), skipped)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if receipt.key != job.key() or (receipt.skipped and not job.skip_broken):
        return None
    file = job.file if job.file.is_file() else folder / job.file.name
    return receipt if _is_whole(file, receipt.shard) else None


def _written(file: Path, receipt: Receipt) -> Receipt:
    write_json(receipt_path(file), dataclasses.asdict(receipt))
    return receipt


def _label(item: Item, num_class: int) -> int | None:
    if num_class == 0 and item.label is None:
        return None
    if item.label is None or not 0 <= item.label < num_class:
        raise BrokenImage(f"has label {item.label} where there are {num_class or 'no'} classes")
    return int(item.label)


def _is_whole(file: Path, shard: Shard) -> bool:
    try:
        return size_of(file) == shard.bytes and sha256_of(file) == shard.sha256
    except DataError:  # it is missing or cannot be read
        return False


class Staging(FolderLock):
    """The folder `.partial`, locked within a `with` block.

    When the block ends, files that are being written are removed; finished files and their receipts stay, if there
    are any.

    Attributes:
        folder: Where the files go at the end.
        path: Where they are until then.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is touched yet."""
        self.folder = folder
        done = "written" if folder.exists() else "made"
        super().__init__(
            folder / FOLDER,
            busy="Another process{holder} is converting a data set into {path.parent}: wait until it ends.",
            unwritable=f"The folder {{path.parent}} cannot be {done} ({{reason}}): name another one with --data_root.",
            error=DataError,
            patience=_PATIENCE_SECONDS,
        )

    def __enter__(self) -> Staging:
        """Takes the lock; DataError if the folder cannot be written, or another process is converting into it."""
        super().__enter__()
        self._remove_unfinished()
        return self

    def __exit__(self, *error: object) -> None:
        if self.path.is_dir():
            self._remove_unfinished()
            if not any(self.path.glob("*.json")):
                self.remove()
        super().__exit__(*error)
        for folder in (self.path, self.folder):
            with contextlib.suppress(OSError):  # it holds something
                folder.rmdir()

    def finish(self, sidecar: Sidecar) -> None:
        """Moves the files of a sidecar to the folder and writes it there; files in their way are kept.

        Raises:
            DataError: The folder cannot be written.
        """
        try:
            _keep_old(sidecar_path(self.folder, sidecar.name))
            for shard in sidecar.shards:
                finished = self.path / shard.file
                if finished.exists():  # else an earlier attempt has moved it
                    _keep_old(self.folder / shard.file)
                    finished.replace(self.folder / shard.file)
            sync(self.folder)
            sidecar.write(self.folder)
            self.remove()
        except OSError as error:
            raise DataError(f"The folder {self.folder} cannot be written ({error}): {_AGAIN}.") from error

    def remove(self) -> None:
        """Removes all files of conversions; other files that are there stay."""
        for path in self.path.iterdir():
            if path.name.endswith(_OWN):
                path.unlink()
        (self.path / "lock").unlink(missing_ok=True)  # of version 0.1

    def _remove_unfinished(self) -> None:
        for pattern in _BEING_WRITTEN:
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> None:
    """Removes `.partial` of a finished data set, which a conversion killed in its last moment leaves behind."""
    if (folder / FOLDER).is_dir() and os.access(folder, os.W_OK):
        with Staging(folder) as staging:
            staging.remove()


def _keep_old(path: Path) -> None:
    """Renames a file that is in the way to a free name: `<name>.old`, or `<name>.old2` and so on."""
    if not path.exists():
        return
    number, old = 1, path.with_name(f"{path.name}.old")
    while old.exists():
        number += 1
        old = path.with_name(f"{path.name}.old{number}")
    path.rename(old)
