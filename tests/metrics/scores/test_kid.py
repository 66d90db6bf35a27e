"""Kernel distances against double loops, in float64, and against tensorflow-gan's whole function."""

import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.metrics.features import tfgan
from mmdgan.metrics.scores import kid
from tests.helpers.feature_sets import mixed_features


def _kernel_distance_by_loops(a, b):
    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    n, m = len(a), len(b)
    within_a = sum(kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_b = sum(kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_a + within_b - 2 * sum(kernel(x, y) for x in a for y in b) / (n * m)


def test_kernel_distance_equals_a_double_loop():
    a, b = mixed_features(40, 5, 0), mixed_features(30, 5, 1, shift=0.5)
    assert metrics.kernel_distance(a, b) == pytest.approx(_kernel_distance_by_loops(a, b), rel=1e-9)


def test_kernel_distance_averages_blocks():
    a, b = mixed_features(40, 5, 0), mixed_features(30, 5, 1, shift=0.5)
    expected = (_kernel_distance_by_loops(a[:20], b[:15]) + _kernel_distance_by_loops(a[20:], b[15:])) / 2
    assert kid.kernel_distance(a, b, block_size=20) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("count", "count_b", "size"), [(40, 30, 20), (43, 30, 10), (40, 40, 40)])
def test_kernel_distance_and_error_equal_tensorflow_gans(count, count_b, size):
    a, b = mixed_features(count, 5, 0), mixed_features(count_b, 5, 1, shift=0.5)
    value, error = tfgan.load().kernel_classifier_distance_and_std_from_activations(
        tf.constant(a), tf.constant(b), max_block_size=size
    )
    ours = kid.kernel_distance_error(a, b, block_size=size)
    assert ours[0] == kid.kernel_distance(a, b, block_size=size) == pytest.approx(float(value), rel=1e-10)
    assert ours[1] == pytest.approx(float(error), rel=1e-9, nan_ok=size == 40)


def test_mapped_features_are_read_in_blocks(tmp_path):
    """4,096 features of 256 numbers are 8 MB in float64; a block of 256 is half of one."""
    features = np.lib.format.open_memmap(tmp_path / "f.npy", "w+", np.float32, (4096, 256))
    features[:] = np.random.default_rng(0).normal(size=features.shape)
    tracemalloc.start()
    kid.kernel_distance(features, features, block_size=256)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6


def test_sets_that_do_not_fit_are_refused():
    a = mixed_features(40, 5, 0)
    with pytest.raises(MetricError, match=r"\(40, 5\) and \(40, 4\)"):
        metrics.frechet_distance(a, a[:, :4])
    with pytest.raises(MetricError, match=r"N >= splits"):
        metrics.classifier_score(a, splits=41)
    with pytest.raises(MetricError, match="larger block_size"):
        kid.kernel_distance(a, a[:5], block_size=10)
