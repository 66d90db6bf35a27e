"""CIFAR-10's official files in every form: found by their content, read in parts, their faults named."""

from __future__ import annotations

import gzip
import os
import pickle
import tarfile

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data import info
from mmdgan.data.sources import byte_ranges, cifar, fixed_records
from mmdgan.data.sources.base import Request
from tests.helpers import handmade, handmade_binaries as made

CIFAR = info("cifar10", "nowhere")
LABELS = np.arange(23) * 7 % 10
FORMS = {"binary": (made.cifar_binary, "cifar-10-batches-bin"), "python": (made.cifar_python, "cifar-10-batches-py")}


@pytest.fixture
def pictures():
    return handmade.images(23)


def find(path, **wanted):
    return cifar.find(path, Request(CIFAR, **wanted))


def archive(path, form, pictures, gz=True, change=None):
    """An official archive of these pictures; `change` edits its files."""
    make, around = FORMS[form]
    files = make(pictures, LABELS)
    if change is not None:
        change(files)
    path.write_bytes(made.tar(files, around, gz))
    return path


@pytest.mark.parametrize("pattern", ["data_batch_{}.bin", "cifar_{}.bin"])
@pytest.mark.parametrize("around", [False, True])
def test_cifar_binary(tmp_path, pictures, pattern, around):
    folder = handmade.cifar_folder(tmp_path / "cifar-10-batches-bin", pictures, LABELS, pattern)
    (folder / "test_batch.bin").write_bytes(bytes(3073))
    source = find(tmp_path if around else folder)
    images, labels = made.gathered(source)
    assert np.array_equal(images, pictures) and np.array_equal(labels, LABELS)
    assert source.count == 23 and source.class_names == CIFAR.class_names and source.size == (32, 32)
    assert str(source.origin) == f"CIFAR-10 binary {tmp_path if around else folder}"
    assert (source.origin.files, source.origin.bytes) == (5, 23 * 3073)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gz", [True, False])
@pytest.mark.parametrize("place", ["official", "renamed", "around"])
def test_archives_as_downloaded(tmp_path, pictures, form, gz, place):
    name = "mine.dat" if place == "renamed" else f"cifar-10-{form}.tar" + ".gz" * gz
    file = archive(tmp_path / name, form, pictures, gz)
    path = tmp_path if place == "around" else file
    for step in (1, 7, 23):
        images, labels = made.gathered(find(path), step)
        assert np.array_equal(images, pictures) and np.array_equal(labels, LABELS)
    source = find(path, split="test")
    images, labels = made.gathered(source)
    assert np.array_equal(images, pictures[:3]) and np.array_equal(labels, LABELS[:3])
    assert str(source.origin) == f"CIFAR-10 {form} {file}"
    assert (source.origin.files, source.origin.bytes) == (1, file.stat().st_size)
    assert next(source.part(2, 3).items()).name.startswith(f"record 2 of {file}: test_batch")
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing is unpacked


@pytest.mark.parametrize("around", [False, True])
def test_the_python_folder(tmp_path, pictures, around):
    folder = made.folder(tmp_path / "cifar-10-batches-py", made.cifar_python(pictures, LABELS))
    source = find(tmp_path if around else folder)
    images, labels = made.gathered(source)
    assert np.array_equal(images, pictures) and np.array_equal(labels, LABELS)
    assert source.class_names == CIFAR.class_names and source.origin.files == 5
    images, labels = made.gathered(find(folder / "data_batch_2"))
    part = np.array_split(np.arange(23), 5)[1]
    assert np.array_equal(images, pictures[part]) and np.array_equal(labels, LABELS[part])


def test_python_batches_written_anew(tmp_path, pictures):
    for protocol in range(2, 6):
        batch = {"data": pictures.reshape(23, 3072), "labels": LABELS if protocol > 3 else LABELS.tolist()}
        file = tmp_path / "data_batch_1"
        file.write_bytes(pickle.dumps(batch, protocol))
        images, labels = made.gathered(find(file))
        assert np.array_equal(images, pictures) and np.array_equal(labels, LABELS)


def test_one_cifar_file_without_names(tmp_path, pictures):
    folder = handmade.cifar_folder(tmp_path, pictures, LABELS)
    (folder / "batches.meta.txt").unlink()
    (folder / "data_batch_2.bin").rename(folder / "second.bin")
    source = find(folder / "second.bin")
    images, labels = made.gathered(source)
    part = np.array_split(np.arange(23), 5)[1]
    assert np.array_equal(images, pictures[part]) and np.array_equal(labels, LABELS[part])
    assert source.class_names == CIFAR.class_names


@pytest.mark.parametrize("form", FORMS)
def test_without_labels(tmp_path, pictures, form):
    make, _ = FORMS[form]
    source = find(made.folder(tmp_path, make(pictures, LABELS)), labels="none")
    images, labels = made.gathered(source)
    assert np.array_equal(images, pictures) and labels is None and source.class_names == ()
    wrong = LABELS.copy()
    wrong[6] = 10  # a file that is out of step shows by its labels, wanted or not
    made.folder(tmp_path, make(pictures, wrong))
    with pytest.raises(DataError, match="Record 1 of .*data_batch_2.* has label 10 where there are 0 to 9"):
        made.gathered(find(tmp_path, labels="none"))


def test_parts_say_what_they_read(tmp_path, pictures):
    folder = handmade.cifar_folder(tmp_path, pictures, LABELS)
    source = find(folder)
    states = {source.part(a, b).state() for a in range(23) for b in range(a + 1, 24)}
    assert len(states) == 23 * 24 // 2 and len(pickle.dumps(source.part(0, 23))) < 2000
    assert (
        find(folder).part(3, 9).state() == source.part(3, 9).state() != find(folder, labels="none").part(3, 9).state()
    )
    assert source.part(0, 5) == find(folder).part(0, 5) and len(source.part(4, 17)) == 13
    part = source.part(0, 7)
    os.utime(folder / "data_batch_2.bin", ns=(1, 1))
    assert find(folder).part(0, 7).state() != part.state()
    with pytest.raises(DataError, match="data_batch_2.bin was changed while it was being read"):
        list(part.items())
    (folder / "data_batch_1.bin").unlink()
    with pytest.raises(DataError, match="data_batch_1.bin cannot be read .No such file"):
        list(part.items())


def test_faulty_cifar_files_are_named(tmp_path, pictures, monkeypatch):
    folder = handmade.cifar_folder(tmp_path, pictures, LABELS)
    meta, batch = folder / "batches.meta.txt", folder / "data_batch_3.bin"
    content, names = batch.read_bytes(), meta.read_bytes()
    for wrong, message in ((b"cat\ndog\n", "names 2 classes where there are 10"), (b"\xff" * 20, "is not text")):
        meta.write_bytes(wrong)
        with pytest.raises(DataError, match=f"batches.meta.txt {message}"):
            find(folder)
    meta.write_bytes(names)
    for broken in (content[:-1], content + b"\0", b""):
        batch.write_bytes(broken)
        with pytest.raises(DataError, match=rf"data_batch_3.bin holds {len(broken)} bytes.* 3073 bytes per record"):
            find(folder)
    batch.write_bytes(content[:3073] + b"\x0a" + content[3074:])
    with pytest.raises(DataError, match="Record 1 of .*data_batch_3.bin has label 10 where there are 0 to 9"):
        made.gathered(find(folder))
    monkeypatch.setattr(fixed_records, "BLOCK", 2 * 3073)
    batch.write_bytes(content[: 3 * 3073] + b"\xff" + content[3 * 3073 + 1 :])
    with pytest.raises(DataError, match="Record 3 of .*data_batch_3.bin has label 255"):
        made.gathered(find(folder))
    batch.unlink()
    with pytest.raises(
        DataError, match="lacks data_batch_3.bin of the split train: .* download the official archive again"
    ):
        find(folder)
    with pytest.raises(DataError, match="lacks test_batch.bin"):
        find(folder, split="test")


def test_splits(tmp_path, pictures):
    folder = made.folder(tmp_path, made.cifar_binary(pictures, LABELS))
    with pytest.raises(DataError, match="cifar10 has no split 'valid' in its official files: it has train, test"):
        find(folder, split="valid")
    with pytest.raises(DataError, match="test_batch.bin is not of the split train"):
        find(folder / "test_batch.bin")
    with pytest.raises(DataError, match="data_batch_1.bin is not of the split test"):
        find(folder / "data_batch_1.bin", split="test")
    assert find(folder / "test_batch.bin", split="test").count == 3
    renamed = handmade.cifar_folder(tmp_path / "renamed", pictures, LABELS, "cifar_{}.bin")
    with pytest.raises(DataError, match="lacks all files of the split test"):
        find(renamed, split="test")


def faulty_batches() -> list[tuple[str, object]]:
    """What a batch of the Python version must not be, by a part of the sentence."""
    data, labels = np.zeros((2, 3072), np.uint8), [1, 2]
    return [
        ("has no 'data' of bytes", {"labels": labels}),
        ("has no 'data' of bytes", {"data": data.astype(np.int16), "labels": labels}),
        ("has no 'data' of bytes", {"data": data[:, :-1].copy(), "labels": labels}),
        ("has no 'data' of bytes", {"data": data[0], "labels": labels}),
        ("has no 'data' of bytes", {"data": data[:0], "labels": []}),
        ("has no 'data' of bytes", {"data": b"x" * 6144, "labels": labels}),
        ("has no 'labels' of 2 integers", {"data": data}),
        ("has no 'labels' of 2 integers", {"data": data, "labels": [1]}),
        ("has no 'labels' of 2 integers", {"data": data, "labels": [1, "2"]}),
        ("has no 'labels' of 2 integers", {"data": data, "labels": [1, True]}),
        ("Record 1 of .* has label -1 where", {"data": data, "labels": [1, -(10**30)]}),
        ("Record 0 of .* has label 10 where", {"data": data, "labels": np.array([10, 1])}),
        ("holds no dict", [data, labels]),
        ("holds a value of type int where a text is expected", {7: data}),
        ("not a number", {"data": data.astype(object), "labels": labels}),
    ]


@pytest.mark.parametrize(("message", "batch"), faulty_batches())
def test_faulty_python_batches_are_named(tmp_path, message, batch):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, 2))
    with pytest.raises(DataError, match=f"data_batch_1.* {message}|^{message}"):
        find(tmp_path / "data_batch_1")


def test_faulty_archives_are_named(tmp_path, pictures):
    file = tmp_path / "cifar-10-binary.tar.gz"
    for content in (b"", b"x", b"\x1f\x8b", gzip.compress(b"no tar" * 200)):
        file.write_bytes(content)
        with pytest.raises(DataError, match="cifar-10-binary.tar.gz is not a tar or tar.gz"):
            find(file)
    file.write_bytes(made.tar({"photo.png": b"x"}))
    with pytest.raises(DataError, match="holds no file of cifar10: it is another archive"):
        find(file)
    archive(file, "binary", pictures, change=lambda files: files.pop("data_batch_4.bin"))
    with pytest.raises(DataError, match="cifar-10-binary.tar.gz lacks data_batch_4.bin"):
        find(file)
    archive(file, "binary", pictures, change=lambda files: files.update({"old/data_batch_4.bin": bytes(3073)}))
    with pytest.raises(DataError, match="holds data_batch_4.bin twice"):
        find(file)
    archive(file, "python", pictures, change=lambda files: files.update({"batches.meta": pickle.dumps({}, 2)}))
    with pytest.raises(DataError, match="batches.meta has no list 'label_names'"):
        find(file)


def test_what_is_something_else(tmp_path):
    assert find(tmp_path) is None and find(tmp_path / "missing") is None
    for name, content in (("a.zip", b"PK\3\4"), ("b.tar", made.tar({"cat/1.png": b"x"}, gz=False)), ("c", b"")):
        (tmp_path / name).write_bytes(content)
        assert find(tmp_path / name) is None


@pytest.mark.parametrize("gz", [True, False])
def test_truncated_archives(tmp_path, pictures, gz):
    file = archive(tmp_path / "cifar-10-python.tar", "python", pictures, gz)
    content = file.read_bytes()
    end = len(content)
    if not gz:  # its end is a block of zeros, and any number more
        with tarfile.open(file) as opened:
            last = opened.getmembers()[-1]
            end = last.offset_data + -(-last.size // 512) * 512
    for length in (*np.random.default_rng(0).integers(600, end, 60), end - 1, end if not gz else end - 8):
        file.write_bytes(content[:length])
        with pytest.raises(DataError, match="truncated"):
            find(file)


@pytest.mark.parametrize("form", FORMS)
def test_flipped_bits_in_a_tar_gz_are_noticed(tmp_path, pictures, form):
    file = archive(tmp_path / f"cifar-10-{form}.tar.gz", form, pictures[:6])
    content, random = file.read_bytes(), np.random.default_rng(1)
    for position in (*range(20), *random.integers(0, len(content), 60)):
        broken = bytearray(content)
        broken[position] ^= 1 << random.integers(8)
        file.write_bytes(broken)
        try:
            source = find(file)
        except DataError as error:
            assert str(file) in str(error)
            continue
        assert 3 <= position < 10  # flags, date and the like in the head of a gzip file
        images, labels = made.gathered(source)
        assert np.array_equal(images, pictures[:6]) and np.array_equal(labels, LABELS[:6])


def test_flipped_bits_in_the_headers_of_a_tar_are_noticed(tmp_path, pictures):
    file = archive(tmp_path / "cifar-10-binary.tar", "binary", pictures[:6], gz=False)
    with tarfile.open(file) as opened:
        headers = [entry.offset for entry in opened if entry.isfile()]
    content, random, named = file.read_bytes(), np.random.default_rng(2), 0
    for _ in range(200):
        broken = bytearray(content)
        broken[random.choice(headers) + random.integers(512)] ^= 1 << random.integers(8)
        file.write_bytes(broken)
        try:
            images, labels = made.gathered(find(file))
            assert np.array_equal(images, pictures[:6]) and np.array_equal(labels, LABELS[:6])
        except DataError as error:
            assert "faulty header" in str(error)
            named += 1
    assert named > 190


def test_sizes_that_lie(tmp_path, pictures, monkeypatch):
    for size in (2**62, 2**87, -1):  # base-256, as GNU tar writes large numbers
        entry = tarfile.TarInfo("data_batch_1.bin")
        header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
        header[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        content = tarfile.TarInfo("readme.html").tobuf() + header
        for form in (content, gzip.compress(content)):
            (tmp_path / "x").write_bytes(form)
            with pytest.raises(DataError, match="faulty header at byte 512, after readme.html"):
                find(tmp_path / "x")
    file = archive(tmp_path / "cifar-10-binary.tar.gz", "binary", pictures)
    assert find(file).count == 23
    monkeypatch.setattr(byte_ranges, "LIMIT", 20_000)
    with pytest.raises(DataError, match="unpacks to more than 20,000 bytes, as no official file does"):
        find(file)
    monkeypatch.undo()
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()) + bytes(2**22)))
    monkeypatch.setattr(byte_ranges, "LIMIT", 2**22)
    with pytest.raises(DataError, match="unpacks to more than"):
        find(file)
