"""`micro_batch`: a step in chunks is the step of the whole batch, whatever makes its samples meet."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from mmdgan.core.errors import ConfigError
from mmdgan.layers.normalization import BatchNorm
from mmdgan.training import chunks
from mmdgan.training.aids.settings import KINDS, Aids
from mmdgan.training.distribution import make_strategy
from tests.helpers import networks
from tests.helpers.networks import SMALLEST
from tests.helpers.replicas import assert_same, images, moves, small_gan

BATCH, CHUNK = 8, 2

COUPLED = {
    **SMALLEST,
    "discriminator": [
        {"name": "l1", "out": 4, "kernel": 4, "strides": 2, "act": "lrelu", "act_nm": "bn"},
        {"name": "l2", "op": "d", "in_reshape": [64], "out": 7, "w_nm": "s", "act_k": 2.0},
    ],
}
RESIDUAL = {
    **SMALLEST,
    "generator": [
        {"name": "l1", "op": "d", "out": 32, "out_reshape": [8, 2, 2]},
        {"name": "l2", "type": "res", "out": 4, "act": "relu", "act_nm": "bn", "scale": ["unpool", 2]},
        {"name": "l3", "type": "res", "out": 4, "act": "relu", "act_nm": "bn", "scale": ["unpool", 2]},
        {"name": "l4", "out": 3, "act": "tanh"},
    ],
}
"""Batch norms that the shortcuts go around."""

CASES = {
    "rmb": {},
    "fixed_g": {},
    "hinge": {},
    "wasserstein": {},
    "rep_gp": {},
    "rep_ds": {},
    "rand_g_gp": {},
    "sym_rg_mix": {"mix_threshold": 0.0},
    "batch norm in the critic": {"loss": "fixed_g", "architecture": COUPLED},
    "batch norm in the critic, two losses": {"loss": "rep", "architecture": COUPLED},
    "shortcuts": {"loss": "rep", "architecture": RESIDUAL},
    "labels": {"loss": "wasserstein", "architecture": networks.CONDITIONAL, "num_class": 3},
    "R1": {"loss": "fixed_g", "aids": Aids(r1=0.5)},
    "what the critic sees": {"loss": "rep_gp", "aids": Aids(augment=KINDS, instance_noise=(0.1, 100), ada=0.6)},
    "several updates": {"loss": "rep", "aids": Aids(critic_steps=2, clip_norm=0.5, ema=0.9)},
}


def both(loss, **options):
    """The moves of a step of the whole batch, and of one in chunks."""
    more = {}
    if options.get("num_class"):
        rng = np.random.default_rng(4)
        more = {"labels": np.arange(BATCH, dtype=np.int32)[:, None] % 3, "codes": rng.standard_normal((BATCH, 5))}
    count = BATCH * getattr(options.get("aids"), "critic_steps", 1)
    gans = small_gan(loss, **options), small_gan(loss, micro_batch=CHUNK, **options)
    return [moves(gan, images(count), **more) for gan in gans]


def matmuls(monkeypatch, room):
    """How many products the graphs of chunks hold once TensorFlow has pruned them, and gradients for their factors.

    Three batch norms stand between four factors: x = bn(x w), and in the end x w.
    """
    monkeypatch.setattr(chunks, "KEPT_BYTES", room)
    norms, factors = [BatchNorm() for _ in range(3)], [tf.Variable(tf.eye(4)) for _ in range(4)]
    for norm in norms:
        norm.build((None, 4))

    def function(inputs, _):
        x = inputs[0]
        for norm, factor in zip(norms, factors[:3], strict=True):
            x = norm(tf.matmul(x, factor), training=True)
        return [tf.matmul(x, factors[3])]

    @tf.function(autograph=False)
    def run(x, cotangents):
        chunked = chunks.Chunked(2, lambda number: [x[number]], function, batch_norms=3)
        [outputs] = chunked.outputs()
        [found] = chunked.gradients(chunks.Objective(lambda number: [cotangents[number]], factors))
        return outputs.whole(), found.variables

    context.enable_run_metadata()
    run(*tf.random.normal((2, 2, 3, 4)))
    graphs = context.export_run_metadata().partition_graphs
    context.disable_run_metadata()
    return sum(node.op.endswith("MatMul") for graph in graphs for node in graph.node)


def test_nothing_runs_before_an_input_that_is_kept(monkeypatch):
    """Moments, outputs, gradients for moments from the last on, and for the factors."""
    assert matmuls(monkeypatch, 0) == (1 + 2 + 3) + 4 + (4 + 5 + 6) + (4 + 4 + 3)
    one = 2 * 2 * 3 * 4 * 4  # two chunks of (3, 4), and their gradients
    assert matmuls(monkeypatch, one - 1) == matmuls(monkeypatch, 0)
    assert matmuls(monkeypatch, one) == (1 + 1 + 2) + 3 + (3 + 4) + (3 + 3 + 3) + 1
    assert matmuls(monkeypatch, 3 * one) == (1 + 1 + 1) + 1 + 0 + (1 + 1 + 1) + 2 + 2 + 1


@pytest.mark.slow
@pytest.mark.parametrize("room", [0, 4096])
@pytest.mark.parametrize("case", ["rep", "batch norm in the critic, two losses", "shortcuts", "labels"])
def test_with_few_inputs_kept_or_none_it_is_the_same(monkeypatch, case, room):
    """4,096 bytes hold the first input of each of these generators, and not the second."""
    monkeypatch.setattr(chunks, "KEPT_BYTES", room)
    whole, chunked = both(**{"loss": case, **CASES.get(case, {})}, precision="float64")
    assert_same(chunked, whole, 1e-11)


def test_in_single_precision_a_step_in_chunks_is_the_step():
    whole, chunked = both("rep")
    assert_same(chunked, whole, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_in_double_precision_they_agree_to_rounding(case):
    """Losses, raw gradients, moving averages, one update of each spectral vector, the state of losses and aids."""
    options = {"loss": case, **CASES[case]}
    whole, chunked = both(precision="float64", **options)
    assert_same(chunked, whole, 1e-11)


@pytest.mark.slow
def test_with_a_fixed_critic_the_generator_alone_moves():
    whole, chunked = (
        (found, {name: move for name, move in moved.items() if name.startswith("gen/")})
        for found, moved in both("rep", precision="float64", fixed_critic=True)
    )
    assert_same(chunked, whole, 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "architecture"), [("rep", SMALLEST), ("rep_gp", COUPLED), ("rep_ds", SMALLEST)])
def test_two_replicas_in_chunks_are_one_device(loss, architecture):
    strategy = make_strategy("mirrored", devices=2)
    one = small_gan(loss, None, architecture, precision="float64")
    two = small_gan(loss, strategy, architecture, precision="float64", micro_batch=CHUNK)
    assert_same(moves(two, images(BATCH)), moves(one, images(BATCH)), 1e-11)


@pytest.mark.slow
def test_xla_compiles_a_step_in_chunks():
    assert_same(*(moves(small_gan("rep", **o), images(BATCH)) for o in ({"micro_batch": CHUNK, "jit": True}, {})), 1e-4)


@pytest.mark.slow
def test_float16_in_chunks_follows_float32_and_skips_an_overflow():
    gan, plain = small_gan("rep", precision="fp16", micro_batch=CHUNK), small_gan("rep")
    found, expected = moves(gan, images(BATCH)), moves(plain, images(BATCH))
    assert found[0]["loss_dis"] == pytest.approx(expected[0]["loss_dis"], rel=0.05, abs=0.01)
    for name, move in expected[1].items():
        if name.endswith("kernel"):
            assert np.linalg.norm(found[1][name] - move) < 0.1 * np.linalg.norm(move), name
    gan.loss_scale.scale.assign(2.0**100)
    _, moved = moves(gan, images(BATCH))
    assert moved.pop("global_step") == 1 and moved.pop("loss_scale/scale") < 0
    assert not any(np.any(move) for name, move in moved.items() if not name.startswith("loss_scale"))


def test_no_convolution_sees_more_than_a_chunk():
    gan = small_gan("rep", micro_batch=CHUNK)
    graph = gan._train.get_concrete_function(images(BATCH), None, None, None, True, True).graph
    seen = set()
    for function in graph._functions.values():
        for operation in function.graph.get_operations() if hasattr(function, "graph") else ():
            if operation.type == "Conv2D":
                seen.add(operation.inputs[0].shape[0])
    assert seen and max(seen) <= CHUNK, seen


def test_a_chunk_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ConfigError, match="micro_batch is 3, but each replica takes 8 images a step; give a divisor"):
        small_gan("rep", micro_batch=3).step(images(BATCH))
    small_gan("rep", micro_batch=1).inspect(images(BATCH))  # of two images, which a loss compares
    with pytest.raises(ConfigError, match="micro_batch is 0; give a whole number of at least 1"):
        small_gan("rep", micro_batch=0)


def test_statistics_for_tensorboard_are_of_the_first_chunk():
    gan = small_gan("rep", micro_batch=4)
    found = gan.inspect(images(BATCH), num_images=3)
    expected = small_gan("rep").inspect(images(BATCH)[:4], num_images=3)
    assert found["histograms"]["x/sx"].shape[0] == 4
    np.testing.assert_allclose(found["scalars"]["GANLoss/dis"], expected["scalars"]["GANLoss/dis"], rtol=1e-4)
