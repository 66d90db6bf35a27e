"""Custom gradients: right from within and from outside of a graph, and freed with it."""

import gc
import weakref

import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from mmdgan.core.gradients import custom_gradient, free_with_graphs
from mmdgan.training.distribution import make_strategy
from tests.helpers.replicas import images, small_gan


def registered() -> set[str]:
    return {name for name in ops.gradient_registry.list() if name.startswith("CustomGradient-")}


@custom_gradient
def tripled(x):
    """x, whose gradient is taken for 3 and whose second derivative is that of x^3."""
    return tf.identity(x), lambda upstream: upstream * 3 * x**2


def derivative(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tripled(x)
    return tape.gradient(y, x)


@pytest.mark.parametrize("compiled", (False, True))
def test_derivatives_are_the_given_ones(compiled):
    """By a tape around the graph too, which asks TensorFlow's registry after tracing."""
    inner, outer = (tf.function(f, autograph=False) if compiled else f for f in (tripled, derivative))
    x = tf.constant(2.0)
    assert outer(x) == 12
    gc.collect()
    with tf.GradientTape() as second:
        second.watch(x)
        with tf.GradientTape() as first:
            first.watch(x)
            y = inner(x)
        slope = first.gradient(y, x)
    assert (y, slope, second.gradient(slope, x)) == (2, 12, 12)


def test_a_function_that_autograph_converts(tensorflow_warnings):
    """As one's own does that calls our layers, and Keras's optimizers beside ours."""
    assert tf.function(derivative)(tf.constant(2.0)) == 12
    assert tensorflow_warnings == []


def test_a_loop_within_a_graph():
    @tf.function(autograph=False)
    def looped(x):
        return tf.while_loop(lambda i, _: i < 3, lambda i, x: (i + 1, tripled(x)), (0, x), maximum_iterations=3)[1]

    x = tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = looped(x)
    gc.collect()
    assert (y, tape.gradient(y, x)) == (2, 12**3)


def test_a_graph_of_ones_own_is_freed_with_what_is_registered_for_it():
    others = registered()
    own = tf.function(derivative, autograph=False)
    assert own(tf.constant(2.0)) == 12 and (made := registered() - others)
    graph = weakref.ref(own._list_all_concrete_functions()[0].graph)
    del own
    tf.function(lambda x: x + 1.0, autograph=False)(tf.constant(2.0))  # TensorFlow itself keeps the last graph traced
    gc.collect()
    assert graph() is None and not made & registered()


@pytest.mark.parametrize("in_a_loop", (False, True))
def test_a_graph_that_is_used_again_outside_of_the_one_it_was_traced_in(in_a_loop):
    """The first derivative is asked for when the graph around the trace is gone."""

    @tf.function(autograph=False)
    def shared(x):
        if in_a_loop:
            return tf.while_loop(lambda i, _: i < 2, lambda i, x: (i + 1, tripled(x)), (0, x), maximum_iterations=2)[1]
        return tripled(tripled(x))

    first = tf.function(lambda x: shared(x) + 1.0, autograph=False)
    x = tf.constant(2.0)
    assert first(x) == 3
    traced = weakref.ref(first._list_all_concrete_functions()[0].graph)
    del first
    tf.function(lambda x: x + 1.0, autograph=False)(x)  # TensorFlow itself keeps the graph that was traced last
    gc.collect()
    assert traced() is None

    @tf.function(autograph=False)
    def second(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = shared(x)
        return tape.gradient(y, x)

    assert second(x) == 12**2


@pytest.mark.parametrize(
    ("precision", "devices", "micro_batch"),
    (
        ("float32", 1, None),
        ("bf16", 1, None),
        pytest.param("float32", 1, 4, marks=pytest.mark.slow),
        pytest.param("float32", 2, None, marks=pytest.mark.slow),
    ),
)
def test_a_step_is_freed_with_all_that_it_has_traced(precision, devices, micro_batch):
    strategy = make_strategy("mirrored", devices=2) if devices == 2 else None
    others, found, names = registered(), [], []
    for _ in range(2):  # TensorFlow itself keeps the graph that was traced last
        gan = small_gan("rep", strategy, precision=precision, micro_batch=micro_batch)
        gan.step(images(8))
        found.append([weakref.ref(f.graph) for f in gan._train._list_all_concrete_functions()])
        del gan
        gc.collect()
        names.append(registered() - others)
    assert found[0] and [graph() for graph in found[0]] == [None] * len(found[0])
    assert names[0] and not names[0] & names[1] and len(names[0]) == len(names[1])


@pytest.mark.parametrize("registry", [object(), {}, {"CustomGradient-0": "a function"}, {"CustomGradient-0": {}}])
def test_a_registry_of_another_form_is_left_alone(monkeypatch, registry):
    holder = type("Registry", (), {"_registry": registry} if isinstance(registry, dict) else {})()
    before = str(registry)
    monkeypatch.setattr(ops, "gradient_registry", holder)
    with tf.Graph().as_default():
        free_with_graphs()
    assert str(registry) == before
