"""The scores against SciPy and NumPy, in float64."""

import numpy as np
import pytest
import scipy.linalg
import scipy.special

from mmdgan import metrics
from mmdgan.errors import MetricError
from mmdgan.metrics import scores


def _features(count, size, seed, shift=0.0):
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(size, size))
    return random.normal(shift, 1.0 + shift, (count, size)) @ mixing


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_frechet_distance_equals_scipy(dtype):
    a, b = _features(300, 20, 0).astype(dtype), _features(240, 20, 1, shift=0.3).astype(dtype)
    x, y = a.astype(np.float64), b.astype(np.float64)
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(cov_x @ cov_y).real
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(cov_x + cov_y - 2 * root)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_a_set_and_itself_is_zero():
    a = _features(300, 20, 0)
    assert metrics.frechet_distance(a, a) == pytest.approx(0.0, abs=1e-8)
    assert metrics.frechet_distance(a, a + 2.0) == pytest.approx(4.0 * 20, rel=1e-9)


def test_frechet_distance_of_too_few_samples_is_refused_unless_forced():
    a = _features(300, 20, 0)
    assert np.isfinite(metrics.frechet_distance(a, a[:21]))
    with pytest.raises(MetricError, match="at least 21 images"):
        metrics.frechet_distance(a, a[:20])
    assert np.isfinite(metrics.frechet_distance(a, a[:20], force=True))


@pytest.mark.parametrize("splits", [1, 3])
def test_classifier_score_equals_numpy(splits):
    logits = 3 * np.random.default_rng(0).normal(size=(100, 6))
    expected = []
    for part in np.array_split(logits, splits):
        p = scipy.special.softmax(part, axis=1)
        expected.append(np.exp(np.mean(np.sum(p * np.log(p / p.mean(0)), axis=1))))
    assert metrics.classifier_score(logits, splits) == pytest.approx(np.mean(expected), rel=1e-12)


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
