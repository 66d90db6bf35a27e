"""Losses with a coin or noise: several steps of their state against loops."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from mmdgan.core.random import COIN, NOISE_DATA, NOISE_GEN, stream
from mmdgan.losses import mixing
from mmdgan.losses.registry import LossInputs
from tests.helpers.double_loops import central_differences, gaussian, normal_mmd2, random_mmd2, reference_mmd2, scores

COINS = ("mmd_g_mix", "sgm", "rand_g_mix", "sym_rg_mix")
SIGMAS = (1, 2**0.5, 2, 8**0.5, 4)
OMEGA = 0.4


def make(name, **options):
    if "sigma" not in losses.get(name).options:
        options["omega"] = OMEGA
    return losses.get(name, **options)


def plain_and_mixed(name, g, x, mixed_g, mixed_x):
    """(loss_gen, loss_dis, the loss that moves the coin) by loops."""
    if name in ("mmd_g_mix", "sgm"):
        widths = SIGMAS if name == "mmd_g_mix" else (1,)
        gen, dis = (
            sum(sign * reference_mmd2(a, b, gaussian(s)) for s in widths)
            for sign, a, b in ((1, g, x), (-1, mixed_g, mixed_x))
        )
        return gen, dis, gen
    gen = random_mmd2(g, x, OMEGA)
    dis = normal_mmd2(x, OMEGA) - random_mmd2(mixed_g, mixed_x, OMEGA)
    noise = normal_mmd2(g, OMEGA) if name == "sym_rg_mix" else 0.0
    return gen + noise, dis - noise, gen


def exchange(g, x, keep):
    """Both groups, by a loop."""
    first = [row for row, kept in zip(g, keep, strict=True) if kept]
    first += [row for row, kept in zip(x, keep, strict=True) if not kept]
    second = [row for row, kept in zip(g, keep, strict=True) if not kept]
    second += [row for row, kept in zip(x, keep, strict=True) if kept]
    return np.array(first), np.array(second)


def test_published_mixing():
    g, x = np.array([[0.0], [1.0], [2.0]]), np.array([[10.0], [11.0], [12.0]])
    first, second = mixing.mix(g, x, tf.constant([True, False, True]))
    assert np.ravel(first).tolist() == [0, 2, 11]
    assert np.ravel(second).tolist() == [1, 10, 12]


@pytest.mark.parametrize("seed", range(4))
def test_mixing_against_a_loop(seed):
    g, x = scores(rows=40, seed=seed)
    keep = np.random.default_rng(seed).uniform(size=40) > 0.4
    for group, expected in zip(mixing.mix(g, x, tf.constant(keep)), exchange(g, x, keep), strict=True):
        np.testing.assert_array_equal(group, expected)


@pytest.mark.parametrize("name", COINS)
@pytest.mark.parametrize(("average", "probability"), [(0.0, 0.0), (3.0, 0.35), (9.0, 0.48), (-2.0, 0.01)])
def test_five_steps_with_a_coin(name, average, probability):
    loss = make(name)
    threshold = 1.0 if name == "mmd_g_mix" else 0.2
    state = {"average": average, "probability": probability}
    exchanged = 0
    for step in range(5):
        g, x = scores(rows=6, columns=2, seed=step, scale=1 + 0.2 * step)
        seed = (3, step)
        result = loss(g, x, seed=seed, state=state)
        keep = tf.random.stateless_uniform((6,), stream(seed, COIN)).numpy() > probability
        exchanged += 6 - keep.sum()
        gen, dis, moves = plain_and_mixed(name, g, x, *exchange(g, x, keep))
        np.testing.assert_allclose((result.gen, result.dis), (gen, dis), rtol=1e-6, atol=1e-8)
        assert float(result.logs["GANLoss/mix_prob"]) == pytest.approx(probability, rel=1e-6)
        probability = min(max(probability + 0.01 * (average - threshold), 0), 0.5)
        average = 0.99 * average + 0.01 * moves
        assert {k: float(v) for k, v in result.state.items()} == pytest.approx(
            {"average": average, "probability": probability}, rel=1e-5
        )
        tag = "gr_average" if name.startswith(("rand", "sym")) else "gen_average"
        assert float(result.logs[f"GANLoss/{tag}"]) == float(result.state["average"])
        state = result.state
    assert (exchanged > 3) == (probability > 0.3)


def test_the_first_step_is_the_loss_without_mixing():
    g, x = scores()
    for name, plain in (("mmd_g_mix", "fixed_g"), ("rand_g_mix", "rand_g"), ("ins_noise", "rand_g")):
        result, expected = make(name)(g, x, seed=(1, 2)), make(plain)(g, x)
        np.testing.assert_allclose((result.gen, result.dis), (expected.gen, expected.dis), rtol=1e-12)


def test_published_numbers():
    """sym_rg_mix of the original at omega 0.5 and its first step, with its critic gradient's norms."""
    i = np.arange(12, dtype=np.float32).reshape(4, 3)
    g, x = tf.constant(np.sin(0.7 * i + 0.1)), tf.constant(np.cos(1.3 * i + 0.4))
    with tf.GradientTape() as tape:
        tape.watch([g, x])
        result = losses.get("sym_rg_mix", omega=0.5)(g, x)
    np.testing.assert_allclose((result.gen, result.dis), (-0.140813, 0.142065), atol=2e-6)
    norms = [np.linalg.norm(v) for v in tape.gradient(result.dis, [g, x])]
    np.testing.assert_allclose(norms, (0.314521, 0.166222), atol=2e-6)
    assert float(result.logs["GANLoss/gn"]) == pytest.approx(0.044423, abs=2e-6)


@pytest.mark.parametrize("name", COINS)
def test_gradients_reach_the_exchanged_scores(name):
    g, x = scores(rows=5, columns=2)
    loss, call = make(name), {"seed": (1, 2), "state": {"average": 0.0, "probability": 0.5}}
    variables = [tf.constant(g), tf.constant(x)]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        value = loss(*variables, **call).dis
    of_gen, of_data = tape.gradient(value, variables)
    compiled = tf.function(lambda g, x: loss(g, x, **call).dis)
    exact_gen = central_differences(lambda moved: compiled(moved, x), g)
    exact_data = central_differences(lambda moved: compiled(g, moved), x)
    np.testing.assert_allclose(of_gen, exact_gen, atol=1e-8)
    np.testing.assert_allclose(of_data, exact_data, atol=1e-8)


def test_the_threshold_is_an_option():
    g, x = scores()
    state = {"average": 0.7, "probability": 0.2}
    for threshold, change in ((0.5, 0.002), (0.9, -0.002), (-1, 0.017)):
        result = losses.get("mmd_g_mix", mix_threshold=threshold)(g, x, seed=(0, 0), state=state)
        assert float(result.state["probability"]) == pytest.approx(0.2 + change, rel=1e-5)


def test_five_steps_with_noise():
    loss = losses.get("ins_noise", omega=OMEGA)
    state = {"average": 30.0, "level": 0.6}
    average, level = state.values()
    for step in range(5):
        g, x = scores(rows=6, columns=2, seed=step)
        seed = (4, step)
        result = loss(g, x, seed=seed, state=state)
        noise = [
            tf.random.stateless_normal((6, 2), stream(seed, which), dtype=tf.float64)
            for which in (NOISE_GEN, NOISE_DATA)
        ]
        assert np.abs(noise[0] - noise[1]).min() > 0
        noisy_g, noisy_x = (s + math.log(level + 1) * n.numpy() for s, n in zip((g, x), noise, strict=True))
        gen = random_mmd2(noisy_g, noisy_x, OMEGA)
        np.testing.assert_allclose(result.gen, gen, rtol=1e-5)
        np.testing.assert_allclose(result.dis, normal_mmd2(noisy_x, OMEGA) - gen, rtol=1e-5)
        assert float(result.logs["GANLoss/sigma"]) == pytest.approx(math.log(level + 1), rel=1e-6)
        sigma = float(loss.penalty_kernel(g, x, seed, state)["sigma"])
        assert 1 / (2 * sigma**2) == pytest.approx(float(result.logs["ins_noise/beta"]), rel=1e-12)
        level = min(max(level + 0.001 * (average - 0.2), 0), 1.7183)
        average = 0.99 * average + 0.01 * gen
        assert {k: float(v) for k, v in result.state.items()} == pytest.approx(
            {"average": average, "level": level}, rel=1e-5
        )
        state = result.state


def test_noise_has_the_stated_deviation_and_its_bound():
    zeros = np.zeros((200, 50))
    for level, deviation in ((0.5, math.log(1.5)), (1.7183, 1.0)):
        inputs = LossInputs("ins_noise", None, None, (0, 1), {"average": 0.0, "level": level})
        for noise in mixing.add_noise(zeros, zeros, inputs):
            assert np.std(noise) == pytest.approx(deviation, rel=0.03)
            assert abs(np.mean(noise)) < 4 * deviation / 100
    g, x = scores()
    for average, level, expected in ((1e6, 1.7, 1.7183), (-1e6, 0.2, 0.0)):
        state = losses.get("ins_noise")(g, x, seed=(0, 0), state={"average": average, "level": level}).state
        assert float(state["level"]) == pytest.approx(expected)


def test_the_witness_of_a_mixing_loss_is_that_of_the_unmixed_scores():
    g, x = scores()
    state = {"average": 0.0, "probability": 0.5}
    mixed = losses.get("rand_g_mix").penalty_kernel(g, x, (1, 2), state)["sigma"]
    assert float(mixed) == float(losses.get("rand_g").penalty_kernel(g, x, (1, 2))["sigma"])
    assert losses.get("mmd_g_mix").penalty_kernel(g, x) == {"sigma": pytest.approx(SIGMAS)}
    assert losses.get("sgm").penalty_kernel(g, x) == {"sigma": 1.0}


@pytest.mark.parametrize("name", COINS)
def test_mixing_needs_equally_many_scores(name):
    with pytest.raises(ConfigError, match=rf"{name}' exchanges .* not \(4, 2\) and \(5, 2\)"):
        make(name)(np.ones((4, 2)), np.ones((5, 2)))
