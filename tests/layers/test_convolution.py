"""Convolutions against TensorFlow's own, 1x1 kernels with strides, whose gradients crash there, and the algorithms."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import build_network
from mmdgan.layers import convolution, patches, winograd
from mmdgan.layers.convolution import convolve, convolve_depthwise, convolve_transposed, dilated_kernel


def images(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).standard_normal(shape), tf.float32)


def drawn(*shape, seed=0, dtype="float64"):
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), dtype)


def as_layout(x, layout):
    return tf.transpose(x, (0, 3, 1, 2)) if layout == "NCHW" else x


@pytest.fixture(params=["NHWC", "NCHW", "NCHW without a kernel of its own"])
def layout(request, monkeypatch):
    """The formats of images, channels first also as on a CPU that cannot convolve them."""
    if "without" in request.param:
        monkeypatch.setattr(convolution, "runs_channels_first", lambda dtype: False)
    return request.param[:4]


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("size", "strides"), [(1, 2), (1, 3), (3, 2), (1, 1)])
def test_forward_is_tensorflows_and_transposed_is_the_adjoint(size, strides, padding, layout):
    x, kernel = images(2, 8, 13, 3), images(size, size, 3, 4)
    expected = tf.nn.conv2d(x, kernel, strides, padding)
    options = (strides, 1, padding, layout)
    y = convolve(as_layout(x, layout), kernel, *options)
    np.testing.assert_allclose(y, as_layout(expected, layout), rtol=1e-5, atol=1e-5)
    upstream = images(*expected.shape)
    back = convolve_transposed(as_layout(upstream, layout), kernel, tuple(as_layout(x, layout).shape), *options)
    reference = tf.nn.conv2d_transpose(upstream, kernel, x.shape, strides, padding)
    np.testing.assert_allclose(back, as_layout(reference, layout), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_depthwise_is_tensorflows(padding, layout):
    x, kernel = images(2, 8, 13, 3), images(3, 3, 3, 2)
    expected = tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), padding, dilations=(2, 2))
    y = convolve_depthwise(as_layout(x, layout), kernel, 1, 2, padding, layout)
    np.testing.assert_allclose(y, as_layout(expected, layout), rtol=1e-5, atol=1e-5)


def test_channels_first_runs_wherever_tensorflow_says_so(monkeypatch):
    """float16 runs on CPUs with AVX512-FP16 alone; the answer must be TensorFlow's, in a graph too."""
    convolution.runs_channels_first.cache_clear()
    assert (
        tf.function(lambda x: convolve(x, images(3, 3, 2, 4), 1, 1, "SAME", "NCHW"))(images(1, 2, 5, 5)).shape[1] == 4
    )
    assert convolution.runs_channels_first("float32")
    monkeypatch.setattr(convolution, "runs_channels_first", lambda dtype: False)
    graph = tf.function(lambda x: convolve(x, images(3, 3, 2, 4), 1, 1, "SAME", "NCHW")).get_concrete_function(
        tf.TensorSpec((1, 2, 5, 5))
    )
    [node] = [node for node in graph.graph.as_graph_def().node if node.op == "Conv2D"]
    assert node.attr["data_format"].s == b"NHWC"


def test_the_gradient_of_a_strided_1x1_kernel_is_that_of_the_pixels_it_sees():
    x, kernel = images(2, 12, 16, 3), images(1, 1, 3, 4)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        y = convolve(x, kernel, 2, 1, "SAME", "NHWC")
        loss = tf.reduce_sum(y**2)
    seen = x.numpy()[:, ::2, ::2]
    expected = 2 * np.einsum("nhwi,nhwo->io", seen, y.numpy())
    np.testing.assert_allclose(tape.gradient(loss, kernel)[0, 0], expected, rtol=1e-4)


@pytest.mark.parametrize("op", ["c", "tc", "sc", "cck", "tcck"])
def test_a_strided_1x1_layer_trains(op):
    """Bare TensorFlow ends the process here within a few gradients."""
    layers = [{"name": "a", "out": 8}, {"name": "l", "op": op, "out": 6, "kernel": 1, "strides": 2, "w_nm": "s"}]
    net = build_network(layers, (8, 12, 16), num_class=3, data_format="channels_last")
    weights = [variable.value for variable in net.trainable_variables]

    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(net({"x": x, "y": tf.zeros((3, 1), tf.int32)}, training=True) ** 2)
        return tape.gradient(loss, weights)

    for _ in range(40):
        assert all(np.isfinite(gradient).all() for gradient in gradients(images(3, 12, 16, 8)))


def test_a_dilated_kernel_has_zeros_between_its_entries():
    kernel = images(3, 3, 2, 4)
    spread = dilated_kernel(kernel, 3)
    assert spread.shape == (7, 7, 2, 4)
    np.testing.assert_array_equal(spread[::3, ::3], kernel)
    assert np.count_nonzero(spread) == np.count_nonzero(kernel)
    assert dilated_kernel(kernel, 1) is kernel


CIFAR_LAYERS = [((64, 4, 4), (3, 3, 512, 512), 1), ((64, 4, 4), (4, 4, 256, 512), 2), ((64, 8, 8), (3, 3, 256, 256), 1)]


@pytest.mark.parametrize(("shape", "kernel", "strides"), CIFAR_LAYERS)
@pytest.mark.parametrize(
    ("features", "dtype", "computed", "chosen"),
    [
        ({"avx512f"}, "float32", "float32", convolution.WINOGRAD),
        ({"avx512f"}, "bfloat16", "float32", convolution.WINOGRAD),
        ({"avx512f"}, "float16", "float32", convolution.WINOGRAD),
        ({"avx512f", "avx512_bf16", "amx_bf16"}, "float32", "float32", convolution.WINOGRAD),
        ({"avx512f", "avx512_bf16", "amx_bf16"}, "bfloat16", "bfloat16", convolution.PATCHES),
        ({"avx512f", "avx512_bf16"}, "bfloat16", "bfloat16", convolution.WINOGRAD),
        ({"avx512_fp16"}, "float16", "float16", convolution.DIRECT),
        ({"avx512f"}, "float64", "float64", convolution.DIRECT),
    ],
)
def test_the_algorithm_depends_on_dtype_and_cpu(shape, kernel, strides, features, dtype, computed, chosen, monkeypatch):
    monkeypatch.setattr(convolution, "on_cpu", lambda: True)
    monkeypatch.setattr(convolution, "cpu_features", lambda: frozenset(features))
    assert convolution.arithmetic(dtype) == computed
    assert convolution.choose(computed, shape, kernel, strides, 1, "SAME") == chosen


AMD = ("avx512f", "avx512_bf16")


@pytest.mark.parametrize(
    ("features", "dtype", "shape", "kernel", "strides", "chosen"),
    [
        (AMD, "float32", (64, 32, 32), (3, 3, 256, 256), 1, convolution.WINOGRAD),
        ((), "float32", (64, 32, 32), (3, 3, 256, 256), 1, convolution.DIRECT),  # not measured there
        (AMD, "float32", (256, 32, 32), (3, 3, 256, 256), 1, convolution.DIRECT),  # tiles of 600 MB
        (AMD, "float32", (64, 48, 48), (3, 3, 256, 256), 1, convolution.DIRECT),  # larger than what was measured
        (AMD, "float32", (64, 12, 12), (3, 3, 160, 192), 1, convolution.WINOGRAD),  # as 16 x 16 pixels, 128 channels
        (AMD, "float32", (64, 16, 16), (3, 3, 96, 512), 1, convolution.DIRECT),
        (AMD, "bfloat16", (64, 16, 16), (4, 4, 64, 128), 2, convolution.DIRECT),
        (AMD, "bfloat16", (64, 16, 16), (3, 3, 128, 128), 1, convolution.DIRECT),
        (AMD, "bfloat16", (64, 16, 16), (3, 3, 256, 256), 1, convolution.WINOGRAD),
    ],
)
def test_the_algorithm_follows_the_measurements(features, dtype, shape, kernel, strides, chosen, monkeypatch):
    monkeypatch.setattr(convolution, "on_cpu", lambda: True)
    monkeypatch.setattr(convolution, "cpu_features", lambda: frozenset(features))
    assert convolution.choose(dtype, shape, kernel, strides, 1, "SAME") == chosen


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
    assert convolution.choose("float32", shape, kernel, strides, dilation, padding) == convolution.DIRECT


def test_gpus_keep_their_own_convolutions(monkeypatch):
    monkeypatch.setattr(convolution, "on_cpu", lambda: False)
    monkeypatch.setattr(convolution, "cpu_features", lambda: frozenset())
    assert convolution.arithmetic("float16") == "float16"
    assert convolution.choose("float32", (64, 4, 4), (3, 3, 512, 512), 1, 1, "SAME") == convolution.DIRECT


@pytest.mark.parametrize(("size", "strides"), [(3, 1), (4, 2)])
@pytest.mark.parametrize("algorithm", ["winograd", "patches"])
def test_convolve_runs_the_chosen_algorithm(algorithm, size, strides, monkeypatch):
    taken = []
    for module in (winograd, patches):
        for name in ("convolve", "convolve_transposed"):
            original = getattr(module, name)
            monkeypatch.setattr(
                module, name, lambda *a, o=original, m=module, n=name: taken.append((m.__name__[14:], n)) or o(*a)
            )
    monkeypatch.setattr(convolution, "choose", lambda *_: algorithm)
    x, kernel = drawn(2, 8, 8, 3, dtype="float32"), drawn(size, size, 3, 4, seed=1, dtype="float32")
    y = convolution.convolve(x, kernel, strides, 1, "SAME", "NHWC")
    back = convolution.convolve_transposed(y, kernel, (2, 8, 8, 3), strides, 1, "SAME", "NHWC")
    assert taken == [(algorithm, "convolve"), (algorithm, "convolve_transposed")]
    expected = tf.nn.conv2d(x, kernel, strides, "SAME")
    np.testing.assert_allclose(y, expected, atol=1e-4)
    expected = tf.nn.conv2d_transpose(expected, kernel, (2, 8, 8, 3), strides, "SAME")
    np.testing.assert_allclose(back, expected, atol=1e-3)


def test_emulated_halves_are_computed_in_float32_and_rounded(monkeypatch):
    monkeypatch.setattr(convolution, "on_cpu", lambda: True)
    monkeypatch.setattr(convolution, "cpu_features", lambda: frozenset())
    x, kernel = drawn(2, 4, 4, 64, dtype="bfloat16"), drawn(3, 3, 64, 5, seed=1, dtype="bfloat16")
    wide = tf.nn.conv2d(tf.cast(x, tf.float32), tf.cast(kernel, tf.float32), 1, "SAME")
    y = convolution.convolve(x, kernel, 1, 1, "SAME", "NHWC")
    assert y.dtype == tf.bfloat16
    np.testing.assert_array_equal(y, tf.cast(wide, tf.bfloat16))
