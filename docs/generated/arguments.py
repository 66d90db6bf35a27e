"""Shows all arguments of layers and functions on their pages, as `help` does (mmdgan.core.signatures)."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import griffe


class AllArguments(griffe.Extension):
    """Gives each public layer the docstring, and layers and functions the arguments, that they have at run time."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        if pkg.name == "mmdgan":
            with contextlib.suppress(ImportError):  # the docs extra alone: no TensorFlow
                self._complete(pkg)

    def _complete(self, pkg: griffe.Module) -> None:
        from mmdgan import layers, losses, mmd, networks

        for package in (layers, losses, mmd, networks):
            for public in (getattr(package, name) for name in package.__all__):
                is_layer = package is layers and inspect.isclass(public)
                if not is_layer and "__signature__" not in getattr(public, "__dict__", {}):
                    continue
                shown = pkg[f"{public.__module__.partition('.')[2]}.{public.__name__}"]
                found = [_parameter(p) for p in inspect.signature(public).parameters.values()]
                if is_layer:
                    shown.docstring.value = inspect.getdoc(public)
                    own = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
                    function = griffe.Function("__init__", parameters=griffe.Parameters(own, *found), parent=shown)
                    shown.set_member("__init__", function)
                else:
                    written = {p.name: p for p in shown.parameters}  # with links in their types
                    shown.parameters = griffe.Parameters(*(written.get(p.name, p) for p in found))


def _parameter(p: inspect.Parameter) -> griffe.Parameter:
    return griffe.Parameter(
        p.name,
        kind=griffe.ParameterKind[p.kind.name.lower()],
        default=None if p.default is p.empty else repr(p.default),
        annotation=None if p.annotation is p.empty else str(p.annotation),
    )
