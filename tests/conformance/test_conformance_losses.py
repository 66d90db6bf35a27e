"""Every loss by every name: finite, compiled as eager, its gradients those of finite differences, its options kept."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from mmdgan import losses
from mmdgan.core.errors import ConfigError
from tests.conformance.built import assert_close, numbers
from tests.conformance.descriptions import LOSSES

SEED = (3, 5)
BATCH, PIXELS, SCORES = 6, 3, 2

WARM = {"average": 0.5, "probability": 0.4, "level": 0.6}
"""The state of a loss that remembers its former steps."""

OTHER_OPTIONS = {
    "sigma": 1.3,
    "alpha": (0.3, 0.6),
    "beta": 1.5,
    "rep_weights": (0.4, -0.6),
    "lower_bound": 1.0,
    "upper_bound": 2.0,
    "cross_bound": True,
    "omega": 0.4,
    "ref_normal": 2.0,
    "mix_threshold": 0.3,
    "add_dot": 0.2,
    "biased": True,
}
"""For each option a value that is nobody's default."""


def _distinct() -> list[str]:
    """The first of all names that stand for the same loss and options."""
    first: dict[str, str] = {}
    for name in LOSSES:
        first.setdefault(repr(dataclasses.replace(losses.get(name), name="")), name)
    return list(first.values())


EVERY = pytest.mark.parametrize("name", LOSSES)
DISTINCT = pytest.mark.parametrize("name", _distinct())


def parameters(dtype: str) -> dict[str, tf.Tensor]:
    """What the losses of a tiny critic depend on: two kernels, and generated samples beside real ones."""
    rng = np.random.default_rng(0)
    shapes = {"first": (PIXELS, 4), "second": (4, SCORES), "generated": (BATCH, PIXELS), "real": (BATCH, PIXELS)}
    return {name: tf.constant(rng.standard_normal(shape), dtype) for name, shape in shapes.items()}


def compute(loss: losses.Loss, values: dict[str, tf.Tensor], state: dict) -> losses.GanLosses:
    """Both losses of the critic tanh(x first) second, with the penalty or scale that the loss wants."""

    def critic(images):
        return tf.tanh(images @ values["first"]) @ values["second"]

    real, generated = values["real"], values["generated"]
    score_gen, score_data = critic(generated), critic(real)
    more = {}
    if loss.uses_scale:
        more["dis_scale"] = losses.jacobian_scale(critic, real, loss.penalty_weight)
    if loss.penalty:
        kernel = loss.penalty_kernel(score_gen, score_data, SEED, state)
        penalty = losses.gradient_penalty(
            loss.penalty, critic, real, generated, score_data, score_gen, seed=SEED, **kernel
        )
        more["dis_penalty"] = loss.penalty_weight * penalty
    return loss(score_gen, score_data, seed=SEED, state=state, **more)


def observe(loss: losses.Loss, values: dict[str, tf.Tensor], state: dict) -> dict[str, tf.Tensor]:
    """Both losses, the gradients of a combination of them, what is logged and the next state."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        found = compute(loss, values, state)
        both = found.gen + 0.7 * found.dis
    gradients = tape.gradient(both, values, unconnected_gradients="zero")
    return {
        "gen": found.gen,
        "dis": found.dis,
        **{f"gradient {name}": gradient for name, gradient in gradients.items()},
        **{f"log {tag}": value for tag, value in found.logs.items()},
        **{f"state {name}": value for name, value in found.state.items()},
    }


def warm(loss: losses.Loss) -> dict[str, float]:
    """A state like `initial_state`, of a later step."""
    return {name: WARM[name] for name in loss.initial_state()}


@DISTINCT
def test_finite_and_compiled_as_eager(name):
    loss, values = losses.get(name), parameters("float32")
    compiled = tf.function(lambda values, state: observe(loss, values, state), autograph=False)
    for state in (loss.initial_state(), warm(loss)):
        state = {key: tf.constant(value) for key, value in state.items()}
        found = compiled(values, state)
        for what, value in found.items():
            assert value.dtype == tf.float32, what
            assert np.all(np.isfinite(value)), what
        assert {what for what in found if what.startswith("state ")} == {f"state {key}" for key in state}
    assert_close(numbers(found), numbers(observe(loss, values, state)), 1e-5)
    equal = compiled({**values, "second": tf.zeros((4, SCORES))}, state)
    assert all(np.all(np.isfinite(value)) for value in equal.values()), "all scores are equal"


@DISTINCT
def test_gradients_are_those_of_finite_differences(name):
    loss, values = losses.get(name), parameters("float64")
    state = warm(loss)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        found = compute(loss, values, state)
    gradients = [tape.gradient(value, values, unconnected_gradients="zero") for value in (found.gen, found.dis)]
    rng = np.random.default_rng(1)
    for _ in range(2):
        direction = {key: rng.standard_normal(value.shape) for key, value in values.items()}

        def moved(step, direction=direction):
            there = compute(loss, {key: value + step * direction[key] for key, value in values.items()}, state)
            return np.array([there.gen, there.dis])

        step = 1e-6
        slopes = (moved(step) - moved(-step)) / (2 * step)
        for slope, gradient in zip(slopes, gradients, strict=True):
            size = np.sqrt(sum(np.sum(np.square(g)) for g in gradient.values()))
            expected = sum(np.sum(gradient[key] * direction[key]) for key in values)
            assert size > 0
            assert slope == pytest.approx(expected, abs=1e-6 * size, rel=0)


@DISTINCT
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_gradients_have_the_scores_type(name, dtype):
    loss = losses.get(name)
    more = {"dis_penalty": 0.5} if loss.penalty else {"dis_scale": 0.5} if loss.uses_scale else {}
    rng = np.random.default_rng(2)
    scores = [tf.constant(rng.standard_normal((BATCH, SCORES)), dtype) for _ in range(2)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(scores)
        found = loss(*scores, seed=SEED, **more)
    assert found.gen.dtype == found.dis.dtype == ("float64" if dtype == "float64" else "float32")
    for value in (found.gen, found.dis):
        for gradient in tape.gradient(value, scores, unconnected_gradients="zero"):
            assert gradient.dtype == dtype
            assert np.all(np.isfinite(tf.cast(gradient, "float64")))


@EVERY
def test_options_survive_a_configuration(name):
    loss = losses.get(name)
    written = json.loads(json.dumps(dict(loss.options)))
    assert losses.get(name, **written) == loss
    others = {option: value for option, value in OTHER_OPTIONS.items() if option in loss.options}
    assert others.keys() == loss.options.keys()
    changed = losses.get(name, **others)
    again = losses.get(name, **json.loads(json.dumps(dict(changed.options))))
    assert again == changed
    assert (changed != loss) == bool(others)
    with pytest.raises(ConfigError, match="no_such_option"):
        losses.get(name, no_such_option=1)


@DISTINCT
def test_every_option_has_an_effect(name):
    values = parameters("float64")
    for option in losses.get(name).options:
        # The cross term is bounded for negative lambda only.
        more = {"rep_lambda": -0.5} if option == "cross_bound" else {}
        seen = []
        for options in ({}, {option: OTHER_OPTIONS[option]}):
            loss = losses.get(name, **more, **options)
            found = compute(loss, values, warm(loss))
            seen.append([float(value) for value in (found.gen, found.dis, *found.state.values())])
        assert seen[0] != seen[1], option


@EVERY
def test_names_are_known_everywhere(name):
    loss = losses.get(name)
    assert loss.name == name
    assert loss.canonical == losses.canonical_name(name)
    assert loss.score_size == losses.score_size(name) == losses.score_size(loss.canonical)
    assert losses.names()[name].endswith(")")
    assert name in losses.describe()
    assert (loss.penalty_weight is not None) == (loss.penalty is not None or loss.uses_scale)
    assert name.endswith("_ds") == loss.uses_scale
    assert (name.endswith("_gp") or name == "wasserstein") == (loss.penalty is not None)
