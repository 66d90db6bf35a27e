"""One training step: what it updates, when, and from which values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan import losses, tf1
from mmdgan.core.errors import ConfigError, DataError
from mmdgan.layers import scope, spectral
from mmdgan.training import GanStep
from tests.helpers.networks import SMALL
from tests.helpers.replicas import values
from tests.helpers.shared import Shared


def make_gan(loss="rep_b", seed=0, **options):
    keras.utils.set_random_seed(1)
    networks = mmdgan.build_generator(SMALL), mmdgan.build_discriminator(SMALL)
    return GanStep(*networks, loss, 1e-3, 5e-4, seed=seed, **options)


shared_gan = Shared(make_gan)


def test_each_spectral_vector_takes_exactly_one_power_iteration_per_step(real):
    gan = shared_gan()
    before = values(gan)
    layers = gan.discriminator.spectral_layers()
    expected = {name: layer.normalise()[2].numpy() for name, layer in layers.items()}
    gan.step(real)
    assert len(expected) == 3
    for name, layer in layers.items():
        np.testing.assert_allclose(layer.in_rand, expected[name], rtol=1e-5, atol=1e-6)
        assert np.abs(np.asarray(layer.in_rand) - before[f"{name}/SN/in_rand"]).max() > 1e-3


def test_the_norm_is_computed_once_per_kernel_and_step(real, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "mmdgan.layers.linear.spectral_norm",
        lambda op, *args, **kw: calls.append(op) or spectral.spectral_norm(op, *args, **kw),
    )
    make_gan().step(real)
    assert sorted(calls) == ["c", "c", "d"]


def test_both_gradients_come_from_the_values_before_the_step(real):
    """The gradients equal those taken by hand, eagerly, with one concatenated critic pass."""
    gan, twin = shared_gan("hinge"), make_gan("hinge")
    codes = np.random.default_rng(1).standard_normal((6, 5)).astype("float32")
    images = tf.cast(real, tf.float32) / 127.5 - 1
    with tf.GradientTape(persistent=True) as tape:
        generated = twin.generator(codes, training=True)
        layers = twin.discriminator.spectral_layers().values()
        kernels = {id(layer): layer.normalise(gradient_at="next")[0] for layer in layers}
        with scope.shared_kernels(kernels):
            scores = twin.discriminator(tf.concat([images, generated], 0), training=False)
        data, fake = scores[:6], scores[6:]
        loss_dis = tf.reduce_mean(tf.nn.relu(1 + fake)) + tf.reduce_mean(tf.nn.relu(1 - data))
        loss_gen = -tf.reduce_mean(fake)
    forward = gan._forward(real, codes, None, None)
    ours = gan._gradients(forward)
    for network, loss, gradients in ((twin.discriminator, loss_dis, ours[0]), (twin.generator, loss_gen, ours[1])):
        variables = [v.value for v in network.trainable_variables]
        for expected, gradient in zip(tape.gradient(loss, variables), gradients, strict=True):
            np.testing.assert_allclose(gradient, expected, rtol=2e-3, atol=2e-5)
    result = gan.step(real, codes=codes)
    np.testing.assert_allclose([result["loss_gen"], result["loss_dis"]], [loss_gen, loss_dis], rtol=1e-5)


@pytest.mark.parametrize("loss", ["fixed_g", "minimax"])
def test_shared_backward_gives_the_same_gradients_as_two(loss, real):
    gan = shared_gan(loss)
    assert gan.loss.shares_backward
    forward = gan._forward(real, None, None, None)
    shared = gan._gradients(forward)
    variables = [v.value for v in gan.discriminator.trainable_variables]
    apart = forward.tape.gradient(forward.losses.dis, variables)
    for one, two in zip(shared[0], apart, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def test_batch_norm_in_the_critic_sees_real_and_generated_in_one_batch(real):
    architecture = dict(SMALL)
    architecture["discriminator"] = [
        {"name": "l1", "out": 4, "act": "relu", "act_nm": "bn", "strides": 2},
        {"name": "l2", "op": "d", "in_reshape": [64], "out": 4},
    ]
    networks = mmdgan.build_generator(architecture), mmdgan.build_discriminator(architecture)
    gan = GanStep(*networks, "rep", 1e-3, 1e-3)
    codes = tf.random.stateless_normal((6, 5), (0, 1))
    forward = gan._forward(real, codes, None, None)
    both = tf.concat([tf.cast(real, tf.float32) / 127.5 - 1, forward.generated], 0)
    with scope.frozen_state():
        scores = gan.discriminator(both, training=True)
    np.testing.assert_allclose(forward.score_data, scores[:6], atol=1e-5)
    np.testing.assert_allclose(forward.score_gen, scores[6:], atol=1e-5)


def test_random_numbers_are_a_function_of_seed_and_step(real):
    first, again, other = shared_gan(), make_gan(), make_gan(seed=4)
    losses_of = [[float(gan.step(real)["loss_gen"]) for _ in range(4)] for gan in (first, again, other)]
    assert losses_of[0] == losses_of[1]
    assert losses_of[0] != losses_of[2]
    assert len(set(losses_of[0])) == 4


def test_resumed_step_continues_the_random_numbers(real):
    whole, resumed = shared_gan(), make_gan()
    for _ in range(2):
        whole.step(real)
    half = values(whole)
    whole.step(real)
    for name, variable in resumed.state().items():
        variable.assign(half[name])
    resumed.step(real)
    for name, value in values(whole).items():
        np.testing.assert_allclose(resumed.state()[name], value, atol=1e-6, err_msg=name)


def test_imbalanced_update_follows_the_periods(real):
    gan = make_gan(imbalanced_update=(1, 3))
    changed = []
    for _ in range(5):
        before = values(gan)
        gan.step(real)
        after = values(gan)
        changed.append(
            tuple(
                (before[f"{net}/l1/kernel/kernel"] != after[f"{net}/l1/kernel/kernel"]).any() for net in ("dis", "gen")
            )
        )
        assert (before["dis/l1/kernel/SN/in_rand"] != after["dis/l1/kernel/SN/in_rand"]).any()
    assert changed == [(True, True), (True, False), (True, False), (True, True), (True, False)]
    assert int(gan.iterations) == 5
    assert int(gan.optimizer_gen.iterations) == 2


def test_dynamic_update_takes_the_loss_of_the_step_before(real):
    """From step 1,000 on: with a loss of 1e6 the critic rests, with one below 0.1 it is updated."""
    gan = make_gan(imbalanced_update="dynamic")
    gan.iterations.assign(1000)
    rests = []
    for remembered in (1e6, 0.0):
        gan.state()["schedule/loss_gen"].assign(remembered)
        before = values(gan)
        loss = gan.step(real)["loss_gen"]
        after = values(gan)
        rests.append((before["dis/l1/kernel/kernel"] == after["dis/l1/kernel/kernel"]).all())
        assert (before["gen/l1/kernel/kernel"] != after["gen/l1/kernel/kernel"]).any()
        assert (before["dis/l1/kernel/SN/in_rand"] != after["dis/l1/kernel/SN/in_rand"]).any()
        assert float(after["schedule/loss_gen"]) == float(loss)
    assert rests == [True, False]


@pytest.mark.parametrize("periods", [(2, 3), (0, 1), (1,), (1.5, 1)])
def test_wrong_periods_are_refused(periods):
    with pytest.raises(ConfigError, match="imbalanced_update"):
        make_gan(imbalanced_update=periods)


def test_whole_numbers_other_than_uint8_are_no_images(real):
    with pytest.raises(DataError, match=r"uint8 .0 to 255. or floating-point in .-1, 1., not int32"):
        shared_gan().step(real.astype(np.int32))


def test_inspecting_one_gan_after_another_is_nothing_to_warn_of(tensorflow_warnings, real):
    for _ in range(6):
        make_gan().inspect(real, num_images=2)
    assert tensorflow_warnings == []


def test_inspect_changes_nothing_and_names_what_the_original_logs(real):
    gan = shared_gan("fixed_g")
    gan.step(real)
    before = values(gan)
    report = gan.inspect(real)
    for name, value in values(gan).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    assert {"GANLoss/gen", "GANLoss/dis", "kernel_norm/dis/l3/kernel", "learning_rate/gen"} <= set(report["scalars"])
    assert any(tag.endswith("kxx/d0") or tag.endswith("kxx") for tag in report["scalars"])
    assert {"x/sx", "x/sg", "x/g_x_norm", "x/g_gen_norm", "dis/l1/kernel/kernel", "grad_gen/l1/kernel/kernel"} <= set(
        report["histograms"]
    )
    assert report["images"]["Ir"].shape == (6, 8, 8, 3)
    assert report["images"]["Ig"].shape == (8, 8, 8, 3)
    assert float(report["scalars"]["learning_rate/dis"]) == pytest.approx(1e-3)


def test_image_gradient_norms_by_finite_differences(real):
    """The norm of d(sum of scores)/d(image), against the slope along the gradient's own direction."""
    gan = shared_gan()
    norm = gan.inspect(real)["histograms"]["x/g_x_norm"][0]
    images = tf.Variable(tf.cast(real[:1], tf.float32) / 127.5 - 1)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(gan.discriminator(images))
    direction = tape.gradient(total, images)
    direction /= tf.norm(direction)
    up, down = (tf.reduce_sum(gan.discriminator(images + s * direction)) for s in (1e-3, -1e-3))
    assert float(norm) == pytest.approx(float(up - down) / 2e-3, rel=2e-2)


def test_conditional_networks_take_labels_and_draw_uniform_ones(real):
    networks = mmdgan.build_generator(SMALL, 3), mmdgan.build_discriminator(SMALL, 3)
    gan = GanStep(*networks, "rep", 1e-3, 1e-3)
    gan.step(real, labels=np.zeros((6, 1), np.int32))
    _, labels = gan._draw(3000)
    assert labels.shape == (3000, 1)
    np.testing.assert_allclose(np.bincount(labels.numpy()[:, 0]) / 3000, 1 / 3, atol=0.05)


def test_state_holds_every_variable_once(real):
    gan = shared_gan()
    state = gan.state()
    assert {
        "global_step",
        "dis/l1/kernel/kernel/Adam_0",
        "gen/l1/kernel/kernel/Adam_1_1",
        "optimizer_1/iterations",
    } <= set(state)
    trainable = len(gan.generator.trainable_variables) + len(gan.discriminator.trainable_variables)
    everything = len(gan.generator.variables) + len(gan.discriminator.variables)
    assert len(state) == everything + 2 * trainable + 3
    assert {tf1.original_name(v) for v in gan.generator.variables} <= set(state)


def test_slots_of_layers_frozen_before_the_first_step_stay_those_of_their_variables():
    gan = make_gan()
    shapes = {name: variable.shape for name, variable in gan.state().items()}
    gan.discriminator.blocks[0].trainable = False
    after = {name: variable.shape for name, variable in gan.state().items()}
    left_out = shapes.keys() - after.keys()
    assert left_out and all(name.startswith("dis/l1/") for name in left_out)
    assert after == {name: shape for name, shape in shapes.items() if name in after}


def test_optimizer_pair_and_loss_object():
    gan = make_gan(losses.get("hinge"), optimizer=("sgd", "adam"))
    assert "dis/l1/kernel/kernel/SGD_0" not in gan.state()
    assert "gen/l1/kernel/kernel/Adam_1" in gan.state()
    with pytest.raises(ConfigError, match="optimizer"):
        make_gan(optimizer=("adam", "adam", "adam"))


def test_images_of_another_layout_are_named(real):
    with pytest.raises(DataError, match=r"\(None, 8, 8, 3\).*\(6, 3, 8, 8\)"):
        shared_gan().step(real.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"imbalanced_update": 3}, "imbalanced_update must be two periods"),
        ({"penalty_weight": "1", "loss": "rep_gp"}, "penalty_weight is '1'; give a positive number"),
        ({"loss": None}, "There is no loss named None"),
    ],
)
def test_a_step_that_cannot_be_made_says_why(options, message):
    with pytest.raises(ConfigError, match=message):
        make_gan(**options)


def test_networks_of_unlike_data_formats_are_refused():
    generator = mmdgan.build_generator(SMALL, data_format="channels_first")
    critic = mmdgan.build_discriminator(SMALL, data_format="channels_last")
    with pytest.raises(ConfigError, match="generator is channels_first and the critic channels_last"):
        GanStep(generator, critic, "rep", 1e-3, 1e-3)


def test_networks_whose_variables_have_the_same_names_are_refused():
    layers = [{"name": "l1", "op": "d", "out": 4}]
    networks = [mmdgan.build_network(layers, (4,)) for _ in range(2)]
    with pytest.raises(ConfigError, match="Both networks have a variable net/l1/.*a name of its own"):
        GanStep(*networks, "hinge", 1e-3, 1e-3)


def test_periods_may_be_numpys():
    gan = make_gan(imbalanced_update=np.array([2, 1]))
    updates = gan.schedule.updates(tf.constant(3), lambda: None)
    assert updates == (False, True) and set(map(type, updates)) == {bool}  # of NumPy's a compiled step makes tensors
