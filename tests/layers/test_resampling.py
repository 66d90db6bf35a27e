"""Scaling and pooling against NumPy loops and TensorFlow 1's own resizing, in both data formats."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.layers.resampling import bilinear_additive_upsampling, interpolation_matrix, pool, resample
from tests.helpers.derivatives import check_penalty_gradient

FORMATS = ("channels_last", "channels_first")


def images(height=4, width=6, channels=8, dtype="float32"):
    return np.random.default_rng(height).standard_normal((2, height, width, channels)).astype(dtype)


def in_format(function, x, data_format):
    """Applies function(images, data_format) to (N, H, W, C) images, moved to the format and back."""
    if data_format == "channels_last":
        return np.asarray(function(x, data_format))
    return np.asarray(function(x.transpose(0, 3, 1, 2), data_format)).transpose(0, 2, 3, 1)


def shuffled(x, r):
    """Depth to space, pixel by pixel."""
    n, height, width, channels = x.shape
    out = np.empty((n, height * r, width * r, channels // r**2), x.dtype)
    for h, w, i, j in np.ndindex(height, width, r, r):
        first = (i * r + j) * out.shape[3]
        out[:, h * r + i, w * r + j] = x[:, h, w, first : first + out.shape[3]]
    return out


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("r", [1, 2])
def test_periodic_shuffling_and_its_inverse(r, data_format):
    x = images()
    up = in_format(lambda v, f: resample(v, "ps", r, f), x, data_format)
    np.testing.assert_array_equal(up, shuffled(x, r))
    down = in_format(lambda v, f: resample(v, "ps", -r, f), up, data_format)
    np.testing.assert_array_equal(down, x)


def test_periodic_shuffling_by_three():
    x = images(channels=18)
    np.testing.assert_array_equal(resample(x, "ps", 3), shuffled(x, 3))


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("factor", [2, 3])
def test_unpool_repeats_pixels(factor, data_format):
    x = images()
    up = in_format(lambda v, f: resample(v, "unpool", factor, f), x, data_format)
    expected = [[x[:, h // factor, w // factor] for w in range(6 * factor)] for h in range(4 * factor)]
    np.testing.assert_array_equal(up, np.array(expected).transpose(2, 0, 1, 3))


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("factor", [2, 1.5, 3, 1, -1.5, -2, -8])
@pytest.mark.parametrize("method", ["bil", "bic"])
def test_interpolation_is_that_of_tensorflow_1(method, factor, data_format):
    x = images(7, 10, 3)
    size = [max(int(side * factor if factor > 0 else side / -factor), 1) for side in (7, 10)]
    reference = tf.compat.v1.image.resize_bilinear if method == "bil" else tf.compat.v1.image.resize_bicubic
    expected = reference(x, size, align_corners=True)
    scaled = in_format(lambda v, f: resample(v, method, factor, f), x, data_format)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("method", ["bil", "bic"])
@pytest.mark.parametrize(("side", "new_side"), [(1, 5), (5, 1), (2, 31), (31, 2), (64, 96), (17, 100)])
def test_interpolation_matrix_of_many_sizes(method, side, new_side):
    """The matrix times the unit vectors is TensorFlow 1's resize of unit images."""
    reference = tf.compat.v1.image.resize_bilinear if method == "bil" else tf.compat.v1.image.resize_bicubic
    expected = reference(np.eye(side, dtype="float32")[:, :, None, None], (new_side, 1), align_corners=True)
    matrix = interpolation_matrix(method, side, new_side)
    np.testing.assert_allclose(matrix, expected[:, :, 0, 0].numpy().T, atol=5e-6)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)


def windows(side, kernel, strides, padding):
    """Ranges of pixels that the windows cover along one axis."""
    if padding == "VALID":
        starts = range(0, side - kernel + 1, strides)
    else:
        out = math.ceil(side / strides)
        before = max((out - 1) * strides + kernel - side, 0) // 2
        starts = [i * strides - before for i in range(out)]
    return [range(max(start, 0), min(start + kernel, side)) for start in starts]


def pooled(x, op, kernel, strides, padding):
    """Pooling, window by window."""
    rows, columns = (windows(side, kernel, strides, padding) for side in x.shape[1:3])
    out = np.empty((x.shape[0], len(rows), len(columns), x.shape[3]), x.dtype)
    for (i, row), (j, column) in ((a, b) for a in enumerate(rows) for b in enumerate(columns)):
        window = x[:, row.start : row.stop, column.start : column.stop]
        out[:, i, j] = window.max((1, 2)) if op == "max" else window.mean((1, 2))
    return out * kernel**2 if op == "sum" else out


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kernel", "strides", "padding"), [(2, 2, "SAME"), (3, 2, "SAME"), (3, 1, "VALID")])
@pytest.mark.parametrize("op", ["max", "avg", "sum"])
def test_pooling(op, kernel, strides, padding, dtype, data_format):
    x = images(5, 7, 3, dtype)
    out = in_format(lambda v, f: pool(v, op, kernel, strides, padding, f), x, data_format)
    np.testing.assert_allclose(out, pooled(x, op, kernel, strides, padding), rtol=1e-6, atol=1e-6)
    assert out.dtype == dtype


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("op", ["avg", "max"])
def test_scaling_by_pooling(op, data_format):
    x = images(6, 9, 2)
    out = in_format(lambda v, f: resample(v, op, -3, f), x, data_format)
    np.testing.assert_allclose(out, pooled(x, op, 3, 3, "SAME"), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("data_format", FORMATS)
def test_bilinear_additive_upsampling(data_format):
    """Enlarged by TensorFlow 1's rule; then every four consecutive channels are one."""
    x = images(4, 6, 8)
    out = in_format(bilinear_additive, x, data_format)
    enlarged = tf.compat.v1.image.resize_bilinear(x, (8, 12), align_corners=True).numpy()
    expected = np.stack([enlarged[..., :4].sum(-1), enlarged[..., 4:].sum(-1)], axis=-1)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


def bilinear_additive(x, data_format):
    return bilinear_additive_upsampling(x, 2, data_format)


def test_bilinear_additive_upsampling_names_channels_that_do_not_divide():
    with pytest.raises(ValueError, match="multiples of 9, not 8"):
        bilinear_additive_upsampling(images(), 3)


SCALINGS = [("ps", 2), ("ps", -2), ("bil", 1.5), ("bic", -2), ("avg", -2), ("max", -2), ("unpool", 2)]


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(("method", "factor"), SCALINGS)
def test_second_derivatives(method, factor, data_format):
    x = np.random.default_rng(0).standard_normal((2, 4, 4, 4))
    check_penalty_gradient(lambda v: resample(v, method, factor, data_format), x)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("op", ["max", "avg", "sum"])
def test_second_derivatives_of_overlapping_pools(op, data_format):
    x = np.random.default_rng(0).standard_normal((2, 5, 5, 5))
    check_penalty_gradient(lambda v: pool(v, op, 3, 2, "SAME", data_format), x)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("method", "factor"), SCALINGS)
def test_half_precision_in_a_graph_of_unknown_batch(method, factor, dtype, data_format):
    x = tf.constant(images(4, 4, 4))
    signature = tf.TensorSpec((None, 4, 4, 4), dtype)
    scaled = tf.function(lambda v: resample(v, method, factor, data_format), input_signature=[signature])
    out = scaled(tf.cast(x, dtype))
    assert out.dtype == dtype
    expected = resample(x, method, factor, data_format)
    assert scaled.get_concrete_function().output_shapes[1:] == expected.shape[1:]
    np.testing.assert_allclose(tf.cast(out, tf.float32), expected, atol=0.05)


@pytest.mark.parametrize(
    ("method", "factor", "message"),
    [
        ("nearest", 2, "'nearest' is not one of ps, bil"),
        ("ps", 1.5, "'ps' takes an integer other than 0, not 1.5"),
        ("bil", 0, "'bil' takes a number other than 0, not 0"),
        ("avg", 2, "'avg' takes a negative integer, not 2"),
        ("max", -1.5, "'max' takes a negative integer"),
        ("unpool", -2, "'unpool' takes an integer of at least 2"),
        ("bic", math.inf, "'bic' takes a number other than 0, not inf"),
    ],
)
def test_wrong_scalings_are_named(method, factor, message):
    with pytest.raises(ValueError, match=message):
        resample(images(), method, factor)


def test_unknown_pooling_is_named():
    with pytest.raises(ValueError, match="'min' is not one of max, avg, sum"):
        pool(images(), "min", 2, 2, "SAME", "channels_last")
