"""Layouts of other tools, thumbnails, pictures by content, and archives by content: each label and pixel is right."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import tarfile

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.core.files import decoded
from mmdgan.data.sources import folders
from mmdgan.data.sources.archives import recognise
from mmdgan.metrics.comparison import FolderSet
from tests.helpers import handmade, handmade_archives as made

PICTURES = handmade.images(6, shape=(3, 8, 8))
ENCODED = [made.encoded(picture) for picture in PICTURES]
FLAT = {f"{number}.png": content for number, content in enumerate(ENCODED)}
INDEXED = {f"{number // 2:05d}/img{1000 * (number // 2) + number:08d}.png": x for number, x in enumerate(ENCODED)}


@pytest.fixture(params=["folder", "zip", "tar"])
def store(request, tmp_path):
    write = {"folder": made.write_files, "zip": made.write_zip, "tar": made.write_tar}[request.param]
    suffix = "" if request.param == "folder" else f".{request.param}"
    return lambda files, name="images": write(tmp_path / f"{name}{suffix}", files)


def found(path, **wanted):
    """(source, the numbers of its pictures, labels)."""
    source = folders.find(path, made.request(**wanted))
    images, labels = made.read(source.part(0, source.count))
    return (
        source,
        [next(i for i, right in enumerate(PICTURES) if np.array_equal(image, right)) for image in images],
        labels,
    )


@pytest.mark.parametrize("around", ["", "faces/"])
def test_stylegan_s_labels(store, around):
    labels = [2, 0, 1, 2, 2, 0]
    for form in (labels, [[int(i == label) for i in range(3)] for label in labels]):
        table = json.dumps({"labels": [[name, label] for name, label in zip(INDEXED, form, strict=True)]}).encode()
        files = {f"{around}{name}": x for name, x in {**INDEXED, "dataset.json": table}.items()}
        path = store(files, f"images{type(form[0]).__name__}")
        source, pictures, given = found(path)
        assert (source.class_names, pictures, given) == (("0", "1", "2"), list(range(6)), labels)
        assert "dataset.json" in source.note
        scored = FolderSet(path)
        assert scored.class_names == ("0", "1", "2") and scored.labels.tolist() == labels
        assert found(path, labels="none")[2] == [None] * 6


def test_stylegan_without_labels(store):
    for number, more in enumerate(({"dataset.json": b'{"labels": null}'}, {})):
        path = store({**INDEXED, **more}, f"set{number}")
        source, pictures, labels = found(path)
        assert (source.class_names, pictures, labels) == ((), list(range(6)), [None] * 6) and "label" in source.note
        assert FolderSet(path).labels is None


def test_labels_that_are_incomplete_or_odd_are_refused(store):
    for number, labels in enumerate(([["0.png", 1]], [[name, [0.5, 0.5]] for name in FLAT], [[n, -1] for n in FLAT])):
        path = store({**FLAT, "dataset.json": json.dumps({"labels": labels}).encode()}, f"set{number}")
        with pytest.raises(DataError, match="dataset.json"):
            found(path)
        assert found(path, labels="none")[1] == list(range(6))
    path = store({**FLAT, "dataset.json": b'{"labels": ["cat", "dog"]}'}, "others")  # another tool's file
    assert found(path)[2] == [None] * 6


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("file", ["metadata.csv", "metadata.csv;", "metadata.csv\t", "metadata.jsonl"])
def test_image_folders_of_hugging_face(store, file, encoding):
    file, separator = file.rstrip(";\t"), file[12:] or ","
    animals = ["dog", "cat", "eel", "cat", "dog", "cat"]
    for labels, names in ((animals, ("cat", "dog", "eel")), ([1, 0, 2, 0, 1, 10], tuple(map(str, range(11))))):
        rows = [{"file_name": name, "label": label} for name, label in zip(FLAT, labels, strict=True)]
        if file.endswith("csv"):
            stream = io.StringIO()
            writer = csv.DictWriter(stream, ["file_name", "label"], lineterminator="\r\n", delimiter=separator)
            writer.writeheader()
            writer.writerows(rows)
            text = stream.getvalue()
        else:
            text = "\n".join(map(json.dumps, rows))
        path = store({f"train/{name}": x for name, x in {**FLAT, file: text.encode(encoding)}.items()}, names[0])
        source, pictures, given = found(path)
        assert source.class_names == names and pictures == list(range(6))
        assert [source.class_names[number] for number in given] == list(map(str, labels))


def test_captions_of_hugging_face_are_no_labels_whatever_they_hold(store):
    lines = [json.dumps({"file_name": name, "text": "one\u2028two\x85three"}, ensure_ascii=False) for name in FLAT]
    path = store({**FLAT, "metadata.jsonl": "\n".join(lines).encode()})
    assert found(path)[1:] == (list(range(6)), [None] * 6)


def test_tables_that_contradict_themselves_or_are_no_text_are_refused(store):
    rows = [f"{name},Hund\n" for name in FLAT]
    for number, (lines, encoding, message) in enumerate(
        (
            ([*rows, "3.png,Bär\n"], "utf-8", "metadata.csv gives 3.png a second label, 'Bär'"),
            ([*rows[:-1], "5.png,Bär\n"], "latin-1", "metadata.csv does not give each image a label .*utf-8"),
        )
    ):
        content = "".join(["file_name,label\n", *lines]).encode(encoding)
        path = store({**FLAT, "metadata.csv": content}, f"set{number}")
        with pytest.raises(DataError, match=message):
            found(path)
        assert found(path, labels="none")[1] == list(range(6))
    path = store({**FLAT, "metadata.csv": "".join(["file_name,label\n", *rows, rows[0]]).encode()}, "again")
    assert found(path)[2] == [0] * 6


def test_numbers_of_classes_without_images_are_named(store):
    table = json.dumps({"labels": [[name, number + 1] for number, name in enumerate(FLAT)]}).encode()
    source, _, labels = found(store({**FLAT, "dataset.json": table}))
    assert labels == [1, 2, 3, 4, 5, 6] and source.note.endswith("classes without images: 0")


def test_a_table_of_links_to_nothing(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,label\n0.png,1\n")
    (tmp_path / "0.png").symlink_to("nothing")
    source = folders.find(tmp_path, made.request())
    assert made.read(source.part(0, source.count))[0] == [f"{tmp_path}/0.png is a link to nothing"]


def test_captions_are_no_labels(store):
    files = {f"{'ab'[number % 2]}/{number}.png": x for number, x in enumerate(ENCODED)}
    path = store({**files, "metadata.csv": b"file_name,text\na/0.png,hello\n"})
    assert found(path)[0].class_names == ("a", "b")


@pytest.mark.parametrize(
    ("train", "test"),
    [("Train", "Test"), ("TRAIN", "TEST"), ("training", "testing"), ("train_set", "test_set"),
     ("Training Set", "Test Set"), ("train2017", "test2017"),
     ("images-train", "images-test"), ("trainset", "testset"),
     ("train_images", "test_images")],
)  # fmt: skip
def test_splits_in_every_spelling(store, train, test):
    files = {}
    for number, content in enumerate(ENCODED):
        files[f"{train if number < 4 else test}/{'ab'[number % 2]}/{number}.png"] = content
    path = store(files)
    assert found(path)[1:] == ([0, 2, 1, 3], [0, 0, 1, 1])
    assert found(path, split="test")[1:] == ([4, 5], [0, 1])
    flat = store({name.replace("/a/", "/").replace("/b/", "/"): x for name, x in files.items()}, "flat")
    assert found(flat)[1:] == ([0, 1, 2, 3], [None] * 4)
    inside = {f"{name.split('/')[1]}/{name.split('/')[0]}/{name.split('/')[2]}": x for name, x in files.items()}
    source, pictures, labels = found(store(inside, "inside"))
    assert (pictures, labels, source.class_names) == ([0, 2, 1, 3], [0, 0, 1, 1], ("a", "b"))


def test_parts_without_train_are_no_classes(store):
    path = store({"Val/1.png": ENCODED[0], "Testing/2.png": ENCODED[1]})
    with pytest.raises(DataError, match="holds the parts Testing, Val of a data set"):
        found(path)
    assert found(path, split="validation")[1] == [0]
    both = store({"train/1.png": ENCODED[0], "Training/2.png": ENCODED[1], "test/3.png": ENCODED[2]}, "both")
    assert found(both)[1] == [0]  # an exact name counts first
    both = store({"TRAIN/1.png": ENCODED[0], "Training/2.png": ENCODED[1], "test/3.png": ENCODED[2]}, "two")
    with pytest.raises(DataError, match="TRAIN and Training: name the folder"):
        found(both)


@pytest.mark.parametrize(
    "place",
    ["@eaDir/0.jpg", "cat/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/0.png", "$RECYCLE.BIN/0.png",
     "$Recycle.Bin/S-1/0.png",
     "__MACOSX/cat/._0.png", "cat/__MACOSX/0.png", "#recycle/0.png", "@Recycle/0.png", "cat/Thumbs.db", "cat/thumbs.db",
     "desktop.ini", "lost+found/0.png", "System Volume Information/0.png"],
)  # fmt: skip
def test_thumbnails_and_waste_baskets(store, place):
    files = {f"{'cat' if number < 3 else 'dog'}/{number}.png": x for number, x in enumerate(ENCODED)}
    source, pictures, labels = found(store({**files, place: ENCODED[0]}))
    assert (pictures, labels, source.class_names) == (list(range(6)), [0, 0, 0, 1, 1, 1], ("cat", "dog"))
    assert not source.note


def test_pictures_are_known_by_their_content(store):
    pixels = PICTURES[0].transpose(1, 2, 0)
    files = {"0": ENCODED[0], "1.jfif": made.encoded(PICTURES[1]), "2.dat": ENCODED[2], "3.v1": ENCODED[3]}
    files |= {
        "4.WEBP": made.encoded(PICTURES[4], "webp", lossless=True),
        "5.txt": b"text",
        "6.bin": b"BMW is no picture",
    }
    source, pictures, _ = found(store(files))
    assert pictures == [0, 1, 2, 3, 4] and source.note == "2 other files are left aside"
    assert FolderSet(store(files, "again")).count == 5 and pixels.shape == (8, 8, 3)


def test_what_is_left_out_is_named_with_its_reason(store):
    more = {"a.heic": b"\0\0\0\x18ftypheic" + bytes(30), "b": b"\0\0\0\x18ftypmif1" + bytes(30), "c.png~": ENCODED[0]}
    path = store({**FLAT, **more, "notes.txt": b""})
    note = found(path)[0].note
    assert note.startswith("4 other files are left aside: ") and note.count("HEIF") == 2 and "c.png~ (a copy" in note
    lines = []
    FolderSet(path, say=lines.append)
    assert any("a.heic (HEIF" in line for line in lines)


def test_hard_links(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    (tmp_path / "cat" / "0.png").write_bytes(ENCODED[0])
    os.link(tmp_path / "cat" / "0.png", tmp_path / "dog" / "0.png")
    deep = tmp_path / "dog" / ("long" * 30) / ("name" * 30)
    deep.mkdir(parents=True)
    os.link(tmp_path / "cat" / "0.png", deep / "1.png")
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        for first in ("cat", "dog"):  # the long name is the link, or what the links lead to
            path = tmp_path / f"{form}{first}.tar"
            with tarfile.open(path, "w", format=form) as archive:
                archive.add(tmp_path / first, f"./x/{first}")
                archive.add(
                    tmp_path / ("dog" if first == "cat" else "cat"), f"./x/{'dog' if first == 'cat' else 'cat'}"
                )
            source, pictures, labels = found(path)
            assert (pictures, labels) == ([0, 0, 0], [0, 1, 1]) and source.class_names == ("cat", "dog")
    lonely = tmp_path / "lonely.tar"
    lonely.write_bytes(made.tar_header("b.png", kind=b"1", link="a.png") + bytes(1024))
    assert made.faults(lonely)["b.png"].startswith("is a hard link to a.png, which is not before it")


@pytest.mark.skipif(not shutil.which("tar"), reason="GNU tar is missing")
def test_incremental_archives_of_gnu_tar(tmp_path):
    """They hold times where other archives hold the beginnings of long names, lists of files, and labels."""
    made.write_files(tmp_path / "x", {f"{'cd'[n % 2]}/{n}.png": ENCODED[n] for n in range(6)})
    command = ["tar", "--create", "--file", str(tmp_path / "x.tar"), "--label=mine", "--format=gnu"]
    done = subprocess.run([*command, f"--listed-incremental={tmp_path}/state", "-C", str(tmp_path), "x"])
    if done.returncode:
        pytest.skip("this tar makes no incremental archives")
    source, pictures, labels = found(tmp_path / "x.tar")
    assert source.class_names == ("c", "d") and pictures == [0, 2, 4, 1, 3, 5] and labels == [0, 0, 0, 1, 1, 1]


def test_archives_by_content(tmp_path):
    tar, packed = made.write_tar(tmp_path / "a.zip", FLAT), made.write_zip(tmp_path / "b.tar", FLAT)
    for path in (tar, packed):
        assert found(path)[1] == list(range(6))
    for start in (b"#!/bin/sh\nexit 0\n", b"MZ" + bytes(70_000), b"\x7fELF" + bytes(300)):
        path = tmp_path / "installer.exe"
        path.write_bytes(start + packed.read_bytes())
        assert found(path)[1] == list(range(6))
        path.rename(tmp_path / "installer.zip")
        assert found(tmp_path / "installer.zip")[1] == list(range(6))
    (tmp_path / "c.tar").write_bytes(b"\x1f\x8b\x08" + bytes(600))
    (tmp_path / "c.zip").write_bytes(b"\x1f\x8b\x08" + bytes(600))
    for name in ("c.tar", "c.zip"):
        with pytest.raises(DataError, match="is compressed by gzip: unpack it first"):
            recognise(tmp_path / name)


def test_texts_in_the_encodings_of_other_programs():
    text = "naïve, 猫\nsecond\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        content = ("a" + text).encode(encoding)
        assert decoded(content) == "a" + text, encoding
        assert decoded(("a" + text).replace("\n", "\r\n").encode(encoding)) == "a" + text
    assert decoded("\ufeff猫".encode("utf-16-be")) == "猫" and decoded(b"") == ""
