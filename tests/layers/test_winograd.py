"""Winograd's filtering and products with patches against TensorFlow's own convolution."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.layers import patches, winograd

# (batch, height, width, in, out, kernel, strides): one tile, several, cut ones, and images smaller than a tile.
CASES = [
    (3, 4, 4, 5, 6, 3, 1),
    (2, 6, 10, 5, 6, 3, 1),
    (3, 8, 8, 5, 6, 4, 2),
    (2, 4, 12, 3, 4, 4, 2),
    (2, 2, 2, 3, 4, 4, 2),
    (2, 1, 3, 3, 4, 3, 1),
]


def drawn(*shape, seed=0, dtype="float64"):
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), dtype)


def derivatives(function, *inputs):
    """The function's value, its gradients, and the gradients of a function of those."""
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            value = function(*inputs)
            total = tf.reduce_sum(tf.sin(value))
        first = inner.gradient(total, inputs)
        penalty = tf.reduce_sum(first[0] ** 2) + tf.reduce_sum(first[1] ** 3)
    return [value, *first, *outer.gradient(penalty, inputs)]


@pytest.mark.parametrize("module", [winograd, patches])
@pytest.mark.parametrize("case", CASES)
def test_convolution_and_adjoint_with_two_derivatives(module, case):
    batch, height, width, channels, out, size, strides = case
    kernel = drawn(size, size, channels, out, seed=1)
    x, y = drawn(batch, height, width, channels), drawn(batch, height // strides, width // strides, out)
    pairs = (
        (x, module.convolve, lambda x, k: tf.nn.conv2d(x, k, strides, "SAME")),
        (
            y,
            module.convolve_transposed,
            lambda y, k: tf.nn.conv2d_transpose(y, k, (batch, height, width, channels), strides, "SAME"),
        ),
    )
    for images, ours, theirs in pairs:
        found = derivatives(lambda i, k, ours=ours: ours(i, k, strides), images, kernel)
        for value, expected in zip(found, derivatives(theirs, images, kernel), strict=True):
            assert value.shape == expected.shape
            np.testing.assert_allclose(value, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize(("tile", "taps"), [(4, 3), (4, 2), (3, 3), (2, 2), (1, 3)])
def test_transforms_make_a_filter(tile, taps):
    out, kernel, into = winograd.transforms(tile, taps)
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal(tile + taps - 1), rng.standard_normal(taps)
    expected = [sum(g[j] * x[i + j] for j in range(taps)) for i in range(tile)]
    np.testing.assert_allclose(out @ ((kernel @ g) * (into @ x)), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("size", "strides"), [(3, 1), (4, 2)])
def test_winograd_rounds_as_little_as_a_plain_sum(size, strides):
    """Root mean square error in float32, after activations: at most 2.5 times that of TensorFlow's convolution."""
    x, kernel = tf.abs(drawn(8, 8, 8, 128, dtype="float32")), drawn(size, size, 128, 64, seed=1, dtype="float32")
    exact = tf.nn.conv2d(tf.cast(x, tf.float64), tf.cast(kernel, tf.float64), strides, "SAME")
    errors = [
        float(tf.norm(tf.cast(value, tf.float64) - exact) / tf.norm(exact))
        for value in (winograd.convolve(x, kernel, strides), tf.nn.conv2d(x, kernel, strides, "SAME"))
    ]
    assert errors[0] < 2.5 * errors[1]
    assert errors[0] < 2e-6


@pytest.mark.parametrize(("size", "strides"), [(3, 1), (4, 2)])
def test_in_bfloat16_results_and_gradients_are_within_the_stated_error(size, strides):
    x, kernel = tf.nn.relu(drawn(8, 8, 8, 128)), drawn(size, size, 128, 64, seed=1)
    upstream = drawn(8, 8 // strides, 8 // strides, 64, seed=2)

    def computed(convolve, dtype):
        images, weights = (tf.cast(v, dtype) for v in (x, kernel))
        with tf.GradientTape() as tape:
            tape.watch([images, weights])
            y = convolve(images, weights, strides)
        assert y.dtype == dtype
        return y, *tape.gradient(y, [images, weights], tf.cast(upstream, dtype))

    exact = computed(lambda a, b, s: tf.nn.conv2d(a, b, s, "SAME"), tf.float64)
    for found, value in zip(computed(winograd.convolve, tf.bfloat16), exact, strict=True):
        assert 1e-3 < float(tf.norm(tf.cast(found, tf.float64) - value) / tf.norm(value)) < 0.025
