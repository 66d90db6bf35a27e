"""Exported networks, loaded by programs that have no mmdgan; what is in the folder; what is refused."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.export import export_network, exporter, formats
from mmdgan.runs.folder import RunFolder
from tests.conftest import script_environment

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")


@pytest.fixture(scope="module")
def tiny(tiny_run):
    """The folder of the unconditional run: its generator is TINY, its critic has spectral norms."""
    return RunFolder.open(tiny_run[1])


@pytest.fixture(scope="module")
def conditional(conditional_run):
    """The folder of the run with 10 classes: conditional batch norm, label projection."""
    return RunFolder.open(conditional_run[1])


STAGE = """
os.chdir({folder!r})
without = {without!r}
sys.modules.update(dict.fromkeys(without))
scope = {{}}
exec({code!r}, scope)
found = [name for name in sys.modules if name.split(".")[0] in without and sys.modules[name]]
assert not found, found
names = "codes", "labels", "images", "scores", "pixels"
scope["np"].savez({results!r}, **{{name: scope[name] for name in names if name in scope}})
for name in without:
    del sys.modules[name]
"""


def as_the_cards_say(stages, folder):
    """What the code of cards computes, in one process: for each (export, packages that it cannot import) the arrays."""
    program, files = ["import os, sys"], []
    for number, (done, without) in enumerate(stages):
        card = (done.folder / "README.md").read_text(encoding="utf-8")
        [code] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
        files.append(folder / f"{number}.npz")
        program.append(STAGE.format(folder=str(done.folder), without=without, code=code, results=str(files[-1])))
    # Without mmdgan also -I: neither PYTHONPATH nor the present folder.
    isolated = ["-I"] if all("mmdgan" in without for _, without in stages) else []
    done = subprocess.run(
        [sys.executable, *isolated, "-c", "\n".join(program)],
        env=script_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [dict(np.load(file)) for file in files]


@pytest.fixture(scope="module")
def others(tiny, conditional, tmp_path_factory):
    """Exports for programs without mmdgan: format -> (the export, what its card's code computes)."""
    folder = tmp_path_factory.mktemp("others")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        done = {
            "savedmodel": export_network(tiny, "savedmodel", folder / "savedmodel", step=2),
            "keras": export_network(conditional),
        }
        without = {"savedmodel": ["mmdgan", "keras", "tf_keras"], "keras": ["mmdgan"]}
        if all(map(importlib.util.find_spec, ("onnx", "onnxruntime", "tf2onnx"))):
            done = {"onnx": export_network(conditional, "onnx", folder / "onnx"), **done}
            without["onnx"] = ["mmdgan", "keras", "tensorflow", "tf2onnx"]
    # In this order, in which each program may import more than the one before.
    found = as_the_cards_say([(export, without[name]) for name, export in done.items()], folder)
    return dict(zip(done, zip(done.values(), found, strict=True), strict=True))


def of_the_run(net, x, labels=None):
    """What a run's own network gives."""
    return np.asarray(net(x if labels is None else {"x": x, "y": labels[:, None]}))


def assert_near(found, expected):
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_keras_without_mmdgan(conditional, others):
    done, found = others["keras"]
    assert done.folder == conditional.path / "export" / "2_keras" and done.step == 2
    assert sorted(path.name for path in done.folder.iterdir()) == ["README.md", "generator.keras", "samples.png"]
    assert done.bytes == done.model.stat().st_size and done.difference < 1e-5
    assert found["codes"].shape == (4, 8) and found["labels"].tolist() == [0, 1, 0, 1]
    expected = of_the_run(conditional.load_generator()[0], found["codes"], found["labels"])
    assert_near(found["images"], expected)
    np.testing.assert_array_equal(found["pixels"], np.rint((found["images"] + 1) * 127.5))


def test_saved_model_with_tensorflow_alone(tiny, others):
    done, found = others["savedmodel"]
    assert done.step == 2 and (done.model / "saved_model.pb").is_file()
    expected = of_the_run(tiny.load_generator(2)[0], found["codes"])
    assert_near(found["images"], expected)
    assert np.abs(expected - of_the_run(tiny.load_generator(4)[0], found["codes"])).max() > 1e-4


def test_onnx_with_a_runtime_alone(conditional, others):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    done, found = others["onnx"]
    expected = of_the_run(conditional.load_generator()[0], found["codes"], found["labels"])
    assert_near(found["images"], expected)
    model = onnx.load(done.model)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [17]
    shapes = {
        tensor.name: [dim.dim_param or dim.dim_value for dim in tensor.type.tensor_type.shape.dim]
        for tensor in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"codes": ["batch", 8], "labels": ["batch"], "images": ["batch", 32, 32, 3]}


@pytest.mark.slow
def test_a_critic_in_keras_keeps_its_layers(conditional, tmp_path):
    done = export_network(conditional, network="critic")
    assert done.folder.name == "2_critic_keras"
    assert sorted(path.name for path in done.folder.iterdir()) == ["README.md", "critic.keras"]
    [found] = as_the_cards_say([(done, [])], tmp_path)
    expected = of_the_run(conditional.load_critic()[0], found["images"], found["labels"])
    assert_near(found["scores"], expected)
    assert list(keras.saving.load_model(done.model).spectral_layers())


@pytest.mark.parametrize("run", ["tiny", "conditional"])
def test_a_critic_as_saved_model_is_plain(run, request, tmp_path):
    folder = request.getfixturevalue(run)
    done = export_network(folder, "savedmodel", tmp_path / "out", network="critic")
    loaded = tf.saved_model.load(str(done.model)).signatures["serving_default"]
    rng = np.random.default_rng(5)
    images, labels = rng.uniform(-1, 1, (7, 32, 32, 3)).astype("float32"), np.arange(7, dtype="int32")
    given, labels = ({"images": images}, None) if run == "tiny" else ({"images": images, "labels": labels}, labels)
    found = loaded(**{name: tf.constant(value) for name, value in given.items()})["scores"].numpy()
    assert_near(found, of_the_run(folder.load_critic()[0], images, labels))
    # Kernels are divided by their norms once and for all: no vector is left to iterate with.
    assert not [name for name in map(str, loaded.graph.get_operations()) if "in_rand" in name]


def test_the_picture_shows_the_run_s_first_fixed_codes(tiny, tmp_path):
    from PIL import Image

    from mmdgan import sampling

    done = export_network(tiny, out=tmp_path / "out")
    picture = np.asarray(Image.open(done.folder / "samples.png"))
    assert picture.shape == (4 * 32, 8 * 32, 3)
    images = sampling.generate(tiny.load_generator()[0], sampling.grid_codes(32, 8, 0))
    np.testing.assert_array_equal(picture[32:64, 64:96], images[10])


def test_an_export_is_replaced_only_on_request(tiny, tmp_path):
    out = tmp_path / "out"
    export_network(tiny, "savedmodel", out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds an export already; give --overwrite"):
        export_network(tiny, "keras", out)
    export_network(tiny, "keras", out, overwrite=True)
    names = sorted(path.name for path in out.iterdir())
    assert names == ["README.md", "generator.keras", "notes.txt", "samples.png"]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda out: (out / "README.md").write_text("mine"), "holds README.md of something else"),
        (lambda out: (out / "generator").mkdir(), "holds generator of something else"),
    ],
)
def test_other_people_s_files_stay(make, sentence, tiny, tmp_path):
    make(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError, match=sentence):
        export_network(tiny, out=tmp_path, overwrite=True)
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_refused(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    for options, sentence in [
        ({"format": "pb"}, "format is 'pb'; choose from keras, savedmodel, onnx"),
        ({"network": "both"}, "network is 'both'; choose from generator, critic"),
        ({"out": tmp_path / "net.keras"}, "name a folder"),
        ({"out": tmp_path / "file"}, "is a file; name a folder"),
        ({"out": tmp_path / "file" / "below"}, "cannot be written .*; give another --out"),
    ]:
        with pytest.raises(ConfigError, match=sentence):
            export_network(tiny, **options)
    with pytest.raises(CheckpointError, match="no checkpoint of step 3; it has those of the steps 2, 4"):
        export_network(tiny, step=3)
    with pytest.raises(CheckpointError, match="no best checkpoint"):
        export_network(tiny, step="best")
    with pytest.raises(ConfigError, match="is no run directory"):
        export_network(tmp_path)


def test_the_best_checkpoint(tiny, tmp_path):
    copy = RunFolder(tmp_path / "run")
    shutil.copytree(tiny.path, copy.path)
    (copy.checkpoints / "ckpt-2.best").touch()
    assert export_network(copy, step="best").folder == copy.path / "export" / "2_keras"


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "tf2onnx"])
def test_onnx_needs_its_packages(package, tiny, tmp_path, monkeypatch):
    for name in ("onnx", "onnxruntime", "tf2onnx"):
        monkeypatch.setitem(sys.modules, name, None if name == package else object())
    with pytest.raises(ConfigError, match=rf"needs the package {package}, .* pip install mmdgan\[onnx\]"):
        export_network(tiny, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_differs_is_not_written(tiny, tmp_path, monkeypatch):
    right = formats.FORMATS["keras"]

    def run(*arguments):
        return right.run(*arguments) + np.float32(5e-5)

    monkeypatch.setitem(formats.FORMATS, "keras", right._replace(run=run))
    with pytest.raises(RuntimeError, match="differs from the run's by 5e-05"):
        export_network(tiny, out=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    monkeypatch.setattr(exporter, "TOLERANCE", 6e-5)
    assert export_network(tiny, out=tmp_path / "out").difference == pytest.approx(5e-5, rel=0.1)
