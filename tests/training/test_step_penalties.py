"""Penalties and scales in the training step, against the same sums written out with a tape of the test's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan import losses
from mmdgan.core.errors import ConfigError
from mmdgan.layers import spectral
from mmdgan.training import Checkpoints, GanStep
from tests.helpers.networks import SMALL
from tests.helpers.shared import Shared

# Without spectral norms, whose gradient in a step differs from that of the networks called by hand.
PLAIN = {
    **SMALL,
    "discriminator": [
        {"name": "l1", "out": 4, "act": "lrelu", "kernel": 4, "strides": 2},
        {"name": "l2", "out": 6, "kernel": 4, "strides": 2, "act": "softplus", "out_reshape": [24]},
        {"name": "l3", "op": "d", "out": 3},
    ],
}
CONDITIONAL = {
    **PLAIN,
    "discriminator": [
        *PLAIN["discriminator"][:2],
        {"name": "l3", "op": "dck", "out": 5, "act": "softplus", "bias": "bcb"},
        {"name": "l4", "op": "d", "type": "project", "out": 1},
    ],
}


def make_gan(loss, architecture=PLAIN, num_class=0, **options):
    keras.utils.set_random_seed(1)
    builders = mmdgan.build_generator, mmdgan.build_discriminator
    options = {"seed": 2} | options
    gan = GanStep(*(build(architecture, num_class) for build in builders), loss, 1e-3, 5e-4, **options)
    for variable in gan.discriminator.trainable_variables:
        if "c_kernel" in variable.path or "c_bias" in variable.path:  # zeros: classes would not differ
            variable.assign(tf.random.stateless_normal(variable.shape, (1, 2)))
        elif variable.path.endswith("kernel"):  # slopes of about 1, as in training
            variable.assign(2.0 * variable)
    return gan


shared_gan = Shared(make_gan)


def squared_distances(a, b):
    return tf.reduce_sum(tf.square(a[:, None] - b[None]), -1)


def gaussian(a, b):
    return tf.exp(-squared_distances(a, b) / 2)


def mixture(a, b):
    return tf.add_n([tf.exp(-squared_distances(a, b) / (2 * s**2)) for s in (1, 2**0.5, 2, 8**0.5, 4)])


def rational(a, b):
    return tf.add_n([(1 + squared_distances(a, b) / (2 * p)) ** -p for p in (0.2, 0.5, 1, 2, 5)])


def mean_off_diagonal(kernel):
    count = kernel.shape[0]
    return (tf.reduce_sum(kernel) - tf.linalg.trace(kernel)) / (count * (count - 1))


def mmd_loss(kernel, s_gen, s_data):
    within = mean_off_diagonal(kernel(s_gen, s_gen)) + mean_off_diagonal(kernel(s_data, s_data))
    return 2 * mean_off_diagonal(kernel(s_gen, s_data)) - within


def rep_loss(s_gen, s_data):
    return mean_off_diagonal(gaussian(s_data, s_data)) - mean_off_diagonal(gaussian(s_gen, s_gen))


WITNESS_LOSSES = {
    "rep_gp": (gaussian, rep_loss, 0.1),
    "mmd_g_gp": (mixture, lambda g, x: mmd_loss(mixture, g, x), 1.0),
    "fixed_t_gp": (rational, lambda g, x: mmd_loss(rational, g, x), 1.0),
    "wasserstein": (None, lambda g, x: tf.reduce_mean(g) - tf.reduce_mean(x), 10.0),
}


def by_hand(gan, real, codes, name, labels=None, labels_gen=None, weight=None):
    """(loss_dis, its gradients for the critic, the penalty), from the definitions in spec D and D.1."""
    kernel, base, default = WITNESS_LOSSES[name]
    images = tf.cast(real, tf.float32) / 127.5 - 1
    uniform = tf.random.stateless_uniform((len(real), 1, 1, 1), gan._seed(3))

    def critic(x, y):
        return gan.discriminator(x if y is None else {"x": x, "y": y}, training=False)

    generated = gan.generator(codes if labels is None else {"x": codes, "y": labels_gen}, training=True)
    points = uniform * images + (1 - uniform) * generated
    with tf.GradientTape() as outer:
        s_data, s_gen = critic(images, labels), critic(generated, labels_gen)
        with tf.GradientTape() as inner:
            inner.watch(points)
            z = critic(points, labels)
            f = z if kernel is None else tf.reduce_mean(kernel(z, s_data) - kernel(z, s_gen), 1)
            total = tf.reduce_sum(f)
        slopes = tf.sqrt(tf.reduce_sum(tf.square(inner.gradient(total, points)), (1, 2, 3)))
        penalty = (default if weight is None else weight) * tf.reduce_mean(tf.square(slopes - 1))
        loss = base(s_gen, s_data) + penalty
    variables = [v.value for v in gan.discriminator.trainable_variables]
    return loss, outer.gradient(loss, variables, unconnected_gradients="zero"), penalty


def assert_same_critic(gan, forward, expected):
    loss, gradients, penalty = expected
    assert float(forward.losses.dis) == pytest.approx(float(loss), rel=1e-4, abs=1e-6)
    assert float(forward.regularisers["dis_penalty"]) == pytest.approx(float(penalty), rel=1e-4)
    scale = max(float(tf.reduce_max(tf.abs(g))) for g in gradients)
    for variable, mine, other in zip(
        gan.discriminator.trainable_variables, gan._gradients(forward)[0], gradients, strict=True
    ):
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=2e-4 * scale, err_msg=variable.path)


@pytest.mark.parametrize("name", WITNESS_LOSSES)
def test_the_critics_gradient_has_the_penaltys(name, real):
    gan = shared_gan(name)
    codes = tf.random.stateless_normal((6, 5), (0, 1))
    expected = by_hand(gan, real, codes, name)
    assert float(expected[2]) > 1e-3
    forward = gan._forward(real, codes, None, None)
    assert_same_critic(gan, forward, expected)
    without = make_gan(losses.get(name.removesuffix("_gp")) if name != "wasserstein" else "hinge")
    if name != "wasserstein":
        plain = without._forward(real, codes, None, None)
        np.testing.assert_allclose(plain.losses.gen, forward.losses.gen, rtol=1e-6)
        for one, two in zip(without._gradients(plain)[1], gan._gradients(forward)[1], strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-7)  # the generator does not see it


def test_the_weight_is_the_one_given(real):
    gan = make_gan("rep_gp", penalty_weight=2.5)
    codes = tf.random.stateless_normal((6, 5), (0, 1))
    assert_same_critic(gan, gan._forward(real, codes, None, None), by_hand(gan, real, codes, "rep_gp", weight=2.5))


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(ConfigError, match="penalty_weight is .*positive"):
        make_gan("rep_gp", penalty_weight=weight)


def test_a_weight_without_a_penalty_is_refused():
    with pytest.raises(ConfigError, match="penalty_weight is 1.0, but the loss 'rep' has no penalty"):
        make_gan("rep", penalty_weight=1.0)


def test_points_in_between_carry_the_labels_of_the_real_images(real):
    gan = make_gan("rep_gp", CONDITIONAL, num_class=3)
    codes = tf.random.stateless_normal((6, 5), (0, 1))
    labels, labels_gen = np.array([[0], [1], [2], [2], [1], [0]]), np.array([[1], [1], [0], [0], [2], [2]])
    forward = gan._forward(real, codes, labels, labels_gen)
    assert_same_critic(gan, forward, by_hand(gan, real, codes, "rep_gp", labels, labels_gen))
    other = by_hand(gan, real, codes, "rep_gp", labels[::-1] * 0 + 1, labels_gen)[2]
    assert abs(float(other / forward.regularisers["dis_penalty"]) - 1) > 1e-2


@pytest.mark.parametrize(("name", "subtracted"), [("rep_ds", 1.0), ("rep_b_ds", 0.0)])
def test_scale_divides_by_the_squared_jacobian(name, subtracted, real):
    gan = make_gan(name, penalty_weight=0.3)
    codes = tf.random.stateless_normal((6, 5), (0, 1))
    forward = gan._forward(real, codes, None, None)
    images = tf.Variable(tf.cast(real, tf.float32) / 127.5 - 1)
    with tf.GradientTape() as tape:
        scores = gan.discriminator(images)
    jacobian = tape.batch_jacobian(scores, images)
    scale = 1 / (1 + 0.3 * tf.reduce_mean(tf.reduce_sum(tf.square(jacobian), (1, 2, 3, 4))))
    base = losses.get(name.removesuffix("_ds"))(forward.score_gen, forward.score_data).dis
    assert float(forward.regularisers["dis_scale"]) == pytest.approx(float(scale), rel=1e-4)
    assert 0.01 < float(scale) < 0.99
    assert float(forward.losses.dis) == pytest.approx(float((base - subtracted) * scale), rel=1e-4)
    gradients = gan._gradients(forward)[0]
    with tf.GradientTape() as outer:
        jacobian = outer_jacobian(gan.discriminator, images)
        norm = tf.reduce_mean(tf.reduce_sum(tf.square(jacobian), (1, 2, 3, 4)))
        inference = losses.get(name.removesuffix("_ds"))(
            gan.discriminator(forward.generated), gan.discriminator(images)
        ).dis
        loss = (inference - subtracted) / (1 + 0.3 * norm)
    variables = [v.value for v in gan.discriminator.trainable_variables]
    for mine, other in zip(gradients, outer.gradient(loss, variables), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=1e-6)


def outer_jacobian(critic, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = critic(images)
    return tape.batch_jacobian(scores, images)


def test_penalties_see_the_moving_averages_of_batch_norm(real):
    """Inference mode: a point's slope does not depend on the other points, and the averages move once per step."""
    norm = {"name": "l1", "out": 4, "act": "softplus", "kernel": 4, "strides": 2, "act_nm": "bn"}
    gan = make_gan("wasserstein", {**PLAIN, "discriminator": [norm, *PLAIN["discriminator"][1:]]})
    averages = [v for v in gan.discriminator.non_trainable_variables if v.path.endswith("moving_mean")]
    averages[0].assign([0.1, -0.2, 0.3, 0.4])
    codes = tf.random.stateless_normal((6, 5), (0, 1))
    expected = by_hand(gan, real, codes, "wasserstein")[2]
    batch = tf.concat([tf.cast(real, tf.float32) / 127.5 - 1, gan.generator(codes, training=True)], 0)
    mean = tf.reduce_mean(gan.discriminator.blocks[0].sublayers["kernel"](batch), (0, 1, 2))
    result = gan.step(real, codes=codes)
    assert float(result["dis_penalty"]) == pytest.approx(float(expected), rel=1e-4)
    np.testing.assert_allclose(averages[0], 0.99 * np.array([0.1, -0.2, 0.3, 0.4]) + 0.01 * mean, atol=1e-5)


@pytest.mark.parametrize("name", ["rep_gp", "rep_ds", "wasserstein"])
def test_a_kernel_has_one_norm_per_step_whatever_the_passes(name, real, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "mmdgan.layers.linear.spectral_norm",
        lambda op, *args, **kw: calls.append(op) or spectral.spectral_norm(op, *args, **kw),
    )
    gan = make_gan(name, SMALL)
    before = {n: np.asarray(layer.in_rand) for n, layer in gan.discriminator.spectral_layers().items()}
    expected = {n: layer.normalise()[2].numpy() for n, layer in gan.discriminator.spectral_layers().items()}
    calls.clear()
    gan.step(real)
    assert sorted(calls) == ["c", "c", "d"]
    for n, layer in gan.discriminator.spectral_layers().items():
        np.testing.assert_allclose(layer.in_rand, expected[n], rtol=1e-5, atol=1e-6)
        assert np.abs(np.asarray(layer.in_rand) - before[n]).max() > 1e-3


def test_a_penalised_loss_does_not_share_its_backward_pass(real):
    """mmd_g's critic loss is minus the generator's, mmd_g_gp's is not."""
    gan = shared_gan("mmd_g_gp")
    forward = gan._forward(real, None, None, None)
    variables = [v.value for v in gan.discriminator.trainable_variables]
    apart = forward.tape.gradient(forward.losses.dis, variables)
    shared = forward.tape.gradient(forward.losses.gen, variables)
    ours = gan._gradients(forward)[0]
    for one, two in zip(ours, apart, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-7)
    assert max(float(tf.reduce_max(tf.abs(a + b))) for a, b in zip(ours, shared, strict=True)) > 1e-3


def test_step_and_inspection_report_the_penalty(real):
    for name, tag in (("wasserstein", "dis_penalty"), ("rmb_ds", "dis_scale")):
        gan = make_gan(name, SMALL)
        report = gan.inspect(real)
        result = gan.step(real)
        assert set(result) == {"loss_gen", "loss_dis", tag}
        assert float(report["scalars"][f"GANLoss/{tag}"]) == pytest.approx(float(result[tag]), rel=1e-4)
        assert float(report["scalars"]["GANLoss/dis"]) == pytest.approx(float(result["loss_dis"]), rel=1e-4)
        assert {"x/g_x_norm", "grad_dis/l1/kernel/kernel"} <= set(report["histograms"])


def test_interpolation_is_a_function_of_seed_and_step(real):
    def penalties(gan):
        codes = np.ones((6, 5), np.float32)
        return [float(gan.step(real, codes=codes)["dis_penalty"]) for _ in range(3)]

    first, again, other = (
        penalties(gan) for gan in (shared_gan("wasserstein"), make_gan("wasserstein"), make_gan("wasserstein", seed=6))
    )
    assert first == again
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_the_released_witness_has_its_own_exponents(real):
    """legacy: fixed_t_gp's alphas are 0.25, 0.5, 0.9, 2, 25 (spec D.2, quirk 7), whatever the loss's are."""
    codes = tf.random.stateless_normal((6, 5), (0, 1))

    def penalty(legacy, **options):
        gan = shared_gan(losses.get("fixed_t_gp", **options), legacy=legacy)
        return float(gan._forward(real, codes, None, None).regularisers["dis_penalty"])

    released = (0.25, 0.5, 0.9, 2.0, 25.0)
    assert penalty(True) == pytest.approx(penalty(False, alpha=released), rel=1e-5)
    assert penalty(True) != pytest.approx(penalty(False), rel=1e-3)


def test_random_width_losses_penalise_the_witness_of_the_drawn_width(real):
    codes = tf.random.stateless_normal((6, 5), (0, 1))
    gan = make_gan("rand_g_gp")
    forward = gan._forward(real, codes, None, None)
    sigma = gan.loss.penalty_kernel(forward.score_gen, forward.score_data, gan._seed(2), {})["sigma"]
    mean = tf.reduce_mean(tf.exp(-squared_distances(forward.score_gen, forward.score_data) / (2 * sigma**2)))
    omega = next(value for tag, value in forward.losses.logs.items() if tag.endswith("omega"))
    assert float(mean) == pytest.approx(float(omega), abs=1e-2)
    fixed = make_gan(losses.get("rep_gp", sigma=float(sigma)), penalty_weight=gan.penalty_weight)
    expected = fixed._forward(real, codes, None, None).regularisers["dis_penalty"]
    assert float(forward.regularisers["dis_penalty"]) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("name", ["mmd_g_mix", "ins_noise", "rand_g_mix_gp"])
def test_losses_with_a_memory_keep_it_in_the_checkpoint(name, real, tmp_path):
    """Three steps in one go equal two, a checkpoint, and a third with other networks that restored it."""
    loss = losses.get(name, mix_threshold=1e-4)
    whole, resumed = make_gan(loss), make_gan(loss)
    for _ in range(2):
        whole.step(real)
    memory = {key: float(value) for key, value in whole.state().items() if key.startswith("loss/")}
    assert set(memory) == {f"loss/{key}" for key in loss.initial_state()} and all(memory.values())
    Checkpoints(tmp_path, whole.state()).save(2)
    whole.step(real)
    assert Checkpoints(tmp_path, resumed.state()).restore() == 2
    assert {key: float(resumed.state()[key]) for key in memory} == memory
    resumed.step(real)
    for key, variable in whole.state().items():
        np.testing.assert_allclose(resumed.state()[key], variable, rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("precision", ["bf16", "float64"])
def test_penalties_in_other_precisions(precision, real):
    """Convolutions in bfloat16: the penalty is float32 and near that of float32; in float64 it is float64."""
    codes = tf.random.stateless_normal((6, 5), (0, 1))

    like = shared_gan("wasserstein")

    def penalty(name):
        networks = [build(PLAIN, precision=name) for build in (mmdgan.build_generator, mmdgan.build_discriminator)]
        gan = GanStep(*networks, "wasserstein", 1e-3, 1e-3)
        for network, source in zip(networks, (like.generator, like.discriminator), strict=True):
            network.set_weights(source.get_weights())
        gan.step(real, codes=codes)
        return gan._forward(real, codes, None, None).regularisers["dis_penalty"]

    ours = penalty(precision)
    assert ours.dtype == (tf.float64 if precision == "float64" else tf.float32)
    assert float(ours) == pytest.approx(float(penalty("float32")), rel=0.1 if precision == "bf16" else 1e-3)
