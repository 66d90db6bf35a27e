"""Spectral norms against the original's golden arrays and against the exact dense operator."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.layers.spectral import exact_spectral_norm, linear_map, spectral_norm, vector_shape
from tests.helpers.golden_data import spectral_norm_cases

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
    ("c", 3, 1, 1, 5, 1, "SAME", 1),
    ("c", 3, 3, 2, 1, 1, "VALID", 1),
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


# op, shapes of both kernels, shape of the vector, of sigma
CLASS_MATRICES = [
    ("cd", ((3, 5, 4),), (3, 1, 4), (3, 1, 1)),
    ("cd", ((3, 4, 6),), (3, 1, 4), (3, 1, 1)),
    ("cd", ((3, 4, 1),), None, (3, 1, 1)),
    ("cd", ((3, 1, 4),), None, (3, 1, 1)),
    ("cd", ((3, 4),), None, (3, 1)),
    ("dcd", ((5, 4), (3, 5, 4)), (3, 1, 4), (3, 1, 1)),
    ("dcd", ((4, 6), (3, 4, 6)), (3, 1, 4), (3, 1, 1)),
    ("dcd", ((5, 1), (3, 5, 1)), None, (3, 1, 1)),
    ("dcd", ((5, 1), (3, 5)), None, (3, 1, 1)),
    ("dck", ((6, 4), (3, 4)), (3, 4), (3, 1)),
    ("dck", ((4, 6), (3, 6)), (3, 4), (3, 1)),
    ("dck", ((1, 6), (3, 6)), (3, 1), (3, 1)),
    ("dck", ((6, 1), (3, 1)), None, (3, 1)),
]


def class_matrices(op, kernels):
    """The matrix of every class, written out."""
    if op == "cd":
        return [np.reshape(k, (-1, k.shape[-1] if k.ndim == 2 else 1)) for k in kernels[0]]
    common, extra = kernels
    if op == "dck":
        return [common @ np.diag(1 + row) for row in extra]
    return [common + np.reshape(k, common.shape) for k in extra]


@pytest.mark.parametrize("case", CLASS_MATRICES, ids=str)
def test_norm_of_each_classs_matrix(case):
    op, shapes, expected_vector, expected_sigma = case
    rng = np.random.default_rng(len(str(case)))
    kernels = tuple(rng.standard_normal(shape) for shape in shapes)
    kernel = kernels if len(kernels) > 1 else kernels[0]
    norms = np.reshape([np.linalg.svd(m)[1][0] for m in class_matrices(op, kernels)], expected_sigma)
    np.testing.assert_allclose(exact_spectral_norm(op, kernel), norms, rtol=1e-12)
    assert exact_spectral_norm(op, kernel).shape == expected_sigma
    shape = vector_shape(op, shapes if len(shapes) > 1 else shapes[0])
    assert shape == expected_vector
    vector = None if shape is None else tf.constant(rng.standard_normal(shape))
    iterate = tf.function(lambda v: spectral_norm(op, kernel, v))
    for _ in range(1 if vector is None else 600):
        sigma, vector = iterate(vector) if vector is not None else spectral_norm(op, kernel, None)
    assert tuple(sigma.shape) == expected_sigma
    np.testing.assert_allclose(sigma, norms, rtol=1e-6)
    assert (vector is None) == (expected_vector is None)


@pytest.mark.parametrize("case", OPERATORS, ids=str)
def test_norm_of_each_classs_convolution(case):
    """Against the dense operator with the class's multiplier on each output channel."""
    kernel, options = operator(*case)
    op = case[0] + "ck"
    scales = np.random.default_rng(1).standard_normal((2, 1, 1, options["output_shape"][2]))
    dense = dense_matrix(case[0], kernel, options)
    channels = [np.tile(1 + s.ravel(), dense.shape[1] // s.size) for s in scales]
    norms = np.reshape([np.linalg.norm(dense * row, 2) for row in channels], (2, 1, 1, 1))
    np.testing.assert_allclose(exact_spectral_norm(op, (kernel, scales), **options), norms, rtol=1e-9)
    kernels = (tf.constant(kernel), tf.constant(scales))
    sides = {key: options[key] for key in ("input_shape", "output_shape")}
    shape = vector_shape(op, (kernel.shape, scales.shape), **sides)
    assert shape == (2, *vector_shape(case[0], kernel.shape, **sides)[1:])
    vector = tf.random.stateless_normal(shape, (1, 2), dtype=tf.float64)
    vector /= tf.norm(tf.reshape(vector, (2, -1)), axis=1)[:, None, None, None]

    @tf.function
    def iterate(vector):
        sigma = tf.zeros((2, 1, 1, 1), tf.float64)
        for _ in tf.range(1000):
            sigma, vector = spectral_norm(op, kernels, vector, **options)
            tf.debugging.assert_less_equal(sigma, norms * (1 + 1e-9))
        return sigma

    np.testing.assert_allclose(iterate(vector), norms, rtol=1e-4)


@pytest.mark.parametrize("op", ["cd", "dcd", "dck"])
@pytest.mark.parametrize("shape", [(5, 4), (4, 6)])
def test_adjoint_of_class_matrices(op, shape):
    rng = np.random.default_rng(0)
    kernel, extra = rng.standard_normal(shape), rng.standard_normal((3, *shape) if op == "dcd" else (3, shape[1]))
    check_class_adjoint(linear_map(op, rng.standard_normal((3, *shape)) if op == "cd" else (kernel, extra)))


@pytest.mark.parametrize("case", OPERATORS, ids=str)
def test_adjoint_of_class_convolutions(case):
    kernel, options = operator(*case)
    scales = np.random.default_rng(1).standard_normal((3, 1, 1, options["output_shape"][2]))
    check_class_adjoint(linear_map(case[0] + "ck", (kernel, scales), **options))


def check_class_adjoint(linear):
    """<A_y x, z> = <x, A_y^T z> for random x and z of every class."""
    assert linear.per_class
    x = tf.random.stateless_normal(linear.vector_shape, (3, 4), dtype=tf.float64)
    z = tf.random.stateless_normal(linear.forward(x).shape, (5, 6), dtype=tf.float64)
    axes = list(range(1, len(x.shape)))
    left, right = tf.reduce_sum(linear.forward(x) * z, axes), tf.reduce_sum(x * linear.adjoint(z), axes)
    assert left.shape == (3,)
    np.testing.assert_allclose(left, right, rtol=1e-9)


@pytest.mark.parametrize("case", spectral_norm_cases(), ids=lambda c: c["name"])
def test_golden(case):
    """Twelve successive norms, the vectors, and the gradients at the third step, as the original gives them."""
    kernel = tf.nest.map_structure(tf.constant, case["kernel"])
    kernels = tf.nest.flatten(kernel)
    options = {k: case[k] for k in ("input_shape", "output_shape", "strides", "dilation", "padding") if k in case}
    vector = case.get("v0")
    for step in range(12):
        with tf.GradientTape() as tape:
            tape.watch(kernels)
            sigma, next_vector = spectral_norm(case["op"], kernel, vector, **options)
            total = tf.reduce_sum(sigma)
        assert tuple(sigma.shape) == case["sigma"][step].shape
        np.testing.assert_allclose(sigma, case["sigma"][step], rtol=2e-6)
        if step == 2:
            for i, gradient in enumerate(tape.gradient(total, kernels)):
                expected = case[f"dsigma_dkernel{i}_at_iter3"]
                np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
        vector = next_vector
        if step == 0 and vector is not None:
            np.testing.assert_allclose(vector, case["v1"], atol=2e-6)
    if vector is not None:
        np.testing.assert_allclose(vector, case["v12"], atol=5e-6)


def test_golden_cases_are_of_every_op_that_the_original_computes():
    assert {case["op"] for case in spectral_norm_cases()} == {"c", "tc", "d", "project", "cd", "dcd", "dck", "cck"}


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


@pytest.mark.parametrize("op", ["dck", "dcd", "cck", "tcck"])
def test_gradient_at_next_is_taken_per_class(op):
    """The sum over classes of <A_y v_y / |A_y v_y|, A_y' v'_y>, by differences along a random direction."""
    rng = np.random.default_rng(4)
    shapes = {"dck": ((4, 3), (2, 3)), "dcd": ((4, 3), (2, 4, 3)), "cck": ((3, 3, 2, 3), (2, 1, 1, 3))}
    shapes["tcck"] = ((3, 3, 3, 2), (2, 1, 1, 3))
    sides = {"input_shape": (4, 4, 2), "output_shape": (4, 4, 3)} if op.endswith("cck") else {}
    kernels = [tf.constant(rng.standard_normal(shape)) for shape in shapes[op]]
    vector = tf.constant(rng.standard_normal(vector_shape(op, shapes[op], **sides)))
    with tf.GradientTape() as tape:
        tape.watch(kernels)
        sigma, next_vector = spectral_norm(op, kernels, vector, gradient_at="next", **sides)
        total = tf.reduce_sum(sigma)
    gradients = tape.gradient(total, kernels)
    np.testing.assert_allclose(sigma, spectral_norm(op, kernels, vector, **sides)[0], rtol=1e-12)
    image = linear_map(op, kernels, **sides).forward(vector).numpy().reshape(2, -1)
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    directions = [rng.standard_normal(shape) for shape in shapes[op]]

    def product(shift):
        moved = [k + shift * d for k, d in zip(kernels, directions, strict=True)]
        return np.sum(image * linear_map(op, moved, **sides).forward(next_vector).numpy().reshape(2, -1))

    slope = sum(np.sum(g * d) for g, d in zip(gradients, directions, strict=True))
    assert slope == pytest.approx((product(1e-6) - product(-1e-6)) / 2e-6, rel=1e-6)


def test_class_whose_outputs_are_all_scaled_to_zero():
    """Its exact norm is zero, of matrices and convolutions."""
    scales = np.array([[-1.0, -1.0], [0.0, 1.0]])
    assert exact_spectral_norm("dck", (np.eye(3)[:, :2], scales)).ravel().tolist() == [0, 2]
    kernel = np.eye(2)[None, None]
    sides = {"input_shape": (3, 3, 2), "output_shape": (3, 3, 2)}
    np.testing.assert_allclose(exact_spectral_norm("cck", (kernel, scales[:, None, None]), **sides).ravel(), [0, 2])


def test_dilated_operator():
    """Against TensorFlow's own dilated convolution, as a dense matrix."""
    kernel = np.random.default_rng(3).standard_normal((3, 3, 2, 3))
    basis = np.eye(7 * 7 * 2).reshape(-1, 7, 7, 2)
    matrix = tf.nn.conv2d(basis, kernel, 1, "SAME", dilations=2).numpy().reshape(len(basis), -1)
    options = {"input_shape": (7, 7, 2), "output_shape": (7, 7, 3), "dilation": 2}
    exact = np.linalg.norm(matrix, 2)
    assert exact_spectral_norm("c", kernel, **options) == pytest.approx(exact, rel=1e-9)


def test_unknown_op_is_named():
    with pytest.raises(ConfigError, match="'pool'"):
        vector_shape("pool", (3, 3))


def test_missing_shapes_and_foreign_vectors_are_named():
    kernel, vector = np.ones((3, 3, 2, 2), "float32"), np.ones((1, 5, 4, 2), "float32")
    sides = {"input_shape": (4, 4, 2), "output_shape": (4, 4, 2)}
    with pytest.raises(ConfigError, match="'c' needs input_shape and output_shape"):
        spectral_norm("c", kernel, vector)
    with pytest.raises(ConfigError, match=r"is \(1, 4, 4, 2\), not \(1, 5, 4, 2\)"):
        spectral_norm("c", kernel, vector, **sides)
    with pytest.raises(ConfigError, match=r"is \(1, 2\), not None"):
        spectral_norm("d", kernel[0, 0], None)


def test_exact_norms_where_all_singular_values_coincide():
    identity = np.eye(3, dtype="float32")[None, None] * 2
    assert exact_spectral_norm("c", identity, input_shape=(6, 6, 3), output_shape=(6, 6, 3)) == pytest.approx(2.0)
    spread = np.ones((3, 3, 1, 1), "float32")
    sides = {"input_shape": (4, 4, 1), "output_shape": (12, 12, 1), "strides": 3}
    assert exact_spectral_norm("tc", spread, **sides) == pytest.approx(3.0)


def test_the_vector_takes_the_kernels_dtype():
    sigma, following = spectral_norm("d", np.eye(3), np.ones((1, 3), "float32"))
    assert sigma.dtype == following.dtype == tf.float64 and float(sigma) == pytest.approx(np.sqrt(3))
