"""Three ways to bring images to a network's size; a score depends on which one it was (Parmar et al. 2022).

legacy: TensorFlow 1's bilinear method, without half-pixel centres nor aligned corners, as the original's.
tfgan: bilinear with half-pixel centres and without antialiasing, what tensorflow-gan's own evaluations call.
clean: antialiased bicubic as clean-fid's: Pillow's method on floating-point channels, clipped to [0, 255], not rounded.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

from mmdgan.core.errors import MetricError

METHODS = {
    "legacy": "legacy bilinear",
    "tfgan": "tfgan bilinear (half-pixel centres)",
    "clean": "clean antialiased bicubic",
}
"""The names, and how the records of scores describe each."""


def check_method(resize: str) -> str:
    """Returns the name of a method; MetricError for any other name."""
    if resize not in METHODS:
        raise MetricError(f"There is no resize {resize!r}: choose one of {', '.join(METHODS)}.")
    return resize


def resize_images(images: tf.Tensor, size: tuple[int, int], method: str) -> tf.Tensor:
    """Resizes images; those of this size stay as they are.

    Args:
        images: uint8 (n, H, W, C).
        size: Height S and width T.
        method: One of `METHODS`.

    Returns:
        float32 (n, S, T, C) in [0, 255].
    """
    check_method(method)
    images = tf.cast(images, tf.float32)
    if tuple(images.shape[1:3]) == tuple(size):
        return images
    if method == "legacy":
        return tf.raw_ops.ResizeBilinear(images=images, size=size, align_corners=False, half_pixel_centers=False)
    if method == "tfgan":
        return tf.image.resize(images, size, tf.image.ResizeMethod.BILINEAR)
    return _resize_clean(images, size)


def _resize_clean(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Two products with a matrix: resizing is linear, and the same along all rows and all columns."""
    height, width, channels = images.shape[1:]
    rows, columns = _bicubic_weights(height, size[0]), _bicubic_weights(width, size[1])
    planes = tf.reshape(tf.transpose(images, (0, 3, 1, 2)), (-1, width))
    wide = tf.reshape(tf.matmul(planes, columns, transpose_b=True), (-1, height, size[1]))
    whole = tf.clip_by_value(tf.matmul(rows, wide), 0.0, 255.0)
    return tf.transpose(tf.reshape(whole, (-1, channels, *size)), (0, 2, 3, 1))


@functools.lru_cache(maxsize=16)
def _bicubic_weights(before: int, after: int) -> np.ndarray:
    """Weights of the pixels of a column in each pixel of the resized one, float32 (after, before): Pillow's own."""
    from PIL import Image

    identity = Image.fromarray(np.eye(before, dtype=np.float32))
    return np.asarray(identity.resize((before, after), Image.Resampling.BICUBIC))
