"""What all networks that give features have in common: batches, a protocol, and how images get the network's size.

There are three ways to resize, and a score depends on which one it was (Parmar et al. 2022):

legacy: TensorFlow 1's bilinear method, without half-pixel centres nor aligned corners, as the original's.
tfgan: bilinear with half-pixel centres and without antialiasing, what tensorflow-gan's own evaluations call.
clean: antialiased bicubic as clean-fid's: Pillow's method on floating-point channels, clipped to [0, 255], not rounded.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from typing import Any

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np, tf
from mmdgan.core.text import first_line

METHODS = {
    "legacy": "legacy bilinear",
    "tfgan": "tfgan bilinear (half-pixel centres)",
    "clean": "clean antialiased bicubic",
}
"""The names, and how the records of scores describe each."""


class Extractor:
    """Turns images into features and logits; each kind of network is a subclass that has `_compute`.

    Sets of images may differ in size, and in channels where the network takes both: grey images are repeated to the
    three channels of a network for colours. One with `class_names` says which classes the logits stand for.

    Attributes:
        label: Such as "inception", "classifier", "classifier:NAME", "keras:NAME" or "clip"; the scores' names follow
            from it.
        feature_count: Number of features F, known before the first image is seen.
        logit_count: Number of logits K, where it is known before the first image; 0 for a network without logits.
        resize: How images are brought to the network's size: one of `METHODS`, or the classifier's own.
        batch_size: Number of images that are run at a time.
    """

    label: str
    feature_count: int
    logit_count: int | None = None
    resize: str
    batch_size: int = 100
    _source: str  # where the network comes from
    _hash: str
    _resize_text: str  # how images are resized, in words

    def _compute(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Features (n, F) and logits (n, K), float32, of images uint8 (n, H, W, C), whose H, W and C are known."""
        raise NotImplementedError

    def protocol(self) -> dict:
        """Where the features come from, as JSON-able entries of every score's record."""
        return {
            "features": self.label,
            "feature_source": self._source,
            "feature_hash": self._hash,
            "feature_count": self.feature_count,
            "resize": self._resize_text,
        }

    def extract(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Runs images through the network.

        Args:
            images: uint8 (N, H, W, C).

        Returns:
            Features (N, F) and logits (N, K), float32; K is 0 for a network without logits.

        Raises:
            MetricError: The images have another number of channels than the network takes, or it does not run on
                images of their size.
        """
        self._check_channels(images.shape[-1])
        parts = []
        for start in range(0, len(images), self.batch_size):
            try:
                # Concrete: TensorFlow counts the tracings of all extractors together, and warns of the fifth.
                run = self._traced.get_concrete_function(tf.TensorSpec((None, *images.shape[1:]), tf.uint8))
                outputs = run(tf.constant(images[start : start + self.batch_size]))
            except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
                height, width, channels = images.shape[1:]
                raise MetricError(
                    f"The {self.label} features cannot be computed of {height}x{width}x{channels} images "
                    f"({first_line(error).rstrip('.')}): bring the images to the network's size, or name another "
                    "network with --features."
                ) from error
            parts.append([part.numpy() for part in outputs])
        features, logits = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return features, logits

    @functools.cached_property
    def _traced(self) -> Any:
        return tf.function(self._compute)

    def _check_channels(self, channels: int) -> None:
        """Raises a MetricError if the network does not take images of so many channels."""


def digest_arrays(arrays: Iterable[np.ndarray]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of arrays, such as a network's weights."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:16]


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
