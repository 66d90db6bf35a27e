"""MMD losses and statistics against double loops, published numbers, closed forms and finite differences."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from tests.helpers.double_loops import (
    central_differences,
    gaussian,
    pair_mean,
    rational_quadratic,
    reference_mmd2,
    scores,
)

MMD_LOSSES = ("fixed_g", "fixed_t", "mgb", "rep", "rmb")
SIGMAS = (1, 2**0.5, 2, 8**0.5, 4)
ALPHAS = (0.2, 0.5, 1, 2, 5)


def reference(name, g, x, w=(0.0, -1.0), low=0.25, high=4.0, cross_bound=False):
    """(loss_gen, loss_dis) of a loss by double loops, after the paper's equations."""
    k = gaussian()
    gen = reference_mmd2(g, x, k)
    if name in ("fixed_g", "fixed_t"):
        members = [gaussian(s) for s in SIGMAS] if name == "fixed_g" else [rational_quadratic(a) for a in ALPHAS]
        gen = sum(reference_mmd2(g, x, member) for member in members)
        return gen, -gen

    def far(distance):
        return k(max(distance, low))

    def near(distance):
        return k(min(distance, high))

    if name == "mgb":
        return gen, 2 * pair_mean(g, x, near) - pair_mean(g, g, far) - pair_mean(x, x, far)
    if name == "rep":
        return gen, w[0] * pair_mean(g, x, k) - pair_mean(g, g, k) - w[1] * pair_mean(x, x, k)
    data, cross = (far, near if cross_bound else k) if w[1] > 0 else (near, k)
    return gen, w[0] * pair_mean(g, x, cross) - pair_mean(g, g, far) - w[1] * pair_mean(x, x, data)


@pytest.mark.parametrize("name", MMD_LOSSES)
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.0])
def test_losses_against_double_loops(name, scale):
    g, x = scores(scale=scale)
    result = losses.get(name)(g, x)
    np.testing.assert_allclose((result.gen, result.dis), reference(name, g, x), rtol=1e-12, atol=1e-14)
    assert result.gen.dtype == tf.float64


@pytest.mark.parametrize("name", ["rep", "rmb"])
@pytest.mark.parametrize(
    ("rep_lambda", "weights"),
    [(-1, (2, 1)), (-0.5, (1.5, 0.5)), (0, (1, 0)), (0.5, (0.5, -0.5)), (1, (0, -1)), (2, (-1, -2))],
)
def test_lambda_is_short_for_the_weights_of_the_paper(name, rep_lambda, weights):
    g, x = scores(scale=1.5)
    result = losses.get(name, rep_lambda=rep_lambda)(g, x)
    assert float(result.dis) == pytest.approx(reference(name, g, x, w=weights)[1], rel=1e-12)
    assert float(result.dis) == float(losses.get(name, rep_weights=weights)(g, x).dis)


def test_cross_bound_is_the_papers_equation_6():
    g, x = (tf.constant(s) for s in scores(rows=9, scale=2.0))
    ours, mgb = losses.get("rmb", rep_lambda=-1, cross_bound=True), losses.get("mgb")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([g, x])
        values = ours(g, x).dis, mgb(g, x).dis
    assert float(values[0]) == pytest.approx(float(values[1]), rel=1e-12)
    for scored in (g, x):
        np.testing.assert_allclose(tape.gradient(values[0], scored), tape.gradient(values[1], scored), atol=1e-14)
    released = losses.get("rmb", rep_lambda=-1)(g, x).dis
    assert abs(float(released - values[1])) > 1e-3
    expected = reference("rmb", g.numpy(), x.numpy(), w=(1.5, 0.5), cross_bound=True)[1]
    assert float(losses.get("rmb", rep_lambda=-0.5, cross_bound=True)(g, x).dis) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rep_lambda", [0, 0.5, 1, 2])
def test_cross_bound_leaves_equation_7_alone(rep_lambda):
    g, x = scores(scale=2.0)
    bounded = losses.get("rmb", rep_lambda=rep_lambda, cross_bound=True)(g, x)
    assert float(bounded.dis) == float(losses.get("rmb", rep_lambda=rep_lambda)(g, x).dis)


@pytest.mark.parametrize(
    ("name", "options", "call", "loss_gen", "loss_dis", "norms"),
    [
        ("fixed_g", {}, {}, -0.618831, 0.618831, (0.668222, 0.491481)),
        ("fixed_t", {}, {}, -0.801168, 0.801168, (0.902877, 0.680192)),
        ("mgb", {}, {}, -0.229364, 0.297803, (0.261308, 0.204142)),
        ("rep", {}, {}, -0.229364, -0.058018, (0.198972, 0.243132)),
        ("rep", {"rep_weights": [-1, -2]}, {}, -0.229364, -0.201709, (0.240682, 0.394966)),
        ("rep", {"rep_weights": [1, 0]}, {}, -0.229364, 0.085673, (0.201125, 0.131180)),
        ("rep", {}, {"dis_scale": 0.5}, -0.229364, -0.529009, (0.099486, 0.121566)),
        ("rmb", {}, {}, -0.229364, -0.018885, (0.198907, 0.165556)),
        ("rmb", {"rep_weights": [-1, -2]}, {}, -0.229364, -0.142992, (0.240474, 0.255254)),
        ("rmb", {"rep_weights": [2, 1]}, {}, -0.229364, 0.248913, (0.246242, 0.174021)),
        ("rmb", {"rep_weights": [2, 1], "cross_bound": True}, {}, -0.229364, 0.297803, (0.261308, 0.204142)),
        ("rmb", {}, {"dis_scale": 0.5}, -0.229364, -0.009443, (0.099454, 0.082778)),
        ("logistic", {}, {}, 0.677465, 1.563414, (0.161734, 0.149520)),
        ("hinge", {}, {}, -0.153183, 2.112027, (0.288675, 0.288675)),
        ("wasserstein", {}, {"dis_penalty": 0.5}, -0.112027, 0.612027, (0.288675, 0.288675)),
    ],
)
def test_published_numbers(name, options, call, loss_gen, loss_dis, norms):
    """Values of the original for scores sin(0.7 i + 0.1) and cos(1.3 i + 0.4), and its critic gradients' norms."""
    i = np.arange(12, dtype=np.float32).reshape(4, 3)
    g, x = tf.constant(np.sin(0.7 * i + 0.1)), tf.constant(np.cos(1.3 * i + 0.4))
    with tf.GradientTape() as tape:
        tape.watch([g, x])
        result = losses.get(name, **options)(g, x, **call)
    np.testing.assert_allclose((result.gen, result.dis), (loss_gen, loss_dis), atol=2e-6)
    np.testing.assert_allclose([np.linalg.norm(v) for v in tape.gradient(result.dis, [g, x])], norms, atol=2e-6)


@pytest.mark.parametrize("name", MMD_LOSSES)
def test_gradients_at_coincident_points_against_finite_differences(name):
    """Two equal generated scores, two equal data scores, and one of each kind in the same place."""
    g, x = scores(rows=5, scale=0.8)
    g[1], x[3], x[0] = g[0], x[2], g[0]
    loss, variables = losses.get(name), [tf.constant(g), tf.constant(x)]
    compiled = tf.function(lambda g, x: loss(g, x)[:2])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(variables)
        values = loss(*variables)[:2]
    for player, value in enumerate(values):
        of_gen, of_data = tape.gradient(value, variables)
        for gradient, at, moved in (
            (of_gen, g, lambda moved, player=player: compiled(moved, x)[player]),
            (of_data, x, lambda moved, player=player: compiled(g, moved)[player]),
        ):
            np.testing.assert_allclose(gradient, central_differences(moved, at), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", MMD_LOSSES)
def test_gradients_of_collapsed_scores_vanish(name):
    g = tf.ones((8, 16)) * 3.3
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(g)
        result = losses.get(name)(g, tf.identity(g))
    for value in (result.gen, result.dis):
        np.testing.assert_allclose(tape.gradient(value, g), np.zeros((8, 16)), atol=1e-6)


@pytest.mark.parametrize("name", MMD_LOSSES)
def test_penalty_is_added(name):
    g, x = scores()
    plain, penalised = losses.get(name)(g, x), losses.get(name)(g, x, dis_penalty=np.float32(0.25))
    assert float(penalised.dis) == pytest.approx(float(plain.dis) + 0.25, rel=1e-12)
    assert float(penalised.gen) == float(plain.gen)


def test_scale_follows_the_penalty_and_rep_subtracts_one():
    g, x = scores()
    for name, shift in (("rep", 1.0), ("rmb", 0.0)):
        plain = float(losses.get(name)(g, x).dis)
        scaled = float(losses.get(name)(g, x, dis_penalty=0.25, dis_scale=0.5).dis)
        assert scaled == pytest.approx((plain + 0.25 - shift) * 0.5, rel=1e-12)


def test_width_of_the_single_kernel():
    g, x = scores()
    result = losses.get("rep", sigma=0.5)(g, x)
    assert float(result.gen) == pytest.approx(reference_mmd2(g, x, gaussian(0.5)), rel=1e-12)


def test_logs():
    g, x = scores()
    logs = losses.get("rep_b")(g, x).logs
    expected = {f"rmb/k{pair}{bound}" for pair in ("xx", "xy", "yy") for bound in ("", "_b")}
    assert set(logs) == expected | {f"squared_dist/d{pair}" for pair in ("xx", "xy", "yy")}
    assert float(logs["rmb/kxx"]) == pytest.approx(pair_mean(g, g, gaussian()), rel=1e-12)
    assert float(logs["rmb/kyy"]) == pytest.approx(pair_mean(x, x, gaussian()), rel=1e-12)
    assert float(logs["rmb/kxy"]) == pytest.approx(pair_mean(g, x, gaussian()), rel=1e-12)
    assert float(logs["rmb/kyy_b"]) == pytest.approx(pair_mean(x, x, lambda d: gaussian()(min(d, 4))), rel=1e-12)
    assert logs["squared_dist/dxy"].shape == (7, 7)
    mixture = losses.get("mmd_g", sigma=[1, 2])(g, x).logs
    assert float(mixture["fixed_g/kxy/d1"]) == pytest.approx(pair_mean(g, x, gaussian(2)), rel=1e-12)


@pytest.mark.parametrize(
    ("g", "x", "words"),
    [
        (np.ones(4), np.ones(4), r"score_gen must be \(N, d\), not \(4,\)"),
        (np.ones((1, 2)), np.ones((4, 2)), "2 rows or more, but score_gen has 1"),
        (np.ones((4, 2)), np.ones((4, 3)), r"score_gen is \(4, 2\) and score_data \(4, 3\)"),
    ],
)
def test_shapes_that_do_not_fit(g, x, words):
    with pytest.raises(ConfigError, match=words):
        losses.get("rep")(g, x)


@pytest.mark.parametrize("rows", [(6, 6), (4, 7)])
@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize(
    ("options", "members"),
    [
        ({}, [gaussian()]),
        ({"sigma": [0.5, 2.0]}, [gaussian(0.5), gaussian(2.0)]),
        (
            {"kernel": "rational_quadratic", "alpha": (0.2, 5), "beta": 3.0},
            [rational_quadratic(0.2, 3.0), rational_quadratic(5, 3.0)],
        ),
    ],
)
def test_mmd2_against_double_loops(rows, unbiased, options, members):
    x, y = scores(rows=7)
    x, y = x[: rows[0]], y[: rows[1]]
    cross = unbiased and len(x) == len(y)
    expected = sum(
        pair_mean(x, x, k, unbiased) + pair_mean(y, y, k, unbiased) - 2 * pair_mean(x, y, k, cross) for k in members
    )
    assert float(losses.mmd2(x, y, unbiased=unbiased, **options)) == pytest.approx(expected, rel=1e-12)

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.float64)] * 2)
    def unknown_sizes(x, y):
        return losses.mmd2(x, y, unbiased=unbiased, **options)

    assert float(unknown_sizes(x, y)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rows", [(20, 20), (20, 30)])
def test_mmd2_is_unbiased_for_gaussians(rows):
    """Samples of N(0, I) and N(m, I): MMD^2 = 2 c (1 - exp(-|m|^2 / (2 s^2 + 4))), c = (1 + 2 / s^2)^(-d/2)."""
    mean, sigma, d, draws = np.array([0.6, -0.3, 0.4]), 1.3, 3, 200
    c = (1 + 2 / sigma**2) ** (-d / 2)
    exact = 2 * c * (1 - math.exp(-mean @ mean / (2 * sigma**2 + 4)))
    rng = np.random.default_rng(3)
    both = tf.function(lambda x, y: [losses.mmd2(x, y, sigma=sigma, unbiased=unbiased) for unbiased in (True, False)])
    samples = [(rng.standard_normal((rows[0], d)), rng.standard_normal((rows[1], d)) + mean) for _ in range(draws)]
    values, biased = np.transpose([both(x, y) for x, y in samples])
    error = np.std(values) / math.sqrt(draws)
    assert error < 0.1 * exact
    assert abs(np.mean(values) - exact) < 4 * error
    # The V-statistic's diagonals add (1 - E k)/M + (1 - E k)/N.
    assert abs(np.mean(biased) - exact - (1 - c) * (1 / rows[0] + 1 / rows[1])) < 4 * error


def test_witness_against_a_double_loop():
    z, x = scores(rows=5)
    y = scores(rows=8, seed=1)[0]
    for options, k in (({"sigma": 0.7}, gaussian(0.7)), ({"kernel": "rational_quadratic"}, rational_quadratic(1.0))):
        expected = [pair_mean(p[None], x, k, exclude=False) - pair_mean(p[None], y, k, exclude=False) for p in z]
        np.testing.assert_allclose(losses.witness(z, x, y, **options), expected, rtol=1e-12)


def test_witness_averages_to_the_v_statistic():
    x, y = scores(rows=6)
    options = {"kernel": "rational_quadratic", "alpha": [0.5, 2]}
    difference = np.mean(losses.witness(x, x, y, **options)) - np.mean(losses.witness(y, x, y, **options))
    assert difference == pytest.approx(float(losses.mmd2(x, y, unbiased=False, **options)), rel=1e-12)


def test_witness_names_the_sample_that_does_not_fit():
    with pytest.raises(ConfigError, match=r"z is \(4, 2\) and y \(3, 5\)"):
        losses.witness(np.ones((4, 2)), np.ones((3, 2)), np.ones((3, 5)))


@pytest.mark.parametrize("unbiased", [True, False])
def test_cramer_against_double_loops(unbiased):
    x, y = scores(rows=6)
    expected = sum(sign * pair_mean(a, b, math.sqrt, unbiased) for sign, a, b in ((2, x, y), (-1, x, x), (-1, y, y)))
    assert float(losses.cramer(x, y, unbiased)) == pytest.approx(expected, rel=1e-7)


def test_cramer_has_finite_gradients_at_coincident_points():
    x, y = scores(rows=5)
    x[1], y[2] = x[0], x[0]
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = losses.cramer(x, y)
    assert np.abs(tape.gradient(value, x)).max() < 1


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize(("mean", "sigma"), [(0.3, 0.8), ([0.5, -1.0, 0.0], [0.7, 2.0])])
def test_mmd2_normal_is_what_large_samples_of_the_normal_give(mean, sigma, unbiased):
    x, _ = scores(rows=6)
    y = np.random.default_rng(5).standard_normal((200_000, 3)) * np.sqrt(0.6) + np.array(mean)
    expected = error = 0.0
    for width in np.atleast_1d(sigma):
        k = gaussian(width)
        to_x = np.exp(-np.sum((y[:, None] - x[None]) ** 2, axis=2) / (2 * width**2)).mean(axis=1)
        own = np.exp(-np.sum((y[::2] - y[1::2]) ** 2, axis=1) / (2 * width**2))
        expected += pair_mean(x, x, k, unbiased) + own.mean() - 2 * to_x.mean()
        error += np.sqrt(own.var() / len(own) + 4 * to_x.var() / len(to_x))
    value = float(losses.mmd2_normal(x, mean, 0.6, sigma, unbiased))
    assert error < 5e-3
    assert abs(value - expected) < 4 * error
    assert float(losses.mmd2_normal(x.astype(np.float32), mean, 0.6, sigma, unbiased)) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": np.ones((1, 2))}, "2 rows or more, but x has 1"),
        ({"x": np.ones((4, 2)), "variance": -1}, "variance of the normal reference must be positive"),
        ({"x": np.ones((4, 2)), "sigma": 0}, "sigma of the kernel 'gaussian' must be positive"),
        ({"x": np.ones((3, 2)), "mean": np.zeros(3)}, r"x is \(3, 2\) and mean \(1, 3\)"),
    ],
)
def test_mmd2_normal_errors(arguments, words):
    with pytest.raises(ConfigError, match=words):
        losses.mmd2_normal(**arguments)


@pytest.mark.parametrize("options", [{}, {"add_dot": 1.0}, {"kernel": "rational_quadratic"}, {"unbiased": False}])
@pytest.mark.parametrize("offset", [1000, 3000])
def test_mmd2_far_from_the_origin(offset, options):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(64, 16)) * 0.3 + offset, rng.normal(size=(64, 16)) * 0.3 + 0.1 + offset
    x, y = x.astype(np.float32), y.astype(np.float32)
    expected = float(losses.mmd2(x.astype(np.float64), y.astype(np.float64), **options))
    assert float(losses.mmd2(x, y, **options)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["rep", "rmb", "mmd_g", "mmd_t", "mgb", "fixed_g"])
def test_losses_far_from_the_origin(name):
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(64, 16)) * 0.3 + shift + 3000 for shift in (0, 0.1))
    x, y = x.astype(np.float32), y.astype(np.float32)
    penalty = {"dis_penalty": 0.0} if losses.get(name).penalty else {}
    found, expected = (
        losses.get(name)(a, b, seed=(1, 2), **penalty) for a, b in ((x, y), (np.float64(x), np.float64(y)))
    )
    assert float(found.gen) == pytest.approx(float(expected.gen), rel=1e-3, abs=1e-5)
    assert float(found.dis) == pytest.approx(float(expected.dis), rel=1e-3, abs=1e-5)
