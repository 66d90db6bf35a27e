"""Latent codes and class labels, and images from them (spec F.1, F.2).

Codes are a function of the seed and of their index alone, so that asking for more samples does not change the
first ones, and a sample does not depend on the batch in which it was made. The same holds of labels, which are
None for unconditional generators (less than 2 classes) throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

# Separates the streams of codes that are drawn with one seed.
_GRID, _SCORES, _LABELS = 1, 2, 3


def random_codes(count: int, code_size: int, seed: int | tuple[int, ...] = 0) -> np.ndarray:
    """Codes from N(0, 1): float32 (count, code_size). The first n rows are the same for every count >= n."""
    return np.random.default_rng(seed).standard_normal((count, code_size), dtype=np.float32)


def grid_codes(count: int, code_size: int, seed: int = 0) -> np.ndarray:
    """The fixed codes of a run's grids of samples (the original's 400), float32 (count, code_size)."""
    return random_codes(count, code_size, (seed, _GRID))


def score_codes(count: int, code_size: int, seed: int = 0) -> np.ndarray:
    """The codes whose images are scored, float32 (count, code_size); other ones than the grids'."""
    return random_codes(count, code_size, (seed, _SCORES))


def cycled_labels(count: int, num_class: int, columns: int | None = None) -> np.ndarray | None:
    """Labels that go through the classes: int32 (count, 1), or None.

    Args:
      count: how many.
      num_class: number of classes.
      columns: of a grid of pictures, whose column j shows class j mod num_class; without it sample i is of class
        i mod num_class.
    """
    if num_class < 2:
        return None
    index = np.arange(count, dtype=np.int32)
    return (index % (columns or max(count, 1)) % num_class)[:, None]


def score_labels(count: int, num_class: int, seed: int = 0) -> np.ndarray | None:
    """The labels of the images that are scored: uniform, int32 (count, 1), or None."""
    if num_class < 2:
        return None
    return np.random.default_rng((seed, _LABELS)).integers(num_class, size=(count, 1), dtype=np.int32)


def slerp(start: np.ndarray, end: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    """Spherical interpolation between two codes: by the angle between them, applied to the codes as they are.

    Nearly parallel or opposite codes (a sine of at most 0.1) are interpolated linearly, as in the original.

    Args:
      start: (code_size,), the result for share 0.
      end: (code_size,), the result for share 1.
      share: a number, or (N,).

    Returns:
      (code_size,), or (N, code_size). Source: Shoemake 1985; White 2016 for latent codes.
    """
    start, end = np.asarray(start), np.asarray(end)
    share = np.asarray(share, np.result_type(start, end, np.float32))[..., None]
    cosine = np.dot(start, end) / (np.linalg.norm(start) * np.linalg.norm(end))
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    if np.sin(angle) <= 0.1:
        return (1.0 - share) * start + share * end
    return (np.sin((1.0 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] (clipped) to 0..255: the inverse of x / 127.5 - 1, rounded."""
    return np.rint((np.clip(images, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)


def generate(
    generator: keras.Model,
    codes: np.ndarray,
    labels: np.ndarray | None = None,
    batch_size: int = 100,
    progress: Callable[[int, int], Any] | None = None,
) -> np.ndarray:
    """Images from codes, with the generator in inference mode.

    Args:
      generator: a model of `mmdgan.build_generator`, in either data format.
      codes: float32 (N, code_size).
      labels: int (N, 1), for a conditional generator.
      batch_size: images computed at a time.
      progress: called with (done, N) after each batch.

    Returns:
      uint8 (N, H, W, C), whatever the generator's data format.
    """
    import tensorflow as tf

    # Traced once, for one shape: the last batch is filled up. Each round of a run makes a function of its own, and
    # only a concrete one comes without TensorFlow's warning about that.
    signature = tf.TensorSpec((batch_size, codes.shape[1]), tf.float32)
    if labels is not None:
        signature = {"x": signature, "y": tf.TensorSpec((batch_size, 1), tf.int32)}
    forward = tf.function(lambda inputs: generator(inputs, training=False)).get_concrete_function(signature)
    parts = []
    for start in range(0, len(codes), batch_size):
        rows = np.arange(start, start + batch_size) % len(codes)
        inputs = tf.constant(codes[rows], tf.float32)
        if labels is not None:
            inputs = {"x": inputs, "y": tf.constant(labels[rows], tf.int32)}
        images = forward(inputs).numpy()
        if generator.data_format == "channels_first":
            images = images.transpose(0, 2, 3, 1)
        parts.append(to_uint8(images[: len(codes) - start]))
        if progress is not None:
            progress(min(start + batch_size, len(codes)), len(codes))
    return np.concatenate(parts)
