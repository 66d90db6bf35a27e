"""Batches of a data set for training: shuffled again in every epoch, with random access by step.

The stream of images is epoch after epoch, each in its own order; step s takes its images s*B .. s*B + B - 1, so a
batch may straddle two epochs and every image is seen equally often. The order depends on (seed, epoch) alone: a
resumed run sees exactly what an undisturbed one would have seen. The other options of the original's reader
(same-class batches, one class, skipping, a number of passes) are here too.
"""

from __future__ import annotations

import itertools
import mmap
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from mmdgan.core.errors import ConfigError, DataError, MmdGanError
from mmdgan.core.shuffling import permutation
from mmdgan.data import order
from mmdgan.data.dataset import StoredImages
from mmdgan.data.order import Order
from mmdgan.data.records.reader import blocks

if TYPE_CHECKING:
    from mmdgan.data.dataset import ImageData

PREFETCH = 4
_BLOCK_BYTES = 2**24  # of images that are transposed at a time
_READ_BYTES = 2**22  # read ahead at a time, so that neither closing nor another reader has to wait


class Pipeline:
    """Batches of uint8 images (and labels) of one data set.

    Attributes:
        data: The data set.
        batch_size: Images per step, B, of all workers together.
        steps: Number of batches; None for no end.
        order: Which image comes at which position of the stream.
    """

    def __init__(
        self,
        data: ImageData | StoredImages,
        batch_size: int,
        *,
        seed: int = 0,
        data_format: str = "channels_last",
        labels: bool = False,
        flip: bool = False,
        same_class: bool = False,
        only_class: int | None = None,
        skip: int = 0,
        epochs: int | None = None,
        worker: tuple[int, int] = (0, 1),
        resize: tuple[int, int] | None = None,
    ) -> None:
        """Prepares the stream; no image is read yet.

        Args:
            data: The data set.
            batch_size: Images per step, B.
            seed: Determines the order, together with the epoch's number.
            data_format: "channels_last" for (B, H, W, C), "channels_first" for (B, C, H, W).
            labels: Whether batches hold "y" too.
            flip: Whether each image is mirrored, left and right, with probability 1/2.
            same_class: Whether all images of a batch are of one class; see `order.same_class`.
            only_class: Use only the images of this class.
            skip: Leave out so many images at the beginning of the set.
            epochs: Number of passes, after which the stream ends, with a smaller batch if necessary; None for no end.
            worker: (i, R): batches hold the i-th of R equal parts of the step's images; the others are not read.
            resize: (height, width) to which images are interpolated while they are read, as the original's reader does
                (bilinear, corners aligned; original.md G.3); they are then float32 in [-1, 1] instead of uint8.

        Raises:
            ConfigError: An option is out of range, or R workers cannot share a batch equally.
            DataError: The data set has no labels but needs them, or no images (are left).
        """
        _check(data, batch_size, data_format, skip, epochs, worker)
        if resize is not None and min(resize) < 1:
            raise ConfigError(f"resize is {resize}; give (height, width) of at least 1 each.")
        if (labels or same_class or only_class is not None) and not data.labelled:
            raise DataError(f"The data set {data.name} has no labels; train without classes or prepare it with labels.")
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.data_format = data_format
        self.labels = labels
        self.flip = flip
        self.resize = resize
        self._worker, self._workers = worker
        self._pool = _pool(data, skip, only_class)
        self.order = _order(data, self._pool, seed, batch_size if same_class else None)
        self._end = None if epochs is None else epochs * self.order.length
        self.steps = None if self._end is None else -(-self._end // batch_size)

    def indices(self, step: int) -> np.ndarray:
        """The numbers of the images in this worker's part of a step's batch, int64 (B,)."""
        return self.order.indices(*self._positions(step))

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step, counted from 0.

        Returns:
            "x": uint8 (B, H, W, C) or (B, C, H, W), or float32 if they are resized; with labels also "y": int32
            (B, 1).

        Raises:
            ConfigError: The step is before the first one or after the last one.
            DataError: A stored image cannot be read.
        """
        return self._batch(step, *self.data.take(self.indices(step)))

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """The stream of batches from a step on, prepared in the background.

        Stored images are read a window ahead, so that up to two windows of them (512 MiB) are in memory.

        Returns:
            A tf.data.Dataset whose elements are the dictionaries of `batch`. Its iteration raises a DataError for a
            stored image that cannot be read.
        """
        size = None if self._end and self._end % self.batch_size else self.batch_size // self._workers
        channels, height, width = self.data.shape[0], *(self.resize or self.data.shape[1:])
        shape = (height, width, channels) if self.data_format == "channels_last" else (channels, height, width)
        signature = {"x": tf.TensorSpec((size, *shape), tf.float32 if self.resize else tf.uint8)}
        if self.labels:
            signature["y"] = tf.TensorSpec((size, 1), tf.int32)
        return _NamedErrors(lambda: self._batches(first_step), signature, PREFETCH)

    def real_images(self, count: int, seed: int = 0) -> np.ndarray:
        """`real_images` of the pipeline's images, uint8 (count, H, W, C); they are never flipped nor resized."""
        return real_images(self.data, count, seed, self._pool)[1]

    def _positions(self, step: int) -> tuple[int, int]:
        """The first position of this worker's part of a step, and the position after its last one."""
        if step < 0 or (self.steps is not None and step >= self.steps):
            raise ConfigError(f"There is no batch {step}: the stream has {self.steps or 'endlessly many'}, from 0 on.")
        start, size = step * self.batch_size, self.batch_size
        if self._end is not None:
            size = min(size, self._end - start)
        return start + size * self._worker // self._workers, start + size * (self._worker + 1) // self._workers

    def _own(self, start: int, stop: int) -> np.ndarray:
        """This worker's positions from start up to stop, int64 (n,)."""
        if self._workers == 1:
            return np.arange(start, stop)
        steps = range(start // self.batch_size, -(-stop // self.batch_size))
        positions = np.concatenate([np.arange(*self._positions(step)) for step in steps])
        return positions[(positions >= start) & (positions < stop)]

    def _batches(self, first_step: int) -> Iterator[dict[str, np.ndarray]]:
        steps = itertools.takewhile(lambda step: step != self.steps, itertools.count(first_step))
        if self.data.mode == "memory":
            yield from map(self.batch, steps)
        elif first_step != self.steps:
            stored: Any = self.data  # StoredImages, as they are not in memory
            with ReadAhead(stored, self.order, self._positions(first_step)[0], self._end, self._own) as reader:
                for step in steps:
                    yield self._batch(step, *reader.take(*self._positions(step)))

    def _batch(self, step: int, images: np.ndarray, labels: np.ndarray | None) -> dict[str, np.ndarray]:
        """A batch for training, of images uint8 (n, C, H, W) and labels int64 (n,)."""
        if self.flip:
            mirrored = order.coins(*self._positions(step), self.seed)
            images[mirrored] = images[mirrored, :, :, ::-1]
        if self.resize:
            images = interpolate(images.astype(np.float32) / 127.5 - 1, *self.resize)
        batch = {"x": channels_last(images) if self.data_format == "channels_last" else images}
        if self.labels:
            assert labels is not None  # as was checked at first
            batch["y"] = labels.astype(np.int32)[:, None]
        return batch


def real_images(
    data: ImageData | StoredImages, count: int, seed: int = 0, pool: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Different images of a data set in random order, for comparison with generated ones.

    Args:
        data: The data set.
        count: Number of images.
        seed: Determines the choice, which is independent of the training order.
        pool: The numbers of the images to choose from, int64 (n,); None for all.

    Returns:
        Their numbers, int64 (count,), the images, uint8 (count, H, W, C), and their labels, int64 (count,), or None.

    Raises:
        DataError: There are fewer images, or one cannot be read.
    """
    pool = np.arange(data.count) if pool is None else pool
    if count > len(pool):
        raise DataError(f"{count:,} images of {data.name} are wanted, but it holds {len(pool):,}: ask for fewer.")
    chosen = pool[permutation(len(pool), seed, order.REAL_IMAGES)[:count]]
    channels, height, width = data.shape
    images, labels = np.empty((count, height, width, channels), np.uint8), np.empty(count, np.int64)
    places = np.argsort(chosen, kind="stable")  # stored images are read in the order of the files
    for block in blocks(count, channels * height * width, _BLOCK_BYTES):
        part = places[block]
        found, some = data.take(chosen[part])
        images[part] = channels_last(found)
        if some is not None:
            labels[part] = some
    return chosen, images, labels if data.labelled else None


def channels_last(images: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) as a contiguous array (N, H, W, C)."""
    count, channels, height, width = images.shape
    result = np.empty((count, height, width, channels), images.dtype)
    for channel in range(channels):  # three times as quick as a copy of the transpose
        result[..., channel] = images[:, channel]
    return result


def interpolate(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes images (N, C, H, W) to float32 (N, C, height, width): bilinear, as TensorFlow 1's align_corners."""
    rows, columns = _weights(images.shape[2], height), _weights(images.shape[3], width)
    return rows @ images.astype(np.float32, copy=False) @ columns.T


def _weights(before: int, after: int) -> np.ndarray:
    """The weight of each of `before` pixels in each of `after` pixels, float32 (after, before)."""
    position = np.arange(after) * ((before - 1) / max(after - 1, 1))
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(before))).astype(np.float32)


def _check(
    data: ImageData | StoredImages,
    batch_size: int,
    data_format: str,
    skip: int,
    epochs: int | None,
    worker: tuple[int, int],
) -> None:
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; give at least 1.")
    if data_format not in ("channels_last", "channels_first"):
        raise ConfigError(f"data_format is {data_format!r}; give channels_last or channels_first.")
    if skip < 0:
        raise ConfigError(f"skip is {skip}; give 0 or more.")
    if epochs is not None and epochs < 1:
        raise ConfigError(f"epochs is {epochs}; give at least 1, or None for no end.")
    number, workers = worker
    if not 0 <= number < workers:
        raise ConfigError(f"worker is {worker}; give (i, R) with i from 0 to R - 1.")
    if batch_size % workers:
        raise ConfigError(f"batch_size is {batch_size}, which {workers} workers cannot share; give a multiple of it.")
    if data.count == 0:
        raise DataError(f"The data set {data.name} holds no images.")
    if skip >= data.count:
        raise DataError(f"skip is {skip}, but the data set {data.name} holds {data.count} images.")


def _pool(data: ImageData | StoredImages, skip: int, only_class: int | None) -> np.ndarray:
    """The numbers of the images that are used, ascending."""
    if only_class is None:
        return np.arange(skip, data.count)
    if not 0 <= only_class < data.num_class:
        raise ConfigError(f"only_class is {only_class}; {data.name} has the classes 0 to {data.num_class - 1}.")
    labels = data.labels
    assert labels is not None  # as there are classes
    pool = skip + np.flatnonzero(labels[skip:] == only_class)
    if not len(pool):
        raise DataError(f"The data set {data.name} holds no images of class {only_class}.")
    return pool


def _order(data: ImageData | StoredImages, pool: np.ndarray, seed: int, batch_of_class: int | None) -> Order:
    if batch_of_class is not None:
        labels = data.labels
        assert labels is not None  # as was checked at first
        return order.same_class(pool, labels, seed, batch_of_class, getattr(data, "window", None))
    if data.mode == "memory":
        return order.shuffled(pool, seed)
    stored: Any = data  # StoredImages, as they are not in memory
    return order.windowed(pool, seed, stored.chunk, stored.window)


class _NamedErrors(tf.data.Dataset):
    """A data set of what a generator function yields, made in the background, which raises this library's errors.

    tf.data turns Python's errors into UnknownErrors with a traceback in their text, and prints them. So, when Python
    iterates over this data set, an error of this library ends the stream and is raised then. When another data set
    reads this one, that would be an end without an error, so tf.data handles it in its own way.
    """

    def __init__(self, stream: Callable[[], Iterator[Any]], signature: Any, prefetch: int) -> None:
        """Creates the data set.

        Args:
            stream: Called for each iteration.
            signature: tf.TensorSpecs of the elements.
            prefetch: Number of elements that are made ahead.
        """
        self._stream, self._signature, self._prefetch = stream, signature, prefetch
        self._dataset = self._made(stream)
        super().__init__(self._dataset._variant_tensor)  # as TensorFlow I/O's data sets do it

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._dataset]

    @property
    def element_spec(self) -> Any:
        return self._dataset.element_spec

    def __iter__(self) -> Iterator[Any]:
        if not tf.executing_eagerly():  # such as within a tf.function
            return super().__iter__()
        return self._watch()

    def _watch(self) -> Iterator[Any]:
        """The elements, from a data set of this iteration alone, so that its error is its own."""
        errors: list[MmdGanError] = []
        stream = self._stream  # not `self`: TensorFlow would keep it, and the stream's images, in a cycle

        def elements() -> Iterator[Any]:
            try:
                yield from stream()
            except MmdGanError as error:
                errors.append(error)

        yield from self._made(elements)
        if errors:
            raise errors.pop()

    def _made(self, stream: Callable[[], Iterator[Any]]) -> tf.data.Dataset:
        # TensorFlow never frees the function that it is given, so that must not keep the stream and its images: the
        # data set does, which every iterator and every data set made from it keep.
        reference: Any = weakref.ref(stream)
        made = tf.data.Dataset.from_generator(lambda: reference()(), output_signature=self._signature)
        made = made.prefetch(self._prefetch)
        made.stream = stream
        return made


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
        for part in blocks(len(numbers), size, _READ_BYTES):
            if self._stopped.is_set():
                break
            self._data.read(numbers[part], images[part], labels[part])
        return Window(stop, positions, rows, images, labels, memory)


def _memory(size: int) -> np.ndarray:
    """Memory that is returned to the system once it is freed, whatever the allocator keeps."""
    return np.frombuffer(mmap.mmap(-1, size), np.uint8)
