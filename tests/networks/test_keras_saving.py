"""Keras restores every network with nothing imported but mmdgan, before Keras or after it."""

from __future__ import annotations

import importlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmdgan
from mmdgan.networks import keras_names
from mmdgan.training import GanStep
from tests.conformance.descriptions import NETWORKS
from tests.conftest import script_environment
from tests.helpers import import_graph

# keras as far as `mmdgan.networks.keras_names` asks for it
FAKE_KERAS = """
from types import ModuleType
import sys
saving = sys.modules["keras.saving"] = ModuleType("keras.saving")
found = {"mmdgan>Network": "there before"}
saving.get_custom_objects = lambda: found
"""
NAMES = """
import sys
finders = len(sys.meta_path)
{imports}
assert "tensorflow" not in sys.modules and len(sys.meta_path) == finders, sys.meta_path
print(len(keras.saving.get_custom_objects()), keras.saving.get_custom_objects()["mmdgan>Network"])
"""


@pytest.mark.parametrize(
    "imports",
    [
        "import mmdgan, keras",
        "import keras, mmdgan",
        "import mmdgan, mmdgan.errors, importlib.util; assert importlib.util.find_spec('keras'); import keras.saving",
        "import mmdgan; import keras; import importlib; importlib.reload(keras); importlib.reload(mmdgan)",
    ],
)
def test_keras_knows_the_names_whenever_it_is_imported(imports, tmp_path):
    (tmp_path / "keras.py").write_text(FAKE_KERAS, encoding="utf-8")
    environment = script_environment()
    environment["PYTHONPATH"] = f"{tmp_path}:{environment['PYTHONPATH']}"
    command = [sys.executable, "-c", NAMES.format(imports=imports)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[0] == f"{_number_of_classes()} there before", done.stderr


def test_without_keras_only_importing_it_fails():
    code = "import sys; sys.modules['keras'] = None; import mmdgan; print('fine')"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=script_environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout == "fine\n", done.stderr


def test_the_names_are_those_that_keras_has_once_all_is_imported():
    for module, names in keras_names.classes().items():
        for name in names:
            cls = getattr(importlib.import_module(module), name)
            assert keras.saving.get_registered_name(cls) == f"mmdgan>{name}"
            assert keras_names.StandIn(module, name).load() is cls
    for module in import_graph.modules():
        if module != "mmdgan.__main__":
            importlib.import_module(module)
    ours = {name for name in keras.saving.get_custom_objects() if name.startswith("mmdgan>")}
    assert ours == {f"mmdgan>{name}" for names in keras_names.classes().values() for name in names}
    assert {"mmdgan>Network", "mmdgan>SpectralDense", "mmdgan>Adam"} <= ours


def test_stand_ins_make_the_objects_that_a_configuration_describes(monkeypatch):
    """Nested ones too: initialisers within layers within a model."""
    from mmdgan.layers import ConditionalBatchNorm, SpectralDense

    layer = SpectralDense(3, name="dense", kernel_initializer=mmdgan.layers.initializers.ActivationInitializer("relu"))
    model = keras.Sequential([keras.Input((2,)), layer])
    config = keras.saving.serialize_keras_object(model)
    registered = keras.saving.get_custom_objects()
    for module, names in keras_names.classes().items():
        for name in names:
            monkeypatch.setitem(registered, f"mmdgan>{name}", keras_names.StandIn(module, name))
    twin = keras.saving.deserialize_keras_object(config)
    assert type(twin.layers[0]) is SpectralDense and twin.layers[0].get_config() == layer.get_config()
    assert twin.layers[0].kernel_initializer.activation == "relu"
    stand_in = keras.saving.get_registered_object("mmdgan>ConditionalBatchNorm")
    assert type(stand_in(num_class=3)) is ConditionalBatchNorm
    assert "ConditionalBatchNorm" in repr(stand_in)


# Runs in a process of its own, in the folder of the files.
LOADING = """
{imports}
import pathlib
import sys
assert "mmdgan.networks.network" not in sys.modules
networks = {{path.stem: keras.saving.load_model(path) for path in sorted(pathlib.Path().glob("*.keras"))}}
import numpy as np
for name, net in networks.items():
    seen = dict(np.load(f"{{name}}.npz"))
    x = {{"x": seen.pop("x"), "y": seen.pop("y")}} if net.conditional else seen.pop("x")
    outputs = net(x)
    for key, value in (outputs if isinstance(outputs, dict) else {{"out": outputs}}).items():
        np.testing.assert_allclose(value, seen.pop("output " + key), rtol=1e-6, atol=1e-6, err_msg=name)
    seen.pop("y", None)
    assert len(seen) == len(net.variables) > 0
    for variable in net.variables:
        np.testing.assert_array_equal(variable, seen[variable.path.replace("/", "|")], name)
print(len(networks), "networks")
"""
KINDS = "project_dcd class_norm cck_pim tcck_pico sc_pico weights_pg_paper response_norm res_class_norm nl_pool_dist"
GRAPHS = "pairwise_and_sum split_and_concat outputs"


@pytest.mark.slow
@pytest.mark.parametrize("imports", ["import mmdgan, keras", "import keras, mmdgan"])
def test_networks_of_every_kind_in_a_new_process(imports, tmp_path):
    """Their outputs are those of the originals, and so are all variables, vectors and moving averages among them."""
    networks = {d.name: d.make() for d in NETWORKS if d.name in (KINDS + " " + GRAPHS).split()}
    assert len(networks) == 12
    for preset, precision in (("sample/DCGAN_SMALL", "bf16"), ("sngan/PROJECTION_32_QUARTER", "fp16")):
        architecture = mmdgan.load_architecture(preset)
        num_class = 10 if "PROJECTION" in preset else 0
        options = {"precision": precision, "data_format": "channels_last", "num_class": num_class}
        networks[f"{precision}_gen"] = mmdgan.build_generator(architecture, **options)
        networks[f"{precision}_dis"] = mmdgan.build_discriminator(architecture, **options)
    rng = np.random.default_rng(0)
    for name, net in networks.items():
        shape = net.spec.input_shape
        x = rng.standard_normal((4, *shape[1:], shape[0])).astype("float32")
        labels = {"y": np.array([[0], [1], [2], [1]], "int32")} if net.conditional else {}
        inputs = {"x": x, **labels} if labels else x
        net(inputs, training=True)
        net.save(tmp_path / f"{name}.keras")
        outputs = net(inputs)
        named = outputs if isinstance(outputs, dict) else {"out": outputs}
        seen = {f"output {key}": np.asarray(value) for key, value in named.items()}
        values = {v.path.replace("/", "|"): np.asarray(v) for v in net.variables}
        np.savez(tmp_path / f"{name}.npz", x=x, **labels, **seen, **values)
    command = [sys.executable, "-c", LOADING.format(imports=imports)]
    done = subprocess.run(command, cwd=tmp_path, env=script_environment(), capture_output=True, text=True, timeout=600)
    assert done.stdout == "16 networks\n", done.stderr[-3000:]


@pytest.fixture
def eagerly():
    """Functions are not compiled: a step or two are faster so."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def trained(eagerly):
    """A small GAN after two steps: (generator, critic, images, codes)."""
    keras.utils.set_random_seed(0)
    generator = [
        {"name": "l1", "op": "d", "out": 48, "out_reshape": [3, 4, 4], "act": "relu", "act_nm": "bn"},
        {"name": "l2", "op": "tc", "out": 3, "kernel": 4, "strides": 2, "act": "tanh"},
    ]
    critic = [
        {"name": "l1", "out": 4, "kernel": 4, "strides": 2, "act": "lrelu", "w_nm": "s", "out_reshape": [64]},
        {"name": "l2", "op": "d", "out": 2, "w_nm": "s"},
    ]
    networks = [
        mmdgan.build_network(generator, (5,), "gen", data_format="channels_last"),
        mmdgan.build_network(critic, (3, 8, 8), "dis", data_format="channels_last"),
    ]
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (8, 8, 8, 3)).astype("float32")
    codes = rng.standard_normal((8, 5)).astype("float32")
    gan = GanStep(*networks, mmdgan.losses.get("rep"), lr_dis=1e-3, lr_gen=1e-3)
    for _ in range(2):
        gan.step(images, codes)
    return *networks, images, codes


@pytest.mark.parametrize("form", ["keras", "weights.h5"])
def test_the_next_step_is_that_of_the_originals(form, trained, tmp_path):
    """With new optimisers on both sides: those of a GAN are in its checkpoints, not in its networks' files."""
    *originals, images, codes = trained
    begun = [net.get_weights() for net in originals]
    twins = []
    for net in originals:
        path = tmp_path / f"{net.name}.{form}"
        if form == "keras":
            net.save(path)
            twins.append(keras.saving.load_model(path))
        else:
            net.save_weights(path)
            twins.append(type(net).from_config(net.get_config()))
            twins[-1].load_weights(path)
        assert [v.path for v in twins[-1].variables] == [v.path for v in net.variables]
        for value, expected in zip(twins[-1].get_weights(), net.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)
    losses = [
        GanStep(*pair, mmdgan.losses.get("rep"), lr_dis=1e-3, lr_gen=1e-3).step(images, codes)
        for pair in (originals, twins)
    ]
    for name in ("loss_gen", "loss_dis"):
        np.testing.assert_allclose(losses[1][name], losses[0][name], rtol=1e-6)
    for net, twin, before in zip(originals, twins, begun, strict=True):
        for variable, expected, start in zip(twin.variables, net.get_weights(), before, strict=True):
            np.testing.assert_allclose(variable, expected, rtol=1e-6, atol=1e-7, err_msg=variable.path)
            assert np.abs(expected - start).max() > 1e-6, variable.path


@pytest.mark.parametrize("name", ["project_pico", "bilinear_up", "outputs"])
def test_a_network_exports_without_having_been_called(name, tmp_path):
    """Labels stay integers; the batch is free."""
    [description] = [d for d in NETWORKS if d.name == name]
    net = description.make()
    net.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    shape = net.spec.input_shape
    for batch in (2, 3):
        x = tf.random.stateless_normal((batch, *shape[1:], shape[0]), (0, batch))
        inputs = {"x": x, "y": tf.constant([[1], [2], [0]][:batch])} if net.conditional else x
        found, expected = loaded.serve(inputs), net(inputs)
        tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)
    signature = loaded.signatures["serving_default"].structured_input_signature[1]
    assert {key: spec.dtype.name for key, spec in signature.items()} == (
        {"x": "float32", "y": "int32"} if net.conditional else {"x": "float32"}
    )


def _number_of_classes() -> int:
    return sum(map(len, keras_names.classes().values()))


@pytest.mark.parametrize("ending", [".h5", ".hdf5"])
def test_hdf5_files_load_with_nothing_but_mmdgan(ending, tmp_path):
    network = mmdgan.build_network(
        [
            {"name": "l1", "out": 4, "w_nm": "s", "act": "lrelu", "act_nm": "bn"},
            {"name": "l2", "op": "i", "out_reshape": [64]},
        ],
        (3, 4, 4),
        data_format="channels_last",
    )
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "scores.npy", network(images))
    network.save(tmp_path / f"network{ending}")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / f"network{ending}")(images), network(images))
    code = (
        "import sys, keras, mmdgan, numpy as np\n"
        f"network = keras.saving.load_model('network{ending}')\n"
        "np.testing.assert_array_equal(network(np.load('images.npy')), np.load('scores.npy'))\nprint('same')\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=script_environment(), cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.stdout.endswith("same\n"), done.stderr
