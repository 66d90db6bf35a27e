"""Ways to run a step: XLA, several steps in one call, channels first; each gives what the plain step gives."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan.core import random
from mmdgan.core.errors import ConfigError
from mmdgan.training import GanStep, trainer
from tests.helpers.networks import SMALL
from tests.helpers.shared import Shared

STEPS = 5

SLOW = pytest.mark.slow


def make_gan(loss="rep_b", architecture=SMALL, num_class=0, data_format="channels_last", **options):
    keras.utils.set_random_seed(1)
    build = (mmdgan.build_generator, mmdgan.build_discriminator)
    networks = (b(architecture, num_class, data_format=data_format) for b in build)
    return GanStep(*networks, loss, 1e-3, 5e-4, seed=3, **options)


shared_gan = Shared(make_gan)


def batches(shape=(STEPS, 6, 8, 8, 3)):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def assert_same_path(gan, other, losses, others, rtol):
    """Losses of each step, and all state at the end: gradients show in the optimisers' first moments."""
    for one, two in zip(losses, others, strict=True):
        assert one.keys() == two.keys()
        for name, value in one.items():
            np.testing.assert_allclose(two[name], value, rtol=rtol, atol=1e-6, err_msg=name)
    state = other.state()
    last_bias = "dis/l3/bias/bias"  # which MMD losses leave to rounding noise
    for name, variable in gan.state().items():
        if name.startswith(last_bias) and gan.loss.score_size == 16:
            continue
        value = np.asarray(variable, np.float64)
        size = np.linalg.norm(value) / np.sqrt(value.size) + 1e-9
        np.testing.assert_allclose(
            np.asarray(state[name]), value, rtol=0, atol=max(20 * rtol * size, 1e-7), err_msg=name
        )


def nodes(concrete):
    """All operations of a function and of those that it calls."""
    definition = concrete.graph.as_graph_def()
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def concrete_step(gan, real):
    return gan._train.get_concrete_function(real, None, None, None, True, True)


@pytest.mark.parametrize(
    "loss", ["rand_g", *(pytest.param(n, marks=SLOW) for n in "rep_b ins_noise rep_gp mmd_g".split())]
)
def test_xla_takes_the_same_steps(loss):
    """Losses that draw nothing, a width, noise, an interpolation; and one backward pass for both players."""
    plain, compiled = shared_gan(loss), shared_gan(loss, jit=True)
    real = batches()
    losses = [[gan.step(batch) for batch in real] for gan in (plain, compiled)]
    assert_same_path(plain, compiled, *losses, rtol=1e-4)
    trainer = [node for node in nodes(concrete_step(compiled, real[0])) if node.attr["_XlaMustCompile"].b]
    assert trainer
    assert not any(node.attr["_XlaMustCompile"].b for node in nodes(concrete_step(plain, real[0])))


def test_xla_takes_steps_that_update_one_player_alone():
    plain, compiled = (make_gan("rand_g", jit=jit, imbalanced_update=(1, 2)) for jit in (False, True))
    losses = [[gan.step(batch) for batch in batches()[:3]] for gan in (plain, compiled)]
    assert_same_path(plain, compiled, *losses, rtol=1e-4)


def test_nothing_is_drawn_by_xla():
    gan = shared_gan("rand_g", jit=True)
    graph = concrete_step(gan, tf.constant(batches()[0])).graph
    outer = {node.op for node in graph.as_graph_def().node}
    inner = {node.op for function in graph.as_graph_def().library.function for node in function.node_def}
    assert {op for op in outer if "Random" in op}
    assert not {op for op in inner if "Random" in op}


@pytest.mark.parametrize(
    ("loss", "jit"),
    [
        ("mmd_g_mix", False),
        pytest.param("rep_b", False, marks=SLOW),
        pytest.param("rand_g", False, marks=SLOW),
        pytest.param("rep_gp", True, marks=SLOW),
    ],
)
def test_several_steps_in_a_call_are_the_same_steps(loss, jit):
    one, several = shared_gan(loss), make_gan(loss, jit=jit)
    real = batches()
    losses = [one.step(batch) for batch in real]
    first, rest = several.steps(real[:3]), several.steps(real[3:])
    others = [{name: values[i] for name, values in first.items()} for i in range(3)]
    others += [{name: values[i] for name, values in rest.items()} for i in range(2)]
    assert_same_path(one, several, losses, others, rtol=1e-4)
    assert int(several.iterations) == STEPS
    taken = several._train_several.get_concrete_function(tf.constant(real[:3]), None)
    assert {"While", "StatelessWhile"} & {node.op for node in nodes(taken)}


def test_several_conditional_steps_take_each_its_labels():
    labels = np.random.default_rng(1).integers(0, 3, (STEPS, 6, 1), dtype=np.int32)
    one, several = make_gan("hinge", num_class=3), make_gan("hinge", num_class=3)
    real = batches()
    losses = [one.step(batch, labels=y) for batch, y in zip(real, labels, strict=True)]
    together = several.steps(real, labels)
    others = [{name: values[i] for name, values in together.items()} for i in range(STEPS)]
    assert_same_path(one, several, losses, others, rtol=1e-4)


def test_channels_first_takes_the_same_steps():
    last, first = make_gan(), make_gan(data_format="channels_first")
    real = batches()
    losses = [last.step(batch) for batch in real], [first.step(batch.transpose(0, 3, 1, 2)) for batch in real]
    states = [gan.state() for gan in (last, first)]
    for name, variable in states[1].items():  # weights do not depend on the format: draw them once
        if variable.shape == states[0][name].shape:
            np.testing.assert_allclose(variable, states[0][name], atol=2e-4, err_msg=name)
    for one, two in zip(*losses, strict=True):
        np.testing.assert_allclose(two["loss_dis"], one["loss_dis"], rtol=1e-4, atol=1e-6)
    formats = [n.attr["data_format"].s for n in nodes(concrete_step(first, real[0].transpose(0, 3, 1, 2)))]
    assert b"NCHW" in formats


def test_steps_that_are_decided_one_by_one_are_not_taken_together():
    with pytest.raises(ConfigError, match="imbalanced_update decides before each step"):
        make_gan(imbalanced_update=(1, 2)).steps(batches())


def test_shared_backward_makes_fewer_gradient_operations():
    """mmd_g needs one input gradient less per critic layer and batch than rep does."""
    counts = {}
    for loss in ("rep", "mmd_g"):
        ops = [node.op for node in nodes(concrete_step(shared_gan(loss), tf.constant(batches()[0])))]
        counts[loss] = ops.count("Conv2DBackpropInput")
    assert counts["mmd_g"] < counts["rep"]


def test_numbers_drawn_outside_are_those_drawn_inside():
    seed = (5, 6)

    @tf.function(autograph=False)
    def outer(count):
        def drawn():
            return random.uniform((count,), random.stream(seed, 1), 2.0, 3.0), random.normal((4,), seed)

        return random.Compiled(lambda: (drawn(), None))()[0]

    expected = random.uniform((7,), random.stream(seed, 1), 2.0, 3.0), random.normal((4,), seed)
    for value, known in zip(outer(7), expected, strict=True):
        np.testing.assert_array_equal(value, known)
    reference = tf.random.stateless_uniform((7,), random.stream(seed, 1), 2.0, 3.0, alg="philox")
    np.testing.assert_array_equal(expected[0], reference)


@pytest.mark.parametrize(
    ("step", "most", "last", "periods", "expected"),
    [
        (0, 10, 100, (), 10),
        (95, 10, 100, (), 5),
        (8, 10, 100, (12, None), 4),
        (12, 10, 100, (12, 7), 2),
        (0, 1, 9, (), 1),
    ],
)
def test_calls_end_where_something_is_due(step, most, last, periods, expected):
    assert trainer.steps_until(step, most, last, *periods) == expected


def test_groups_have_the_sizes_that_are_asked_for():
    sizes = iter([2, 3, 4])
    groups = list(trainer.grouped([{"x": i} for i in range(7)], lambda: next(sizes)))
    assert [[batch["x"] for batch in group] for group in groups] == [[0, 1], [2, 3, 4], [5, 6]]
