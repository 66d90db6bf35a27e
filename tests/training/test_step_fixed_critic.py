"""A critic that stays as it is: what steps leave alone, and what the generator learns from it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan import losses
from mmdgan.core.errors import ConfigError
from mmdgan.training import GanStep
from tests.helpers.networks import SMALL
from tests.helpers.replicas import values

NORMALISED = {
    **SMALL,
    "discriminator": [
        {"name": "l1", "out": 4, "kernel": 4, "strides": 4, "act": "lrelu", "w_nm": "s", "act_k": 2.0},
        {"name": "l2", "out": 3, "act": "lrelu", "act_nm": "bn"},
        {"name": "l3", "op": "i", "out_reshape": [12]},
    ],
}
PIXELS = {**SMALL, "discriminator": [{"name": "pixels", "op": "i", "out_reshape": [192]}]}


def make_gan(architecture, loss="mmd_g", **options):
    keras.utils.set_random_seed(1)
    networks = mmdgan.build_generator(architecture), mmdgan.build_discriminator(architecture)
    return GanStep(*networks, loss, 0.1, 0.1, "sgd", end_lr=0.1, **options)


def unsettle(critic):
    """Moving averages that are not those of a fresh network."""
    rng = np.random.default_rng(3)
    for variable in critic.non_trainable_variables:
        if "moving" in variable.path:
            variable.assign(rng.uniform(0.2, 0.7, variable.shape))


@pytest.mark.parametrize("loss", ["mmd_g", "rep", "rep_b"])
def test_nothing_of_a_fixed_critic_changes(loss, real):
    gan = make_gan(NORMALISED, loss, fixed_critic=True)
    unsettle(gan.discriminator)
    before = values(gan)
    for _ in range(3):
        gan.step(real)
    after = values(gan)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert not [name for name in changed if name.startswith("dis/")]
    assert {v.path for v in gan.generator.trainable_variables} <= {n.replace("/BN/BN/", "/BN/") for n in changed}
    assert any(name.startswith("dis/") and "SN" in name for name in before)


def test_the_generator_learns_from_the_critic_in_inference_mode(real):
    gan, twin = (make_gan(NORMALISED, fixed_critic=True) for _ in range(2))
    for each in (gan, twin):
        unsettle(each.discriminator)
    codes = np.random.default_rng(1).standard_normal((6, 5)).astype("float32")
    with tf.GradientTape() as tape:
        generated = twin.generator(codes, training=True)
        scores = [twin.discriminator(x, training=False) for x in (generated, tf.cast(real, tf.float32) / 127.5 - 1)]
        loss = losses.mmd2(*scores, sigma=[2 ** (i / 2) for i in range(5)])
    gradients = tape.gradient(loss, twin.generator.trainable_variables)
    assert min(np.abs(gradient).max() for gradient in gradients if gradient is not None) > 1e-6
    result = gan.step(real, codes)
    assert float(result["loss_gen"]) == pytest.approx(float(loss), rel=1e-3, abs=1e-6)
    for new, old, gradient in zip(
        gan.generator.trainable_variables, twin.generator.trainable_variables, gradients, strict=True
    ):
        np.testing.assert_allclose(new, old - 0.1 * gradient, rtol=1e-4, atol=1e-6)


def test_a_critic_without_weights_compares_pixels(real):
    gan = make_gan(PIXELS)
    assert gan.fixed_critic
    codes = np.random.default_rng(1).standard_normal((6, 5)).astype("float32")
    made = np.asarray(gan.generator(codes, training=True)).reshape(6, -1)
    expected = losses.mmd2(made, np.float32(real.reshape(6, -1)) / 127.5 - 1, sigma=[2 ** (i / 2) for i in range(5)])
    assert float(gan.step(real, codes)["loss_gen"]) == pytest.approx(float(expected), abs=1e-6)
    for architecture in (PIXELS, NORMALISED):
        looked = make_gan(architecture, fixed_critic=True).inspect(real, num_images=2)
        assert looked["images"]["Ig"].shape == (2, 8, 8, 3)
        assert any(tag.startswith("grad_gen") for tag in looked["histograms"])


@pytest.mark.parametrize("options", [{"jit": True}, {"several": True}])
def test_other_ways_to_run_a_step(options, real):
    several = options.pop("several", False)
    one, other = make_gan(NORMALISED, fixed_critic=True), make_gan(NORMALISED, fixed_critic=True, **options)
    for _ in range(2):
        one.step(real)
        if not several:
            other.step(real)
    if several:
        other.steps(np.stack([real, real]))
    a, b = values(one), values(other)
    for name, value in a.items():
        np.testing.assert_allclose(b[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["rep_gp", "rep_ds", "wasserstein"])
def test_a_loss_that_regularises_the_critic_is_refused(loss):
    for architecture in (PIXELS, NORMALISED):
        with pytest.raises(ConfigError, match="this critic does not learn"):
            make_gan(architecture, loss, fixed_critic=True)
