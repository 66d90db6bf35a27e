"""Folders, tars and zips hold the same files, and what is dangerous or damaged in them is named."""

from __future__ import annotations

import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data.sources import folders
from mmdgan.data.sources.archives import recognise
from mmdgan.data.sources.byte_ranges import Broken
from tests.helpers import handmade_archives as made
from tests.helpers.handmade_archives import contents, faults

FILES = {
    "b/2.png": b"two",
    "b/10.png": b"ten" * 1000,
    "a b/ä.png": b"",
    "b-c/1.txt": b"text",
    "top.png": bytes(512),
    f"{'long' * 20}/{'name' * 20}.png": b"beyond 100 characters",
    f"{'x/' * 60}{'longer' * 30}.png": b"beyond 256 characters",
    ".hidden/1.png": b"hidden",
    "b/._2.png": b"hidden too",
    "__MACOSX/b/2.png": b"of macOS",
}
SEEN = {name: data for name, data in FILES.items() if not name.startswith((".", "__")) and "/._" not in name}


@pytest.fixture(params=["folder", "ustar", "gnu", "pax", "stored", "deflated"])
def container(request, tmp_path):
    forms = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
    if request.param == "folder":
        return made.write_files(tmp_path / "x", FILES)
    if request.param in forms:
        files = {name: data for name, data in FILES.items() if request.param != "ustar" or len(name) < 200}
        return made.write_tar(tmp_path / "x.tar", files, forms[request.param])
    method = zipfile.ZIP_STORED if request.param == "stored" else zipfile.ZIP_DEFLATED
    return made.write_zip(tmp_path / "x.zip", FILES, method)


def test_all_containers_hold_the_same_files_in_the_same_order(container):
    found = contents(container)
    expected = {name: data for name, data in SEEN.items() if name in found or len(name) < 200}
    assert found == expected and len(found) >= 6
    assert list(found) == sorted(expected, key=lambda name: name.split("/"))
    assert not faults(container)


def test_a_slice_is_small_and_reads_its_own(container):
    files = recognise(container).listing().files
    part = pickle.loads(pickle.dumps(files.slice(1, 3)))
    assert list(part.read()) == list(files.read())[1:3] and part.names == files.names[1:3]
    assert files.slice(1, 3).state() == part.state() != files.slice(1, 4).state()
    assert list(files.take(np.array([3, 0])).read()) == [list(files.read())[i] for i in (3, 0)]


def test_what_changed_since_it_was_listed_is_named(container):
    files = recognise(container).listing().files
    place = container / "b" / "2.png" if container.is_dir() else container
    before = files.state()
    os.utime(place, ns=(0, 12345))
    if container.is_dir():
        found = [content for content in files.read() if isinstance(content, Broken)]
        assert [str(content) for content in found] == ["has changed since it was listed"]
    else:
        with pytest.raises(DataError, match="has changed since it was listed"):
            list(files.read())
    assert recognise(container).listing().files.state() != before


def test_files_that_are_no_container(tmp_path):
    path = tmp_path / "x"
    for content in (b"", b"text", bytes(512)):
        path.write_bytes(content)
        assert recognise(path) is None
    with pytest.raises(DataError, match="missing cannot be read"):
        recognise(tmp_path / "missing")


def test_links_in_folders(tmp_path):
    root = made.write_files(tmp_path / "root", {"real/1.png": b"1", "other/2.png": b"2"})
    outside = made.write_files(tmp_path / "outside", {"3.png": b"3", "deep/4.png": b"4"})
    (root / "file.png").symlink_to(outside / "3.png")
    (root / "folder").symlink_to(outside)
    (root / "real" / "loop").symlink_to(root)
    (outside / "deep" / "back").symlink_to(root / "folder")
    (root / "self.png").symlink_to(root / "self.png")
    (root / "lost.png").symlink_to(tmp_path / "nowhere")
    (root / "lost.txt").symlink_to(tmp_path / "nowhere")
    (root / "zebra").symlink_to(root / "real")
    os.mkfifo(root / "pipe.png")
    (root / "bare" / "deeper").mkdir(parents=True)
    expected = ["file.png", "folder/3.png", "folder/deep/4.png", "other/2.png", "real/1.png"]
    assert list(contents(root)) == expected and list(contents(root).values()) == [b"3", b"3", b"4", b"2", b"1"]
    found = faults(root)
    assert found.keys() == {"self.png", "lost.png", "zebra", "pipe.png"}
    assert found["lost.png"] == "is a link to nothing" and found["pipe.png"] == "is no regular file"
    assert found["zebra"] == "is a link to a folder whose files are listed already"
    assert recognise(root).listing().empty == ("bare", "bare/deeper")


def test_names_that_cannot_be_printed(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    with open(os.path.join(os.fsencode(root), b"a\xff\n.png"), "wb") as stream:
        stream.write(b"1")
    source = folders.find(root, made.request())
    (item,) = source.part(0, 1).items()
    assert item.name == f"{root}/a\\udcff\\n.png" and item.encoded == b"1"
    source.part(0, 1).state()
