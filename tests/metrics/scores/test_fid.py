"""Fréchet distances against SciPy, in float64, and against tensorflow-gan's whole function."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.metrics import sets
from mmdgan.metrics.features import tfgan
from mmdgan.metrics.scores import fid
from tests.helpers.feature_sets import mixed_features
from tests.helpers.golden_data import frechet_case


def _frechet_by_scipy(a, b):
    x, y = a.astype(np.float64), b.astype(np.float64)
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(cov_x @ cov_y).real
    return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(cov_x + cov_y - 2 * root)


@pytest.fixture(params=["tensorflow-gan", "symmetric eigendecomposition"])
def method(request, monkeypatch):
    """Both ways to take the matrix roots, whatever the number of features."""
    monkeypatch.setattr(fid, "TFGAN_FEATURES", 10**9 if request.param == "tensorflow-gan" else 0)
    assert fid.frechet_method(20) == request.param
    return request.param


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_frechet_distance_equals_scipy(dtype, method):
    a, b = mixed_features(300, 20, 0).astype(dtype), mixed_features(240, 20, 1, shift=0.3).astype(dtype)
    expected = _frechet_by_scipy(a, b)
    assert expected > 1
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    moments = metrics.Moments.of(a), metrics.Moments.of(b)
    assert metrics.frechet_distance(*moments) == metrics.frechet_distance(a, moments[1])
    assert metrics.frechet_distance(*moments) == pytest.approx(expected, rel=1e-9)


def _biased_covariance(x):
    return tf.constant(np.cov(x.numpy(), rowvar=False, bias=True))


def test_frechet_distance_equals_tensorflow_gans_whole_function(method, monkeypatch):
    a, b = mixed_features(300, 20, 0), mixed_features(240, 20, 1, shift=0.3)
    module = tfgan.load()  # without TensorFlow Probability, of which this function of theirs takes the covariance
    monkeypatch.setattr(module, "tfp", SimpleNamespace(stats=SimpleNamespace(covariance=_biased_covariance)))
    theirs = module.frechet_classifier_distance_from_activations(tf.constant(a), tf.constant(b))
    assert metrics.frechet_distance(a, b) == pytest.approx(float(theirs), rel=1e-9)


def test_frechet_distance_of_the_golden_case(method):
    """The original takes roots in float32, by which it is 8e-4 above the exact distance of the same features."""
    case = frechet_case()
    ours = metrics.frechet_distance(case["a"], case["b"])
    assert ours == pytest.approx(_frechet_by_scipy(case["a"], case["b"]), rel=1e-7)
    assert ours == pytest.approx(case["value"], rel=1.5e-3)


def test_frechet_distance_of_covariances_of_deficient_rank(method):
    """The closed form of commuting covariances: |m|^2 + sum (s - t)^2 of their standard deviations s and t."""
    random = np.random.default_rng(3)
    axes = np.linalg.qr(random.normal(size=(30, 30)))[0]
    s, t = np.zeros(30), np.zeros(30)
    s[:12], t[6:20] = random.uniform(1, 2, 12), random.uniform(1, 2, 14)
    a, b = (metrics.Moments(np.full(30, m), axes * d**2 @ axes.T, 0) for m, d in ((0.0, s), (0.5, t)))
    assert np.linalg.eigvalsh(a.cov).min() < 0 or np.linalg.eigvalsh(b.cov).min() < 0
    expected = 30 * 0.25 + np.sum((s - t) ** 2)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_frechet_distance_of_small_and_of_large_features(method, scale):
    a, b = mixed_features(300, 20, 0), mixed_features(240, 20, 1, shift=0.3)
    expected = scale**2 * metrics.frechet_distance(a, b)
    assert metrics.frechet_distance(scale * a, scale * b) == pytest.approx(expected, rel=1e-9)
    assert metrics.frechet_distance(scale * a, scale * a) == pytest.approx(0, abs=1e-9 * scale**2)
    still = metrics.Moments(np.ones(20), np.zeros((20, 20)), 0)
    assert metrics.frechet_distance(still, still) == 0


def test_the_line_says_what_takes_the_roots(monkeypatch):
    assert fid.frechet_method(fid.TFGAN_FEATURES) == "tensorflow-gan"
    assert fid.frechet_method(2048) == "symmetric eigendecomposition"
    monkeypatch.setattr(tfgan.load(), "trace_sqrt_product", lambda a, b: np.float64(0.0))
    a = mixed_features(300, 20, 0)
    assert metrics.frechet_distance(a, a) == pytest.approx(2 * np.trace(np.cov(a, rowvar=False)), rel=1e-9)
    monkeypatch.setattr(fid, "TFGAN_FEATURES", 19)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-7)


def test_moments_of_different_features_have_no_distance():
    a = mixed_features(300, 20, 0)
    ours = metrics.Moments.of(a, label="inception", feature_hash="aa")
    assert metrics.frechet_distance(ours, metrics.Moments.of(a)) == pytest.approx(0, abs=1e-8)
    with pytest.raises(MetricError, match="their features is inception here and classifier there"):
        metrics.frechet_distance(ours, metrics.Moments.of(a, label="classifier"))
    with pytest.raises(MetricError, match="feature hash is aa here and bb there"):
        metrics.frechet_distance(ours, metrics.Moments.of(a, label="inception", feature_hash="bb"))


def test_frechet_distance_of_a_set_and_itself_is_zero(method):
    a = mixed_features(300, 20, 0)
    assert metrics.frechet_distance(a, a) == pytest.approx(0.0, abs=1e-8)
    assert metrics.frechet_distance(a, a + 2.0) == pytest.approx(4.0 * 20, rel=1e-9)


def test_frechet_distance_of_too_few_samples_is_refused_unless_forced():
    a = mixed_features(300, 20, 0)
    assert np.isfinite(metrics.frechet_distance(a, a[:21]))
    with pytest.raises(MetricError, match="at least 21 images"):
        metrics.frechet_distance(a, a[:20])
    with pytest.raises(MetricError, match="at least 21 images"):
        metrics.frechet_distance(a, metrics.Moments.of(a[:20]))
    assert np.isfinite(metrics.frechet_distance(a, a[:20], force=True))
    unknown = metrics.Moments(np.zeros(20), np.eye(20), 0)
    assert np.isfinite(metrics.frechet_distance(a, unknown))


def test_a_distance_that_rounding_makes_negative_is_0_and_the_record_says_by_how_much(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)

    class Pixels:
        label, feature_count, resize = "pixels", 12, "none"

        def extract(self, images, say=None):
            return images[:, :2, :2].reshape(len(images), -1).astype("float32"), np.empty((len(images), 0), "float32")

        def protocol(self):
            return {"features": "pixels", "feature_source": "pixels", "feature_hash": "1", "resize": "none"}

    for excess in (1e-6, 0.0, -1e-6):  # the trace of the root, beyond the one of equal sets
        monkeypatch.setattr(fid, "_trace_of_root", lambda a, b, excess=excess: np.trace(a) + excess)
        equal = sets.ArraySet(images, np.arange(60) % 2)
        records = metrics.evaluate_sets(equal, equal, Pixels(), ("fid", "intra_fid"))
        found = {record["identifier"]: record for record in records if "real-real" not in record["metric"]}
        assert found["fid"]["value"] == metrics.frechet_distance(*[images[:, 0, :4].reshape(60, 12)] * 2)
        for record in found.values():
            assert record["value"] == pytest.approx(max(0, -2 * excess), abs=1e-9) and record["value"] >= 0
            assert record["interval"][0] <= record["value"] <= record["interval"][1]
            assert ("rounding gave -2.0e-06, which counts as 0" in record.get("note", "")) == (excess > 0)


def test_equal_sets_are_not_below_0(method):
    for seed, scale in ((0, 1.0), (1, 1e3), (2, 1e-3)):
        features = scale * mixed_features(60, 20, seed)
        rounded = fid.unclipped_distance(features, features)
        assert metrics.frechet_distance(features, features) == max(0.0, rounded)
        assert abs(rounded) < 1e-6 * np.trace(np.cov(features, rowvar=False))
