"""Files of NumPy's arrays as data sets: pixels, labels, names of classes, and what is refused with which remedy."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data import ImageData, open_data
from mmdgan.data.preparation import convert
from mmdgan.data.preparation.prepare import prepare
from mmdgan.data.sources.arrays import read_arrays
from tests.helpers import handmade

IMAGES = handmade.images(30).transpose(0, 2, 3, 1)
LABELS = np.arange(30) * 7 % 4


def stored(tmp_path, path, name="mine", what="", **options):
    root = tmp_path / "Data"
    options = {"source": path} | options if what else options
    sidecar = prepare(what or f"folder:{path}", data_root=root, name=name, say=lambda line: None, **options)
    return sidecar, open_data(name, data_root=root, cache="memory", say=lambda line: None)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("keys", [("images", "labels"), ("arr_0", "arr_1"), ("x", "y"), ("x_train", "y_train")])
def test_images_and_labels(tmp_path, monkeypatch, keys, save, workers):
    if workers == 2:  # that other processes get their parts
        monkeypatch.setattr(convert, "FEW_IMAGES", 0)
        monkeypatch.setattr(convert, "SHARD_BYTES", 10 * 3072)
    save(tmp_path / "a.npz", **dict(zip(keys, (IMAGES, LABELS), strict=True)), x_test=IMAGES[:5], y_test=LABELS[:5])
    sidecar, data = stored(tmp_path, tmp_path / "a.npz", workers=workers)
    assert np.array_equal(data.images.transpose(0, 2, 3, 1), IMAGES) and np.array_equal(data.labels, LABELS)
    assert sidecar.class_names == tuple("0123") and "orientation" not in sidecar.options
    assert stored(tmp_path, tmp_path / "a.npz")[0] == sidecar
    os.replace(tmp_path / "a.npz", tmp_path / "SAMPLES.NPZ")
    small = stored(tmp_path, tmp_path / "SAMPLES.NPZ", "small", size=16, labels="none", channels=1)[1]
    assert small.shape == (1, 16, 16) and small.labels is None


def test_labels_that_are_python_objects_are_named_and_left_out(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=np.array(["dog"] * 30, object))
    said: list[str] = []
    assert read_arrays(tmp_path / "a.npz", said.append)[1] is None
    assert said[0].startswith("The labels of a.npz cannot be read (Object arrays")


def test_an_array_that_is_packed_in_an_unknown_way_is_a_sentence(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise NotImplementedError("That compression method is not supported")

    np.savez(tmp_path / "a.npz", images=IMAGES)
    monkeypatch.setattr(zipfile.ZipFile, "open", refuse)
    with pytest.raises(DataError, match=r"cannot be read .*That compression method is not supported"):
        read_arrays(tmp_path / "a.npz", print)


def test_labels_of_every_form(tmp_path):
    animals = np.array(["dog", "cat", "eel", "cow"])
    for number, (labels, more, names) in enumerate(
        (
            (np.eye(4)[LABELS], {}, tuple("0123")),
            (LABELS[:, None].astype(np.uint8), {}, tuple("0123")),
            (LABELS.astype(float), {"class_names": animals}, tuple(animals)),
            (animals[LABELS], {}, ("cat", "cow", "dog", "eel")),
        )
    ):
        np.savez(tmp_path / "a.npz", images=IMAGES, labels=labels, **more)
        sidecar, data = stored(tmp_path, tmp_path / "a.npz", f"set{number}")
        assert sidecar.class_names == names
        found = [sidecar.class_names[label] for label in data.labels]
        assert found == (animals[LABELS].tolist() if "cat" in names else list(map(str, LABELS)))


def test_grey_arrays_and_the_catalogue(tmp_path):
    digits = handmade.images(30, shape=(1, 28, 28))[:, 0]
    np.savez(tmp_path / "mnist.npz", x_train=digits, y_train=LABELS, x_test=digits[:7] ^ 255, y_test=LABELS[:7])
    data = stored(tmp_path, tmp_path / "mnist.npz", "mnist", "mnist")[1]
    assert np.array_equal(data.images[:, 0], digits) and data.num_class == 10
    data = stored(tmp_path, tmp_path / "mnist.npz", "mnist_test", "mnist", split="test")[1]
    assert np.array_equal(data.images[:, 0], digits[:7] ^ 255)
    np.save(tmp_path / "digits.npy", digits)
    assert np.array_equal(stored(tmp_path, tmp_path / "digits.npy", channels=1)[1].images[:, 0], digits)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES / np.float32(255)}, r"holds float32 .*\[0, 1\] become uint8 by rint\(x \* 255\)"),
        ({"images": IMAGES.astype(float)}, r"holds float64 .*\[0, 255\] become uint8 by rint\(x\)"),
        ({"images": IMAGES.transpose(0, 3, 1, 2)}, r"transpose them by \(0, 2, 3, 1\)"),
        ({"images": IMAGES, "labels": LABELS - 1}, "labels from -1 to 2: number the classes from 0"),
        ({"images": IMAGES, "labels": LABELS, "class_names": ["a"]}, "up to 3 and 1 class_names"),
        ({"codes": LABELS}, "holds codes and no images: they are looked for under the key images, arr_0, x or x_train"),
    ],
)
def test_what_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        stored(tmp_path, tmp_path / "a.npz")


def test_labels_that_are_asked_for(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS[:3])
    assert stored(tmp_path, tmp_path / "a.npz")[1].labels is None
    with pytest.raises(DataError, match="labels of a.npz are int64 .* where 30 images need integers"):
        stored(tmp_path, tmp_path / "a.npz", "other", labels="source")


def test_classes_without_images_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS + 1)
    lines = []
    sidecar = prepare(f"folder:{tmp_path / 'a.npz'}", data_root=tmp_path, name="mine", say=lines.append)
    assert sidecar.class_names == tuple("01234") and "(classes without images: 0)" in lines[0]


def test_arrays_are_of_another_split_only_if_they_say_so(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    np.save(tmp_path / "a.npy", IMAGES)
    for name in ("a.npz", "a.npy"):
        with pytest.raises(DataError, match=f"{name} does not say that its images are the split test: .* x_test"):
            stored(tmp_path, tmp_path / name, split="test")
        path = (tmp_path / name).rename(tmp_path / f"my_Testing.{name}")
        assert stored(tmp_path, path, f"set{name}", split="test")[1].count == 30
    both = tmp_path / "train_and_test.npz"
    np.savez(both, x=IMAGES, y=LABELS, x_test=IMAGES[:5], y_test=LABELS[1:6])
    images, labels, _ = read_arrays(both, split="test")
    assert np.array_equal(images, IMAGES[:5]) and np.array_equal(labels, LABELS[1:6])


def test_images_in_memory_say_how_they_become_uint8():
    with pytest.raises(DataError, match=r"float64 .* \(N, C, H, W\): values in \[0, 255\] become uint8 by rint\(x\)"):
        ImageData("mine", IMAGES.transpose(0, 3, 1, 2).astype(float))
