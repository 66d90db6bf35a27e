"""The training aids within the step: what each changes of an update, what stays, and what a run keeps of them."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan import design
from mmdgan.core import random
from mmdgan.core.errors import ConfigError
from mmdgan.layers import scope
from mmdgan.runs.experiment import Experiment
from mmdgan.training import step as step_module
from mmdgan.training.aids.augment import augment, draw_numbers
from mmdgan.training.aids.settings import KINDS, Aids
from mmdgan.training.distribution import make_strategy
from mmdgan.training.optimizers import scheduled_optimizer
from tests.helpers.replicas import assert_same, images, moves, small_gan, values

BATCH = 8
CODES = np.random.default_rng(7).standard_normal((BATCH, 5)).astype("float32")
ALL = Aids(
    ema=0.9,
    augment=KINDS,
    ada=0.6,
    ada_images=100,
    instance_noise=(0.2, 10),
    critic_steps=2,
    r1=0.5,
    clip_norm=1.0,
    lr_schedule="cosine",
    lr_steps=4,
)


@pytest.fixture
def eagerly():
    """Steps run operation by operation: nothing is compiled for one step."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def seeds(gan, whose, what):
    seed = gan._seed(step_module.VIEW)
    return random.stream(random.stream(seed, whose), what)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_critic_sees_changed_images_with_noise_real_and_generated_by_numbers_of_their_own(data_format, eagerly):
    gan = small_gan("rep", aids=Aids(augment=KINDS, instance_noise=(0.3, 8)))
    gan.iterations.assign(2)
    gan._critic_input._data_format = data_format
    x = tf.cast(images(BATCH), tf.float32) / 127.5 - 1
    seen = []
    for whose in (0, 1):
        expected = augment(x, KINDS, draw_numbers(BATCH, KINDS, seeds(gan, whose, 0)))
        noise = 0.3 * (1 - 2 / 8) * random.normal(x.shape, seeds(gan, whose, 1))
        given = x if data_format == "channels_last" else tf.transpose(x, (0, 3, 1, 2))
        found = gan._seen(given, gan._view(BATCH, whose))
        found = found if data_format == "channels_last" else tf.transpose(found, (0, 2, 3, 1))
        np.testing.assert_allclose(found, expected + noise, atol=1e-6)
        seen.append(found.numpy())
    assert np.abs(seen[0] - seen[1]).max(axis=(1, 2, 3)).min() > 0.1
    gan.iterations.assign(8)
    again = gan._seen(given, gan._view(BATCH, 0)).numpy()
    plain = augment(given, KINDS, draw_numbers(BATCH, KINDS, seeds(gan, 0, 0)), data_format)
    np.testing.assert_array_equal(again, plain)  # the noise is gone, and another step's numbers are others
    assert np.abs(again.ravel() - seen[0].ravel()).max() > 0.1


@pytest.mark.parametrize("loss", ["fixed_g", "rep"])
def test_both_gradients_pass_through_the_changes(loss, eagerly):
    """Taken by hand of the scores of changed images; for fixed_g by one backward pass through the critic."""
    aids = Aids(augment=KINDS, instance_noise=(0.1, 5), r1=0.7)
    gan = small_gan(loss, precision="float64", aids=aids)
    x = tf.cast(images(BATCH), tf.float64) / 127.5 - 1
    found = gan._gradients(gan._forward(images(BATCH), CODES, None, None))
    changes = [
        lambda z, whose=whose: (
            augment(z, KINDS, draw_numbers(BATCH, KINDS, seeds(gan, whose, 0)))
            + 0.1 * random.normal(z.shape, seeds(gan, whose, 1), tf.float64)
        )
        for whose in (0, 1)
    ]
    players = gan.discriminator, gan.generator
    with tf.GradientTape(persistent=True) as tape, scope.deferred_updates():
        layers = gan.discriminator.spectral_layers().values()
        kernels = {id(layer): layer.normalise(gradient_at="next")[0] for layer in layers}
        with scope.shared_kernels(kernels):
            real = changes[0](x)
            score_gen = gan.discriminator(changes[1](gan.generator(CODES, training=True)), training=True)
            score_data = gan.discriminator(real, training=True)
            with tf.GradientTape() as inner:
                inner.watch(real)
                scores = gan.discriminator(real, training=False)
            jacobian = inner.batch_jacobian(scores, real)
            r1 = 0.35 * tf.reduce_mean(tf.reduce_sum(jacobian**2, axis=(1, 2, 3, 4)))
        computed = gan.loss(score_gen, score_data)
        losses = computed.dis + r1, computed.gen
    assert gan.loss.shares_backward == (loss == "fixed_g")
    for player, own, gradients in zip(players, losses, found, strict=True):
        for variable, gradient in zip(player.trainable_variables, gradients, strict=True):
            expected = tape.gradient(own, variable.value, unconnected_gradients="zero").numpy()
            np.testing.assert_allclose(gradient, expected, atol=1e-10 + 1e-9 * np.abs(expected).max())
    told = gan.step(images(BATCH), codes=CODES)
    np.testing.assert_allclose([told["r1"], told["loss_dis"]], [r1, losses[0]], rtol=1e-9)


def test_gradients_are_cut_down_to_the_norm_for_each_network(eagerly):
    _, whole = moves(small_gan("rep", precision="float64"), images(BATCH), CODES)
    norms = {}
    for net in ("dis", "gen"):
        learnt = [v for name, v in whole.items() if name.startswith(net) and name.split("/")[-1] in _LEARNT]
        norms[net] = np.sqrt(sum(np.sum(v**2) for v in learnt))
    limit = float(np.sqrt(norms["dis"] * norms["gen"]))  # one exceeds it, the other does not
    _, cut = moves(small_gan("rep", precision="float64", aids=Aids(clip_norm=limit)), images(BATCH), CODES)
    assert min(norms.values()) < 0.8 * limit < limit < 0.8 * max(norms.values())
    for name, move in whole.items():
        if name.split("/")[-1] in _LEARNT:
            factor = min(1.0, limit / norms[name[:3]])
            np.testing.assert_allclose(cut[name], factor * move, rtol=1e-6, atol=1e-12, err_msg=name)


_LEARNT = ("kernel", "bias", "beta", "gamma")


@pytest.mark.parametrize(
    ("kind", "rates"),
    [
        ("linear", [1.0, 0.775, 0.55, 0.325, 0.1, 0.1]),
        ("cosine", [1.0, 0.1 + 0.9 * (2 + 2**0.5) / 4, 0.55, 0.1 + 0.9 * (2 - 2**0.5) / 4, 0.1, 0.1]),
        ("constant", [1.0] * 6),
    ],
)
@pytest.mark.parametrize("optimizer", ["adam", "momentum", "rmsprop", "sgd"])
def test_learning_rates_follow_the_global_step(kind, rates, optimizer):
    step = tf.Variable(0, dtype=tf.int64)
    aids = Aids(lr_schedule=kind, lr_steps=4 if kind != "constant" else None)
    made = scheduled_optimizer(optimizer, 1.0, end_lr=0.1, aids=aids, global_step=step)
    found = []
    for number in range(6):
        step.assign(number)
        found.append(float(made.learning_rate))
    np.testing.assert_allclose(found, rates, rtol=1e-6)
    if optimizer == "sgd":
        step.assign(2)
        weight = keras.Variable(1.0)
        made.build([weight])
        made.apply([tf.constant(1.0)], [weight])
        assert float(weight.value) == pytest.approx(1 - rates[2])


@pytest.mark.parametrize("optimizer", ["momentum", "sgd"])
def test_decaying_rates_reach_their_end_at_the_global_step_100000(optimizer):
    """However many updates the network has had by then: with critic_steps or imbalanced_update, others than steps."""
    step = tf.Variable(0, dtype=tf.int64)
    made = scheduled_optimizer(optimizer, 0.5, end_lr=1e-4, aids=Aids(), global_step=step)
    for number, rate in ((0, 0.5), (50_000, (0.5 * 1e-4) ** 0.5), (100_000, 1e-4)):
        step.assign(number)
        assert float(made.learning_rate) == pytest.approx(rate, rel=1e-2)


def test_several_critic_updates_take_a_batch_each_and_leave_the_generator(eagerly):
    """Against a twin that takes them one by one, whose generator is put back after the first."""
    gan = small_gan("rep", lr=0.1, aids=Aids(critic_steps=2))
    twin = small_gan("rep", lr=0.1)
    batch, start = images(2 * BATCH), values(twin)
    seed = tf.random.experimental.stateless_fold_in(gan._seed(step_module.CODES), 1)
    told = gan.step(batch, codes=CODES)
    twin.step(batch[:BATCH], codes=random.normal((BATCH, 5), seed))
    for name, variable in twin.state().items():
        if name.startswith(("gen/", "optimizer_1", "global_step")):
            variable.assign(start[name])
    expected = twin.step(batch[BATCH:], codes=CODES)
    np.testing.assert_allclose(told["loss_gen"], expected["loss_gen"], rtol=1e-5)
    for name, value in values(twin).items():
        np.testing.assert_allclose(values(gan)[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    assert [int(gan.state()[f"optimizer_{i}/iterations"].numpy()) for i in range(2)] == [2, 1]
    assert int(gan.iterations) == 1
    with pytest.raises(ConfigError, match="critic_steps is 2, but a step was given 7 images"):
        gan.step(images(7))


def test_a_resumed_step_with_all_aids_goes_on_as_if_nothing_had_been(eagerly):
    whole, resumed = (small_gan("rep", lr=0.1, aids=ALL) for _ in range(2))
    told = [whole.step(images(2 * BATCH, step)) for step in range(3)]
    for name, value in values(whole).items():
        resumed.state()[name].assign(value)
    told += [whole.step(images(2 * BATCH, step)) for step in (3, 4)]
    again = [resumed.step(images(2 * BATCH, step)) for step in (3, 4)]
    for name, value in values(whole).items():
        np.testing.assert_array_equal(values(resumed)[name], value, err_msg=name)
    for one, other in zip(told[3:], again, strict=True):
        assert {name: float(value) for name, value in one.items()} == {n: float(v) for n, v in other.items()}
    measures = [float(losses["ada_r"]) for losses in told]
    rises = np.mean(measures[:4]) > 0.6
    assert len(set(measures)) > 1
    # After 4 steps of 16 images, of the 100 that p needs to go from 0 to 1.
    np.testing.assert_allclose([losses["ada_p"] for losses in told], [0, 0, 0, 0, 0.64 * rises], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["rep", "hinge"])
def test_two_replicas_with_all_aids_make_the_step_of_one_device(loss):
    aids = dataclasses.replace(ALL, clip_norm=0.05)
    one, two = (
        small_gan(loss, strategy, precision="float64", aids=aids)
        for strategy in (None, make_strategy("mirrored", devices=2))
    )
    for step in range(2):
        batch = images(2 * BATCH, step)
        assert_same(moves(two, batch), moves(one, batch), 1e-10)


@pytest.mark.slow
def test_xla_and_several_steps_per_call_make_the_same_steps():
    aids = dataclasses.replace(ALL, critic_steps=1, augment=("color", "translation", "cutout"))
    plain, compiled, several = (small_gan("rep", lr=0.1, aids=aids, jit=jit) for jit in (False, True, False))
    batches = np.stack([images(BATCH, step) for step in range(3)])
    for batch in batches:
        plain.step(batch)
        compiled.step(batch)
    several.steps(batches)
    for name, value in values(plain).items():
        for other in (compiled, several):
            np.testing.assert_allclose(values(other)[name], value, rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.fixture(scope="module")
def experiment(tiny_architecture, tmp_path_factory):
    return Experiment(
        architecture=tiny_architecture,
        data="sample",
        batch_size=4,
        max_step=4,
        rounds=1,
        grid=(2, 2),
        metrics=(),
        results=str(tmp_path_factory.mktemp("results")),
        **{field.name: getattr(ALL, field.name) for field in dataclasses.fields(ALL)},
    )


@pytest.mark.slow
def test_a_run_with_all_aids_that_was_cut_in_two_is_the_whole_one(experiment, tmp_path):
    whole = experiment.run()["folder"]
    half = dataclasses.replace(experiment, results=str(tmp_path), max_step=2)
    half.run()
    cut = dataclasses.replace(half, max_step=4).run()["folder"]
    first, second = (tf.train.load_checkpoint(str(folder / "checkpoints" / "ckpt-4")) for folder in (whole, cut))
    names = [name for name in first.get_variable_to_shape_map() if name.startswith("state/")]
    assert any("ada" in name for name in names)
    for name in names:
        np.testing.assert_array_equal(second.get_tensor(name), first.get_tensor(name), err_msg=name)


def test_the_dry_run_tells_the_aids_and_resolves_the_end_of_the_rates(experiment):
    told = experiment.dry_run()
    for words in (
        "training aids     the generator's weights averaged (decay 0.9), for samples and scores; images changed by "
        "color, translation, cutout, with a probability that is adapted (target 0.6); noise on images, from 0.2 to 0 "
        "over 10 steps; 2 updates of the critic for each of the generator; R1 with gamma 0.5; gradients clipped to "
        "norm 1; cosine learning rates, to step 4\n",
        "instance_noise    0.2,10\n",
    ):
        assert words in told
    assert "training aids     none\n" in Experiment().dry_run()
    falling = Experiment(lr_schedule="linear", max_step=700).resolved()
    assert falling.lr_steps == 700 and falling.resolved() == falling
    assert Experiment().resolved().lr_steps is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"augment": ("colour",)}, r"augment has 'colour' \(did you mean color\?\); the kinds are color, translation"),
        ({"ada": 0.6}, "ada is 0.6, but augment is empty.*--augment=color,translation,cutout"),
        ({"ada": 1.5, "augment": ("color",)}, "ada is 1.5; give a target between 0 and 1"),
        ({"ada_images": 0}, "ada_images is 0"),
        ({"instance_noise": (0.0, 5)}, "instance_noise is 0.0,5; give its first standard deviation"),
        ({"instance_noise": (0.1, 0)}, "instance_noise is 0.1,0"),
        ({"r1": 0.0}, "r1 is 0.0; give a positive number"),
        ({"clip_norm": -1.0}, "clip_norm is -1.0; give a positive number"),
        ({"critic_steps": 0}, "critic_steps is 0"),
        ({"critic_steps": 2, "imbalanced_update": (1, 2)}, "critic_steps is 2 with imbalanced_update"),
        ({"critic_steps": 2, "jit": True}, "critic_steps is 2 with jit"),
        ({"lr_schedule": "step"}, "lr_schedule is step; the valid values are original, constant, linear, cosine"),
        ({"lr_steps": 5}, "lr_steps is 5, but lr_schedule is original"),
        ({"lr_steps": 0, "lr_schedule": "linear"}, "lr_steps is 0; give the step"),
        ({"r1": 1.0, "fixed_critic": True}, "r1 is 1.0, but the critic does not learn"),
    ],
)
def test_what_does_not_go_is_told_in_a_sentence(fields, words):
    with pytest.raises(ConfigError, match=words):
        Experiment(**fields).resolved()


def test_points_are_not_augmented():
    with pytest.raises(ConfigError, match="augment changes images, but the critic takes vectors of 2; leave it out"):
        small_gan("rep", architecture=design.load_architecture("points/MLP"), aids=Aids(augment=("cutout",)))
