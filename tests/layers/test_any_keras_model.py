"""The spectral layers in models that know nothing of mmdgan: Keras's arguments, `fit` in all its modes, strategies."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.layers import (
    ScaledConv2D,
    ScaledDense,
    SpectralConv2D,
    SpectralConv2DTranspose,
    SpectralDense,
    SpectralSeparableConv2D,
)
from mmdgan.report.spectra import exact_norm
from mmdgan.training.distribution import make_strategy

LAST = {"data_format": "channels_last"}


@pytest.fixture(scope="module")
def images():
    """(x, y): 16 images of noise (8, 8, 3) and labels of 3 classes."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((16, 8, 8, 3)).astype("float32"), rng.integers(0, 3, 16)


def classifier(spectral="pico", activation="relu", **options):
    """A compiled model of every layer, always with the same weights; options are those of `compile`."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            SpectralConv2D(6, 3, 2, activation=activation, spectral=spectral, **LAST),
            SpectralConv2DTranspose(4, 4, 2, activation=activation, spectral=spectral, **LAST),
            SpectralSeparableConv2D(4, 3, 2, spectral=spectral, **LAST),
            keras.layers.Flatten(),
            SpectralDense(3, spectral=spectral),
        ]
    )
    return compiled(model, **options)


def compiled(model, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    options = {"optimizer": keras.optimizers.SGD(0.1), "loss": loss, "metrics": ["accuracy"], **options}
    model.compile(**options)
    return model


def fitted(model, data, **options):
    """The model after four steps."""
    model.fit(*data, **{"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0, **options})
    return model


def spectral_layers(model):
    return [layer for layer in model.layers if getattr(layer, "spectral", None)]


def vectors(model):
    return np.concatenate([np.ravel(layer.in_rand) for layer in spectral_layers(model)])


def assert_same(model, other, tolerance):
    for value, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def reference(images):
    """The classifier after four steps, fitted in the ordinary way."""
    return fitted(classifier(), images)


@pytest.mark.parametrize(
    ("cls", "arguments", "shape", "output_shape"),
    [
        (SpectralDense, {"units": 4, "activation": "relu"}, (3, 5), (3, 4)),
        (SpectralDense, {"units": 4, "spectral": "pim", "kernel_regularizer": "l2"}, (3, 2, 5), (3, 2, 4)),
        (SpectralConv2D, {"filters": 4, "strides": (2, 2), "activation": "tanh"}, (2, 6, 5, 3), (2, 3, 3, 4)),
        (
            SpectralConv2D,
            {"filters": 4, "kernel_size": [3, 3], "padding": "valid", "dilation_rate": 2, "spectral": "pim"},
            (2, 6, 7, 3),
            (2, 2, 3, 4),
        ),
        (SpectralConv2DTranspose, {"filters": 4, "kernel_size": 4, "strides": 2}, (2, 3, 4, 3), (2, 6, 8, 4)),
        (SpectralSeparableConv2D, {"filters": 4, "bias_regularizer": "l1"}, (2, 6, 5, 3), (2, 6, 5, 4)),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_keras_own_routine_for_layers(cls, arguments, shape, output_shape):
    """Shapes, dtypes, configurations, a training step, mixed precision, masks: what Keras asks of its own layers."""
    testing = pytest.importorskip("keras.src.testing")

    class Case(testing.TestCase):
        def runTest(self):
            self.run_layer_test(
                cls,
                init_kwargs=arguments if cls is SpectralDense else {**LAST, **arguments},
                input_shape=shape,
                expected_output_shape=output_shape,
                expected_num_trainable_weights=3 if cls is SpectralSeparableConv2D else 2,
                expected_num_non_trainable_weights=1,
                expected_num_seed_generators=0,
                expected_num_losses=sum(key.endswith("regularizer") for key in arguments),
                supports_masking=cls is SpectralDense,
            )

    outcome = Case().run()
    assert outcome.testsRun == 1 and outcome.wasSuccessful(), outcome.errors + outcome.failures


TWINS = [
    (SpectralDense, keras.layers.Dense, (4, "relu"), {}, (2, 3, 5)),
    (SpectralConv2D, keras.layers.Conv2D, (4, 3, 2, "valid"), {"activation": "elu"}, (2, 7, 6, 3)),
    (SpectralConv2D, keras.layers.Conv2D, (4, (2, 2), (1, 1), "same"), {"dilation_rate": (3, 3)}, (2, 7, 6, 3)),
    (SpectralConv2D, keras.layers.Conv2D, (4, 3, 3, "SAME"), {"use_bias": False}, (2, 7, 6, 3)),
    (SpectralConv2DTranspose, keras.layers.Conv2DTranspose, (4, 4, 2, "same"), {"activation": "tanh"}, (2, 3, 4, 2)),
    (SpectralConv2DTranspose, keras.layers.Conv2DTranspose, (4, 3, 3, "same"), {}, (2, 3, 4, 2)),
    (SpectralSeparableConv2D, keras.layers.SeparableConv2D, (4, 3, 2, "valid"), {"activation": "relu"}, (2, 7, 6, 3)),
]


@pytest.mark.parametrize(("cls", "plain", "words", "options", "shape"), TWINS)
def test_arguments_mean_what_they_mean_to_keras(cls, plain, words, options, shape):
    """Without a spectral norm, with the same weights; the order of arguments is Keras's too."""
    layout = LAST if len(shape) == 4 else {}
    layer, twin = cls(*words, spectral=None, **options, **layout), plain(*words, **options, **layout)
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    layer(x), twin(x)
    if layer.use_bias:
        layer.bias.assign(np.linspace(-1, 1, 4))
    twin.set_weights(layer.get_weights())
    outputs = layer(x)
    np.testing.assert_allclose(outputs, twin(x), rtol=1e-5, atol=1e-5)
    assert tuple(outputs.shape) == tuple(twin.compute_output_shape(shape)) == layer.compute_output_shape(shape)


@pytest.mark.parametrize(("size", "strides"), [(1, 2), (2, 3), (3, 1), (4, 2)])
def test_valid_transposed_convolutions_are_keras_with_all_output_padding(size, strides):
    layer = SpectralConv2DTranspose(2, size, strides, "valid", spectral=None, **LAST)
    twin = keras.layers.Conv2DTranspose(2, size, strides, "valid", output_padding=strides - 1, **LAST)
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 3)).astype("float32")
    layer(x), twin(x)
    twin.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(x), twin(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": (3, 5)}, r"one positive number for height and width as kernel_size, not \(3, 5\)"),
        ({"strides": (1, 2)}, "strides"),
        ({"dilation_rate": 0}, "dilation, not 0"),
        ({"kernel_size": 2.5}, "a positive integer or a pair of them as kernel_size, not 2.5"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size"),
        ({"padding": "causal"}, "the_name.*'SAME' or 'VALID' as padding, not 'CAUSAL'"),
        ({"data_format": "NCHW"}, "'channels_last' or 'channels_first' as data_format, not 'NCHW'"),
    ],
)
def test_what_is_not_supported_is_named(arguments, message):
    for cls in (SpectralConv2D, SpectralConv2DTranspose, SpectralSeparableConv2D):
        with pytest.raises(ConfigError, match=message):
            cls(4, name="the_name", **arguments)


def test_unknown_arguments_and_inputs_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="groups"):
        SpectralConv2D(4, 3, groups=2)
    with pytest.raises(ValueError, match="expected ndim=4, found ndim=2"):
        SpectralConv2D(4, 3, **LAST)(np.ones((2, 3)))
    with pytest.raises(ValueError, match="expected min_ndim=2"):
        SpectralDense(4)(np.ones(3))
    with pytest.raises(ValueError, match="expected ndim=2"):
        ScaledDense(4, num_class=2)(np.ones((2, 3, 4)), np.zeros((2, 1), int))
    layer = SpectralConv2D(4, 3, data_format="channels_first")
    layer.build((None, 3, 8, 8))
    with pytest.raises(ValueError, match="expected axis 1 of input shape to have value 3"):
        layer(np.ones((2, 4, 8, 8)))


def test_regularisers_and_constraints_see_the_stored_kernel():
    layer = SpectralDense(
        3,
        kernel_regularizer=keras.regularizers.L2(0.5),
        bias_regularizer=keras.regularizers.L1(2.0),
        kernel_constraint=keras.constraints.MaxNorm(0.1),
        bias_constraint="non_neg",
        bias_initializer=keras.initializers.Constant([1.0, 2.0, -3.0]),
    )
    model = keras.Sequential([keras.Input((4,)), layer])
    kernel = layer.kernel.numpy()
    assert sorted(map(float, model.losses)) == pytest.approx(sorted([0.5 * np.sum(kernel**2), 12.0]), rel=1e-5)
    model.compile("sgd", "mse")
    model.fit(np.ones((2, 4)), np.zeros((2, 3)), verbose=0)
    assert np.linalg.norm(layer.kernel.numpy(), axis=0).max() <= 0.1001
    assert layer.bias.numpy().min() >= 0
    twin = SpectralDense.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config() and float(twin.kernel_regularizer.l2) == 0.5


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_pim_is_keras_spectral_normalisation_when_both_have_converged(kind):
    """Keras iterates with the kernel as a matrix too; its own layer overwrites the kernel."""
    if kind == "dense":
        layer, plain, shape = SpectralDense(4, spectral="pim"), keras.layers.Dense(4), (3, 6)
    else:
        layer = SpectralConv2D(4, 3, spectral="pim", **LAST)
        plain, shape = keras.layers.Conv2D(4, 3, padding="same", **LAST), (3, 5, 5, 2)
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    layer(x)
    for _ in range(200):
        layer(x, training=True)
    wrapped = keras.layers.SpectralNormalization(plain, power_iterations=200)
    wrapped.build(shape)
    plain.set_weights([layer.kernel, layer.bias])
    np.testing.assert_allclose(layer(x), wrapped(x, training=True), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spectral", ["pico", "pim"])
def test_after_training_the_norm_is_the_gain(images, spectral):
    """The exact norm of what each layer applies; PIM's is that of the kernel as a matrix."""
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([40], [0.1, 0.0])
    model = classifier(spectral, optimizer=keras.optimizers.SGD(schedule), steps_per_execution=100)
    begun = [layer.get_weights() for layer in spectral_layers(model)]
    model.fit(tf.data.Dataset.from_tensors(images).repeat(), epochs=1, steps_per_epoch=400, verbose=0)
    for layer, before in zip(spectral_layers(model), begun, strict=True):
        assert np.abs(layer.get_weights()[0] - before[0]).max() > 1e-4
        if spectral == "pico":
            assert float(layer.normalise()[1]) == pytest.approx(exact_norm(layer), rel=1e-3)
        else:
            op, kernel, _ = layer._norm_problem(layer._kernels())
            assert op == "d" and float(layer.normalise()[1]) == pytest.approx(np.linalg.norm(kernel, 2), rel=1e-3)


class Subclassed(keras.Model):
    """As people write them: `call` takes `training`, or Keras 3 calls every layer in it as in inference."""

    def __init__(self):
        super().__init__()
        self.conv = SpectralConv2D(4, 3, 2, activation="relu", **LAST)
        self.out = SpectralDense(3)

    def call(self, x, training=False):
        return self.out(keras.ops.reshape(self.conv(x), (-1, 64)))


def functional():
    inputs = keras.Input((8, 8, 3))
    x = SpectralConv2D(4, 3, 2, activation="relu", **LAST)(inputs)
    return keras.Model(inputs, SpectralDense(3)(keras.layers.Flatten()(x)))


@pytest.mark.parametrize("make", [functional, Subclassed])
def test_fit_moves_the_vectors_and_evaluate_and_predict_do_not(images, make):
    keras.utils.set_random_seed(0)
    model = compiled(make())
    losses = model.fit(*images, batch_size=8, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 1e-3
    before = vectors(model)
    evaluated = model.evaluate(*images, verbose=0)
    predicted = model.predict(images[0], verbose=0)
    np.testing.assert_array_equal(vectors(model), before)
    assert np.mean(predicted.argmax(1) == images[1]) == pytest.approx(evaluated[1])
    fitted(model, images, epochs=1)
    assert np.abs(vectors(model) - before).max() > 1e-5


@pytest.mark.parametrize(
    "options",
    [
        {"run_eagerly": True},
        {"steps_per_execution": 2},
        {"jit_compile": False},
        pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_mode_of_fit_is_the_same_training(images, reference, options):
    """XLA too, also on a CPU, where Keras's "auto" leaves it out. The seed makes the same weights each time."""
    assert reference.jit_compile is bool(tf.config.list_physical_devices("GPU"))
    assert_same(fitted(classifier(**options), images), reference, 1e-5)


@pytest.mark.slow
def test_replicas_train_as_one_and_keep_one_vector(images, reference):
    """One update per step on both: four power iterations, neither one nor eight, nor the sum of two."""
    # Not another one of these devices: two in one process mix up their collectives.
    strategy = make_strategy("mirrored", devices=2)
    with strategy.scope():
        model = classifier()
    fitted(model, images)
    for layer in spectral_layers(model):
        first, second = strategy.experimental_local_results(layer.in_rand.value)
        np.testing.assert_array_equal(first, second)
        assert first.device != second.device
    assert_same(model, reference, 1e-5)


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_bfloat16", 2e-2), ("mixed_float16", 2e-3)])
def test_mixed_precision_keeps_weights_and_vectors_in_float32(images, reference, policy, tolerance):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = classifier(run_eagerly=True)
    finally:
        keras.config.set_dtype_policy(before)
    fitted(model, images)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) is (policy == "mixed_float16")
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.layers[0](images[0]).dtype == policy.removeprefix("mixed_")
    assert_same(model, reference, tolerance)


def test_cloned_models_have_the_same_configuration_and_can_take_the_weights(images, reference):
    clone = keras.models.clone_model(reference)
    for layer, twin in zip(reference.layers, clone.layers, strict=True):
        assert twin is not layer and twin.get_config() == layer.get_config()
    clone.set_weights(reference.get_weights())
    np.testing.assert_array_equal(clone.predict(images[0], verbose=0), reference.predict(images[0], verbose=0))


def test_a_model_that_was_saved_goes_on_as_if_it_had_not_been(images, tmp_path):
    """With its optimiser's state; weights alone restore the vectors."""
    model = fitted(classifier(optimizer="adam", run_eagerly=True), images)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    other = classifier()
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(other, model, 0)
    twin = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(fitted(twin, images), fitted(model, images), 1e-6)
    assert np.abs(vectors(model) - vectors(other)).max() > 1e-4


def test_a_layer_called_twice_iterates_twice():
    inputs, layer = keras.Input((5,)), SpectralDense(5)
    model = keras.Model(inputs, layer(layer(inputs)))
    twin = SpectralDense(5)
    twin.build((None, 5))
    twin.set_weights(layer.get_weights())
    x = np.ones((2, 5), "float32")
    model(x, training=True)
    twin(x, training=True)
    assert np.abs(layer.in_rand.numpy() - twin.in_rand.numpy()).max() > 1e-3
    twin(x, training=True)
    np.testing.assert_array_equal(layer.in_rand, twin.in_rand)


def test_accumulated_gradients_leave_one_iteration_for_each_batch(images):
    model = classifier(optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), run_eagerly=True)
    kernel, vector = model.layers[0].kernel.numpy(), vectors(model)
    half = tuple(array[:8] for array in images)
    fitted(model, half, epochs=1)
    np.testing.assert_array_equal(model.layers[0].kernel, kernel)
    assert np.abs(vectors(model) - vector).max() > 1e-2
    fitted(model, half, epochs=1)
    assert np.abs(model.layers[0].kernel - kernel).max() > 1e-4


def test_layers_with_labels_in_a_functional_model(images):
    x, labels = keras.Input((8, 8, 3)), keras.Input((1,), dtype="int32")
    hidden = ScaledConv2D(4, 3, 2, num_class=3, activation="relu", **LAST)(x, labels)
    model = compiled(
        keras.Model([x, labels], ScaledDense(3, num_class=3)(keras.layers.Flatten()(hidden), labels)), run_eagerly=True
    )
    inputs = [images[0], images[1][:, None]]
    losses = model.fit(inputs, images[1], epochs=10, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.01
    twin = keras.Model.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    np.testing.assert_allclose(twin.predict(inputs, verbose=0), model.predict(inputs, verbose=0), rtol=1e-6)
    assert hidden.shape == (None, 4, 4, 4) and model.layers[2].activation is keras.activations.relu
