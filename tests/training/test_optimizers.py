"""The optimisers against their formulas in NumPy, in float64."""

import math

import keras
import numpy as np
import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.training.optimizers import NAMES, decay_schedule, make_optimizer


def adam(weights, gradients, lr):
    m = v = np.zeros_like(weights)
    for t, g in enumerate(gradients, 1):
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g * g
        weights = weights - lr * math.sqrt(1 - 0.999**t) / (1 - 0.5**t) * m / (np.sqrt(v) + 1e-8)
    return weights


def rmsprop(weights, gradients, lr):
    v = np.ones_like(weights)
    for g in gradients:
        v = 0.9 * v + 0.1 * g * g
        weights = weights - lr * g / np.sqrt(v + 1e-10)
    return weights


def rate(lr, step, end_lr=1e-7):
    decay_steps = round(1e5 * math.log(0.96) / math.log(end_lr / lr))
    return lr * 0.96 ** (step / decay_steps)


def sgd(weights, gradients, lr):
    for t, g in enumerate(gradients):
        weights = weights - rate(lr, t) * g
    return weights


def momentum(weights, gradients, lr):
    a = np.zeros_like(weights)
    for t, g in enumerate(gradients):
        a = 0.9 * a + g
        weights = weights - rate(lr, t) * a
    return weights


@pytest.mark.parametrize("rule", [adam, rmsprop, sgd, momentum], ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rule(rule, dtype):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((3, 4))
    gradients = rng.standard_normal((50, 3, 4)) * np.logspace(-6, 1, 12).reshape(3, 4)
    variable = keras.Variable(weights, dtype=dtype, name="w")
    optimizer = make_optimizer(rule.__name__, 0.01)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([keras.ops.cast(gradient, dtype)], [variable])
    change, expected = np.asarray(variable) - weights, rule(weights, gradients, 0.01) - weights
    np.testing.assert_allclose(change, expected, rtol=2e-4 if dtype == "float32" else 1e-5, atol=1e-6)


def test_every_name_is_tested_and_any_case_works():
    assert {rule.__name__ for rule in (adam, rmsprop, sgd, momentum)} == set(NAMES)
    assert type(make_optimizer("Adam", 1e-3)) is type(make_optimizer("adam", 1e-3))


def test_schedule_reaches_end_lr_at_step_100000():
    schedule = decay_schedule(5e-4, 1e-7)
    assert float(schedule(0)) == pytest.approx(5e-4, rel=1e-6)
    assert float(schedule(100_000)) == pytest.approx(1e-7, rel=1e-2)


@pytest.mark.parametrize(("name", "lr"), [("adamw", 1e-3), ("adam", 0.0), ("sgd", -1.0)])
def test_errors(name, lr):
    with pytest.raises(ConfigError):
        make_optimizer(name, lr)
