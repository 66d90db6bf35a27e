"""TensorFlow Datasets as a source: its own builders, its folders on disk, its mock data, and failing downloads."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import http.server
import io
import pickle
import struct
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdgan.core.errors import DataError
from mmdgan.data.catalog import CATALOG, DataInfo
from mmdgan.data.sources import tfds as tfds_source
from mmdgan.data.sources.base import Request
from mmdgan.data.sources.tfds import BuilderPart, FilePart
from tests.helpers import handmade

LABELS = np.arange(23) * 7 % 10


def quiet(line: str) -> None:
    """Takes lines of progress."""


def read(part):
    """The items of a part: (labels, images (N, H, W) or (N, H, W, C)), decoded by Pillow."""
    items = list(part.items())
    assert len(items) == len(part) and all(item.fault is None and item.pixels is None for item in items)
    images = [np.array(Image.open(io.BytesIO(item.encoded))) for item in items]
    return [item.label for item in items], np.stack(images) if images else None


def requested(name: str = "mine", tfds: str = "", **wanted) -> Request:
    """A request for somebody's own data set of that library."""
    return Request(DataInfo(name, (3, 8, 8), tfds=tfds), **wanted)


@pytest.fixture(scope="module")
def pictures():
    return handmade.images(23, shape=(3, 8, 8))


@pytest.fixture(scope="module")
def library(tmp_path_factory, pictures):
    """A folder of TensorFlow Datasets with `tiny` 1.0.0, written by itself in three and two files: its path."""
    import tensorflow_datasets as tfds

    class Tiny(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(8, 8, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(num_classes=10),
                "attributes": {"Male": np.bool_, "Smiling": np.bool_},
                "text": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(0), "bare": self._generate_examples(1)}

        def _generate_examples(self, bare):
            for i, picture in enumerate(pictures):
                yield (
                    i,
                    {
                        "image": picture.transpose(1, 2, 0),
                        "label": -1 if bare else int(LABELS[i]),
                        "attributes": {"Male": i % 2 == 0, "Smiling": i % 3 == 0},
                        "text": f"picture {i}",
                    },
                )

    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    shards = tfds.download.DownloadConfig(num_shards=3)
    Tiny(data_dir=folder).download_and_prepare(download_config=shards)
    return folder


def stored_order(library, pictures):
    """The numbers of the pictures in the order in which the library itself reads them."""
    import tensorflow_datasets as tfds

    builder = tfds.builder("tiny", data_dir=library)
    known = {picture.transpose(1, 2, 0).tobytes(): i for i, picture in enumerate(pictures)}
    config = tfds.ReadConfig(interleave_cycle_length=1)
    examples = tfds.as_numpy(builder.as_dataset(split="train", read_config=config))
    return np.array([known[example["image"].tobytes()] for example in examples])


def fetched(library, **wanted):
    """The data set `tiny` as a source."""
    request = requested(tfds="tiny:1.0.0", **wanted)
    return tfds_source.fetch(request.info, request, quiet, data_dir=library, download=False)


def test_records_are_read_in_the_library_s_order(library, pictures):
    order = stored_order(library, pictures)
    source = fetched(library)
    assert source.count == 23 and source.size == (8, 8) and source.class_names == tuple("0123456789")
    assert (source.origin.kind, source.origin.path, source.origin.files) == ("TensorFlow Datasets", "tiny/1.0.0", 3)
    part = source.part(0, 23)
    assert isinstance(part, FilePart)
    labels, images = read(pickle.loads(pickle.dumps(part)))
    assert labels == LABELS[order].tolist()
    assert np.array_equal(images, pictures[order].transpose(0, 2, 3, 1))
    names = [item.name for item in part.items()]
    assert names[0] == "record 0 of tiny-train.tfrecord-00000-of-00003" and len(set(names)) == 23


@pytest.mark.parametrize("cut", [(0, 0), (0, 1), (5, 6), (7, 16), (3, 23), (22, 23)])
def test_parts_are_slices_of_the_whole(library, pictures, cut):
    labels = LABELS[stored_order(library, pictures)].tolist()
    source = fetched(library)
    assert [item.label for item in source.part(*cut).items()] == labels[slice(*cut)]


def test_split_expressions(library, pictures):
    labels = LABELS[stored_order(library, pictures)].tolist()
    wanted = {"train[5:9]": labels[5:9], "train[-3:]+train[:2]": labels[-3:] + labels[:2], "train[:50%]": labels[:12]}
    for split, expected in wanted.items():
        source = fetched(library, split=split)
        assert source.count == len(expected)
        assert [item.label for item in source.part(0, source.count).items()] == expected
    assert fetched(library, split="all", labels="none").count == 46
    for split in ("nothing", "train[", "train[:99]"):
        with pytest.raises(DataError, match="tiny/1.0.0 has no split '.*'; its splits are bare, train"):
            fetched(library, split=split)


def test_labels_and_attributes(library, pictures):
    order = stored_order(library, pictures)
    assert fetched(library, labels="none").class_names == ()
    assert {item.label for item in fetched(library, labels="none").part(0, 23).items()} == {None}
    bare = fetched(library, split="bare")
    assert bare.class_names == () and [item.label for item in bare.part(0, 2).items()] == [None, None]
    male = fetched(library, labels="source", attributes=("Male",))
    assert len(male.class_names) == 2
    found = [male.class_names[item.label] == "Male" for item in male.part(0, 23).items()]
    assert found == (order % 2 == 0).tolist()
    with pytest.raises(DataError, match="Smiling"):
        fetched(library, labels="source", attributes=("Smilin",))
    assert fetched(library).channels == 3


def test_through_the_library_where_files_are_of_another_kind(library, pictures, monkeypatch):
    labels = LABELS[stored_order(library, pictures)].tolist()
    monkeypatch.setattr(tfds_source, "_files", lambda builder, split: None)
    source = fetched(library, split="train[4:]+train[:4]")
    part = source.part(15, 21)
    assert isinstance(part, BuilderPart)
    found, images = read(pickle.loads(pickle.dumps(part)))
    assert found == (labels[4:] + labels[:4])[15:21]
    order = stored_order(library, pictures)
    assert np.array_equal(images, pictures[np.roll(order, -4)[15:21]].transpose(0, 2, 3, 1))
    assert part.state() == source.part(15, 21).state() != source.part(14, 21).state()
    attributes = fetched(library, labels="source", attributes=("Male", "Smiling")).part(0, 23)
    twin = [item.label for item in attributes.items()]
    monkeypatch.undo()
    files = fetched(library, labels="source", attributes=("Male", "Smiling")).part(0, 23)
    assert isinstance(files, FilePart) and [item.label for item in files.items()] == twin
    assert len(set(twin)) == 4


def test_damage_is_named(library, tmp_path):
    import shutil

    copy = tmp_path / "library"
    shutil.copytree(library, copy)
    part = fetched(copy).part(0, 23)
    file = next(copy.rglob("tiny-train*-00001-of-00003"))
    content, state = file.read_bytes(), part.state()
    first = struct.unpack("<Q", content[:8])[0]
    file.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    faults = [item for item in part.items() if item.fault]
    assert part.state() != state
    assert [(item.name, item.fault) for item in faults] == [
        ("record 0 of tiny-train.tfrecord-00001-of-00003", "is corrupt: its checksum is wrong")
    ]
    for broken in (content[:-1], content[: first + 20], b"\xff" * 12 + content[12:], b""):
        file.write_bytes(broken)
        with pytest.raises(
            DataError, match=r"Record \d of .*00001-of-00003 is corrupt: its checksum or its end is wrong"
        ):
            list(part.items())
    for record in (handmade.framed(b"\xff"), handmade.framed(b"")):
        file.write_bytes(record * 20)
        assert all(item.fault for item in part.items() if "00001-of" in item.name)
    examples = handmade.example(handmade.feature("image", b"x"), handmade.feature("label", 10))
    file.write_bytes(handmade.framed(examples) * 20)
    assert {item.fault for item in part.items()} == {None, "has label 10 where there are 10 classes"}
    file.unlink()
    with pytest.raises(DataError, match="00001-of-00003 cannot be read"):
        list(part.items())
    with pytest.raises(DataError, match="00001-of-00003 cannot be read"):
        part.state()


def test_flipped_bytes_are_noticed(library, tmp_path):
    file = next(library.rglob("tiny-train*-00000-of-00003"))
    content, copy = bytearray(file.read_bytes()), tmp_path / file.name
    copy.write_bytes(content)
    part = fetched(library).part(0, 5)
    part = dataclasses.replace(part, pieces=(dataclasses.replace(part.pieces[0], path=str(copy)),))
    sound = [(item.label, item.encoded) for item in part.items()]
    assert len(sound) == 5
    random = np.random.default_rng(0)
    end = content.index(sound[-1][1]) + len(sound[-1][1])
    for _ in range(500):
        place, value = int(random.integers(end)), int(random.integers(1, 256))
        content[place] ^= value
        copy.write_bytes(content)
        try:
            found = [None if item.fault else (item.label, item.encoded) for item in part.items()]
            assert found.count(None) == 1 and all(item in (None, twin) for item, twin in zip(found, sound, strict=True))
        except DataError as error:
            assert "is corrupt: its checksum or its end is wrong" in str(error)
        content[place] ^= value


def test_data_sets_that_hold_no_images(tmp_path):
    import tensorflow_datasets as tfds

    def source(**features):
        class Builder:
            info = tfds.core.DatasetInfo(
                builder=tfds.testing.DummyDataset(data_dir=tmp_path), features=tfds.features.FeaturesDict(features)
            )

        return tfds_source._columns(Builder, requested(labels="source"))

    image = tfds.features.Image(shape=(8, 8, 1))
    cases = {
        "has no image feature, or several and none named image: label": {"label": tfds.features.ClassLabel(names="ab")},
        "none named image: a, b": {"a": image, "b": image},
        "are float32, not uint8": {"image": tfds.features.Image(shape=(8, 8, 1), dtype=np.float32)},
        "has no labels, or several": {"image": image, "text": tfds.features.Text()},
    }
    for message, features in cases.items():
        with pytest.raises(DataError, match=message):
            source(**features)


def idx_files(folder: Path, name: str, images: np.ndarray, labels: np.ndarray) -> None:
    """A split in the official IDX form, compressed."""
    head = struct.pack(">4I", 2051, *images.shape)
    (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images.tobytes()))
    content = struct.pack(">2I", 2049, len(labels)) + labels.astype(np.uint8).tobytes()
    (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(content))


def test_the_real_builder_of_fashion_mnist(tmp_path, monkeypatch):
    from tensorflow_datasets.image_classification import mnist

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    images = handmade.images(31, shape=(28, 28))
    labels = np.arange(31) % 10
    idx_files(tmp_path, "train", images[:21], labels[:21])
    idx_files(tmp_path, "t10k", images[21:], labels[21:])
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    lines, info = [], CATALOG["fashion_mnist"]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(mnist.FashionMNIST, "URL", address)
        monkeypatch.setattr(mnist.FashionMNIST, "url_infos", {f"{address}train-images-idx3-ubyte.gz": None})
        monkeypatch.setattr(mnist, "_TRAIN_EXAMPLES", 21)
        monkeypatch.setattr(mnist, "_TEST_EXAMPLES", 10)
        with pytest.raises(DataError, match="it has no fashion_mnist/3.0.1 in .* yet, and --download is not given"):
            tfds_source.fetch(info, Request(info), lines.append, download=False, data_dir=tmp_path / "tfds")
        train = tfds_source.fetch(info, Request(info), lines.append, data_dir=tmp_path / "tfds")
        server.shutdown()
    assert train.channels == 1
    assert len(lines) == 1 and f"trying {address}train-images" in lines[0]
    test = tfds_source.fetch(info, Request(info, split="test"), lines.append, data_dir=tmp_path / "tfds")
    assert train.class_names == info.class_names and train.size == info.size
    for source, part in ((train, slice(21)), (test, slice(21, 31))):
        found, pixels = read(source.part(0, source.count))
        pairs = {(label, image.tobytes()) for label, image in zip(found, pixels, strict=True)}
        assert pairs == {(int(labels[i]), images[i].tobytes()) for i in range(31)[part]}


def test_an_image_folder_builder(tmp_path, pictures):
    import tensorflow_datasets as tfds

    handmade.class_folders(tmp_path / "train", pictures, LABELS)
    builder = tfds.folder_dataset.ImageFolder(str(tmp_path), shape=(8, 8, 3))
    with pytest.raises(DataError, match="image_folder/1.0.0 has no attributes, but image"):
        tfds_source.from_builder(builder, requested(labels="source", attributes=("Male",)))
    source = tfds_source.from_builder(builder, requested())
    assert source.origin.path == "image_folder/1.0.0" and source.count == 23
    found, images = read(source.part(0, 23))
    pairs = {(source.class_names[label], image.tobytes()) for label, image in zip(found, images, strict=True)}
    names = CATALOG["cifar10"].class_names
    assert pairs == {(names[LABELS[i]], pictures[i].transpose(1, 2, 0).tobytes()) for i in range(23)}


def test_mock_data_of_celeba(tmp_path):
    import tensorflow_datasets as tfds

    info = CATALOG["celeba"]
    builder = tfds.builder("celeb_a", data_dir=tmp_path)
    splits = [
        tfds.core.SplitInfo(name=name, shard_lengths=[6], num_bytes=0) for name in ("train", "validation", "test")
    ]
    builder.info.set_splits(tfds.core.SplitDict(splits))
    Path(builder.data_dir).mkdir(parents=True)
    builder.info.write_to_directory(builder.data_dir)
    with tfds.testing.mock_data(num_examples=6, data_dir=str(tmp_path)):
        plain = tfds_source.fetch(info, Request(info), quiet, data_dir=tmp_path)
        assert plain.count == 18 and plain.class_names == () and plain.size == (178, 218)
        request = Request(info, split="test", labels="source", attributes=("Male", "Young"))
        source = tfds_source.fetch(info, request, quiet, data_dir=tmp_path)
        found, images = read(source.part(0, 6))
    assert source.count == 6 and images.shape == (6, 218, 178, 3)
    assert len(source.class_names) == 4 and set(found) <= set(range(4))
    with pytest.raises(DataError, match="splits of celeba are not those.*'train.:10%.' is not clear"):
        tfds_source.fetch(info, Request(info, split="train[:10%]"), quiet, data_dir=tmp_path)


class UnpreparedBuilder:
    """Stands for a builder whose download fails."""

    url_infos = {}
    data_dir = "cache/cifar10/3.0.2"

    class info:
        full_name = "cifar10/3.0.2"

    def is_prepared(self):
        return False

    def download_and_prepare(self):
        raise OSError("disk full\nmore")


def test_a_failing_download_is_a_sentence(monkeypatch):
    import tensorflow_datasets as tfds

    info, lines = DataInfo("cifar10", (3, 32, 32), tfds="cifar10", address="http://example.org/x"), []
    monkeypatch.setattr(tfds, "builder", lambda name, **_: UnpreparedBuilder())
    monkeypatch.setattr(tfds_source, "unreachable", lambda address: None)
    with pytest.raises(DataError, match="^OSError: disk full more$"):
        tfds_source.fetch(info, Request(info), lines.append)
    assert lines == ["TensorFlow Datasets has no cifar10/3.0.2 in cache/cifar10/3.0.2 yet; trying http://example.org/x"]
    monkeypatch.setattr(tfds_source, "unreachable", lambda address: "no network")
    with pytest.raises(DataError, match=r"http://example.org/x cannot be reached \(no network\)"):
        tfds_source.fetch(info, Request(info), lines.append)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match="the Python package tensorflow_datasets is missing"):
        tfds_source.fetch(info, Request(info), lines.append)


@pytest.mark.parametrize(
    "name, message",
    [
        ("cifarr10", "^it has no data set cifarr10 .did you mean cifar10"),
        ("lsun/bedroomx", "^ValueError: BuilderConfig bedroomx not found .*bedroom:3.1.0"),
        ("mnist:9.9.9", "^AssertionError: Dataset mnist cannot be loaded at version 9.9.9, only: 3.0.1$"),
        ("a b", "^ValueError: Parsing builder name string a b failed"),
    ],
)
def test_names_that_are_none(tmp_path, name, message):
    request = requested(tfds=name)
    with pytest.raises(DataError, match=message) as caught:
        tfds_source.fetch(request.info, request, quiet, data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_what_must_be_downloaded_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "unreachable", lambda address: pytest.fail("asked the network"))
    info, lines = CATALOG["imagenet"], []
    with pytest.raises(DataError, match="Manual directory .*downloads/manual does not exist or is empty"):
        tfds_source.fetch(info, Request(info), lines.append, data_dir=tmp_path)
    assert "must be downloaded by hand" in lines[0]


def test_every_name_of_the_catalogue_is_one_of_the_library_s(tmp_path):
    import tensorflow_datasets as tfds

    for info in CATALOG.values():
        if info.tfds:
            builder = tfds.builder(info.tfds, data_dir=tmp_path)
            assert tfds_source._columns(builder, Request(info, labels="none"))[2] in (None, info.size)


def test_records_need_no_tensorflow_and_nothing_is_printed(library, run_script):
    code = f"""
import sys
from mmdgan.data.catalog import CATALOG, DataInfo
from mmdgan.data.sources.base import Request
from mmdgan.data.sources.tfds import fetch
from mmdgan.errors import DataError
info, cifar = DataInfo("mine", (3, 8, 8), tfds="tiny:1.0.0"), CATALOG["cifar10"]
source = fetch(info, Request(info), print, data_dir={str(library)!r})
print(len(list(source.part(0, 23).items())), "tensorflow" in sys.modules)
try:
    fetch(cifar, Request(cifar), print, data_dir={str(library)!r}, download=False)
except DataError as error:
    print(error)
"""
    done = run_script("-c", code)
    first, second = done.stdout.splitlines()
    assert first == "23 False" and second.startswith("it has no cifar10/") and done.stderr == ""
