"""The page as a file: it parses, its tags are balanced, it fetches nothing, and any text survives."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from mmdgan.core.text import installed_name
from mmdgan.pictures import grid
from mmdgan.report import write_report
from mmdgan.report.blocks import Cell, Code, Details, Page, Picture, Section, SideBySide, Table, Text
from mmdgan.report.html import render
from mmdgan.training.event_files import Scalars
from tests.helpers.report_records import make_run, score

VOID = {"meta", "img", "br", "wbr", "hr", "input", "link", "base", "source", "col", "area", "embed", "track"}
FORBIDDEN = {"script", "link", "iframe", "object", "embed", "base", "form", "video", "audio", "source"}
ADDRESSES = {"src", "href", "xlink:href", "srcset", "poster", "data", "action", "background", "formaction"}
NASTY = "<b>&amp;\"'</script><img src=x onerror=alert(1)>"


class Checker(HTMLParser):
    """Reads a page as strictly as a browser would not."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.ids, self.addresses, self.styles, self.words = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        assert len({name for name, _ in attributes}) == len(attributes), f"an attribute of {tag} comes twice"
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            elif name in ADDRESSES:
                self.addresses.append(value)
            elif "url(" in (value or ""):
                self.styles.append(value)
            assert not name.startswith("on"), f"{tag} has {name}"

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.styles.append(data)
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def check_page(text: str) -> Checker:
    """Asserts that a page is sound and fetches nothing."""
    page = Checker(text)
    assert text.startswith("<!DOCTYPE html>")
    assert not FORBIDDEN & {tag for tag, _ in page.tags}
    assert all(value.startswith(("data:image/", "#")) for value in page.addresses), page.addresses
    assert len(set(page.ids)) == len(page.ids)
    assert {value[1:] for value in page.addresses if value.startswith("#")} <= set(page.ids)
    for style in page.styles:
        assert "@import" not in style
        for target in re.findall(r"url\(([^)]*)\)", style):
            target = target.strip("'\" ")
            assert target.startswith("#"), target
            assert target[1:] in page.ids
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags
    return page


def page_of(*blocks) -> Page:
    return Page("title", "summary", (Section("one", "One", blocks),), "made")


@pytest.mark.parametrize(
    "block",
    [
        Text(NASTY),
        Text(NASTY, "missing"),
        Code(NASTY),
        Table((NASTY, "b"), ((NASTY, Cell(NASTY, "differs")), ("c", "d")), NASTY),
        Details(NASTY, (Text("inside"),)),
        SideBySide((Text(NASTY), Code("x"))),
        Picture(grid.png_bytes(np.zeros((4, 5, 3), np.uint8)), "png", NASTY, NASTY),
        Picture(b'<?xml version="1.0"?><svg width="1pt" viewBox="0 0 1 1"></svg>', "svg", NASTY),
    ],
    ids=lambda block: type(block).__name__,
)
def test_any_text_survives(block):
    page = check_page(render(page_of(block)))
    assert not any("onerror" in attributes for _, attributes in page.tags)
    alts = [attributes.get(name, "") for _, attributes in page.tags for name in ("alt", "aria-label")]
    assert any(NASTY in found for found in (*page.words, *alts)) or NASTY in page.text


def test_a_value_and_its_spread_stay_in_one_line():
    text = render(page_of(Table(("score", "value"), (("a", Cell("1 ± 0.5 (step 4)", "best")), ("b", "2 / 3")))))
    assert "1\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.5 (step 4)" in text
    assert "2\N{NO-BREAK SPACE}/\N{NO-BREAK SPACE}3" in text
    assert "a ± b" in render(page_of(Table(("a", "b"), (("a", "a ± b"),), numbers=False)))


def test_pictures_enlarge_without_a_script():
    content = grid.png_bytes(np.zeros((4, 5, 3), np.uint8))
    text = render(page_of(Picture(content, "png", "a grid")))
    check_page(text)
    assert '<label><input type="checkbox" aria-label="Enlarge: a grid"><img' in text
    assert "figure input:checked + * { position: fixed; inset: 0;" in text


def test_cells_say_their_heading_where_rows_are_stacked():
    text = render(page_of(Table(("score", "new", "best"), ((Cell("a", note="in words"), "1", ""),))))
    assert '<th scope="row">a<small>in words</small></th>' in text
    assert '<td data-head="new">1</td>' in text and '<td data-head="best" class="empty">' in text


def test_nasty_names_of_page_and_section():
    page = check_page(render(Page(NASTY, NASTY, (Section("s", NASTY, ()),), NASTY)))
    assert sum(NASTY in word for word in page.words) >= 4  # title, heading, section, foot


def test_pictures_are_in_the_page():
    from base64 import b64decode

    content = grid.png_bytes(np.arange(60, dtype=np.uint8).reshape(4, 5, 3))
    page = check_page(render(page_of(Picture(content, "png", "what"))))
    [attributes] = [attributes for tag, attributes in page.tags if tag == "img"]
    assert b64decode(attributes["src"].partition("base64,")[2]) == content
    assert (attributes["width"], attributes["height"]) == ("5", "4")


def test_size_of_a_gif():
    from mmdgan.pictures.files import gif_bytes

    content = gif_bytes(np.random.default_rng(0).integers(0, 255, (2, 30, 40, 3), dtype=np.uint8))
    page = check_page(render(page_of(Picture(content, "gif", "what"))))
    [attributes] = [attributes for tag, attributes in page.tags if tag == "img"]
    assert (attributes["width"], attributes["height"]) == ("40", "30")


def test_drawings_do_not_share_names():
    """Two copies of one figure in a page: each refers to its own clip paths and letters."""
    from mmdgan.report.plots import plot_curves, to_svg

    curve = Scalars(np.arange(5), np.arange(5.0), np.zeros(5))
    svg = to_svg(plot_curves({"a <b> & c": curve, "d": curve}, "title"))
    text = render(page_of(Picture(svg, "svg", "one & <two>"), Picture(svg, "svg", "two")))
    page = check_page(text)
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert [attributes["aria-label"] for attributes in drawings] == ["one & <two>", "two"]
    assert all("width" not in attributes and "viewbox" in attributes for attributes in drawings)
    assert any(value.startswith("#d") for value in page.addresses)
    assert "<?xml" not in text and text.count("<!DOCTYPE") == 1


def test_the_checker_itself_refuses():
    good = render(page_of(Text("x")))
    for bad in (
        good.replace("<main>", '<main><img src="https://example.org/a.png" alt="x">'),
        good.replace("<main>", "<main><script>1</script>"),
        good.replace("</main>", ""),
        good.replace("<main>", "<main><p>"),
        good.replace("<main>", '<main id="one">'),
        good.replace("<style>", "<style>@import 'x.css';"),
        good.replace("<main>", '<main style="background: url(x.png)">'),
    ):
        assert bad != good
        with pytest.raises(AssertionError):
            check_page(bad)


def test_report_of_a_finished_run(tiny_run, tmp_path):
    """With networks: pictures, curves, critic and spectra; and nothing written into the run but what was asked for."""
    before = sorted(tiny_run[1].rglob("*"))
    path, page = write_report(tiny_run[1], tmp_path / "a.html", step=2, count=16)
    text = path.read_text()
    found = check_page(text)
    assert sorted(tiny_run[1].rglob("*")) == before
    assert len(text) < 5_000_000
    images = [attributes["alt"] for tag, attributes in found.tags if tag == "img"]
    assert {"Generated images", "Real images"} <= set(images)
    assert "Images of the fixed codes after step 4" in images
    assert sum(value.startswith("data:image/gif") for value in found.addresses) == 1
    labels = [attributes["aria-label"] for tag, attributes in found.tags if tag == "svg"]
    assert any("t-SNE" in label for label in labels)
    assert any("Spectral norms" in label for label in labels)
    assert any("generator" in label for label in labels)
    assert page.missing[0].startswith("scores: the run has none")
    assert "Generated, step 2; random codes" in found.words
    assert f"{installed_name()} train" in found.text
    assert "dis/l1/kernel" in found.text


def test_quick_report_with_nasty_names(tiny_run, tmp_path):
    run = make_run(
        tmp_path / "a <b> & c",
        tiny_run[1],
        {4: [score("FD[keras:<i>&]", 3.0, note="a < b & c", feature_source="<u>")]},
        data_root="<root>&",
    )
    path, page = write_report(run.path, pictures=False)
    assert path == run.path / "report.html"
    found = check_page(path.read_text())
    for words in ("a <b> & c", "FD[keras:<i>&]", "a < b & c", "<root>&"):
        assert words in found.text or any(words in word for word in found.words), words
    assert any("holds no event files" in line for line in page.missing)
    assert any("holds no grids yet" in line for line in page.missing)
