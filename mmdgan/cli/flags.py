"""Command-line flags made from a dataclass: one absl flag per field, with the instance's values as defaults.

`mmdgan.core.options` says how a field describes itself (help, group, valid values) and how its values are written.
"""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
import time
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from absl import flags

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import Value, check_limits, flag_name
from mmdgan.core.text import age, closest, command, format_value, program, table

T = TypeVar("T")

_RUNS_SHOWN = 5

_SHORT_HELP, _FULL_HELP = ("--help", "-h", "-help", "--helpshort"), "--helpfull"


@dataclasses.dataclass(frozen=True)
class NoFlags:
    """The flags of a verb that has none of its own."""


class Parsed(NamedTuple):
    """A parsed command line.

    Attributes:
        options: The dataclass instance.
        switches: The flags that were given and are no fields: True, or the text.
        arguments: The words that are not flags.
    """

    options: Any
    switches: dict[str, Any]
    arguments: list[str]


class Flag(NamedTuple):
    """A flag, for the completion of a shell.

    Attributes:
        name: Its name.
        help: What it does, on one line.
        choices: Valid values, where they are few.
        switch: Whether it stands alone.
    """

    name: str
    help: str
    choices: tuple[str, ...]
    switch: bool


LIST = "--list-flags"
"""A command line of this word alone raises `Listed` instead of being read."""


class Listed(Exception):
    """Holds the flags of a command, as `flags`."""

    def __init__(self, flags: list[Flag]) -> None:
        super().__init__()
        self.flags = flags


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
        switches: Flags that are no fields: name -> help. "name=WORD" takes a text, which the help calls so.
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
    if list(argv) == [LIST]:
        raise Listed(_listed(preset, switches))
    values = _define(preset, switches)
    try:
        words = values(["mmdgan", *argv])[1:]
    except flags.UnrecognizedFlagError as error:
        raise ConfigError(_unknown_flag(error.flagname, preset, [_named(name) for name in switches])) from None
    except flags.Error as error:
        raise ConfigError(str(error)) from None
    needed = sum(not name.startswith("[") for name in arguments)
    endless = any("..." in name for name in arguments)
    if len(words) < needed or (len(words) > len(arguments) and not endless):
        if not words and arguments[:1] in (("RUN",), ("RUN...",)):
            raise ConfigError(run_needed())
        wanted = " ".join(arguments) or "no words, only flags written --name=value"
        raise ConfigError(f"the command takes {wanted}; it was given {' '.join(words) or 'none'}.")
    changed = {field.name: values[flag_name(field)].value for field in fields}
    options = dataclasses.replace(typing.cast(Any, preset), **changed)
    check_limits(options)
    given = {name: values[name].value for name in map(_named, switches) if values[name].present}
    return Parsed(options, {name: value for name, value in given.items() if value}, words)


def help_text(preset: Any, usage: str, switches: Mapping[str, str], full: bool = True) -> str:
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
    for name, text in switches.items():
        groups.setdefault("what to do" if full else "most used flags", []).append(_line(f"--{name}", text))
    blocks = [f"{title}:\n" + "\n".join(entries) for title, entries in groups.items()]
    more = [] if full else [f"{_FULL_HELP} lists all {len(fields) + len(switches)} flags, by group."]
    return "\n\n".join([usage.strip(), *blocks, *more])


def run_needed() -> str:
    """What a command that was given no RUN says: the newest runs."""
    from mmdgan.runs.folder import newest_runs

    found = newest_runs()[:_RUNS_SHOWN]
    if not found:
        return f"the command takes a RUN, the directory of a training; `{command('train')}` makes one in Results."
    rows = [(f"  {run.path}", run.state(), age(time.time() - run.written())) for run in found]
    return f"the command takes a RUN; the newest in Results are\n{table(rows, left=(0, 1))}"


def _is_switch(hint: Any) -> bool:
    """Whether a field is given by its name alone: --name, --noname."""
    return hint is bool or hint == bool | None


def _named(switch: str) -> str:
    """The name of a flag that is no field: of "config=FILE" it is "config"."""
    return switch.partition("=")[0]


_NOT_HERE = {
    "resume": "the same command resumes a run, as does `train RUN`",
    "epochs": "training is counted in steps, images of an epoch divided by --batch_size",
    "kimg": "training is counted in steps, of --batch_size images each",
    "num_workers": "images are read ahead without being asked for",
    "cuda": "a GPU that TensorFlow sees is used; `train --dry_run` lists them",
    **dict.fromkeys(("image_size", "img_size", "resolution"), "images are resized by `prepare --size`"),
    **dict.fromkeys(("beta1", "beta2", "betas"), "those of Adam are 0.5 and 0.999"),
    **dict.fromkeys(("z_dim", "latent_dim", "nz"), "the architecture's `code` is the size of its codes"),
}
"""Flags of other programs that have no counterpart: name -> what is done instead."""


def _unknown_flag(name: str, preset: Any, switches: Sequence[str]) -> str:
    word, fields = name.lower().replace("-", "_"), dataclasses.fields(preset)
    hints, hint, instead = typing.get_type_hints(type(preset)), "", ""
    meant = [f"--{flag_name(field)}" for field in fields if word in field.metadata["also"]]
    if word in _NOT_HERE:
        instead = f": {_NOT_HERE[word]}"
    elif not meant:
        known = [*map(flag_name, fields), *switches]
        known += [f"no{flag_name(field)}" for field in fields if _is_switch(hints[field.name])]
        meant = [f"--{found}" for found in [closest(name, known, cutoff=0.7)] if found]
    if meant:
        hint = f" (did you mean {' and '.join(meant)}?)"
    return f"there is no flag --{name}{instead}{hint}; {_FULL_HELP} lists all flags."


def _listed(preset: Any, switches: Mapping[str, str]) -> list[Flag]:
    """The flags, for the completion of a shell."""
    hints = typing.get_type_hints(type(preset))
    found = [
        Flag(
            flag_name(field),
            field.metadata["help"].partition("; ")[0],
            tuple(field.metadata["choices"] or field.metadata["suggests"]()),
            _is_switch(hints[field.name]),
        )
        for field in dataclasses.fields(preset)
    ]
    found += [Flag(_named(name), text, (), "=" not in name) for name, text in switches.items()]
    return [*found, Flag("help", "list the most used flags", (), True), Flag("helpfull", "list all flags", (), True)]


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
            parser = _Parser(Value(hints[field.name], field.metadata["choices"]))
            # The default goes through the parser as text, which absl requires of custom flags.
            flag = flags.Flag(parser, None, name, format_value(default), text)
        flags.DEFINE_flag(flag, values)
    for name, text in switches.items():
        if "=" in name:
            flags.DEFINE_string(_named(name), None, text, flag_values=values)
        else:
            flags.DEFINE_flag(_switch(name, False, text), values)
    return values


def _switch(name: str, default: bool | None, text: str) -> flags.BooleanFlag:
    """A boolean flag whose wrong values are reported in words."""
    flag = flags.BooleanFlag(name, default, text)
    flag.parser = _Parser(Value(bool))
    return flag


class _Parser(flags.ArgumentParser):
    """Turns a flag's text into a value of its field."""

    def __init__(self, value: Value):
        self._value = value

    def parse(self, argument: Any) -> Any:
        return self._value.parse(argument if isinstance(argument, str) else format_value(argument))
