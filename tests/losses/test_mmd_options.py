"""Biased estimators, the linear term, widths by their squares, and the Laplace kernel, against double loops."""

import itertools
import math

import numpy as np
import pytest
import scipy.spatial.distance
import tensorflow as tf

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from tests.helpers import double_loops as loops

CLOSE = {"rel": 1e-9, "abs": 1e-12}
G, X = loops.scores()
VARIANCES = (2.0, 5.0, 10.0)


def summed(kernels):
    return lambda distance: sum(kernel(distance) for kernel in kernels)


def by_squares(distance):
    """The kernel of `VARIANCES` as it is written: exp(-D / (2 a))."""
    return sum(math.exp(-distance / (2 * a)) for a in VARIANCES)


def product_mean(a, b, exclude):
    pairs = [(i, j) for i, j in itertools.product(range(len(a)), range(len(b))) if not (exclude and i == j)]
    return sum(float(np.dot(a[i], b[j])) for i, j in pairs) / len(pairs)


def loop_mmd2(kernel, biased=False, add_dot=0.0):
    terms = []
    for (a, b), factor in (((G, G), 1), ((X, X), 1), ((G, X), -2)):
        mean = loops.pair_mean(a, b, kernel, exclude=not biased)
        terms.append(factor * (mean + add_dot * product_mean(a, b, exclude=not biased)))
    return sum(terms)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("add_dot", [0.0, 0.3])
def test_attractive_losses(biased, add_dot):
    for name, options, kernel in (
        ("fixed_g", {"variance": VARIANCES}, by_squares),
        ("fixed_t", {"alpha": (0.1, 1.0, 10.0)}, summed([loops.rational_quadratic(a) for a in (0.1, 1.0, 10.0)])),
    ):
        found = losses.get(name, biased=biased, add_dot=add_dot, **options)(G, X)
        expected = loop_mmd2(kernel, biased, add_dot)
        assert float(found.gen) == pytest.approx(expected, **CLOSE)
        assert float(found.dis) == pytest.approx(-expected, **CLOSE)
        assert (f"{name}/kxx/dot" in found.logs) == (add_dot > 0)


def test_the_biased_repulsive_and_bounded_losses():
    kernel, low, high = loops.gaussian(math.sqrt(1.7)), 0.25, 4.0
    at_least, at_most = (lambda d: kernel(max(d, low))), (lambda d: kernel(min(d, high)))

    def mean(a, b, k):
        return loops.pair_mean(a, b, k, exclude=False)

    expected = {
        "rep": mean(X, X, kernel) - mean(G, G, kernel),
        "rmb": mean(X, X, at_most) - mean(G, G, at_least),
        "mgb": 2 * mean(G, X, at_most) - mean(G, G, at_least) - mean(X, X, at_least),
    }
    for name, loss_dis in expected.items():
        found = losses.get(name, variance=1.7, biased=True)(G, X)
        assert float(found.gen) == pytest.approx(loop_mmd2(kernel, biased=True), **CLOSE)
        assert float(found.dis) == pytest.approx(loss_dis, **CLOSE)


@pytest.mark.parametrize("unbiased", [True, False])
def test_mmd2_and_witness_with_a_linear_term(unbiased):
    value = losses.mmd2(G, X, unbiased=unbiased, add_dot=0.4, variance=VARIANCES)
    assert float(value) == pytest.approx(loop_mmd2(by_squares, not unbiased, 0.4), **CLOSE)
    z = np.random.default_rng(5).standard_normal((4, 3))
    witness = losses.witness(z, G, X, add_dot=0.4, variance=VARIANCES)
    for row, found in zip(z, witness, strict=True):
        means = [
            sum(by_squares(float(np.sum((row - other) ** 2))) + 0.4 * row @ other for other in sample) / len(sample)
            for sample in (G, X)
        ]
        assert float(found) == pytest.approx(means[0] - means[1], **CLOSE)


def test_a_linear_kernel_is_the_distance_of_the_means():
    """The biased MMD^2 of <x, y> is |mean x - mean y|^2; what the Gaussian adds is known without it."""
    both, gaussian = (float(losses.mmd2(G, X, unbiased=False, add_dot=a)) for a in (1.0, 0.0))
    assert both - gaussian == pytest.approx(float(np.sum((G.mean(0) - X.mean(0)) ** 2)), **CLOSE)


def test_the_laplace_kernel_forgets_the_square():
    def kernel(distance):
        return math.exp(-math.sqrt(distance) / (2 * 0.7**2)) + math.exp(-math.sqrt(distance) / (2 * 1.5**2))

    for options in ({"sigma": (0.7, 1.5)}, {"variance": (0.7**2, 1.5**2)}):
        value = losses.mmd2(G, X, "laplace", **options)
        assert float(value) == pytest.approx(loop_mmd2(kernel), rel=1e-6, abs=1e-9)
    same = tf.constant(np.ones((3, 2)))
    with tf.GradientTape() as tape:
        tape.watch(same)
        value = losses.mmd2(same, np.zeros((3, 2)), "laplace")
    assert np.all(np.isfinite(tape.gradient(value, same)))


def test_a_penalty_is_that_of_the_loss_with_its_options():
    """The witness of the penalty has the linear term and the widths of the loss: its slope by finite differences."""
    rng = np.random.default_rng(0)
    real, made, weights = rng.standard_normal((5, 4)), rng.standard_normal((5, 4)), rng.standard_normal((4, 3))
    loss = losses.get("fixed_g_gp", variance=VARIANCES, add_dot=0.2)
    kernel = loss.penalty_kernel(made @ weights, real @ weights)
    found = losses.gradient_penalty("fixed_g_gp", lambda x: x @ weights, real, made, uniform=np.full(5, 0.25), **kernel)
    by_variance = losses.gradient_penalty(
        "fixed_g_gp", lambda x: x @ weights, real, made, uniform=np.full(5, 0.25), variance=VARIANCES, add_dot=0.2
    )

    def witness(points):
        z, x, y = points @ weights, real @ weights, made @ weights
        values = [
            [sum(by_squares(float(np.sum((row - o) ** 2))) + 0.2 * row @ o for o in other) / 5 for other in (x, y)]
            for row in z
        ]
        return sum(a - b for a, b in values)

    gradients = loops.central_differences(witness, 0.25 * real + 0.75 * made)
    expected = np.mean((np.linalg.norm(gradients, axis=1) - 1) ** 2)
    assert float(found) == pytest.approx(expected, rel=1e-6)
    assert float(by_variance) == pytest.approx(float(found), rel=1e-12)


def test_defaults_are_what_they_were():
    for name in ("fixed_g", "fixed_t", "mgb", "rep", "rmb"):
        plain, said = losses.get(name), losses.get(name, biased=False)
        assert plain == said and "variance" not in plain.options
        assert "add_dot" not in plain.penalty_kernel(G, X)
    assert losses.get("fixed_g", variance=(4.0, 9.0)) == losses.get("fixed_g", sigma=(2.0, 3.0))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rep", {"sigma": 1.0, "variance": 1.0}, "both sigma and variance"),
        ("fixed_g", {"variance": (1.0, -2.0)}, "variance .* must be positive"),
        ("rep", {"variance": (1.0, 2.0)}, "variance .* must be a finite number"),
        ("fixed_t", {"variance": 2.0}, "no option 'variance'"),
        ("rep", {"add_dot": 0.1}, "no option 'add_dot'"),
        ("fixed_t", {"add_dot": -0.1}, "add_dot .* must be 0 or positive"),
        ("fixed_t", {"biased": 1}, "biased .* must be True or False"),
        ("hinge", {"biased": True}, "no option 'biased'"),
    ],
)
def test_errors(name, options, message):
    with pytest.raises(ConfigError, match=message):
        losses.get(name, **options)


def test_errors_of_the_functions():
    for options in ({"sigma": 1.0, "variance": 1.0}, {"add_dot": -1.0}, {"variance": 0.0}):
        with pytest.raises(ConfigError):
            losses.mmd2(G, X, **options)
    with pytest.raises(ConfigError, match="no option 'variance'"):
        losses.mmd2(G, X, "rational_quadratic", variance=1.0)


@pytest.mark.parametrize("name", ["fixed_g", "mmd_g_mix", "mgb", "rep", "rmb", "sgm", "rep_b_gp", "rep_ds"])
def test_sigma_median_is_the_median_distance_of_the_batch(name):
    """Against the same loss with NumPy's median of the pooled pairs' distances; the width has no gradient."""
    rng = np.random.default_rng(3)
    gen, data = tf.Variable(rng.standard_normal((7, 4))), tf.constant(rng.standard_normal((7, 4)) + 0.5)
    pooled = np.concatenate([gen.numpy(), data.numpy()])
    width = np.median(scipy.spatial.distance.pdist(pooled))
    extra = {"dis_penalty": 0.1} if name.endswith("_gp") else {"dis_scale": 0.5} if name.endswith("_ds") else {}

    def run(sigma):
        loss = losses.get(name, sigma=sigma)
        with tf.GradientTape(persistent=True) as tape:
            found = tf.function(lambda: loss(gen, data, seed=(1, 2), **extra)[:2])()
        assert np.asarray(loss.penalty_kernel(gen, data)["sigma"]) == pytest.approx(width, rel=1e-12)
        return [*found, *(tape.gradient(each, gen) for each in found)]

    for ours, expected in zip(run("median"), run(float(width)), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-13)
    equal = losses.get(name, sigma="median").penalty_kernel(gen * 0, data * 0)
    assert float(equal["sigma"]) == pytest.approx(1e-8)
