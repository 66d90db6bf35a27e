"""Every form of source: found by its content, converted whole, its faults named."""

from __future__ import annotations

import http.server
import socket
import sys
import threading
import time

import handmade
import numpy as np
import pytest
from PIL import Image

from mmdgan.data import info
from mmdgan.data.convert import convert, find_source
from mmdgan.data.sidecar import Origin
from mmdgan.data.sources import tfds as tfds_source
from mmdgan.data.sources.base import ImageSource
from mmdgan.data.sources.class_folders import read_image
from mmdgan.data.tfrecords import read_records
from mmdgan.errors import DataError

CIFAR = info("cifar10", "nowhere")
LABELS = np.arange(23) * 7 % 10


@pytest.fixture
def pictures():
    return handmade.images(23)


def converted(source, folder):
    """Converts and reads back: (sidecar, images, labels, lines of progress)."""
    lines = []
    sidecar = convert(source, CIFAR, folder, lines.append)
    return sidecar, *read_records([folder / shard.file for shard in sidecar.shards], CIFAR.shape), lines


@pytest.mark.parametrize("pattern", ["data_batch_{}.bin", "cifar_{}.bin"])
@pytest.mark.parametrize("around", [False, True])
def test_cifar_binary(tmp_path, pictures, pattern, around):
    folder = handmade.cifar_folder(tmp_path / "cifar-10-batches-bin", pictures, LABELS, pattern)
    (folder / "test_batch.bin").write_bytes(bytes(3073))
    source = find_source(tmp_path if around else folder, CIFAR)
    sidecar, images, labels, lines = converted(source, tmp_path / "out")
    assert np.array_equal(images, pictures) and np.array_equal(labels, LABELS)
    assert sidecar.count == 23 and sidecar.labels and sidecar.class_names == CIFAR.class_names
    assert (sidecar.origin.kind, sidecar.origin.files, sidecar.origin.bytes) == (
        "CIFAR-10 binary",
        5,
        23 * 3073,
    )
    assert "23 images" in lines[0] and "23 of 23 images" in lines[-1] and "0 s left" in lines[-1]


def test_one_cifar_file_without_names(tmp_path, pictures):
    folder = handmade.cifar_folder(tmp_path, pictures, LABELS)
    (folder / "batches.meta.txt").unlink()
    sidecar, images, labels, _ = converted(find_source(folder / "data_batch_2.bin", CIFAR), tmp_path / "out")
    part = np.array_split(np.arange(23), 5)[1]
    assert np.array_equal(images, pictures[part]) and np.array_equal(labels, LABELS[part])
    assert sidecar.class_names == CIFAR.class_names


def test_faulty_cifar_files_are_named(tmp_path, pictures):
    folder = handmade.cifar_folder(tmp_path, pictures, LABELS)
    meta, batch = folder / "batches.meta.txt", folder / "data_batch_3.bin"
    content, names = batch.read_bytes(), meta.read_text()
    meta.write_text("cat\ndog\n")
    with pytest.raises(DataError, match="batches.meta.txt names 2 classes where CIFAR-10 has 10"):
        find_source(folder, CIFAR)
    meta.write_text(names)
    for broken in (content[:-1], content + b"\0", b""):
        batch.write_bytes(broken)
        with pytest.raises(DataError, match=rf"data_batch_3.bin holds {len(broken)} bytes.* 3073 bytes per record"):
            find_source(folder, CIFAR)
    batch.write_bytes(content[:3073] + b"\x0a" + content[3074:])
    with pytest.raises(DataError, match="Record 1 of .*data_batch_3.bin has label 10 where CIFAR-10 has 0 to 9"):
        converted(find_source(folder, CIFAR), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    batch.unlink()
    with pytest.raises(DataError, match="lacks data_batch_3.bin: unpack the official archive again"):
        find_source(folder, CIFAR)


@pytest.mark.parametrize("train", [False, True])
def test_class_folders(tmp_path, pictures, train):
    root = tmp_path / "images"
    handmade.class_folders(root / "train" if train else root, pictures, LABELS)
    if train:
        handmade.class_folders(root / "test", pictures[:10], LABELS[:10])
    (root / "train" if train else root).joinpath("cat", "notes.txt").write_text("not an image")
    sidecar, images, labels, lines = converted(find_source(root, CIFAR), tmp_path / "out")
    order = np.argsort(LABELS, kind="stable")
    assert np.array_equal(images, pictures[order]) and np.array_equal(labels, LABELS[order])
    assert sidecar.class_names == CIFAR.class_names and sidecar.origin.files == 23
    assert "1 other files are left aside" in lines[0]


def test_images_of_other_modes_become_rgb(tmp_path, pictures):
    grey = pictures[0, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png", (3, 32, 32)), np.stack([grey] * 3))
    Image.fromarray(pictures[0].transpose(1, 2, 0)).save(tmp_path / "x.jpg", quality=95, subsampling=0)
    error = read_image(tmp_path / "x.jpg", (3, 32, 32)).astype(float) - pictures[0]
    assert 0 < np.abs(error).mean() < 10  # a JPEG of noise: close, not equal


def test_faulty_folders_are_named(tmp_path, pictures):
    root = handmade.class_folders(tmp_path / "images", pictures, LABELS)
    broken = root / "dog" / "broken.png"
    Image.new("RGB", (32, 31)).save(broken)
    with pytest.raises(DataError, match="broken.png is 32x31 pixels where 32x32 are expected"):
        converted(find_source(root, CIFAR), tmp_path / "out")
    good = next((root / "cat").glob("*.png")).read_bytes()
    for content in (b"", b"not an image", good[: len(good) // 2]):
        broken.write_bytes(content)
        with pytest.raises(DataError, match="broken.png cannot be read as an image"):
            converted(find_source(root, CIFAR), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    broken.unlink()
    (root / "zebra").mkdir()
    with pytest.raises(DataError, match="holds 11 folders where 10 classes are expected: airplane, "):
        find_source(root, CIFAR)
    (root / "zebra").rmdir()
    for file in (root / "frog").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="frog holds no images"):
        find_source(root, CIFAR)


def test_paths_that_are_no_source(tmp_path):
    with pytest.raises(DataError, match="missing of cifar10 does not exist"):
        find_source(tmp_path / "missing", CIFAR)
    with pytest.raises(DataError, match="holds neither .*: name the folder that holds them"):
        find_source(tmp_path, CIFAR)
    archive = tmp_path / "cifar-10-binary.tar.gz"
    archive.write_bytes(b"x")
    with pytest.raises(DataError, match="holds neither .*: unpack it first"):
        find_source(archive, CIFAR)


def test_a_source_must_be_the_data_set_it_is_named(tmp_path, pictures):
    def source(class_names=CIFAR.class_names, images=pictures):
        return ImageSource(Origin("made", "up"), 23, class_names, lambda: iter([(images, LABELS)]))

    with pytest.raises(DataError, match="made up has 2 classes where cifar10 has 10"):
        converted(source(class_names=("a", "b")), tmp_path / "out")
    with pytest.raises(DataError, match=r"images \(3, 32, 31\) where cifar10 has \(3, 32, 32\)"):
        converted(source(images=pictures[..., 1:]), tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="The folder .*file/out cannot be made"):
        converted(source(), tmp_path / "file" / "out")


def image_folder_builder(root, pictures):
    """TensorFlow Datasets' own builder of a folder of images, prepared without network."""
    import tensorflow_datasets as tfds

    handmade.class_folders(root / "train", pictures, LABELS)
    return tfds.folder_dataset.ImageFolder(str(root), shape=(32, 32, 3))


def test_tensorflow_datasets(tmp_path, pictures, monkeypatch):
    import tensorflow_datasets as tfds

    builder = image_folder_builder(tmp_path / "images", pictures)
    monkeypatch.setattr(builder, "is_prepared", lambda: True)
    monkeypatch.setattr(tfds, "builder", lambda name: builder)
    source = tfds_source.fetch("cifar10", "http://127.0.0.1:9", print)
    sidecar, images, labels, _ = converted(source, tmp_path / "out")
    assert sidecar.count == 23 and sidecar.class_names == CIFAR.class_names
    assert sidecar.origin.path == "image_folder/1.0.0"
    found = {(int(label), image.tobytes()) for image, label in zip(images, labels, strict=True)}
    assert found == {(int(label), image.tobytes()) for image, label in zip(pictures, LABELS, strict=True)}


class UnpreparedBuilder:
    """Stands for a builder whose download fails."""

    url_infos = {}
    data_dir = "cache/cifar10"

    def is_prepared(self):
        return False

    def download_and_prepare(self):
        raise OSError("disk full\nmore")


def test_a_failing_download_is_a_sentence(monkeypatch):
    import tensorflow_datasets as tfds

    lines = []
    monkeypatch.setattr(tfds, "builder", lambda name: UnpreparedBuilder())
    monkeypatch.setattr(tfds_source, "unreachable", lambda address: None)
    with pytest.raises(DataError, match="^OSError: disk full$"):
        tfds_source.fetch("cifar10", "http://example.org/x", lines.append)
    assert lines == ["TensorFlow Datasets has no cifar10 in cache/cifar10 yet; trying http://example.org/x"]
    monkeypatch.setattr(tfds_source, "unreachable", lambda address: "no network")
    with pytest.raises(DataError, match=r"http://example.org/x cannot be reached \(no network\)"):
        tfds_source.fetch("cifar10", "http://example.org/x", lines.append)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match="the Python package tensorflow_datasets is missing"):
        tfds_source.fetch("cifar10", "http://example.org/x", lines.append)


def test_an_address_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert "refused" in tfds_source.unreachable(address)
        silent.listen()
        start = time.monotonic()
        assert tfds_source.unreachable(address, 0.3)
        assert time.monotonic() - start < 2


def test_a_name_that_is_looked_up_for_ever(monkeypatch):
    over = threading.Event()

    def look_up(request, timeout):
        over.wait(5)
        raise OSError("given up")

    monkeypatch.setattr(tfds_source.urllib.request, "urlopen", look_up)
    start = time.monotonic()
    assert tfds_source.unreachable("http://example.org/", 0.2) == "no answer within 0.2 seconds"
    assert time.monotonic() - start < 2
    over.set()


def test_an_address_that_answers(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert tfds_source.unreachable(f"http://127.0.0.1:{server.server_port}/") is None  # answers "501"
