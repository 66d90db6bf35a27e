"""The fenced blocks of a Markdown page: what the tests of the documentation run and compile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(r"^```(\w+)?([^\n]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
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
    for language, rest, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        title = _TITLE.search(rest)
        found.append(Block(language, title and title[1], text))
    return found
