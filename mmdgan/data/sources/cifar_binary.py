"""CIFAR-10's official binary version (Krizhevsky 2009): one label byte, then 3,072 bytes in (C, H, W) order.

The files are data_batch_1.bin to data_batch_5.bin, as they are unpacked, or cifar_1.bin to cifar_5.bin, as
the original renames them; batches.meta.txt names the classes. The test batch is left aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmdgan.data.sidecar import Origin
from mmdgan.data.sources.base import BLOCK, Blocks, ImageSource
from mmdgan.errors import DataError

FOLDER = "cifar-10-batches-bin"
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
_PATTERNS = ("data_batch_{}.bin", "cifar_{}.bin")
_BATCHES = range(1, 6)


def find(path: Path, class_names: Sequence[str]) -> ImageSource | None:
    """Recognises the binary version: one .bin file, the folder of the five, or the folder around that.

    Args:
        path: what a person named.
        class_names: the names to use when batches.meta.txt is missing.

    Returns:
        the source, or None when the path holds something else.

    Raises:
        DataError: some of the five files missing, a file of another length, or names that do not fit.
    """
    if path.is_file() and path.suffix == ".bin":
        return _source(path, [path], class_names)
    for folder in (path, path / FOLDER):
        for pattern in _PATTERNS:
            files = [folder / pattern.format(k) for k in _BATCHES]
            missing = [file.name for file in files if not file.is_file()]
            if not missing:
                return _source(path, files, class_names)
            if len(missing) < len(files):
                raise DataError(
                    f"{folder} lacks {', '.join(missing)}: unpack the official archive again, or name one "
                    "file to train on that alone."
                )
    return None


def _source(path: Path, files: list[Path], class_names: Sequence[str]) -> ImageSource:
    sizes = [file.stat().st_size for file in files]
    for file, size in zip(files, sizes, strict=True):
        if size == 0 or size % RECORD:
            raise DataError(
                f"{file} holds {size} bytes, which is no multiple of CIFAR-10's {RECORD} bytes per record: "
                "it is truncated or another file; download it again."
            )
    return ImageSource(
        origin=Origin("CIFAR-10 binary", str(path.resolve()), len(files), sum(sizes)),
        count=sum(sizes) // RECORD,
        class_names=_class_names(files[0].with_name("batches.meta.txt"), class_names),
        blocks=lambda: _blocks(files, len(class_names)),
    )


def _class_names(path: Path, usual: Sequence[str]) -> tuple[str, ...]:
    if not path.is_file():
        return tuple(usual)
    names = tuple(path.read_text(encoding="utf-8").split())
    if len(names) != len(usual):
        raise DataError(f"{path} names {len(names)} classes where CIFAR-10 has {len(usual)}.")
    return names


def _blocks(files: list[Path], num_class: int) -> Blocks:
    for file in files:
        records = np.fromfile(file, np.uint8).reshape(-1, RECORD)
        labels = records[:, 0].astype(np.int64)
        wrong = np.flatnonzero(labels >= num_class)
        if len(wrong):
            raise DataError(
                f"Record {wrong[0]} of {file} has label {labels[wrong[0]]} where CIFAR-10 has 0 to "
                f"{num_class - 1}: the file is damaged or another one; download it again."
            )
        for start in range(0, len(records), BLOCK):
            part = slice(start, start + BLOCK)
            yield records[part, 1:].reshape(-1, *SHAPE), labels[part]
