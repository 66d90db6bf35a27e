"""Toy distributions: densities against SciPy's, quadrature and histograms; samples against densities."""

from __future__ import annotations

import functools
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy import integrate, spatial, stats
from sklearn import datasets

from mmdgan.core.errors import ConfigError
from mmdgan.data import synthetic

C = 0.707106
ROUND = [[0.03, 0.0], [0.0, 0.03]]
TILTED = np.array([[0.04, 0.0395], [0.0395, 0.04]])
LEFT = np.array([[0.04, -0.0395], [-0.0395, 0.04]])
FLAT, UPRIGHT = np.diag([0.04, 0.0005]), np.diag([0.0005, 0.04])
A, B = 0.8, 0.8 * np.tan(np.pi / 8)

# The numbers of original.md G.4.
ORIGINAL = {
    "shell": (
        np.array([(1, 0), (C, C), (0, 1), (-C, C), (-1, 0), (-C, -C), (0, -1), (C, -C)]) / 1.5,
        np.array([ROUND, TILTED, ROUND, LEFT, ROUND, TILTED, ROUND, LEFT]) / 2.25,
    ),
    "shell2": (
        np.array([(C, 0), (C, C), (0, C), (-C, C), (-C, 0), (-C, -C), (0, -C), (C, -C)]) / 1.5,
        np.array([FLAT, ROUND, UPRIGHT, ROUND, FLAT, ROUND, UPRIGHT, ROUND]) / 2.25,
    ),
    "star": (
        np.array([(B, A), (A, B), (A, -B), (B, -A), (-B, -A), (-A, -B), (-A, B), (-B, A)]),
        np.array([0.001 * np.eye(2)] * 8),
    ),
}

PLANE = {
    "normal": {"mu": [0.3, -0.2], "std_or_cov": [[0.2, 0.1], [0.1, 0.15]]},
    "gm": {"probs": [0.2, 0.8, 0.0], "mu": [[0, 0], [1, 0.5], [9, 9]], "std_or_cov": [[0.2, 0.1], [0.3, 0.2], [1, 1]]},
    "uniform": {"low": [-1.0, 0.0], "high": [1.0, 0.5]},
    **{name: {} for name in ORIGINAL},
    "ring": {"std": 0.05},
    "rings": {"std": 0.06},
    "grid": {"side": 3, "spacing": 0.6},
    "swiss_roll": {"noise": 0.1},
    "two_moons": {},
    "circles": {"noise": 0.1},
}
"""Distributions of the plane that all but vanish outside a box of side 5 around the origin (each with its options)."""

EVERY = pytest.mark.parametrize("name", PLANE)
CURVES = ("swiss_roll", "two_moons", "circles")


def get(name):
    return synthetic.get(name, **PLANE[name])


@functools.cache
def gridded(name):
    """Middles of small square cells of the plane, (n², 2), and the probability of each, (n, n)."""
    count = 500 if name.startswith("shell") else 250  # narrower Gaussians need finer cells
    middles = (np.arange(count) + 0.5) * (5.0 / count) - 2.5
    x = np.stack(np.meshgrid(middles, middles, indexing="ij"), axis=-1).reshape(-1, 2)
    return x, get(name).prob(x).reshape(count, count) * (5.0 / count) ** 2


def mixture_density(x, means, covariances, probs=None):
    parts = [stats.multivariate_normal(m, c).pdf(x) for m, c in zip(means, covariances, strict=True)]
    return np.average(parts, axis=0, weights=probs)


@pytest.mark.parametrize("name", ORIGINAL)
def test_the_originals_sets(name):
    means, covariances = ORIGINAL[name]
    found = synthetic.get(name)
    x = np.random.default_rng(0).uniform(-1.2, 1.2, (500, 2))
    np.testing.assert_allclose(found.prob(x), mixture_density(x, means, covariances), rtol=1e-9)
    np.testing.assert_allclose(found.modes, means, rtol=1e-12)
    assert (found.dimension, found.sample(3).shape) == (2, (3, 2))


def test_normal_and_mixtures_against_scipy():
    rng = np.random.default_rng(1)
    factors = rng.normal(size=(3, 4, 4))
    covariances, means, probs = factors @ factors.transpose(0, 2, 1), rng.normal(size=(3, 4)), [0.5, 0.2, 0.3]
    x = rng.normal(size=(200, 4))
    found = synthetic.get("gaussian_mixture", probs=probs, mu=means, std_or_cov=covariances)
    np.testing.assert_allclose(found.prob(x), mixture_density(x, means, covariances, probs), rtol=1e-8)
    stds = rng.uniform(0.5, 2.0, (3, 4))
    found = synthetic.get("gm", probs=probs, mu=means, std_or_cov=stds)
    diagonal = [np.diag(std**2) for std in stds]
    np.testing.assert_allclose(found.prob(x), mixture_density(x, means, diagonal, probs), rtol=1e-8)
    full, row = ({"mu": means[0], "std_or_cov": spread} for spread in (covariances[0], stds[0]))
    for options, covariance in ((full, covariances[0]), (row, diagonal[0])):
        expected = stats.multivariate_normal(means[0], covariance).logpdf(x)
        np.testing.assert_allclose(synthetic.get("gaussian", **options).log_prob(x), expected, rtol=1e-9)
    expected = stats.multivariate_normal(np.full(4, 2.0), 9 * np.eye(4)).logpdf(x)
    np.testing.assert_allclose(synthetic.get("normal", mu=2, std_or_cov=3, x_dof=4).log_prob(x), expected, rtol=1e-9)
    # Far out, where every density is zero in double precision, its logarithm is not.
    assert synthetic.get("normal").log_prob([[60.0, 80.0]]) == pytest.approx(-5000 - np.log(2 * np.pi), rel=1e-12)


def test_uniform():
    box = synthetic.get("u", low=[-1.0, 0.0, 2.0], high=[1.0, 0.5, 6.0])
    inside = np.array([[0.0, 0.2, 3.0], [-1.0, 0.5, 6.0]])
    np.testing.assert_allclose(box.prob(inside), 1 / (2 * 0.5 * 4), rtol=1e-14)
    for i in range(3):
        np.testing.assert_array_equal(box.prob(inside + 5 * np.eye(3)[i]), 0.0)
    x = box.sample(20_000, seed=4)
    assert stats.kstest(x[:, 2], stats.uniform(2, 4).cdf).pvalue > 1e-3
    assert (box.log_prob(x) > -np.inf).all() and box.modes is None
    line = synthetic.get("uniform", low=-2, high=3, z_dof=1)
    np.testing.assert_allclose(line.log_prob([[0.0], [4.0]]), [-np.log(5), -np.inf])
    assert synthetic.get("uniform").dimension == 2 and synthetic.get("uni", high=[1, 2, 3]).dimension == 3


def test_rings_and_grids_of_gaussians():
    ring = synthetic.get("ring", count=6, radius=2, std=0.1)
    np.testing.assert_allclose(np.linalg.norm(ring.modes, axis=1), 2.0)
    np.testing.assert_allclose(ring.modes[:2], [[2, 0], [1, np.sqrt(3)]], atol=1e-12)
    assert ring.prob(ring.modes[:1]) == pytest.approx(1 / 6 / (2 * np.pi * 0.01), rel=1e-9)
    rings = synthetic.get("rings", radii=(1, 2, 3), count=4)
    assert sorted(np.linalg.norm(rings.modes, axis=1).round(9)) == [1.0] * 4 + [2.0] * 4 + [3.0] * 4
    grid = synthetic.get("grid")
    assert {tuple(mode) for mode in grid.modes} == {(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}
    np.testing.assert_array_equal(grid.covariances, [0.05**2 * np.eye(2)] * 25)


@EVERY
def test_densities_make_one_and_have_the_moments_of_the_samples(name):
    distribution = get(name)
    x, mass = gridded(name)
    mass = mass.ravel()
    assert mass.sum() == pytest.approx(1.0, abs=2e-4 if name != "uniform" else 1e-2)
    drawn = distribution.sample(40_000, seed=7)
    mean = mass @ x / mass.sum()
    covariance = (mass[:, None] * (x - mean)).T @ (x - mean) / mass.sum()
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.015)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.015)


@EVERY
def test_samples_fall_where_the_density_says(name):
    """A histogram of 50 x 50 bins, by the chi-square test; three seeds, one of which must fit."""
    distribution, fine = get(name), gridded(name)[1]
    size = len(fine) // 50
    expected = fine.reshape(50, size, 50, size).sum(axis=(1, 3)).ravel()
    edges = np.linspace(-2.5, 2.5, 51)
    likely = expected * 40_000 > 10
    found = []
    for seed in range(3):
        counts = np.histogram2d(*distribution.sample(40_000, seed).T, [edges, edges])[0].ravel()
        assert counts[~likely].sum() == pytest.approx(expected[~likely].sum() * 40_000, rel=0.3, abs=20)
        wanted = expected[likely] * counts[likely].sum() / expected[likely].sum()
        found.append(stats.chisquare(counts[likely], wanted).pvalue)
    assert max(found) > 0.01, found


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("noise", [0.03, 0.3])
def test_densities_of_curves_are_the_integrals(name, noise):
    """Against SciPy's adaptive quadrature, up to ten standard deviations from the curves."""
    distribution = synthetic.get(name, noise=noise)
    rng = np.random.default_rng(2)
    exact = synthetic.get(name, noise=0.0).sample(8, seed=5)
    away = rng.normal(size=(8, 2))
    x = exact + noise * np.linspace(0, 10, 8)[:, None] * away / np.linalg.norm(away, axis=1, keepdims=True)
    for point, found in zip(x, distribution.log_prob(x), strict=True):
        expected = np.mean([path_integral(point, curve, noise) for curve in paths(name)])
        assert found == pytest.approx(np.log(expected), abs=1e-7)


def paths(name):
    """The curves, written down once more: t in [0, 1] to a point."""
    angle = {"swiss_roll": lambda t: 1.5 * np.pi * (1 + 2 * t)}.get(name, lambda t: np.pi * t)
    if name == "swiss_roll":
        return [lambda t: angle(t) / (4.5 * np.pi) * np.array([np.cos(angle(t)), np.sin(angle(t))])]
    if name == "circles":
        return [lambda t, r=r: r * np.array([np.cos(2 * np.pi * t), np.sin(2 * np.pi * t)]) for r in (0.5, 1.0)]
    return [
        lambda t: np.array([np.cos(angle(t)), np.sin(angle(t))]),
        lambda t: np.array([1 - np.cos(angle(t)), 0.5 - np.sin(angle(t))]),
    ]


def path_integral(point, curve, noise):
    def density(t):
        return np.exp(-np.sum((point - curve(t)) ** 2) / (2 * noise**2)) / (2 * np.pi * noise**2)

    parts = np.linspace(0, 1, 41)
    pairs = zip(parts[:-1], parts[1:], strict=True)
    return sum(integrate.quad(density, a, b, epsabs=0, epsrel=1e-10)[0] for a, b in pairs)


def test_curves_far_away():
    """The logarithm is finite and near that of the nearest point, where densities are zero in double precision."""
    moons = synthetic.get("two_moons", noise=0.02)
    x = np.array([[-1.0, -0.5], [3.0, 2.0], [0.0, 50.0]])
    upper, lower = datasets.make_moons(4000, shuffle=False)[0].reshape(2, 2000, 2)
    distance = np.linalg.norm(x[:, None] - np.concatenate([upper, lower]), axis=2).min(axis=1) / 0.02
    assert (distance > 20).all()
    assert (np.abs(moons.log_prob(x) + distance**2 / 2) < 0.02 * distance + 15).all()


@pytest.mark.parametrize(
    ("name", "make", "scale"),
    [
        ("two_moons", lambda: datasets.make_moons(4000, noise=0.0, random_state=0)[0], 1.0),
        ("swiss_roll", lambda: datasets.make_swiss_roll(4000, random_state=0)[0][:, [0, 2]], 4.5 * np.pi),
        ("circles", lambda: datasets.make_circles(4000, factor=0.5, random_state=0)[0], 1.0),
    ],
)
def test_curves_are_where_scikit_learn_has_them(name, make, scale):
    ours, theirs = synthetic.get(name, noise=0.0).sample(4000, seed=1), make() / scale
    for some, others in ((ours, theirs), (theirs, ours)):
        assert spatial.KDTree(some).query(others)[0].max() < 0.03
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=0.05)


def test_embedding():
    flat, high = synthetic.get("shell"), synthetic.get("shell", x_dof=7)
    matrix = high.matrix
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-12)
    x = high.sample(50, seed=3)
    np.testing.assert_allclose(x, flat.sample(50, seed=3) @ matrix, rtol=1e-12)
    np.testing.assert_allclose(high.log_prob(x), flat.log_prob(x @ matrix.T), rtol=1e-9)
    np.testing.assert_allclose(high.log_prob(x.astype("float32")), flat.log_prob(x @ matrix.T), atol=1e-3)
    np.testing.assert_allclose(high.modes, flat.modes @ matrix)
    off = np.eye(7)[0] - matrix.T @ matrix[:, 0]
    np.testing.assert_array_equal(high.log_prob(x + 0.01 * off), -np.inf)
    assert (high.dimension, high.prob(x + 1e-9 * off).min() > 0) == (7, True)
    other = synthetic.get("shell", x_dof=7, z_dof=2, embedding_seed=1).matrix
    assert np.abs(other - matrix).max() > 0.1
    assert synthetic.get("normal", z_dof=3, x_dof=5).base.dimension == 3
    assert synthetic.get("normal", mu=[1, 2], x_dof=5).base.dimension == 2
    assert type(synthetic.get("star", x_dof=2)) is synthetic.GaussianMixture


@EVERY
def test_samples_are_a_function_of_the_seed(name):
    distribution = get(name)
    x = distribution.sample(100, seed=5)
    assert x.dtype == np.float64
    np.testing.assert_array_equal(distribution.sample(30, seed=5), x[:30])
    assert np.abs(distribution.sample(100, seed=6) - x).max() > 0.01
    assert distribution.sample(0).shape == distribution.sample(1)[:0].shape == (0, 2)
    assert len(np.unique(x, axis=0)) == 100


def test_pinned_samples():
    """These numbers must never change: experiments are repeated by their seeds."""
    np.testing.assert_allclose(synthetic.get("shell").sample(2, seed=1), PINNED["shell"], rtol=1e-9)
    np.testing.assert_allclose(synthetic.get("two_moons").sample(2, seed=1), PINNED["two_moons"], rtol=1e-9)
    np.testing.assert_allclose(synthetic.get("uniform", z_dof=1, x_dof=2).matrix, PINNED["matrix"], rtol=1e-9)


PINNED = {
    "shell": [[0.604819888304094, 0.07774023271803163], [0.5069262291999448, -0.507848653071018]],
    "two_moons": [[0.45981814876277904, 0.7288417967959144], [0.607475530272568, -0.3971577879751904]],
    "matrix": [[0.05307301682981125, 0.9985906342864339]],
}


@EVERY
def test_points_of_any_kind(name):
    distribution = get(name)
    x = np.array([[np.inf, 0.0], [0.0, -np.inf], [np.nan, np.inf], [0.1, 0.1]])
    found = distribution.log_prob(x)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found[:3], [-np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(found[3:], distribution.log_prob([[0.1, 0.1]]))
    assert distribution.log_prob(np.zeros((0, 2))).shape == (0,)
    for far in (distribution, synthetic.Embedded(distribution, 3)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert far.log_prob([[1e200] * far.dimension, [-1.7e308] * far.dimension]).tolist() == [-np.inf] * 2
    for wrong in (np.zeros(2), np.zeros((3, 1)), np.zeros((1, 1, 2))):
        with pytest.raises(ConfigError, match=r"points have the shape \(.*this distribution's have \(n, 2\)"):
            distribution.prob(wrong)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("shel", {}, r"no distribution 'shel' \(did you mean shell\?\); there are 'circles'"),
        (3, {}, "no distribution 3; there are"),
        (
            "ring",
            {"radios": 1},
            r"ring has no option 'radios' \(did you mean radius\?\); it takes 'count', 'radius', 'std'",
        ),
        ("star", {"std": 1}, "star has no option 'std'; it takes none"),
        ("uniform", {"dof": 1}, "uniform has no option 'dof'"),
        ("gm", {"mu": [[0.0]]}, "gm needs 'probs', 'std_or_cov'"),
        ("gm", {"probs": [0.5, 0.4], "mu": np.eye(2), "std_or_cov": 1}, "probs is .*; give 2 numbers of at least 0"),
        ("gm", {"probs": [1.5, -0.5], "mu": np.eye(2), "std_or_cov": 1}, "probs is"),
        ("gm", {"probs": [1.0], "mu": [0.0], "std_or_cov": 1}, r"mu has the shape \(1,\)"),
        ("gm", {"probs": [1.0], "mu": [[0.0, 1.0]], "std_or_cov": [[1.0]]}, r"need \(1, 2, 2\)"),
        ("normal", {"std_or_cov": [[1.0, 2.0], [2.0, 1.0]]}, "covariance 0 is .* not symmetric and positive definite"),
        ("normal", {"std_or_cov": [[1.0, 0.5], [0.1, 1.0]]}, "not symmetric and positive definite"),
        ("normal", {"std_or_cov": 0.0}, "std_or_cov is .*; give positive numbers"),
        ("normal", {"mu": "here"}, "mu is 'here'; give finite numbers"),
        ("normal", {"mu": [0.0, np.inf]}, "mu is .*; give finite numbers"),
        ("uniform", {"low": 1.0, "high": 1.0}, "a low that is less than high"),
        ("uniform", {"low": [0, 0], "high": [1, 1, 1]}, r"low has the shape \(2,\) and high \(3,\)"),
        ("ring", {"count": 0}, "count is 0; give a whole number of at least 1"),
        ("ring", {"count": 2.5}, "count is 2.5"),
        ("ring", {"std": -1}, "std is -1; give positive numbers"),
        ("ring", {"radius": [1, 2]}, r"radius is \[1, 2\]; give one number"),
        ("circles", {"radii": [[1, 2]]}, r"radii is \[\[1, 2\]\]; give one number or a row"),
        ("circles", {"noise": -0.1}, "noise is -0.1; give a number of at least 0"),
        ("shell", {"x_dof": 1}, "x_dof is 1, but the distribution has 2 dimensions; give at least as many"),
        ("shell", {"z_dof": 3}, "z_dof is 3, but this shell has 2 dimensions; leave z_dof out"),
        ("shell", {"x_dof": 2.0}, "x_dof is 2.0; give a whole number"),
    ],
)
def test_mistakes_are_named(name, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        synthetic.get(name, **options)


def test_mistakes_in_calls_are_named():
    moons = synthetic.get("moons", noise=0)
    for count in (-1, 1.5, True):
        with pytest.raises(ConfigError, match=f"count is {count}; give a whole number of at least 0"):
            moons.sample(count)
    with pytest.raises(ConfigError, match="seed is 'a'; give a whole number"):
        moons.sample(3, seed="a")
    with pytest.raises(ConfigError, match="noise is 0, and curves without noise have no density"):
        moons.log_prob([[0.0, 0.0]])
    with pytest.raises(ConfigError, match="noise is 1e-08, too little to compute a density; give at least 4.8e-05"):
        synthetic.get("moons", noise=1e-8).log_prob([[0.0, 0.0]])


def test_every_name_is_tested_and_documented():
    aliases = {"gaussian": "normal", "gm": "gaussian_mixture", "uni": "uniform", "u": "uniform", "moons": "two_moons"}
    named = {aliases.get(name, name) for name in PLANE}
    assert set(synthetic.names()) == named | set(aliases)
    for name in synthetic.names():
        assert f"{name}" in synthetic.__doc__


def test_only_numpy_is_imported():
    script = "import sys, mmdgan.data.synthetic as s; s.get('moons').log_prob(s.get('moons').sample(9)); print("
    script += "[m for m in ('tensorflow', 'scipy', 'sklearn', 'keras') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
