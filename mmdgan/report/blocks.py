"""The blocks of a page, without how they look: `mmdgan.report.html` renders them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from mmdgan.core.errors import MmdGanError


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: What it says.
        kind: "" or how it stands out: "best", "differs", "unknown" or "warning".
        note: A line in small letters below.
    """

    text: str
    kind: str = ""
    note: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph. `kind` is "", "lead", "warning", "good" or "missing" (what the page lacks, and why)."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under a header; the first column names the rows. `numbers` aligns the other columns to the right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    caption: str = ""
    numbers: bool = True


@dataclass(frozen=True)
class Picture:
    """A picture with a caption.

    Attributes:
        content: Bytes of the file.
        kind: "png", "gif" or "svg".
        alt: Text for readers who cannot see the picture.
        caption: Text below the picture.
        wide: Whether it needs the whole width of the page.
    """

    content: bytes
    kind: str
    alt: str
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Code:
    """Text in a monospaced font, with its line breaks."""

    text: str


@dataclass(frozen=True)
class Legend:
    """What the lines of several drawings mean: (name, colour, style of the line as in CSS) each."""

    lines: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class SideBySide:
    """Blocks next to each other where the page is wide enough: two, or `small` ones three (two on a phone)."""

    blocks: tuple[Block, ...]
    small: bool = False


@dataclass(frozen=True)
class Details:
    """Blocks folded away under a summary; printed unfolded, or if `screen` is set not at all."""

    summary: str
    blocks: tuple[Block, ...]
    screen: bool = False


Block: TypeAlias = Text | Table | Picture | Code | Legend | SideBySide | Details


@dataclass(frozen=True)
class Section:
    """Blocks under a heading; `name` is the anchor of the section."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: Title of the window and first heading.
        summary: A line below the heading.
        sections: Sections in order.
        made: Foot of the page: when and by what it was made.
    """

    title: str
    summary: str
    sections: tuple[Section, ...]
    made: str = ""

    @property
    def missing(self) -> list[str]:
        """What the page could not show, one sentence each."""
        blocks = (block for section in self.sections for block in flat(section.blocks))
        return [block.text for block in blocks if isinstance(block, Text) and block.kind == "missing"]


def flat(blocks: Iterable[Block]) -> Iterator[Block]:
    """All blocks, each followed by those inside it."""
    for block in blocks:
        yield block
        if isinstance(block, (SideBySide, Details)):
            yield from flat(block.blocks)


def missing(text: str) -> Text:
    """A line that says what the page does not show, and why."""
    return Text(text, "missing")


def or_missing(make: Callable[[], Iterable[Block]]) -> Iterator[Block]:
    """The blocks that `make` gives; where it raises an error of the library, a line with its message ends them."""
    try:
        yield from make()
    except MmdGanError as error:
        yield missing(str(error))
