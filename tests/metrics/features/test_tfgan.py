"""How tensorflow-gan is loaded, and what is said when it cannot be."""

import subprocess
import sys

import numpy as np
import pytest

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.metrics.features import tfgan


def test_only_the_evaluation_modules_are_loaded():
    module = tfgan.load()
    assert module.__name__ == "tensorflow_gan.python.eval.classifier_metrics"
    assert not any(name.startswith("tensorflow_gan.python.estimator") for name in sys.modules)


def _hide(monkeypatch, package):
    for name in list(sys.modules):
        if name.split(".")[0] in (package, "tensorflow_hub") or name.endswith("eval.inception_metrics"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.parametrize(
    ("package", "remedy"), [("pkg_resources", "setuptools<82"), ("tensorflow_hub", "tensorflow-hub")]
)
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, package, remedy):
    _hide(monkeypatch, package)
    with pytest.raises(MetricError, match=f"{package}.*pip install '{remedy}'"):
        tfgan.load("inception_metrics")
    features = np.random.default_rng(0).normal(size=(20, 3))
    assert metrics.frechet_distance(features, features) == pytest.approx(0.0, abs=1e-8)


def _hidden_from_the_start(package):
    code = f"""
import sys
sys.modules["{package}"] = None
import numpy, mmdgan.metrics, mmdgan.errors
try:
    mmdgan.metrics.classifier_score(numpy.eye(3))
except mmdgan.errors.MetricError as error:
    print(error)
print("tensorflow_gan" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return ran.stdout.strip().splitlines(), ran.stderr


def test_tf_keras_hidden():
    lines, errors = _hidden_from_the_start("tf_keras")
    assert len(lines) == 2, errors
    assert "tf_keras" in lines[0] and "pip install 'tf-keras'" in lines[0]
    assert lines[1] == "False"


def test_tensorflow_gan_missing(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorflow_gan"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(tfgan.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MetricError, match="pip install 'tensorflow-gan==2.1.0'"):
        tfgan.load()
