"""The optimisers against their formulas in NumPy, in float64; which networks a step updates (spec E.4)."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.training.optimizers import NAMES, UpdateSchedule, decay_schedule, make_optimizer


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


def never():
    raise AssertionError("a random number is drawn where none is needed")


def updates(schedule, step, uniform=never):
    return schedule.updates(tf.Variable(step, dtype=tf.int64), uniform)


def test_without_a_schedule_both_are_updated_and_nothing_is_read():
    class Unread:
        def __int__(self):
            raise AssertionError("reading the step waits for the device")

    for schedule in (UpdateSchedule(None), UpdateSchedule((1, 1))):
        assert schedule.updates(Unread(), never) == (True, True)
        assert schedule.state() == {}


@pytest.mark.parametrize("periods", [(1, 3), (4, 1), [1, 2]])
def test_periods_count_the_global_step(periods):
    schedule = UpdateSchedule(periods)
    for step in range(13):
        assert updates(schedule, step) == (step % periods[0] == 0, step % periods[1] == 0)


@pytest.mark.parametrize("wrong", [(2, 3), (0, 1), (1,), (1.5, 1), "dinamic", ()])
def test_what_is_no_schedule_is_refused(wrong):
    with pytest.raises(ConfigError, match="imbalanced_update must be two periods .* or 'dynamic'"):
        UpdateSchedule(wrong)


def test_dynamic_updates_both_for_a_thousand_steps():
    schedule = UpdateSchedule("dynamic")
    schedule.observe(tf.constant(1e6))
    assert updates(schedule, 0) == updates(schedule, 999) == (True, True)
    assert updates(schedule, 1000, lambda: 0.5) == (False, True)


@pytest.mark.parametrize(("loss_gen", "probability"), [(0.4, 0.25), (2.0, 0.05), (0.1, 1.0), (0.0, 1.0), (-3.0, 1.0)])
def test_dynamic_updates_the_critic_with_a_probability_that_falls_with_the_generators_loss(loss_gen, probability):
    schedule = UpdateSchedule("dynamic")
    schedule.observe(tf.constant(loss_gen))
    uniform = (np.arange(400) + 0.5) / 400
    taken = [updates(schedule, 1000 + i, lambda u=u: tf.constant(u, tf.float32)) for i, u in enumerate(uniform)]
    assert sum(dis for dis, _ in taken) / 400 == pytest.approx(probability, abs=1 / 400)
    assert all(gen for _, gen in taken)


def test_dynamic_keeps_the_loss_for_checkpoints():
    schedule = UpdateSchedule("dynamic")
    schedule.observe(tf.constant(0.7))
    assert {name: float(value) for name, value in schedule.state().items()} == {"schedule/loss_gen": pytest.approx(0.7)}
