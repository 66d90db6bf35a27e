"""MNIST's and Fashion-MNIST's official files: packed or not, and never a wrong image."""

from __future__ import annotations

import gzip
import hashlib
import struct

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data import info
from mmdgan.data.sources import checksums, idx
from mmdgan.data.sources.base import Request
from tests.helpers import handmade, handmade_binaries as made

MNIST = info("mnist", "nowhere")
LABELS = np.arange(17) * 7 % 10


@pytest.fixture
def pictures():
    return handmade.images(17, shape=(1, 28, 28))


def find(path, name="mnist", **wanted):
    return idx.find(path, Request(info(name, "nowhere"), **wanted))


def files(pictures, mark="-", gz=True, prefix="train", labels=LABELS):
    """The two official files of a split."""
    contents = {"images": made.idx(pictures[:, 0]), "labels": made.idx(labels.astype(np.uint8))}
    return {
        f"{prefix}-{kind}{mark}idx{rank}-ubyte" + ".gz" * gz: gzip.compress(contents[kind]) if gz else contents[kind]
        for kind, rank in (("images", 3), ("labels", 1))
    }


@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("mark", "-.")
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_official_files(tmp_path, pictures, gz, mark, name):
    made.folder(tmp_path / "raw", files(pictures, mark, gz))
    made.folder(tmp_path / "raw", files(pictures[:4], mark, gz, "t10k", LABELS[:4][::-1]))
    for path in (tmp_path, tmp_path / "raw", *(tmp_path / "raw").glob("train-images*")):
        source = find(path, name)
        images, labels = made.gathered(source, 5)
        assert np.array_equal(images, pictures) and np.array_equal(labels, LABELS)
        assert source.size == (28, 28) and source.class_names == info(name, "nowhere").class_names
        assert str(source.origin) == f"IDX {path}" and source.origin.files == 2
        assert source.origin.bytes == sum(file.stat().st_size for file in (tmp_path / "raw").glob("train*"))
    images, labels = made.gathered(find(tmp_path, name, split="test"))
    assert np.array_equal(images, pictures[:4]) and np.array_equal(labels, LABELS[:4][::-1])
    assert images.shape == (4, 1, 28, 28)


def test_one_data_set_is_not_taken_for_the_other(tmp_path, pictures, monkeypatch):
    """Both have the same names and sizes: the published sums, here made up, tell them apart."""
    folder = made.folder(tmp_path, files(pictures))
    for name, content in (("labels-idx1", LABELS.astype(np.uint8)), ("images-idx3", pictures[:, 0])):
        sums = {f"train-{name}-ubyte": hashlib.md5(made.idx(content)).hexdigest()}
        monkeypatch.setitem(checksums.SUMS, "fashion_mnist", sums)
        assert find(folder, "fashion_mnist").count == find(folder, "fashion_mnist", labels="none").count == 17
        with pytest.raises(DataError, match="holds fashion_mnist, not mnist: name another folder"):
            find(folder, labels="auto" if "labels" in name else "none")


def test_without_labels(tmp_path, pictures):
    content = files(pictures)
    del content["train-labels-idx1-ubyte.gz"]
    folder = made.folder(tmp_path, content)
    images, labels = made.gathered(find(folder, labels="none"))
    assert np.array_equal(images, pictures) and labels is None and find(folder, labels="none").class_names == ()
    with pytest.raises(DataError, match="lacks train-labels-idx1-ubyte.gz of the split train"):
        find(folder)
    with pytest.raises(DataError, match="lacks t10k-images-idx3-ubyte.gz of the split test"):
        find(folder, split="test")


def test_what_is_something_else(tmp_path):
    (tmp_path / "other-ubyte.gz").write_bytes(b"x")
    assert find(tmp_path) is None and find(tmp_path / "other-ubyte.gz") is None and find(tmp_path / "missing") is None


@pytest.mark.parametrize("gz", [True, False])
def test_faulty_files_are_named(tmp_path, pictures, gz):
    good = files(pictures, gz=gz)
    images, labels = good

    def fails(message, name=None, content=b"", **wanted):
        made.folder(tmp_path, good)
        if name is not None:
            (tmp_path / name).write_bytes(gzip.compress(content) if gz else content)
        with pytest.raises(DataError, match=message):
            made.gathered(find(tmp_path, **wanted))

    raw = made.idx(pictures[:, 0])
    for length in (0, 3, 15):
        fails("train-images.* is not an IDX file of images", images, raw[:length])
    fails("train-images.* is not an IDX file of images", images, made.idx(LABELS.astype(np.uint8)) + bytes(20))
    fails("train-images.* is not an IDX file of images", images, b"\0\0\x0d\3" + raw[4:])
    fails("train-labels.* is not an IDX file of labels", labels, raw)
    for content in (raw[:16], raw[:-1], raw + b"\0"):
        fails(f"train-images.* holds {len(content) - 16:,} bytes where its header says 17 x 28 x 28", images, content)
    huge = struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    fails("header says 4294967295 x 4294967295 x 4294967295", images, huge + bytes(100))
    fails("train-images.* holds 0 bytes", images, struct.pack(">4I", 0x803, 0, 28, 28))
    fails("train-images.* holds 0 bytes", images, struct.pack(">4I", 0x803, 9, 0, 28))
    fails("holds images of 27x28 pixels where mnist has 28x28", images, made.idx(pictures[:, 0, :, 1:]))
    fails("holds 16 labels where .* holds 17 images", labels, made.idx(LABELS[1:].astype(np.uint8)))
    fails(
        "Record 2 of .*train-labels.* has label 10 where there are 0 to 9",
        labels,
        made.idx(np.uint8([0, 1, 10] * 6)[:17]),
    )
    fails("mnist has no split 'valid' in its official files: it has train, test", split="valid")
    with pytest.raises(DataError, match="train-labels.* is not the file of the images of the split train"):
        find(tmp_path / labels)


def test_truncated_and_flipped_gzip_files(tmp_path, pictures):
    good = files(pictures)
    folder, file = made.folder(tmp_path, good), tmp_path / "train-images-idx3-ubyte.gz"
    content, random = file.read_bytes(), np.random.default_rng(0)
    for length in random.integers(2, len(content), 100):
        file.write_bytes(content[:length])
        with pytest.raises(DataError, match="train-images-idx3-ubyte.gz is damaged or truncated"):
            find(folder)
    for _ in range(500):
        broken, position = bytearray(content), random.integers(len(content))
        broken[position] ^= 1 << random.integers(8)
        file.write_bytes(broken)
        try:
            images, labels = made.gathered(find(folder), 17)
        except DataError as error:
            assert str(file) in str(error)
        else:
            assert position < 10 and np.array_equal(images, pictures) and np.array_equal(labels, LABELS)
    file.write_bytes(content + b"garbage")
    with pytest.raises(DataError, match="is damaged or truncated"):
        find(folder)
