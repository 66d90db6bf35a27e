"""Losses of random kernel width against double loops, published numbers, closed forms and finite differences."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses
from mmdgan.losses import random_width
from tests.helpers.double_loops import (
    central_differences,
    exponential,
    matched_beta,
    normal_mmd2,
    pair_mean,
    random_mmd2,
    reference_mmd2,
    scores,
)

NAMES = ("rand_g", "rgb", "sym_rg")
SEED = (5, 7)


def reference(name, g, x, omega, ref_normal=1.0):
    """(loss_gen, loss_dis) by loops."""
    if name != "rgb":
        gen = random_mmd2(g, x, omega)
        if name == "rand_g":
            return gen, normal_mmd2(x, omega, ref_normal) - gen
        normals = normal_mmd2(x, omega, ref_normal, 0.5) + normal_mmd2(g, omega, ref_normal, -0.5)
        return gen, normals / 2 - gen
    beta = min(max(matched_beta(g, x, omega), 0.125), 2)

    def far(distance):
        return math.exp(-max(beta * distance, 0.125))

    def near(distance):
        return math.exp(-min(beta * distance, 2))

    dis = 2 * pair_mean(x, x, far) - pair_mean(g, g, far) - pair_mean(g, x, near)
    return reference_mmd2(g, x, exponential(beta)), dis


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("omega", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_losses_against_loops(name, omega, scale):
    g, x = scores(rows=6, scale=scale)
    result = losses.get(name, omega=omega)(g, x)
    np.testing.assert_allclose((result.gen, result.dis), reference(name, g, x, omega), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["rand_g", "sym_rg"])
def test_reference_normal(name):
    g, x = scores(rows=5)
    result = losses.get(name, omega=0.4, ref_normal=2.5)(g, x)
    assert float(result.dis) == pytest.approx(reference(name, g, x, 0.4, 2.5)[1], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "loss_gen", "loss_dis", "norms"),
    [
        ("rand_g", -0.185236, 0.186488, (0.205913, 0.166221)),
        ("rgb", -0.185236, -0.111209, (0.376013, 0.420948)),
        ("sym_rg", -0.185236, 0.369278, (0.147101, 0.099451)),
    ],
)
def test_published_numbers(name, loss_gen, loss_dis, norms):
    """Values of the original at omega 0.5 for scores sin(0.7 i + 0.1), cos(1.3 i + 0.4), and its gradients' norms."""
    i = np.arange(12, dtype=np.float32).reshape(4, 3)
    g, x = tf.constant(np.sin(0.7 * i + 0.1)), tf.constant(np.cos(1.3 * i + 0.4))
    with tf.GradientTape() as tape:
        tape.watch([g, x])
        result = losses.get(name, omega=0.5)(g, x)
    np.testing.assert_allclose((result.gen, result.dis), (loss_gen, loss_dis), atol=2e-6)
    np.testing.assert_allclose([np.linalg.norm(v) for v in tape.gradient(result.dis, [g, x])], norms, atol=2e-6)
    assert float(result.logs[f"{name}/beta"]) == pytest.approx(0.279274, abs=1e-6)
    normals = {"GANLoss/rn": {"rand_g": 0.001252, "sym_rg": 0.127412}.get(name)}
    normals["GANLoss/gn"] = {"sym_rg": 0.240672}.get(name)
    for tag, value in normals.items():
        assert (float(result.logs[tag]) == pytest.approx(value, abs=2e-6)) if value else tag not in result.logs


@pytest.mark.parametrize("omega", [0.05, 0.3, 0.85])
def test_the_mean_kernel_is_omega_once_matched(omega):
    g, x = scores(rows=16, columns=16)
    beta = float(
        random_width.match_beta(
            tf.constant([[np.sum((a - b) ** 2) for b in x] for a in g]), tf.constant(omega, tf.float64)
        )
    )
    assert pair_mean(g, x, exponential(beta), exclude=False) == pytest.approx(omega, rel=2e-3)


def test_the_normal_reference_is_what_large_samples_of_it_give():
    """At the width of the matched kernel, found here by bisection on the samples."""
    g, _ = scores(rows=8, columns=3, scale=0.5)
    omega, ref_normal, mean = 0.6, 1.5, -0.5
    y = np.random.default_rng(1).standard_normal((100_000, 3)) * math.sqrt(ref_normal / 6) + mean
    distances = np.sum((y[:, None] - g[None]) ** 2, axis=2)
    low, high = 0.0, 10.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if np.exp(-middle * distances).mean() > omega else (low, middle)
    own = np.exp(-low * np.sum((y[::2] - y[1::2]) ** 2, axis=1))
    expected = pair_mean(g, g, exponential(low)) + own.mean() - 2 * omega
    distances = tf.constant([[np.sum((a - b) ** 2) for b in g] for a in g])
    value = random_width.normal_mmd2(g, distances, tf.constant(omega, tf.float64), ref_normal, mean)
    assert float(value) == pytest.approx(expected, abs=3e-3)
    assert abs(expected) > 0.03


def test_omega_is_uniform_and_a_function_of_the_seed():
    g, x = scores(rows=4)
    loss = losses.get("rand_g")
    drawn = np.array([float(loss(g, x, seed=(0, step)).logs["rand_g/omega"]) for step in range(60)])
    assert 0.05 <= drawn.min() < 0.12
    assert 0.78 < drawn.max() <= 0.85
    assert abs(drawn.mean() - 0.45) < 4 * 0.8 / math.sqrt(12 * 60)
    assert float(loss(g, x, seed=tf.constant([0, 3], tf.int64)).logs["rand_g/omega"]) == drawn[3]
    narrow = losses.get("rand_g", omega=(0.2, 0.3))(g, x, seed=SEED)
    assert 0.2 <= float(narrow.logs["rand_g/omega"]) <= 0.3
    fixed = losses.get("rand_g", omega=float(narrow.logs["rand_g/omega"]))(g, x)
    assert float(fixed.dis) == pytest.approx(float(narrow.dis), rel=1e-12)


def test_without_a_seed_tensorflows_generator_draws():
    g, x = scores(rows=4)

    def two_draws():
        tf.random.set_seed(1)
        loss = tf.function(losses.get("rand_g"))
        return [float(loss(g, x).gen) for _ in range(2)]

    first, second = two_draws()
    assert first != second
    assert [first, second] == two_draws()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.2, 1.0])
def test_the_penaltys_kernel_has_the_width_of_the_same_step(name, scale):
    g, x = scores(scale=scale)
    loss = losses.get(name)
    beta = float(loss(g, x, seed=SEED).logs[f"{name}/beta"])
    sigma = float(loss.penalty_kernel(g, x, SEED)["sigma"])
    assert 1 / (2 * sigma**2) == pytest.approx(beta, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_pass_through_the_width(name):
    g, x = scores(rows=4, columns=2)
    loss = losses.get(name, omega=0.4)
    compiled = tf.function(lambda g, x: loss(g, x)[:2])
    variables = [tf.constant(g), tf.constant(x)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(variables)
        values = loss(*variables)[:2]
    for player, value in enumerate(values):
        of_gen, of_data = tape.gradient(value, variables)
        exact_gen = central_differences(lambda moved, player=player: compiled(moved, x)[player], g)
        exact_data = central_differences(lambda moved, player=player: compiled(g, moved)[player], x)
        np.testing.assert_allclose(of_gen, exact_gen, atol=1e-8)
        np.testing.assert_allclose(of_data, exact_data, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_equal_scores_leave_finite_gradients(name):
    g = tf.zeros((6, 4))
    x = tf.identity(g)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([g, x])
        result = losses.get(name)(g, x, seed=SEED)
        sigma = losses.get(name).penalty_kernel(g, x, SEED)["sigma"]
    for value in (result.gen, result.dis, sigma):
        assert math.isfinite(value)
        for gradient in tape.gradient(value, [g, x], unconnected_gradients="zero"):
            assert np.isfinite(gradient).all()
    for gradient in tape.gradient(result.gen, [g, x]):
        np.testing.assert_allclose(gradient, np.zeros((6, 4)), atol=1e-6)
