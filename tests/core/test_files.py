"""Files: text that other programs have written, lines that are appended to it, and the first of several writers."""

import codecs
import json

import pytest

from mmdgan.core.files import append_jsonl, atomic, read_text, write_text

LINES = '{"a": "é猫"}\n{"b": 2}\n'


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "mark, encoding",
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
def test_text_of_other_programs_is_read_and_appended_to(tmp_path, mark, encoding, ending):
    path = tmp_path / "some.jsonl"
    path.write_bytes(mark + LINES.replace("\n", ending).encode(encoding))
    assert read_text(path) == LINES
    append_jsonl(path, iter([{"c": "ü"}]))
    found = [json.loads(line) for line in read_text(path).splitlines() if line]
    assert found == [{"a": "é猫"}, {"b": 2}, {"c": "ü"}]


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "some.txt"
    path.write_bytes(b"a\xff\n")
    with pytest.raises(UnicodeDecodeError):
        read_text(path)
    assert read_text(path, errors="replace") == "a\ufffd\n"


@pytest.mark.parametrize("links", [True, False])
def test_the_first_of_two_writers_wins_where_that_is_asked_for(tmp_path, monkeypatch, links):
    path = tmp_path / "some.txt"
    if not links:
        monkeypatch.setattr("os.link", lambda *paths: (_ for _ in ()).throw(PermissionError()))
    with atomic(path, first=True) as partial:
        partial.write_text("one")
        if links:  # another process is faster
            write_text(path, "two")
    assert path.read_text() == ("two" if links else "one")
    write_text(path, "three")
    assert path.read_text() == "three" and [*tmp_path.iterdir()] == [path]
