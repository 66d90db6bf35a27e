"""What `GanStep` refuses with a sentence: losses of one's own, Keras's objects; and learning rates in any floatx."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan.core.errors import ConfigError
from mmdgan.losses import GanLosses
from mmdgan.training import GanStep
from mmdgan.training.aids.settings import Aids
from tests.helpers.networks import SMALL

REAL = np.zeros((4, 8, 8, 3), np.uint8)


class OwnLoss:
    name, penalty, penalty_weight, uses_scale, shares_backward = "mine", None, None, False, False

    def __init__(self, returned, state=()):
        self.returned, self.state = returned, state

    def initial_state(self):
        return dict.fromkeys(self.state, 0.0)

    def __call__(self, score_gen, score_data, **others):
        return self.returned(tf.reduce_mean(score_gen, axis=1), tf.reduce_mean(score_data, axis=1))


def make(loss="rep_b", generator=None, critic=None, lr_dis=1e-3, lr_gen=1e-3, **options):
    generator = generator or mmdgan.build_generator(SMALL)
    return GanStep(generator, critic or mmdgan.build_discriminator(SMALL), loss, lr_dis, lr_gen, **options)


mean = tf.reduce_mean


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda g, x: (mean(g), -mean(g)), r"'mine' returned a tuple; return mmdgan.losses.GanLosses\(gen, dis"),
        (lambda g, x: None, "returned a NoneType"),
        (lambda g, x: mean(g), "return mmdgan.losses.GanLosses"),
        (lambda g, x: GanLosses(-g, g - x, {}, {}), r"gen of shape \(4,\).*the mean over the batch"),
        (lambda g, x: GanLosses(-mean(g), g - x, {}, {}), r"dis of shape \(4,\)"),
        (lambda g, x: GanLosses(tf.reduce_mean(g, keepdims=True), mean(x), {}, {}), r"gen of shape \(1,\)"),
        (lambda g, x: GanLosses(1, mean(x), {}, {}), "gen of shape .* type int32"),
        (lambda g, x: GanLosses(mean(g), mean(x), {}, {"more": 1.0}), r"the state \['more'\]"),
    ],
)
def test_results_of_own_losses(returned, words):
    with pytest.raises(ConfigError, match=words):
        make(OwnLoss(returned)).step(REAL)


def test_an_own_loss_trains():
    result = make(OwnLoss(lambda g, x: GanLosses(-mean(g), mean(g) - mean(x), {}, {}))).step(REAL)
    assert np.isfinite(float(result["loss_gen"]))


@pytest.mark.parametrize("loss", [lambda gen, data: None, keras.losses.BinaryCrossentropy, object()])
def test_objects_that_are_no_losses(loss):
    loss = loss() if loss is keras.losses.BinaryCrossentropy else loss
    with pytest.raises(ConfigError, match=r"has no .*: give a name of mmdgan.losses.names\(\)"):
        make(loss)


def test_own_losses_have_what_penalties_and_adaptive_augmentation_read():
    loss = OwnLoss(lambda g, x: None)
    with pytest.raises(ConfigError, match="has no penalty_kernel, canonical: give"):
        make(loss, aids=Aids(augment=("color",), ada=0.6))
    loss.penalty, loss.penalty_weight = "fixed_g_gp", 1.0
    with pytest.raises(ConfigError, match="has no penalty_kernel: give"):
        make(loss)


@pytest.mark.parametrize(
    "make_optimizer",
    [
        keras.optimizers.Adam,
        lambda: None,
        lambda: ("adam",),
        lambda: ("adam", keras.optimizers.SGD()),
        lambda: 3,
    ],
)
def test_optimisers_are_names(make_optimizer):
    with pytest.raises(ConfigError, match="one name or two"):
        make(optimizer=make_optimizer())


@pytest.mark.parametrize("rate", [keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9), "1e-3", None, np.ones(2)])
@pytest.mark.parametrize("which", ["lr_dis", "lr_gen", "end_lr"])
def test_learning_rates_are_numbers(which, rate):
    with pytest.raises(ConfigError, match="must be a number"):
        make(**{which: rate})


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0, -1e-3])
def test_learning_rates_are_positive(rate):
    with pytest.raises(ConfigError, match="must be positive"):
        make(lr_gen=rate)


@pytest.mark.parametrize("rate", [1, np.float32(0.5), np.float64(0.5), np.int64(1)])
def test_learning_rates_of_other_types(rate):
    assert float(make(lr_gen=rate).optimizer_gen.learning_rate) == float(rate)


def test_models_of_keras():
    dense = keras.layers.Dense(192, activation="tanh")
    generator = keras.Sequential([keras.Input((4,)), dense, keras.layers.Reshape((8, 8, 3))])
    critic = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])
    with pytest.raises(ConfigError, match="The generator is a Sequential"):
        make(generator=generator)
    with pytest.raises(ConfigError, match="The critic is a Sequential"):
        make(critic=critic)


@pytest.fixture(params=["float32", "bfloat16", "float16"])
def floatx(request):
    before = keras.config.floatx()
    keras.config.set_floatx(request.param)
    yield request.param
    keras.config.set_floatx(before)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd", "momentum"])
@pytest.mark.parametrize("rate", [2e-4, 1e-8, 3.3333e-5])
def test_learning_rates_do_not_depend_on_floatx(floatx, optimizer, rate):
    gan = make(lr_dis=rate, lr_gen=rate, optimizer=optimizer, end_lr=1e-9)
    for player in (gan.optimizer_dis, gan.optimizer_gen):
        assert float(player.learning_rate) == pytest.approx(rate, rel=1e-6)


def test_steps_do_not_depend_on_floatx(floatx):
    def train():
        keras.utils.set_random_seed(3)
        gan = make(optimizer=("adam", "sgd"))
        return [float(gan.step(REAL)["loss_dis"]) for _ in range(3)]

    found = train()
    keras.config.set_floatx("float32")
    np.testing.assert_allclose(found, train(), rtol=1e-6)
