"""What MkDocs does here besides rendering Markdown: pages made of the code, and pages that live elsewhere.

The reference of the dictionary language, of the losses, the presets and the command line is written by
`docs/generated/` from the code itself at each build, so that it cannot be out of date. `Data/ReadMe.md` and
`Results/published/README.md` are shown as `data.md` and `published.md`; they stay where they are. A link from a page
to a file outside of `docs/` becomes a link to the page that shows this file, or plain text: the site is only `docs/`.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PROJECT = DOCS.parent
sys.path[:0] = [str(place) for place in (PROJECT, DOCS) if str(place) not in sys.path]

from generated import api, cli, dictionary, losses, mathml, presets  # noqa: E402

ELSEWHERE = {"data.md": "Data/ReadMe.md", "published.md": "Results/published/README.md"}
"""Pages that are files outside of `docs/`: page -> file, from the project's folder."""

GENERATED: dict[str, Callable[[], str]] = {
    **api.pages(),
    **cli.pages(),
    "reference/dictionary.md": dictionary.page,
    "reference/losses.md": losses.page,
    "reference/presets.md": presets.page,
    **{page: (PROJECT / file).read_text for page, file in ELSEWHERE.items()},
}
"""Pages that no file in `docs/` holds: page -> what makes its Markdown."""

_CODE = re.compile(r"<code>[^<]*</code>")
_FLAG = re.compile(r"--[\w-]+")
_LINK = re.compile(r"(!?)\[([^\]\[]*)\]\(([^)\s]+)\)")


def on_config(config):
    """Lists the generated pages of the folder X below the page X.md of the navigation."""
    config.nav = _with_subpages(config.nav)
    return config


def _with_subpages(items: list) -> list:
    """The navigation, in which a page that has generated pages below it is a section with all of them."""
    listed = []
    for item in items:
        [(title, page)] = item.items() if isinstance(item, dict) else [(None, item)]
        below = [] if isinstance(page, list) else [name for name in GENERATED if name.startswith(f"{page[:-3]}/")]
        if isinstance(page, list):
            item = {title: _with_subpages(page)}
        elif below:
            item = {title: [{"Overview": page}, *({posixpath.basename(name)[:-3]: name} for name in below)]}
        listed.append(item)
    return listed


def on_files(files, config):
    """Adds the generated pages to those that MkDocs found."""
    from mkdocs.structure.files import File

    for page, make in GENERATED.items():
        files.append(File.generated(config, page, content=mathml.rendered(inside(make(), source_of(page), page))))
    return files


def on_page_markdown(markdown: str, page, config, files) -> str:
    """Mends the links, and renders the formulas, of a page that is a file of `docs/`."""
    name = page.file.src_uri
    return markdown if name in GENERATED else mathml.rendered(inside(markdown, source_of(name), name))


def on_page_content(html: str, page, config, files) -> str:
    """Keeps browsers from breaking a line within a flag, behind its first hyphen."""
    return _CODE.sub(lambda code: _FLAG.sub(r'<span class="flag">\g<0></span>', code.group()), html)


def source_of(page: str) -> str:
    """The file, from the project's folder, whose relative links a page has."""
    return ELSEWHERE.get(page, f"docs/{page}")


def inside(markdown: str, source: str, page: str) -> str:
    """The Markdown of a file with links that work on the site.

    Args:
      markdown: the text.
      source: the file it is of, from the project's folder: its links are relative to this.
      page: the page that shows it, from `docs/`.
    """
    shown_as = {file: shown for shown, file in ELSEWHERE.items()}

    def mend(link: re.Match) -> str:
        picture, text, target = link.groups()
        path, mark, anchor = target.partition("#")
        if not path or ":" in path:
            return link.group()
        there = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        place = shown_as.get(there) or (there.removeprefix("docs/") if there.startswith("docs/") else None)
        if place is None:
            return text
        relative = os.path.relpath(place, posixpath.dirname(page) or ".").replace(os.sep, "/")
        return f"{picture}[{text}]({relative}{mark}{anchor})"

    return _LINK.sub(mend, markdown)
