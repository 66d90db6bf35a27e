"""Converts any source of images to TFRecords with their sidecar: on all cores, restartable, deterministic."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdgan.core.errors import DataError
from mmdgan.core.progress import Say, Ticker, log
from mmdgan.core.text import duration, readable_bytes
from mmdgan.core.versions import VERSION
from mmdgan.core.workers import available_cores, run_jobs
from mmdgan.data.catalog import DataInfo
from mmdgan.data.preparation.geometry import Geometry
from mmdgan.data.preparation.shards import Receipt, ShardJob, join_pieces, kept_receipt, make_shard
from mmdgan.data.preparation.staging import Staging
from mmdgan.data.sidecar import Sidecar, sidecar_path
from mmdgan.data.sources.base import ImageSource

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
        done = _results(pending, workers, meter, staging.descriptor)
        made = _joined(shards_left, receipts, ((pending[i], receipt) for i, receipt in done))
        receipts.update(made)
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


def _results(jobs: Sequence[ShardJob], workers: int, meter: _Meter, lock: int) -> Iterator[tuple[int, Receipt]]:
    if workers == 1 or len(jobs) < 2:
        for i, job in enumerate(jobs):
            yield i, make_shard(job, meter.add)
    else:
        # The workers hold the lock too: if this process is killed, a new one must wait until they have ended.
        yield from run_jobs(make_shard, jobs, workers, meter.add, [lock], _WORKER_KILLED)


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
