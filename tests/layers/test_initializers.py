"""Initialisers against the distributions that the original states, by Kolmogorov-Smirnov tests."""

import math

import keras
import numpy as np
import pytest
from scipy import stats

from mmdgan.layers.initializers import ActivationInitializer, bias_initializer

SHAPE = (3, 3, 48, 64)
FAN_IN, FAN_OUT = 9 * 48, 9 * 64
FAN_AVERAGE = (FAN_IN + FAN_OUT) / 2


def truncated(stddev):
    return stats.truncnorm(-2, 2, scale=stddev)


def uniform(bound):
    return stats.uniform(-bound, 2 * bound)


@pytest.mark.parametrize(
    ("activation", "mode", "expected"),
    [
        ("relu", "default", truncated(math.sqrt(2 / FAN_IN))),
        ("lrelu", "default", truncated(math.sqrt(2 / 1.01 / FAN_IN))),
        ("sigmoid", "default", uniform(math.sqrt(48 / FAN_AVERAGE))),
        ("linear", "default", uniform(math.sqrt(3 / FAN_AVERAGE))),
        ("tanh", "default", uniform(math.sqrt(3 / FAN_AVERAGE))),
        ("relu", "sn_paper", truncated(0.02)),
        ("linear", "pg_paper", truncated(1.0)),
    ],
)
def test_distribution(activation, mode, expected):
    kernel = np.ravel(ActivationInitializer(activation, mode, seed=3)(SHAPE, "float32"))
    assert stats.kstest(kernel, expected.cdf).pvalue > 1e-3
    # The wrong spread (VarianceScaling's correction by 0.8796) is far outside.
    assert stats.kstest(kernel / 0.8796, expected.cdf).pvalue < 1e-6
    low, high = expected.support()
    assert kernel.min() >= low * 1.000001
    assert kernel.max() <= high * 1.000001


def test_dense_fans_are_the_two_axes():
    kernel = np.ravel(ActivationInitializer("relu", seed=1)((300, 700), "float32"))
    assert stats.kstest(kernel, truncated(math.sqrt(2 / 300)).cdf).pvalue > 1e-3


def test_bias_starts_near_zero():
    bias = np.ravel(bias_initializer()((10_000,), "float32"))
    assert np.abs(bias).max() <= 2.0001e-5
    assert stats.kstest(bias, truncated(1e-5).cdf).pvalue > 1e-3


def test_config_round_trip():
    first = ActivationInitializer("lrelu", "default", seed=5)
    second = keras.initializers.deserialize(keras.initializers.serialize(first))
    np.testing.assert_array_equal(first((4, 5)), second((4, 5)))


def test_unknown_mode_is_named():
    with pytest.raises(ValueError, match="nope"):
        ActivationInitializer("relu", "nope")
