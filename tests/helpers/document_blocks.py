"""The fenced blocks of a Markdown page: what the tests of the documentation run and compile."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(r"^( *)```(\w+)?([^\n]*)\n(.*?)^\1```[ \t]*$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:(?<=\n\n)|\A)((?: {4}(?=[a-z ])[^\n]*\n)+)")
_TITLE = re.compile(r'title="([^"]+)"')


class Block(NamedTuple):
    """A fenced block: its language, its title (a file's name) or None, its text."""

    language: str
    title: str | None
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, those that end in a backslash joined with the next."""
        return self.text.replace("\\\n", " ").splitlines()


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for _, language, rest, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        title = _TITLE.search(rest)
        found.append(Block(language, title and title[1], textwrap.dedent(text)))
    return found


def shell_blocks(page: Path) -> list[str]:
    """What a reader of a page pastes into a shell: blocks fenced as `sh`, and indented ones, of commands alone."""
    indented = _INDENTED.findall(_BLOCK.sub("", page.read_text(encoding="utf-8")))
    return [block.text for block in blocks(page) if block.language == "sh"] + [
        textwrap.dedent(text) for text in indented
    ]
