"""Whatever the dictionary language accepts is built by Keras, and has the shapes and counts that were inferred."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings, strategies as st

from mmdgan import build_network
from tests.helpers.random_networks import small_network

NETWORKS = st.integers(0, 2**64 - 1).map(small_network)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(NETWORKS, st.sampled_from(["pico", "pim"]), st.sampled_from(["default", "pg_paper"]))
def test_accepted_dictionaries_are_built_with_the_inferred_shapes(drawn, spectral, initializer):
    layers, input_shape, num_class = drawn
    options = {"data_format": "channels_last", "spectral": spectral, "initializer": initializer}
    net = build_network(layers, input_shape, num_class=num_class, **options)
    shape = input_shape if len(input_shape) == 1 else (*input_shape[1:], input_shape[0])
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype("float32")
    inputs = {"x": x, "y": np.array([[0], [num_class - 1]], "int32")} if net.conditional else x
    for training in (False, True):
        with tf.GradientTape() as tape:
            outputs = net(inputs, training=training)
            total = tf.add_n([tf.reduce_sum(output) for output in tf.nest.flatten(outputs)])
        # Gradients too: TensorFlow's kernels for them have ended whole processes.
        tape.gradient(total, [variable.value for variable in net.trainable_variables])
        outputs = outputs if isinstance(outputs, dict) else {net.blocks[net.spec.outputs[0]].name: outputs}
        assert set(outputs) == set(net.spec.output_shapes)
        for name, output in outputs.items():
            inferred = net.spec.output_shapes[name]
            last = inferred if len(inferred) == 1 else (*inferred[1:], inferred[0])
            assert tuple(output.shape) == (2, *last)
    assert sum(v.numpy().size for v in net.trainable_variables) == net.spec.parameters
    vectors = sum(layer.in_rand.numpy().size for layer in net.spectral_layers().values() if layer.in_rand is not None)
    assert sum(v.numpy().size for v in net.non_trainable_variables) == net.spec.state + vectors
    for block in net.blocks:
        for slot, layer in block.sublayers.items():
            part = block.spec.part(slot)
            found = {v.name: tuple(v.shape) for v in layer.weights if v.name != "in_rand"}
            assert found == {**part.variables, **part.state}
