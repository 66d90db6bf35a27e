"""The page of a run as one HTML file that needs nothing but itself: no script, no font, no picture from elsewhere.

Pictures are `data:` addresses, drawings are SVG elements of the page, the style sheet stands in its head. It is made
for narrow and wide windows, for dark ones, and for paper.
"""

from __future__ import annotations

import base64
import re
from functools import singledispatch
from html import escape
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan.errors import ConfigError
from mmdgan.report.blocks import Cell, Code, Details, Page, Picture, Section, Side, Table, Text
from mmdgan.report.style import STYLE

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

_MARKS = {"differs": "≠ ", "unknown": "? ", "best": "★ ", "warning": "⚠ "}
_KINDS = {"missing": "Not shown: "}
_LONG = 24  # letters of a cell that gets room for them on narrow screens
_DOCTYPE = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", re.DOTALL)
_IDS = re.compile(r'(\bid="|href="#|url\(#)')
_drawings = count(1)


def write_report(
    run: str | os.PathLike,
    out: str | os.PathLike | None = None,
    *,
    step: int | str | None = None,
    count: int = 256,
    pictures: bool = True,
    published: str | os.PathLike | None = None,
    progress: Callable[[str], object] = lambda line: None,
) -> tuple[Path, Page]:
    """Writes all that is known of a run into one file.

    Args:
        run: its directory.
        out: the file; RUN/report.html by default.
        step: of the checkpoint that pictures are made of, or "best"; the newest by default.
        count: images that the critic looks at.
        pictures: whether to make what needs the networks, and TensorFlow.
        published: a CSV of published scores; by default the repository's.
        progress: takes a line about what is done now.

    Returns:
        the file, and what it shows; `Page.missing` lists what it does not.

    Raises:
        ConfigError: no run, or a place that cannot be written to.
        CheckpointError: no such step.
    """
    from mmdgan.report.collect import Request, collect
    from mmdgan.runs import RunFolder

    folder = RunFolder.open(run)
    path = folder.path / "report.html" if out is None else Path(out)
    if path.is_dir() or path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"out: {path} is no name for a page; give one that ends in .html.")
    page = collect(folder, Request(step, count, pictures, published), progress)
    from mmdgan.pictures import save_bytes

    try:
        save_bytes(path, render(page).encode())
    except OSError as error:
        raise ConfigError(f"out: {path} cannot be written ({error.strerror or error}); name another place.") from error
    return path, page


def render(page: Page) -> str:
    """The page as HTML."""
    links = "".join(f'<a href="#{escape(s.name)}">{escape(s.title)}</a>' for s in page.sections)
    body = "\n".join(map(_section, page.sections))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(page.title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{_breakable(page.title)}</h1>
<p class="summary">{escape(page.summary)}</p>
<nav>{links}</nav>
</header>
<main>
{body}
</main>
<footer><p>{escape(page.made)}</p></footer>
</body>
</html>
"""


def _section(section: Section) -> str:
    blocks = "\n".join(map(_html, section.blocks))
    return f'<section id="{escape(section.name)}">\n<h2>{escape(section.title)}</h2>\n{blocks}\n</section>'


@singledispatch
def _html(block: object) -> str:
    raise TypeError(f"{type(block).__name__} is no block of a page.")


@_html.register
def _(block: Text) -> str:
    kind = f' class="{block.kind}"' if block.kind else ""
    return f"<p{kind}>{escape(_KINDS.get(block.kind, '') + block.text)}</p>"


@_html.register
def _(block: Code) -> str:
    return f'<pre tabindex="0">{escape(block.text)}</pre>'


@_html.register
def _(block: Side) -> str:
    kind = "thumbs" if block.small else "plots"
    return f'<div class="{kind}">{"".join(map(_html, block.blocks))}</div>'


@_html.register
def _(block: Details) -> str:
    inner = "\n".join(map(_html, block.blocks))
    kind = ' class="screen"' if block.screen else ""
    return f"<details{kind}><summary>{escape(block.summary)}</summary>\n{inner}\n</details>"


@_html.register
def _(block: Table) -> str:
    caption = f"<caption>{escape(block.caption)}</caption>" if block.caption else ""
    header = "".join(f'<th scope="col">{escape(text)}</th>' for text in block.header)
    rows = "\n".join(f"<tr>{_row(row, block.numbers)}</tr>" for row in block.rows)
    kind = "numbers" if block.numbers else "words"
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind}">{caption}'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _row(row: tuple[str | Cell, ...], numbers: bool) -> str:
    parts = []
    for index, cell in enumerate(row):
        text, kind = cell if isinstance(cell, Cell) else (cell, "")
        tag = 'th scope="row"' if index == 0 else "td"
        names = [kind] * bool(kind) + ["long"] * (len(text) > _LONG)
        style = f' class="{" ".join(names)}"' if names else ""
        if numbers:  # a value and its spread stay in one line, as do two counts
            text = re.sub(r" ([±/]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", text)
        parts.append(f"<{tag}{style}>{escape(_MARKS.get(kind, '') + text)}</{tag.split()[0]}>")
    return "".join(parts)


@_html.register
def _(block: Picture) -> str:
    caption = f"<figcaption>{escape(block.caption)}</figcaption>" if block.caption else ""
    kind = ' class="wide"' if block.wide else ""
    if block.kind == "svg":
        inner = _drawing(block)
    else:
        data = base64.b64encode(block.content).decode()
        width, height = _size(block)
        inner = (
            f'<img src="data:image/{block.kind};base64,{data}" alt="{escape(block.alt)}" '
            f'width="{width}" height="{height}">'
        )
    return f"<figure{kind}>{inner}{caption}</figure>"


def _drawing(block: Picture) -> str:
    """An SVG file as an element of the page: without its head, with names of its own, and with a title."""
    text = _DOCTYPE.sub("", block.content.decode()).strip()
    text = _IDS.sub(rf"\g<1>d{next(_drawings)}-", text)
    # Sizes in points would not shrink with the window; the drawing has a viewBox.
    opening, rest = text.split(">", 1)
    opening = re.sub(r'\s(?:width|height)="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{escape(block.alt)}"><title>{escape(block.alt)}</title>{rest}'


def _size(block: Picture) -> tuple[int, int]:
    """Width and height of a PNG or GIF file in pixels, so that the page does not jump while it opens."""
    if block.kind == "png":
        return int.from_bytes(block.content[16:20], "big"), int.from_bytes(block.content[20:24], "big")
    return int.from_bytes(block.content[6:8], "little"), int.from_bytes(block.content[8:10], "little")


def _breakable(name: str) -> str:
    """A long name that may go on in the next line after each underscore and slash."""
    return re.sub(r"([_/])", r"\1<wbr>", escape(name))
