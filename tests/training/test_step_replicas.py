"""R replicas of B / R images against one device of B: losses, raw gradients, state; and towers against their parts."""

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import tf1
from mmdgan.core.errors import ConfigError
from mmdgan.training import Checkpoints
from mmdgan.training.aids.settings import Aids
from mmdgan.training.distribution import make_strategy
from tests.helpers.networks import SMALLEST
from tests.helpers.replicas import assert_same, images, moves, small_gan, values
from tests.helpers.shared import Shared

BATCH = 8

COUPLED = {
    **SMALLEST,
    "discriminator": [
        {"name": "l1", "out": 4, "kernel": 4, "strides": 2, "act": "lrelu", "act_nm": "bn"},
        {"name": "l2", "op": "d", "in_reshape": [64], "out": 7, "w_nm": "s", "act_k": 2.0},
    ],
}
CONDITIONAL = {
    **SMALLEST,
    "generator": [SMALLEST["generator"][0], {**SMALLEST["generator"][1], "act_nm": "cbn"}, SMALLEST["generator"][2]],
    "discriminator": [SMALLEST["discriminator"][0], {**SMALLEST["discriminator"][1], "type": "project", "out": 1}],
}


SCALE = ("loss_scale/scale", "loss_scale/good_steps")

shared_gan = Shared(small_gan)


def slow(value):
    return pytest.param(value, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def strategy():
    """Two replicas on two logical CPUs, which tests/conftest.py makes."""
    return make_strategy("mirrored", devices=2)


@pytest.mark.parametrize("loss", ["rep", "wasserstein", *map(slow, ("rmb", "fixed_g", "hinge"))])
def test_two_replicas_make_the_step_of_one_device(loss, strategy):
    """With plain gradient descent at rate 1: what Keras applies is the gradient, neither its half nor its double."""
    one, two = shared_gan(loss), shared_gan(loss, strategy)
    assert_same(moves(two, images(BATCH)), moves(one, images(BATCH)), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["rep", "rmb", "fixed_g", "hinge", "wasserstein", "rep_gp", "rep_ds", "rand_g_mix"])
def test_in_double_precision_they_agree_to_rounding(loss, strategy):
    """The same to twelve digits: what differs in float32 is rounding, not a term that is missing."""
    one, two = small_gan(loss, precision="float64"), small_gan(loss, strategy, precision="float64")
    assert_same(moves(two, images(BATCH)), moves(one, images(BATCH)), 1e-12)


@pytest.mark.slow
def test_a_critic_with_batch_norm_sees_real_and_generated_images_of_all_replicas(strategy):
    one, two = (small_gan("rep", s, COUPLED, precision="float64") for s in (None, strategy))
    assert_same(moves(two, images(BATCH)), moves(one, images(BATCH)), 1e-12)


@pytest.mark.slow
def test_labels_and_codes_are_those_of_one_device(strategy):
    """Drawn labels, given codes, and a penalty that keeps the labels of its samples."""
    labels = np.arange(BATCH, dtype=np.int32)[:, None] % 3
    codes = np.random.default_rng(4).standard_normal((BATCH, 5))
    one, two = (small_gan("wasserstein", s, CONDITIONAL, 3, precision="float64") for s in (None, strategy))
    batch = {"labels": labels, "codes": codes}
    assert_same(moves(two, images(BATCH), **batch), moves(one, images(BATCH), **batch), 1e-12)


def test_after_fifty_steps_both_replicas_hold_one_state(strategy):
    """Coins and kernel widths are drawn, Adam trains, batch norm averages: every copy stays the same, bit by bit."""
    options = {"lr": 1e-3, "optimizer": "adam", "mix_threshold": 0.0}
    one, two = small_gan("rand_g_mix", **options), small_gan("rand_g_mix", strategy, **options)
    for step in range(50):
        alone, together = (gan.step(images(BATCH, step)) for gan in (one, two))
        if step == 0:
            np.testing.assert_allclose([*alone.values()], [*together.values()], rtol=1e-5)
    state = two.state()
    assert int(state["global_step"].numpy()) == 50 and state["loss/probability"].numpy() > 0
    for name, variable in state.items():
        first, second = (copy.numpy() for copy in strategy.experimental_local_results(variable))
        np.testing.assert_array_equal(first, second, err_msg=name)
        if name.endswith("/in_rand"):
            assert first.dtype == np.float32
    for name in ("loss/average", "loss/probability"):
        assert state[name].numpy() == pytest.approx(float(one.state()[name]), abs=1e-4), name


@pytest.mark.slow
def test_looking_at_replicas_shows_what_one_device_shows(strategy):
    """Inspection and generated images; nothing changes."""
    one, two = small_gan("rand_g_mix"), small_gan("rand_g_mix", strategy)
    before = values(two)
    alone, together = one.inspect(images(BATCH)), two.inspect(images(BATCH))
    for tag, value in alone["scalars"].items():
        np.testing.assert_allclose(together["scalars"][tag], value, rtol=1e-4, atol=1e-6, err_msg=tag)
    for tag, value in alone["histograms"].items():
        if tag != "x/x_gen":  # each replica shows its own images
            scale = np.abs(value).max()
            np.testing.assert_allclose(together["histograms"][tag], value, rtol=1e-3, atol=1e-4 * scale, err_msg=tag)
    assert together["images"]["Ir"].shape == (BATCH // 2, 8, 8, 3)
    codes = np.random.default_rng(5).standard_normal((3, 5)).astype("float32")
    np.testing.assert_allclose(two.generate(codes), one.generate(codes), atol=1e-5)
    for name, value in values(two).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_a_checkpoint_goes_from_one_device_to_two_and_back(strategy, tmp_path):
    one, two = small_gan("rep", optimizer="adam"), small_gan("rep", strategy, optimizer="adam")
    one.iterations.assign(7)
    Checkpoints(tmp_path / "one", one.state()).save(7)
    for variable in two.state().values():
        variable.assign(tf.zeros_like(variable))
    assert Checkpoints(tmp_path / "one", two.state()).restore() == 7
    Checkpoints(tmp_path / "two", two.state()).save(7)
    expected = values(one)
    for gan in (one, two):
        for variable in gan.state().values():
            variable.assign(tf.zeros_like(variable))
    Checkpoints(tmp_path / "two", one.state()).restore()
    tf1.import_checkpoint(expected, two.generator)
    for name, value in values(one).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    for name, value in values(two).items():
        if name.startswith("gen/") and "Adam" not in name:
            np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_towers_are_the_mean_of_their_own_losses_and_gradients(strategy):
    """Each replica's MMD is of its 4 samples alone, with batch statistics of its own; unlike the MMD of all 8."""
    codes = np.random.default_rng(3).standard_normal((BATCH, 5)).astype("float32")
    towers = small_gan("rep", strategy, replica_losses="local")
    found = moves(towers, images(BATCH), codes)
    halves = [moves(shared_gan("rep"), images(BATCH)[half], codes[half]) for half in (slice(0, 4), slice(4, 8))]
    mean = [{name: (one[name] + two[name]) / 2 for name in one} for one, two in zip(*halves, strict=True)]
    assert_same(found, mean, 1e-5)
    together, _ = moves(shared_gan("rep"), images(BATCH), codes)
    assert abs(together["loss_gen"] - found[0]["loss_gen"]) > 1e-3


def test_networks_of_another_place_and_batches_of_another_size_are_refused(strategy):
    from mmdgan.training import GanStep

    alone = shared_gan("rep")
    with strategy.scope(), pytest.raises(ConfigError, match="built outside of the strategy"):
        GanStep(alone.generator, alone.discriminator, "rep", 1.0, 1.0)
    with pytest.raises(ConfigError, match="7 images cannot be shared equally by 2 replicas"):
        shared_gan("rep", strategy).step(images(7))
    with pytest.raises(ConfigError, match="replica_losses is 'mean'; give one of gathered, local"):
        small_gan("rep", replica_losses="mean")


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["rep_gp", "rand_g_mix"])
def test_compiled_replicas_make_the_step_of_one_device(loss, strategy):
    """XLA compiles the passes between the reductions."""
    one, two = small_gan(loss), small_gan(loss, strategy, jit=True)
    assert_same(moves(two, images(BATCH)), moves(one, images(BATCH)), 1e-5)
    definition = two._train.get_concrete_function(images(BATCH), None, None, None, True, True).graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    assert any(node.attr["_XlaMustCompile"].b for node in nodes)


@pytest.mark.slow
def test_several_steps_in_one_call_are_the_steps_of_one_device(strategy):
    one, two = small_gan("rep"), small_gan("rep", strategy)
    batches = np.stack([images(BATCH, seed) for seed in range(3)])
    expected = [float(one.step(batch)["loss_dis"]) for batch in batches]
    np.testing.assert_allclose(two.steps(batches)["loss_dis"], expected, atol=1e-5)
    assert_same(({}, values(two)), ({}, values(one)), 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("aids", [Aids(), Aids(ema=0.9, clip_norm=1.0)])
def test_float16_replicas_skip_the_steps_that_one_device_skips(aids, strategy):
    """A scale at which gradients overflow, until it has been halved often enough; then steps that count."""
    options = {"precision": "fp16", "aids": aids, "optimizer": "adam", "lr": 1e-3}
    one, two = small_gan("rep", **options), small_gan("rep", strategy, **options)
    skipped = []
    for gan in (one, two):
        gan.loss_scale.scale.assign(2.0**24)
    for step in range(12):
        before = [values(gan) for gan in (one, two)]
        losses = [float(gan.step(images(BATCH, step))["loss_dis"]) for gan in (one, two)]
        assert losses[1] == pytest.approx(losses[0], rel=2e-3, abs=2e-3)
        now = [values(gan) for gan in (one, two)]
        assert now[0]["loss_scale/scale"] == now[1]["loss_scale/scale"]
        still = [
            all(np.array_equal(new[name], old[name]) for name in new if name not in ("global_step", *SCALE))
            for new, old in zip(now, before, strict=True)
        ]
        assert still[0] == still[1]
        skipped.append(still[1])
    assert True in skipped and False in skipped
