"""Permutation tests of two samples: against full enumeration, SciPy, double loops, and for the level they promise."""

import dataclasses
import itertools
import math
import tracemalloc

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from mmdgan.mmd import median_distance, two_sample, two_sample_test
from tests.conftest import PROJECT
from tests.helpers.document_blocks import blocks


def energy_test(x, y, permutations=999, seed=0):
    return two_sample_test(x, y, "energy", permutations, unbiased=False, seed=seed)


def mmd_test(x, y, sigma="median", unbiased=True, permutations=999, seed=0):
    return two_sample_test(x, y, "gaussian", permutations, sigma=sigma, unbiased=unbiased, seed=seed)


def mmd2(x, y, sigma, unbiased):
    return mmd_test(x, y, sigma, unbiased, 1).statistic


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
    assert energy_test(x, y, 9).statistic == pytest.approx(exact, rel=1e-12)


def test_energy_distance_against_a_double_loop_and_the_library():
    x, y = normal(6, 3), normal(9, 3, 1, mean=0.4)
    expected = loops(x, y, lambda a, b: -math.dist(a, b), unbiased=False)
    assert energy_test(x, y, 1).statistic == pytest.approx(expected, rel=1e-12)
    assert energy_test(x, y, 1).statistic == pytest.approx(float(losses.cramer(x, y, unbiased=False)), rel=1e-6)
    assert energy_test(x, x[::-1], 1).statistic == pytest.approx(0, abs=1e-8)  # equal rows: the root of rounding


@pytest.mark.parametrize(("unbiased", "sizes"), [(False, (6, 6)), (False, (4, 7)), (True, (4, 7)), (True, (5, 5))])
def test_mmd2_against_double_loops_and_the_library(unbiased, sizes):
    x, y = normal(sizes[0]), normal(sizes[1], seed=1, mean=0.5)
    sigmas = (0.3, 1.2)
    expected = sum(loops(x, y, gaussian(sigma), unbiased) for sigma in sigmas)
    assert mmd2(x, y, sigmas, unbiased) == pytest.approx(expected, rel=1e-12)
    if not (unbiased and sizes[0] == sizes[1]):  # there the library's cross term leaves out the pairs i = j
        assert mmd2(x, y, sigmas, unbiased) == pytest.approx(
            float(losses.mmd2(x, y, unbiased=unbiased, sigma=sigmas)), rel=1e-10
        )


def test_median_distance():
    rows = normal(7)
    apart = [math.dist(a, b) for a, b in itertools.combinations(rows, 2)]
    assert median_distance(rows) == pytest.approx(np.median(apart), rel=1e-14)
    result = mmd_test(rows[:3], rows[3:], permutations=5)
    assert result.sigma == pytest.approx((np.median(apart),), rel=1e-14)
    assert mmd_test(np.ones((3, 2)), np.ones((4, 2))).p_value == 1.0


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("sizes", [(4, 4), (3, 5)])
def test_statistics_of_all_divisions_against_loops(unbiased, sizes):
    x, y = normal(sizes[0]), normal(sizes[1], seed=1, mean=0.7)
    rows = np.concatenate([x, y])
    matrix = np.exp(-np.square(rows[:, None] - rows[None]).sum(axis=2) / (2 * 0.8**2))
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
        found = energy_test(x, y, count, seed=5).p_value
    else:
        found = mmd_test(x, y, 0.8, unbiased, count, seed=5).p_value
    assert found == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / count) + 2 / count)


def test_mirrored_divisions_are_ties():
    """With equal sizes a division and its mirror image have one statistic: 2 of 20 divisions of 3 and 3 rows."""
    x, y = np.array([[0.0], [0.1], [0.2]]), np.array([[10.0], [10.1], [10.3]])
    for result in (energy_test(x, y, 50_000), mmd_test(x, y, 3.0, permutations=50_000)):
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
        lambda x, y, seed: energy_test(x, y, DIVISIONS, seed),
        lambda x, y, seed: mmd_test(x, y, "median", True, DIVISIONS, seed),
        lambda x, y, seed: mmd_test(x, y, (0.3, 2.0), False, DIVISIONS, seed),
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
        result = energy_test(x, y, 19, seed)
        assert 1 / 20 <= result.p_value <= 1
        found.append(round(20 * result.p_value))
    counts = np.bincount(found, minlength=21)[1:]
    assert scipy.stats.chisquare(counts).pvalue > 0.01
    leaking = np.mean(np.array(found) - 1 == 0)
    assert leaking == pytest.approx(0.05, abs=0.04)


def test_uniformity_is_lost_when_the_statistic_treats_the_samples_unequally():
    """The yardstick can fail: the observed statistic with x's pairs counted in another way than the divisions'."""

    def unequal(x, y, seed):
        result = mmd_test(x, y, 1.0, True, DIVISIONS, seed)
        biased = mmd2(x, y, 1.0, unbiased=False)
        leaked = two_sample.p_value(biased, result.null)
        return dataclasses.replace(result, p_value=leaked)

    assert uniformity(p_values(unequal)) < 1e-6


def test_power():
    """Shifted and widened Gaussians are told apart, equal ones are not."""
    x = normal(100)
    for test in (energy_test, mmd_test):
        assert test(x, normal(80, seed=1, mean=0.8)).p_value == 0.001
        assert test(x, normal(80, seed=1) * 2.5).p_value < 0.02
        assert test(x, normal(80, seed=1)).p_value > 0.1


def test_results_depend_on_the_seed_alone():
    x, y = normal(20), normal(30, seed=1)
    first, again, other = (energy_test(x, y, 99, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.null, again.null)
    assert not np.array_equal(first.null, other.null)
    assert first.statistic == other.statistic


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: energy_test(x, x[:, :1]), r"give x \(M, d\) and y \(N, d\), not \(5, 2\) and \(5, 1\)"),
        (lambda x: energy_test(x, x * np.nan), "y has values that are not finite"),
        (lambda x: energy_test(x, x, permutations=0), "permutations is 0"),
        (lambda x: energy_test(x, x, seed=-1), "seed is -1"),
        (lambda x: energy_test(x, x[:0]), "y has 0"),
        (lambda x: mmd_test(x, x[:1]), "needs 2 rows or more, but y has 1"),
        (lambda x: mmd_test(x, x, "mean"), "or 'median'"),
        (lambda x: mmd_test(x, x, (1.0, -1.0)), "must be positive"),
        (lambda x: mmd_test(x, x, ()), "one or more finite numbers"),
        (lambda x: two_sample_test(x, x, "gauss"), "mean gaussian"),
        (lambda x: two_sample_test(x, x, ()), "kernel is empty"),
        (lambda x: two_sample_test(x, x, "energy", beta=2.0), "has no options"),
        (lambda x: two_sample_test(x, x, ("gaussian", "rational_quadratic"), sigma=2.0), "no option 'sigma'"),
        (lambda x: two_sample_test(np.repeat(x, 7000, 0), x), "the most are 30,000"),
        (lambda x: two_sample.permutation_test(x, 2), r"a square matrix of finite numbers, not \(5, 2\)"),
        (lambda x: two_sample.permutation_test(x[:2], 2), "Of 2 pooled rows 2 are x's"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(ConfigError, match=words):
        call(normal(5))


def test_aggregation_is_the_permutation_test_of_the_smallest_p_value():
    """Against a loop over the divisions of the tests of each width alone, which has the same divisions."""
    x, y = normal(12, seed=4), normal(15, seed=5, mean=0.6)
    found = two_sample_test(x, y, permutations=99)
    apart = np.array([math.dist(a, b) for a, b in itertools.combinations([*x, *y], 2)])
    low, high = np.quantile(apart, (0.05, 0.95))
    np.testing.assert_allclose(found.widths, [low / 2 * (4 * high / low) ** (i / 9) for i in range(10)], rtol=1e-10)
    single = [mmd_test(x, y, width, permutations=99) for width in found.widths]
    assert found.p_values == pytest.approx([one.p_value for one in single], abs=1e-12)
    values = np.array([[one.statistic, *one.null] for one in single])
    p = np.array([[np.mean(row >= value) for value in row] for row in values]).min(axis=0)
    scores = ((values.T - values.mean(axis=1)) / values.std(axis=1)).max(axis=1)
    extreme = sum(p[b] < p[0] or p[b] == p[0] and scores[b] >= scores[0] - 1e-9 for b in range(100))
    assert found.p_value == pytest.approx(extreme / 100, abs=1e-12)
    assert found.statistic == mmd_test(x, y, "median").statistic


def test_kernels_are_aggregated_and_tensors_are_taken():
    x, y = normal(15).astype(np.float32), normal(20, seed=1, mean=0.5).astype(np.float32)
    kernels = ("gaussian", "laplace", "rational_quadratic", "energy")
    found = two_sample_test(tf.constant(x), tf.constant(y), kernels, 49, alpha=0.5)
    assert len(found.p_values) == 31
    alone = two_sample_test(x, y, "rational_quadratic", 49, alpha=0.5)
    assert found.p_values[20:30] == alone.p_values
    assert found.p_values[30] == two_sample_test(x, y, "energy", 49).p_value
    median = median_distance(x, y)
    for kernel, options in (
        ("laplace", {"sigma": math.sqrt(median / 2)}),
        ("rational_quadratic", {"beta": 2 * median**2}),
    ):
        expected = losses.mmd2(x.astype(float), y.astype(float), kernel, **options)
        assert two_sample_test(x, y, kernel, 9).statistic == pytest.approx(float(expected), rel=1e-9)


def test_equal_rows_are_never_told_apart():
    found = two_sample_test(np.ones((6, 2)), np.ones((5, 2)), ("gaussian", "energy"), 19)
    assert found.p_value == 1.0 and set(found.p_values) == {1.0}


def test_widths_may_be_an_array():
    x, y = normal(15), normal(20, seed=1)
    assert mmd_test(x, y, np.array([0.5, 2.0]), permutations=9).statistic == mmd2(x, y, (0.5, 2.0), True)


def test_memory_is_that_of_two_matrices():
    x, y = normal(1500), normal(1500, seed=1)
    tracemalloc.start()
    mmd_test(x, y, permutations=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 2 < peak / (8 * 3000**2) < 2.7


@pytest.mark.slow
def test_level_of_the_aggregated_test():
    """Rejects 3 to 7% of equal pairs at 5%: 1,000 pairs of samples with a heavy tail, of unequal sizes."""
    rng = np.random.default_rng(21)
    found = [
        two_sample_test(rng.standard_t(3, (25, 2)), rng.standard_t(3, (35, 2)), permutations=199, seed=seed).p_value
        for seed in range(1000)
    ]
    assert 0.03 <= np.mean(np.array(found) <= 0.05) <= 0.07


def numpy_energy_test(x, y, rng, divisions=199):
    """An independent permutation test of the energy distance, division by division."""
    rows = np.concatenate([x, y])
    apart = np.linalg.norm(rows[:, None] - rows[None], axis=2)

    def statistic(order):
        a, b = order[: len(x)], order[len(x) :]
        return 2 * apart[np.ix_(a, b)].mean() - apart[np.ix_(a, a)].mean() - apart[np.ix_(b, b)].mean()

    observed = statistic(np.arange(len(rows)))
    null = [statistic(rng.permutation(len(rows))) for _ in range(divisions)]
    return (1 + np.count_nonzero(np.array(null) >= observed)) / (1 + divisions)


def waves(rng, count):
    """A density 1 + 0.9 cos(6 pi u) on the unit interval."""
    drawn = rng.uniform(0, 1, 4 * count)
    return drawn[rng.uniform(0, 1.9, len(drawn)) < 1 + 0.9 * np.cos(6 * np.pi * drawn)][:count, None]


ALTERNATIVES = {
    "shift": (lambda rng: (rng.normal(0, 1, (50, 1)), rng.normal(0.5, 1, (50, 1))), "ks"),
    "scale": (lambda rng: (rng.normal(0, 1, (50, 2)), rng.normal(0, 1.5, (50, 2))), "energy"),
    "waves": (lambda rng: (waves(rng, 100), rng.uniform(0, 1, (100, 1))), "ks"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALTERNATIVES)
def test_power_is_no_worse_than_the_reference(name):
    """Rejections at 5% of 200 pairs: SciPy's Kolmogorov-Smirnov test, or the energy test above.

    A shift in one dimension is what that of Kolmogorov and Smirnov sees best: there the powers are equal.
    """
    draw, reference = ALTERNATIVES[name]
    rng = np.random.default_rng(5)
    ours, theirs = [], []
    for seed in range(200):
        x, y = draw(rng)
        ours.append(two_sample_test(x, y, permutations=199, seed=seed).p_value <= 0.05)
        if reference == "ks":
            theirs.append(scipy.stats.ks_2samp(x[:, 0], y[:, 0]).pvalue <= 0.05)
        else:
            theirs.append(numpy_energy_test(x, y, rng) <= 0.05)
    assert 0.3 < np.mean(ours) <= 1
    assert np.mean(ours) >= np.mean(theirs) - (0.02 if name == "shift" else 0)


@pytest.mark.slow
@pytest.mark.parametrize("mean", [0.0, 0.15, 0.3, 0.6, 1.0])
def test_intervals_hold_the_population_mmd(mean):
    """Of 300 pairs: the squared MMD of two normals, in closed form with a fixed width."""
    d, sigma = 2, 1.2
    plain = (sigma**2 / (sigma**2 + 2)) ** (d / 2)
    exact = 2 * plain * (1 - math.exp(-d * mean**2 / (2 * (sigma**2 + 2))))
    held = 0
    for seed in range(300):
        result = mmd_test(normal(40, seed=seed), normal(60, seed=seed + 1000, mean=mean), sigma, permutations=1)
        held += result.interval[0] <= exact <= result.interval[1]
    assert 0.9 <= held / 300 <= 0.99


@pytest.mark.slow
def test_the_example_of_the_page_prints_what_the_page_says(capsys):
    page = PROJECT / "docs" / "howto" / "two_samples.md"
    exec(blocks(page)[0].text, {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4 and all(f"\n{line}\n" in page.read_text(encoding="utf-8") for line in printed)
