"""One file of records made of a part of a source, and the receipt by which an interrupted conversion keeps it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdgan.core.errors import DataError
from mmdgan.core.files import atomic, write_text
from mmdgan.data.preparation.geometry import BrokenImage, Geometry, load_image
from mmdgan.data.sidecar import Shard, Skipped
from mmdgan.data.sources.base import Item, Part

RECEIPT_FORMAT = 2
_BLOCK = 2**20
_AGAIN = "fix that and run the same command again; it continues from there"
_REMEDY = "fix it or take it out, or have all broken images left out and listed with --skip_broken"


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
    from mmdgan.data.records.writer import ShardWriter

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
                        raise DataError(f"{item.name} {error.reason}; {_REMEDY}.") from error
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
                for block in _blocks(piece.file):
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
    write_text(receipt_path(file), json.dumps(dataclasses.asdict(receipt), indent=1) + "\n")
    return receipt


def _blocks(file: Path) -> Iterator[bytes]:
    with open(file, "rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


def _label(item: Item, num_class: int) -> int | None:
    if num_class == 0 and item.label is None:
        return None
    if item.label is None or not 0 <= item.label < num_class:
        raise BrokenImage(f"has label {item.label} where there are {num_class or 'no'} classes")
    return int(item.label)


def _is_whole(file: Path, shard: Shard) -> bool:
    try:
        if file.stat().st_size != shard.bytes:
            return False
        digest = hashlib.sha256()
        for block in _blocks(file):
            digest.update(block)
        return digest.hexdigest() == shard.sha256
    except OSError:
        return False
