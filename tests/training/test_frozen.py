"""Keras's contract for ``trainable = False``: weights, moving averages and spectral vectors stay as they are."""

import keras
import numpy as np
import pytest

import mmdgan
from mmdgan.core.errors import ConfigError
from mmdgan.training import GanStep
from tests.helpers.networks import SMALL

ARCHITECTURE = {
    **SMALL,
    "discriminator": [
        {"name": "l1", "out": 4, "kernel": 4, "strides": 4, "act": "lrelu", "w_nm": "s", "act_k": 2.0},
        {"name": "l2", "out": 3, "act": "lrelu", "act_nm": "bn", "w_nm": "s", "out_reshape": [12]},
        {"name": "l3", "op": "d", "out": 4, "w_nm": "s"},
    ],
}


def networks(precision="float32"):
    keras.utils.set_random_seed(1)
    return [build(ARCHITECTURE, precision=precision) for build in (mmdgan.build_generator, mmdgan.build_discriminator)]


def values(part):
    return [variable.numpy() for variable in part.variables]


def changed(part, before):
    return [v.path for v, old in zip(part.variables, before, strict=True) if not np.array_equal(v.numpy(), old)]


def freeze(part):
    part.trainable = False
    return part


def batch_norm(network):
    return next(layer for block in network.blocks for slot, layer in block.sublayers.items() if "BN" in slot)


PARTS = {
    "generator": lambda gen, dis: gen,
    "critic": lambda gen, dis: dis,
    "block of the generator": lambda gen, dis: gen.blocks[1],
    "block of the critic": lambda gen, dis: dis.blocks[1],
    "layer of the generator": lambda gen, dis: batch_norm(gen),
    "layer of the critic": lambda gen, dis: next(iter(dis.spectral_layers().values())),
}


@pytest.mark.parametrize("loss", ["rep_b", "hinge"])
@pytest.mark.parametrize("part", PARTS)
def test_steps_leave_what_is_frozen_alone(part, loss, real):
    gen, dis = networks()
    frozen = freeze(PARTS[part](gen, dis))
    before, all_before = values(frozen), values(gen) + values(dis)
    gan = GanStep(gen, dis, loss, 0.01, 0.01)
    gan.step(real)
    gan.step(real)
    assert not changed(frozen, before)
    assert any(not np.array_equal(a, b) for a, b in zip(all_before, values(gen) + values(dis), strict=True))


@pytest.mark.parametrize("options", [{"jit": True}, {"imbalanced_update": (2, 1)}], ids=str)
def test_ways_of_running_a_step(options, real):
    gen, dis = networks()
    parts = [freeze(gen.blocks[1]), freeze(dis.blocks[0])]
    before = [values(part) for part in parts]
    gan = GanStep(gen, dis, "rep_b", 0.01, 0.01, **options)
    gan.step(real)
    gan.step(real)
    assert not [path for part, old in zip(parts, before, strict=True) for path in changed(part, old)]


def test_freezing_after_the_first_step_is_refused(real):
    gan = GanStep(*networks(), "rep_b", 0.01, 0.01)
    gan.step(real)
    gan.discriminator.blocks[0].trainable = False
    with pytest.raises(ConfigError, match="make a new GanStep"):
        gan.step(real)


@pytest.mark.parametrize("which", ["network", "block", "layer"])
def test_fit_leaves_a_nested_critic_alone(which, real):
    critic = networks()[1]
    frozen = {"network": critic, "block": critic.blocks[1], "layer": batch_norm(critic)}[which]
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Dense(1)(critic(inputs)))
    before = values(freeze(frozen))
    model.compile("adam", "mse")
    model.fit(real.astype("float32") / 127.5 - 1, np.zeros((6, 1)), epochs=2, verbose=0)
    assert not changed(frozen, before)


def test_frozen_batch_norm_normalises_by_its_moving_averages(real):
    layer = mmdgan.layers.BatchNorm()
    images = real.astype("float32")
    layer(images, training=True)
    expected = layer(images, training=False)
    layer.trainable = False
    np.testing.assert_array_equal(layer(images, training=True), expected)
