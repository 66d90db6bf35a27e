"""Batch normalisation against NumPy, moving averages included."""

import numpy as np
import pytest

from mmdgan.layers import scope
from mmdgan.layers.normalization import BatchNorm

CASES = [
    ((6, 5, 5, 3), "channels_last", "float32"),
    ((6, 5, 5, 3), "channels_last", "float64"),
    ((6, 3, 5, 5), "channels_first", "float32"),
    ((9, 3), "channels_last", "float32"),
]


def prepared(shape, data_format, dtype):
    """A layer with gamma and beta away from 1 and 0, inputs, their channel axis and reduction axes."""
    rng = np.random.default_rng(0)
    layer = BatchNorm(data_format, dtype=dtype)
    inputs = (3 + 2 * rng.standard_normal(shape)).astype(dtype)
    layer.build(shape)
    layer.gamma.assign([0.5, 1.0, 2.0])
    layer.beta.assign([-1.0, 0.0, 1.0])
    axis = 1 if data_format == "channels_first" and len(shape) == 4 else len(shape) - 1
    return layer, inputs, axis, tuple(a for a in range(len(shape)) if a != axis)


def normalised(inputs, mean, variance, axis):
    shape = [1] * inputs.ndim
    shape[axis] = 3
    mean, variance, gamma, beta = (np.reshape(v, shape) for v in (mean, variance, [0.5, 1.0, 2.0], [-1.0, 0.0, 1.0]))
    return (inputs - mean) / np.sqrt(variance + 1e-3) * gamma + beta


@pytest.mark.parametrize(("shape", "data_format", "dtype"), CASES)
def test_training(shape, data_format, dtype):
    layer, inputs, axis, axes = prepared(shape, data_format, dtype)
    outputs = layer(inputs, training=True)
    expected = normalised(inputs, inputs.mean(axes), inputs.var(axes), axis)
    np.testing.assert_allclose(outputs, expected, rtol=2e-5, atol=2e-5)
    # The average is fed the unbiased variance for images, the biased one for flat features.
    variance = inputs.var(axes, ddof=1 if len(shape) == 4 else 0)
    np.testing.assert_allclose(layer.moving_mean, 0.01 * inputs.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.99 + 0.01 * variance, rtol=1e-6)


@pytest.mark.parametrize(("shape", "data_format", "dtype"), CASES)
def test_inference(shape, data_format, dtype):
    layer, inputs, axis, _ = prepared(shape, data_format, dtype)
    layer.moving_mean.assign([1.0, 2.0, 3.0])
    layer.moving_variance.assign([4.0, 0.5, 1.0])
    outputs = layer(inputs, training=False)
    expected = normalised(inputs, [1.0, 2.0, 3.0], [4.0, 0.5, 1.0], axis)
    np.testing.assert_allclose(outputs, expected, rtol=2e-5, atol=2e-5)
    np.testing.assert_array_equal(layer.moving_mean, [1.0, 2.0, 3.0])


def test_frozen_state_normalises_by_the_batch_and_keeps_the_averages():
    layer, inputs, _, axes = prepared(*CASES[0])
    with scope.frozen_state():
        outputs = layer(inputs, training=True)
    np.testing.assert_allclose(np.mean(outputs, axes), [-1, 0, 1], atol=1e-4)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))
