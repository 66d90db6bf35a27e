"""The names under which Keras finds this package's classes in a saved model: known after `import mmdgan` alone.

Keras knows a class once its module is imported, which takes TensorFlow. So Keras's dictionary of custom objects
(`keras.saving.get_custom_objects`) holds a stand-in under each name, which imports the class when a model asks for one
of its objects. The stand-ins are added when Keras is imported, before this package or after it.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

PACKAGE = "mmdgan"

_ROOMS = ("layers", "networks", "training")
_REGISTERED = re.compile(r'^@keras\.saving\.register_keras_serializable\(package="mmdgan"\)\nclass (\w+)', re.MULTILINE)


def classes() -> dict[str, list[str]]:
    """What each module registers with Keras as "mmdgan>NAME", read from the sources."""
    root = Path(__file__).parents[1]
    files = {f"{PACKAGE}.{room}.{file.stem}": file for room in _ROOMS for file in sorted((root / room).glob("*.py"))}
    found = {module: _REGISTERED.findall(file.read_text(encoding="utf-8")) for module, file in files.items()}
    return {module: names for module, names in found.items() if names}


class StandIn:
    """Stands for a class that is not imported yet, wherever Keras makes an object of it.

    The class registers itself when it is imported, and so takes the stand-in's place.

    Args:
        module: Name of the class's module.
        name: Name of the class.
    """

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.load()(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<class {self.module}.{self.name}, not imported yet>"

    def from_config(self, config: dict) -> Any:
        """Returns the object that a configuration describes."""
        return self.load().from_config(config)

    def load(self) -> Any:
        """Returns the class."""
        return getattr(importlib.import_module(self.module), self.name)


def announce() -> None:
    """Adds the names to Keras: now if it is imported, else as soon as it is."""
    if sys.modules.get("keras") is not None:
        _add()
    else:
        sys.meta_path.insert(0, _WhenKerasIsImported())


def _add() -> None:
    from keras.saving import get_custom_objects

    for module, names in classes().items():
        for name in names:
            get_custom_objects().setdefault(f"{PACKAGE}>{name}", StandIn(module, name))


class _WhenKerasIsImported:
    """A finder that finds Keras as the other finders do, and adds the names when Keras has been imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "keras":
            return None
        found = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            self._follow(spec.loader)
        return spec

    def _follow(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == "keras":
                with contextlib.suppress(ValueError):
                    sys.meta_path.remove(self)
                _add()

        loader.exec_module = exec_module
