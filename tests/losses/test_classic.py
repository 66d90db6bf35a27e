"""Losses of single scores against loops over the scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from mmdgan.losses.classic import drifts
from mmdgan.runs.experiment import Experiment


def softplus(value):
    return math.log1p(math.exp(value))


REFERENCES = {
    "logistic": (lambda s: softplus(-s), lambda s: softplus(s), lambda s: softplus(-s)),
    "hinge": (lambda s: -s, lambda s: max(1 + s, 0), lambda s: max(1 - s, 0)),
}


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("name", REFERENCES)
def test_against_a_loop(name, columns):
    rng = np.random.default_rng(0)
    g, x = rng.standard_normal((6, columns)) * 2, rng.standard_normal((6, columns)) * 2
    of_gen, of_fake, of_real = REFERENCES[name]
    mean = {f: sum(f(s) for s in v.ravel()) / v.size for f, v in ((of_gen, g), (of_fake, g), (of_real, x))}
    result = losses.get(name)(g, x)
    np.testing.assert_allclose(result.gen, mean[of_gen], rtol=1e-12)
    np.testing.assert_allclose(result.dis, mean[of_fake] + mean[of_real], rtol=1e-12)


def test_minimax_is_the_negative_logistic_critic_loss():
    rng = np.random.default_rng(0)
    g, x = rng.standard_normal((6, 1)), rng.standard_normal((6, 1))
    result = losses.get("minimax")(g, x)
    assert float(result.dis) == float(losses.get("logistic")(g, x).dis)
    assert float(result.gen) == -float(result.dis)


def test_wasserstein():
    g, x = np.array([[1.0], [2.0]]), np.array([[0.5], [4.5]])
    result = losses.get("wasserstein")(g, x, dis_penalty=tf.constant(0.25))
    assert (float(result.gen), float(result.dis)) == (1.0, -0.75)


@pytest.mark.parametrize("name", ["logistic", "minimax", "hinge"])
def test_extreme_scores_stay_finite(name):
    g = tf.constant([[200.0], [-200.0]])
    with tf.GradientTape() as tape:
        tape.watch(g)
        result = losses.get(name)(g, -g)
        total = result.gen + result.dis
    assert np.isfinite(tape.gradient(total, g)).all()
    assert np.isfinite([float(result.gen), float(result.dis)]).all()


def field_by_loops(generated, data, temperature):
    """V of every generated point, as algorithm 2 of the paper computes it, entry by entry."""
    others = np.concatenate([data, generated])
    kernel = np.zeros((len(generated), len(others)))
    for i, a in enumerate(generated):
        for j, b in enumerate(others):
            if j != len(data) + i:
                kernel[i, j] = math.exp(-math.dist(a, b) / temperature)
    weights = np.zeros_like(kernel)
    for i in range(len(generated)):
        for j in range(len(others)):
            weights[i, j] = math.sqrt(kernel[i, j] / kernel[i].sum() * kernel[i, j] / kernel[:, j].sum())
    moved = np.zeros_like(generated)
    for i in range(len(generated)):
        of_data, of_generated = weights[i, : len(data)], weights[i, len(data) :]
        for j, b in enumerate(data):
            moved[i] += of_data[j] * of_generated.sum() * b
        for j, b in enumerate(generated):
            moved[i] -= of_generated[j] * of_data.sum() * b
    return moved


@pytest.mark.parametrize("temperature", [0.2, 1.0, 5.0])
def test_field_against_loops(temperature):
    random = np.random.default_rng(0)
    generated, data = random.standard_normal((7, 3)), random.standard_normal((5, 3)) + 1
    [found] = drifts(tf.constant(generated), tf.constant(data), (temperature,))
    np.testing.assert_allclose(found, field_by_loops(generated, data, temperature), rtol=1e-6, atol=1e-9)
    assert np.abs(found).max() > 1e-3


def test_loss_and_its_gradient():
    random = np.random.default_rng(1)
    generated, data = random.standard_normal((6, 2)), 2 * random.standard_normal((6, 2)) + 1
    scores = tf.Variable(generated)
    with tf.GradientTape() as tape:
        result = losses.get("drift", temperature=(0.5, 1.0))(scores, data)
    scale = np.mean([[math.dist(a, b) for b in data] for a in generated])
    expected = sum(field_by_loops(generated / scale, data / scale, each) for each in (0.5, 1.0))
    np.testing.assert_allclose(result.gen, np.square(expected).sum(1).mean(), rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(result.gen, scores), -2 * expected / scale / len(generated), rtol=1e-5)
    assert float(result.dis) == 0
    shifted = losses.get("drift", temperature=(0.5, 1.0))(generated * 3 + 7, data * 3 + 7)
    np.testing.assert_allclose(shifted.gen, result.gen, rtol=1e-6)


def test_points_move_to_the_data_and_stay_apart():
    random = np.random.default_rng(2)
    data = np.repeat([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]], 20, axis=0) + 0.02 * random.standard_normal((60, 2))
    points, loss = tf.Variable(0.1 * random.standard_normal((60, 2))), losses.get("drift", temperature=(0.2, 0.5))
    for _ in range(100):
        with tf.GradientTape() as tape:
            value = loss(points, data).gen
        points.assign_sub(30.0 * tape.gradient(value, points))
    near = np.linalg.norm(points.numpy()[:, None] - data[::20][None], axis=2) < 0.2
    counts = near.sum(0)
    assert near.any(1).mean() > 0.7 and counts.min() >= 10, counts


def test_it_needs_a_fixed_critic():
    experiment = Experiment(loss="drift", data="sample", architecture="sample/DCGAN_SMALL", metrics=())
    with pytest.raises(ConfigError, match="give --fixed_critic"):
        experiment.plan()
    assert Experiment(**{**vars(experiment), "fixed_critic": True}).plan().loss.frozen
