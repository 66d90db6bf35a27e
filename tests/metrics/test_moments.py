"""Moments of features against NumPy and tensorflow-gan's streaming ones; what is stored, and what others stored."""

import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.metrics.features import tfgan


def _features(count=3000, size=7, offset=0.0):
    random = np.random.default_rng(0)
    return random.normal(size=(count, size)) @ random.normal(size=(size, size)) + offset


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_they_equal_numpy_of_any_float_type(dtype):
    features = _features().astype(dtype)
    moments = metrics.Moments.of(features)
    exact = features.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(moments.cov, np.cov(exact, rowvar=False), rtol=1e-12)
    assert moments.count == 3000 and moments.mean.dtype == moments.cov.dtype == np.float64


def test_a_large_offset_does_not_cancel():
    features = _features(offset=1e6)
    np.testing.assert_allclose(metrics.Moments.of(features).cov, np.cov(_features(), rowvar=False), rtol=1e-7)


def test_tensorflow_gans_streaming_moments_are_the_same():
    """Its streaming functions are graphs of TensorFlow 1 with local variables, updated batch by batch."""
    features = _features(600, 5, offset=3.0)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        batch = tf.compat.v1.placeholder(tf.float64, (None, 5))
        utils = tfgan.load("eval_utils")
        mean, update_mean = utils.streaming_mean_tensor_float64(tf.reduce_mean(batch, axis=0))
        cov, update_cov = utils.streaming_covariance(batch)
        session.run(tf.compat.v1.local_variables_initializer())
        for part in np.split(features, 6):
            session.run([update_mean, update_cov], {batch: part})
        mean, cov = session.run([mean, cov])
    moments = metrics.Moments.of(features)
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(moments.cov, cov, rtol=1e-9, atol=1e-12)


def test_tensorflow_gans_streaming_distance_is_the_same():
    a, b = _features(600, 5).astype(np.float32), _features(800, 5, offset=0.5)[200:].astype(np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x, y = (tf.compat.v1.placeholder(tf.float64, (None, 5)) for _ in range(2))
        distance, update = tfgan.load().frechet_classifier_distance_from_activations_streaming(x, y)
        session.run(tf.compat.v1.local_variables_initializer())
        for part_a, part_b in zip(np.split(a, 6), np.split(b, 6), strict=True):
            session.run(update, {x: part_a, y: part_b})
        distance = session.run(distance)
    assert distance > 0.5
    assert metrics.frechet_distance(metrics.Moments.of(a), metrics.Moments.of(b)) == pytest.approx(distance, rel=1e-8)


def test_a_mapped_array_is_never_copied_whole(tmp_path):
    features = np.lib.format.open_memmap(tmp_path / "f.npy", "w+", np.float32, (40_000, 64))
    features[:] = 1.0
    tracemalloc.start()
    moments = metrics.Moments.of(features)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert moments.mean[0] == 1 and moments.cov[0, 0] == 0
    assert peak < features.nbytes / 4


def test_what_is_saved_is_read(tmp_path):
    moments = metrics.Moments.of(_features(), label="inception", feature_hash="ab12", about="ten classes")
    moments.save(tmp_path / "real.npz")
    assert [file.name for file in tmp_path.iterdir()] == ["real.npz"]
    read = metrics.read_moments(tmp_path / "real.npz")
    np.testing.assert_array_equal(read.mean, moments.mean)
    np.testing.assert_array_equal(read.cov, moments.cov)
    assert (read.count, read.features, read.feature_hash, read.about) == (3000, "inception", "ab12", "ten classes")
    with np.load(tmp_path / "real.npz") as archive:  # what pytorch-fid looks for
        assert archive["mu"].shape == (7,) and archive["sigma"].shape == (7, 7)


@pytest.mark.parametrize("keys", [("mu", "sigma"), ("mean", "cov")], ids=["pytorch-fid", "the original"])
def test_files_of_others_are_read(tmp_path, keys):
    features = _features()
    mean, cov = features.mean(axis=0).astype(np.float32), np.cov(features, rowvar=False).astype(np.float32)
    np.savez(tmp_path / "theirs.npz", **{keys[0]: mean, keys[1]: cov})
    read = metrics.read_moments(tmp_path / "theirs.npz")
    np.testing.assert_array_equal(read.mean, mean)
    np.testing.assert_array_equal(read.cov, cov)
    assert (read.count, read.features, read.feature_hash) == (0, "", "")
    assert read.mean.dtype == read.cov.dtype == np.float64


def test_files_that_hold_no_moments_are_refused(tmp_path):
    with pytest.raises(MetricError, match=r"There is no file .*none\.npz"):
        metrics.read_moments(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("mu, sigma")
    with pytest.raises(MetricError, match=r"text\.npz cannot be read"):
        metrics.read_moments(tmp_path / "text.npz")
    np.save(tmp_path / "single.npy", np.zeros((3, 3)))
    with pytest.raises(MetricError, match="is a single array"):
        metrics.read_moments(tmp_path / "single.npy")
    np.savez(tmp_path / "images.npz", images=np.zeros((2, 4)))
    with pytest.raises(MetricError, match=r"images\.npz holds images; stored moments have mu and sigma"):
        metrics.read_moments(tmp_path / "images.npz")
    np.savez(tmp_path / "shape.npz", mu=np.zeros(3), sigma=np.zeros((3, 4)))
    with pytest.raises(MetricError, match=r"shape\.npz: .*\(3,\) and \(3, 4\)"):
        metrics.read_moments(tmp_path / "shape.npz")
    np.savez(tmp_path / "skew.npz", mu=np.zeros(2), sigma=np.array([[1.0, 2.0], [0.0, 1.0]]))
    with pytest.raises(MetricError, match=r"skew\.npz: A covariance is symmetric"):
        metrics.read_moments(tmp_path / "skew.npz")


def test_features_without_moments_are_refused():
    with pytest.raises(MetricError, match=r"at least two images, not \(1, 7\)"):
        metrics.Moments.of(_features(1))
    features = _features(10)
    features[3, 2] = np.nan
    with pytest.raises(MetricError, match="must be finite"):
        metrics.Moments.of(features)
