"""Sliced Wasserstein distances against tensorflow-gan's whole function with the same patches and directions."""

import itertools
import tracemalloc

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.metrics.features import tfgan
from mmdgan.metrics.scores import swd


def _images(count, side, channels=3, seed=0, contrast=1.0, grain=20):
    random = np.random.default_rng(seed)
    noise = random.normal(size=(count, side, side, channels))
    smooth = np.cumsum(np.cumsum(noise, axis=1), axis=2) * 6
    return np.clip(128 + contrast * smooth + grain * noise, 0, 255).astype(np.uint8)


def _theirs(x, y, patches, monkeypatch, svd):
    """tensorflow-gan's distances of x and y; `swd` is made to draw the same patches and directions."""
    corners, directions = [], []
    randint, normal = np.random.randint, tf.random.normal

    def recorded_corners(low, high, size):
        corners.append(randint(low, high, size=size))
        return corners[-1]

    def recorded_directions(shape):
        directions.append(normal(shape, seed=len(directions)))
        return directions[-1]

    with monkeypatch.context() as patch:
        patch.setattr(np.random, "randint", recorded_corners)
        patch.setattr(tf.random, "normal", recorded_directions)
        np.random.seed(4)
        found = tfgan.load("sliced_wasserstein").sliced_wasserstein_distance(
            tf.constant(x, tf.float32), tf.constant(y, tf.float32), patches_per_image=patches, use_svd=svd
        )
    places = [np.stack([c.ravel() - 3 for c in corners[i : i + 2]], axis=1) for i in range(0, len(corners), 2)]
    # Real images twice at each level, then generated ones at each level; directions twice at each level.
    drawn = iter([places[: 2 * len(found) : 2], places[2 * len(found) :]])
    monkeypatch.setattr(swd, "_draw_places", lambda random, count, sides: next(drawn))
    unit = [d / np.linalg.norm(d, axis=0) for d in directions[1::2]]
    monkeypatch.setattr(swd, "_draw_directions", lambda random, shape: np.array(unit, np.float32))
    return [float(fake) for _, fake in found]


@pytest.mark.parametrize("svd", [False, True], ids=["random directions", "singular vectors"])
@pytest.mark.parametrize("side", [64, 48])
def test_it_equals_tensorflow_gans(side, svd, monkeypatch):
    monkeypatch.setattr(swd, "_BATCH_VALUES", 3 * side * side * 3)  # three images at a time
    monkeypatch.setattr(swd, "MEMORY", 2**16)  # several passes
    x, y = _images(8, side), _images(8, side, seed=1, contrast=0.3)
    theirs = _theirs(x, y, 16, monkeypatch, svd)
    ours = metrics.sliced_wasserstein(x, y, patches_per_image=16, svd=svd)
    assert len(theirs) == len(swd.levels(side)) and min(theirs) > 0.05
    np.testing.assert_allclose(ours, theirs, rtol=1e-3 if svd else 1e-4)


@pytest.mark.parametrize("side", [64, 48, 17])
def test_the_pyramid_is_tensorflow_gans(side):
    images, count = _images(3, side).astype(np.float32), len(swd.levels(side - side % 2))
    theirs = tfgan.load("sliced_wasserstein").laplacian_pyramid(tf.constant(images), 1 if side % 2 else count)
    planes = np.moveaxis(images, 3, 1)
    for level, (reduced, coarse) in zip(theirs, swd._pyramid_maps(side, len(theirs)), strict=True):
        ours = reduced @ planes @ reduced.T - (0 if coarse is None else coarse @ planes @ coarse.T)
        np.testing.assert_allclose(np.moveaxis(ours, 1, 3), level, atol=1e-4)


def test_floats_are_the_same_images():
    x, y = _images(8, 32), _images(8, 32, seed=1)
    floats = [images.astype(np.float32) / 127.5 - 1 for images in (x, y)]
    ours = metrics.sliced_wasserstein(x, y)
    np.testing.assert_allclose(metrics.sliced_wasserstein(*floats), ours, rtol=1e-3)
    # Patches are normalised, so that the original's brightness makes no difference but that of epsilon.
    np.testing.assert_allclose(metrics.sliced_wasserstein(x, y, legacy=True), ours, rtol=1e-3)
    assert (metrics.sliced_wasserstein(x, y, legacy=True, epsilon=1e3) != ours).all()


def test_one_level_equals_scipy(monkeypatch):
    """At 16 pixels there is no pyramid: patches of the images, cut and normalised one by one; each image is a group."""
    x, y = _images(10, 16), _images(10, 16, seed=1, contrast=0.5)
    random = np.random.default_rng(2)
    corners = [random.integers(0, 10, (10 * 5, 2)) for _ in range(2)]
    directions = random.normal(size=(1, 147, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    drawn = itertools.cycle(corners)
    monkeypatch.setattr(swd, "_draw_places", lambda *_: [next(drawn)])
    monkeypatch.setattr(swd, "_draw_directions", lambda *_: directions.astype(np.float32))
    projected = []
    for images, places in zip((x, y), corners, strict=True):
        patches = [images[i // 5, r : r + 7, c : c + 7].astype(float).ravel() for i, (r, c) in enumerate(places)]
        projected.append(np.array([(p - p.mean()) / p.std() for p in patches]) @ directions[0])

    def distance(i, kept):
        return scipy.stats.wasserstein_distance(*(values[kept, i] for values in projected))

    expected, image = [distance(i, slice(None)) for i in range(3)], np.arange(50) // 5
    assert metrics.sliced_wasserstein(x, y, patches_per_image=5) == pytest.approx([np.mean(expected)], rel=1e-5)
    found, without, scatter = swd.sliced_wasserstein_without(x, y, seed=0, jackknifed=2, patches_per_image=5)
    assert found == pytest.approx([np.mean(expected)], rel=1e-5)
    left_out = [np.mean([distance(i, image != group) for i in range(2)]) for group in range(10)]
    np.testing.assert_allclose(without, [left_out], rtol=1e-5)
    assert scatter == pytest.approx([np.std(expected) / np.sqrt(2)], rel=1e-4)


def test_patches_without_contrast_leave_it_finite():
    x, flat = _images(6, 32), np.full((6, 32, 32, 3), 200, np.uint8)
    flat[:, :5] = 17
    theirs = tfgan.load("sliced_wasserstein").sliced_wasserstein_distance(
        tf.constant(x, tf.float32), tf.constant(flat, tf.float32), patches_per_image=16, use_svd=False
    )
    assert np.isnan([float(fake) for _, fake in theirs]).any()
    for svd in (False, True):
        distance = metrics.sliced_wasserstein(x, flat, patches_per_image=16, svd=svd)
        assert np.isfinite(distance).all() and (distance > 0.2).all() and (distance < 2).all()
    same = np.full((3, 16, 16, 3), 200, np.uint8)
    assert metrics.sliced_wasserstein(same, same + 9).tolist() == [0.0]


def test_it_grows_with_the_difference():
    x, y = _images(48, 32, grain=1), _images(48, 32, seed=1, grain=1)
    noise = np.random.default_rng(2).normal(size=y.shape)
    noisy = [np.clip(y + sigma * noise, 0, 255).astype(np.uint8) for sigma in (0, 10, 40)]
    distances = np.array([metrics.sliced_wasserstein(x, images) for images in noisy])
    assert (np.diff(distances[:, 0]) > 0).all() and distances[2, 0] > 1.4 * distances[0, 0]


def test_grey_images_are_compared():
    x, y = _images(20, 32, 1), _images(20, 32, 1, seed=1)
    assert metrics.sliced_wasserstein(x, y).shape == (2,)
    # A grey image in three equal channels has the same patches, but for what a direction does to their number.
    grey, colour = (
        metrics.sliced_wasserstein(x.repeat(channels, axis=3), y.repeat(channels, axis=3), projections=2000)
        for channels in (1, 3)
    )
    np.testing.assert_allclose(colour, grey, rtol=0.05)


def test_the_seed_decides_and_numpys_generator_is_left_alone():
    x, y = _images(8, 32), _images(8, 32, seed=1)
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = metrics.sliced_wasserstein(x, y, seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_array_equal(metrics.sliced_wasserstein(x, y, seed=1), first)
    assert (metrics.sliced_wasserstein(x, y, seed=2) != first).any()


def test_the_larger_set_is_cut():
    x, y = _images(8, 32), _images(12, 32, seed=1)
    np.testing.assert_array_equal(metrics.sliced_wasserstein(x, y), metrics.sliced_wasserstein(x, y[:8]))


def test_memory_is_bounded(monkeypatch):
    """Patches of 2,000 images at 8 a level would be 9 MB a set and level; 4 MB of projections are allowed."""
    monkeypatch.setattr(swd, "MEMORY", 2**22)
    monkeypatch.setattr(swd, "_BATCH_VALUES", 2**16)
    x = _images(2000, 16)
    metrics.sliced_wasserstein(x[:8], x[:8])
    tracemalloc.start()
    metrics.sliced_wasserstein(x, x, patches_per_image=8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6.5e6


def test_levels():
    assert swd.levels(32) == [32, 16] and swd.levels(256) == [256, 128, 64, 32, 16]
    assert swd.levels(48) == [48, 24] and swd.levels(96) == [96, 48, 24]
    assert swd.levels(16) == [16] and swd.levels(8) == [8]


def test_images_that_do_not_fit_are_refused():
    x = _images(4, 32)
    with pytest.raises(MetricError, match=r"square images .* not \(4, 32, 32, 3\) and \(4, 16, 16, 3\)"):
        metrics.sliced_wasserstein(x, _images(4, 16))
    with pytest.raises(MetricError, match="square images"):
        metrics.sliced_wasserstein(x[:, :16], x[:, :16])
    with pytest.raises(MetricError, match="multiple of 4, not 70"):
        swd.levels(70)
    with pytest.raises(MetricError, match="at least 7 pixels a side, not 6"):
        swd.levels(6)
