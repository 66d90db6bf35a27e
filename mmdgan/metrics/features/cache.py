"""Features of a set of images: computed once for all metrics, batch by batch, and stored outside runs.

An entry of the cache is a folder, named by what determines its content: the images, the network, the way they are
resized. It holds features.npy and logits.npy, written while they are computed and memory-mapped when they are used
(50,000 images with 2,048 features and 1,008 logits are 610 MB on disk and little in memory), and facts.json: what they
are, and their checksums.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import mmap
import os
import shutil
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.lazy import np
from mmdgan.core.progress import Say, Ticker, log

if TYPE_CHECKING:
    from mmdgan.metrics.features.extractor import Extractor
    from mmdgan.metrics.sets import ImageSet

VARIABLE = "MMDGAN_FEATURE_CACHE"
MAX_BYTES = 4 * 10**9  # of all files of a cache; the least recently used ones are removed first
RECIPE = 1  # part of the files' names: raise it with any change to what is computed
BATCH = 100
_ARRAYS = ("features.npy", "logits.npy")
_ABANDONED = 24 * 3600  # seconds after which an unfinished file belongs to a process that has ended


@dataclass(frozen=True)
class Features:
    """The features of N images.

    Attributes:
        features: float32 (N, F), memory-mapped or not.
        logits: float32 (N, K), memory-mapped or not; K is 0 where the network has none.
        seconds: Seconds that it took to compute or to find them.
        cached: Whether they had been computed before.
    """

    features: np.ndarray
    logits: np.ndarray
    seconds: float
    cached: bool


def cache_folder(data_root: str | Path = "Data") -> Path | None:
    """The folder of features: what MMDGAN_FEATURE_CACHE names (None for "none"), or else `data_root`/features."""
    named = os.environ.get(VARIABLE, "").strip()
    if named.lower() == "none":
        return None
    return Path(named) if named else Path(data_root) / "features"


def compute_features(images: ImageSet, extractor: Extractor, *, cache: Path | None, say: Say = log) -> Features:
    """The features of a set of images, in their order, from the cache if they are there.

    Args:
        images: The set; its batches are asked for once, and again if the cache cannot be written.
        extractor: The network.
        cache: Folder of the cache, made if it is missing; None to store nothing.
        say: Takes a sentence every ten seconds, with the time that is left, and one if nothing can be stored.
    """
    begun = time.monotonic()
    if cache is None:
        return Features(*_in_memory(images, extractor, say), time.monotonic() - begun, False)
    facts = _facts(images, extractor)
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    path = Path(cache) / name
    found = _read(path, facts)
    if found is not None:
        return Features(*found, time.monotonic() - begun, True)
    try:
        found = _on_disk(images, extractor, say, path, facts)
    except _CacheError as error:
        say(f"The features of {images.name} cannot be kept in {cache} ({error}), and are computed again next time.")
        found = _in_memory(images, extractor, say)
    return Features(*found, time.monotonic() - begun, False)


class _CacheError(Exception):
    """The cache cannot be written; the text says why."""


def _facts(images: ImageSet, extractor: Extractor) -> dict:
    """What determines the features, as JSON."""
    protocol = extractor.protocol()
    return {
        "recipe": RECIPE,
        "images": images.fingerprint(),
        "count": images.count,
        "shape": list(images.shape),
        **{key: protocol[key] for key in ("features", "feature_hash", "resize")},
    }


def _extracted(images: ImageSet, extractor: Extractor, say: Say) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features (n, F) and logits (n, K) of one batch after the other, with progress."""
    begun, done, first = 0.0, 0, 0
    with Ticker() as ticker:
        for batch in images.batches(getattr(extractor, "batch_size", BATCH)):
            yield extractor.extract(batch)
            done += len(batch)
            if not first:  # its time includes the network's preparation
                begun, first = ticker.elapsed, done
            elif done < images.count and ticker.due():
                left = (ticker.elapsed - begun) / (done - first) * (images.count - done)
                ticker.report(
                    f"Features of {images.name}: {done:,} of {images.count:,} images, {left:,.0f} s left", say
                )


def _in_memory(images: ImageSet, extractor: Extractor, say: Say) -> tuple[np.ndarray, np.ndarray]:
    arrays, done = None, 0
    for parts in _extracted(images, extractor, say):
        if arrays is None:
            arrays = [np.empty((images.count, part.shape[1]), np.float32) for part in parts]
        for array, part in zip(arrays, parts, strict=True):
            array[done : done + len(part)] = part
        done += len(parts[0])
    assert arrays is not None  # no set is empty
    return arrays[0], arrays[1]


def _on_disk(
    images: ImageSet, extractor: Extractor, say: Say, path: Path, facts: dict
) -> tuple[np.ndarray, np.ndarray]:
    """Computes features into a draft next to `path`, which takes its place once it is complete.

    Raises:
        _CacheError: The draft cannot be written.
    """
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with _cache_errors():
            draft.mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            files: list[_ArrayFile] = []
            for parts in _extracted(images, extractor, say):
                with _cache_errors():
                    if not files:
                        _check_space(draft, 4 * images.count * sum(part.shape[1] for part in parts))
                        for name, part in zip(_ARRAYS, parts, strict=True):
                            file = _ArrayFile(draft / name, (images.count, part.shape[1]))
                            files.append(stack.enter_context(file))
                    for file, part in zip(files, parts, strict=True):
                        file.append(part)
        with _cache_errors():
            checksums = [file.checksum for file in files]
            (draft / "facts.json").write_text(json.dumps({**facts, "checksums": checksums}), encoding="utf-8")
            return _take_place(draft, path, facts)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class _ArrayFile:
    """A .npy file of float32 (N, width) that is written row by row."""

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        self.checksum = zlib.crc32(header.getvalue())
        self._file = open(path, "wb")
        self._file.write(header.getvalue())

    def append(self, rows: np.ndarray) -> None:
        rows = np.ascontiguousarray(rows, "<f4")
        self.checksum = zlib.crc32(rows.data, self.checksum)
        self._file.write(rows.data)

    def __enter__(self) -> _ArrayFile:
        return self

    def __exit__(self, *exception: object) -> None:
        with _cache_errors():
            self._file.close()


def _take_place(draft: Path, path: Path, facts: dict) -> tuple[np.ndarray, np.ndarray]:
    """Moves a complete draft to its place, and removes entries beyond the cache's size; returns the arrays.

    If another process was faster, its entry stays and both use that one. An entry beyond the cache's size is used even
    though it is removed: its files live as long as they are mapped.
    """
    if path.exists() and _read(path, facts) is None:
        _remove(path)
    with contextlib.suppress(OSError):  # an entry that was there first may not be replaced
        os.rename(draft, path)
    found = _read(path, facts) or _read(draft, facts)
    if found is None:
        raise _CacheError("what was written there is gone or damaged")
    _shrink(path.parent)
    return found


def _read(path: Path, facts: dict) -> tuple[np.ndarray, np.ndarray] | None:
    """The arrays of an entry, whose use is noted; None if it is missing, damaged or of other facts."""
    try:
        kept = json.loads((path / "facts.json").read_text(encoding="utf-8"))
        checksums = kept.pop("checksums")
        if kept != facts:
            return None
        files = [path / name for name in _ARRAYS]
        if [*map(_checksum, files)] != checksums:
            return None
        arrays = [_mapped(file) for file in files]
        os.utime(path / "facts.json")
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None
    return arrays[0], arrays[1]


def _mapped(file: Path) -> np.ndarray:
    """A .npy file as a memory map; one without columns is read, because an empty file region cannot be mapped."""
    with open(file, "rb") as stream:
        np.lib.format.read_magic(stream)
        shape, _, _ = np.lib.format.read_array_header_1_0(stream)
    return np.load(file, mmap_mode="r" if shape[1] else None, allow_pickle=False)


def _checksum(file: Path) -> int:
    checksum = 0
    with open(file, "rb") as stream:  # not the memory map, whose pages would stay in memory
        while block := stream.read(2**24):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _check_space(folder: Path, size: int) -> None:
    if shutil.disk_usage(folder).free < size:
        raise _CacheError(f"{size / 1e6:,.0f} MB are needed there, more than are free")


def entries(cache: Path) -> list[tuple[int, int, Path]]:
    """The entries of a cache, the least recently used one first: (time of the last use in ns, bytes, folder)."""
    found = []
    for folder in cache.iterdir() if cache.is_dir() else ():
        with contextlib.suppress(OSError):  # another process removes entries too
            if folder.suffix != ".tmp" and (folder / "facts.json").is_file():
                size = sum(file.stat().st_size for file in folder.iterdir())
                found.append(((folder / "facts.json").stat().st_mtime_ns, size, folder))
    return sorted(found)


def _shrink(cache: Path) -> None:
    """Removes the least recently used entries until all take at most MAX_BYTES, and abandoned drafts."""
    for draft in cache.glob("*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > _ABANDONED:
                shutil.rmtree(draft, ignore_errors=True)
    found = entries(cache)
    total = sum(size for _, size, _ in found)
    for _, size, folder in found:
        if total <= MAX_BYTES:
            break
        _remove(folder)
        total -= size


def _remove(folder: Path) -> None:
    """Removes an entry: out of its place first, so that no process finds half of it."""
    gone = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    with contextlib.suppress(OSError):
        os.rename(folder, gone)
    shutil.rmtree(gone, ignore_errors=True)


@contextlib.contextmanager
def _cache_errors() -> Iterator[None]:
    """Turns errors of the file system into _CacheError."""
    try:
        yield
    except OSError as error:
        raise _CacheError(error.strerror or str(error)) from error


def release(array: np.ndarray) -> None:
    """Gives the pages of a memory-mapped array back to the system, which reads them again when they are needed.

    Without it, a pass over a file of features leaves all of it in memory. Does nothing to other arrays, to those that
    may be written to (whose changes may be nowhere else), and where the system has no such call.

    Args:
        array: A `numpy.memmap` of mode "r", a part or a view of one, or any array.
    """
    if array.flags.writeable:
        return
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
