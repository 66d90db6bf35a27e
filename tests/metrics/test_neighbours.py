"""Nearest neighbours and what is scored by them, against double loops over differences in float64."""

import numpy as np
import pytest

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.metrics import neighbours


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Sets of a hundred samples run through several tiles."""
    monkeypatch.setattr(neighbours, "ROWS", 32)
    monkeypatch.setattr(neighbours, "_GATHERED", 600)


def _all_distances(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    return np.array([[np.sqrt(np.sum((p - q) ** 2)) for q in y] for p in x])


def _prdc_by_loops(a, b, k):
    """Naeem et al. 2020, Eq. 1 to 4, pair by pair."""
    own_a, own_b, across = _all_distances(a, a), _all_distances(b, b), _all_distances(a, b)
    radius_a = [sorted(np.delete(own_a[i], i))[k - 1] for i in range(len(a))]
    radius_b = [sorted(np.delete(own_b[j], j))[k - 1] for j in range(len(b))]
    precise, recalled, covered, inside = 0, 0, 0, 0
    for j in range(len(b)):
        balls = sum(across[i, j] < radius_a[i] for i in range(len(a)))
        precise, inside = precise + (balls > 0), inside + balls
    for i in range(len(a)):
        recalled += any(across[i, j] < radius_b[j] for j in range(len(b)))
        covered += any(across[i, j] < radius_a[i] for j in range(len(b)))
    return precise / len(b), recalled / len(a), inside / (k * len(b)), covered / len(a)


def _sets(case):
    random = np.random.default_rng(5)
    a, b = random.normal(size=(110, 6)), 0.8 * random.normal(size=(75, 6)) + 0.3
    if case == "far from the origin":
        return (a + 1e4), (b + 1e4)
    if case == "near duplicates":
        # Real samples, each with copies at distances that float32 products of such norms cannot tell apart.
        near = random.normal(size=(11, 6)).repeat(10, axis=0) * 10 + 1e-4 * a
        return near, near[random.permutation(110)[:75]] + 1e-4 * b
    if case == "collapsed":
        return a, np.ones((75, 6)) + 1e-12 * b
    if case == "lattice":  # whose distances are often equal, so that borders matter
        return random.integers(0, 4, (110, 6)), random.integers(0, 4, (75, 6))
    return a, b


CASES = ("plain", "far from the origin", "near duplicates", "collapsed", "lattice")


@pytest.fixture(params=[16, 0], ids=["pairs", "products"])
def again(request, monkeypatch):
    """How unsure pairs are computed again: one by one, or all pairs of their tile."""
    monkeypatch.setattr(neighbours, "_MANY", request.param)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_prdc_equals_a_double_loop(case, k, again):
    a, b = _sets(case)
    assert metrics.prdc(a, b, k) == pytest.approx(_prdc_by_loops(a, b, k), abs=1e-12)
    assert metrics.prdc(b, a, k) == pytest.approx(_prdc_by_loops(b, a, k), abs=1e-12)


def test_each_pair_is_computed_once(monkeypatch):
    """Both radii of a pair in one product; of one set a half, and the tiles of 32 on the diagonal whole."""
    counts = dict.fromkeys(("_distances", "_distances_of_pairs", "_distances_of_many"), 0)

    def count(name, compute=None):
        def counted(x, y, *places):
            counts[name] += len(places[0]) if places else len(x) * len(y)
            return compute(x, y, *places)

        compute = getattr(neighbours, name)
        monkeypatch.setattr(neighbours, name, counted)

    for name in counts:
        count(name)
    metrics.prdc(*_sets("plain"), k=3)
    own = (110**2 + 3 * 32**2 + 14**2) // 2 + (75**2 + 2 * 32**2 + 11**2) // 2
    assert counts.pop("_distances") == 110 * 75 + own
    assert counts["_distances_of_many"] == 0 and 3 * (110 + 75) <= counts["_distances_of_pairs"] < 0.2 * own, counts


def test_prdc_of_float32_and_mapped_features(tmp_path):
    a, b = (x.astype(np.float32) for x in _sets("plain"))
    np.save(tmp_path / "a.npy", a)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert metrics.prdc(mapped, b) == pytest.approx(_prdc_by_loops(a, b, 5), abs=1e-12)


def test_prdc_of_equal_and_of_distant_sets():
    a, _ = _sets("plain")
    same, apart = metrics.prdc(a, a), metrics.prdc(a, a + 100)
    # Each sample lies in the balls of those that count it among their first four; of itself it is the centre.
    assert same[:2] == (1, 1) and same.coverage == 1 and same.density == pytest.approx(1.0, abs=1e-12)
    assert apart == (0, 0, 0, 0)


def test_prdc_falls_with_quality_and_with_diversity():
    random = np.random.default_rng(1)
    centres = 8 * np.eye(6)[random.integers(0, 6, 300)]
    real = centres + random.normal(size=centres.shape)
    noisy = real[::-1] + 4 * random.normal(size=real.shape)
    narrow = real[centres[:, 0] > 0] + 0.1 * random.normal(size=real[centres[:, 0] > 0].shape)
    worse, fewer = metrics.prdc(real, noisy), metrics.prdc(real, narrow)
    assert worse.precision < 0.5 and worse.density < 0.3
    assert fewer.precision > 0.9 and fewer.recall < 0.4 and fewer.coverage < 0.4


@pytest.mark.parametrize("case", CASES[:3])
def test_nearest_neighbours_equal_a_double_loop(case, again):
    reference, queries = _sets(case)
    expected = _all_distances(queries, reference)
    order = np.argsort(expected, axis=1, kind="stable")[:, :4]
    distances, indices = metrics.nearest_neighbours(queries, iter(np.array_split(reference, 3)), k=4)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(distances, np.take_along_axis(expected, order, axis=1), rtol=1e-7)
    assert distances.dtype == np.float64 and indices.dtype == np.int64


def test_of_equal_distances_the_lowest_index_wins(again):
    reference, queries = (x.astype(np.uint8) for x in _sets("lattice"))
    expected = _all_distances(queries, reference)
    order = np.argsort(expected, axis=1, kind="stable")[:, :9]
    assert (np.diff(np.take_along_axis(expected, order, axis=1)) == 0).mean() > 0.3
    for parts in (1, 4):
        distances, indices = metrics.nearest_neighbours(queries, np.array_split(reference, parts), k=9)
        np.testing.assert_array_equal(indices, order)
        np.testing.assert_array_equal(distances, np.take_along_axis(expected, order, axis=1))


def test_a_query_is_not_its_own_neighbour_but_its_copy_is():
    reference = _sets("plain")[0]
    reference[70] = reference[9]
    queries, own = reference[[9, 70, 3, 3]], np.array([9, 70, 3, -1])
    distances, indices = metrics.nearest_neighbours(queries, np.split(reference, 2), exclude=own)
    assert indices[[0, 1, 3], 0].tolist() == [70, 9, 3] and distances[[0, 1, 3], 0].tolist() == [0, 0, 0]
    others = np.delete(_all_distances(reference[[3]], reference)[0], 3)
    assert indices[2, 0] != 3 and distances[2, 0] == pytest.approx(others.min(), rel=1e-12)


def test_pixels_of_images_are_exact():
    random = np.random.default_rng(0)
    reference = random.integers(0, 256, (200, 3072), dtype=np.uint8)
    queries = reference[[150, 20]].copy()
    queries[1, 7] ^= 1
    distances, indices = metrics.nearest_neighbours(queries, [reference])
    assert indices[:, 0].tolist() == [150, 20] and distances[:, 0].tolist() == [0, 1]


def test_sets_without_neighbours_are_refused():
    a, b = _sets("plain")
    with pytest.raises(MetricError, match=r"\(110, 6\) and \(75, 5\)"):
        metrics.prdc(a, b[:, :5])
    with pytest.raises(MetricError, match="more than k images on each side, not 110 and 5"):
        metrics.prdc(a, b[:5], k=5)
    with pytest.raises(MetricError, match="must be finite"):
        metrics.prdc(a, np.where(np.arange(75)[:, None] == 4, np.nan, b))
    with pytest.raises(MetricError, match="Not every sample has 3 neighbours: the reference set has 2 members"):
        metrics.nearest_neighbours(a, [b[:1], b[1:2]], k=3)
    with pytest.raises(MetricError, match=r"blocks \(M, 6\), not \(75, 5\)"):
        metrics.nearest_neighbours(a, [b[:, :5]])
    with pytest.raises(MetricError, match=r"one index per query \(110\)"):
        metrics.nearest_neighbours(a, [b], exclude=np.arange(3))
