"""Estimators of the squared MMD against closed forms and loops, and their errors against their scatter."""

import math
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses, mmd
from mmdgan.core.errors import ConfigError
from mmdgan.mmd import estimators

SIGMA, D = 1.5, 3


def pair(m, n, seed, mean=0.4):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((m, D)), rng.standard_normal((n, D)) + mean


def exact_mmd2(mean=0.4, sigma=SIGMA):
    """Of N(0, I) and N(mean, I): a Gaussian kernel's expectation over normals is a Gaussian."""
    plain = (sigma**2 / (sigma**2 + 2)) ** (D / 2)
    return 2 * plain * (1 - math.exp(-D * mean**2 / (2 * (sigma**2 + 2))))


def test_exact_is_the_u_statistic(monkeypatch):
    x, y = pair(50, 37, 0)
    monkeypatch.setattr(estimators, "TILE", 16)
    for kernel, options in (
        ("gaussian", {"sigma": (0.5, 2.0)}),
        ("laplace", {"sigma": 0.9}),
        ("rational_quadratic", {"alpha": (0.5, 2.0), "beta": 3.0}),
    ):
        expected = losses.mmd2(x, y, kernel, **options)
        assert mmd.estimate(x, y, kernel=kernel, **options).value == pytest.approx(float(expected), rel=1e-10)
    assert mmd.estimate(x, y, kernel="energy").value == pytest.approx(float(losses.cramer(x, y)), rel=1e-6)


def test_blocks_and_pairs_against_loops():
    x, y = pair(40, 30, 1)
    found = mmd.estimate(x, y, "blocks", sigma=SIGMA, block_size=10)
    parts = [
        float(losses.mmd2(x[a : a + c], y[b : b + 10], sigma=SIGMA))
        for a, b, c in ((0, 0, 13), (13, 10, 13), (26, 20, 14))
    ]
    assert found.value == pytest.approx(np.mean(parts), rel=1e-10)
    assert found.error == pytest.approx(np.std(parts, ddof=1) / math.sqrt(3), rel=1e-10)

    def k(a, b):
        return math.exp(-np.square(a - b).sum() / (2 * SIGMA**2))

    h = [k(x[i], x[i + 1]) + k(y[i], y[i + 1]) - k(x[i], y[i + 1]) - k(x[i + 1], y[i]) for i in range(0, 30, 2)]
    found = mmd.estimate(x, y, "linear", sigma=SIGMA)
    assert found.value == pytest.approx(np.mean(h), rel=1e-10)
    assert found.error == pytest.approx(np.std(h, ddof=1) / math.sqrt(15), rel=1e-10)


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ("gaussian", {"sigma": (1.0, 3.0)}),
        ("laplace", {"sigma": 1.1}),
        ("rational_quadratic", {"sigma": "median", "alpha": (0.5, 2.0)}),
    ],
)
def test_random_features_approach_the_u_statistic(kernel, options):
    x, y = pair(300, 200, 2)
    exact = mmd.estimate(x, y, "exact", kernel, **options).value
    found = mmd.estimate(x, y, "fourier", kernel, features=20_000, **options)
    assert abs(found.value - exact) < 4 * found.errors["features"]
    assert found.errors["features"] < 0.02 * exact
    assert found.error == pytest.approx(math.hypot(*found.errors.values()), rel=1e-12)


def test_random_features_of_rows_far_from_the_origin():
    """In float32, 1e8 and 1e8 + 1 are one number."""
    x, y = pair(60, 50, 2)
    near, far = (mmd.estimate(x + away, y + away, "fourier", sigma=SIGMA) for away in (0.0, 1e8))
    assert far.value == pytest.approx(near.value, rel=1e-5) and near.value > 0.005
    assert far.interval == pytest.approx(near.interval, rel=1e-5)


@pytest.mark.parametrize(
    ("method", "kernel"), [("exact", "energy"), ("exact", "rational_quadratic"), ("fourier", "rational_quadratic")]
)
def test_options_that_are_none_are_not_given(method, kernel):
    x, y = pair(20, 15, 3)
    found = mmd.estimate(x, y, method, kernel, alpha=None, beta=None)
    assert found.value == mmd.estimate(x, y, method, kernel).value


@pytest.mark.slow
@pytest.mark.parametrize("mean", [0.0, 0.4])
@pytest.mark.parametrize("method", ["exact", "blocks", "linear", "fourier"])
def test_errors_are_the_scatter_of_repetitions(method, mean):
    """200 pairs: no bias, stated errors near the standard deviation, 95% intervals that hold the truth."""
    truth = exact_mmd2(mean)
    found = [
        mmd.estimate(*pair(200, 240, seed, mean), method, sigma=SIGMA, block_size=20, features=100, seed=seed)
        for seed in range(200)
    ]
    values, errors = np.array([[one.value, one.error] for one in found]).T
    assert abs(values.mean() - truth) < 4 * values.std() / math.sqrt(200)
    assert 0.85 < np.sqrt(np.mean(errors**2)) / values.std() < 1.6
    held = np.mean([one.interval[0] <= truth <= one.interval[1] for one in found])
    assert 0.9 <= held <= 1


def test_the_median_distance():
    x, y = pair(30, 21, 3)
    rows = np.concatenate([x, y])
    apart = np.linalg.norm(rows[:, None] - rows[None], axis=2)[np.triu_indices(51, 1)]
    assert mmd.median_distance(x, y) == pytest.approx(np.median(apart), rel=1e-12)
    assert mmd.median_distance(rows) == mmd.median_distance(x, y) == mmd.median_distance(rows.tolist())
    assert mmd.median_distance(x, y, rows=25) == pytest.approx(np.median(apart), rel=0.3)
    assert mmd.median_distance(np.ones((4, 2))) == 1.0


def test_the_witness_function_and_its_extremes(monkeypatch):
    monkeypatch.setattr(estimators, "TILE", 7)
    x, y = pair(30, 20, 4)
    z = np.linspace(-2, 2, 33).reshape(11, 3)
    found = mmd.witness(z, x, y, sigma=SIGMA)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, losses.witness(z, x, y, sigma=SIGMA), rtol=1e-9, atol=1e-12)
    assert tf.is_tensor(mmd.witness(tf.constant(z), x, y, sigma=SIGMA))
    extremes = mmd.witness_extremes(x, y, 3)
    sigma = mmd.median_distance(x, y)
    at_x, at_y = (losses.witness(rows, x, y, sigma=sigma).numpy() for rows in (x, y))
    assert extremes.x.tolist() == np.argsort(-at_x)[:3].tolist()
    assert extremes.y.tolist() == np.argsort(at_y)[:3].tolist()
    np.testing.assert_allclose(extremes.values_y, np.sort(at_y)[:3], rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: mmd.estimate(x, x, "block"), "did you mean blocks"),
        (lambda x: mmd.estimate(x, x, "blocks"), "give a smaller block_size"),
        (lambda x: mmd.estimate(x, x, "fourier", "energy"), "no random features"),
        (lambda x: mmd.estimate(x, x, "fourier", features=1), "at least 2"),
        (lambda x: mmd.estimate(x, x, "fourier", features=1e4), "features is 10000.0"),
        (lambda x: mmd.estimate(x, x, "blocks", block_size=2.5), "block_size is 2.5"),
        (lambda x: mmd.estimate(x, x[:2], "fourier"), "3 rows or more, but y has 2"),
        (lambda x: mmd.estimate(x, x, kernel="rational_quadratic", sigma=2.0), "no option 'sigma'; valid are alpha"),
        (lambda x: mmd.estimate(x, x, sigma="mean"), "or 'median'"),
        (lambda x: mmd.estimate(x, x[:1]), "y has 1"),
        (lambda x: mmd.witness(x[:, :2], x, x), r"give z \(M, d\)"),
        (lambda x: mmd.median_distance(x[:1]), "2 rows or more, not 1"),
        (lambda x: mmd.median_distance(x, rows=1), "rows is 1"),
        (lambda x: mmd.witness_extremes(x, x, count=-1), "count is -1"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(ConfigError, match=words):
        call(pair(6, 5, 0)[0])


MILLION = """
import numpy as np, sys
from mmdgan import mmd
rng = np.random.default_rng(0)
x, y = (rng.standard_normal((10**6, 64), np.float32) for _ in range(2))
y += 0.01
for method in ("blocks", "linear", "fourier"):
    found = mmd.estimate(x, y, method, block_size=500, features=128)
    print(method, found.value, found.error, found.sigma[0])
"""


@pytest.mark.slow
def test_two_million_rows_in_two_gigabytes():
    """Peak memory of a process of its own; values against the closed form of two normals."""
    # Not getrusage: a child's counts what its parent had in memory when it was forked.
    peak = "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    run = subprocess.run([sys.executable, "-c", f"{MILLION}\n{peak}"], capture_output=True, text=True, check=True)
    *lines, last = run.stdout.strip().splitlines()
    assert int(last.split()[1]) * 1024 < 2e9
    for line in lines:
        _, value, error, sigma = line.split()
        width = float(sigma) ** 2
        plain = (width / (width + 2)) ** 32
        exact = 2 * plain * (1 - math.exp(-64 * 0.01**2 / (2 * (width + 2))))
        assert abs(float(value) - exact) < 4 * float(error)
