"""Command-line flags made from a dataclass: one absl flag per field, with the instance's values as defaults.

`mmdgan.core.options` says how a field describes itself (help, group, valid values) and how its values are written.
"""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from absl import flags

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import Value, check_limits, flag_name
from mmdgan.core.text import format_value, nearest, program

T = TypeVar("T")

_SHORT_HELP, _FULL_HELP = ("--help", "-h", "-help", "--helpshort"), "--helpfull"


class Parsed(NamedTuple):
    """A parsed command line.

    Attributes:
        options: The dataclass instance.
        switches: Names of the switches that were given.
        arguments: The words that are not flags.
    """

    options: Any
    switches: frozenset[str]
    arguments: list[str]


def usage(command: str, function: Any) -> str:
    """What the help of a verb says first: the command, and the function's docstring."""
    return f"usage: {program()} {command}\n\n{inspect.getdoc(function) or ''}"


def parse(
    preset: T,
    argv: Sequence[str],
    *,
    usage: str,
    switches: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
) -> Parsed:
    """Reads `argv` (without the program's name) over the defaults of `preset`.

    Args:
        preset: Instance of a dataclass whose fields are made by `option`.
        argv: Words of the command line after the program (and verb).
        usage: First paragraphs of `--help`; the rest follows from the fields.
        switches: Flags that are no fields: name -> help.
        arguments: Names of the words that go with the flags, in order: "RUN" is one word, "[RUN]" one that may be left
            out, "RUN..." one or more (so ("RUN", "RUN...") asks for at least two), "[RUN...]" any number.

    Raises:
        ConfigError: An unknown flag (the nearest one is named), a value that is not valid, a missing or surplus word.
        SystemExit: After printing the help, with status 0.
    """
    switches = dict(switches or {})
    fields = dataclasses.fields(typing.cast(Any, preset))
    if any(word in (*_SHORT_HELP, _FULL_HELP) for word in argv):
        print(help_text(preset, usage, switches, full=_FULL_HELP in argv))
        raise SystemExit(0)
    values = _define(preset, switches)
    try:
        words = values(["mmdgan", *argv])[1:]
    except flags.UnrecognizedFlagError as error:
        known = [flag_name(field) for field in fields] + list(switches)
        raise ConfigError(_unknown_flag(error.flagname, known)) from None
    except flags.Error as error:
        raise ConfigError(str(error)) from None
    needed = sum(not name.startswith("[") for name in arguments)
    endless = any("..." in name for name in arguments)
    if len(words) < needed or (len(words) > len(arguments) and not endless):
        wanted = " ".join(arguments) or "no words, only flags written --name=value"
        raise ConfigError(f"the command takes {wanted}; it was given {' '.join(words) or 'none'}.")
    changed = {field.name: values[flag_name(field)].value for field in fields}
    options = dataclasses.replace(typing.cast(Any, preset), **changed)
    check_limits(options)
    return Parsed(options, frozenset(name for name in switches if values[name].value), words)


def help_text(preset: Any, usage: str, switches: Mapping[str, str] | None = None, full: bool = True) -> str:
    """The text of the help: the usage, then the flags with their defaults, in 100 columns.

    Args:
        preset: As for `parse`.
        usage: As for `parse`.
        switches: As for `parse`.
        full: Whether to list all flags, by group, instead of those whose field has a place in the short help.
    """
    hints = typing.get_type_hints(type(preset))
    fields = dataclasses.fields(preset)
    short = sorted((f for f in fields if f.metadata["short"] is not None), key=lambda field: field.metadata["short"])
    full = full or not short
    groups: dict[str, list[str]] = {}
    for field in fields if full else short:
        group = field.metadata["group"] if full else "most used flags"
        groups.setdefault(group, []).append(_entry(field, hints[field.name], getattr(preset, field.name)))
    for name, text in (switches or {}).items():
        groups.setdefault("what to do" if full else "most used flags", []).append(_line(f"--{name}", text))
    blocks = [f"{title}:\n" + "\n".join(entries) for title, entries in groups.items()]
    more = [] if full else [f"{_FULL_HELP} lists all {len(fields) + len(switches or {})} flags, by group."]
    return "\n\n".join([usage.strip(), *blocks, *more])


def _is_switch(hint: Any) -> bool:
    """Whether a field is given by its name alone: --name, --noname."""
    return hint is bool or hint == bool | None


def _unknown_flag(name: str, known: Sequence[str]) -> str:
    hint = nearest(name, [*known, *(f"no{flag}" for flag in known)]).replace("mean ", "mean --")
    return f"there is no flag --{name}{hint}; {_FULL_HELP} lists all flags."


def _entry(field: dataclasses.Field, hint: Any, default: Any) -> str:
    """A field in the help: "--name=default", "--name" of a switch, "--[no]name" of one that may be None."""
    name = f"[no]{flag_name(field)}" if hint == bool | None else flag_name(field)
    value = "" if _is_switch(hint) else f"={format_value(default) or 'none'}"
    choices = field.metadata["choices"]
    return _line(f"--{name}{value}", field.metadata["help"] + (f" [{'|'.join(choices)}]" if choices else ""))


def _line(flag: str, text: str) -> str:
    lines = textwrap.wrap(text, 68)
    head = f"  {flag:<28}" + ("" if len(flag) < 28 else "\n" + " " * 30)
    return head + ("\n" + " " * 30).join(lines)


def _define(preset: Any, switches: Mapping[str, str]) -> flags.FlagValues:
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    hints = typing.get_type_hints(type(preset))
    for field in dataclasses.fields(preset):
        name, default, text = flag_name(field), getattr(preset, field.name), field.metadata["help"]
        if _is_switch(hints[field.name]):
            flag: flags.Flag = _switch(name, default, text)
        else:
            parser = _Parser(Value(hints[field.name], field.metadata["choices"]), hints[field.name])
            # The default goes through the parser as text, which absl requires of custom flags.
            flag = flags.Flag(parser, _Serializer(), name, format_value(default), text)
        flags.DEFINE_flag(flag, values)
    for name, text in switches.items():
        flags.DEFINE_flag(_switch(name, False, text), values)
    return values


def _switch(name: str, default: bool | None, text: str) -> flags.BooleanFlag:
    """A boolean flag whose wrong values are reported in words."""
    flag = flags.BooleanFlag(name, default, text)
    flag.parser = _Parser(Value(bool))
    return flag


class _Serializer(flags.ArgumentSerializer):
    def serialize(self, value: Any) -> str:
        return format_value(value)


class _Parser(flags.ArgumentParser):
    """Turns a flag's text into a value of its field."""

    def __init__(self, value: Value, hint: Any = bool):
        self._value = value
        self.syntactic_help = str(hint)

    def parse(self, argument: Any) -> Any:
        return self._value.parse(argument if isinstance(argument, str) else format_value(argument))
