"""Normalisations against NumPy, moving averages included."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.layers import scope
from mmdgan.layers.normalization import BatchNorm, ConditionalBatchNorm, LocalResponseNorm
from tests.helpers.derivatives import check_penalty_gradient

CASES = [
    ((6, 5, 5, 3), "channels_last", "float32"),
    ((6, 5, 5, 3), "channels_last", "float64"),
    ((6, 3, 5, 5), "channels_first", "float32"),
    ((9, 3), "channels_last", "float32"),
]


def prepared(shape, data_format, dtype, **options):
    """A layer with gamma and beta away from 1 and 0, inputs, their channel axis and reduction axes."""
    rng = np.random.default_rng(0)
    layer = BatchNorm(data_format, dtype=dtype, **options)
    inputs = (3 + 2 * rng.standard_normal(shape)).astype(dtype)
    layer.build(shape)
    if layer.scale:
        layer.gamma.assign([0.5, 1.0, 2.0])
    if layer.center:
        layer.beta.assign([-1.0, 0.0, 1.0])
    axis = 1 if data_format == "channels_first" and len(shape) == 4 else len(shape) - 1
    return layer, inputs, axis, tuple(a for a in range(len(shape)) if a != axis)


def normalised(inputs, mean, variance, axis, center=True, scale=True):
    shape = [1] * inputs.ndim
    shape[axis] = 3
    gamma, beta = [0.5, 1.0, 2.0] if scale else np.ones(3), [-1.0, 0.0, 1.0] if center else np.zeros(3)
    mean, variance, gamma, beta = (np.reshape(v, shape) for v in (mean, variance, gamma, beta))
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


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_large_batches_are_counted(data_format):
    sides = (128, 128, 64) if data_format == "channels_last" else (64, 128, 128)
    counted = BatchNorm(data_format).count(tf.unstack(tf.constant((2048, *sides))))
    assert int(counted) == 2048 * 128 * 128


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


def test_deferred_updates_leave_the_averages_and_say_what_they_become():
    """Both passes of one step see the averages from before it."""
    layer, inputs, _, axes = prepared(*CASES[0])
    with scope.deferred_updates() as updates:
        layer(inputs, training=True)
        layer(inputs + 1, training=True)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))
    variables, values = zip(*updates, strict=True)
    assert [v.name for v in variables] == ["moving_mean", "moving_variance"] * 2
    np.testing.assert_allclose(values[0], 0.01 * inputs.mean(axes), rtol=1e-5)
    np.testing.assert_allclose(values[2], 0.01 * (inputs.mean(axes) + 1), rtol=1e-5)


@pytest.mark.parametrize(("center", "scale"), [(False, True), (True, False), (False, False)])
@pytest.mark.parametrize(("shape", "data_format", "dtype"), CASES)
def test_without_gamma_or_beta(shape, data_format, dtype, center, scale):
    layer, inputs, axis, axes = prepared(shape, data_format, dtype, center=center, scale=scale)
    assert [weight.name for weight in layer.trainable_weights] == ["gamma"] * scale + ["beta"] * center
    expected = normalised(inputs, inputs.mean(axes), inputs.var(axes), axis, center, scale)
    np.testing.assert_allclose(layer(inputs, training=True), expected, rtol=2e-5, atol=2e-5)
    expected = normalised(inputs, layer.moving_mean.numpy(), layer.moving_variance.numpy(), axis, center, scale)
    np.testing.assert_allclose(layer(inputs), expected, rtol=2e-5, atol=2e-5)


def test_moving_averages_are_made_to_be_averaged_over_replicas():
    layer, *_ = prepared(*CASES[0])
    assert [w.aggregation for w in layer.weights] == ["none", "none", "mean", "mean"]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("shape", "data_format"), [((4, 3), "channels_last"), ((2, 3, 3, 4), "channels_first")])
def test_second_derivatives(shape, data_format, training):
    layer, inputs, *_ = prepared((*shape[:-1], 3) if len(shape) == 2 else shape, data_format, "float64")
    with scope.frozen_state():
        check_penalty_gradient(lambda x: layer(x, training=training), inputs, [layer.gamma, layer.beta])


@pytest.mark.parametrize("training", [False, True])
def test_second_derivatives_of_the_fused_kernel(training):
    """In float32, which it needs, against the layer in float64, which does without."""
    wide, inputs, *_ = prepared((4, 3, 3, 3), "channels_last", "float64")
    narrow, *_ = prepared((4, 3, 3, 3), "channels_last", "float32")
    gradients = []
    for layer in (wide, narrow):
        x = tf.constant(inputs, layer.dtype)
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                total = tf.reduce_sum(tf.sin(layer(x, training=training)))
            penalty = tf.reduce_sum(inner.gradient(total, x) ** 2)
        gradients.append(outer.gradient(penalty, layer.gamma.value))
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-3)


LABELS = np.array([[1], [0], [3], [1], [2], [3]])


def conditional(shape, data_format, dtype):
    """A layer of four classes with random scales and offsets, and inputs."""
    rng = np.random.default_rng(1)
    layer = ConditionalBatchNorm(4, data_format, dtype=dtype)
    inputs = (3 + 2 * rng.standard_normal((len(LABELS), *shape[1:]))).astype(dtype)
    layer(inputs, LABELS)
    for weight in layer.trainable_weights:
        weight.assign(rng.standard_normal(weight.shape))
    return layer, inputs


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("shape", "data_format", "dtype"), CASES)
def test_conditional_batch_norm(shape, data_format, dtype, training):
    """Statistics of all classes together; scale and offset of each sample's own."""
    layer, inputs = conditional(shape, data_format, dtype)
    axis = 1 if data_format == "channels_first" else len(shape) - 1
    axes = tuple(a for a in range(len(shape)) if a != axis)
    mean, variance = (inputs.mean(axes), inputs.var(axes)) if training else (np.zeros(3), np.ones(3))
    plain = normalised(inputs, mean, variance, axis, center=False, scale=False)
    outputs = layer(inputs, LABELS, training=training)
    assert tuple(layer.class_scale.shape) == ((4, 1, 1, 3) if len(shape) == 4 else (4, 3))
    for x, (y,), output in zip(plain, LABELS, outputs, strict=True):
        per_channel = [3 if a == axis else 1 for a in range(1, len(shape))]
        scale, offset = (v.numpy()[y].reshape(per_channel) for v in (layer.class_scale, layer.class_offset))
        np.testing.assert_allclose(output, x * scale + offset, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.01 * mean * training, rtol=1e-5)


def test_conditional_batch_norm_begins_as_batch_norm():
    layer = ConditionalBatchNorm(50)
    layer.build((None, 4, 4, 100))
    names = {weight.name: weight.numpy() for weight in layer.weights}
    assert list(names) == ["scale", "offset", "moving_mean", "moving_variance"]
    np.testing.assert_array_equal(names["scale"], 1)
    assert 1e-6 < np.abs(names["offset"]).max() <= 2.0001e-5


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("shape", "data_format", "dtype"), CASES)
def test_second_derivatives_of_conditional_batch_norm(shape, data_format, dtype, training):
    layer, inputs = conditional((6, *[min(side, 3) for side in shape[1:]]), data_format, "float64")
    with scope.frozen_state():
        check_penalty_gradient(lambda x: layer(x, LABELS, training=training), inputs, layer.trainable_weights)


@pytest.mark.parametrize(("shape", "data_format", "dtype"), CASES)
def test_local_response_norm(shape, data_format, dtype):
    inputs = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    axis = 1 if data_format == "channels_first" else -1
    layer = LocalResponseNorm(data_format, dtype=dtype)
    expected = inputs / np.sqrt(np.mean(inputs**2, axis, keepdims=True) + 1e-10)
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-5, atol=1e-6)
    check_penalty_gradient(LocalResponseNorm(data_format, dtype="float64"), inputs.astype("float64"))


def test_local_response_norm_of_large_and_of_no_features_in_half_precision():
    layer = LocalResponseNorm(dtype="mixed_float16")
    inputs = np.array([[3000.0, 4000.0], [0.0, 0.0]], "float16")
    outputs = layer(inputs)
    assert outputs.dtype == tf.float16
    np.testing.assert_allclose(outputs, [[0.6 * 2**0.5, 0.8 * 2**0.5], [0, 0]], rtol=1e-3)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_statistics_stay_in_float32_under_mixed_precision(precision):
    for layer in (BatchNorm(dtype=precision), ConditionalBatchNorm(4, dtype=precision)):
        inputs = np.random.default_rng(0).standard_normal((6, 5, 5, 3)).astype("float32")
        outputs = layer(*(inputs, LABELS) if layer.conditional else (inputs,), training=True)
        assert outputs.dtype == layer.compute_dtype
        assert {weight.dtype for weight in layer.weights} == {"float32"}
        np.testing.assert_allclose(tf.cast(outputs, tf.float32), normal(inputs), atol=0.05)


def normal(inputs):
    return (inputs - inputs.mean((0, 1, 2))) / np.sqrt(inputs.var((0, 1, 2)) + 1e-3)


@pytest.mark.parametrize(
    "layer",
    [
        BatchNorm("channels_first", center=False),
        ConditionalBatchNorm(4, "channels_first"),
        LocalResponseNorm("channels_first"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_config_round_trip(layer):
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(twin) is type(layer)
    assert twin.get_config() == layer.get_config()
    assert twin.data_format == "channels_first"
