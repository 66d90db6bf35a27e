"""Writes files of records, which `records.reader` reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.records.example import encode
from mmdgan.data.records.framing import framed
from mmdgan.data.sidecar import Shard

_BUFFER = 2**20  # bytes that are collected before they are written


class ShardWriter:
    """Writes one file of records; when the context is left without an error, it is complete and on the disk.

        with ShardWriter(path) as writer:
            writer.write(image, label)
        shard = writer.shard("cifar10-00000-of-00005.tfrecords")

    Attributes:
        path: The file.
        count: Number of images so far.
        bytes: Their size in the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.count = 0
        self.bytes = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> ShardWriter:
        with self._named():
            self._stream = open(self.path, "wb", buffering=_BUFFER)
        return self

    def __exit__(self, kind: type | None, *rest: object) -> None:
        with self._named(), self._stream:
            if kind is None:
                self._stream.flush()
                os.fsync(self._stream.fileno())

    def write(self, image: np.ndarray, label: int | None = None) -> None:
        """Adds one image uint8 (C, H, W) and its label.

        Raises:
            DataError: The file cannot be written, such as on a full disk.
            TypeError: The image is of another type.
        """
        if image.dtype != np.uint8:
            raise TypeError(f"images in records are uint8, not {image.dtype}")
        record = framed(encode(image.tobytes(), label))
        self._digest.update(record)
        with self._named():
            self._stream.write(record)
        self.bytes += len(record)
        self.count += 1

    def shard(self, file_name: str) -> Shard:
        """The sidecar's entry of what was written, under the name that the file will have."""
        return Shard(file_name, self.count, self.bytes, self._digest.hexdigest())

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = "fix that and run the same command again; it continues from there"
            raise DataError(f"{self.path} cannot be written: {error.strerror}; {remedy}.") from error
