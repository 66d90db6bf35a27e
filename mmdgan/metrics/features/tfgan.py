"""Loads the evaluation modules of tensorflow-gan.

tensorflow-gan 2.1.0 is the last release, and `import tensorflow_gan` fails since TensorFlow 2.16 dropped tf.estimator.
Its evaluation modules still work. They are imported under their own names, below packages that are present but empty:
none of tensorflow-gan's `__init__` files runs, so neither the estimators nor, for scores alone, tensorflow-hub are
needed.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import sys
import types
import warnings
from pathlib import Path

from mmdgan.core.errors import MetricError

# setuptools 81 is the last that brings pkg_resources, which tensorflow-hub imports; any setuptools brings distutils,
# which tensorflow-probability imports and Python 3.12 dropped.
_REMEDIES = {
    "tensorflow_gan": "tensorflow-gan==2.1.0",
    "tensorflow_probability": "tensorflow-probability",
    "tensorflow_hub": "tensorflow-hub",
    "tf_keras": "tf-keras",
    "pkg_resources": "setuptools<82",
    "distutils": "setuptools<82",
}


def load(name: str = "classifier_metrics") -> types.ModuleType:
    """Imports one of tensorflow-gan's evaluation modules.

    Args:
        name: Name of the module in `tensorflow_gan.python.eval`: "classifier_metrics" (distances and scores from
            features), "inception_metrics" (which needs tensorflow-hub), ...

    Returns:
        The module. Look functions up in it when they are called, so that replacing one takes effect.

    Raises:
        MetricError: A package is missing; the message says what to install.
    """
    module = f"tensorflow_gan.python.eval.{name}"
    if module in sys.modules:
        return sys.modules[module]
    added = _add_empty_packages()
    try:
        # What is missing is said once, below; the packages print paragraphs of their own and warn about pkg_resources.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = importlib.import_module(module)
            if name == "classifier_metrics":
                _ = loaded.tfp.stats.covariance  # loads lazily, and would fail in the middle of a score
    except ImportError as error:
        for package in [*added, module]:
            sys.modules.pop(package, None)
        raise _missing(error) from error
    return loaded


def _add_empty_packages() -> list[str]:
    """Registers tensorflow_gan, its `python` and its `eval` as empty packages where they are not loaded yet."""
    try:
        spec = importlib.util.find_spec("tensorflow_gan")
    except ValueError:  # a module without a spec: a stand-in, ours or another's
        spec = None
    root = Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None
    added = []
    for name in ("tensorflow_gan", "tensorflow_gan.python", "tensorflow_gan.python.eval"):
        if name in sys.modules:
            continue
        if root is None:
            raise _missing(ModuleNotFoundError(name="tensorflow_gan"))
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
        added.append(name)
    return added


def _missing(error: ImportError) -> MetricError:
    """The sentence for a package that cannot be imported."""
    package = (error.name or "").split(".")[0]
    if package not in _REMEDIES:
        return MetricError(f"tensorflow-gan, which computes the scores, cannot be imported: {error}.")
    return MetricError(
        f"tensorflow-gan, which computes the scores, needs the Python package {package}, which cannot be imported: "
        f"run `pip install '{_REMEDIES[package]}'`."
    )
