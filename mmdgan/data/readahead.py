"""Reads streamed images ahead: a thread reads the next window of images while one is in use."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from mmdgan.data.dataset import StoredImages
from mmdgan.data.order import Order

_BLOCK_BYTES = 2**22  # read at a time, so that neither closing nor another reader has to wait


@dataclass(frozen=True)
class Window:
    """Images at neighbouring positions of an order."""

    stop: int  # the position after its last one
    positions: np.ndarray  # int64 (n,), ascending; those of other workers are missing
    rows: np.ndarray  # int64 (n,), where the images at these positions are among:
    images: np.ndarray  # uint8 (m, C, H, W), each once, in the order of the files
    labels: np.ndarray  # int64 (m,)
    memory: np.ndarray  # uint8, holds the images; another window may be read into it later


class ReadAhead:
    """Reads a data set in the order of training, with two windows in memory.

    Positions are asked for in ascending order. The reading ends with the `with` block.
    """

    def __init__(
        self,
        data: StoredImages,
        order: Order,
        first: int,
        end: int | None = None,
        own: Callable[[int, int], np.ndarray] = np.arange,
    ) -> None:
        """Begins to read.

        Args:
            data: The images.
            order: Which image comes at which position.
            first: The first position that will be asked for.
            end: The position at which the stream ends, with an epoch; None for never.
            own: (start, stop) -> the positions among these that will be asked for, ascending.
        """
        self._data, self._order, self._own, self._end = data, order, own, end
        self._stopped = threading.Event()
        self._reader = ThreadPoolExecutor(1, "read-ahead")
        self._window: Window | None = None
        self._next = self._submit(first, None)

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the reading; waits for one block at most."""
        self._stopped.set()
        self._reader.shutdown(wait=True, cancel_futures=True)

    def take(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels at positions start .. stop - 1.

        Returns:
            uint8 (stop - start, C, H, W) and int64 (stop - start,), which means nothing if there are no labels.

        Raises:
            DataError: A record is damaged or foreign.
        """
        images, labels = [np.empty((0, *self._data.shape), np.uint8)], [np.empty(0, np.int64)]
        while start < stop:
            while self._window is None or start >= self._window.stop:
                self._advance()
            window = self._window
            first, last = np.searchsorted(window.positions, [start, stop])
            rows = window.rows[first:last]
            images.append(window.images[rows])
            labels.append(window.labels[rows])
            start = window.stop
        if len(images) == 2:
            return images[1], labels[1]
        return np.concatenate(images), np.concatenate(labels)

    def _advance(self) -> None:
        """Takes the window that was read ahead; the one after it is read into the old one's memory."""
        spare, self._window = self._window, None
        assert self._next is not None  # asked for only while there is more
        self._window = self._next.result()
        self._next = self._submit(self._window.stop, None if spare is None else spare.memory)

    def _submit(self, start: int, memory: np.ndarray | None) -> Future[Window] | None:
        if self._end is not None and start >= self._end:
            return None
        return self._reader.submit(self._read, start, memory)

    def _read(self, start: int, memory: np.ndarray | None) -> Window:
        stop = self._order.window_end(start)
        positions = self._own(start, stop)
        numbers, rows = np.unique(self._order.indices(start, stop)[positions - start], return_inverse=True)
        size = int(np.prod(self._data.shape))
        if memory is None or len(memory) < len(numbers) * size:
            memory = _memory(max(1, len(numbers)) * size)
        images = memory[: len(numbers) * size].reshape(-1, *self._data.shape)
        labels = np.empty(len(numbers), np.int64)
        block = max(1, _BLOCK_BYTES // size)
        for begin in range(0, len(numbers), block):
            if self._stopped.is_set():
                break
            part = slice(begin, begin + block)
            self._data.read(numbers[part], images[part], labels[part])
        return Window(stop, positions, rows, images, labels, memory)


def _memory(size: int) -> np.ndarray:
    """Memory that is returned to the system once it is freed, whatever the allocator keeps."""
    return np.frombuffer(mmap.mmap(-1, size), np.uint8)
