"""The spectral layers: what they compute, when their vectors change, and Keras's manners."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.layers import scope
from mmdgan.layers.linear import (
    Bias,
    SpectralConv2D,
    SpectralConv2DTranspose,
    SpectralDense,
    SpectralSeparableConv2D,
)
from mmdgan.layers.spectral import exact_spectral_norm
from tests.helpers.derivatives import check_penalty_gradient


def spatial(layer, *arguments, **options):
    """Returns a function that makes the layer, channels last unless it is told otherwise."""
    return lambda data_format="channels_last", **kw: layer(*arguments, data_format=data_format, **options, **kw)


LAYERS = [
    (lambda **kw: SpectralDense(7, **kw), (3, 5)),
    (spatial(SpectralConv2D, 4, 3, strides=2), (2, 7, 7, 3)),
    (spatial(SpectralConv2D, 4, 3, dilation=2), (2, 7, 7, 3)),
    (spatial(SpectralConv2DTranspose, 2, 4, strides=2), (2, 3, 3, 5)),
    (spatial(SpectralSeparableConv2D, 4, 3, strides=2), (2, 7, 7, 3)),
]
IDS = ["dense", "conv", "dilated", "transposed", "separable"]


@tf.function
def train(layer, steps, *inputs):
    """Calls the layer so often in training mode."""
    for _ in tf.range(steps):
        layer(*inputs, training=True)


def composite(layer, kernel):
    """The kernel of the equal plain layer: of a separable convolution, the product of its two."""
    return np.asarray(kernel[0] * kernel[1]) if isinstance(layer, SpectralSeparableConv2D) else kernel.numpy()


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=IDS)
def test_trained_vector_gives_a_kernel_of_norm_gain(make, shape):
    """After many training calls the effective operator's exact norm is the gain."""
    keras.utils.set_random_seed(0)
    layer = make(gain=1.5)
    inputs = np.random.default_rng(0).standard_normal(shape).astype("float32")
    layer(inputs)
    train(layer, 200, inputs)
    kernel = composite(layer, layer.effective_kernel(training=False))
    assert exact_spectral_norm(layer.op, kernel, **layer.operator()) == pytest.approx(1.5, rel=2e-3)


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=IDS)
def test_output_is_linear_in_the_effective_kernel(make, shape):
    """Against Keras's own layers, given the effective kernel."""
    layer = make()
    inputs = np.random.default_rng(0).standard_normal(shape).astype("float32")
    outputs = layer(inputs)
    kernel, bias = composite(layer, layer.effective_kernel(False)), np.asarray(layer.bias)
    if layer.op == "d":
        expected = inputs @ kernel + bias
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
    kernels, vector = [weight.numpy() for weight in layer.trainable_weights], layer.in_rand.numpy()
    layer(inputs, training=False)
    np.testing.assert_array_equal(layer.in_rand, vector)
    with scope.frozen_state():
        layer(inputs, training=True)
    np.testing.assert_array_equal(layer.in_rand, vector)
    layer(inputs, training=True)
    assert np.abs(np.asarray(layer.in_rand) - vector).max() > 0.01
    for weight, kernel in zip(layer.trainable_weights, kernels, strict=True):
        np.testing.assert_array_equal(weight, kernel)


def test_one_replica_writes_the_vector_that_all_compute():
    layer = SpectralDense(3)
    layer.build((None, 2))
    assert layer.in_rand.aggregation == "only_first_replica"


def test_shared_kernel_is_used_and_the_vector_left_alone():
    layer = SpectralDense(3, use_bias=False)
    layer.build((None, 2))
    vector = layer.in_rand.numpy()
    with scope.shared_kernels({id(layer): tf.ones((2, 3))}):
        np.testing.assert_array_equal(layer(np.ones((1, 2), "float32"), training=True), [[2, 2, 2]])
    np.testing.assert_array_equal(layer.in_rand, vector)
    assert scope.shared_kernel(layer) is None


def test_pim_normalises_the_reshaped_matrix():
    layer = SpectralConv2D(4, 3, spectral="pim", data_format="channels_last")
    inputs = np.ones((1, 5, 5, 3), "float32")
    layer(inputs)
    train(layer, 40, inputs)
    matrix = np.asarray(layer.effective_kernel(False)).reshape(-1, 4)
    assert np.linalg.norm(matrix, 2) == pytest.approx(1, rel=1e-3)


def test_without_spectral_norm_only_the_gain_multiplies():
    plain, gained = (SpectralConv2D(4, 3, spectral=None, gain=gain, data_format="channels_last") for gain in (1, 9))
    for layer in (plain, gained):
        layer.build((None, 5, 5, 3))
        assert layer.in_rand is None
    np.testing.assert_array_equal(plain.effective_kernel(True), plain.kernel)
    np.testing.assert_allclose(gained.effective_kernel(True), 9 * gained.kernel.numpy(), rtol=1e-6)


def test_separable_convolution_spectral_norm_is_the_composites():
    """The norm as its vector sees it is that of a plain convolution with the product of both kernels."""
    layer = SpectralSeparableConv2D(4, 3, strides=2, dilation=1, data_format="channels_last")
    layer.build((None, 7, 7, 3))
    assert [tuple(w.shape) for w in layer.weights[:2]] == [(3, 3, 3, 1), (1, 1, 3, 4)]
    plain = SpectralConv2D(4, 3, strides=2, data_format="channels_last")
    plain.build((None, 7, 7, 3))
    plain.kernel.assign(layer.depthwise_kernel.numpy() * layer.pointwise_kernel.numpy())
    plain.in_rand.assign(layer.in_rand)
    (_, sigma, vector), (_, expected, expected_vector) = layer.normalise(), plain.normalise()
    np.testing.assert_allclose(sigma, expected, rtol=1e-6)
    np.testing.assert_allclose(vector, expected_vector, atol=1e-6)


@pytest.mark.parametrize("dilation", [1, 2])
def test_separable_convolution_is_keras_own(dilation):
    layer = SpectralSeparableConv2D(5, 3, dilation=dilation, spectral=None, use_bias=False, data_format="channels_last")
    twin = keras.layers.SeparableConv2D(
        5, 3, padding="same", dilation_rate=dilation, data_format="channels_last", use_bias=False
    )
    inputs = np.random.default_rng(0).standard_normal((2, 7, 6, 3)).astype("float32")
    outputs = layer(inputs)
    twin(inputs)
    twin.set_weights([layer.depthwise_kernel, layer.pointwise_kernel])
    np.testing.assert_allclose(outputs, twin(inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(("make", "shape"), LAYERS[1:], ids=IDS[1:])
def test_channels_first_is_channels_last_transposed(make, shape, dtype):
    """With the same weights, vectors included: they do not depend on the format."""
    last, first = make("channels_last", dtype=dtype), make("channels_first", dtype=dtype)
    inputs = np.random.default_rng(0).standard_normal(shape).astype("float32")
    expected = last(inputs)
    first.build((shape[0], shape[3], *shape[1:3]))
    first.set_weights(last.get_weights())
    outputs = first(inputs.transpose(0, 3, 1, 2), training=True)
    assert outputs.dtype == expected.dtype == last.compute_dtype
    assert tuple(outputs.shape) == first.compute_output_shape((shape[0], shape[3], *shape[1:3]))
    tolerance = 1e-5 if "16" not in dtype else 3e-2
    outputs, expected = (np.asarray(tf.cast(x, tf.float32)) for x in (outputs, expected))
    np.testing.assert_allclose(outputs.transpose(0, 2, 3, 1), expected, rtol=tolerance, atol=tolerance)
    last(inputs, training=True)
    np.testing.assert_allclose(first.in_rand, last.in_rand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spectral", ["pico", "pim", None])
@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=IDS)
def test_second_derivatives(make, shape, spectral):
    """Also through the spectral norm, whose vector is a constant."""
    layer = make(spectral=spectral, dtype="float64", gain=1.5)
    inputs = np.random.default_rng(0).standard_normal(shape)
    layer(inputs)
    check_penalty_gradient(layer, inputs, layer.trainable_weights)


@pytest.mark.parametrize(("make", "shape"), LAYERS[1:], ids=IDS[1:])
def test_second_derivatives_in_channels_first(make, shape):
    layer = make("channels_first", dtype="float64")
    inputs = np.random.default_rng(0).standard_normal(shape).transpose(0, 3, 1, 2)
    layer(inputs)
    check_penalty_gradient(layer, inputs, layer.trainable_weights)


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=IDS)
def test_gradient_through_the_norm_is_the_values_unless_next_is_asked_for(make, shape):
    layer = make()
    layer(np.ones(shape, "float32"))
    layer.in_rand.assign(tf.math.l2_normalize(layer.in_rand))
    gradients = {}
    for gradient_at in ("vector", "next"):
        with tf.GradientTape() as tape:
            sigma = layer.normalise(gradient_at)[1]
        gradients[gradient_at] = tape.gradient(sigma, layer.trainable_weights[0].value).numpy()
    with tf.GradientTape() as tape:
        sigma = layer.normalise()[1]
    default = tape.gradient(sigma, layer.trainable_weights[0].value)
    np.testing.assert_array_equal(default, gradients["vector"])
    assert np.abs(gradients["next"] - gradients["vector"]).max() > 1e-3


def test_dilated_transposed_convolution_is_the_dilated_convolutions_adjoint():
    """<tc(x), y> = <x, c(y)> with one kernel."""
    transposed = SpectralConv2DTranspose(3, 3, dilation=2, padding="valid", spectral=None, use_bias=False)
    plain = SpectralConv2D(2, 3, dilation=2, padding="valid", spectral=None, use_bias=False)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1, 4, 5, 2)).astype("float32"), rng.standard_normal((1, 8, 9, 3)).astype("float32")
    outputs = transposed(x)
    plain.build(y.shape)
    plain.kernel.assign(transposed.kernel)
    assert tuple(outputs.shape) == y.shape
    assert np.sum(outputs * y) == pytest.approx(np.sum(x * plain(y)), rel=1e-4)


@pytest.mark.parametrize(
    ("shape", "data_format"), [((2, 4, 5, 3), "channels_last"), ((2, 3, 4, 5), "channels_first"), ((4, 3), None)]
)
def test_bias_per_channel(shape, data_format):
    layer = Bias(data_format or "channels_first", dtype="float64")
    inputs = np.random.default_rng(0).standard_normal(shape)
    layer(inputs)
    assert np.abs(layer.bias).max() <= 2.0001e-5
    layer.bias.assign([1.0, 2.0, 3.0])
    broadcast = [1.0, 2.0, 3.0] if data_format != "channels_first" else np.reshape([1.0, 2.0, 3.0], (3, 1, 1))
    np.testing.assert_allclose(layer(inputs), inputs + broadcast, rtol=1e-12)
    check_penalty_gradient(layer, inputs, layer.trainable_weights)
    assert keras.layers.deserialize(keras.layers.serialize(layer)).data_format == layer.data_format


@pytest.mark.parametrize("make", [entry[0] for entry in LAYERS], ids=IDS)
def test_config_round_trip(make):
    layer = make(gain=1.3, name="kernel", use_bias=False, spectral="pim")
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
    for layer in (SpectralConv2D, SpectralConv2DTranspose, SpectralSeparableConv2D):
        model = keras.Model(images, layer(4, strides=2, spectral="pim", data_format="channels_last")(images))
        assert model.output_shape == (None, None, None, 4)
        sides = (12, 8) if layer is SpectralConv2DTranspose else (3, 2)
        assert model(np.ones((1, 6, 4, 3), "float32")).shape == (1, *sides, 4)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_biass_gradient_is_summed_in_single_precision(policy, data_format):
    layer = Bias(data_format, dtype=policy)
    x = tf.zeros((16, 32, 32, 2) if data_format == "channels_last" else (16, 2, 32, 32))
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(x), tf.float32))
    gradient = tape.gradient(loss, layer.bias.value)
    assert gradient.dtype == tf.float32
    np.testing.assert_array_equal(gradient, [16384.0, 16384.0])  # in bfloat16 the sum would stop at 256


@pytest.mark.parametrize("kind", [SpectralConv2D, SpectralConv2DTranspose, SpectralSeparableConv2D])
@pytest.mark.parametrize("shape", [(1, 16, 16, 3), (1, 8, 4, 3), (1, 4, 8, 3)])
def test_pico_holds_for_one_size_of_images(kind, shape):
    layer = kind(4, 3)
    layer(np.zeros((2, 8, 8, 3), np.float32))
    with pytest.raises(ValueError, match=r"built for images of 8x8 pixels.*spectral='pim'"):
        layer(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="a layer for each size"):
        layer(keras.Input(shape[1:]))
    with pytest.raises(ValueError, match="a layer for each size"):
        layer(keras.Input((None, None, 3)))
    assert layer(np.zeros((5, 8, 8, 3), np.float32)).shape[0] == 5


@pytest.mark.parametrize("spectral", ["pim", None])
def test_other_norms_know_no_sizes(spectral):
    layer = SpectralConv2D(4, 3, spectral=spectral)
    for side in (8, 16):
        assert layer(np.zeros((1, side, side, 3), np.float32)).shape == (1, side, side, 4)


@pytest.mark.parametrize("units", [0, -3, 4.0, "4", None, True, float("nan")])
def test_numbers_of_features(units):
    for make in (SpectralDense, SpectralConv2D, SpectralConv2DTranspose):
        with pytest.raises(ConfigError, match=r"takes a positive integer as (units|filters)"):
            make(units)
    assert SpectralDense(np.int64(3))(np.zeros((2, 5), np.float32)).shape == (2, 3)


@pytest.mark.parametrize("gain", [float("nan"), float("inf"), -float("inf")])
def test_gains_are_finite(gain):
    with pytest.raises(ConfigError, match="finite number as gain"):
        SpectralDense(3, gain=gain)


@pytest.mark.parametrize(("options", "side"), [({"kernel_size": 7}, 4), ({"kernel_size": 3, "dilation": 3}, 6)])
def test_a_kernel_larger_than_the_image(options, side):
    image = np.zeros((1, side, side, 3), np.float32)
    with pytest.raises(ConfigError, match=r"padding 'valid'.*kernel_size"):
        SpectralConv2D(4, padding="valid", **options)(image)
    assert SpectralConv2D(4, padding="same", **options)(image).shape == (1, side, side, 4)
