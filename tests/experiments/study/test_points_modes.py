"""What is counted of a mixture's modes: against exact shares, loops, and samples placed by hand."""

import math

import numpy as np
import pytest
import scipy.stats

from mmdgan.core.errors import ConfigError
from mmdgan.data import synthetic
from study.modes import mode_report


@pytest.mark.parametrize("name", ["ring", "grid", "shell", "star"])
def test_the_mixtures_own_samples(name):
    """In two dimensions 1 - exp(-9 / 2) of a Gaussian lies within three standard deviations, whatever its shape."""
    mixture = synthetic.get(name)
    count = 20_000
    report = mode_report(mixture.sample(count, seed=1), mixture)
    assert (report.covered, report.total) == (len(mixture.modes), len(mixture.modes))
    exact = 1 - math.exp(-4.5)
    error = 4 * math.sqrt(exact * (1 - exact) / count)
    if name == "shell":  # its modes overlap: what is far from its own mode may be near another
        assert exact - error < report.high_quality < 1
    else:
        assert report.high_quality == pytest.approx(exact, abs=error)
        # 2 N KL of shares from the true probabilities is chi-square with K - 1 degrees of freedom, for large N.
        assert scipy.stats.chi2.sf(2 * count * report.kl, report.total - 1) > 0.001
    assert report.shares.sum() == pytest.approx(1)


def test_points_placed_by_hand():
    mixture = synthetic.get("gaussian_mixture", probs=[0.5, 0.25, 0.25], mu=[[0, 0], [10, 0], [0, 10]], std_or_cov=2.0)
    points = [[5.9, 0.0], [4.9, 0.0], [10.0, 5.9], [10.0, 6.1], [0.0, 16.1]]
    report = mode_report(points, mixture)
    # The first is nearest to (10, 0), within 3 * 2 of it; the last two are good for no mode.
    assert report.shares.tolist() == [0.2, 0.6, 0.2]
    assert report.high_quality == pytest.approx(3 / 5)
    assert report.covered == 2
    assert report.kl == pytest.approx(0.2 * math.log(0.2 / 0.5) + 0.6 * math.log(0.6 / 0.25) + 0.2 * math.log(0.8))


def test_distances_follow_the_covariance():
    mixture = synthetic.get("gaussian_mixture", probs=None, mu=[[0, 0]], std_or_cov=[[[4.0, 0.0], [0.0, 0.01]]])
    assert mode_report([[5.9, 0.0]], mixture).high_quality == 1
    assert mode_report([[0.0, 0.31]], mixture).high_quality == 0


def test_a_collapsed_generator():
    mixture = synthetic.get("ring")
    report = mode_report(np.tile(mixture.modes[3], (50, 1)), mixture)
    assert (report.covered, report.high_quality) == (1, 1)
    assert report.kl == pytest.approx(math.log(8))


def test_points_that_are_not_finite_are_of_no_mode():
    mixture = synthetic.get("ring")
    points = np.concatenate([mixture.modes, np.full((8, 2), np.nan)])
    report = mode_report(points, mixture)
    assert (report.covered, report.high_quality, report.shares.sum()) == (8, 0.5, 0.5)
    assert report.kl == pytest.approx(0)
    nothing = mode_report(np.full((3, 2), np.inf), mixture)
    assert (nothing.covered, nothing.high_quality) == (0, 0) and math.isnan(nothing.kl)


@pytest.mark.parametrize(
    ("points", "name", "words"),
    [
        (np.ones((3, 2)), "two_moons", "modes are counted of mixtures"),
        (np.ones((3, 3)), "ring", r"\(3, 3\); this mixture's have \(N, 2\)"),
        (np.ones((0, 2)), "ring", "N >= 1"),
    ],
)
def test_mistakes(points, name, words):
    with pytest.raises(ConfigError, match=words):
        mode_report(points, synthetic.get(name))
