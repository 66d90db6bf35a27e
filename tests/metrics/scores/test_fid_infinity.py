"""Fréchet distances extrapolated to infinitely many images, against SciPy's matrix roots and the population."""

import numpy as np
import pytest
import scipy.linalg

from mmdgan.core.errors import MetricError
from mmdgan.metrics.moments import Moments
from mmdgan.metrics.scores.fid_infinity import frechet_infinity


def covariance(size):
    return np.diag(np.linspace(0.2, 2, size)) + 0.1


def drawn(rng, count, size, scale=1.0, shift=0.0):
    return rng.standard_normal((count, size)) @ np.linalg.cholesky(covariance(size)).T * scale + shift


def test_a_line_through_the_distances_of_subsets():
    rng = np.random.default_rng(0)
    a, b = drawn(rng, 200, 5), drawn(rng, 90, 5, 1.3, 0.4)
    found = frechet_infinity(a, b, points=6, seed=3)
    order = np.random.default_rng(3).permutation(90)
    distances = []
    for count in found.sizes:
        part = b[order[:count]]
        covs = [np.cov(x, rowvar=False) for x in (a, part)]
        means = np.sum((a.mean(axis=0) - part.mean(axis=0)) ** 2)
        distances.append(means + np.trace(covs[0] + covs[1] - 2 * scipy.linalg.sqrtm(covs[0] @ covs[1]).real))
    np.testing.assert_allclose(found.distances, distances, rtol=1e-9)
    assert found.sizes[0] == 12 and found.sizes[-1] == 90
    assert found.value == pytest.approx(np.polyfit(1 / found.sizes, distances, 1)[1], rel=1e-9)
    stored = frechet_infinity(Moments.of(a), b, points=6, seed=3)
    assert stored.value == pytest.approx(found.value, rel=1e-12) and stored.error < found.error


def test_few_images_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(MetricError, match="at least 20 generated images"):
        frechet_infinity(drawn(rng, 100, 3), drawn(rng, 19, 3))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "count"), [(20, 400), (40, 200)])
def test_the_population_distance_is_found(size, count):
    """60 sets: without bias, where the plain distance is far off, and within the interval in 85 to 100% of cases."""
    rng = np.random.default_rng(1)
    scale, shift = 1.15, 0.15
    exact = size * shift**2 + np.trace(covariance(size)) * (scale - 1) ** 2
    a = drawn(rng, 20_000, size)
    found = [frechet_infinity(a, drawn(rng, count, size, scale, shift), seed=seed) for seed in range(60)]
    values, errors = np.array([[one.value, one.error] for one in found]).T
    plain = np.mean([one.distances[-1] for one in found])
    assert abs(values.mean() - exact) < 0.15 * (plain - exact)
    assert 0.75 < np.sqrt(np.mean(errors**2)) / values.std() < 1.4
    assert 0.85 <= np.mean(np.abs(values - exact) < 1.96 * errors) <= 1
