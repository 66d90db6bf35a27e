"""The pages of the command line: what `--helpfull` of each verb and script says, with the flags in tables."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

_FLAG = re.compile(r"  (--\S+)(?:\s+(.*))?$")

_READING = """A flag is written `--name=value` or `--name value`; one without a default is a switch, which
`--noname` turns off. `none` as a default means: not given.
"""


def pages() -> dict[str, Callable[[], str]]:
    """The pages of the command line: an overview, one for each verb, one for all scripts."""
    from mmdgan.cli import program

    verbs = {f"reference/cli/{name}.md": functools.partial(verb_page, name) for name in program.VERBS}
    return {"reference/cli.md": overview, **verbs, "reference/cli/scripts.md": scripts_page}


def overview() -> str:
    """The Markdown of the overview: the verbs, each with a link to its page."""
    from mmdgan.cli import program

    parts = [f"# Command line\n\n```text\n{verb_help()}\n```\n\nMade of the code when this page was built. {_READING}"]
    for name, verb in program.VERBS.items():
        parts.append(f"\n## {name}\n\n{_sentence(verb.help)} [Flags of {name}](cli/{name}.md).\n")
    parts.append("\n## scripts\n\nThe programs in `experiments/`: [what they do, and their flags](cli/scripts.md).\n")
    return "".join(parts)


def verb_page(name: str) -> str:
    """The Markdown of a verb's page."""
    from mmdgan.cli import program, sweep

    # Whoever searches for a flag wants it here, not where a page mentions it.
    parts = [f"---\nsearch: {{boost: {4 if name == 'train' else 2}}}\n---\n\n# {name}\n\n"]
    parts += [f"{_sentence(program.VERBS[name].help)}\n\n", as_markdown(verb_help(name), heading="##")]
    for reader in sweep.READERS if name == "sweep" else ():
        parts += [f"\n## sweep {reader}\n\n", as_markdown(verb_help("sweep", reader), heading="###")]
    return f"{''.join(parts)}\n{_READING}"


def scripts_page() -> str:
    """The Markdown of the page of the programs in experiments/."""
    parts = ["# Scripts\n\nScripts that train take every flag of [train](train.md), with defaults of their own:\n"]
    shared = set(entries(verb_help("train")))
    for script in scripts():
        text = script_help(script)
        changed = set(entries(text)) - shared if len(set(entries(text)) & shared) > 40 else None
        parts += [f"\n## experiments/{script.name}\n\n", as_markdown(text, changed)]
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


def as_markdown(help_text: str, only: set[tuple[str, str]] | None = None, heading: str = "") -> str:
    """A help text as Markdown: the usage as it stands, then a table of the flags of each group.

    Args:
      help_text: what `--helpfull` prints.
      only: leave all other flags out.
      heading: marks of a heading for each group, such as "##"; "": its title is a bold line.
    """
    usage, groups = _blocks(help_text)
    lines = ["```text", usage, "```", ""]
    for title, flags in groups:
        shown = [flag for flag in flags if only is None or flag in only]
        if shown:
            lines += [f"{heading} {title}" if heading else f"**{title}**", ""]
            lines += ["| flag | default | what it does |", "|---|---|---|", *(_row(*flag) for flag in shown), ""]
    return "\n".join(lines)


def _row(flag: str, text: str) -> str:
    name, _, default = flag.partition("=")
    return f"| `{name}` | {f'`{default}`' if default else ''} | {_escaped(text)} |"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


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
