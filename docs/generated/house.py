"""Draws docs/images/house.svg, the rooms of the package and what each imports, from the imports themselves.

python docs/generated/house.py
"""

from __future__ import annotations

import ast
import sys
import textwrap
from html import escape
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from tests.helpers.import_graph import FLOORS, graph, modules, room  # noqa: E402

FILE = PROJECT / "docs" / "images" / "house.svg"
WIDTH, BOX, GAP, LEFT = 960, 98, 14, 40
COLOURS = ("#4477aa", "#228833", "#998811", "#cc4455", "#aa3377", "#2288aa", "#666666")
STYLE = (
    "rect{fill:#fff;stroke-width:1.5}.floor{font-size:15px;fill:#666}.name{font-size:15px;font-weight:bold;fill:#222}"
    ".what{font-size:11.5px;fill:#333}.uses{font-size:11px}"
)


def imported_rooms() -> dict[str, list[str]]:
    """Room -> the rooms that it imports, without core, which every room imports."""
    names = [name for floor in FLOORS for name in floor]
    found: dict[str, set[str]] = {name: set() for name in names}
    for module, targets in graph().items():
        if room(module) in found:
            found[room(module)] |= {room(target) for target in targets}
    return {name: [one for one in names[::-1] if one in used - {name, "core"}] for name, used in found.items()}


def draw() -> str:
    """The picture: a row per floor, a box per room with its subject and the rooms that it imports."""
    uses, boxes = imported_rooms(), []
    height = len(FLOORS) * (BOX + GAP) + GAP
    for number, floor in enumerate(FLOORS, 1):
        y, colour = height - number * (BOX + GAP), COLOURS[number - 1]
        width = (WIDTH - LEFT - 8) / len(floor) - 10
        boxes.append(f'<text x="10" y="{y + BOX / 2 + 5:.0f}" class="floor">{number}</text>')
        for place, name in enumerate(floor):
            x, letters = LEFT + place * (width + 10), int(width / 6)
            lines = [("name", name, "#222")]
            lines += [("what", line, "#333") for line in textwrap.wrap(_subject(name), letters)[:3]]
            if uses[name]:
                lines += [("uses", line, colour) for line in textwrap.wrap("imports " + ", ".join(uses[name]), letters)]
            boxes.append(f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BOX}" rx="5" stroke="{colour}"/>')
            boxes += [
                f'<text x="{x + 9:.0f}" y="{y + 20 + 15 * k}" class="{kind}" fill="{fill}">{escape(text)}</text>'
                for k, (kind, text, fill) in enumerate(lines)
            ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
            f"<style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height}" stroke="none"/>',
            *boxes,
            "</svg>\n",
        ]
    )


def _subject(name: str) -> str:
    """The first sentence of a room's docstring."""
    text = ast.get_docstring(modules()[f"mmdgan.{name}"]) or ""
    return text.split("\n\n")[0].replace("\n", " ").rstrip(".")


if __name__ == "__main__":
    FILE.write_text(draw(), encoding="utf-8")
