"""Official files against their published MD5 sums."""

from __future__ import annotations

import gzip
import hashlib
import re

import pytest

from mmdgan.core.errors import DataError
from mmdgan.data import names
from mmdgan.data.sources import checksums
from tests.helpers import handmade_binaries as made


def test_a_file_that_was_published(tmp_path):
    """batches.meta can be written by hand; its published sum confirms both the sum's place and the hand."""
    lines = []
    folder = made.folder(tmp_path / "cifar-10-batches-py", {"batches.meta": made.python2_names(), "notes": b"mine"})
    for path in (tmp_path, folder, folder / "batches.meta"):
        assert checksums.check(path, "cifar10", lines.append) == (folder / "batches.meta",)
    assert lines[0] == "As published: batches.meta"
    assert lines[1] == "No checksum of cifar10 is published for notes" and len(lines) == 5


def test_a_difference_is_named(tmp_path):
    content = made.python2_names().replace(b"cat", b"cow")
    file = made.folder(tmp_path, {"batches.meta": content}) / "batches.meta"
    with pytest.raises(
        DataError, match=f"batches.meta is not the published file .MD5 {hashlib.md5(content).hexdigest()}"
    ):
        checksums.check(tmp_path, "cifar10", print)
    assert checksums.check(file, "mnist", lambda line: None) == ()
    with pytest.raises(DataError, match="The source .*missing does not exist"):
        checksums.check(tmp_path / "missing", "cifar10")


def test_what_was_packed_anew_is_known_by_its_content(tmp_path, monkeypatch):
    content = b"labels" * 1000
    sums = {"labels.gz": "0" * 32, "labels": hashlib.md5(content).hexdigest()}
    monkeypatch.setitem(checksums.SUMS, "mine", sums)
    folder = made.folder(tmp_path, {"labels.gz": gzip.compress(content), "labels": content})
    assert len(checksums.check(folder, "mine", lambda line: None)) == 2
    (folder / "labels.gz").write_bytes(gzip.compress(content + b"x"))
    with pytest.raises(DataError, match=f"labels.gz is not the published file .*{'0' * 32} is published"):
        checksums.check(folder, "mine")
    (folder / "labels.gz").write_bytes(gzip.compress(content)[:-1])
    with pytest.raises(DataError, match="labels.gz is damaged or truncated"):
        checksums.check(folder, "mine")


def test_what_has_no_sum_is_told_in_short(tmp_path):
    lines = []
    made.folder(tmp_path, {f"{k}.png": b"" for k in range(34)})
    assert checksums.check(tmp_path, "lsun", lines.append) == ()
    assert lines == ["No checksum of lsun is published for 0.png, 1.png, 10.png, 11.png, 12.png and 29 more"]


def test_a_long_file_shows_progress(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(checksums, "_REPORT_SECONDS", 0)
    monkeypatch.setitem(checksums.SUMS, "mine", {"big": hashlib.md5(bytes(2**23)).hexdigest()})
    made.folder(tmp_path, {"big": bytes(2**23)})
    checksums.check(tmp_path, "mine", lines.append)
    assert lines == ["big: 0.0 of 0.0 GB compared"] * 2 + ["As published: big"]


def test_the_sums_are_of_the_catalogue():
    assert checksums.SUMS.keys() <= set(names("nowhere"))
    sums = [total for files in checksums.SUMS.values() for total in files.values()]
    assert all(re.fullmatch("[0-9a-f]{32}", total) for total in sums) and len(set(sums)) == len(sums) == 35
