"""Writing files of records; `tfrecords` reads them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mmdgan.core.errors import DataError
from mmdgan.data.records.example import encode, framed
from mmdgan.data.sidecar import Shard

_BUFFER = 2**20  # bytes that are collected before they are written


class ShardWriter:
    """Writes one file of records; on leaving the context it is complete and on the disk.

        with ShardWriter(path) as writer:
            writer.write(image, label)
        shard = writer.shard("cifar10-00000-of-00005.tfrecords")

    After an error the unfinished file stays, for the caller to remove.

    Attributes:
        path: the file.
        count: images so far.
        bytes: their size in the file.
    """

    def __init__(self, path: str | Path) -> None:
        """Nothing is opened yet."""
        self.path = Path(path)
        self.count = 0
        self.bytes = 0
        self._digest = hashlib.sha256()
        self._pending = bytearray()

    def __enter__(self) -> ShardWriter:
        with self._named():
            self._stream = open(self.path, "wb", buffering=0)
        return self

    def __exit__(self, kind: type | None, *rest: object) -> None:
        with self._named(), self._stream:
            if kind is None:
                self._flush()
                os.fsync(self._stream.fileno())

    def write(self, image: np.ndarray, label: int | None = None) -> None:
        """Adds one image uint8 (C, H, W) and its label.

        Raises:
            DataError: the file cannot be written, such as on a full disk.
            TypeError: an image of another type.
        """
        if image.dtype != np.uint8:
            raise TypeError(f"images in records are uint8, not {image.dtype}")
        record = framed(encode(image.tobytes(), label))
        self._pending += record
        self.bytes += len(record)
        self.count += 1
        if len(self._pending) >= _BUFFER:
            with self._named():
                self._flush()

    def shard(self, file_name: str) -> Shard:
        """What was written, for the sidecar, under the name that the file will have."""
        return Shard(file_name, self.count, self.bytes, self._digest.hexdigest())

    def _flush(self) -> None:
        content, self._pending = self._pending, bytearray()
        self._digest.update(content)
        rest = memoryview(content)
        while rest:
            rest = rest[self._stream.write(rest) :]

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = "mend that and give the same command again, which goes on from there"
            raise DataError(f"{self.path} cannot be written: {error.strerror}; {remedy}.") from error
