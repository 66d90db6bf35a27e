"""Other ways to convolve against TensorFlow's own; and which way is taken when."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.layers import convolution, convolution as algorithms, patches, winograd

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


CIFAR_LAYERS = [((64, 4, 4), (3, 3, 512, 512), 1), ((64, 4, 4), (4, 4, 256, 512), 2), ((64, 8, 8), (3, 3, 256, 256), 1)]


@pytest.mark.parametrize(("shape", "kernel", "strides"), CIFAR_LAYERS)
@pytest.mark.parametrize(
    ("features", "dtype", "arithmetic", "way"),
    [
        ({"avx512f"}, "float32", "float32", algorithms.WINOGRAD),
        ({"avx512f"}, "bfloat16", "float32", algorithms.WINOGRAD),
        ({"avx512f"}, "float16", "float32", algorithms.WINOGRAD),
        ({"avx512f", "avx512_bf16", "amx_bf16"}, "float32", "float32", algorithms.WINOGRAD),
        ({"avx512f", "avx512_bf16", "amx_bf16"}, "bfloat16", "bfloat16", algorithms.PATCHES),
        ({"avx512f", "avx512_bf16"}, "bfloat16", "bfloat16", algorithms.DIRECT),
        ({"avx512_fp16"}, "float16", "float16", algorithms.DIRECT),
        ({"avx512f"}, "float64", "float64", algorithms.DIRECT),
    ],
)
def test_the_way_depends_on_dtype_and_cpu(shape, kernel, strides, features, dtype, arithmetic, way, monkeypatch):
    monkeypatch.setattr(algorithms, "on_cpu", lambda: True)
    monkeypatch.setattr(algorithms, "cpu_features", lambda: frozenset(features))
    assert algorithms.arithmetic(dtype) == arithmetic
    assert algorithms.choose(arithmetic, shape, kernel, strides, 1, "SAME") == way


@pytest.mark.parametrize(
    ("shape", "kernel", "strides", "dilation", "padding"),
    [
        ((1, 4, 4), (3, 3, 512, 512), 1, 1, "SAME"),  # a spectral norm's
        ((64, 4, 4), (3, 3, 32, 32), 1, 1, "SAME"),
        ((64, 64, 64), (3, 3, 512, 512), 1, 1, "SAME"),
        ((None, 4, 4), (3, 3, 512, 512), 1, 1, "SAME"),
        ((64, 4, 4), (3, 3, 512, 512), 1, 2, "SAME"),
        ((64, 4, 4), (3, 3, 512, 512), 1, 1, "VALID"),
        ((64, 4, 4), (5, 5, 512, 512), 1, 1, "SAME"),
    ],
)
def test_other_sizes_are_left_to_tensorflow(shape, kernel, strides, dilation, padding):
    assert algorithms.choose("float32", shape, kernel, strides, dilation, padding) == algorithms.DIRECT


def test_gpus_keep_their_own_convolutions(monkeypatch):
    monkeypatch.setattr(algorithms, "on_cpu", lambda: False)
    monkeypatch.setattr(algorithms, "cpu_features", lambda: frozenset())
    assert algorithms.arithmetic("float16") == "float16"
    assert algorithms.choose("float32", (64, 4, 4), (3, 3, 512, 512), 1, 1, "SAME") == algorithms.DIRECT


@pytest.mark.parametrize(("size", "strides"), [(3, 1), (4, 2)])
@pytest.mark.parametrize("way", ["winograd", "patches"])
def test_convolve_goes_the_chosen_way(way, size, strides, monkeypatch):
    taken = []
    for module in (winograd, patches):
        for name in ("convolve", "convolve_transposed"):
            original = getattr(module, name)
            monkeypatch.setattr(
                module, name, lambda *a, o=original, m=module, n=name: taken.append((m.__name__[14:], n)) or o(*a)
            )
    monkeypatch.setattr(algorithms, "choose", lambda *_: way)
    x, kernel = drawn(2, 8, 8, 3, dtype="float32"), drawn(size, size, 3, 4, seed=1, dtype="float32")
    y = convolution.convolve(x, kernel, strides, 1, "SAME", "NHWC")
    back = convolution.convolve_transposed(y, kernel, (2, 8, 8, 3), strides, 1, "SAME", "NHWC")
    assert taken == [(way, "convolve"), (way, "convolve_transposed")]
    expected = tf.nn.conv2d(x, kernel, strides, "SAME")
    np.testing.assert_allclose(y, expected, atol=1e-4)
    expected = tf.nn.conv2d_transpose(expected, kernel, (2, 8, 8, 3), strides, "SAME")
    np.testing.assert_allclose(back, expected, atol=1e-3)


def test_emulated_halves_are_computed_in_float32_and_rounded(monkeypatch):
    monkeypatch.setattr(algorithms, "on_cpu", lambda: True)
    monkeypatch.setattr(algorithms, "cpu_features", lambda: frozenset())
    x, kernel = drawn(2, 4, 4, 64, dtype="bfloat16"), drawn(3, 3, 64, 5, seed=1, dtype="bfloat16")
    wide = tf.nn.conv2d(tf.cast(x, tf.float32), tf.cast(kernel, tf.float32), 1, "SAME")
    y = convolution.convolve(x, kernel, 1, 1, "SAME", "NHWC")
    assert y.dtype == tf.bfloat16
    np.testing.assert_array_equal(y, tf.cast(wide, tf.bfloat16))
