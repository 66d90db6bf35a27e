"""Renders a page as one HTML file that needs nothing else: no script, no font, no picture from elsewhere.

Pictures are `data:` addresses, drawings are SVG elements, and the style sheet is in the head. The page suits narrow and
wide windows, dark mode, and paper.
"""

from __future__ import annotations

import base64
import re
from functools import singledispatch
from html import escape
from itertools import count

from mmdgan.report.blocks import Block, Cell, Code, Details, Legend, Page, Picture, Section, SideBySide, Table, Text

_MARKS = {"differs": "≠ ", "unknown": "? ", "best": "★ ", "warning": "⚠ "}
_KINDS = {"missing": "Not shown: "}
_LONG = 24  # cells with more letters get room for them on narrow screens
_DOCTYPE = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", re.DOTALL)
_IDS = re.compile(r'(\bid="|href="#|url\(#)')
_drawings = count(1)


def render(page: Page) -> str:
    """Returns the page as HTML."""
    links = "".join(f'<a href="#{escape(s.name)}">{escape(s.title)}</a>' for s in page.sections)
    body = "\n".join(map(_section, page.sections))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(page.title)}</title>
<style>{_STYLE}</style>
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
def _html(block: Block) -> str:
    raise TypeError(f"{type(block).__name__} is not a block of a page.")


@_html.register
def _(block: Text) -> str:
    kind = f' class="{block.kind}"' if block.kind else ""
    return f"<p{kind}>{escape(_KINDS.get(block.kind, '') + block.text)}</p>"


@_html.register
def _(block: Code) -> str:
    return f'<pre tabindex="0">{escape(block.text)}</pre>'


@_html.register
def _(block: Legend) -> str:
    lines = (f'<li><i style="border-top: 3px {s} {colour}"></i>{escape(name)}</li>' for name, colour, s in block.lines)
    return f'<ul class="legend">{"".join(lines)}</ul>'


@_html.register
def _(block: SideBySide) -> str:
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
    header = "".join(f'<th scope="col">{escape(text).replace("[", "<wbr>[")}</th>' for text in block.header)
    rows = "\n".join(f"<tr>{_row(row, block)}</tr>" for row in block.rows)
    kind = ("numbers" if block.numbers else "words") + (" stack" if len(block.header) > 2 else "")
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind}">{caption}'
        f"<thead><tr>{header}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _row(row: tuple[str | Cell, ...], table: Table) -> str:
    parts = []
    for index, (cell, head) in enumerate(zip(row, table.header, strict=True)):
        text, kind, note = cell if isinstance(cell, Cell) else Cell(cell)
        # On a narrow screen the cells of a row stand below each other, each under its own heading.
        tag = 'th scope="row"' if index == 0 else f'td data-head="{escape(head)}"'
        names = [kind] * bool(kind) + ["long"] * (len(text) > _LONG) + ["empty"] * (not text)
        style = f' class="{" ".join(names)}"' if names else ""
        if table.numbers:  # keep a value and its spread, or two counts, in one line
            text = re.sub(r" ([±/]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", text)
        small = f"<small>{escape(note)}</small>" if note else ""
        parts.append(f"<{tag}{style}>{escape(_MARKS.get(kind, '') + text)}{small}</{tag.split()[0]}>")
    return "".join(parts)


@_html.register
def _(block: Picture) -> str:
    caption = f"<figcaption>{escape(block.caption)}</figcaption>" if block.caption else ""
    kind = f' class="{block.kind}{" wide" if block.wide else ""}"'
    if block.kind == "svg":
        inner = _drawing(block)
    else:
        data = base64.b64encode(block.content).decode()
        width, height = _size(block)
        inner = (
            f'<img src="data:image/{block.kind};base64,{data}" alt="{escape(block.alt)}" '
            f'width="{width}" height="{height}">'
        )
    # A checkbox enlarges the picture without a script: while it is checked, the picture fills the window.
    box = f'<input type="checkbox" aria-label="Enlarge: {escape(block.alt)}">'
    return f"<figure{kind}><label>{box}{inner}</label>{caption}</figure>"


def _drawing(block: Picture) -> str:
    """An SVG file as an element of the page: without its head, with unique names, and with a title."""
    text = _DOCTYPE.sub("", block.content.decode()).strip()
    text = _IDS.sub(rf"\g<1>d{next(_drawings)}-", text)
    # Sizes in points would not shrink with the window; the drawing has a viewBox.
    opening, rest = text.split(">", 1)
    opening = re.sub(r'\s(?:width|height)="[^"]*"', "", opening)
    return f'{opening} role="img" aria-label="{escape(block.alt)}"><title>{escape(block.alt)}</title>{rest}'


def _size(block: Picture) -> tuple[int, int]:
    """Width and height of a PNG or GIF file in pixels, so that the page does not jump while it loads."""
    if block.kind == "png":
        return int.from_bytes(block.content[16:20], "big"), int.from_bytes(block.content[20:24], "big")
    return int.from_bytes(block.content[6:8], "little"), int.from_bytes(block.content[8:10], "little")


def _breakable(name: str) -> str:
    """A long name that may break after each underscore and slash."""
    return re.sub(r"([_/])", r"\1<wbr>", escape(name))


_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5b6470; --line: #d5d9df; --ground: #ffffff; --shade: #f3f5f8;
  --link: #0b57a4; --warn: #9a3412; --warnground: #fff4ec; --good: #166534; --chart: none; --sheet: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #a3acb8; --line: #3a414b; --ground: #15181c; --shade: #20252b; --link: #7ab7f5;
    --warn: #fdba74; --warnground: #33231a; --good: #86efac;
    --chart: invert(1) hue-rotate(180deg); --sheet: #eae7e3; }  /* the negative of the ground */
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0 auto; padding: 0 1rem 2rem; max-width: 66rem; color: var(--ink); background: var(--ground);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 1.2rem 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .4rem; border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 46rem; overflow-wrap: anywhere; }
p.lead { font-size: 1.1rem; }
small { display: block; color: var(--soft); font-weight: 400; font-size: .85rem; max-width: 20rem; }
a { color: var(--link); }
.summary { color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
nav a { padding: .25rem 0; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { caption-side: top; text-align: left; color: var(--soft); padding: .2rem 0; }
th, td { padding: .28rem .7rem .28rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 500; }
.numbers td, .numbers thead th:not(:first-child) { text-align: right; }
.numbers td { white-space: nowrap; }
.numbers td.long { white-space: normal; min-width: 9rem; }
.words td { max-width: 28rem; min-width: 3.6rem; }
.words td.long { min-width: 9.5rem; overflow-wrap: anywhere; }
.differs, .warning { color: var(--warn); }
.unknown { color: var(--soft); }
.best, .good { color: var(--good); }
p.warning { background: var(--warnground); border-left: 4px solid var(--warn); padding: .4rem .7rem; }
p.missing { color: var(--soft); border-left: 4px solid var(--line); padding: .2rem .7rem; }
figure { margin: .8rem 0; min-width: 0; max-width: 34rem; }
figure.wide { max-width: none; }
figure label { display: block; position: relative; cursor: zoom-in; }
figure input { position: absolute; opacity: 0; }
figure input:focus-visible + * { outline: 3px solid var(--link); outline-offset: 2px; }
figure svg { display: block; width: 100%; height: auto; filter: var(--chart); }
figure img { display: block; width: 100%; height: auto; image-rendering: pixelated; border-radius: 2px; }
figcaption { color: var(--soft); font-size: .92rem; margin-top: .25rem; }
.plots, .thumbs { display: grid; gap: 0 1.2rem; align-items: start; }
.plots { grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.thumbs { grid-template-columns: repeat(auto-fit, minmax(min(44%, 16rem), 1fr)); gap: 0 .8rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none; overflow-wrap: anywhere; }
.legend i { display: inline-block; width: 1.6rem; margin-right: .4rem; vertical-align: middle; filter: var(--chart); }
pre { overflow-x: auto; background: var(--shade); padding: .6rem .8rem; border-radius: 4px; font-size: .85rem;
  line-height: 1.4;
  font-family: ui-monospace, "DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace; }
details { margin: .6rem 0; }
summary { cursor: pointer; padding: .3rem 0; color: var(--link); }
footer { margin-top: 3rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .9rem; }
@media screen {
  figure input:checked + * { position: fixed; inset: 0; z-index: 1; width: 100vw; height: 100vh; height: 100dvh;
    object-fit: contain; padding: 1rem; background: var(--ground); cursor: zoom-out; }
  figure input:checked + svg { background: var(--sheet); }
}
@media screen and (max-width: 40rem) {
  .stack, .stack tbody, .stack tr, .stack th, .stack td { display: block; width: auto; max-width: none; }
  .stack thead, .stack td.empty { display: none; }
  .stack tr { padding: .4rem 0; border-bottom: 1px solid var(--line); }
  .stack th, .stack td { padding: .1rem 0; border: 0; }
  .stack td { display: flex; flex-wrap: wrap; gap: 0 .5rem; justify-content: flex-end; white-space: normal;
    text-align: right; }
  .stack td::before { content: attr(data-head); color: var(--soft); text-align: left; flex: 0 1 auto;
    margin-right: auto; }
  .stack small { max-width: none; }
}
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --ground: #fff; --shade: #f4f4f4;
    --warn: #7c2d12; --warnground: #fff; --good: #14532d; --link: #000; --chart: none; }
  @page { margin: 15mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  summary { list-style: none; color: var(--ink); font-weight: 600; }
  summary::-webkit-details-marker { display: none; }
  h2, summary, .legend { break-after: avoid; }
  figure, tr, p { break-inside: avoid; }
  .scroll { overflow: visible; }
  .numbers td { white-space: normal; }
  pre { white-space: pre-wrap; font-size: 6.5pt; }
  details::details-content { content-visibility: visible; block-size: auto; }
  details.screen { display: none; }
  /* Rows of a grid, or lines kept together, would leave the end of a page empty. */
  .plots, .thumbs { display: block; orphans: 1; widows: 1; }
  .plots figure, .thumbs figure { display: inline-block; vertical-align: top; width: 48%; margin: .2rem .5% .4rem; }
  .thumbs figure { width: 31%; }
  figure { max-width: 9cm; }
  figure svg { max-height: 10cm; }
  h2 { margin-top: 1.2rem; }
  figcaption, small { font-size: .8rem; }
  figure.gif { display: none; }
}
"""
