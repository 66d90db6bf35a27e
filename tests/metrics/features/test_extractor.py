"""The three ways to resize, each against an independent one."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mmdgan.core.errors import MetricError
from mmdgan.metrics.features.extractor import METHODS, Extractor, check_method, resize_images


def _images(height=11, width=17, channels=3, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def _bilinear(images, size, positions):
    """Bilinear interpolation by loops, at `positions(side, wanted)` along each axis."""
    result = np.empty((len(images), *size, images.shape[-1]))
    rows, columns = (positions(side, wanted) for side, wanted in zip(images.shape[1:3], size, strict=True))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            value = 0
            for row, share in ((int(np.floor(y)), 1 - y % 1), (int(np.floor(y)) + 1, y % 1)):
                for column, part in ((int(np.floor(x)), 1 - x % 1), (int(np.floor(x)) + 1, x % 1)):
                    at = np.clip(row, 0, images.shape[1] - 1), np.clip(column, 0, images.shape[2] - 1)
                    value = value + share * part * images[:, at[0], at[1]].astype(float)
            result[:, i, j] = value
    return result


POSITIONS = {
    "legacy": lambda side, wanted: np.arange(wanted) * side / wanted,
    "tfgan": lambda side, wanted: (np.arange(wanted) + 0.5) * side / wanted - 0.5,
}


@pytest.mark.parametrize("size", [(29, 23), (7, 30), (5, 6)])
@pytest.mark.parametrize("method", POSITIONS)
def test_bilinear_by_loops(method, size):
    images = _images()
    found = resize_images(tf.constant(images), size, method)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, _bilinear(images, size, POSITIONS[method]), atol=1e-3)


def test_tfgan_is_what_tensorflow_gans_evaluation_calls():
    images = _images() / 127.5 - 1.0
    expected = tf.image.resize(images, [29, 23], method=tf.image.ResizeMethod.BILINEAR)
    found = resize_images(tf.constant(_images()), (29, 23), "tfgan") / 127.5 - 1.0
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(29, 23), (7, 30), (5, 6), (11, 8), (299, 299)])
def test_clean_is_pillow_channel_by_channel(size, channels):
    images = _images(channels=channels)
    images[0, :4, :6] = 0  # overshooting beyond [0, 255]
    images[0, 4:, 6:] = 255
    found = resize_images(tf.constant(images), size, "clean").numpy()
    for image, result in zip(images, found, strict=True):
        for channel in range(channels):
            plane = Image.fromarray(image[..., channel].astype(np.float32))
            expected = np.asarray(plane.resize(size[::-1], Image.Resampling.BICUBIC)).clip(0, 255)
            np.testing.assert_allclose(result[..., channel], expected, atol=1e-3)
    assert found.min() == 0 and found.max() == 255
    assert np.abs(found - np.rint(found)).max() > 0.1  # not rounded


@pytest.mark.parametrize("method", METHODS)
def test_images_of_the_size_stay(method):
    images = _images()
    np.testing.assert_array_equal(resize_images(tf.constant(images), (11, 17), method), images)


@pytest.mark.parametrize("method", METHODS)
def test_it_runs_in_a_graph_with_any_number_of_images(method):
    run = tf.function(
        lambda images: resize_images(images, (20, 9), method), [tf.TensorSpec((None, 11, 17, 3), tf.uint8)]
    )
    for count in (1, 3):
        images = tf.constant(_images(count=count))
        np.testing.assert_allclose(run(images), resize_images(images, (20, 9), method), atol=1e-3)


def test_other_names_are_refused():
    with pytest.raises(MetricError, match="no resize 'bicubic': choose one of legacy, tfgan, clean"):
        check_method("bicubic")


class Means(Extractor):
    """Mean colours, two images at a time, and how often it was traced."""

    batch_size = 2
    traced = 0

    def _compute(self, images):
        self.traced += 1
        means = tf.reduce_mean(tf.cast(images, tf.float32), axis=(1, 2))
        return means, means[:, :0]


def test_features_of_batches_and_sizes(tensorflow_warnings):
    """Of several networks one after another, each traced once for a size: nothing that TensorFlow warns of."""
    for _ in range(6):
        means = Means()
        for images in (_images(count=5), _images(4, 6, count=3), _images(count=2)):
            features, logits = means.extract(images)
            np.testing.assert_allclose(features, images.mean(axis=(1, 2)), rtol=1e-5)
            assert logits.shape == (len(images), 0)
        assert means.traced == 2
    assert tensorflow_warnings == []
