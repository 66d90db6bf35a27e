"""Convolutions against TensorFlow's own, and 1x1 kernels with strides, whose gradients crash there."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import build_network
from mmdgan.layers import convolution
from mmdgan.layers.convolution import convolve, convolve_depthwise, convolve_transposed, dilated_kernel


def images(*shape):
    return tf.constant(np.random.default_rng(sum(shape)).standard_normal(shape), tf.float32)


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
