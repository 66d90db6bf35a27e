"""Every kind of layer against the original: outputs, gradients, and states after a training call, in both layouts."""

import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan import tf1
from tests.helpers import golden_data

CASES = golden_data.layer_cases()
CLASS_TENSORS = ("c_kernel", "c_bias", "scale", "offset")


def relaid(images, source, target):
    """Images, or flat features, of one data format in another."""
    images = np.asarray(images)
    if images.ndim < 4 or source == target:
        return images
    return images.transpose((0, 2, 3, 1) if target == "channels_last" else (0, 3, 1, 2))


def ours(name, array, case):
    """A variable of the original, or its gradient, in our layout."""
    follows = name.rsplit("/", 1)[-1] in (*CLASS_TENSORS, "in_rand")
    return relaid(array, case["data_format"], "channels_last") if follows else array


def close(found, expected, tolerance, what):
    """Compares by the largest value expected, as there are exact zeros everywhere."""
    largest = float(np.max(np.abs(expected)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * largest, err_msg=what)


@pytest.fixture(params=["channels_last", "channels_first"])
def data_format(request):
    return request.param


@pytest.fixture(params=CASES, ids=lambda case: case["name"])
def case(request):
    return request.param


def test_layer(case, data_format):
    options = {"name": "net", "num_class": case["num_class"], "data_format": data_format}
    network = mmdgan.build_network([case["design"]], case["input_shape"], **options)
    tf1.import_checkpoint(case["variables"], network, case["data_format"])
    x, cotangent = (
        tf.constant(relaid(case[name], case["data_format"], data_format)) for name in ("input", "cotangent")
    )
    inputs = x if case["label"] is None else {"x": x, "y": tf.constant(case["label"])}

    out_eval = network(inputs)
    with tf.GradientTape() as tape:
        tape.watch(x)
        out_train = network(inputs, training=True)
        value = tf.reduce_sum(out_train * cotangent)
    trainable = {tf1.original_name(v): v for v in network.trainable_variables}
    assert trainable.keys() | {"input"} == case["gradients"].keys()
    gradients = tape.gradient(value, {name: v.value for name, v in trainable.items()} | {"input": x})

    for name, output in (("out_eval", out_eval), ("out_train", out_train)):
        found = golden_data.sampled(relaid(output, data_format, case["data_format"]))
        close(found, case[name], 1e-5, name)
    found = golden_data.sampled(relaid(gradients.pop("input"), data_format, case["data_format"]))
    close(found, case["gradients"]["input"], 1e-4, "gradient of the input")
    for name, gradient in gradients.items():
        close(gradient, ours(name, case["gradients"][name], case), 1e-4, f"gradient of {name}")
    states = {tf1.original_name(v): v for v in network.non_trainable_variables}
    assert states.keys() == case["after_update"].keys()
    for name, state in states.items():
        close(state, ours(name, case["after_update"][name], case), 1e-5, name)
