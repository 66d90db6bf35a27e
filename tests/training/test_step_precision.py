"""Dynamic loss scaling of float16 networks, and half-precision losses next to float32's."""

import keras
import numpy as np
import pytest

import mmdgan
from mmdgan import design
from mmdgan.data.sample import make_sample
from mmdgan.training import Checkpoints, GanStep, optimizers
from tests.helpers.networks import SMALL
from tests.helpers.replicas import values
from tests.helpers.shared import Shared


def make_gan(kind="fp16", loss="rep_b"):
    keras.utils.set_random_seed(1)
    build = (mmdgan.build_generator, mmdgan.build_discriminator)
    return GanStep(*(b(SMALL, precision=kind) for b in build), loss, 1e-3, 5e-4)


shared_gan = Shared(make_gan)


def test_gradients_do_not_depend_on_the_scale_unless_they_vanish(real):
    """A loss of 1e-7 of its usual size leaves float16 nothing, unless it is scaled."""
    gan = make_gan()
    usual = [g.numpy() for g in gan._gradients(gan._forward(real, None, None, None))[0]]
    plain = gan.loss

    class Tiny:
        def __getattr__(self, name):
            return getattr(plain, name)

        def __call__(self, *args, **options):
            losses = plain(*args, **options)
            return losses._replace(gen=1e-7 * losses.gen, dis=1e-7 * losses.dis)

    gan.loss = Tiny()
    gan.loss_scale.scale.assign(1.0)
    vanished = gan._gradients(gan._forward(real, None, None, None))[0]
    gan.loss_scale.scale.assign(2.0**38)
    scaled = gan._gradients(gan._forward(real, None, None, None))[0]
    # All but the last bias, which the loss leaves to rounding noise.
    for one, two, expected in zip(vanished[:-1], scaled[:-1], usual[:-1], strict=True):
        size = np.linalg.norm(1e-7 * expected)
        assert np.linalg.norm(two - 1e-7 * expected) < 0.01 * size
        assert np.linalg.norm(one - 1e-7 * expected) > 0.9 * size


def test_overflow_halves_the_scale_and_changes_nothing_else(real):
    gan = shared_gan()
    gan.step(real)
    gan.loss_scale.scale.assign(2.0**60)
    before = values(gan)
    gan.step(real)
    after = values(gan)
    assert after.pop("loss_scale/scale") == 2.0**59
    assert after.pop("global_step") == before.pop("global_step") + 1
    assert (before.pop("loss_scale/good_steps"), after.pop("loss_scale/good_steps")) == (1, 0)
    del before["loss_scale/scale"]
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_the_scale_doubles_after_enough_good_steps(real):
    gan = shared_gan()
    last = optimizers.GROWTH_STEPS - 1
    seen = []
    for good_steps in (last - 1, last, 0, last):
        gan.loss_scale.good_steps.assign(good_steps)
        gan.step(real)
        seen.append((float(gan.loss_scale.scale) / optimizers.INITIAL_SCALE, int(gan.loss_scale.good_steps)))
    assert seen == [(1, last), (2, 0), (2, 1), (4, 0)]


@pytest.mark.parametrize("half", ["fp16", "bf16"])
def test_losses_follow_float32(half, real):
    gans = [shared_gan(kind) for kind in ("float32", half)]
    for _ in range(5):
        losses = [gan.step(real) for gan in gans]
        for name, value in losses[0].items():
            assert float(losses[1][name]) == pytest.approx(float(value), rel=0.05, abs=2e-3), name
    vectors = [gan.discriminator.spectral_layers()["dis/l2/kernel"].in_rand for gan in gans]
    np.testing.assert_allclose(*vectors, atol=1e-3)


def test_only_float16_is_scaled(real):
    for kind in ("float32", "bf16"):
        gan = shared_gan(kind)
        assert gan.loss_scale is None
        assert not any(name.startswith("loss_scale") for name in gan.state())
    assert float(shared_gan().inspect(real)["scalars"]["loss_scale"]) == optimizers.INITIAL_SCALE


def test_a_checkpoint_from_before_loss_scaling_is_restored(tmp_path, real):
    gan = shared_gan()
    gan.step(real)
    state = gan.state()
    older = {name: variable for name, variable in state.items() if not name.startswith("loss_scale/")}
    Checkpoints(tmp_path, older).save(1)
    weights = values(gan)["dis/l1/kernel/kernel"]
    gan.step(real)
    gan.loss_scale.scale.assign(8.0)
    assert Checkpoints(tmp_path, state).restore() == 1
    np.testing.assert_array_equal(gan.state()["dis/l1/kernel/kernel"], weights)
    assert float(gan.loss_scale.scale) == 8.0
    Checkpoints(tmp_path / "newer", state).save(1)
    gan.loss_scale.scale.assign(4.0)
    Checkpoints(tmp_path / "newer", state).restore()
    assert float(gan.loss_scale.scale) == 8.0


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["cifar10/DCGAN", "sngan/RESNET_32"])
def test_bfloat16_steps_follow_float32_from_the_same_states_at_full_width(preset):
    """The paper's settings on images of `sample`: 10 steps in pairs, each pair begun from the float32 run's state.

    The first step of a pair compares forward passes, the second the first one's update too. A longer common way would
    compare chaos: two float32 runs that begin 0.1% apart lose each other as well (docs/speed.md).
    """
    images = make_sample().images[: 10 * 64].reshape(10, 64, 3, 32, 32).transpose(0, 1, 3, 4, 2)
    keras.utils.set_random_seed(1)
    architecture = design.with_score_size(design.load_architecture(preset), 16)
    build = (mmdgan.build_generator, mmdgan.build_discriminator)
    wide, half = (
        GanStep(*(b(architecture, precision=kind, data_format="channels_last") for b in build), "rep_b", 5e-4, 2e-4)
        for kind in ("float32", "bf16")
    )
    for index, real in enumerate(images):
        if index % 2 == 0:
            state = wide.state()
            for name, variable in half.state().items():
                variable.assign(state[name])
        codes = np.random.default_rng(index).normal(size=(64, 128)).astype(np.float32)
        losses = [{k: float(v) for k, v in gan.step(real, codes).items()} for gan in (wide, half)]
        for name in ("loss_gen", "loss_dis"):
            assert losses[1][name] == pytest.approx(losses[0][name], rel=0.05, abs=2e-3), (index, name)
