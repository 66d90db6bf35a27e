"""Every layer, op and option of a dictionary: eager and compiled, all precisions, both layouts, saved, replicated."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.layers import scope
from mmdgan.networks.network import Network
from mmdgan.training.distribution import make_strategy
from tests.conformance.built import (
    BATCH,
    LABELS,
    as_wanted,
    assert_close,
    built,
    numbers,
    observe,
    outputs,
    weighted_sum,
)
from tests.conformance.descriptions import NETWORKS

EVERY = pytest.mark.parametrize("description", NETWORKS, ids=lambda description: description.name)

LAYOUTS_AND_PRECISIONS = [
    ("channels_first", "float32"),
    ("channels_first", "float64"),
    ("channels_last", "bf16"),
    ("channels_last", "fp16"),
]
"""Each is compared with channels_last in float32."""

TOLERANCES = {
    "float32": 1e-5,
    "float64": 1e-5,
    "fp16": {"inference": 0.005, "training": 0.005, "gradient": 0.03, "average": 0.001, "vector": 1e-5},
    "bf16": {"inference": 0.03, "training": 0.03, "gradient": 0.08, "average": 0.01, "vector": 1e-5},
}
"""Of what is seen in a precision; spectral vectors are computed in single precision in all of them."""


@EVERY
def test_fresh_networks_are_finite_and_have_the_inferred_shapes(description):
    case = built(description)
    spec = case.net.spec
    shapes = spec.output_shapes if len(spec.outputs) > 1 else {"output": spec.output_shape}
    assert {name: y.shape for name, y in case.fresh.items()} == {
        name: (BATCH, *shape[1:], shape[0]) for name, shape in shapes.items()
    }
    for y in case.fresh.values():
        assert y.dtype == np.float32
        assert np.all(np.isfinite(y))
    assert sum(v.numpy().size for v in case.net.trainable_variables) == spec.parameters


@EVERY
def test_compiled_as_eager(description):
    case = built(description)
    compiled = tf.function(lambda x: observe(case.net, x), autograph=False)
    found = numbers(compiled(tf.constant(case.x)))
    case.net.set_weights(case.weights)
    assert_close(found, case.seen, 1e-5)


@EVERY
@pytest.mark.parametrize(("data_format", "precision"), LAYOUTS_AND_PRECISIONS)
def test_layouts_and_precisions_give_the_same_numbers(description, data_format, precision):
    case = built(description)
    net = case.twin(description, data_format=data_format, precision=precision)
    tensors = observe(net, as_wanted(case.x, net))
    assert {t.dtype.name for t in tensors.values()} == {"float64" if precision == "float64" else "float32"}
    found, expected = numbers(tensors), case.seen
    assert all(np.all(np.isfinite(value)) for value in found.values())
    if precision == "bf16" and description.kinked:
        # Rounding to 8 bits moves values across a kink, where the derivative jumps.
        found, expected = (
            {name: value for name, value in seen.items() if not name.startswith("gradient/")}
            for seen in (found, expected)
        )
    assert_close(found, expected, TOLERANCES[precision])


@EVERY
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")
def test_saved_and_loaded(description, tmp_path):
    case = built(description)
    case.net.save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    assert [v.path for v in loaded.variables] == [v.path for v in case.net.variables]
    for value, expected in zip(loaded.get_weights(), case.weights, strict=True):
        np.testing.assert_array_equal(value, expected)
    assert_close(numbers(observe(loaded, tf.constant(case.x))), case.seen, 1e-6)


@EVERY
def test_configurations_make_the_same_networks(description):
    case = built(description)
    net = case.twin(description, data_format="channels_first", precision="float64")
    config = net.get_config()
    twin = Network.from_config(json.loads(json.dumps(config)))
    assert twin.get_config() == config
    assert twin.spec == description.spec
    twin.set_weights(case.weights)
    x = as_wanted(case.x, net)
    assert_close(outputs(twin, x), numbers(outputs(net, x)), 1e-12)
    for block in net.blocks:
        for slot, layer in block.sublayers.items():
            again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
            assert type(again) is type(layer)
            assert [w.shape for w in again.get_weights()] == [w.shape for w in layer.get_weights()]
            assert again.get_config() == layer.get_config(), slot
            assert _settings(again) == _settings(layer), slot


def _settings(layer: keras.layers.Layer) -> dict:
    """The public attributes of a layer that are plain values."""
    plain = (bool, int, float, str, type(None))
    return {name: value for name, value in vars(layer).items() if name[0] != "_" and isinstance(value, plain)}


@pytest.mark.parametrize(
    ("description", "training"),
    [(d, False) for d in NETWORKS] + [(d, True) for d in NETWORKS if d.normalised],
    ids=lambda value: value if isinstance(value, bool) else value.name,
)
def test_gradients_are_those_of_finite_differences(description, training):
    case = built(description)
    net = case.twin(description, precision="float64")
    x = as_wanted(case.x, net)
    variables = [v.value for v in net.trainable_variables]

    def value(x):
        with scope.frozen_state():
            return tf.add_n([weighted_sum(y) for y in outputs(net, x, training).values()])

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = value(x)
    found = numbers(outputs(net, x))
    assert_close(found, {name: case.seen[f"inference/{name}"] for name in found}, 1e-5)
    point = [np.asarray(v) for v in (*variables, x)]
    gradients = [np.asarray(g) for g in tape.gradient(y, [*variables, x], unconnected_gradients="zero")]
    size = np.sqrt(sum(np.sum(g**2) for g in gradients))
    rng = np.random.default_rng(2)
    for _ in range(2):
        direction = [rng.standard_normal(p.shape) for p in point]

        def moved(step, direction=direction):
            *weights, shifted = (p + step * d for p, d in zip(point, direction, strict=True))
            for variable, weight in zip(variables, weights, strict=True):
                variable.assign(weight)
            return float(value(tf.constant(shifted)))

        step = 1e-6
        slope = (moved(step) - moved(-step)) / (2 * step)
        expected = sum(np.sum(g * d) for g, d in zip(gradients, direction, strict=True))
        assert slope == pytest.approx(expected, abs=1e-6 * size, rel=0)


@EVERY
def test_two_replicas_keep_one_state(description, strategy):
    case = built(description)
    with strategy.scope():
        net = case.twin(description)
    halves = [slice(0, BATCH // 2), slice(BATCH // 2, BATCH)]

    def of_replica(values):
        def value(context):
            return tf.constant(values[halves[context.replica_id_in_sync_group]])

        return strategy.experimental_distribute_values_from_function(value)

    call = tf.function(lambda x, labels: outputs(net, x, True, labels), autograph=False)
    found = strategy.run(call, (of_replica(case.x), of_replica(LABELS)))
    expected, states = [], []
    for half in halves:
        expected.append(outputs(case.net, case.x[half], True, LABELS[half]))
        states.append([np.asarray(v) for v in case.net.non_trainable_variables])
        case.net.set_weights(case.weights)
    for name, values in found.items():
        for value, y in zip(strategy.experimental_local_results(values), expected, strict=True):
            assert_close({name: value}, {name: y[name]}, 1e-5)
    for variable, *values in zip(net.non_trainable_variables, *states, strict=True):
        copies = [np.asarray(copy) for copy in strategy.experimental_local_results(variable.value)]
        assert len(copies) == 2
        np.testing.assert_array_equal(*copies)
        # Spectral vectors do not depend on the batch; moving averages are the mean of the replicas'.
        np.testing.assert_allclose(copies[0], np.mean(values, axis=0), rtol=1e-5, atol=1e-6, err_msg=variable.path)


@pytest.fixture(scope="module")
def strategy():
    """Two replicas on two logical CPUs, which tests/conftest.py makes."""
    return make_strategy("mirrored", devices=2)
