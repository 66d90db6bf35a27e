"""Images per second that `Pipeline.dataset` delivers, from memory and streamed from disk, beside what limits them.

    python benchmarks/data_throughput.py --pixels 32,64,128 --megabytes 600

Files of records are written first, of random images with labels. Streamed files are dropped from the page cache
before they are read, as far as the system does that when asked. The limits: the same files read by one thread,
bytes only; and, with the files in the page cache, their records verified and parsed by one thread, without
batches.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from machine import describe_machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout needs no installation

if TYPE_CHECKING:
    from mmdgan.data import ImageData
    from mmdgan.data.dataset import StoredImages
    from mmdgan.data.records.reader import RecordFile

GOALS = {32: 20_000, 64: 8_000, 128: 2_000}
SHARD_BYTES = 2**25  # as `prepare` writes them
READ_BYTES = 2**20
BLOCK = 256  # records verified at a time
LABELLED = {"labels": True}
FLIPPED = {"labels": True, "flip": True}
CLASSES = 10


def main() -> None:
    options = _options()
    from mmdgan.core.errors import MmdGanError

    try:
        run(options)
    except MmdGanError as error:
        sys.exit(str(error))


def run(options: argparse.Namespace) -> None:
    """Write, measure and print."""
    from mmdgan.core.startup import prepare_tensorflow

    prepare_tensorflow()
    print_machine(options)
    print(f"{'pixels':>6}  {'measured':38}{'images/s':>10}{'MB/s':>8}{'goal':>8}")
    for pixels in options.pixels:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            files = write_files(Path(folder), pixels, options.megabytes * 10**6)
            for name, rate in measure(files, pixels, options):
                goal = f"{GOALS[pixels]:,}" if pixels in GOALS and not name.startswith("limit") else ""
                row = f"{pixels:6}  {name:38}{rate:10,.0f}{rate * 3 * pixels**2 / 1e6:8,.0f}{goal:>8}"
                print(row.rstrip(), flush=True)


def write_files(folder: Path, pixels: int, size: int) -> list[RecordFile]:
    """Files of random images (3, pixels, pixels) of about `size` bytes in all."""
    import numpy as np

    from mmdgan.data.records.reader import RecordFile
    from mmdgan.data.records.writer import ShardWriter

    rng, shape = np.random.default_rng(0), (3, pixels, pixels)
    image_bytes = 3 * pixels**2
    count, per_file = max(1, size // image_bytes), max(1, SHARD_BYTES // image_bytes)
    files = []
    for start in range(0, count, per_file):
        path = folder / f"random-{start // per_file:05d}.tfrecords"
        images = rng.integers(0, 256, (min(per_file, count - start), *shape), np.uint8)
        with ShardWriter(path) as writer:
            for image, label in zip(images, rng.integers(0, CLASSES, len(images)).tolist(), strict=True):
                writer.write(image, label)
        files.append(RecordFile(path, image_bytes, writer.shard(path.name)))
    return files


def measure(files: list[RecordFile], pixels: int, options: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """Names of measurements and their images per second."""
    from mmdgan.data import ImageData
    from mmdgan.data.dataset import StoredImages

    shape, about = (3, pixels, pixels), {"num_class": CLASSES, "class_names": tuple("abcdefghij")}
    stored = StoredImages("random", shape, files, **about)
    cold = "cold" if drop_from_cache(files) else "warm"
    yield f"limit: bytes of the files, {cold}", bytes_rate(files)
    yield "limit: records verified and parsed", records_rate(files, stored.count)
    images, labels = stored.take(_all(stored.count))
    memory = ImageData("random", images, labels, **about)
    for name, stream in (("", {}), (", labels", LABELLED), (", labels, flips", FLIPPED)):
        yield f"memory{name}", pipeline_rate(memory, options, **stream)
    del images, labels, memory
    for name, stream in (("", {}), (", labels", LABELLED), (", labels, flips", FLIPPED)):
        drop_from_cache(files)
        yield f"streamed, {cold}{name}", pipeline_rate(stored, options, **stream)
    yield "streamed, warm, labels, flips", pipeline_rate(stored, options, **FLIPPED)
    yield "streamed, warm, batches of a class", pipeline_rate(stored, options, same_class=True, **LABELLED)


def pipeline_rate(data: ImageData | StoredImages, options: argparse.Namespace, **stream: bool) -> float:
    """Images per second from the first batch's arrival on, for some seconds."""
    from mmdgan.data import Pipeline

    batches = iter(Pipeline(data, options.batch_size, data_format=options.data_format, **stream).dataset())
    next(batches)
    count, begun = 0, time.perf_counter()
    while (seconds := time.perf_counter() - begun) < options.seconds:
        next(batches)
        count += options.batch_size
    return count / seconds


def bytes_rate(files: list[RecordFile]) -> float:
    """Images per second when one thread reads the files' bytes and does nothing with them."""
    buffer, begun = bytearray(READ_BYTES), time.perf_counter()
    for file in files:
        with open(file.path, "rb", buffering=0) as stream:
            while stream.readinto(buffer):
                pass
    return sum(file.count for file in files) / (time.perf_counter() - begun)


def records_rate(files: list[RecordFile], count: int) -> float:
    """Images per second when one thread verifies and parses the records of files in the page cache, in order."""
    import numpy as np

    images = np.empty((BLOCK, files[0].image_bytes), np.uint8)
    labels = np.empty(BLOCK, np.int64)
    begun = time.perf_counter()
    for file in files:
        for start in range(0, file.count, BLOCK):
            numbers = np.arange(start, min(file.count, start + BLOCK))
            file.read(numbers, images[: len(numbers)], labels[: len(numbers)])
    return count / (time.perf_counter() - begun)


def drop_from_cache(files: list[RecordFile]) -> bool:
    """Asks the system to forget the files' pages; False where it cannot be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for file in files:
        with open(file.path, "rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def print_machine(options: argparse.Namespace) -> None:
    """What the numbers depend on."""
    import numpy as np
    import tensorflow as tf

    print(describe_machine())
    print(f"Python {platform.python_version()}, TensorFlow {tf.__version__}, NumPy {np.__version__}")
    print(
        f"batches of {options.batch_size}, {options.data_format}, {options.megabytes} MB of images per size, "
        f"{options.seconds:g} s per measurement\n"
    )


def _all(count: int):
    import numpy as np

    return np.arange(count)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pixels", default="32,64,128", help="sides of the images")
    parser.add_argument("--megabytes", type=int, default=600, help="of images of each size")
    parser.add_argument("--seconds", type=float, default=5.0, help="per measurement")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--data_format", default="channels_last", choices=("channels_last", "channels_first"))
    parser.add_argument("--folder", help="where the files are written for the time being; the system's by default")
    options = parser.parse_args()
    try:
        options.pixels = [int(side) for side in options.pixels.split(",")]
    except ValueError:
        options.pixels = [0]
    if min(options.pixels) < 1:
        parser.error("--pixels takes whole numbers of at least 1, such as 32,64")
    if options.folder is not None and not Path(options.folder).is_dir():
        parser.error(f"--folder {options.folder} is no folder; make it, or leave --folder out")
    return options


if __name__ == "__main__":
    main()
