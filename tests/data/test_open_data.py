"""Opening a data set by name: the order of places, the sidecar, and the sentences when something is wrong."""

from __future__ import annotations

import json
import shutil

import handmade
import numpy as np
import pytest

from mmdgan import data
from mmdgan.data.sources import tfds as tfds_source
from mmdgan.errors import DataError

LABELS = np.arange(23) * 7 % 10


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

    def fetch(name, address, progress):
        asked.append(name)
        raise DataError("no network")

    monkeypatch.setattr(tfds_source, "fetch", fetch)
    return asked


def test_convert_once_then_read(root, binary, no_network):
    lines = []
    first = data.open_data("cifar10", data_root=root, source=binary, progress=lines.append)
    assert lines and first.folder == root / "cifar10"
    assert np.array_equal(first.images, handmade.images(23)) and np.array_equal(first.labels, LABELS)
    assert (first.name, first.num_class, first.class_names[3]) == ("cifar10", 10, "cat")
    assert first.source == f"CIFAR-10 binary {binary}"
    lines.clear()
    for source in (None, binary, str(binary)):
        again = data.open_data("cifar10", data_root=root, source=source, progress=lines.append)
        assert again.fingerprint() == first.fingerprint() and again.source == first.source
    shutil.rmtree(binary)
    data.open_data("cifar10", data_root=root, source=binary, progress=lines.append)
    assert not lines and not no_network
    assert data.info("cifar10", root).count == 23


def test_another_source_is_not_taken_for_the_first(root, binary, tmp_path):
    data.open_data("cifar10", data_root=root, source=binary, progress=lambda line: None)
    before = {path: path.read_bytes() for path in (root / "cifar10").iterdir()}
    other = handmade.cifar_folder(tmp_path / "other", handmade.images(20), LABELS[:20])
    with pytest.raises(
        DataError, match=r"made from CIFAR-10 binary .*official \(5 files, 70,679 bytes\), not from .*other"
    ):
        data.open_data("cifar10", data_root=root, source=other)
    handmade.cifar_folder(binary, handmade.images(20), LABELS[:20])
    with pytest.raises(
        DataError, match=f"as it is now: leave the source out to use them, or move {root}/cifar10 aside"
    ):
        data.open_data("cifar10", data_root=root, source=binary)
    assert {path: path.read_bytes() for path in (root / "cifar10").iterdir()} == before


@pytest.mark.parametrize("labelled", [False, True])
def test_the_original_s_files(root, binary, labelled):
    lines, pictures = [], handmade.images(5)
    handmade.record_file(root / "cifar_NCHW/cifar.tfrecords", pictures)
    if labelled:
        handmade.record_file(root / "cifar_NCHW/cifar_xy.tfrecords", pictures, LABELS[:5])
    found = data.open_data("cifar10", data_root=root, progress=lines.append)
    assert np.array_equal(found.images, pictures) and found.folder == root / "cifar_NCHW"
    assert np.array_equal(found.labels, LABELS[:5]) if labelled else found.labels is None
    assert found.num_class == len(found.class_names) == (10 if labelled else 0)
    assert "5 images" in lines[-1]
    named = data.open_data("cifar10", data_root=root, source=binary, progress=lines.append)
    assert named.count == 23 and any("is left aside, because the source" in line for line in lines)
    assert data.open_data("cifar10", data_root=root).count == 23


def test_records_without_a_sidecar_in_the_folder(root):
    pictures = handmade.images(6)
    files = [root / f"cifar10/mine-0000{k}-of-00002.tfrecords" for k in range(2)]
    handmade.record_file(files[0], pictures[:4], LABELS[:4])
    handmade.record_file(files[1], pictures[4:], LABELS[4:6])
    found = data.open_data("cifar10", data_root=root, progress=lambda line: None)
    assert np.array_equal(found.images, pictures) and np.array_equal(found.labels, LABELS[:6])
    files[0].unlink()
    with pytest.raises(DataError, match="mine-00000-of-00002.tfrecords is missing"):
        data.open_data("cifar10", data_root=root)


def test_no_data_is_one_sentence(root, no_network):
    lines = []
    with pytest.raises(DataError) as caught:
        data.open_data("cifar10", data_root=root, progress=lines.append)
    message = str(caught.value)
    assert "\n" not in message and no_network == ["cifar10"]
    ways = (
        f"{root}/cifar10",
        "cifar_NCHW/cifar.tfrecords",
        "--source PATH",
        "TensorFlow Datasets",
        "no network",
    )
    assert all(way in message for way in (*ways, "--data sample"))
    assert "asking TensorFlow Datasets" in lines[0] and not root.exists()


def test_broken_sidecars_and_lost_shards(root, binary):
    data.open_data("cifar10", data_root=root, source=binary, progress=lambda line: None)
    sidecar = root / "cifar10/cifar10.json"
    good = json.loads(sidecar.read_text())
    cases = {
        "does not describe a data set": ["", "[]", "{}", json.dumps({**good, "extra": 1})],
        "has format 2, this version reads format 1": [json.dumps({**good, "format": 2})],
        "contradicts itself": [json.dumps({**good, "count": 24}), json.dumps({**good, "name": "stl10"})],
        "disagree on labels": [json.dumps({**good, "labels": False})],
    }
    for message, contents in cases.items():
        for content in contents:
            sidecar.write_text(content)
            with pytest.raises(DataError, match=message):
                data.open_data("cifar10", data_root=root)
    sidecar.write_text(json.dumps(good))
    shard = root / "cifar10" / good["shards"][0]["file"]
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 23 * 22])
    with pytest.raises(DataError, match="holds 22 records where 23 are expected"):
        data.open_data("cifar10", data_root=root)
    shard.unlink()
    with pytest.raises(DataError, match="00000-of-00001.tfrecords is missing"):
        data.open_data("cifar10", data_root=root)


def test_the_embedded_set(root):
    sample = data.open_data("sample", data_root=root)
    entry = data.info("sample", root)
    assert (sample.shape, sample.count, sample.num_class) == (entry.shape, entry.count, entry.num_class)
    assert sample.class_names == entry.class_names and not root.exists()
    with pytest.raises(DataError, match="sample is made on the spot and takes no source"):
        data.open_data("sample", data_root=root, source=root)


def test_unknown_names_get_the_nearest():
    with pytest.raises(DataError, match="no data set named 'cifar': did you mean cifar10"):
        data.info("cifar")
    with pytest.raises(DataError, match="The names are cifar10, sample"):
        data.open_data("photographs")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = data.nothing


def test_asking_for_a_shape_loads_neither_numpy_nor_tensorflow(run_script):
    code = (
        "import sys; from mmdgan import data; print(data.info('cifar10').shape); "
        "print({'numpy', 'tensorflow'} & set(sys.modules))"
    )
    done = run_script("-c", code)
    assert done.stdout.split("\n")[:2] == ["(3, 32, 32)", "set()"], done.stderr
