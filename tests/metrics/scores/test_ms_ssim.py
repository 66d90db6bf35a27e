"""MS-SSIM against five scales by SciPy's two-dimensional convolution, TensorFlow's and scikit-image's."""

import itertools

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.metrics.scores import ms_ssim


def _images(count=4, side=256, channels=3, seed=0):
    """Smooth random images, uint8, which resemble one another."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (count, 8, 8, channels)) + 0.5 * random.uniform(0, 255, (1, 8, 8, channels))
    smooth = tf.image.resize(coarse / 1.5, (side, side), "bicubic").numpy()
    return np.clip(smooth + random.normal(0, 10, smooth.shape), 0, 255).astype(np.uint8)


def _by_scipy(x, y):
    """Wang et al. 2003, Eq. 7, of one pair (H, W, C) in [0, 255]: luminance on the last scale, the mean of channels."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    found = []
    for channel in range(x.shape[2]):
        a, b = x[..., channel].astype(np.float64), y[..., channel].astype(np.float64)
        product = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):

            def blur(image):
                return scipy.signal.convolve2d(image, window, mode="valid")

            mean_a, mean_b = blur(a), blur(b)
            covariance = blur(a * b) - mean_a * mean_b
            variances = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
            term = (2 * covariance + 58.5225) / (variances + 58.5225)
            if scale == 4:
                term = term * (2 * mean_a * mean_b + 6.5025) / (mean_a**2 + mean_b**2 + 6.5025)
            product *= max(term.mean(), 0) ** weight
            a, b = (image.reshape(len(image) // 2, 2, -1, 2).mean(axis=(1, 3)) for image in (a, b))
        found.append(product)
    return np.mean(found)


def test_it_equals_five_scales_by_scipy():
    x, y = _images(2), _images(2, seed=1)
    y = np.stack([(share * a + (1 - share) * b).astype(np.uint8) for share, a, b in zip((0.6, 0.8), x, y, strict=True)])
    expected = [_by_scipy(a, b) for a, b in zip(x, y, strict=True)]
    assert 0.02 < expected[0] < expected[1] < 0.98
    np.testing.assert_allclose(ms_ssim.ms_ssim_pairs(x, y), expected, rtol=2e-5)
    assert metrics.ms_ssim(x, y) == pytest.approx(np.mean(expected), rel=2e-5)


def test_it_equals_tensorflows():
    x, y = _images(5), _images(5, seed=1)
    y[3] = 255 - x[3]  # whose contrasts are opposed: negative terms
    theirs = tf.image.ssim_multiscale(tf.constant(x, tf.float32), tf.constant(y, tf.float32), 255).numpy()
    assert theirs[3] == 0
    ours = ms_ssim.ms_ssim_pairs(x, y)
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=1e-6)


def test_one_scale_equals_scikit_images(monkeypatch):
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    monkeypatch.setattr(ms_ssim, "_WEIGHTS", (1.0,))
    x, y = _images(1)[0], _images(1, seed=1)[0]
    _, full = structural_similarity(
        x, y, channel_axis=2, data_range=255, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    assert metrics.ms_ssim(x[None], y[None]) == pytest.approx(full[5:-5, 5:-5].mean(), rel=1e-5)


def test_other_sides_are_resized():
    x, y = _images(3, 32), _images(3, 32, seed=1)
    for legacy, resize in (
        (False, lambda image: tf.image.resize(image, (256, 256), antialias=True)),
        (True, lambda image: tf.compat.v1.image.resize_bilinear(image, (256, 256)) * (128.5 / 127.5)),
    ):
        large = [resize(tf.constant(images, tf.float32)) for images in (x, y)]
        theirs = tf.image.ssim_multiscale(*large, 255).numpy().mean()
        assert metrics.ms_ssim(x, y, legacy=legacy) == pytest.approx(theirs, rel=2e-5)
    assert metrics.ms_ssim(x, y) != pytest.approx(metrics.ms_ssim(x, y, legacy=True), rel=1e-4)


@pytest.mark.parametrize("legacy", [False, True])
def test_floats_are_the_same_images(legacy):
    x, y = _images(2, 64), _images(2, 64, seed=1)
    floats = [images.astype(np.float32) / 127.5 - 1 for images in (x, y)]
    expected = metrics.ms_ssim(x, y, legacy=legacy)
    assert metrics.ms_ssim(*floats, legacy=legacy) == pytest.approx(expected, rel=1e-5)


def test_grey_images_and_other_sizes():
    x, y = _images(2, 176, 1), _images(2, 176, 1, seed=1)
    theirs = tf.image.ssim_multiscale(tf.constant(x, tf.float32), tf.constant(y, tf.float32), 255).numpy()
    np.testing.assert_allclose(ms_ssim.ms_ssim_pairs(x, y, size=176), theirs, rtol=2e-5)
    assert metrics.ms_ssim(x, x, size=176) == pytest.approx(1, abs=1e-6)


def test_moments_of_an_image_are_computed_once(monkeypatch):
    computed, moments = [], ms_ssim._moments
    monkeypatch.setattr(ms_ssim, "_moments", lambda *args: computed.append(1) or moments(*args))
    ms_ssim.ms_ssim_all_pairs(_images(5, 32), size=176)
    assert len(computed) == 5


def test_all_pairs_and_their_jackknife():
    images = _images(7, 64)
    places = list(itertools.combinations(range(7), 2))
    value = dict(
        zip(
            places,
            ms_ssim.ms_ssim_pairs(images[[i for i, _ in places]], images[[j for _, j in places]], size=176),
            strict=True,
        )
    )
    mean, error = ms_ssim.ms_ssim_all_pairs(images, size=176)
    assert mean == pytest.approx(np.mean(list(value.values())), rel=1e-6)
    without = [np.mean([v for pair, v in value.items() if image not in pair]) for image in range(7)]
    assert error == pytest.approx(np.sqrt(6 / 7 * np.sum((without - np.mean(without)) ** 2)), rel=1e-4)
    assert error > 1e-3


def test_random_pairs_estimate_all_pairs():
    images = _images(12, 64)
    mean, error = ms_ssim.ms_ssim_random_pairs(images, 60, seed=1, size=176)
    exact, _ = ms_ssim.ms_ssim_all_pairs(images, size=176)
    assert 0 < error < 0.1 and abs(mean - exact) < 4 * error
    assert (mean, error) == ms_ssim.ms_ssim_random_pairs(images, 60, seed=1, size=176)
    assert (mean, error) != ms_ssim.ms_ssim_random_pairs(images, 60, seed=2, size=176)


def test_the_error_of_random_pairs_against_a_double_loop():
    """Over all two pairs and the images that they share; each pair with itself once."""
    random = np.random.default_rng(4)
    first, values = random.integers(0, 9, 60), random.normal(size=60)
    second = (first + random.integers(1, 9, 60)) % 9
    values += first == 3  # an image whose pairs are all more alike
    pairs, e = [{i, j} for i, j in zip(first, second, strict=True)], values - values.mean()
    total = sum(e[p] * e[q] * (len(pairs[p] & pairs[q]) if p != q else 1) for p in range(60) for q in range(60))
    independent = np.sqrt(e @ e) / 60
    error = ms_ssim.error_of_pairs(values, first, second)
    assert error == pytest.approx(np.sqrt(total) / 60, rel=1e-12) and error > 1.1 * independent
    assert ms_ssim.error_of_pairs(values, np.arange(60), np.arange(60, 120)) == pytest.approx(independent, rel=1e-12)


def test_no_image_is_paired_with_itself():
    images = _images(2, 176)
    pair = metrics.ms_ssim(images[:1], images[1:], size=176)
    assert ms_ssim.ms_ssim_random_pairs(images, 20, size=176) == pytest.approx((pair, 0), abs=1e-6)


def test_images_that_do_not_fit_are_refused():
    x = _images(3, 32)
    with pytest.raises(MetricError, match=r"\(3, 32, 32, 3\), \(2, 32, 32, 3\)"):
        metrics.ms_ssim(x, x[:2])
    first = x.transpose(0, 3, 1, 2)
    for compare in (lambda: metrics.ms_ssim(first, first), lambda: ms_ssim.ms_ssim_random_pairs(first)):
        with pytest.raises(MetricError, match=r"images \(N, H, W, 1 or 3\), not \(3, 3, 32, 32\)"):
            compare()
    for size in (160, 200):
        with pytest.raises(MetricError, match=f"multiple of 16, not {size}"):
            metrics.ms_ssim(x, x, size=size)
    with pytest.raises(MetricError, match=r"uint8, or float in \[-1, 1\], not float64"):
        metrics.ms_ssim(x / 255 * 2, x / 255 * 2)
    with pytest.raises(MetricError, match="at least 2 images"):
        ms_ssim.ms_ssim_random_pairs(x[:1])
    with pytest.raises(MetricError, match="at least two pairs"):
        ms_ssim.ms_ssim_random_pairs(x, 1)
    with pytest.raises(MetricError, match="at least 3 images"):
        ms_ssim.ms_ssim_all_pairs(x[:2])
