"""Options: dataclass fields that carry all that is known of them, and their form as text.

A field made by `option` says its help, its valid values, and its roles. Code that needs the fields of a role asks for
them (`fields_with(Experiment, identity=True)`), so that a new field is one line and no list of names exists.
"""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeVar

from mmdgan.core.errors import ConfigError
from mmdgan.core.text import format_value, nearest, shown

T = TypeVar("T")


def option(
    default: Any,
    help: str,
    group: str = "options",
    choices: Sequence[str] | None = None,
    *,
    least: float | None = None,
    positive: bool = False,
    short: int | None = None,
    identity: bool | Callable[[Any], bool] = False,
    scope: str = "run",
    inputs: bool = False,
    hparams: str | None = None,
    path: str | None = None,
    compare: bool = True,
    also: str = "",
    suggests: Callable[[], Iterable[str]] = tuple,
) -> Any:
    """A dataclass field that is also a flag.

    Args:
        default: Default value of the field.
        help: One or two lines for `--help`.
        group: Heading under which `--help` lists the flag.
        choices: Valid values, where they are few.
        least: Least valid value.
        positive: Whether the value must be a finite number above 0.
        short: Place of the flag in `--help`, which leaves out the flags without a place (`--helpfull` shows them);
            if no field of the dataclass has a place, `--help` shows them all.
        identity: Whether a resumed run must have the same value. A function says so for one instance: a field without
            effect there may change.
        scope: What the value belongs to: "run"; "place" (where files are, such as results); "machine" (what suits the
            machine, such as a cache); "call" (one call of the program: config.json does not hold it).
        inputs: Whether it decides which images and which features of scores a run needs.
        hparams: "shown" in TensorBoard's HParams tab, as every field of the identity is, or "first" there.
        path: Regular expression of the values that name a file or folder; its first group is the path.
        compare: Whether instances with other values are unequal.
        also: Names that other programs have for it, separated by spaces; a command line that gives one is told of it.
        suggests: Returns the values that a shell completes, where they are too many for `choices`.
    """
    roles: dict[str, Any] = {
        "short": short,
        "identity": identity,
        "scope": scope,
        "inputs": inputs,
        "hparams": hparams,
        "path": path,
        "also": also.split(),
        "suggests": suggests,
    }
    limits = {"choices": choices, "least": least, "positive": positive}
    return dataclasses.field(
        default=default, compare=compare, metadata={"help": help, "group": group, **limits, **roles}
    )


def option_like(options: Any, name: str, group: str, **changes: Any) -> Any:
    """A field that replaces another dataclass's field where it is not None, its default.

    It has the metadata of that field, and `like`, its name there.

    Args:
        options: The other dataclass.
        name: Name of the field there.
        group: Heading under which `--help` lists the flag.
        changes: Other metadata, such as `help`.
    """
    [metadata] = [field.metadata for field in dataclasses.fields(options) if field.name == name]
    return dataclasses.field(default=None, metadata={**metadata, "group": group, "like": name, **changes})


def fields_with(options: Any, **metadata: Any) -> tuple[str, ...]:
    """The names of the fields whose metadata has all of these values, in their order.

    Args:
        options: A dataclass or an instance of one.
        metadata: Keywords of `option` with the wanted values; True and False ask for what is set or not.
    """

    def fits(field: dataclasses.Field) -> bool:
        return all(
            bool(field.metadata.get(key)) is value if isinstance(value, bool) else field.metadata.get(key) == value
            for key, value in metadata.items()
        )

    return tuple(field.name for field in dataclasses.fields(options) if fits(field))


def defaults(options: Any, **metadata: Any) -> dict[str, Any]:
    """The default values of the fields that `fields_with` finds."""
    names = fields_with(options, **metadata)
    return {field.name: field.default for field in dataclasses.fields(options) if field.name in names}


def check_limits(options: Any) -> None:
    """Checks that each value is of a type that its field's annotation names, and within the field's limits.

    The limits are `choices`, a `least` value, and `positive`.

    Raises:
        ConfigError: A value is not valid; the sentence names the field and the valid values.
    """
    hints = typing.get_type_hints(type(options))
    for field in dataclasses.fields(options):
        name, value, known = field.name, getattr(options, field.name), field.metadata
        if value is field.default or (type(value) is type(field.default) and value == field.default):
            continue
        parts = value if isinstance(value, tuple) else (value,)
        if known["choices"] and any(format_value(part) not in known["choices"] for part in parts):
            raise ConfigError(f"{name} is {format_value(value)}; the valid values are {', '.join(known['choices'])}.")
        kind = Value(hints[name])
        if not kind.takes(value):
            raise ConfigError(f"{name} is {shown(value)}; it takes {kind.described()}.")
        if value is None:
            continue
        if known["least"] is not None and value < known["least"]:
            raise ConfigError(f"{name} is {value}; give a whole number of at least {known['least']}.")
        if known["positive"] and not 0 < value < float("inf"):
            raise ConfigError(f"{name} is {value}; give a positive number.")


def plain(value: Any) -> Any:
    """A value as config.json holds it: paths become text, NumPy numbers Python's, lists, ranges and arrays tuples."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    value = value.tolist() if hasattr(value, "tolist") else value
    return tuple(plain(part) for part in value) if isinstance(value, (list, tuple, range)) else value


def rebased(options: Mapping[str, Any], fields: Sequence[dataclasses.Field], base: str | os.PathLike) -> dict[str, Any]:
    """Values by field name, with the relative paths among them (`path` of `option`) taken from a folder."""
    found = dict(options)
    for field in fields:
        value = found.get(field.name)
        pattern = field.metadata["path"]
        match = re.fullmatch(pattern, value) if pattern and isinstance(value, str) else None
        if match and value is not None:
            found[field.name] = value[: match.start(1)] + os.path.join(base, match[1]) + value[match.end(1) :]
    return found


def changed_flags(options: Any) -> list[str]:
    """The flags that make these options of the defaults of their class, such as ["--seed=3"]."""
    values = [(field, getattr(options, field.name)) for field in dataclasses.fields(options)]
    return [f"--{flag_name(field)}={format_value(value)}" for field, value in values if value != field.default]


def replace_from_text(options: T, texts: Mapping[str, str]) -> T:
    """The options with some fields changed, each given as the text that its flag takes.

    Raises:
        ConfigError: There is no such field (the nearest one is named), or the text is not valid.
    """
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, options))}
    hints = typing.get_type_hints(type(options))
    values = {}
    for name, text in texts.items():
        if name not in fields:
            raise ConfigError(f"there is no option {name!r}{nearest(name, fields)}.")
        try:
            values[name] = Value(hints[name], fields[name].metadata["choices"]).parse(text)
        except ValueError as error:
            raise ConfigError(f"{name} is {text}: {error}.") from None
    return dataclasses.replace(typing.cast(Any, options), **values)


def flag_name(field: dataclasses.Field) -> str:
    """The name of a field's flag: the field's own, without an underscore at its end (`class_`)."""
    return field.name.removesuffix("_")


class Value:
    """What values a field takes, by its annotation, and how they are read from text.

    `str`, `int`, `float`, `bool`, a tuple of these written with commas, or any of these `| None`, written "none", or
    `| Literal["word"]`, written so. A tuple of any length is emptied by "none", as by an empty text, unless it may be
    None or "none" is one of its choices.
    """

    def __init__(self, hint: Any, choices: Sequence[str] | None = None):
        # A union with a Literal is one of `typing`, not of `types`.
        union = typing.get_origin(hint) in (types.UnionType, typing.Union)
        kinds = typing.get_args(hint) if union else (hint,)
        self._optional = type(None) in kinds
        literals = [kind for kind in kinds if typing.get_origin(kind) is typing.Literal]
        self._words = [word for literal in literals for word in typing.get_args(literal)]
        self._type = next(kind for kind in kinds if kind not in (type(None), *literals))
        self._mapping = any(typing.get_origin(kind) is Mapping for kind in kinds)
        self._choices = choices

    def parse(self, text: str) -> Any:
        """The value that a text stands for; ValueError says what is valid."""
        text = text.strip()
        if self._optional and text.lower() in ("none", ""):
            return None
        if text in self._words:
            return text
        if typing.get_origin(self._type) is not tuple:
            return self._scalar(text, self._type)
        kinds = typing.get_args(self._type)
        parts = [part.strip() for part in text.split(",")] if text else []
        if kinds[-1] is Ellipsis:
            if text.lower() == "none" and "none" not in (self._choices or ()):
                return ()
            return tuple(self._scalar(part, kinds[0]) for part in parts)
        if len(parts) != len(kinds):
            raise ValueError(f"it takes {len(kinds)} values separated by commas{self._alternatives()}")
        return tuple(self._scalar(part, kind) for part, kind in zip(parts, kinds, strict=True))

    def takes(self, value: Any) -> bool:
        """Whether a value is of the field's type; one number does for a tuple of any length."""
        if value is None:
            return self._optional
        if isinstance(value, Mapping):
            return self._mapping
        if isinstance(value, str) and value in self._words:
            return True
        if typing.get_origin(self._type) is not tuple:
            return _is_a(value, self._type)
        kinds = typing.get_args(self._type)
        if kinds[-1] is Ellipsis:
            return all(_is_a(part, kinds[0]) for part in (value if isinstance(value, tuple) else (value,)))
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_is_a, value, kinds))

    def described(self) -> str:
        """What it takes, in words: "a whole number or None"."""
        kinds = typing.get_args(self._type)
        if typing.get_origin(self._type) is not tuple:
            words = [_NOUNS[self._type]]
        elif kinds[-1] is Ellipsis:
            words = [f"several values, each {_NOUNS[kinds[0]]}"]
        elif len(set(kinds)) == 1:
            words = [f"{len(kinds)} values, each {_NOUNS[kinds[0]]}"]
        else:
            words = [" and ".join(_NOUNS[kind] for kind in kinds)]
        words += ["a dictionary"] * self._mapping + list(map(repr, self._words)) + ["None"] * self._optional
        return ", or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 2 else " or ".join(words)

    def _scalar(self, text: str, kind: type) -> Any:
        if self._choices and text not in self._choices:
            raise ValueError(f"the valid values are {', '.join(self._choices)}")
        if kind is bool:
            if text.lower() not in _BOOLEANS:
                raise ValueError("it takes true or false")
            return _BOOLEANS[text.lower()]
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"it takes {_NOUNS[kind]}{self._alternatives()}") from None

    def _alternatives(self) -> str:
        """What else the field takes: " or none"."""
        endless = typing.get_origin(self._type) is tuple and typing.get_args(self._type)[-1] is Ellipsis
        return "".join(f" or {word}" for word in [*self._words, *(["none"] if self._optional or endless else [])])


def _is_a(value: Any, kind: type) -> bool:
    """Whether a value is of a type; whole numbers are numbers, truth values are not."""
    return isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))


_NOUNS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Refuses what is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ConfigError(f"{name} is {value!r}; give a whole number of at least {least}.")


def check_seed(seed: int | None) -> None:
    """Refuses negative seeds; None stands for no seed."""
    if seed is not None and seed < 0:
        raise ConfigError(f"seed is {seed}; give a whole number of at least 0.")
