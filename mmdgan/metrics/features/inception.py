"""Features of the 2015 Inception graph, which FID and IS are defined by.

Input `Mul:0` (N, 299, 299, 3) in [-1, 1]; outputs `logits:0` (N, 1008) and `pool_3:0` (N, 1, 1, 2048). The original
resizes with TensorFlow 1's bilinear method (`legacy`) and runs a hundred images at a time; so does this module, unless
another method is asked for.
"""

from __future__ import annotations

import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from mmdgan.core.errors import MetricError
from mmdgan.metrics.digests import digest_files
from mmdgan.metrics.features.inception_files import LOGITS, POOL, load_graph
from mmdgan.metrics.features.resizing import METHODS, check_method, resize_images

SIDE = 299
BATCH = 100


class InceptionFeatures:
    """The extractor of the 2015 Inception graph.

    Attributes:
        label: "inception".
        feature_count: F, the number of features; 2048 in the real graph.
        resize: the method of `resizing` that brings images to 299x299.
        batch_size: images that are run at a time.
    """

    label = "inception"
    batch_size = BATCH

    def __init__(self, path: Path, resize: str | None = None) -> None:
        """Loads the graph and tries it on two images.

        Args:
            path: a frozen graph (.pb), an archive of one or of a SavedModel (.tar.gz), or a SavedModel folder.
            resize: as above; None for "legacy".

        Raises:
            MetricError: the file is not such a graph, or there is no such method.
        """
        self._path, self.resize = path, check_method(resize or "legacy")
        try:
            run = load_graph(path)
            features, _ = _outputs(run, _prepare(tf.zeros((2, 8, 8, 3), tf.uint8), self.resize))
        except (tf.errors.OpError, ValueError, TypeError, OSError, DecodeError, tarfile.TarError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise MetricError(f"The Inception graph {path} cannot be used: {reason}") from error
        self._run = tf.function(lambda images: _outputs(run, _prepare(images, self.resize)), reduce_retracing=True)
        self.feature_count = int(features.shape[1])
        self._hash = digest_files(path)

    def protocol(self) -> dict:
        """Where the features come from, as JSON-able entries of every score's record."""
        return {
            "features": self.label,
            "feature_source": str(self._path),
            "feature_hash": self._hash,
            "feature_count": self.feature_count,
            "resize": f"{METHODS[self.resize]} to {SIDE}x{SIDE}, grey repeated to 3 channels",
        }

    def extract(self, images: np.ndarray, progress: Callable | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Runs images through the graph.

        Args:
            images: uint8 (N, H, W, 3) or (N, H, W, 1).
            progress: takes a sentence every ten seconds.

        Returns:
            features (N, F) and logits (N, K), float32.
        """
        features, logits, said = [], [], time.monotonic()
        for start in range(0, len(images), BATCH):
            if progress and time.monotonic() - said > 10:
                progress(f"Inception features: {start:,} of {len(images):,} images")
                said = time.monotonic()
            batch_features, batch_logits = self._run(tf.constant(images[start : start + BATCH]))
            features.append(batch_features.numpy())
            logits.append(batch_logits.numpy())
        return np.concatenate(features), np.concatenate(logits)


def _outputs(run: Callable, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Features (N, F) and logits (N, K) of prepared images."""
    outputs = run(images)
    if not isinstance(outputs, dict):
        raise ValueError(f"it gives no outputs by the names {POOL} and {LOGITS}.")
    outputs = {name.removesuffix(":0"): output for name, output in outputs.items()}
    missing = {LOGITS, POOL} - set(outputs)
    if missing:
        raise ValueError(f"it gives {sorted(outputs)}, without {', '.join(sorted(missing))}.")
    count = tf.shape(images)[0]
    pool, logits = outputs[POOL], outputs[LOGITS]
    features = tf.reshape(pool, (count, int(np.prod(pool.shape[1:]))))
    return features, tf.reshape(logits, (count, int(np.prod(logits.shape[1:]))))


def _prepare(images: tf.Tensor, resize: str) -> tf.Tensor:
    """uint8 (N, H, W, C) to float32 (N, 299, 299, 3) in [-1, 1]."""
    scaled = resize_images(images, (SIDE, SIDE), resize) / 127.5 - 1.0
    return tf.repeat(scaled, 3, axis=-1) if images.shape[-1] == 1 else scaled
