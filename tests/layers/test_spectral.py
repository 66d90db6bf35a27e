"""Spectral norms against the original's golden arrays and against the exact dense operator."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.layers.spectral import exact_spectral_norm, linear_map, spectral_norm, vector_shape
from tests.golden_data import spectral_norm_cases

# op, kernel size, input side, input channels, output channels, strides, padding, output side
OPERATORS = [
    ("c", 3, 6, 2, 3, 1, "SAME", 6),
    ("c", 3, 7, 3, 2, 2, "SAME", 4),
    ("c", 4, 8, 2, 5, 2, "SAME", 4),
    ("c", 5, 9, 2, 2, 2, "VALID", 3),
    ("c", 3, 7, 2, 4, 1, "VALID", 5),
    ("c", 1, 4, 6, 2, 1, "SAME", 4),
    ("tc", 4, 3, 4, 2, 2, "SAME", 6),
    ("tc", 3, 5, 2, 6, 1, "SAME", 5),
    ("tc", 3, 4, 3, 2, 2, "VALID", 10),
    ("tc", 4, 4, 8, 1, 1, "SAME", 4),
]


def operator(op, size, side, channels, filters, strides, padding, out_side):
    """Returns a random kernel and the keyword arguments that describe its operator."""
    rng = np.random.default_rng(size * 100 + side)
    shape = (size, size, channels, filters) if op == "c" else (size, size, filters, channels)
    options = {
        "input_shape": (side, side, channels),
        "output_shape": (out_side, out_side, filters),
        "strides": strides,
        "padding": padding,
    }
    return rng.standard_normal(shape), options


def dense_matrix(op, kernel, options):
    """The operator as a matrix, column by column, by TensorFlow's convolution from the layer's input."""
    side, _, channels = options["input_shape"]
    basis = np.eye(side * side * channels).reshape(-1, side, side, channels)
    if op == "c":
        image = tf.nn.conv2d(basis, kernel, options["strides"], options["padding"])
    else:
        shape = (len(basis), *options["output_shape"])
        image = tf.nn.conv2d_transpose(basis, kernel, shape, options["strides"], options["padding"])
    return image.numpy().reshape(len(basis), -1)


@pytest.mark.parametrize("case", OPERATORS, ids=str)
def test_power_iteration_converges_to_the_dense_operators_norm(case):
    kernel, options = operator(*case)
    exact = np.linalg.norm(dense_matrix(case[0], kernel, options), 2)
    kernel = tf.constant(kernel, tf.float32)
    shape = vector_shape(
        case[0], kernel.shape, input_shape=options["input_shape"], output_shape=options["output_shape"]
    )
    vector = tf.random.stateless_normal(shape, (1, 2))
    vector /= tf.norm(vector)
    iterate = tf.function(lambda v: spectral_norm(case[0], kernel, v, **options))
    for _ in range(1000):
        sigma, vector = iterate(vector)
        assert sigma <= exact * (1 + 1e-6)
    assert sigma >= exact * (1 - 1e-4)


@pytest.mark.parametrize("case", OPERATORS, ids=str)
def test_exact_norm_is_the_dense_operators(case):
    kernel, options = operator(*case)
    exact = np.linalg.norm(dense_matrix(case[0], kernel, options), 2)
    assert exact_spectral_norm(case[0], kernel, **options) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("case", OPERATORS, ids=str)
def test_adjoint(case):
    """<A x, y> = <x, A^T y> for random x and y."""
    kernel, options = operator(*case)
    linear = linear_map(case[0], tf.constant(kernel), **options)
    x = tf.random.stateless_normal(linear.vector_shape, (3, 4), dtype=tf.float64)
    y = tf.random.stateless_normal(linear.forward(x).shape, (5, 6), dtype=tf.float64)
    left, right = tf.reduce_sum(linear.forward(x) * y), tf.reduce_sum(x * linear.adjoint(y))
    np.testing.assert_allclose(left, right, rtol=1e-10)


@pytest.mark.parametrize("shape", [(12, 7), (7, 12), (5, 5), (1, 6), (6, 1)])
def test_dense_norm(shape):
    kernel = np.random.default_rng(0).standard_normal(shape)
    vector = None
    if 1 not in shape:
        vector = tf.ones(vector_shape("d", shape), tf.float64)
    for _ in range(300):
        sigma, vector = spectral_norm("d", kernel, vector)
    assert float(sigma) == pytest.approx(np.linalg.svd(kernel)[1][0], rel=1e-6)
    assert exact_spectral_norm("d", kernel) == pytest.approx(np.linalg.svd(kernel)[1][0], rel=1e-12)
    assert (vector is None) == (1 in shape)


@pytest.mark.parametrize("case", list(spectral_norm_cases()), ids=lambda c: c["name"])
def test_golden(case):
    """Twelve successive norms, the vectors, and the gradient at the third step, as the original gives them."""
    kernel = tf.constant(case["kernel0"])
    options = {k: case[k] for k in ("input_shape", "output_shape", "strides", "padding") if k in case}
    vector = case.get("v0")
    for step in range(12):
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            sigma, next_vector = spectral_norm(case["op"], kernel, vector, **options)
        np.testing.assert_allclose(sigma, case["sigma"][step], rtol=2e-6)
        if step == 2:
            gradient = tape.gradient(sigma, kernel)
            np.testing.assert_allclose(gradient, case["dsigma_dkernel0_at_iter3"], rtol=1e-4, atol=2e-6)
        vector = next_vector
        if step == 0 and vector is not None:
            np.testing.assert_allclose(vector, case["v1"], atol=2e-6)
    if vector is not None:
        np.testing.assert_allclose(vector, case["v12"], atol=2e-5)


def test_gradient_at_next_is_the_derivative_along_the_next_vector():
    """d sigma / d K = forward's derivative at the next vector against A v / |A v|, by the dense formula."""
    kernel = tf.constant(np.random.default_rng(1).standard_normal((4, 6)))
    vector = tf.constant(np.random.default_rng(2).standard_normal((1, 4)))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        sigma, next_vector = spectral_norm("d", kernel, vector, gradient_at="next")
    image = vector.numpy() @ kernel.numpy()
    np.testing.assert_allclose(sigma, np.linalg.norm(image), rtol=1e-12)
    expected = next_vector.numpy().T @ (image / np.linalg.norm(image))
    np.testing.assert_allclose(tape.gradient(sigma, kernel), expected, rtol=1e-8)


def test_dilated_operator():
    """Against TensorFlow's own dilated convolution, as a dense matrix."""
    kernel = np.random.default_rng(3).standard_normal((3, 3, 2, 3))
    basis = np.eye(7 * 7 * 2).reshape(-1, 7, 7, 2)
    matrix = tf.nn.conv2d(basis, kernel, 1, "SAME", dilations=2).numpy().reshape(len(basis), -1)
    options = {"input_shape": (7, 7, 2), "output_shape": (7, 7, 3), "dilation": 2}
    exact = np.linalg.norm(matrix, 2)
    assert exact_spectral_norm("c", kernel, **options) == pytest.approx(exact, rel=1e-9)


def test_unknown_op_is_named():
    with pytest.raises(ValueError, match="'pool'"):
        vector_shape("pool", (3, 3))


def test_missing_shapes_and_foreign_vectors_are_named():
    kernel, vector = np.ones((3, 3, 2, 2), "float32"), np.ones((1, 5, 4, 2), "float32")
    sides = {"input_shape": (4, 4, 2), "output_shape": (4, 4, 2)}
    with pytest.raises(ValueError, match="'c' needs input_shape and output_shape"):
        spectral_norm("c", kernel, vector)
    with pytest.raises(ValueError, match=r"is \(1, 4, 4, 2\), not \(1, 5, 4, 2\)"):
        spectral_norm("c", kernel, vector, **sides)
    with pytest.raises(ValueError, match=r"is \(1, 2\), not None"):
        spectral_norm("d", kernel[0, 0], None)
