"""Batches of a data set for training: shuffled anew in every epoch, with random access by step.

The stream of images is epoch after epoch, each in its own order; step s takes the images s*B .. s*B + B - 1
of it, so a batch may straddle two epochs and every image is seen equally often. The order depends on (seed,
epoch) alone: a resumed run sees exactly what an undisturbed one would have seen.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mmdgan.data.images import ImageData
from mmdgan.data.shuffling import permutation
from mmdgan.errors import ConfigError, DataError

if TYPE_CHECKING:
    import tensorflow as tf

PREFETCH = 4
_REAL_IMAGES_STREAM = 2**63  # far from any epoch's number, so that no training order repeats it


class Pipeline:
    """Batches of uint8 images (and labels) of one data set."""

    def __init__(
        self,
        data: ImageData,
        batch_size: int,
        *,
        seed: int = 0,
        data_format: str = "channels_last",
        labels: bool = False,
    ) -> None:
        """Prepares the stream; no image is touched yet.

        Args:
            data: the data set.
            batch_size: images per batch, B.
            seed: with the epoch's number it gives the order.
            data_format: "channels_last" for (B, H, W, C), "channels_first" for (B, C, H, W).
            labels: whether batches hold "y" too.

        Raises:
            ConfigError: a batch size below 1 or an unknown data format.
            DataError: labels wanted of a data set without labels, or an empty data set.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; give at least 1.")
        if data_format not in ("channels_last", "channels_first"):
            raise ConfigError(f"data_format is {data_format!r}; give channels_last or channels_first.")
        if labels and data.labels is None:
            raise DataError(f"The data set {data.name} has no labels; train without classes or prepare it with labels.")
        if data.count == 0:
            raise DataError(f"The data set {data.name} holds no images.")
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.data_format = data_format
        self.labels = labels
        self._order = functools.lru_cache(maxsize=2)(functools.partial(permutation, data.count, seed))

    def indices(self, step: int) -> np.ndarray:
        """The numbers of the images of a step's batch, int64 (B,)."""
        epoch, start = divmod(step * self.batch_size, self.data.count)
        parts, missing = [], self.batch_size
        while missing:
            part = self._order(epoch)[start : start + missing]
            parts.append(part)
            missing -= len(part)
            epoch, start = epoch + 1, 0
        return np.concatenate(parts)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step, counted from 0.

        Returns:
            "x": uint8 (B, H, W, C) or (B, C, H, W); with labels also "y": int32 (B, 1).
        """
        indices = self.indices(step)
        images = self.data.images[indices]
        if self.data_format == "channels_last":
            images = channels_last(images)
        batch = {"x": images}
        if self.labels:
            batch["y"] = self.data.labels[indices].astype(np.int32)[:, None]
        return batch

    def dataset(self, first_step: int = 0) -> tf.data.Dataset:
        """The endless stream of batches from a step on, prepared in the background.

        Returns:
            a tf.data.Dataset whose elements are the dictionaries of `batch`.
        """
        import tensorflow as tf

        def batches() -> Iterator[dict[str, np.ndarray]]:
            step = first_step
            while True:
                yield self.batch(step)
                step += 1

        channels, height, width = self.data.shape
        shape = (height, width, channels) if self.data_format == "channels_last" else self.data.shape
        signature = {"x": tf.TensorSpec((self.batch_size, *shape), tf.uint8)}
        if self.labels:
            signature["y"] = tf.TensorSpec((self.batch_size, 1), tf.int32)
        return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(PREFETCH)

    def real_images(self, count: int, seed: int = 0) -> np.ndarray:
        """Different images of the set in random order, for comparison with generated ones.

        Args:
            count: how many.
            seed: gives the choice; it is independent of the training order.

        Returns:
            uint8 (count, H, W, C), whatever the pipeline's data format.

        Raises:
            DataError: more images wanted than there are.
        """
        if count > self.data.count:
            raise DataError(f"{count} different images of {self.data.name} are wanted; it holds {self.data.count}.")
        chosen = permutation(self.data.count, seed, _REAL_IMAGES_STREAM)[:count]
        return channels_last(self.data.images[chosen])


def channels_last(images: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) as a contiguous array (N, H, W, C)."""
    count, channels, height, width = images.shape
    result = np.empty((count, height, width, channels), images.dtype)
    for channel in range(channels):  # three times as quick as a copy of the transpose
        result[..., channel] = images[:, channel]
    return result
