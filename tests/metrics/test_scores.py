"""The scores against SciPy and NumPy, in float64, and against tensorflow-gan's whole functions."""

import tracemalloc

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import tensorflow as tf

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.metrics import scores
from mmdgan.metrics.features import tfgan
from tests.helpers.golden_data import frechet_case


def _features(count, size, seed, shift=0.0):
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(size, size))
    return random.normal(shift, 1.0 + shift, (count, size)) @ mixing


def _frechet_by_scipy(a, b):
    x, y = a.astype(np.float64), b.astype(np.float64)
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(cov_x @ cov_y).real
    return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(cov_x + cov_y - 2 * root)


@pytest.fixture(params=["tensorflow-gan", "symmetric eigendecomposition"])
def method(request, monkeypatch):
    """Both ways to take the matrix roots, whatever the number of features."""
    monkeypatch.setattr(scores, "TFGAN_FEATURES", 10**9 if request.param == "tensorflow-gan" else 0)
    assert scores.frechet_method(20) == request.param
    return request.param


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_frechet_distance_equals_scipy(dtype, method):
    a, b = _features(300, 20, 0).astype(dtype), _features(240, 20, 1, shift=0.3).astype(dtype)
    expected = _frechet_by_scipy(a, b)
    assert expected > 1
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    moments = metrics.Moments.of(a), metrics.Moments.of(b)
    assert metrics.frechet_distance(*moments) == metrics.frechet_distance(a, moments[1])
    assert metrics.frechet_distance(*moments) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_equals_tensorflow_gans_whole_function(method):
    a, b = _features(300, 20, 0), _features(240, 20, 1, shift=0.3)
    theirs = tfgan.load().frechet_classifier_distance_from_activations(tf.constant(a), tf.constant(b))
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
    a, b = _features(300, 20, 0), _features(240, 20, 1, shift=0.3)
    expected = scale**2 * metrics.frechet_distance(a, b)
    assert metrics.frechet_distance(scale * a, scale * b) == pytest.approx(expected, rel=1e-9)
    assert metrics.frechet_distance(scale * a, scale * a) == pytest.approx(0, abs=1e-9 * scale**2)
    still = metrics.Moments(np.ones(20), np.zeros((20, 20)), 0)
    assert metrics.frechet_distance(still, still) == 0


def test_the_line_says_what_takes_the_roots(monkeypatch):
    assert scores.frechet_method(scores.TFGAN_FEATURES) == "tensorflow-gan"
    assert scores.frechet_method(2048) == "symmetric eigendecomposition"
    monkeypatch.setattr(tfgan.load(), "trace_sqrt_product", lambda a, b: np.float64(0.0))
    a = _features(300, 20, 0)
    assert metrics.frechet_distance(a, a) == pytest.approx(2 * np.trace(np.cov(a, rowvar=False)), rel=1e-9)
    monkeypatch.setattr(scores, "TFGAN_FEATURES", 19)
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-7)


def test_moments_of_different_features_have_no_distance():
    a = _features(300, 20, 0)
    ours = metrics.Moments.of(a, label="inception", feature_hash="aa")
    assert metrics.frechet_distance(ours, metrics.Moments.of(a)) == pytest.approx(0, abs=1e-8)
    with pytest.raises(MetricError, match="their features is inception here and classifier there"):
        metrics.frechet_distance(ours, metrics.Moments.of(a, label="classifier"))
    with pytest.raises(MetricError, match="feature hash is aa here and bb there"):
        metrics.frechet_distance(ours, metrics.Moments.of(a, label="inception", feature_hash="bb"))


def test_frechet_distance_of_a_set_and_itself_is_zero(method):
    a = _features(300, 20, 0)
    assert metrics.frechet_distance(a, a) == pytest.approx(0.0, abs=1e-8)
    assert metrics.frechet_distance(a, a + 2.0) == pytest.approx(4.0 * 20, rel=1e-9)


def test_frechet_distance_of_too_few_samples_is_refused_unless_forced():
    a = _features(300, 20, 0)
    assert np.isfinite(metrics.frechet_distance(a, a[:21]))
    with pytest.raises(MetricError, match="at least 21 images"):
        metrics.frechet_distance(a, a[:20])
    with pytest.raises(MetricError, match="at least 21 images"):
        metrics.frechet_distance(a, metrics.Moments.of(a[:20]))
    assert np.isfinite(metrics.frechet_distance(a, a[:20], force=True))
    unknown = metrics.Moments(np.zeros(20), np.eye(20), 0)
    assert np.isfinite(metrics.frechet_distance(a, unknown))


@pytest.mark.parametrize("splits", [1, 3])
def test_classifier_score_equals_numpy(splits):
    logits = 3 * np.random.default_rng(0).normal(size=(100, 6))
    expected = []
    for part in np.array_split(logits, splits):
        p = scipy.special.softmax(part, axis=1)
        expected.append(np.exp(np.mean(np.sum(p * np.log(p / p.mean(0)), axis=1))))
    assert metrics.classifier_score(logits, splits) == pytest.approx(np.mean(expected), rel=1e-12)


def test_classifier_score_equals_tensorflow_gans_whole_function(monkeypatch):
    logits = (3 * np.random.default_rng(0).normal(size=(100, 6))).astype(np.float32)
    theirs = tfgan.load().classifier_score_from_logits(tf.constant(logits, tf.float64))
    monkeypatch.setattr(scores, "_LOGIT_ROWS", 32)
    assert metrics.classifier_score(logits) == pytest.approx(float(theirs), rel=1e-12)


def test_classifier_score_spread_is_over_the_parts():
    logits = 3 * np.random.default_rng(0).normal(size=(100, 6))
    parts = [metrics.classifier_score(part) for part in np.split(logits, 10)]
    assert np.std(parts) > 0.1
    assert scores.classifier_score_spread(logits) == pytest.approx((np.mean(parts), np.std(parts)), rel=1e-12)


def test_classifier_score_runs_from_one_to_the_number_of_classes():
    assert metrics.classifier_score(np.zeros((50, 5))) == pytest.approx(1.0, abs=1e-12)
    assert metrics.classifier_score(50.0 * np.eye(5).repeat(10, axis=0)) == pytest.approx(5.0, abs=1e-9)


def _kernel_distance_by_loops(a, b):
    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    n, m = len(a), len(b)
    within_a = sum(kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_b = sum(kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_a + within_b - 2 * sum(kernel(x, y) for x in a for y in b) / (n * m)


def test_kernel_distance_equals_a_double_loop():
    a, b = _features(40, 5, 0), _features(30, 5, 1, shift=0.5)
    assert metrics.kernel_distance(a, b) == pytest.approx(_kernel_distance_by_loops(a, b), rel=1e-9)


def test_kernel_distance_averages_blocks():
    a, b = _features(40, 5, 0), _features(30, 5, 1, shift=0.5)
    expected = (_kernel_distance_by_loops(a[:20], b[:15]) + _kernel_distance_by_loops(a[20:], b[15:])) / 2
    assert scores.kernel_distance(a, b, block_size=20) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("count", "count_b", "size"), [(40, 30, 20), (43, 30, 10), (40, 40, 40)])
def test_kernel_distance_and_error_equal_tensorflow_gans(count, count_b, size):
    a, b = _features(count, 5, 0), _features(count_b, 5, 1, shift=0.5)
    value, error = tfgan.load().kernel_classifier_distance_and_std_from_activations(
        tf.constant(a), tf.constant(b), max_block_size=size
    )
    ours = scores.kernel_distance_error(a, b, block_size=size)
    assert ours[0] == scores.kernel_distance(a, b, block_size=size) == pytest.approx(float(value), rel=1e-10)
    assert ours[1] == pytest.approx(float(error), rel=1e-9, nan_ok=size == 40)


def test_mapped_features_are_read_in_blocks(tmp_path):
    """4,096 features of 256 numbers are 8 MB in float64; a block of 256 is half of one."""
    features = np.lib.format.open_memmap(tmp_path / "f.npy", "w+", np.float32, (4096, 256))
    features[:] = np.random.default_rng(0).normal(size=features.shape)
    tracemalloc.start()
    scores.kernel_distance(features, features, block_size=256)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6


def test_sets_that_do_not_fit_are_refused():
    a = _features(40, 5, 0)
    with pytest.raises(MetricError, match=r"\(40, 5\) and \(40, 4\)"):
        metrics.frechet_distance(a, a[:, :4])
    with pytest.raises(MetricError, match=r"N >= splits"):
        metrics.classifier_score(a, splits=41)
    with pytest.raises(MetricError, match="larger block_size"):
        scores.kernel_distance(a, a[:5], block_size=10)


def test_importing_the_package_loads_nothing_heavy():
    import subprocess
    import sys

    code = "import sys, mmdgan.metrics; print({'tensorflow', 'tensorflow_gan', 'numpy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
    with pytest.raises(AttributeError, match="no attribute 'frechet'"):
        metrics.frechet  # noqa: B018
