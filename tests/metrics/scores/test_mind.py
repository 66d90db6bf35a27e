"""Sliced Wasserstein distances of features, against sorted copies, closed forms and whole recomputations."""

import math

import numpy as np
import pytest

from mmdgan.core.errors import MetricError
from mmdgan.metrics.scores.mind import monge_distance, monge_distance_error


def drawn(count, size, seed, shift=0.0):
    return np.random.default_rng(seed).standard_normal((count, size)) + shift


@pytest.mark.parametrize("sizes", [(40, 40), (12, 18), (30, 7)])
def test_against_copies_that_make_the_sets_equally_large(sizes):
    """Each value repeated to the least common multiple: the coupling is then by rank."""
    a, b = drawn(sizes[0], 5, 0), drawn(sizes[1], 5, 1, 0.5)
    directions = np.random.default_rng(4).standard_normal((5, 20))
    directions /= np.linalg.norm(directions, axis=0)
    common = math.lcm(*sizes)
    total = 0.0
    for direction in directions.T:
        x, y = (np.sort(np.repeat(rows @ direction, common // len(rows))) for rows in (a, b))
        total += np.mean((x - y) ** 2)
    found = monge_distance(a, b, directions=20, seed=4)
    assert found == pytest.approx(5 * total / 20, rel=1e-10)
    assert monge_distance(a, a[::-1], directions=20) == pytest.approx(0, abs=1e-20)


def test_a_shift_is_its_squared_length():
    a = drawn(30, 8, 0)
    shift = np.linspace(0, 1, 8)
    value, error = monge_distance_error(a, a + shift, directions=4000)
    assert value == pytest.approx(shift @ shift, abs=3 * 1.1 * shift @ shift * math.sqrt(2 / 4000))
    assert error > 0


def test_the_error_is_that_of_whole_recomputations():
    """300 bootstrap samples of both sets, other directions in each."""
    a, b = drawn(120, 6, 0), drawn(90, 6, 1, 0.4) * 1.3
    rng = np.random.default_rng(2)
    resampled = [
        monge_distance(a[rng.integers(0, 120, 120)], b[rng.integers(0, 90, 90)], directions=50, seed=seed)
        for seed in range(300)
    ]
    assert monge_distance_error(a, b, directions=50)[1] == pytest.approx(np.std(resampled), rel=0.2)


def test_sets_that_do_not_fit():
    with pytest.raises(MetricError, match="at least two images"):
        monge_distance(drawn(5, 3, 0), drawn(5, 4, 0))
