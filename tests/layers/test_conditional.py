"""Layers with class labels against NumPy, sample by sample, and their spectral norms against the exact ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.layers import scope
from mmdgan.layers.conditional import (
    ConditionalBias,
    ConditionalDense,
    LabelProjection,
    ScaledConv2D,
    ScaledConv2DTranspose,
    ScaledDense,
)
from mmdgan.layers.spectral import exact_spectral_norm
from tests.helpers.derivatives import check_penalty_gradient

CLASSES = 3
LABELS = np.array([[2], [0], [2], [1]])


def spatial(layer, *arguments, **options):
    """Returns a function that makes the layer, channels last unless it is told otherwise."""
    return lambda data_format="channels_last", **kw: layer(
        *arguments, num_class=CLASSES, data_format=data_format, **options, **kw
    )


# By op, with variants whose vector lives on the other side or whose norm has a closed form.
KERNELS = {
    "dcd": (lambda **kw: ConditionalDense(5, num_class=CLASSES, **kw), (4, 6)),
    "dcd_wide": (lambda **kw: ConditionalDense(7, num_class=CLASSES, **kw), (4, 6)),
    "dcd_one": (lambda **kw: ConditionalDense(1, num_class=CLASSES, **kw), (4, 6)),
    "dck": (lambda **kw: ScaledDense(5, num_class=CLASSES, **kw), (4, 6)),
    "dck_wide": (lambda **kw: ScaledDense(7, num_class=CLASSES, **kw), (4, 6)),
    "dck_one": (lambda **kw: ScaledDense(1, num_class=CLASSES, **kw), (4, 6)),
    "cck": (spatial(ScaledConv2D, 3, 3, strides=2), (4, 5, 5, 2)),
    "cck_wide": (spatial(ScaledConv2D, 7, 3, dilation=2), (4, 5, 5, 2)),
    "tcck": (spatial(ScaledConv2DTranspose, 3, 4, strides=2), (4, 3, 3, 2)),
    "tcck_narrow": (spatial(ScaledConv2DTranspose, 1, 3), (4, 3, 3, 5)),
    "project": (lambda **kw: LabelProjection(CLASSES, **kw), (4, 6)),
    "project_one": (lambda **kw: LabelProjection(CLASSES, **kw), (4, 1)),
}
OPS = ("dcd", "dck", "cck", "tcck", "project")
SPATIAL = ("cck", "tcck")


def prepared(name, dtype="float64", **options):
    """The layer with random weights throughout, and its inputs."""
    make, shape = KERNELS[name]
    rng = np.random.default_rng(len(name))
    layer = make(dtype=dtype, **options)
    inputs = rng.standard_normal(shape)
    if options.get("data_format") == "channels_first":
        inputs = inputs.transpose(0, 3, 1, 2)
    layer(inputs, LABELS)
    for weight in layer.trainable_weights:
        weight.assign(rng.standard_normal(weight.shape))
    return layer, inputs


def class_kernel(layer, y):
    """The class's kernel before normalisation, as that of a plain layer."""
    kernel = layer.kernel.numpy()
    if isinstance(layer, LabelProjection):
        return kernel[y][:, None]
    extra = layer.c_kernel.numpy()[y]
    if isinstance(layer, ConditionalDense):
        return kernel + extra
    return kernel * (1 + extra[..., None] if isinstance(layer, ScaledConv2DTranspose) else 1 + extra)


def plain_output(layer, x, kernel):
    """What a plain layer with this kernel makes of one sample, by NumPy or Keras; channels last."""
    if x.ndim == 1:
        return x @ kernel
    if isinstance(layer, ScaledConv2DTranspose):
        return keras.ops.conv_transpose(x[None], kernel, layer.strides, "same", data_format="channels_last")[0]
    return keras.ops.conv(x[None], kernel, layer.strides, "same", "channels_last", layer.dilation)[0]


def exact_norm(layer, kernel):
    """The exact norm of one class's operator."""
    op = {"dcd": "d", "dck": "d", "cck": "c", "tcck": "tc"}[layer.op]
    return exact_spectral_norm(op, kernel, **layer.operator())


@tf.function
def train(layer, steps, inputs, labels):
    """Calls the layer so often in training mode."""
    for _ in tf.range(steps):
        layer(inputs, labels, training=True)


@pytest.mark.parametrize("name", KERNELS)
def test_each_sample_meets_its_own_classs_kernel(name):
    layer, inputs = prepared(name, spectral=None, gain=1.5)
    outputs = layer(inputs, LABELS)
    bias = layer.bias.numpy() if layer.bias is not None else 0
    for x, (y,), output in zip(inputs, LABELS, outputs, strict=True):
        np.testing.assert_allclose(output, 1.5 * plain_output(layer, x, class_kernel(layer, y)) + bias, rtol=1e-9)
    assert tuple(outputs.shape) == layer.compute_output_shape(inputs.shape)


@pytest.mark.parametrize("name", SPATIAL)
def test_channels_first_is_channels_last_transposed(name):
    for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-4)):
        last, inputs = prepared(name, dtype)
        first, _ = prepared(name, dtype, data_format="channels_first")
        first.set_weights(last.get_weights())
        expected = np.transpose(last(inputs, LABELS), (0, 3, 1, 2))
        np.testing.assert_allclose(
            first(inputs.transpose(0, 3, 1, 2), LABELS), expected, rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("name", [name for name in KERNELS if "project" not in name])
def test_trained_vectors_give_each_class_an_operator_of_norm_gain(name):
    """Output for one class is the plain layer's with gain / exact norm of that class's operator."""
    layer, inputs = prepared(name, gain=1.5, use_bias=False)
    train(layer, 300, inputs, LABELS)
    for x, (y,), output in zip(inputs, LABELS, layer(inputs, LABELS), strict=True):
        kernel = class_kernel(layer, y)
        expected = plain_output(layer, x, kernel) * 1.5 / exact_norm(layer, kernel)
        np.testing.assert_allclose(output, expected, rtol=2e-3, atol=1e-9)


@pytest.mark.parametrize("name", ["dcd", "dck", "cck", "cck_wide", "tcck", "tcck_narrow"])
def test_pim_normalises_each_classs_matrix(name):
    """Of convolutions the kernel reshaped to (everything, last axis); dense ones are as under PICO."""
    layer, inputs = prepared(name, spectral="pim", gain=1.5, use_bias=False)
    train(layer, 300, inputs, LABELS)
    for x, (y,), output in zip(inputs, LABELS, layer(inputs, LABELS), strict=True):
        kernel = class_kernel(layer, y)
        norm = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)
        np.testing.assert_allclose(output, plain_output(layer, x, kernel) * 1.5 / norm, rtol=2e-3, atol=1e-9)


VECTORS = {
    "dcd": (3, 1, 5),
    "dcd_wide": (3, 1, 6),
    "dcd_one": None,
    "dck": (3, 5),
    "dck_wide": (3, 6),
    "dck_one": None,
    "cck": (3, 3, 3, 3),
    "cck_wide": (3, 5, 5, 2),
    "tcck": (3, 6, 6, 3),
    "tcck_narrow": (3, 3, 3, 5),
    "project": (1, 3),
    "project_one": None,
}


@pytest.mark.parametrize("name", KERNELS)
def test_one_vector_per_class(name):
    layer, inputs = prepared(name)
    if VECTORS[name] is None:
        assert layer.in_rand is None
        assert layer.normalise()[2] is None
        return
    vector = layer.in_rand.numpy()
    assert vector.shape == VECTORS[name]
    layer(inputs, LABELS)
    with scope.frozen_state():
        layer(inputs, LABELS, training=True)
    np.testing.assert_array_equal(layer.in_rand, vector)
    expected = layer.normalise()[2]
    layer(inputs, LABELS, training=True)
    np.testing.assert_array_equal(layer.in_rand, expected)
    assert np.abs(expected - vector).max() > 1e-2


@pytest.mark.parametrize("name", OPS)
def test_shared_kernel_is_used_and_the_vector_left_alone(name):
    layer, inputs = prepared(name)
    expected = layer(inputs, LABELS)
    shared = layer.normalise()[0]
    for weight in layer.weights:
        if weight is not layer.bias:
            weight.assign(weight + 1)
    state = layer.get_weights()
    with scope.shared_kernels({id(layer): shared}):
        np.testing.assert_array_equal(layer(inputs, LABELS, training=True), expected)
    for weight, value in zip(layer.weights, state, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize(
    ("name", "spectral"),
    [(name, "pico") for name in (*OPS, "dcd_one", "dck_one")]
    + [(name, "pim") for name in SPATIAL]
    + [(name, None) for name in OPS],
)
def test_second_derivatives(name, spectral):
    layer, inputs = prepared(name, spectral=spectral)
    check_penalty_gradient(lambda x: layer(x, LABELS), inputs, layer.trainable_weights)


@pytest.mark.parametrize("name", SPATIAL)
def test_second_derivatives_in_channels_first(name):
    layer, inputs = prepared(name, data_format="channels_first")
    check_penalty_gradient(lambda x: layer(x, LABELS), inputs, layer.trainable_weights)


@pytest.mark.parametrize("name", [*OPS, "dck_one"])
def test_gradient_at_next_differs_from_the_values(name):
    layer, _ = prepared(name)
    slopes = {}
    for gradient_at in ("vector", "next"):
        with tf.GradientTape() as tape:
            _, sigma, vector = layer.normalise(gradient_at)
            total = tf.reduce_sum(sigma)
        slopes[gradient_at] = (total, tape.gradient(total, layer.kernel.value))
    np.testing.assert_allclose(slopes["next"][0], slopes["vector"][0], rtol=1e-12)
    differs = np.abs(slopes["next"][1] - slopes["vector"][1]).max() > 1e-3
    assert differs == (vector is not None)


@pytest.mark.parametrize("name", OPS)
def test_classes_begin_alike(name):
    make, shape = KERNELS[name]
    layer = make()
    layer.build(shape)
    kernels = {weight.name: weight.numpy() for weight in layer.trainable_weights}
    assert np.abs(kernels["kernel"]).max() > 0.05
    if "project" not in name:
        np.testing.assert_array_equal(kernels["c_kernel"], 0)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", OPS)
def test_spectral_norm_stays_in_float32_under_mixed_precision(name, precision):
    layer, inputs = prepared(name, precision)
    exact, _ = prepared(name, "float32")
    exact.set_weights(layer.get_weights())
    outputs = layer(inputs, LABELS)
    assert outputs.dtype == layer.compute_dtype
    assert layer.normalise()[1].dtype == tf.float32
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), exact(inputs, LABELS), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", OPS)
def test_config_round_trip(name):
    layer, _ = prepared(name, gain=1.3, spectral="pim")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()
    assert twin.num_class == CLASSES


def test_projection_is_the_labels_row_times_the_input():
    layer, inputs = prepared("project", gain=1.0)
    train(layer, 300, inputs, LABELS)
    kernel = layer.kernel.numpy()
    rows = kernel[LABELS[:, 0]] / np.linalg.norm(kernel, 2)
    np.testing.assert_allclose(layer(inputs, LABELS), (inputs * rows).sum(1, keepdims=True), rtol=1e-3)


def test_legacy_projection_keeps_its_norm_but_does_not_apply_it():
    layer, inputs = prepared("project", legacy=True)
    vector = layer.in_rand.numpy()
    expected = (inputs * layer.kernel.numpy()[LABELS[:, 0]]).sum(1, keepdims=True)
    np.testing.assert_allclose(layer(inputs, LABELS, training=True), expected, rtol=1e-9)
    assert np.abs(layer.in_rand.numpy() - vector).max() > 1e-2
    twin, _ = prepared("project")
    np.testing.assert_array_equal(layer.normalise()[1].shape, twin.normalise()[1].shape)


@pytest.mark.parametrize("common", [False, True])
@pytest.mark.parametrize(
    ("shape", "data_format"),
    [((4, 2, 3, 5), "channels_last"), ((4, 5, 2, 3), "channels_first"), ((4, 5), "channels_first")],
)
def test_conditional_bias(shape, data_format, common):
    layer = ConditionalBias(CLASSES, common=common, data_format=data_format, dtype="float64")
    inputs = np.random.default_rng(0).standard_normal(shape)
    layer(inputs, LABELS)
    assert tuple(layer.c_bias.shape) == ((CLASSES, 1, 1, 5) if len(shape) == 4 else (CLASSES, 5))
    small = layer.bias if common else layer.c_bias
    assert 1e-7 < np.abs(small).max() <= 2.0001e-5
    if common:
        np.testing.assert_array_equal(layer.c_bias, np.zeros(layer.c_bias.shape))
        layer.bias.assign(np.arange(5.0))
    layer.c_bias.assign(np.random.default_rng(1).standard_normal(layer.c_bias.shape))
    rows = np.reshape(layer.c_bias, (CLASSES, 5)) + (np.arange(5.0) if common else 0)
    for x, (y,), output in zip(inputs, LABELS, layer(inputs, LABELS), strict=True):
        bias = rows[y][:, None, None] if len(shape) == 4 and data_format == "channels_first" else rows[y]
        np.testing.assert_allclose(output, x + bias, rtol=1e-9)
    check_penalty_gradient(lambda x: layer(x, LABELS), inputs, layer.trainable_weights)
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()


def test_gradients_of_a_class_of_many_samples_are_summed_in_float32():
    layer = ConditionalBias(CLASSES, dtype="mixed_bfloat16")
    images, labels = tf.zeros((600, 4, 4, 2)), tf.ones((600, 1), tf.int32)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.cast(layer(images, labels), tf.float32))
    gradient = tf.reshape(tape.gradient(total, layer.c_bias.value), (CLASSES, 2))
    np.testing.assert_allclose(gradient, np.eye(CLASSES)[1][:, None] * [9600, 9600], rtol=4e-3)


def test_a_label_beyond_the_classes_is_refused():
    layer, inputs = prepared("cck")
    with pytest.raises(tf.errors.InvalidArgumentError):
        layer(inputs, LABELS + 1)


def test_labels_of_any_integer_type_and_of_no_other():
    layer, inputs = prepared("dck")
    expected = layer(inputs, LABELS)
    for dtype in ("uint8", "int32"):
        np.testing.assert_array_equal(layer(inputs, LABELS.astype(dtype)), expected)
    with pytest.raises(ValueError, match="must be integers, not float"):
        layer(inputs, LABELS.astype("float32"))


def test_gradients_of_class_tensors_are_dense():
    """Sparse ones are beyond some optimisers and beyond sums over replicas."""
    layer, inputs = prepared("cck", spectral=None)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(inputs, LABELS) ** 2)
    assert isinstance(tape.gradient(total, layer.c_kernel.value), tf.Tensor)


def test_in_anybodys_model_trained_saved_and_loaded(tmp_path):
    images, labels = keras.Input((6, 6, 2)), keras.Input((1,), dtype="int32")
    x = ScaledConv2D(4, 3, num_class=CLASSES, data_format="channels_last")(images, labels)
    x = ScaledConv2DTranspose(3, 4, strides=2, num_class=CLASSES, data_format="channels_last")(x, labels)
    x = keras.layers.Flatten()(ConditionalBias(CLASSES, common=True)(x, labels))
    x = ScaledDense(8, num_class=CLASSES)(ConditionalDense(9, num_class=CLASSES)(x, labels), labels)
    model = keras.Model([images, labels], LabelProjection(CLASSES)(x, labels))
    inputs = [np.random.default_rng(0).standard_normal((4, 6, 6, 2)).astype("float32"), LABELS]
    model.compile("sgd", "mse", jit_compile=False)
    before = [weight.numpy() for weight in model.trainable_weights]
    model.fit(inputs, np.ones((4, 1)), verbose=0)
    changed = [np.abs(w.numpy() - b).max() > 0 for w, b in zip(model.trainable_weights, before, strict=True)]
    assert all(changed)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(twin.predict(inputs, verbose=0), model.predict(inputs, verbose=0), rtol=1e-6)
