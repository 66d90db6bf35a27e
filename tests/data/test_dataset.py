"""Images that stay on disk: the same as in memory, whatever is asked for; damage is named."""

from __future__ import annotations

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data.dataset import ImageData, StoredImages
from mmdgan.data.records.reader import RecordFile
from mmdgan.data.sidecar import Shard
from tests.helpers import handmade

SHAPE = (3, 8, 6)
SIZE = 3 * 8 * 6
PICTURES = handmade.images(57, shape=SHAPE)
LABELS = np.arange(57) * 7 % 10


def record_files(folder, cuts=(20, 21, 50), labels=LABELS):
    """Files of the pictures, cut at these numbers."""
    edges = [0, *cuts, len(PICTURES)]
    files = []
    for number, (start, stop) in enumerate(zip(edges, edges[1:], strict=False)):
        path = folder / f"set-{number:05d}-of-{len(edges) - 1:05d}.tfrecords"
        part = None if labels is None else labels[start:stop]
        files.append(RecordFile(handmade.record_file(path, PICTURES[start:stop], part), SIZE))
    return files


def stored(folder, labels=LABELS, **options):
    options = {"num_class": 0 if labels is None else 10, "folder": folder, "source": "a test", **options}
    return StoredImages("set", SHAPE, record_files(folder, labels=labels), **options)


def test_it_says_of_itself_what_the_same_images_in_memory_do(tmp_path):
    names = tuple("abcdefghij")
    data = stored(tmp_path, class_names=names)
    memory = ImageData("set", PICTURES, LABELS, names, 10, tmp_path, "a test")
    for name in "name shape count labelled class_names num_class folder source groups".split():
        assert getattr(data, name) == getattr(memory, name), name
    assert (data.mode, memory.mode) == ("stream", "memory")
    assert np.array_equal(data.labels, memory.labels) and data.labels.dtype == memory.labels.dtype
    assert repr(data) == "StoredImages('set', 57 images (3, 8, 6), 10 classes)"
    assert repr(memory) == "ImageData('set', 57 images (3, 8, 6), 10 classes)"
    bare = stored(tmp_path / "bare", labels=None)
    assert bare.labels is None and bare.labelled is False


@pytest.mark.parametrize(
    "indices", [[], [0], [56], [20], [19, 20, 21], [50, 3, 50, 20, 3, 0], list(range(57)), list(range(56, -1, -1))]
)
def test_images_are_taken_by_number_from_several_files(tmp_path, indices):
    for data in (stored(tmp_path), ImageData("set", PICTURES, LABELS, num_class=10)):
        images, labels = data.take(np.array(indices, np.int64))
        assert images.shape == (len(indices), *SHAPE) and images.dtype == np.uint8 and labels.dtype == np.int64
        assert np.array_equal(images, PICTURES[indices]) and np.array_equal(labels, LABELS[indices])
        images[:] = 0  # a copy
    assert PICTURES.any()
    images, labels = stored(tmp_path / "bare", labels=None).take(np.array(indices, np.int64))
    assert labels is None and np.array_equal(images, PICTURES[indices])


def test_labels_in_memory_are_whole_numbers_in_any_form():
    for labels in (LABELS.tolist(), LABELS[:, None].astype(np.uint8)):
        data = ImageData("set", PICTURES, labels, num_class=10)
        assert np.array_equal(data.labels, LABELS) and data.labels.dtype == np.int64
    for labels in (LABELS / 10, LABELS[1:], np.eye(10)[LABELS]):
        with pytest.raises(DataError, match=r"labels of set are .* where 57 images need integers \(57,\)"):
            ImageData("set", PICTURES, labels, num_class=10)


@pytest.mark.parametrize("numbers", [[-1], [57], [3, 99]])
def test_numbers_beyond_the_set_are_no_images(tmp_path, numbers):
    with pytest.raises(IndexError, match="0 to 56"):
        stored(tmp_path).take(np.array(numbers))


def test_empty_files_are_passed_over(tmp_path):
    files = record_files(tmp_path, cuts=(0, 30, 30))
    data = StoredImages("set", SHAPE, files, num_class=10)
    assert data.labelled and data.count == 57 and np.array_equal(data.labels, LABELS)
    assert np.array_equal(data.take(np.array([0, 29, 30, 56]))[0], PICTURES[[0, 29, 30, 56]])
    with pytest.raises(DataError, match="set has no files"):
        StoredImages("set", SHAPE, [])


def test_chunks_and_windows_follow_from_the_size_of_an_image(tmp_path):
    data = stored(tmp_path)
    assert (data.chunk, data.window) == (2**20 // SIZE, 2**28 // SIZE)
    tiny = stored(tmp_path, chunk_bytes=1, window_bytes=1)
    assert (tiny.chunk, tiny.window) == (1, 1)


def test_what_is_wrong_with_the_files_is_named(tmp_path):
    with pytest.raises(DataError, match="of-00004.*run from 0 to 9; 9 classes need 0 to 8"):
        stored(tmp_path, num_class=9).take(np.arange(20))
    with pytest.raises(DataError, match="run from 0 to 9; 9 classes need 0 to 8"):
        _ = stored(tmp_path, num_class=9).labels
    files, bare = record_files(tmp_path), record_files(tmp_path / "bare", labels=None)
    with pytest.raises(DataError, match="set-00001.*holds labels where the data set set should have none"):
        StoredImages("set", SHAPE, [bare[0], files[1]], num_class=10).take(np.arange(21))
    mixed = StoredImages("set", SHAPE, [files[0], bare[1]], num_class=10)
    for ask in (lambda: mixed.labels, lambda: mixed.take(np.arange(21))):
        with pytest.raises(DataError, match="set-00001.*holds no labels where the data set set should have labels"):
            ask()
    path = tmp_path / "set-00002-of-00004.tfrecords"
    content = bytearray(path.read_bytes())
    content[5 * (len(content) // 29) + 60] ^= 4
    path.write_bytes(content)
    data = stored_again(tmp_path)
    assert np.array_equal(data.take(np.arange(26))[0], PICTURES[:26])
    with pytest.raises(DataError, match="Record 5 of .*set-00002-of-00004.tfrecords is corrupt"):
        data.take(np.array([26]))
    path.unlink()
    with pytest.raises(DataError, match="set-00002-of-00004.tfrecords"):
        data.take(np.array([22]))


def stored_again(folder):
    """The set of files that are there already."""
    return StoredImages(
        "set", SHAPE, [RecordFile(path, SIZE) for path in sorted(folder.glob("*.tfrecords"))], num_class=10
    )


def test_the_fingerprint_is_that_of_the_checksums_or_sees_files_and_samples(tmp_path):
    files = record_files(tmp_path)
    assert StoredImages("set", SHAPE, files, digest="abc").fingerprint() == "abc"
    assert ImageData("set", PICTURES, digest="abc").fingerprint() == "abc"
    assert ImageData("set", PICTURES, digest="abc").content_digest() == ImageData("set", PICTURES).fingerprint()
    first = stored(tmp_path).fingerprint()
    assert first == stored(tmp_path / "elsewhere").fingerprint()
    relabelled = LABELS.copy()
    relabelled[0] += 1
    assert first != stored(tmp_path / "relabelled", labels=relabelled).fingerprint()
    assert first != stored(tmp_path / "bare", labels=None).fingerprint()
    changed = PICTURES.copy()
    changed[30, 1, 2, 3] ^= 1
    path = handmade.record_file(tmp_path / "changed" / "set-00002-of-00004.tfrecords", changed[21:50], LABELS[21:50])
    files = record_files(tmp_path)
    files[2] = RecordFile(path, SIZE)
    assert first != StoredImages("set", SHAPE, files, num_class=10).fingerprint()
    cut = StoredImages("set", SHAPE, record_files(tmp_path / "cut", cuts=(20,)), num_class=10)
    assert first != cut.fingerprint()


def test_checksums_of_sidecars_are_known_to_files(tmp_path):
    path = handmade.record_file(tmp_path / "one.tfrecords", PICTURES, LABELS)
    shard = Shard("one.tfrecords", 57, path.stat().st_size, "0" * 64)
    data = StoredImages("set", SHAPE, [RecordFile(path, SIZE, shard)], num_class=10)
    assert np.array_equal(data.take(np.arange(57))[0], PICTURES)
