"""The training step of class-conditional networks: which labels go where."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan.core.errors import ConfigError, DataError
from mmdgan.data import ImageData, Pipeline
from mmdgan.layers import scope
from mmdgan.training import GanStep, Progress, Trainer
from tests.helpers.networks import CONDITIONAL, SMALL
from tests.helpers.shared import Shared


def make_gan(loss="hinge", architecture=CONDITIONAL, classes=(3, 3), **options):
    keras.utils.set_random_seed(1)
    networks = mmdgan.build_generator(architecture, classes[0]), mmdgan.build_discriminator(architecture, classes[1])
    return GanStep(*networks, loss, 1e-3, 5e-4, **options)


shared_gan = Shared(make_gan)


LABELS = np.array([[0], [1], [0], [1], [0], [1]], np.int32)
CODES = np.random.default_rng(1).standard_normal((6, 5)).astype(np.float32)


def class_gradients(gan, forward, name):
    """The largest gradient entry of each class of a class-wise variable."""
    for network, gradients in zip((gan.discriminator, gan.generator), gan._gradients(forward), strict=True):
        for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
            if variable.path == name:
                return np.abs(gradient).reshape(3, -1).max(1)
    raise KeyError(name)


def test_real_labels_reach_the_critic_and_generated_ones_both_networks(real):
    """Classes that no sample has get no gradient: 0 and 1 are real, 1 and 2 are generated."""
    gan = shared_gan()
    with scope.frozen_state():
        forward = gan._forward(real, CODES, LABELS, LABELS + 1)
    generator = class_gradients(gan, forward, "gen/l2/BN/offset")
    assert generator[0] == 0 and generator[1:].min() > 0
    critic = class_gradients(gan, forward, "dis/l4/project/kernel")
    assert critic.min() > 0
    with scope.frozen_state():
        only_one = gan._forward(real, CODES, LABELS * 0 + 1, LABELS * 0 + 1)
    np.testing.assert_array_equal(class_gradients(gan, only_one, "dis/l3/kernel/c_kernel")[[0, 2]] > 1e-6, False)


@pytest.mark.parametrize("options", [{}, {"micro_batch": 3}], ids=str)
def test_of_one_class_generated_images_are_of_the_class_of_the_real_ones(options, real):
    """Offsets of classes that no image has stay as they are."""
    for same_class, learning in ((True, [0]), (False, [0, 1, 2])):
        gan = make_gan(**options, same_class=same_class)
        offsets = next(v for v in gan.generator.trainable_variables if v.path == "gen/l2/BN/offset")
        before = offsets.numpy()
        gan.step(real, CODES, LABELS * 0)
        assert np.flatnonzero(np.abs(offsets.numpy() - before).reshape(3, -1).max(1)).tolist() == learning


def test_scores_are_those_of_the_networks_called_with_the_labels(real):
    gan = shared_gan()
    with scope.frozen_state():
        forward = gan._forward(real, CODES, LABELS, LABELS + 1)
        generated = gan.generator({"x": CODES, "y": LABELS + 1}, training=True)
    images = tf.cast(real, tf.float32) / 127.5 - 1
    np.testing.assert_allclose(forward.generated, generated, atol=1e-5)
    np.testing.assert_allclose(forward.score_data, gan.discriminator({"x": images, "y": LABELS}), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        forward.score_gen, gan.discriminator({"x": generated, "y": LABELS + 1}), rtol=1e-4, atol=1e-6
    )


def test_labels_to_generate_are_uniform_by_default_and_repeatable(real):
    again, gan = make_gan(), shared_gan()
    results = [one.step(real, codes=CODES, labels=LABELS)["loss_gen"] for one in (gan, again)]
    assert float(results[0]) == float(results[1])
    drawn = [gan._draw(3000)[1].numpy(), gan._draw(3000)[1].numpy()]
    np.testing.assert_array_equal(*drawn)
    np.testing.assert_allclose(np.bincount(drawn[0][:, 0], minlength=3) / 3000, 1 / 3, atol=0.05)
    gan.step(real, labels=LABELS)
    assert (gan._draw(3000)[1].numpy() != drawn[0]).any()


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_any_integers_are_labels(real, dtype):
    ours = shared_gan().step(real, codes=CODES, labels=LABELS.astype(dtype), labels_gen=LABELS.astype(dtype))
    assert float(ours["loss_dis"]) == float(shared_gan().step(real, CODES, LABELS, LABELS)["loss_dis"])


def test_batch_norm_in_a_conditional_critic_sees_both_halves_with_their_labels(real):
    coupled = dict(CONDITIONAL)
    coupled["discriminator"] = [
        {"name": "l1", "out": 4, "act": "relu", "act_nm": "cbn", "strides": 2},
        {"name": "l2", "op": "d", "type": "project", "in_reshape": [64], "out": 1},
    ]
    gan = make_gan(architecture=coupled)
    for variable in gan.discriminator.trainable_variables:
        variable.assign(tf.random.stateless_normal(variable.shape, (3, 4)))
    with scope.frozen_state():
        forward = gan._forward(real, CODES, LABELS.astype(np.int64), LABELS + 1)
        both = tf.concat([tf.cast(real, tf.float32) / 127.5 - 1, forward.generated], 0)
        scores = gan.discriminator({"x": both, "y": np.concatenate([LABELS, LABELS + 1])}, training=True)
    np.testing.assert_allclose(forward.score_data, scores[:6], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(forward.score_gen, scores[6:], rtol=1e-4, atol=1e-4)


def test_a_conditional_critic_without_labels_is_told_so(real):
    with pytest.raises(DataError, match="critic is conditional on 3 classes .*labels"):
        shared_gan().step(real)
    with pytest.raises(DataError, match="integers of shape .* not float32"):
        shared_gan().step(real, labels=LABELS.astype(np.float32))


def test_networks_of_different_classes_are_refused():
    with pytest.raises(ConfigError, match="generator has 3 classes and the critic 4"):
        make_gan(classes=(3, 4))


def test_classes_that_do_not_exist_are_refused_before_the_step(real):
    gan = shared_gan()
    for wrong in ({"labels": LABELS + 3}, {"labels": LABELS, "labels_gen": LABELS - 1}):
        with pytest.raises(DataError, match=r"^Labels of this step must lie in 0\.\.2, not "):
            gan.step(real, **wrong)
    with pytest.raises(DataError, match=r"^Labels of this step must lie in 0\.\.2, not "):
        gan.generate(CODES, LABELS + 2)
    with pytest.raises(DataError, match=r"^Labels of this step must be integers of shape \(N, 1\), not float32"):
        gan.inspect(real, LABELS.astype(np.float32))
    assert int(gan.iterations) == 0


def test_an_unconditional_critic_needs_no_labels(real):
    mixed = {**CONDITIONAL, "discriminator": SMALL["discriminator"]}
    gan = make_gan("rep", mixed)
    assert np.isfinite(float(gan.step(real)["loss_dis"]))


def test_inspection_shows_norms_of_classes_as_histograms(real):
    gan = shared_gan()
    report = gan.inspect(real, LABELS)
    assert np.size(report["histograms"]["kernel_norm/dis/l1/kernel"]) == 3
    assert all(value.shape.rank == 0 for value in report["scalars"].values())
    assert report["scalars"]["kernel_norm/dis/l2/kernel"].shape.rank == 0
    assert report["images"]["Ig"].shape == (8, 8, 8, 3)


def test_every_class_has_its_own_power_iteration_per_step(real):
    gan = shared_gan()
    layers = gan.discriminator.spectral_layers()
    expected = {name: layer.normalise()[2] for name, layer in layers.items()}
    gan.step(real, labels=LABELS)
    assert len(layers) >= 4
    for name, layer in layers.items():
        if layer.in_rand is not None:
            np.testing.assert_allclose(layer.in_rand, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_training_takes_the_labels_of_the_pipeline():
    """Each image's grey value is its class, so that a mistaken label shows."""
    classes = np.arange(24) % 3
    images = np.broadcast_to((classes * 100).astype(np.uint8)[:, None, None, None], (24, 3, 8, 8)).copy()
    data = ImageData("grey", images, labels=classes.astype(np.int64), num_class=3, class_names=tuple("abc"))
    gan = make_gan()
    seen = []
    train = gan.step

    def step(real, codes=None, labels=None, labels_gen=None):
        seen.append((np.asarray(real), np.asarray(labels)))
        return train(real, codes, labels, labels_gen)

    gan.step = step
    result = Trainer(gan, Pipeline(data, 6, labels=True), progress=Progress(stream=None)).fit(5)
    assert result["step"] == 5 and len(seen) == 5
    for real, labels in seen:
        np.testing.assert_array_equal(real[:, 0, 0, 0], labels[:, 0] * 100)
