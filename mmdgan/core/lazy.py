"""Package faces whose names load on first use, and modules that are imported when they are first used."""

from __future__ import annotations

import ast
import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.startup import importing


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The `__getattr__`, `__dir__` and `__all__` of a package, read from the `if TYPE_CHECKING:` block of its face.

    So a face says once what it exports: with the imports that type checkers and editors read.

        if TYPE_CHECKING:
            from mmdgan.training.step import GanStep as GanStep

        __getattr__, __dir__, __all__ = lazy.attach(__name__)

    Args:
        package: Name of the package.

    Returns:
        What to bind to the three names (PEP 562).
    """
    module = sys.modules[package]
    homes = _homes(Path(module.__file__ or "").read_text(encoding="utf-8"))

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, attribute = homes[name]
        with importing():
            try:
                return importlib.import_module(f"{home}.{attribute}")
            except ModuleNotFoundError as error:
                if error.name != f"{home}.{attribute}":
                    raise
            return getattr(importlib.import_module(home), attribute)

    return load, lambda: sorted(vars(module)["__all__"]), sorted(homes)


def _homes(source: str) -> dict[str, tuple[str, str]]:
    """The names that a face imports for type checkers: name -> (module, name there)."""
    homes = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for statement in node.body:
                if isinstance(statement, ast.ImportFrom) and statement.module:
                    for alias in statement.names:
                        if alias.asname:
                            homes[alias.asname] = (statement.module, alias.name)
    return homes


class _LazyModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
else:
    # For modules that declare what must be known without NumPy and TensorFlow, such as the names of losses: each is
    # imported when one of its attributes is first read. Annotations do not read it where they are strings; default
    # arguments do.
    np = _LazyModule("numpy")
    tf = _LazyModule("tensorflow")
