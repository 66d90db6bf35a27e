"""From dictionaries to models: shapes, parameter counts, names, layouts, precision, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan import tf1
from mmdgan.core.errors import ConfigError, DesignError
from mmdgan.networks.blocks import ACTIVATIONS, activate, reshape_features
from tests.helpers.networks import SMALL


def networks(**options):
    keras.utils.set_random_seed(0)
    return mmdgan.build_generator(SMALL, **options), mmdgan.build_discriminator(SMALL, **options)


def test_cifar_parameter_counts_are_the_papers():
    architecture = mmdgan.load_architecture("cifar10/DCGAN")
    generator = mmdgan.build_generator(architecture)
    critic = mmdgan.build_discriminator(architecture)
    assert sum(int(np.prod(v.shape)) for v in generator.trainable_variables) == 3_811_907
    assert sum(int(np.prod(v.shape)) for v in critic.trainable_variables) == 5_983_760
    vectors = {name: tuple(layer.in_rand.shape) for name, layer in critic.spectral_layers().items()}
    assert vectors == {
        "dis/l1_f32/kernel": (1, 32, 32, 3),
        "dis/l2_ds/kernel": (1, 16, 16, 128),
        "dis/l3/kernel": (1, 16, 16, 128),
        "dis/l4_ds/kernel": (1, 8, 8, 256),
        "dis/l5/kernel": (1, 8, 8, 256),
        "dis/l6_ds/kernel": (1, 4, 4, 512),
        "dis/l7/kernel": (1, 4, 4, 512),
        "dis/l8_s/kernel": (1, 16),
    }


def test_names_are_the_originals():
    generator, critic = networks()
    names = {tf1.original_name(v) for net in (generator, critic) for v in net.variables}
    assert {
        "gen/l1/kernel/kernel",
        "gen/l1/BN/BN/gamma",
        "gen/l1/BN/BN/moving_variance",
        "gen/l4/bias/bias",
        "dis/l2/kernel/SN/in_rand",
        "dis/l3/kernel/kernel",
    } <= names
    assert "gen/l1/bias/bias" not in names
    assert len(names) == len(generator.variables) + len(critic.variables)


def test_shapes_and_counts_follow_the_design():
    for network, shape in zip(networks(), [(4, 5), (4, 8, 8, 3)], strict=True):
        inputs = np.zeros(shape, "float32")
        for training in (False, True):
            outputs = network(inputs, training=training)
            assert tuple(outputs.shape) == network.compute_output_shape(shape)
        assert sum(int(np.prod(v.shape)) for v in network.trainable_variables) == network.spec.parameters


def test_layouts_give_the_same_numbers_from_the_same_weights():
    last, first = networks(data_format="channels_last"), networks(data_format="channels_first")
    codes = np.random.default_rng(0).standard_normal((3, 5)).astype("float32")
    for a, b in zip(last, first, strict=True):
        b.set_weights(a.get_weights())
    images, turned = last[0](codes, training=True), first[0](codes, training=True)
    np.testing.assert_allclose(np.transpose(turned, (0, 2, 3, 1)), images, atol=1e-5)
    np.testing.assert_allclose(first[1](turned), last[1](images), atol=1e-5)


@pytest.mark.parametrize(("precision", "compute"), [("bf16", "bfloat16"), ("fp16", "float16"), ("float64", "float64")])
def test_precision(precision, compute):
    reference, low = networks(), networks(precision=precision)
    codes = np.random.default_rng(0).standard_normal((3, 5))
    for a, b in zip(reference, low, strict=True):
        b.set_weights(a.get_weights())
        assert b.blocks[0].sublayers["kernel"].compute_dtype == compute
        assert {v.dtype for v in b.variables} == {"float64" if precision == "float64" else "float32"}
    images = low[0](codes)
    assert images.dtype == (tf.float64 if precision == "float64" else tf.float32)
    np.testing.assert_allclose(images, reference[0](codes), atol=3e-2)


@pytest.mark.parametrize(
    ("option", "word", "meaning"),
    [
        ("data_format", "NCHW", "channels_first"),
        ("data_format", "NHWC", "channels_last"),
        ("spectral", "PICO", "pico"),
        ("spectral", "default", "pico"),
        ("spectral", "PIM", "pim"),
        ("spectral", "sn_paper", "pim"),
    ],
)
def test_the_originals_words_are_taken(option, word, meaning):
    critic = networks(**{option: word})[1]
    assert critic.get_config() == networks(**{option: meaning})[1].get_config()
    assert getattr(critic, option) == meaning


def test_saved_and_loaded(tmp_path):
    generator, critic = networks(spectral="pim", data_format="channels_last")
    images = generator(np.ones((2, 5), "float32"), training=True)
    for name, network, inputs in (("g", generator, np.ones((2, 5), "float32")), ("d", critic, images)):
        network.save(tmp_path / f"{name}.keras")
        twin = keras.saving.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(twin(inputs), network(inputs), rtol=1e-6)
        assert twin.get_config() == network.get_config()
        assert [v.path for v in twin.variables] == [v.path for v in network.variables]


def test_reshape_is_channels_first_in_both_layouts():
    flat = tf.reshape(tf.range(24.0), (1, 24))
    expected = flat.numpy().reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(reshape_features(flat, (2, 3, 4), "channels_first"), expected)
    last = reshape_features(flat, (2, 3, 4), "channels_last")
    np.testing.assert_array_equal(last, expected.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(reshape_features(last, (24,), "channels_last"), flat)


def test_activations_against_numpy():
    x = np.linspace(-3, 3, 13).astype("float64")
    expected = {
        "linear": x,
        "relu": np.maximum(x, 0),
        "lrelu": np.where(x > 0, x, 0.1 * x),
        "elu": np.where(x > 0, x, np.expm1(x)),
        "selu": 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
        "softplus": np.log1p(np.exp(x)),
        "softsign": x / (1 + np.abs(x)),
        "sigmoid": 1 / (1 + np.exp(-x)),
        "tanh": np.tanh(x),
    }
    assert set(ACTIVATIONS) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(activate(tf.constant(x), name), value, atol=1e-12)
    doubled = np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)])
    np.testing.assert_allclose(activate(tf.constant(x), "crelu", 0), doubled)


def test_called_outside_a_trainer_in_training_mode_updates_each_vector_once():
    critic = networks()[1]
    layers = critic.spectral_layers().values()
    expected = [layer.normalise()[2].numpy() for layer in layers]
    critic(np.ones((2, 8, 8, 3), "float32"), training=True)
    for layer, vector in zip(layers, expected, strict=True):
        np.testing.assert_allclose(layer.in_rand, vector, rtol=1e-5, atol=1e-6)


def test_wrong_dictionaries_and_options_are_named():
    with pytest.raises(DesignError, match="kernal"):
        mmdgan.build_network([{"name": "l1", "out": 3, "kernal": 3}], (3, 8, 8))
    for option in ("precision", "spectral", "initializer", "data_format"):
        with pytest.raises(ConfigError, match=option):
            mmdgan.build_generator(SMALL, **{option: "nonsense"})
