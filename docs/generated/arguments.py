"""Shows all arguments of the layers on their page, as `help` does (mmdgan.core.signatures)."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import griffe


class AllArguments(griffe.Extension):
    """Gives each public layer the docstring and the arguments that it has at run time."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        if pkg.name == "mmdgan":
            with contextlib.suppress(ImportError):  # the docs extra alone: no TensorFlow
                self._complete(pkg)

    def _complete(self, pkg: griffe.Module) -> None:
        from mmdgan import layers

        for name in layers.__all__:
            if inspect.isclass(kind := getattr(layers, name)):
                shown = pkg[f"{kind.__module__.partition('.')[2]}.{name}"]
                shown.docstring.value = inspect.getdoc(kind)
                found = inspect.signature(kind).parameters.values()
                shown.set_member("__init__", griffe.Function("__init__", parameters=_parameters(found), parent=shown))


def _parameters(found: Any) -> griffe.Parameters:
    own = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    kinds = {kind: griffe.ParameterKind[kind.name.lower()] for kind in (p.kind for p in found)}
    return griffe.Parameters(
        own,
        *(
            griffe.Parameter(
                p.name,
                kind=kinds[p.kind],
                default=None if p.default is p.empty else repr(p.default),
                annotation=None if p.annotation is p.empty else str(p.annotation),
            )
            for p in found
        ),
    )
