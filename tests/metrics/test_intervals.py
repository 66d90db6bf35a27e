"""95% intervals of scores: against closed forms and whole recomputations, and how often they hold the truth."""

import math
import time

import numpy as np
import pytest
import scipy.stats

from mmdgan.metrics import intervals
from mmdgan.metrics.moments import Moments
from mmdgan.metrics.records import format_table, format_value, make_record, merge_repeats
from mmdgan.metrics.scores import fid, inception_score, kid, mind, ms_ssim, prdc, swd


def correlated(rng, count, size, scale=1.0, shift=0.0):
    root = np.linalg.cholesky(np.diag(np.linspace(0.2, 2, size)) + 0.1)
    return rng.standard_normal((count, size)) @ root.T * scale + shift


def frechet(a, b):
    """The distance, and its interval as a record has it."""
    moments = [Moments.of(a), Moments.of(b)]
    root = fid.trace_of_root_by_eigenvalues(moments[0].cov, moments[1].cov)
    means, traces = np.sum((moments[0].mean - moments[1].mean) ** 2), np.trace(moments[0].cov + moments[1].cov)
    value = float(means + traces - 2 * root)
    return value, fid.frechet_interval(value, moments, [a, b])


def half(interval):
    return (interval.high - interval.low) / 2


def test_an_interval_of_shares_is_wilsons():
    for hits, count in ((0, 50), (3, 50), (40, 50), (50, 50)):
        ours = intervals.of_share(hits / count, count)
        theirs = scipy.stats.binomtest(hits, count).proportion_ci(method="wilson")
        assert ours[:2] == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_a_share_below_a_quantile_of_others_scatters_as_of_half_as_many():
    """Of 1,000 distances those below the hundredth part of 1,000 others: near copies, where nothing is copied."""
    rng = np.random.default_rng(0)
    shares = [np.mean(rng.random(1000) < np.quantile(rng.random(1000), 0.01)) for _ in range(2000)]
    held = {
        count: np.mean([found.low <= 0.01 <= found.high for found in (intervals.of_share(s, count) for s in shares)])
        for count in (500, 1000)
    }
    assert 0.92 < held[500] < 0.98 and held[1000] < 0.89


def test_quantiles_and_bounds():
    assert intervals.around(5.0, 2.0, "x")[:2] == pytest.approx((5 - 2 * 1.959964, 5 + 2 * 1.959964), rel=1e-6)
    assert intervals.around(5.0, 2.0, "x", freedom=4)[0] == pytest.approx(5 - 2 * 2.776445, rel=1e-6)
    assert intervals.around(0.9, 2.0, "x", least=0.0, most=1.0)[:2] == (0.0, 1.0)
    assert intervals.around(None, 2.0, "x") is None and intervals.around(1.0, math.nan, "x") is None
    values = np.random.default_rng(0).standard_normal(20)
    without = [np.delete(values, i).mean() for i in range(20)]
    assert intervals.jackknife(without) == pytest.approx(values.std(ddof=1) / math.sqrt(20), rel=1e-12)


def test_records_have_intervals_and_tables_show_them():
    record = make_record(
        "FID", 12.0, 100, interval=intervals.Interval(11.5, 12.75, "delta method"), spread=0.5, spread_of="x"
    )
    assert record["interval"] == [11.5, 12.75] and record["interval_of"] == "95%, delta method"
    assert format_value(record) == "12 ± 0.5 [11.5, 12.75]"
    rest = {"seconds": 0, "images": "", "data": "d", "split": "", "seed": 0, "identifier": "fid"}
    assert "[low, high]: 95% interval; delta method." in format_table([{**record, **rest}])
    assert make_record("FID", 12.0, 100)["interval"] is None
    other = {**record, "value": 13.0, "interval": [12.0, 13.75]}
    merged = merge_repeats([{**record, **rest}, {**other, **rest}])
    assert merged["interval"] == [11.75, 13.25] and merged["value"] == 12.5
    merged = merge_repeats([{**record, **rest}, {**other, **rest, "interval": None, "interval_of": None}])
    assert (merged["interval"], merged["interval_of"], merged["value"]) == (None, None, 12.5)


def test_differences_beyond_the_intervals():
    def score(value, low, high):
        return {"value": value, "interval": [low, high]}

    assert intervals.exceeds(score(10, 8, 13), score(15, 10.9, 16)) is False  # 3 and 4.1 allow 5.08
    assert intervals.exceeds(score(15, 11.1, 16), score(10, 8, 13)) is True
    assert intervals.exceeds(score(10, 8, 13), {"value": 15, "interval": None}) is None


def test_the_error_of_a_frechet_distance_is_that_of_whole_recomputations():
    """The delta method against 300 bootstrap samples of both sets."""
    rng = np.random.default_rng(2)
    a, b = correlated(rng, 300, 6, shift=0.4), correlated(rng, 250, 6, 1.3)
    resampled = [frechet(a[rng.integers(0, 300, 300)], b[rng.integers(0, 250, 250)])[0] for _ in range(300)]
    error = fid.frechet_error([Moments.of(a), Moments.of(b)], [a, b])
    assert error == pytest.approx(np.std(resampled), rel=0.15)
    # Stored statistics do not scatter: the other set's part alone.
    half_of_it = fid.frechet_error([Moments.of(a), Moments.of(b)], [Moments.of(a), b])
    assert half_of_it < error
    resampled = [frechet(a, b[rng.integers(0, 250, 250)])[0] for _ in range(300)]
    assert half_of_it == pytest.approx(np.std(resampled), rel=0.15)
    assert fid.frechet_interval(1.0, [Moments.of(a[:6]), Moments.of(b)], [a[:6], b]) is None


def test_the_error_of_a_classifier_score_is_that_of_whole_recomputations():
    rng = np.random.default_rng(3)
    logits = rng.standard_normal((400, 10)) * 2
    value, error = inception_score.classifier_score_error(logits)
    assert value == inception_score.classifier_score(logits)
    p = scipy.special.softmax(logits, axis=1)

    def score(p):
        return math.exp(np.mean(np.sum(p * (np.log(p) - np.log(p.mean(axis=0))), axis=1)))

    resampled = [score(p[rng.integers(0, 400, 400)]) for _ in range(400)]
    assert error == pytest.approx(np.std(resampled), rel=0.12)


def images(rng, count, sharpness):
    """Images of 16 x 16 pixels whose contrast differs from image to image."""
    noise = rng.standard_normal((count, 16, 16, 1))
    noise = noise + sharpness * np.roll(noise, 1, axis=1)
    return np.clip(128 + 40 * np.exp(rng.normal(0, 0.5, (count, 1, 1, 1))) * noise, 0, 255).astype(np.uint8)


def of_frechet(rng, _):
    return frechet(correlated(rng, 500, 8, shift=0.3), correlated(rng, 400, 8))


def of_logits(rng, _):
    value, error = inception_score.classifier_score_error(rng.standard_normal((500, 10)) * 2 + np.linspace(0, 2, 10))
    return value, intervals.around(value, error, "")


def of_kernel(rng, _):
    a, b = rng.standard_normal((250, 8)), rng.standard_normal((250, 8)) + 0.3
    value, error = kid.kernel_distance_error(a, b, block_size=50)
    return value, intervals.around(value, error, "", freedom=4)


def of_few_kernel_values(rng, _):
    a, b = rng.standard_normal((60, 8)), rng.standard_normal((50, 8)) + 0.3
    return kid.kernel_distance(a, b), intervals.Interval(*kid._interval_of_one_block(a, b), "")


def of_neighbours(which):
    def draw(rng, _):
        values, errors = prdc.prdc_errors(rng.standard_normal((300, 8)), rng.standard_normal((250, 8)) * 0.8 + 0.3)
        value = getattr(values, which)
        return value, intervals.around(value, getattr(errors, which), "")

    return draw


def of_pairs(rng, seed):
    """Similarity of pairs in closed form: the jackknife of `ms_ssim_all_pairs` over images of one number each."""
    drawn = rng.standard_normal((40, 1))
    values = np.exp(-np.square(drawn - drawn.T))
    np.fill_diagonal(values, 0)
    value, error = ms_ssim.mean_of_pairs(values)
    return value, intervals.around(value, error, "", freedom=39)


def of_random_pairs(rng, seed):
    """As `of_pairs`, of 1,000 random pairs of 300 images: each is in six or seven."""
    drawn, (first, shift) = rng.standard_normal(300), rng.integers(0, [[300], [299]], (2, 1000))
    second = (first + 1 + shift) % 300
    values = np.exp(-np.square(drawn[first] - drawn[second]))
    return values.mean(), intervals.around(values.mean(), ms_ssim.error_of_pairs(values, first, second), "")


def of_splits(rng, _):
    value, spread = inception_score.classifier_score_spread(
        rng.standard_normal((500, 10)) * 2 + np.linspace(0, 2, 10), 10
    )
    return value, intervals.around(value, spread / math.sqrt(9), "", freedom=9)


def of_directions(rng, seed):
    a, b = rng.standard_normal((300, 8)) + 0.3, rng.standard_normal((250, 8)) * 0.8
    value, error = mind.monge_distance_error(a, b, directions=200, seed=seed)
    return value, intervals.around(value, error, "", least=0.0)


def of_patches(rng, seed):
    values, without, scatter = swd.sliced_wasserstein_without(images(rng, 60, 0.0), images(rng, 60, 0.5), seed=seed)
    return float(values[0]), intervals.around(
        float(values[0]), math.hypot(intervals.jackknife(without[0]), scatter[0]), "", swd.GROUPS - 1
    )


COVERED = {
    "fid": of_frechet,
    "is": of_logits,
    "is_of_splits": of_splits,
    "kid": of_kernel,
    "kid_of_few": of_few_kernel_values,
    "precision": of_neighbours("precision"),
    "recall": of_neighbours("recall"),
    "density": of_neighbours("density"),
    "coverage": of_neighbours("coverage"),
    "ms_ssim": of_pairs,
    "ms_ssim_random": of_random_pairs,
    "mind": of_directions,
    "swd": of_patches,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COVERED)
def test_intervals_hold_the_expected_score(name):
    """Of 100 pairs of sets: the score's expectation, the mean over those pairs."""
    rng = np.random.default_rng(7)
    found = [COVERED[name](rng, seed) for seed in range(100)]
    truth = np.mean([value for value, _ in found])
    held = sum(interval.low <= truth <= interval.high for _, interval in found)
    assert 90 <= held <= 100 if name in ("precision", "coverage", "swd") else 90 <= held <= 99


@pytest.mark.slow
def test_the_interval_of_fid_holds_the_population_distance():
    """With many images for the features the bias is small: |shift|^2 and the difference of two scaled covariances."""
    rng = np.random.default_rng(8)
    size, scale, shift = 6, 1.3, 0.3
    covariance = np.diag(np.linspace(0.2, 2, size)) + 0.1
    exact = size * shift**2 + np.trace(covariance) * (scale - 1) ** 2
    held = 0
    for _ in range(100):
        _, interval = frechet(correlated(rng, 1500, size), correlated(rng, 1500, size, scale, shift))
        held += interval.low <= exact <= interval.high
    assert 90 <= held <= 99


@pytest.mark.slow
def test_seconds_of_intervals_of_ten_thousand_images():
    """What intervals add to FID, KID and PRDC of 10,000 images and 2,048 features: 60 s on two cores, here of FID."""
    rng = np.random.default_rng(0)
    sets = [np.maximum(rng.standard_normal((10_000, 2048), np.float32), 0) for _ in range(2)]
    moments = [Moments.of(x) for x in sets]
    begun = time.process_time()
    assert fid.frechet_error(moments, sets) > 0
    assert time.process_time() - begun < 120  # of the processors, twice 60 s of two cores
