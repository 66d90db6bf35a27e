"""Records in the original's format, against records made byte by byte."""

from __future__ import annotations

import os
import time

import handmade
import numpy as np
import pytest

from mmdgan.data.tfrecords import check_shards, count_records, read_records, serialize, write_records
from mmdgan.errors import DataError

TINY = (3, 2, 2)


def test_written_records_are_the_format_s(tmp_path):
    pictures, labels = handmade.images(7), [3, 0, 9, 1, 1, 200, 5]
    blocks = [(pictures[:4], np.array(labels[:4])), (pictures[4:], np.array(labels[4:]))]
    shards = write_records(tmp_path, "set", iter(blocks), 7, 3)
    assert [(shard.file, shard.count) for shard in shards] == [
        ("set-00000-of-00003.tfrecords", 2),
        ("set-00001-of-00003.tfrecords", 2),
        ("set-00002-of-00003.tfrecords", 3),
    ]
    records = sum((handmade.unframed((tmp_path / shard.file).read_bytes()) for shard in shards), [])
    assert records == [
        handmade.example(handmade.feature("x", picture.tobytes()), handmade.feature("y", label))
        for picture, label in zip(pictures, labels, strict=True)
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(shard.file for shard in shards)


def test_without_labels():
    picture = handmade.images(1)[0]
    assert serialize(picture) == handmade.example(handmade.feature("x", picture.tobytes()))


@pytest.mark.parametrize("labelled", [False, True])
def test_reading_hand_made_records(tmp_path, labelled):
    pictures, labels = handmade.images(1100, shape=TINY), np.arange(1100) % 300
    given = labels if labelled else None
    files = [
        handmade.record_file(tmp_path / "a.tfrecords", pictures[:600], given[:600] if labelled else None),
        handmade.record_file(tmp_path / "b.tfrecords", pictures[600:], given[600:] if labelled else None),
    ]
    images, found = read_records(files, TINY)
    assert images.dtype == np.uint8 and np.array_equal(images, pictures)
    assert found is None if not labelled else (found.dtype == np.int64 and np.array_equal(found, labels))
    assert [count_records(file) for file in files] == [600, 500]


def test_any_flipped_byte_or_lost_tail_is_named(tmp_path):
    file = handmade.record_file(tmp_path / "set.tfrecords", handmade.images(3, shape=TINY), [1, 2, 3])
    content = file.read_bytes()
    length = len(content) // 3
    for position in [*range(0, 16), *range(16, len(content), 11), len(content) - 1]:
        broken = bytearray(content)
        broken[position] ^= 1 << position % 8
        file.write_bytes(broken)
        with pytest.raises(DataError, match=rf"Record {position // length} of .*set\.tfrecords is corrupt"):
            read_records([file], TINY)
    for size in (len(content) - 1, 2 * length + 5, length + 13):
        file.write_bytes(content[:size])
        with pytest.raises(DataError, match=rf"Record {size // length} of .*set\.tfrecords is corrupt"):
            read_records([file], TINY)
    file.write_bytes(content[: 2 * length])
    with pytest.raises(DataError, match="set.tfrecords holds 2 records where 3 are expected"):
        read_records([file], TINY, [3])


def foreign_records():
    x = handmade.feature("x", bytes(12))
    return {
        "holds an image of 11 bytes where 12 are expected": handmade.example(handmade.feature("x", bytes(11))),
        "has no image 'x' of one bytes value .*image, label": handmade.example(
            handmade.feature("image", bytes(12)), handmade.feature("label", 3)
        ),
        "has no image 'x'": handmade.example(handmade.feature("x", 3)),
        "features: none": b"",
        "has a label 'y' that is not one integer": handmade.example(x, handmade.feature("y", b"cat")),
        "is not a tf.train.Example": b"\xff" * 30,
        "some records have a label 'y' and some do not": handmade.example(x),
    }


@pytest.mark.parametrize("message", foreign_records())
def test_a_foreign_record_is_named(tmp_path, message):
    file = handmade.record_file(tmp_path / "set.tfrecords", handmade.images(2, shape=TINY), [1, 2])
    file.write_bytes(file.read_bytes() + handmade.framed(foreign_records()[message]))
    with pytest.raises(DataError, match=f"set.tfrecords.*{message}") as caught:
        read_records([file], TINY)
    assert "some records" in message or "Record 2 of" in str(caught.value)


def test_files_that_are_missing_empty_or_of_two_kinds(tmp_path):
    with pytest.raises(DataError, match="none.tfrecords is missing"):
        read_records([tmp_path / "none.tfrecords"], TINY)
    empty = tmp_path / "empty.tfrecords"
    empty.touch()
    with pytest.raises(DataError, match="empty.tfrecords holds 0 records"):
        read_records([empty], TINY)
    pictures = handmade.images(2, shape=TINY)
    files = [
        handmade.record_file(tmp_path / "a.tfrecords", pictures, [0, 1]),
        handmade.record_file(tmp_path / "b.tfrecords", pictures),
    ]
    with pytest.raises(DataError, match="Some of the files .* hold labels and some do not"):
        read_records(files, TINY)
    shard = handmade.record_file(tmp_path / "set-00001-of-00002.tfrecords", pictures)
    with pytest.raises(DataError, match="set-00000-of-00002.tfrecords is missing beside set-00001-of-00002"):
        check_shards([shard])


def test_an_interrupted_conversion_leaves_nothing(tmp_path):
    def blocks():
        yield handmade.images(2), None
        raise KeyboardInterrupt

    stale = tmp_path / "set-00000-of-00001.tfrecords.1.part"
    fresh = tmp_path / "set-00000-of-00001.tfrecords.2.part"
    stale.touch()
    fresh.touch()
    os.utime(stale, (time.time() - 7200,) * 2)
    with pytest.raises(KeyboardInterrupt):
        write_records(tmp_path, "set", blocks(), 4, 2)
    assert list(tmp_path.iterdir()) == [fresh]  # another process may be writing it


def test_a_file_in_the_way_is_kept(tmp_path):
    (tmp_path / "set-00000-of-00001.tfrecords").write_text("precious")
    write_records(tmp_path, "set", [(handmade.images(2), None)], 2)
    assert (tmp_path / "set-00000-of-00001.tfrecords.old").read_text() == "precious"
    assert count_records(tmp_path / "set-00000-of-00001.tfrecords") == 2


@pytest.mark.parametrize("announced", [1, 3])
def test_a_source_that_miscounts_is_refused(tmp_path, announced):
    with pytest.raises(DataError, match=f"another number of images than the {announced} it announced"):
        write_records(tmp_path, "set", [(handmade.images(2), None)], announced)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(DataError, match="set-00000-of-00001.tfrecords cannot be written"):
        write_records(tmp_path / "missing", "set", [(handmade.images(2), None)], 2)
