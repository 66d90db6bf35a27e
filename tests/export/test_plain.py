"""Networks in standard Keras layers equal ours in inference: everything that a dictionary can name, every preset."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan.core.errors import ConfigError
from mmdgan.export.exporter import TOLERANCE
from mmdgan.export.formats import InferenceNetwork, run_onnx, write_onnx
from mmdgan.export.plain import float32_network, plain_model
from tests.conformance.descriptions import NETWORKS, PRESETS

BATCH = 3
TWINS = [preset for preset in PRESETS if not preset.twin and not preset.slow]
"""Without the deepest networks: with random weights their outputs are all alike, or rounding grows in them."""


def randomise(net, seed=0):
    """Draws all variables anew: what starts at zero or one would hide mistakes."""
    rng = np.random.default_rng(seed)
    for variable in net.variables:
        shape, fan = variable.shape, np.prod(variable.shape[:-1]) or 1
        if variable.name == "moving_variance":
            value = rng.uniform(0.5, 1.5, shape)
        elif variable.name in ("gamma", "scale"):
            value = rng.uniform(0.7, 1.3, shape)
        elif variable.name in ("kernel", "depthwise_kernel", "pointwise_kernel") and len(shape) > 1:
            value = rng.standard_normal(shape) * 1.5 / np.sqrt(fan)
        else:
            value = rng.uniform(-0.5, 0.5, shape)
        variable.assign(value)
    return net


def inputs(net, seed=1):
    """(x, labels (N,) or None) for a network in channels_last."""
    rng = np.random.default_rng(seed)
    shape = net.spec.input_shape
    x = (2 * rng.standard_normal((BATCH, *shape[1:], shape[0]))).astype("float32")
    return x, rng.integers(0, net.spec.num_class, BATCH).astype("int32") if net.conditional else None


def ours(net, x, labels):
    """The network's outputs by name."""
    found = net(x if labels is None else {"x": x, "y": labels[:, None]}, training=False)
    return found if isinstance(found, dict) else {"output": found}


def theirs(model, x, labels):
    """The plain model's outputs by name."""
    found = model(x if labels is None else [x, labels], training=False)
    return found if isinstance(found, dict) else {"output": found}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, y in expected.items():
        y = np.asarray(y)
        assert np.std(y) > 1e-3, "outputs that are all alike prove nothing"
        assert np.shape(found[name]) == y.shape
        np.testing.assert_allclose(found[name], y, rtol=0, atol=TOLERANCE * max(1.0, np.abs(y).max()), err_msg=name)


def check(net, anew=False):
    """A network against its plain model, which may be built anew from its own configuration."""
    x, labels = inputs(net)
    model = plain_model(net, "plain", "x")
    config = model.to_json()
    assert "mmdgan" not in config
    for layer in model.layers:
        assert getattr(keras.layers, type(layer).__name__) is type(layer)
    if anew:
        weights, model = model.get_weights(), keras.models.model_from_json(config)
        model.set_weights(weights)
    assert_equal(theirs(model, x, labels), ours(net, x, labels))


@pytest.mark.parametrize("description", NETWORKS, ids=lambda description: description.name)
def test_everything_that_a_dictionary_names(description):
    check(randomise(description.make()))


def transposed(padding, kernel, strides):
    """A transposed convolution; 'VALID' ones and windows smaller than their strides are peculiar to no other test."""
    layer = {"name": "l", "op": "tcck", "out": 3, "kernel": kernel, "strides": strides, "padding": padding}
    return randomise(mmdgan.build_network([layer], (2, 3, 4), num_class=3, data_format="channels_last"))


WINDOWS = [(padding, *window) for padding in ("SAME", "VALID") for window in ((1, 2), (1, 3), (2, 3), (3, 2), (4, 2))]


@pytest.mark.parametrize("window", WINDOWS)
def test_transposed_windows(window):
    check(transposed(*window))


@pytest.mark.parametrize(
    "preset",
    # The wide network has the layers of its quarter.
    [pytest.param(p, id=p.name, marks=[pytest.mark.slow] * (p.name == "cifar10/DCGAN")) for p in TWINS],
)
@pytest.mark.parametrize("build", [mmdgan.build_generator, mmdgan.build_discriminator])
def test_presets(preset, build):
    check(
        randomise(build(mmdgan.load_architecture(preset.name), preset.num_class, data_format="channels_last")),
        anew=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "description", [d for d in NETWORKS if len(d.spec.outputs) == 1], ids=lambda description: description.name
)
def test_everything_in_onnx(description, tmp_path):
    check_in_onnx(randomise(description.make()), tmp_path / "net.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS)
def test_transposed_windows_in_onnx(window, tmp_path):
    check_in_onnx(transposed(*window), tmp_path / "net.onnx")


def check_in_onnx(net, path):
    """A network against its ONNX file."""
    for package in ("onnx", "onnxruntime", "tf2onnx"):
        pytest.importorskip(package)
    x, labels = inputs(net)
    network = InferenceNetwork(net, "critic")
    write_onnx(network, path)
    assert_equal({"output": run_onnx(network, path, x, labels)}, ours(net, x, labels))


@pytest.mark.parametrize("precision", ["bf16", "fp16", "float64"])
def test_networks_of_other_precision_and_layout_become_float32(precision):
    architecture = mmdgan.load_architecture("sample/PROJECTION_SMALL")
    options = {"data_format": "channels_first", "precision": precision}
    net = randomise(mmdgan.build_generator(architecture, 10, **options))
    copy = float32_network(net)
    x, labels = inputs(copy)
    given = tf.cast(x, "float64") if precision == "float64" else x
    expected = np.asarray(ours(net, given, labels)["output"]).transpose(0, 2, 3, 1)
    found = np.asarray(theirs(plain_model(copy, "plain", "codes"), x, labels)["output"])
    assert found.dtype == np.float32
    tolerance = {"float64": 1e-5, "fp16": 0.04, "bf16": 0.3}[precision]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_any_batch_and_labels_in_a_column():
    net = randomise(mmdgan.build_generator(mmdgan.load_architecture("sample/PROJECTION_SMALL"), 10))
    model = plain_model(float32_network(net), "generator", "codes")
    assert [tensor.name for tensor in model.inputs] == ["codes", "labels"]
    codes = np.random.default_rng(0).standard_normal((5, 128)).astype("float32")
    labels = np.arange(5, dtype="int32")
    whole = np.asarray(model([codes, labels]))
    np.testing.assert_allclose(model([codes[:1], labels[:1]]), whole[:1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model([codes, labels[:, None]]), whole, rtol=0, atol=1e-5)
    assert np.abs(np.asarray(model([codes, labels[::-1].copy()])) - whole).max() > 0.01


def test_layers_whose_plain_parts_would_have_the_same_names():
    layers = [
        {"name": "l", "op": "c", "out": 3, "act_nm": "cbn"},
        {"name": "l_BN", "op": "c", "out": 3, "scale": ["unpool", 2]},
    ]
    net = randomise(mmdgan.build_network(layers, (2, 4, 6), num_class=3, data_format="channels_last"))
    names = [layer.name for layer in plain_model(net, "plain", "x").layers]
    assert {"l_BN_scale", "l_BN_scale_2"} <= set(names)
    check(net)


def test_what_cannot_be_written_in_plain_layers(monkeypatch):
    layers = [{"name": "l1", "op": "c", "out": 3}, {"name": "l2", "op": "c", "out": 3, "act_nm": "lrn"}]
    net = randomise(mmdgan.build_network(layers, (2, 4, 6), name="gen", data_format="channels_last"))
    monkeypatch.delattr(keras.layers, "RMSNormalization")
    with pytest.raises(ConfigError, match="gen, layer 'l2', key 'act_nm': 'lrn' needs Keras 3.9 .* savedmodel or onnx"):
        plain_model(net, "generator", "codes")
    # The other forms then compute with our own layers.
    x, _ = inputs(net)
    function, variables = InferenceNetwork(net, "generator").function()
    assert len(variables) == len(net.variables)
    assert_equal({"output": function(x)["images"]}, ours(net, x, None))
