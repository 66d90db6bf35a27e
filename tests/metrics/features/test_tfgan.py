"""How tensorflow-gan is loaded, and what is said when it cannot be."""

import subprocess
import sys
import types

import pytest

from mmdgan.core.errors import MetricError
from mmdgan.metrics.features import tfgan

EMPTY = """
import sys
for name in {hidden}:
    sys.modules[name] = None
before = set(sys.modules)
import numpy as np, mmdgan.metrics, mmdgan.metrics.features.tfgan as tfgan
features = np.random.default_rng(0).normal(size=(20, 3))
other = features + 1
values = [mmdgan.metrics.frechet_distance(features, other), mmdgan.metrics.kernel_distance(features, other)]
values.append(mmdgan.metrics.classifier_score(features))
assert np.isfinite(np.asarray([np.mean(value) for value in values])).all(), values
tfgan.load("sliced_wasserstein").laplacian_pyramid
wanted = ("tensorflow_gan", "tensorflow_probability", "tensorflow_hub", "tf_keras", "pkg_resources")
print(sorted(name for name in set(sys.modules) - before if name.split(".")[0] in wanted))
"""


@pytest.mark.parametrize("hidden", [[], ["tensorflow_probability", "tensorflow_hub", "tf_keras", "pkg_resources"]])
def test_scores_need_tensorflow_gan_alone_and_leave_no_stand_ins(hidden):
    code = EMPTY.format(hidden=hidden)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout == "[]\n", ran.stderr


def test_modules_of_the_program_are_put_back(monkeypatch):
    own = {name: types.ModuleType(name) for name in ("tensorflow_probability", "tensorflow_probability.stats")}
    for name, module in own.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(tfgan, "_loaded", {})
    module = tfgan.load()
    assert module.__name__ == "tensorflow_gan.python.eval.classifier_metrics"
    assert all(sys.modules[name] is module for name, module in own.items())
    assert tfgan.load() is module


def test_tensorflow_gan_missing(monkeypatch):
    monkeypatch.setattr(tfgan, "_loaded", {})
    monkeypatch.setattr(tfgan.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MetricError, match="pip install 'tensorflow-gan==2.1.0'"):
        tfgan.load()
