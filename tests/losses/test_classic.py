"""Losses of single scores against loops over the scores."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses


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
