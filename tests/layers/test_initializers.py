"""Initialisers against the distributions that the original states, by Kolmogorov-Smirnov tests."""

import math

import keras
import numpy as np
import pytest
from scipy import stats

from mmdgan.layers.initializers import MODES, ActivationInitializer, bias_initializer, fans, runtime_multiplier

SHAPE = (3, 3, 48, 64)
FAN_IN, FAN_OUT = 9 * 48, 9 * 64
FAN_AVERAGE = (FAN_IN + FAN_OUT) / 2


def truncated(stddev):
    return stats.truncnorm(-2, 2, scale=stddev)


def uniform(bound):
    return stats.uniform(-bound, 2 * bound)


ACTIVATIONS = (
    "linear",
    "relu",
    "lrelu",
    "elu",
    "selu",
    "softplus",
    "softsign",
    "sigmoid",
    "tanh",
    "crelu",
)
DEFAULTS = {
    "relu": truncated(math.sqrt(2 / FAN_IN)),
    "lrelu": truncated(math.sqrt(2 / 1.01 / FAN_IN)),
    "sigmoid": uniform(math.sqrt(48 / FAN_AVERAGE)),
}


def stated(activation, mode):
    """The distribution that the specification states for SHAPE."""
    if mode == "default":
        return DEFAULTS.get(activation, uniform(math.sqrt(3 / FAN_AVERAGE)))
    return truncated({"sn_paper": 0.02, "pg_paper": 1.0}[mode])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_distribution(activation, mode):
    expected = stated(activation, mode)
    kernel = np.ravel(ActivationInitializer(activation, mode, seed=3)(SHAPE, "float32"))
    assert stats.kstest(kernel, expected.cdf).pvalue > 1e-3
    # The wrong spread (VarianceScaling's correction by 0.8796) is far outside.
    assert stats.kstest(kernel / 0.8796, expected.cdf).pvalue < 1e-6
    # The bound is kept, and reached.
    low, high = expected.support()
    assert low * 1.000001 <= kernel.min() <= low * 0.999
    assert high * 0.999 <= kernel.max() <= high * 1.000001


def test_transposed_kernels_fans_are_swapped():
    """As in the original, whose fans are those of the shape (k, k, out, in) as it stands."""
    assert fans((3, 3, 48, 64)) == (432, 576)
    kernel = np.ravel(ActivationInitializer("relu", seed=1)((3, 3, 64, 48), "float32"))
    assert stats.kstest(kernel, truncated(math.sqrt(2 / 576)).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("activation", "shape", "expected"),
    [
        ("relu", (3, 3, 8, 16), math.sqrt(2 / 72)),
        ("lrelu", (3, 3, 8, 16), math.sqrt(2 / 1.01 / 72)),
        ("sigmoid", (3, 3, 8, 16), math.sqrt(32 / (72 + 16))),
        ("linear", (3, 3, 8, 16), math.sqrt(2 / (72 + 16))),
        ("tanh", (20, 9), math.sqrt(2 / 29)),
        ("crelu", (20, 9), math.sqrt(2 / 29)),
        ("relu", (20, 9), math.sqrt(2 / 20)),
    ],
)
def test_runtime_multiplier(activation, shape, expected):
    assert runtime_multiplier(activation, shape) == pytest.approx(expected, rel=1e-12)


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
