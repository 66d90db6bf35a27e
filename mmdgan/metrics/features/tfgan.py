"""Loads the evaluation modules of tensorflow-gan.

tensorflow-gan 2.1.0 is the last release, and `import tensorflow_gan` fails since TensorFlow 2.16 dropped tf.estimator.
Its evaluation modules still work. They are imported below packages that are present but empty, so that none of
tensorflow-gan's `__init__` files runs, and with an empty module in place of tensorflow-probability, which no function
that is used here calls. Afterwards `sys.modules` is as it was: another `import tensorflow_gan` finds none of this.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmdgan.core.errors import MetricError

_PACKAGE, _PROBABILITY = "tensorflow_gan", "tensorflow_probability"

_loaded: dict[str, types.ModuleType] = {}
_loading = threading.Lock()


def load(name: str = "classifier_metrics") -> types.ModuleType:
    """Imports one of tensorflow-gan's evaluation modules.

    Args:
        name: Name of the module in `tensorflow_gan.python.eval`: "classifier_metrics" (distances and scores from
            features) or "sliced_wasserstein".

    Returns:
        The module. Look functions up in it when they are called, so that replacing one takes effect.

    Raises:
        MetricError: tensorflow-gan is missing; the message says what to install.
    """
    with _loading:
        if name not in _loaded:
            try:
                with _stand_ins():
                    _loaded[name] = importlib.import_module(f"{_PACKAGE}.python.eval.{name}")
            except ImportError as error:
                raise MetricError(
                    f"tensorflow-gan, which computes the scores, cannot be imported ({error}): run `pip install "
                    "'tensorflow-gan==2.1.0'`."
                ) from error
        return _loaded[name]


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Within the block, tensorflow_gan, its `python` and its `eval`, and tensorflow-probability are empty.

    Modules of these names that the program has imported are put back.
    """
    before = {name: module for name, module in sys.modules.items() if _is_covered(name)}
    root = _root()
    for name in before:
        del sys.modules[name]
    try:
        for name in (_PACKAGE, f"{_PACKAGE}.python", f"{_PACKAGE}.python.eval"):
            package = sys.modules[name] = types.ModuleType(name)
            package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[_PROBABILITY] = types.ModuleType(_PROBABILITY)
        yield
    finally:
        for name in [name for name in sys.modules if _is_covered(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _is_covered(name: str) -> bool:
    return name.split(".")[0] in (_PACKAGE, _PROBABILITY)


def _root() -> Path:
    """The folder of tensorflow-gan."""
    try:
        spec = importlib.util.find_spec(_PACKAGE)
    except ValueError:  # a module without a spec: another's stand-in
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    return Path(next(iter(spec.submodule_search_locations)))
