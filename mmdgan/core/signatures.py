"""Signatures and help texts that show every argument where the code passes `**kwargs` on.

`inspect.signature`, `help` and completion then know the options of a function, and all arguments of a layer, those of
its base classes too.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable)

_STARRED = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
_ARGS = re.compile(r"^ *Args:\n((?: +\S.*\n?)+)", re.MULTILINE)
_ENTRY = re.compile(r"^( +)(\w+)(?= ?[(:])", re.MULTILINE)


def takes(*names: str) -> Callable[[F], F]:
    """Shows keyword-only arguments of these names, by default None, in place of a function's `**options`."""
    return _shows({name: Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in dict.fromkeys(names)})


def takes_options_of(other: Callable, *but: str) -> Callable[[F], F]:
    """Shows the keyword-only arguments of another callable, but for some, in place of a function's `**options`."""
    found = inspect.signature(other).parameters
    return _shows({n: p for n, p in found.items() if p.kind == Parameter.KEYWORD_ONLY and n not in but})


def _shows(options: dict[str, Parameter]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        own = inspect.signature(function)
        kept = [parameter for parameter in own.parameters.values() if parameter.kind != Parameter.VAR_KEYWORD]
        added = [parameter for name, parameter in options.items() if name not in own.parameters]
        function.__signature__ = own.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
        return function

    return decorate


class AllArguments:
    """A class's `__signature__`, in which `*args` and `**kwargs` stand for the arguments of its base classes.

    A class names in `fixed_arguments` those of its base classes that it chooses itself.

    Args:
        last: The base class whose own `*args` and `**kwargs` are left out.
    """

    def __init__(self, last: type) -> None:
        self.last = last

    def __get__(self, instance: Any, kind: type) -> Signature:
        if instance is not None:  # what a call of the object takes is another matter
            raise AttributeError("__signature__")
        return _of_class(kind, self.last)


def with_all_arguments(text: str | None, kind: type) -> str | None:
    """A class's docstring, whose section "Args:" has an entry for each argument that a base class describes."""
    if text is None:
        return None
    text = inspect.cleandoc(text)
    described: dict[str, str] = {}
    for base in kind.__mro__:
        for name, entry in _entries(text if base is kind else inspect.getdoc(base) or "").items():
            described.setdefault(name, entry)
    known = [described[name] for name in inspect.signature(kind).parameters if name in described]
    if not known:
        return text
    section = "Args:\n" + "\n".join(known) + "\n"
    return _ARGS.sub(lambda _: section, text, count=1) if _ARGS.search(text) else f"{text}\n\n{section}"


def _entries(text: str) -> dict[str, str]:
    """The entries of a docstring's section "Args:", by the argument's name."""
    section = _ARGS.search(text)
    if section is None:
        return {}
    least = min(len(found[1]) for found in _ENTRY.finditer(section[1]))
    entries = re.split(rf"^(?= {{{least}}}\S)", section[1], flags=re.MULTILINE)
    return {found[2]: entry.rstrip() for entry in entries if (found := _ENTRY.match(entry))}


@functools.cache
def _of_class(kind: type, last: type) -> Signature:
    found: dict[str, Parameter] = {}
    for base in reversed(kind.__mro__[: kind.__mro__.index(last) + 1]):
        fixed = vars(base).get("fixed_arguments", ())
        found = {name: parameter for name, parameter in found.items() if name not in fixed}
        if "__init__" in vars(base):
            own = inspect.signature(vars(base)["__init__"])
            found = dict(_merged(own.replace(parameters=[*own.parameters.values()][1:]), found).parameters)
    return Signature(list(found.values()))


def _merged(own: Signature, others: dict[str, Parameter]) -> Signature:
    """A signature with others' arguments in the places of its starred ones."""
    kinds = {parameter.kind for parameter in own.parameters.values()}
    found = [parameter for parameter in own.parameters.values() if parameter.kind not in _STARRED]
    optional = any(p.kind != Parameter.KEYWORD_ONLY and p.default is not Parameter.empty for p in found)
    for name, parameter in others.items():
        if Parameter.VAR_KEYWORD in kinds and name not in own.parameters:
            required = parameter.default is Parameter.empty  # after an argument that need not be given it is named
            named = Parameter.VAR_POSITIONAL not in kinds or (optional and required)
            found.append(parameter.replace(kind=Parameter.KEYWORD_ONLY) if named else parameter)
    return own.replace(parameters=sorted(found, key=lambda parameter: parameter.kind))
