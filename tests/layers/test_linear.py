"""The spectral layers: what they compute, when their vectors change, and Keras's manners."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.layers import scope
from mmdgan.layers.linear import SpectralConv2D, SpectralConv2DTranspose, SpectralDense
from mmdgan.layers.spectral import exact_spectral_norm

LAYERS = [
    (lambda **kw: SpectralDense(7, **kw), (3, 5)),
    (lambda **kw: SpectralConv2D(4, 3, strides=2, data_format="channels_last", **kw), (2, 7, 7, 3)),
    (lambda **kw: SpectralConv2D(4, 3, dilation=2, data_format="channels_last", **kw), (2, 7, 7, 3)),
    (lambda **kw: SpectralConv2DTranspose(2, 4, strides=2, data_format="channels_last", **kw), (2, 3, 3, 5)),
]
IDS = ["dense", "conv", "dilated", "transposed"]


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=IDS)
def test_trained_vector_gives_a_kernel_of_norm_gain(make, shape):
    """After many training calls the effective operator's exact norm is the gain."""
    layer = make(gain=1.5)
    inputs = np.random.default_rng(0).standard_normal(shape).astype("float32")
    train = tf.function(lambda: layer(inputs, training=True))
    layer(inputs)
    for _ in range(200):
        train()
    kernel = layer.effective_kernel(training=False)
    assert exact_spectral_norm(layer.op, kernel, **layer.operator()) == pytest.approx(1.5, rel=2e-3)


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=IDS)
def test_output_is_linear_in_the_effective_kernel(make, shape):
    """Against Keras's own layers, given the effective kernel."""
    layer = make()
    inputs = np.random.default_rng(0).standard_normal(shape).astype("float32")
    outputs = layer(inputs)
    kernel, bias = layer.effective_kernel(False), np.asarray(layer.bias)
    if layer.op == "d":
        expected = inputs @ kernel.numpy() + bias
    elif layer.op == "c":
        expected = keras.ops.conv(inputs, kernel, layer.strides, "same", "channels_last", layer.dilation) + bias
    else:
        expected = keras.ops.conv_transpose(inputs, kernel, layer.strides, "same", data_format="channels_last") + bias
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    assert tuple(outputs.shape) == layer.compute_output_shape(shape)


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=IDS)
def test_the_vector_changes_in_training_only_and_the_kernel_never(make, shape):
    layer = make()
    inputs = np.ones(shape, "float32")
    layer(inputs)
    kernel, vector = np.array(layer.kernel), np.array(layer.in_rand)
    layer(inputs, training=False)
    np.testing.assert_array_equal(layer.in_rand, vector)
    with scope.frozen_state():
        layer(inputs, training=True)
    np.testing.assert_array_equal(layer.in_rand, vector)
    layer(inputs, training=True)
    assert np.abs(np.asarray(layer.in_rand) - vector).max() > 0.01
    np.testing.assert_array_equal(layer.kernel, kernel)


def test_shared_kernel_is_used_and_the_vector_left_alone():
    layer = SpectralDense(3, use_bias=False)
    layer.build((None, 2))
    vector = np.array(layer.in_rand)
    with scope.shared_kernels({id(layer): tf.ones((2, 3))}):
        np.testing.assert_array_equal(layer(np.ones((1, 2), "float32"), training=True), [[2, 2, 2]])
    np.testing.assert_array_equal(layer.in_rand, vector)
    assert scope.shared_kernel(layer) is None


def test_pim_normalises_the_reshaped_matrix():
    layer = SpectralConv2D(4, 3, spectral="pim", data_format="channels_last")
    inputs = np.ones((1, 5, 5, 3), "float32")
    for _ in range(40):
        layer(inputs, training=True)
    matrix = np.asarray(layer.effective_kernel(False)).reshape(-1, 4)
    assert np.linalg.norm(matrix, 2) == pytest.approx(1, rel=1e-3)


def test_without_spectral_norm_the_kernel_is_used_as_it_is():
    layer = SpectralConv2D(4, 3, spectral=None, gain=9.0, data_format="channels_last")
    layer.build((None, 5, 5, 3))
    assert layer.in_rand is None
    np.testing.assert_array_equal(layer.effective_kernel(True), layer.kernel)


@pytest.mark.parametrize("make", [entry[0] for entry in LAYERS], ids=IDS)
def test_config_round_trip(make):
    layer = make(gain=1.3, name="kernel")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()


def test_in_anybodys_model_saved_and_loaded(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            SpectralConv2D(4, 3, strides=2, data_format="channels_last"),
            keras.layers.Flatten(),
            SpectralDense(2),
        ]
    )
    inputs = np.random.default_rng(0).standard_normal((5, 8, 8, 3)).astype("float32")
    model.compile("sgd", "mse")
    model.fit(inputs, np.zeros((5, 2)), verbose=0)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(twin.predict(inputs, verbose=0), model.predict(inputs, verbose=0), rtol=1e-6)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_spectral_norm_stays_in_float32_under_mixed_precision(precision):
    layer = SpectralConv2D(4, 3, dtype=precision, data_format="channels_last")
    assert layer(np.ones((1, 5, 5, 3), "float32")).dtype == layer.compute_dtype
    kernel, sigma, vector = layer.normalise()
    assert kernel.dtype == sigma.dtype == vector.dtype == tf.float32


def test_unknown_mode_is_named():
    with pytest.raises(ValueError, match="'pca'"):
        SpectralDense(3, spectral="pca")


def test_pico_asks_for_the_size_of_its_images():
    images = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="PICO needs the size of its images.*spectral='pim'"):
        SpectralConv2D(4, data_format="channels_last")(images)
    assert SpectralConv2D(4, spectral="pim", data_format="channels_last")(images).shape == (None, None, None, 4)
