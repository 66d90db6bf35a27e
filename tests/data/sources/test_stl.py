"""STL-10's binary version: its columns, its splits, its faults."""

from __future__ import annotations

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data import info
from mmdgan.data.sources import stl
from mmdgan.data.sources.base import Request
from tests.helpers import handmade, handmade_binaries as made

STL = info("stl10", "nowhere")
LABELS = np.array([0, 9, 3, 5, 5])

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


@pytest.fixture(scope="module")
def pictures():
    return handmade.images(5, shape=(3, 96, 96))


@pytest.fixture(scope="module")
def files(pictures):
    """The official files, of a few images."""
    return {
        "unlabeled_X.bin": made.stl_images(pictures),
        "train_X.bin": made.stl_images(pictures[::-1]),
        "train_y.bin": bytes(LABELS.tolist()).translate(bytes(range(1, 256)) + b"\0"),
        "test_X.bin": made.stl_images(pictures[:2]),
        "test_y.bin": bytes([1, 10]),
        "class_names.txt": b"airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck\n",
        "fold_indices.txt": b"0 1\n",
    }


def find(path, **wanted):
    return stl.find(path, Request(STL, **wanted))


@pytest.mark.parametrize("form", ["folder", "around", "tar"])
def test_the_splits(tmp_path, pictures, files, form):
    path = folder = tmp_path / "stl10_binary"
    if form == "tar":
        path = tmp_path / "stl10_binary.tar"
        path.write_bytes(made.tar(files, "stl10_binary", gz=False))
    else:
        made.folder(folder, files)
        path = tmp_path if form == "around" else folder
    source = find(path)
    images, labels = made.gathered(source, 2)
    assert np.array_equal(images, pictures) and labels is None and source.class_names == ()
    assert source.size == (96, 96) == STL.size and str(source.origin) == f"STL-10 binary {path}"
    assert source.note == "5 images where 100,000 were published" and not source.divisible
    assert source.origin.bytes == (path.stat().st_size if form == "tar" else 5 * 27648)
    source = find(path, split="labelled")
    images, labels = made.gathered(source, 2)
    assert np.array_equal(images, pictures[::-1]) and np.array_equal(labels, LABELS)
    assert not source.note
    assert (source.class_names[0], source.class_names[9], len(source.class_names)) == ("airplane", "truck", 10)
    images, labels = made.gathered(find(path, split="test", labels="source"))
    assert np.array_equal(images, pictures[:2]) and labels.tolist() == [0, 9]
    images, labels = made.gathered(find(path, split="test", labels="none"))
    assert np.array_equal(images, pictures[:2]) and labels is None


def test_one_column_of_one_channel(tmp_path):
    """The file's first 96 bytes are the left column of the red channel, as STL-10's page describes it."""
    content = bytearray(27648)
    content[:96] = range(96)
    content[9216 + 96 : 9216 + 98] = b"\x07\x08"  # the second channel's second column, from above
    (tmp_path / "unlabeled_X.bin").write_bytes(content)
    [item] = find(tmp_path).part(0, 1).items()
    assert item.pixels.shape == (96, 96, 3) and item.label is None
    assert item.pixels[:, 0, 0].tolist() == list(range(96)) and item.pixels[:2, 1, 1].tolist() == [7, 8]
    assert int(item.pixels.astype(int).sum()) == sum(range(96)) + 15


def test_one_file(tmp_path, pictures, files):
    folder = made.folder(tmp_path, {name: files[name] for name in ("unlabeled_X.bin", "test_X.bin", "test_y.bin")})
    images, _ = made.gathered(find(folder / "unlabeled_X.bin"))
    assert np.array_equal(images, pictures)
    source = find(folder / "test_X.bin", split="test")
    assert made.gathered(source)[1].tolist() == [0, 9] and source.class_names == CLASSES
    with pytest.raises(DataError, match="unlabeled_X.bin is not of the split test, but of train: name that"):
        find(folder / "unlabeled_X.bin", split="test")
    assert find(folder / "test_y.bin") is None


def test_the_packed_archive_must_be_unpacked(tmp_path, files):
    archive = tmp_path / "stl10_binary.tar.gz"
    archive.write_bytes(made.tar(files, "stl10_binary"))
    for path in (archive, tmp_path):
        with pytest.raises(
            DataError, match="must be unpacked first: tar -xzf stl10_binary.tar.gz, and name the folder"
        ):
            find(path)
    archive.write_bytes(b"<html>")
    with pytest.raises(DataError, match="stl10_binary.tar.gz is not a tar or tar.gz"):
        find(archive)


def test_faults_are_named(tmp_path, files):
    folder = made.folder(tmp_path, files)
    with pytest.raises(DataError, match="unlabeled_X.bin of .* has no labels: .* --split labelled"):
        find(folder, labels="source")
    with pytest.raises(DataError, match="stl10 has no split 'unlabeled' .* it has train, labelled, test"):
        find(folder, split="unlabeled")
    (folder / "unlabeled_X.bin").write_bytes(files["unlabeled_X.bin"][:-1])
    with pytest.raises(DataError, match="unlabeled_X.bin holds 138239 bytes, .* no multiple of its 27648 bytes"):
        find(folder)
    (folder / "train_y.bin").write_bytes(bytes([1, 2, 3, 4]))
    with pytest.raises(DataError, match="train_y.bin holds 4 labels where .*train_X.bin holds 5 images"):
        find(folder, split="labelled")
    for wrong in (0, 11, 255):
        (folder / "train_y.bin").write_bytes(bytes([1, 2, 3, wrong, 5]))
        with pytest.raises(DataError, match=f"Record 3 of .*train_y.bin has label {wrong} where there are 1 to 10"):
            made.gathered(find(folder, split="labelled"))
    (folder / "test_y.bin").unlink()
    with pytest.raises(DataError, match="lacks test_y.bin of the split test"):
        find(folder, split="test")
    assert find(folder, split="test", labels="none").count == 2
    (folder / "class_names.txt").write_text("cat\n")
    with pytest.raises(DataError, match="class_names.txt names 1 classes where there are 10"):
        find(folder, split="labelled")


def test_what_is_something_else(tmp_path, files):
    made.folder(tmp_path, {"class_names.txt": files["class_names.txt"], "other.bin": bytes(27648)})
    assert find(tmp_path) is None and find(tmp_path / "other.bin") is None and find(tmp_path / "missing") is None
