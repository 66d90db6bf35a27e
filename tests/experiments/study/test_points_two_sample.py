"""Permutation tests of two samples: against full enumeration, SciPy, double loops, and for the level they promise."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from study import two_sample


def normal(count, d=2, seed=0, mean=0.0):
    return np.random.default_rng(seed).standard_normal((count, d)) + mean


def loops(x, y, kernel, unbiased):
    """mean k(x, x') + mean k(y, y') - 2 mean k(x, y) by loops over pairs; all pairs of x and y count."""

    def own(rows):
        pairs = [kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j or not unbiased]
        return sum(pairs) / len(pairs)

    return own(x) + own(y) - 2 * sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))


def gaussian(sigma):
    return lambda a, b: math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (2 * sigma**2))


def enumerated(x, y, kernel, unbiased):
    """The p-value over all divisions of the pooled rows, the observed one among them."""
    rows = np.concatenate([x, y])
    observed, values = loops(x, y, kernel, unbiased), []
    for chosen in itertools.combinations(range(len(rows)), len(x)):
        others = [i for i in range(len(rows)) if i not in chosen]
        values.append(loops(rows[list(chosen)], rows[others], kernel, unbiased))
    return np.mean(np.array(values) >= observed - 1e-12), np.array(values)


@pytest.mark.parametrize("sizes", [(7, 7), (5, 9)])
def test_energy_distance_is_the_square_of_scipys(sizes):
    x, y = normal(sizes[0], 1), normal(sizes[1], 1, 1, mean=0.4)
    exact = scipy.stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    assert two_sample.energy_distance(x, y) == pytest.approx(exact, rel=1e-12)
    assert two_sample.energy_test(x, y, 9).statistic == pytest.approx(exact, rel=1e-12)


def test_energy_distance_against_a_double_loop_and_the_library():
    x, y = normal(6, 3), normal(9, 3, 1, mean=0.4)
    expected = loops(x, y, lambda a, b: -math.dist(a, b), unbiased=False)
    assert two_sample.energy_distance(x, y) == pytest.approx(expected, rel=1e-12)
    assert two_sample.energy_distance(x, y) == pytest.approx(float(losses.cramer(x, y, unbiased=False)), rel=1e-6)
    assert two_sample.energy_distance(x, x[::-1]) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(("unbiased", "sizes"), [(False, (6, 6)), (False, (4, 7)), (True, (4, 7)), (True, (5, 5))])
def test_mmd2_against_double_loops_and_the_library(unbiased, sizes):
    x, y = normal(sizes[0]), normal(sizes[1], seed=1, mean=0.5)
    sigmas = (0.3, 1.2)
    expected = sum(loops(x, y, gaussian(sigma), unbiased) for sigma in sigmas)
    assert two_sample.mmd2(x, y, sigmas, unbiased) == pytest.approx(expected, rel=1e-12)
    if not (unbiased and sizes[0] == sizes[1]):  # there the library's cross term leaves out the pairs i = j
        assert two_sample.mmd2(x, y, sigmas, unbiased) == pytest.approx(
            float(losses.mmd2(x, y, unbiased=unbiased, sigma=sigmas)), rel=1e-10
        )


def test_median_distance():
    rows = normal(7)
    apart = [math.dist(a, b) for a, b in itertools.combinations(rows, 2)]
    assert two_sample.median_distance(rows) == pytest.approx(np.median(apart), rel=1e-14)
    result = two_sample.mmd_test(rows[:3], rows[3:], permutations=5)
    assert result.sigma == pytest.approx((np.median(apart),), rel=1e-14)
    assert two_sample.mmd_test(np.ones((3, 2)), np.ones((4, 2))).p_value == 1.0


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("sizes", [(4, 4), (3, 5)])
def test_statistics_of_all_divisions_against_loops(unbiased, sizes):
    x, y = normal(sizes[0]), normal(sizes[1], seed=1, mean=0.7)
    rows = np.concatenate([x, y])
    matrix = np.exp(-(two_sample.distances(rows) ** 2) / (2 * 0.8**2))
    divisions = np.zeros((math.comb(len(rows), len(x)), len(rows)))
    for division, chosen in zip(divisions, itertools.combinations(range(len(rows)), len(x)), strict=True):
        division[list(chosen)] = 1
    _, values = enumerated(x, y, gaussian(0.8), unbiased)
    np.testing.assert_allclose(two_sample.statistics(matrix, divisions, unbiased), values, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "kernel", "unbiased"),
    [
        ("energy", lambda a, b: -math.dist(a, b), False),
        ("unbiased", gaussian(0.8), True),
        ("biased", gaussian(0.8), False),
    ],
)
@pytest.mark.parametrize(("mean", "seed"), [(0.0, 3), (1.5, 1)])
def test_random_divisions_find_the_p_value_of_all_divisions(name, kernel, unbiased, mean, seed):
    """The number of divisions at least as far apart is binomial, up to the observed one that is counted too."""
    x, y = normal(4, seed=seed), normal(4, seed=seed + 10, mean=mean)
    exact, _ = enumerated(x, y, kernel, unbiased)
    count = 20_000
    if name == "energy":
        found = two_sample.energy_test(x, y, count, seed=5).p_value
    else:
        found = two_sample.mmd_test(x, y, 0.8, unbiased, count, seed=5).p_value
    assert found == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / count) + 2 / count)


def test_mirrored_divisions_are_ties():
    """With equal sizes a division and its mirror image have one statistic: 2 of 20 divisions of 3 and 3 rows."""
    x, y = np.array([[0.0], [0.1], [0.2]]), np.array([[10.0], [10.1], [10.3]])
    for result in (two_sample.energy_test(x, y, 50_000), two_sample.mmd_test(x, y, 3.0, permutations=50_000)):
        assert result.p_value == pytest.approx(0.1, abs=0.007)


REPETITIONS, DIVISIONS = 300, 199


def p_values(test, observed_is_counted=True):
    """P-values under equality: 300 pairs of small samples of one distribution, which has a heavy tail."""
    rng = np.random.default_rng(11)
    found = []
    for seed in range(REPETITIONS):
        x, y = rng.standard_t(3, (8, 2)), rng.standard_t(3, (12, 2))
        result = test(x, y, seed)
        counted = result.p_value * (1 + result.permutations)
        found.append(result.p_value if observed_is_counted else (counted - 1) / result.permutations)
    return np.array(found)


def uniformity(found):
    """The Kolmogorov-Smirnov test of p-values against the uniform distribution on 1/200, 2/200, ..., 1, made smooth."""
    spread = np.random.default_rng(0).uniform(0, 1, len(found))
    return scipy.stats.kstest(found - spread / (1 + DIVISIONS), "uniform").pvalue


@pytest.mark.parametrize(
    "test",
    [
        lambda x, y, seed: two_sample.energy_test(x, y, DIVISIONS, seed),
        lambda x, y, seed: two_sample.mmd_test(x, y, "median", True, DIVISIONS, seed),
        lambda x, y, seed: two_sample.mmd_test(x, y, (0.3, 2.0), False, DIVISIONS, seed),
    ],
    ids=["energy", "mmd", "mmd_biased"],
)
def test_p_values_are_uniform_under_equality(test):
    found = p_values(test)
    assert uniformity(found) > 0.05
    # And the level is kept at the small end, where it is used.
    for level in (0.05, 0.1):
        assert np.mean(found <= level) < level + 3 * math.sqrt(level * (1 - level) / REPETITIONS)


def test_the_observed_division_is_counted_among_the_others():
    """Without it, p-values of few divisions are 0 too often: of 19, in 1 of 20 pairs instead of never."""
    rng = np.random.default_rng(2)
    found = []
    for seed in range(400):
        x, y = rng.standard_normal((2, 8, 2))
        result = two_sample.energy_test(x, y, 19, seed)
        assert 1 / 20 <= result.p_value <= 1
        found.append(round(20 * result.p_value))
    counts = np.bincount(found, minlength=21)[1:]
    assert scipy.stats.chisquare(counts).pvalue > 0.01
    leaking = np.mean(np.array(found) - 1 == 0)
    assert leaking == pytest.approx(0.05, abs=0.04)


def test_uniformity_is_lost_when_the_statistic_treats_the_samples_unequally():
    """The yardstick can fail: the observed statistic with x's pairs counted in another way than the divisions'."""

    def unequal(x, y, seed):
        result = two_sample.mmd_test(x, y, 1.0, True, DIVISIONS, seed)
        biased = two_sample.mmd2(x, y, 1.0, unbiased=False)
        leaked = two_sample.p_value(biased, result.null)
        return two_sample.TestResult(biased, leaked, DIVISIONS, result.null)

    assert uniformity(p_values(unequal)) < 1e-6


def test_power():
    """Shifted and widened Gaussians are told apart, equal ones are not."""
    x = normal(100)
    for test in (two_sample.energy_test, two_sample.mmd_test):
        assert test(x, normal(80, seed=1, mean=0.8)).p_value == 0.001
        assert test(x, normal(80, seed=1) * 2.5).p_value < 0.02
        assert test(x, normal(80, seed=1)).p_value > 0.1


def test_results_depend_on_the_seed_alone():
    x, y = normal(20), normal(30, seed=1)
    first, again, other = (two_sample.energy_test(x, y, 99, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.null, again.null)
    assert not np.array_equal(first.null, other.null)
    assert first.statistic == other.statistic


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: two_sample.energy_test(x, x[:, :1]), r"give \(M, d\) and \(N, d\), not \(5, 2\) and \(5, 1\)"),
        (lambda x: two_sample.energy_test(x, x * np.nan), "y has values that are not finite"),
        (lambda x: two_sample.energy_test(x, x, permutations=0), "permutations is 0"),
        (lambda x: two_sample.energy_test(x, x, seed=-1), "seed is -1"),
        (lambda x: two_sample.energy_test(x, x[:0]), "y has 0"),
        (lambda x: two_sample.mmd_test(x, x[:1]), "needs 2 rows or more, but y has 1"),
        (lambda x: two_sample.mmd_test(x, x, "mean"), "or 'median'"),
        (lambda x: two_sample.mmd_test(x, x, (1.0, -1.0)), "positive numbers"),
        (lambda x: two_sample.mmd2(x, x, ()), "positive numbers"),
        (lambda x: two_sample.permutation_test(x, 2), r"a square matrix of finite numbers, not \(5, 2\)"),
        (lambda x: two_sample.permutation_test(x[:2], 2), "of 2 pooled rows 2 are x's"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(ConfigError, match=words):
        call(normal(5))
