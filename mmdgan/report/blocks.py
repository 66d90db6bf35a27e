"""What a page is made of, without a word about how it looks: `mmdgan.report.html` writes it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias


class Cell(NamedTuple):
    """A table's cell.

    Attributes:
        text: what it says.
        kind: "" or how it stands out: "best", "differs" (from what it is compared with), "unknown", "warning".
    """

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph. `kind` is "" or "warning", "good", "missing" (what the page would show, and why it does not)."""

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
    """A PNG or GIF file, or an SVG drawing, with a text for who cannot see it and a caption.

    Attributes:
        content: the file's bytes.
        kind: "png", "gif" or "svg".
        alt: what is to be seen.
        caption: below it.
        wide: whether it needs a page's whole width.
    """

    content: bytes
    kind: str
    alt: str
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Code:
    """Text in letters of equal width, as it is."""

    text: str


@dataclass(frozen=True)
class Side:
    """Blocks beside one another where the page is wide enough: two, or `small` ones three and on telephones two."""

    blocks: tuple[Block, ...]
    small: bool = False


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away under a line; printed unfolded, unless they are for the `screen` only."""

    summary: str
    blocks: tuple[Block, ...]
    screen: bool = False


Block: TypeAlias = Text | Table | Picture | Code | Side | Details


@dataclass(frozen=True)
class Section:
    """A heading with what belongs to it; `name` is its address in the page."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: of the window and the first heading.
        summary: a line below it.
        sections: in order.
        made: when and by what, for the foot of the page.
    """

    title: str
    summary: str
    sections: tuple[Section, ...]
    made: str = ""

    @property
    def missing(self) -> list[str]:
        """What the page could not show, a sentence each."""
        return [
            block.text
            for section in self.sections
            for block in flat(section.blocks)
            if isinstance(block, Text) and block.kind == "missing"
        ]


@dataclass
class Pile:
    """Blocks of a section while they are collected."""

    blocks: list[Block] = field(default_factory=list)

    def add(self, *blocks: Block) -> None:
        """Adds blocks at the end."""
        self.blocks.extend(blocks)

    def missing(self, text: str) -> None:
        """Adds a line about what is not there."""
        self.blocks.append(Text(text, "missing"))


def flat(blocks: tuple[Block, ...]) -> list[Block]:
    """All blocks, those within others too."""
    found: list[Block] = []
    for block in blocks:
        found.append(block)
        if isinstance(block, (Side, Details)):
            found += flat(block.blocks)
    return found
