"""Which networks are updated, and when (spec E.4)."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.training.optimizers import UpdateSchedule


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
