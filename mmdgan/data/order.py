"""The order in which training sees the images: a function of the seed and the epoch alone.

In memory each epoch is one permutation of all images. On disk neighbouring images stay together in chunks: the
chunks are permuted, and then the images within windows of many chunks, so that a window is read nearly
sequentially. A set that fits into one window has the same order in both cases.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from mmdgan.core.shuffling import permutation, raw_words

# Streams of random words; those of the epochs are 0, 1, 2, ..., so these are far from any epoch's number.
_CHUNKS = 2**61
_BATCHES = 2**62
REAL_IMAGES = 2**63
_FLIPS = 2**63 + 1


class Order:
    """An endless stream of image numbers, epoch after epoch.

    Attributes:
        length: Images per epoch.
        window: Positions that are read together when images are streamed; each epoch begins with a new window.
    """

    def __init__(self, length: int, epoch: Callable[[int], np.ndarray], window: int | None = None) -> None:
        """Creates an order; `shuffled`, `windowed` and `same_class` do that for a data set.

        Args:
            length: Images per epoch.
            epoch: (number) -> int64 (length,), the numbers of an epoch's images.
            window: Positions that are read together; by default a whole epoch.
        """
        self.length = length
        self.window = min(window or length, length)
        self.epoch = functools.lru_cache(maxsize=2)(epoch)

    def indices(self, start: int, stop: int) -> np.ndarray:
        """The images at positions start .. stop - 1 of the stream, int64 (stop - start,)."""
        parts = [np.empty(0, np.int64)]
        while start < stop:
            epoch, first = divmod(start, self.length)
            parts.append(self.epoch(epoch)[first : first + stop - start])
            start += len(parts[-1])
        return np.concatenate(parts)

    def window_end(self, position: int) -> int:
        """The position at which the window of `position` ends."""
        epoch, first = divmod(position, self.length)
        return epoch * self.length + min(self.length, (first // self.window + 1) * self.window)


def shuffled(pool: np.ndarray, seed: int) -> Order:
    """Every image once an epoch, all of them permuted; arguments as `windowed`."""
    return Order(len(pool), lambda epoch: pool[permutation(len(pool), seed, epoch)])


def windowed(pool: np.ndarray, seed: int, chunk: int, window: int) -> Order:
    """Every image once an epoch: chunks of neighbours are permuted, then the images within each window.

    Args:
        pool: The numbers of the images, ascending, int64 (n,).
        seed: Determines the order, together with the epoch's number.
        chunk: Images per chunk.
        window: Images per window.
    """
    count = len(pool)
    if count <= window:
        return shuffled(pool, seed)

    def epoch(number: int) -> np.ndarray:
        chunks = permutation(-(-count // chunk), seed, _CHUNKS + number)
        order = (chunks[:, None] * chunk + np.arange(chunk)).ravel()
        order = order[order < count]  # the last chunk may be shorter
        words = raw_words(count, seed, number)
        for start in range(0, count, window):
            part = slice(start, start + window)
            order[part] = order[part][np.argsort(words[part], kind="stable")]
        return pool[order]

    return Order(count, epoch, window)


def same_class(pool: np.ndarray, labels: np.ndarray, seed: int, batch_size: int, window: int | None = None) -> Order:
    """Batches of one class each: every image at least once an epoch.

    Each class is permuted and cut into batches, the last one filled up from the class's beginning; then the
    batches of all classes are permuted.

    Args:
        pool, seed, window: As in `windowed`.
        labels: The labels of all images, int64 (N,).
        batch_size: Images per batch, B. An epoch has a multiple of B positions, so that no batch straddles two.
    """
    own = labels[pool]
    counts = np.unique(own, return_counts=True)[1]
    ends, filled = np.cumsum(counts), -(-counts // batch_size) * batch_size
    by_class = np.argsort(own, kind="stable")

    def epoch(number: int) -> np.ndarray:
        words = raw_words(len(own), seed, number)
        classes = [part[np.argsort(words[part], kind="stable")] for part in np.split(by_class, ends[:-1])]
        positions = [np.resize(part, size) for part, size in zip(classes, filled, strict=True)]
        batches = np.concatenate(positions).reshape(-1, batch_size)
        return pool[batches[permutation(len(batches), seed, _BATCHES + number)].ravel()]

    return Order(int(filled.sum()), epoch, window)


def coins(start: int, stop: int, seed: int) -> np.ndarray:
    """Fair coins for positions start .. stop - 1 of the stream, bool (stop - start,), one of each position."""
    # Philox makes four words per count; NumPy counts before it makes them.
    first, last = start // 4, -(-stop // 4)
    philox = np.random.Philox(key=np.array([seed % 2**64, _FLIPS], np.uint64), counter=first)
    words = philox.random_raw((last - first) * 4)[start - first * 4 :][: stop - start]
    return words >= np.uint64(2**63)
