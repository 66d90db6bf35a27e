"""The page of the command line: what `--helpfull` of each verb and script says, as definition lists."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

_FLAG = re.compile(r"  (--\S+)(?:\s+(.*))?$")

_INTRODUCTION = """# Command line

Made from `--helpfull` of each verb and script when this page was built. A flag is written `--name=value` or
`--name value`; one without a value is a switch, and `--noname` turns it off. What follows `=` here is the default.

"""


def page() -> str:
    """The Markdown of the page."""
    from mmdgan.cli import program, sweep

    parts = [_INTRODUCTION, "```text\n", verb_help(), "\n```\n\n", "## Verbs\n"]
    for name, verb in program.VERBS.items():
        parts += [f"\n### {name}\n\n", f"{verb.help[0].upper()}{verb.help[1:]}.\n\n", as_markdown(verb_help(name))]
        for reader in sweep.READERS if name == "sweep" else ():
            parts += [f"\n#### sweep {reader}\n\n", as_markdown(verb_help("sweep", reader))]
    parts.append("\n## Scripts\n\nScripts that train take every flag of [train](#train), with defaults of their own:\n")
    shared = set(entries(verb_help("train")))
    for script in scripts():
        text = script_help(script)
        changed = set(entries(text)) - shared if len(set(entries(text)) & shared) > 40 else None
        parts += [f"\n### experiments/{script.name}\n\n", as_markdown(text, changed)]
    return "".join(parts)


def scripts() -> list[Path]:
    """The programs in experiments/."""
    return sorted((PROJECT / "experiments").glob("*.py"))


def verb_help(*names: str) -> str:
    """What `python -m mmdgan NAMES --helpfull` prints, or `--help` of the program."""
    from mmdgan.cli import program

    words = [*names, "--helpfull"] if names else ["--help"]
    return _printed(["-m", "mmdgan", *words], lambda: program.main(words))


def script_help(script: Path) -> str:
    """What `python experiments/NAME.py --helpfull` prints."""
    name = script.relative_to(PROJECT).as_posix()
    return _printed([name, "--helpfull"], lambda: runpy.run_path(str(script), run_name="__main__"))


def entries(help_text: str) -> list[tuple[str, str]]:
    """The flags of a help text with what is said of each: [("--name=default", "text")]."""
    return [entry for _, block in _blocks(help_text)[1] for entry in block]


def as_markdown(help_text: str, only: set[tuple[str, str]] | None = None) -> str:
    """A help text as Markdown: the usage as it stands, then the flags of each group.

    Args:
      help_text: what `--helpfull` prints.
      only: leave all other flags out.
    """
    usage, groups = _blocks(help_text)
    lines = ["```text", usage, "```", ""]
    for title, flags in groups:
        shown = [flag for flag in flags if only is None or flag in only]
        if shown:
            lines += [f"**{title}**", ""]
        for flag, text in shown:
            lines += [f"`{flag}`", f":   {_escaped(text)}", ""]
    return "\n".join(lines)


def _blocks(help_text: str) -> tuple[str, list[tuple[str, list[tuple[str, str]]]]]:
    """The usage, and the groups of flags: their titles, and the flags of each with its text."""
    usage: list[str] = []
    groups: list[tuple[str, list[tuple[str, str]]]] = []
    for block in help_text.strip().split("\n\n"):
        title, *rest = block.splitlines()
        if not (title.endswith(":") and rest and _FLAG.match(rest[0])):
            usage.append(block)
            continue
        flags: list[tuple[str, str]] = []
        for line in rest:
            if found := _FLAG.match(line):
                flags.append((found[1], found[2] or ""))
            else:
                flags[-1] = (flags[-1][0], f"{flags[-1][1]} {line.strip()}".strip())
        groups.append((title[:-1], flags))
    return "\n\n".join(usage), groups


def _escaped(text: str) -> str:
    return re.sub(r"([*_<>|\[\]\\])", r"\\\1", text)


def _printed(words: Sequence[str], run: Callable[[], object]) -> str:
    """What a program prints that is called with these words."""
    text = io.StringIO()
    with _called_as(words), contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        run()
    return text.getvalue().rstrip()


@contextlib.contextmanager
def _called_as(words: Sequence[str]) -> Iterator[None]:
    """Makes `python WORDS` of the running program, in the project's folder, as far as help texts ask."""
    argv, original, folder, path = sys.argv, sys.orig_argv, os.getcwd(), list(sys.path)
    sys.argv, sys.orig_argv = [words[0], "--helpfull"], ["python", *words]
    sys.path.insert(0, str(PROJECT / "experiments"))  # as Python does for a script
    os.chdir(PROJECT)
    try:
        yield
    finally:
        os.chdir(folder)
        sys.argv, sys.orig_argv, sys.path[:] = argv, original, path
