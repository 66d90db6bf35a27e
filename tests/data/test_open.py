"""Opening a data set by name: the order of places, the sidecar, and the sentences when something is wrong."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mmdgan import data
from mmdgan.core.errors import ConfigError, DataError
from mmdgan.data.preparation.prepare import prepare
from mmdgan.data.records.writer import ShardWriter
from mmdgan.data.sources import tfds as tfds_source
from tests.helpers import handmade

LABELS = np.arange(23) * 7 % 10


def quiet(line: str) -> None:
    """Takes lines of progress."""


@pytest.fixture
def root(tmp_path):
    return tmp_path / "Data"


@pytest.fixture
def binary(tmp_path):
    """An official folder of 23 images."""
    return handmade.cifar_folder(tmp_path / "official", handmade.images(23), LABELS)


@pytest.fixture
def no_network(monkeypatch):
    """TensorFlow Datasets fails as it does offline; the list gets the names that were asked for."""
    asked = []

    def fetch(info, request, progress, **_):
        asked.append(info.tfds)
        raise DataError("no network")

    monkeypatch.setattr(tfds_source, "fetch", fetch)
    return asked


def contents(found):
    """(images, labels) of a data set, however it is kept."""
    return found.take(np.arange(found.count))


@pytest.mark.parametrize("cache", ["auto", "memory", "stream"])
def test_convert_once_then_read(root, binary, no_network, cache):
    lines = []
    first = data.open_data("cifar10", data_root=root, source=binary, cache=cache, say=lines.append)
    assert lines and first.folder == root / "cifar10"
    assert first.mode == ("memory" if cache == "auto" else cache)
    images, labels = contents(first)
    assert np.array_equal(images, handmade.images(23)) and np.array_equal(labels, LABELS)
    assert np.array_equal(first.labels, LABELS) and first.labelled
    assert (first.name, first.num_class, first.class_names[3]) == ("cifar10", 10, "cat")
    assert first.source == f"CIFAR-10 binary {binary}"
    lines.clear()
    for source in (None, binary, str(binary)):
        again = data.open_data("cifar10", data_root=root, source=source, say=lines.append)
        assert again.fingerprint() == first.fingerprint() and again.source == first.source
    shutil.rmtree(binary)
    data.open_data("cifar10", data_root=root, source=binary, say=lines.append)
    assert not lines and not no_network
    assert data.info("cifar10", root).count == 23


def test_another_source_is_not_taken_for_the_first(root, binary, tmp_path):
    data.open_data("cifar10", data_root=root, source=binary, say=quiet)
    before = {path: path.read_bytes() for path in (root / "cifar10").iterdir()}
    other = handmade.cifar_folder(tmp_path / "other", handmade.images(20), LABELS[:20])
    with pytest.raises(
        DataError, match=r"made from CIFAR-10 binary .*official \(5 files, .* bytes\), not from .*other"
    ):
        data.open_data("cifar10", data_root=root, source=other)
    handmade.cifar_folder(binary, handmade.images(20), LABELS[:20])
    with pytest.raises(
        DataError, match=f"as it is now: leave the source out to use them, or move {root}/cifar10 aside"
    ):
        data.open_data("cifar10", data_root=root, source=binary)
    assert {path: path.read_bytes() for path in (root / "cifar10").iterdir()} == before


def test_a_source_that_has_changed_is_noticed_under_any_name(root, binary, tmp_path):
    prepare("cifar10", source=binary, name="ours", data_root=root, labels="none", say=quiet)
    photos = handmade.class_folders(tmp_path / "photos", handmade.images(20), np.arange(20) % 10)
    prepare(f"folder:{photos}", name="mine", data_root=root, say=quiet)
    for name, source in (("ours", binary), ("mine", photos)):
        assert data.open_data(name, data_root=root, source=source, say=quiet).count
    handmade.cifar_folder(binary, handmade.images(20), LABELS[:20])
    next(photos.rglob("*.png")).unlink()
    for name, source in (("ours", binary), ("mine", photos)):
        with pytest.raises(DataError, match="as it is now: leave the source out"):
            data.open_data(name, data_root=root, source=source)


@pytest.mark.parametrize("labelled", [False, True])
def test_the_original_s_files(root, binary, labelled):
    lines, pictures = [], handmade.images(5)
    handmade.record_file(root / "cifar_NCHW/cifar.tfrecords", pictures)
    if labelled:
        handmade.record_file(root / "cifar_NCHW/cifar_xy.tfrecords", pictures, LABELS[:5])
    found = data.open_data("cifar10", data_root=root, say=lines.append)
    assert np.array_equal(found.images, pictures) and found.folder == root / "cifar_NCHW"
    assert np.array_equal(found.labels, LABELS[:5]) if labelled else found.labels is None
    assert found.num_class == len(found.class_names) == (10 if labelled else 0)
    assert "5 of 50,000 images" in lines[-1]
    named = data.open_data("cifar10", data_root=root, source=binary, say=lines.append)
    assert named.count == 23 and any("is left aside, because the source" in line for line in lines)
    assert data.open_data("cifar10", data_root=root).count == 23


@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_the_original_s_data_sets_of_several_files(root, cache):
    pictures = handmade.images(7, shape=(3, 64, 64))
    files = [root / f"celebA_NCHW/celebA_00{k}.tfrecords" for k in range(3)]
    for file, part in zip(files, ((0, 3), (3, 6), (6, 7)), strict=True):
        handmade.record_file(file, pictures[slice(*part)])
    found = data.open_data("celeba", data_root=root, cache=cache, say=quiet)
    assert found.mode == cache and found.shape == (3, 64, 64) and found.labels is None
    assert np.array_equal(contents(found)[0], pictures)
    files[1].unlink()
    with pytest.raises(DataError, match="celebA_001.tfrecords is missing next to celebA_002.tfrecords"):
        data.open_data("celeba", data_root=root, cache=cache)
    handmade.record_file(files[1], pictures[:1], [1])
    handmade.record_file(files[0], pictures[:1], [1])
    with pytest.raises(DataError, match="hold labels, but celeba has no names of classes"):
        data.open_data("celeba", data_root=root, cache=cache)


@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_records_without_a_sidecar_in_the_folder(root, cache):
    pictures = handmade.images(6)
    files = [root / f"cifar10/mine-0000{k}-of-00002.tfrecords" for k in range(2)]
    handmade.record_file(files[0], pictures[:4], LABELS[:4])
    handmade.record_file(files[1], pictures[4:], LABELS[4:6])
    found = data.open_data("cifar10", data_root=root, cache=cache, say=quiet)
    images, labels = contents(found)
    assert np.array_equal(images, pictures) and np.array_equal(labels, LABELS[:6])
    files[0].unlink()
    with pytest.raises(DataError, match="mine-00000-of-00002.tfrecords is missing"):
        data.open_data("cifar10", data_root=root, cache=cache)


def test_no_data_is_one_sentence(root, no_network):
    lines = []
    with pytest.raises(DataError) as caught:
        data.open_data("cifar10", data_root=root, say=lines.append)
    message = str(caught.value)
    assert "\n" not in message and no_network == ["cifar10"]
    ways = (
        f"{root}/cifar10",
        "cifar_NCHW/cifar.tfrecords",
        "from https://www.cs.toronto.edu/~kriz/cifar.html",
        "--source PATH",
        "TensorFlow Datasets",
        "no network",
    )
    assert all(way in message for way in (*ways, "--data sample")) and "unfinished" not in message
    assert "asking TensorFlow Datasets" in lines[0] and not root.exists()


def test_nothing_but_lines_of_progress_is_printed_without_data(root, capfd, monkeypatch):
    monkeypatch.setattr(tfds_source, "unreachable", lambda address: "no network")
    with pytest.raises(DataError, match="could not fetch it .*cannot be reached .no network"):
        data.open_data("cifar10", data_root=root, say=quiet)
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


def test_an_unfinished_conversion_is_no_data_set(root, binary, no_network):
    data.open_data("cifar10", data_root=root, source=binary, say=quiet)
    folder = root / "cifar10"
    expected = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "cifar10.json").unlink()
    (folder / ".partial").mkdir()
    with pytest.raises(DataError, match="--source PATH .that of the unfinished conversion in .*cifar10"):
        data.open_data("cifar10", data_root=root, say=quiet)
    found = data.open_data("cifar10", data_root=root, source=binary, say=quiet)
    assert found.count == 23 and not (folder / ".partial").exists()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".old"} == expected
    (folder / "cifar10.json").unlink()
    (folder / ".partial").mkdir()
    original = handmade.record_file(root / "cifar_NCHW/cifar.tfrecords", handmade.images(3))
    lines = []
    assert data.open_data("cifar10", data_root=root, say=lines.append).folder == original.parent
    assert "unfinished" in lines[0]


def prepared_set(root, name="mine", labels=None, shape=(1, 4, 4)):
    """A set as an earlier version or somebody's conversion left it: (its pictures, its sidecar as a dictionary)."""
    pictures = handmade.images(5, shape=shape)
    file = handmade.record_file(root / name / f"{name}-00000-of-00001.tfrecords", pictures, labels)
    handmade.record_file(root / name / "stray.tfrecords", pictures[:1])
    sidecar = {
        "format": 1,
        "count": 5,
        "name": name,
        "shape": shape,
        "labels": labels is not None,
        "class_names": [] if labels is None else ["a", "b"],
        "origin": {"kind": "images", "path": "/somewhere", "files": 5, "bytes": 500},
        "shards": [{"file": file.name, "count": 5}],
    }
    (root / name / f"{name}.json").write_text(json.dumps(sidecar))
    return pictures, sidecar


@pytest.mark.parametrize("labels", [None, [0, 1, 0, 1, 1]])
@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_prepared_sets_of_any_name_and_older_sidecars(root, cache, labels):
    pictures, _ = prepared_set(root, labels=labels)
    found = data.open_data("mine", data_root=root, cache=cache, say=quiet)
    images, numbers = contents(found)
    assert np.array_equal(images, pictures), "a file that is not the sidecar's was read"
    assert (numbers is None) == (labels is None) and list(numbers if labels else ()) == (labels or [])
    assert found.class_names == (() if labels is None else ("a", "b")) and found.source == "images /somewhere"
    with pytest.raises(DataError, match="made from images /somewhere .5 files, 500 bytes., not from elsewhere"):
        data.open_data("mine", data_root=root, source="elsewhere")
    assert data.open_data("mine", data_root=root, source="/somewhere").count == 5


@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_files_whose_images_were_all_skipped(root, cache):
    pictures, sidecar = prepared_set(root)
    with ShardWriter(root / "mine/empty.tfrecords"):
        pass
    shards = [{"file": "empty.tfrecords", "count": 0}, *sidecar["shards"]]
    (root / "mine/mine.json").write_text(json.dumps({**sidecar, "shards": shards}))
    assert np.array_equal(contents(data.open_data("mine", data_root=root, cache=cache))[0], pictures)
    (root / "mine/mine.json").write_text(json.dumps({**sidecar, "count": 0, "shards": shards[:1]}))
    with pytest.raises(DataError, match="mine in .*mine holds no images"):
        data.open_data("mine", data_root=root, cache=cache)


@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_broken_sidecars_and_lost_shards(root, binary, cache):
    data.open_data("cifar10", data_root=root, source=binary, say=quiet)
    sidecar = root / "cifar10/cifar10.json"
    good = json.loads(sidecar.read_text())
    cases = {
        "does not describe a data set": ["", "[]", "{}", json.dumps({**good, "extra": 1})],
        "has format 3, this version reads formats up to 2": [json.dumps({**good, "format": 3})],
        "contradicts itself": [json.dumps({**good, "count": 24}), json.dumps({**good, "name": "stl10"})],
        "disagree on labels": [json.dumps({**good, "labels": False})],
    }
    for message, texts in cases.items():
        for text in texts:
            sidecar.write_text(text)
            with pytest.raises(DataError, match=message):
                data.open_data("cifar10", data_root=root, cache=cache)
    sidecar.write_text(json.dumps(good))
    shard = root / "cifar10" / good["shards"][0]["file"]
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 23 * 22])
    with pytest.raises(DataError, match="holds 22 records where 23 are expected"):
        data.open_data("cifar10", data_root=root, cache=cache)
    shard.unlink()
    with pytest.raises(DataError, match="00000-of-00001.tfrecords is missing"):
        data.open_data("cifar10", data_root=root, cache=cache)


def test_what_fits_is_kept_in_memory(root, monkeypatch):
    prepared_set(root)
    asked = []
    monkeypatch.setattr("mmdgan.data.open.choose_cache", lambda size: asked.append(size) or "stream")
    assert data.open_data("mine", data_root=root).mode == "stream"
    size = (root / "mine/mine-00000-of-00001.tfrecords").stat().st_size
    assert asked == [size]
    assert data.open_data("mine", data_root=root, cache="memory").mode == "memory" and len(asked) == 1
    with pytest.raises(ConfigError, match="cache is 'disk'; give one of auto, memory, stream"):
        data.open_data("mine", data_root=root, cache="disk")


def test_the_embedded_set(root):
    sample = data.open_data("sample", data_root=root)
    entry = data.info("sample", root)
    assert (sample.shape, sample.count, sample.num_class) == (entry.shape, entry.count, entry.num_class)
    assert sample.class_names == entry.class_names and not root.exists()
    with pytest.raises(DataError, match="sample is made on the spot and takes no source"):
        data.open_data("sample", data_root=root, source=root)


def test_what_tensorflow_datasets_has_is_converted(root, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    pictures = handmade.images(23)
    handmade.class_folders(tmp_path / "images/train", pictures, LABELS)
    builder = tfds.folder_dataset.ImageFolder(str(tmp_path / "images"), shape=(32, 32, 3))
    monkeypatch.setattr(builder, "is_prepared", lambda: True)
    monkeypatch.setattr(tfds, "builder", lambda name, **_: builder)
    lines = []
    found = data.open_data("cifar10", data_root=root, say=lines.append)
    assert "asking TensorFlow Datasets" in lines[0] and "23 of 23 images" in lines[-1]
    assert found.source == "TensorFlow Datasets image_folder/1.0.0"
    pairs = {(int(label), image.tobytes()) for image, label in zip(found.images, found.labels, strict=True)}
    assert pairs == {(int(label), image.tobytes()) for image, label in zip(pictures, LABELS, strict=True)}
    assert data.open_data("cifar10", data_root=root).count == 23
