"""Files of records: written, read by number and into memory, and what is said of damaged ones."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import threading

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data.open import check_complete
from mmdgan.data.records import framing, reader
from mmdgan.data.records.framing import framed, head, walk_all
from mmdgan.data.records.reader import RecordFile, missing_shards, read_records
from mmdgan.data.records.writer import ShardWriter
from mmdgan.data.sidecar import Shard
from tests.helpers import handmade

TINY = (3, 2, 2)
LABELS = {
    "none": lambda n: None,
    "one byte": lambda n: np.arange(n) * 7 % 10,
    "one and two bytes": lambda n: np.arange(n) * 7 % 1000,
    "any": lambda n: np.random.default_rng(1).integers(-(2**62), 2**62, n) >> np.arange(n) % 60,
}


def write(path, pictures, labels=None) -> Shard:
    with ShardWriter(path) as writer:
        for i, picture in enumerate(pictures):
            writer.write(picture, None if labels is None else labels[i])
    return writer.shard(path.name)


@pytest.fixture
def small_reads(monkeypatch):
    """Reads so small that tiny files take many."""
    monkeypatch.setattr(framing, "_SPAN", 300)
    monkeypatch.setattr(framing, "_GAP", 100)
    monkeypatch.setattr(reader, "_BLOCK", 240)


def test_written_records_are_the_format_s(tmp_path):
    pictures, labels = handmade.images(7), [3, 0, 9, 1, 1, 200, 5]
    shard = write(tmp_path / "set.tfrecords.part", pictures, labels)
    content = (tmp_path / "set.tfrecords.part").read_bytes()
    assert handmade.unframed(content) == [
        handmade.example(handmade.feature("x", picture.tobytes()), handmade.feature("y", label))
        for picture, label in zip(pictures, labels, strict=True)
    ]
    assert shard == Shard("set.tfrecords.part", 7, len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("labelled", [False, True])
def test_tensorflow_reads_what_is_written(tmp_path, labelled):
    import tensorflow as tf

    pictures, labels = handmade.images(400), np.arange(400)
    write(tmp_path / "set.tfrecords", pictures, labels if labelled else None)
    found = [
        tf.train.Example.FromString(record)
        for record in tf.data.TFRecordDataset([str(tmp_path / "set.tfrecords")]).as_numpy_iterator()
    ]
    assert b"".join(example.features.feature["x"].bytes_list.value[0] for example in found) == pictures.tobytes()
    given = [example.features.feature["y"].int64_list.value[:] for example in found]
    assert given == [[label] if labelled else [] for label in labels]


def test_what_tensorflow_writes_is_read(tmp_path):
    import tensorflow as tf

    pictures, labels = handmade.images(300, shape=TINY), np.arange(300) - 20
    with tf.io.TFRecordWriter(str(tmp_path / "set.tfrecords")) as writer:
        for picture, label in zip(pictures, labels, strict=True):
            example = tf.train.Example()
            example.features.feature["y"].int64_list.value.append(label)
            example.features.feature["x"].bytes_list.value.append(picture.tobytes())
            writer.write(example.SerializeToString())
    images, found = read_records([tmp_path / "set.tfrecords"], TINY)
    assert np.array_equal(images, pictures) and np.array_equal(found, labels)


def test_an_unfinished_file_is_left_to_the_caller(tmp_path):
    with pytest.raises(KeyboardInterrupt), ShardWriter(tmp_path / "set.tfrecords") as writer:
        writer.write(handmade.images(1)[0])
        raise KeyboardInterrupt
    assert (tmp_path / "set.tfrecords").exists()


def test_what_cannot_be_written_is_named(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="missing/set.tfrecords cannot be written: No such file"):
        ShardWriter(tmp_path / "missing/set.tfrecords").__enter__()
    with pytest.raises(TypeError, match="uint8, not float32"):
        ShardWriter(tmp_path / "set.tfrecords").write(np.zeros(TINY, np.float32))

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="set.tfrecords cannot be written: No space left on device"):
        write(tmp_path / "set.tfrecords", handmade.images(1))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_is_named():
    with pytest.raises(DataError, match="/dev/full cannot be written: No space left on device"):
        with ShardWriter("/dev/full") as writer:
            for picture in handmade.images(500):
                writer.write(picture)


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("handwritten", [False, True])
def test_reading_by_number(tmp_path, small_reads, kind, handwritten):
    """Any numbers in any order, from records in which label and image change places, or not."""
    pictures, labels = handmade.images(210, shape=TINY), LABELS[kind](210)
    path = tmp_path / "set.tfrecords"
    if handwritten and (labels is None or labels.min() >= 0):
        handmade.record_file(path, pictures, labels)
    else:
        write(path, pictures, labels)
    file = pickle.loads(pickle.dumps(RecordFile(path, 12)))
    random = np.random.default_rng(0)
    for numbers in (
        np.arange(210),
        np.arange(209, -1, -1),
        np.arange(0, 210, 40),
        [],
        [5],
        random.integers(0, 210, 99),
    ):
        numbers = np.array(numbers, np.int64)
        images, found = np.full((len(numbers), 12), 77, np.uint8), np.full(len(numbers), 77)
        assert file.read(numbers, images, found) == (labels is not None)
        assert np.array_equal(images, pictures.reshape(210, 12)[numbers])
        assert np.array_equal(found, np.full(len(numbers), 77) if labels is None else labels[numbers])
    assert (file.count, file.labelled) == (210, labels is not None)
    for number in (-1, 210):
        with pytest.raises(IndexError, match="records 0 to 209"):
            file.read(np.array([0, number]), np.empty((2, 12), np.uint8), np.empty(2, np.int64))


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("long", [False, True])
def test_labels_alone(tmp_path, monkeypatch, kind, long):
    pictures, labels = handmade.images(90, shape=TINY), LABELS[kind](90)
    path = tmp_path / "set.tfrecords"
    write(path, pictures, labels)
    monkeypatch.setattr(reader, "_LONG", 0 if long else 100)
    monkeypatch.setattr(reader, "_BLOCK", 240)
    found = RecordFile(path, 12).scan_labels()
    assert found is None if labels is None else np.array_equal(found, labels)


def test_other_features_beside_the_image(tmp_path):
    """More kinds of records than are remembered."""
    pictures = handmade.images(40, shape=TINY)
    records = [
        handmade.example(
            handmade.feature("file", b"%03d" % i), handmade.feature("x", picture.tobytes()), handmade.feature("y", i)
        )
        for i, picture in enumerate(pictures)
    ]
    (tmp_path / "set.tfrecords").write_bytes(b"".join(map(handmade.framed, records)))
    images, labels = read_records([tmp_path / "set.tfrecords"], TINY)
    assert np.array_equal(images, pictures) and labels.tolist() == list(range(40))


@pytest.mark.parametrize("how", ["read", "scan"])
def test_lengths_that_add_up_as_if_they_were_equal(tmp_path, monkeypatch, how):
    """The first record is as long as the mean: one guesses wrong, notices, and finds all."""
    monkeypatch.setattr(reader, "_LONG", 0)
    pictures, labels = handmade.images(9, shape=TINY), [200, 1, 2**14, 5, 2**14, 300, 7, 2**14, 400]
    path = tmp_path / "set.tfrecords"
    file = RecordFile(path, 12, write(path, pictures, labels))
    assert file.check().stride and np.ptp(np.diff(framing.walk_all(path).ends)) == 2
    if how == "scan":
        found = file.scan_labels()
    else:
        images, found = np.empty((9, 12), np.uint8), np.empty(9, np.int64)
        file.read(np.arange(9)[::-1], images[::-1], found[::-1])
        assert np.array_equal(images, pictures.reshape(9, 12))
    assert found.tolist() == labels and not file.check().stride


def test_a_number_of_records_that_only_seems_right(tmp_path):
    """One record of 54 bytes and 54 of 53 are together as long as 54 of 54."""
    path = tmp_path / "set.tfrecords"
    shard = write(path, handmade.images(55, shape=TINY), [200] + [1] * 54)
    assert shard.bytes == 54 * 54
    assert RecordFile(path, 12).count == RecordFile(path, 12, shard).check().count == walk_all(path).count == 55


def test_a_disk_that_takes_little_at_once(tmp_path):
    class Slow(io.FileIO):
        def write(self, data):
            return super().write(data[:1000])

    pictures = handmade.images(3)
    with ShardWriter(tmp_path / "set.tfrecords") as writer:
        writer._stream.close()
        writer._stream = io.BufferedWriter(Slow(tmp_path / "set.tfrecords", "w"), 5000)
        for picture in pictures:
            writer.write(picture)
    assert np.array_equal(read_records([tmp_path / "set.tfrecords"], (3, 32, 32))[0], pictures)


def test_threads_may_share_a_file(tmp_path):
    pictures = handmade.images(600)
    write(tmp_path / "set.tfrecords", pictures, np.arange(600))
    file, wrong = RecordFile(tmp_path / "set.tfrecords", 3072), []

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(20):
            numbers = random.integers(0, 600, 50)
            images, labels = np.empty((50, 3072), np.uint8), np.empty(50, np.int64)
            file.read(numbers, images, labels)
            if not np.array_equal(images, pictures.reshape(600, -1)[numbers]) or not np.array_equal(labels, numbers):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


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
    assert [walk_all(file).count for file in files] == [600, 500]


def test_progress_is_told(tmp_path, small_reads, monkeypatch):
    write(tmp_path / "set.tfrecords", handmade.images(60, shape=TINY))
    monkeypatch.setattr(reader, "_REPORT_SECONDS", 0)
    lines = []
    read_records([tmp_path / "set.tfrecords"], TINY, say=lines.append)
    assert lines == [f"Read {done} of 60 images from {tmp_path}" for done in (20, 40, 60)]


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
    for size in (len(content) - 1, 2 * length + 5, length + 13, 3):
        file.write_bytes(content[:size])
        with pytest.raises(DataError, match=rf"Record {size // length} of .*set\.tfrecords is corrupt"):
            read_records([file], TINY)
    file.write_bytes(content[: 2 * length])
    with pytest.raises(DataError, match="set.tfrecords holds 2 records where 3 are expected"):
        read_records([file], TINY, [Shard("set.tfrecords", 3)])


@pytest.mark.parametrize("known", [False, True])
def test_five_hundred_random_changes(tmp_path, known):
    """Whatever changes: all images are right or the record is named, by number and into memory."""
    pictures, labels = handmade.images(40, shape=TINY), np.arange(40) * 5
    path = tmp_path / "set.tfrecords"
    shard = write(path, pictures, labels)
    content = np.fromfile(path, np.uint8)
    starts = framing.walk_all(path).ends
    random = np.random.default_rng(7)
    for _ in range(500):
        changed = content.copy()
        position = random.integers(len(content))
        changed[position] ^= random.integers(1, 256)
        changed.tofile(path)
        number = np.searchsorted(starts, position, "right") - 1
        named = rf"^Record {number} of .*set\.tfrecords is corrupt: "
        with pytest.raises(DataError, match=named):
            read_records([path], TINY, [shard] if known else None)
        check_by_number(RecordFile(path, 12, shard if known else None), number, named, pictures, labels)


def check_by_number(file, number, named, pictures, labels):
    """The damaged record is named; another one is right, or the file's first fault is named."""
    with pytest.raises(DataError, match=named):
        file.read(np.array([number]), np.empty((1, 12), np.uint8), np.empty(1, np.int64))
    other = (number + 13) % 40
    images, found = np.full((1, 12), 77, np.uint8), np.full(1, 77)
    try:
        file.read(np.array([other]), images, found)
    except DataError as error:
        assert f"Record {number} of" in str(error)
        return
    assert np.array_equal(images[0], pictures[other].reshape(12)) and found[0] == labels[other]


def foreign_records():
    x = handmade.feature("x", bytes(12))
    return {
        "holds an image of 11 bytes where 12 are expected": handmade.example(handmade.feature("x", bytes(11))),
        "holds an image of 13 bytes where 12 are expected": handmade.example(handmade.feature("x", bytes(13))),
        "has no image 'x' of one bytes value .*image, label": handmade.example(
            handmade.feature("image", bytes(12)), handmade.feature("label", 3)
        ),
        "has no image 'x'": handmade.example(handmade.feature("x", 3)),
        "features: none": b"",
        "has a label 'y' that is not one integer": handmade.example(x, handmade.feature("y", b"cat")),
        "is not a tf.train.Example": b"\xff" * 30,
        "has no label 'y' where record 0 has one": handmade.example(x),
        r"has 16,777,\d+ bytes where an image of 12 is expected": bytes(2**24 + 29),
    }


@pytest.mark.parametrize("message", foreign_records())
@pytest.mark.parametrize("place", [0, 2])
def test_a_foreign_record_is_named(tmp_path, message, place):
    file = handmade.record_file(tmp_path / "set.tfrecords", handmade.images(4, shape=TINY), [1, 2, 3, 4])
    record, content = framed(foreign_records()[message]), file.read_bytes()
    cut = len(content) // 4 * place
    file.write_bytes(content[:cut] + record + content[cut:])
    if place == 0 and "no label" in message:
        place, message = 1, "has a label 'y' where record 0 has none"
    with pytest.raises(
        DataError, match=f"^Record {place} of .*set.tfrecords {'.*' if 'features' in message else ''}{message}"
    ):
        read_records([file], TINY)


def test_a_declared_length_is_not_believed(tmp_path):
    """A sound header that promises more than there is."""
    path = tmp_path / "set.tfrecords"
    for length in (100, 2**40, 2**63, 2**64 - 1, 2**64 - 16):
        path.write_bytes(head(length) + bytes(40))
        with pytest.raises(DataError, match="Record 0 of .*set.tfrecords is corrupt"):
            read_records([path], TINY)
        with pytest.raises(DataError, match="Record 0 of .*set.tfrecords is corrupt"):
            walk_all(path)


def test_the_sidecar_s_numbers(tmp_path):
    path = tmp_path / "set.tfrecords"
    shard = write(path, handmade.images(5, shape=TINY), [1, 2, 3, 4, 200])
    assert RecordFile(path, 12, shard).count == RecordFile(path, 12, Shard("set.tfrecords", 5)).count == 5
    with pytest.raises(DataError, match=f"set.tfrecords has {shard.bytes} bytes where {shard.bytes + 1} are expected"):
        RecordFile(path, 12, Shard("set.tfrecords", 5, shard.bytes + 1))
    for count in (4, 6, 10**12):
        with pytest.raises(DataError, match=f"set.tfrecords holds 5 records where {count} are expected"):
            read_records([path], TINY, [Shard("set.tfrecords", count, shard.bytes)])
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match="Record 4 of .*set.tfrecords is corrupt"):
        RecordFile(path, 12, shard)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="set.tfrecords holds 0 records where 5 are expected"):
        RecordFile(path, 12, shard)
    path.unlink()
    with pytest.raises(DataError, match="set.tfrecords is missing"):
        RecordFile(path, 12, shard)


def test_a_file_that_shrinks_while_it_is_open(tmp_path):
    path = tmp_path / "set.tfrecords"
    shard = write(path, handmade.images(5, shape=TINY))
    file = RecordFile(path, 12, shard)
    assert file.check().count == 5
    os.truncate(path, shard.bytes - 3)
    with pytest.raises(DataError, match="Record 4 of .*set.tfrecords is corrupt"):
        file.read(np.arange(5), np.empty((5, 12), np.uint8), np.empty(5, np.int64))
    os.truncate(path, 0)
    with pytest.raises(DataError, match="holds 0 records where 5 are expected"):
        file.read(np.arange(5), np.empty((5, 12), np.uint8), np.empty(5, np.int64))
    path.unlink()
    with pytest.raises(DataError, match="set.tfrecords"):
        file.read(np.arange(5), np.empty((5, 12), np.uint8), np.empty(5, np.int64))


def test_files_that_are_missing_empty_or_of_two_kinds(tmp_path):
    with pytest.raises(DataError, match="none.tfrecords is missing"):
        read_records([tmp_path / "none.tfrecords"], TINY)
    empty = tmp_path / "empty.tfrecords"
    empty.touch()
    with pytest.raises(DataError, match="empty.tfrecords holds 0 records where some are expected"):
        read_records([empty], TINY)
    pictures = handmade.images(2, shape=TINY)
    files = [
        handmade.record_file(tmp_path / "a.tfrecords", pictures, [0, 1]),
        handmade.record_file(tmp_path / "b.tfrecords", pictures),
    ]
    with pytest.raises(DataError, match="Some of the files .* hold labels and some do not"):
        read_records(files, TINY)
    shards = [Shard("a.tfrecords", 2), Shard("empty.tfrecords", 0)]
    images, labels = read_records([files[0], empty], TINY, shards)
    assert np.array_equal(images, pictures) and labels.tolist() == [0, 1]
    shard = handmade.record_file(tmp_path / "set-00001-of-00003.tfrecords", pictures)
    assert [path.name for path in missing_shards([shard])] == [f"set-0000{k}-of-00003.tfrecords" for k in (0, 2)]
    with pytest.raises(DataError, match="set-00000-of-00003.tfrecords is missing next to set-00001-of-00003"):
        check_complete([shard])


def test_neither_tensorflow_nor_pillow_is_needed(run_script):
    modules = "mmdgan.data.records.reader, mmdgan.data.preparation.verify"
    code = f"import sys, {modules}; print({{'tensorflow', 'PIL'}} & set(sys.modules))"
    done = run_script("-c", code)
    assert done.stdout == "set()\n", done.stderr
