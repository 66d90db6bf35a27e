"""Folders of images, with classes and without, in a directory, a zip and a tar."""

from __future__ import annotations

import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from mmdgan.core.errors import DataError
from mmdgan.data import info
from mmdgan.data.sources import folders
from mmdgan.data.sources.base import Request
from tests.helpers import handmade, handmade_archives as made

CIFAR = info("cifar10", "nowhere")
PICTURES = handmade.images(5, shape=(3, 8, 8))
ENCODED = [made.encoded(picture) for picture in PICTURES]
CLASSES = dict(zip(["cat/1.png", "cat/sub/2.PNG", "dog/10.png", "dog/9.png", "eel/a.png"], ENCODED, strict=True))


@pytest.fixture(params=["folder", "zip", "tar"])
def store(request, tmp_path):
    """Puts files in a container and returns its path."""
    write = {"folder": made.write_files, "zip": made.write_zip, "tar": made.write_tar}[request.param]
    suffix = "" if request.param == "folder" else f".{request.param}"
    return lambda files, name="images": write(tmp_path / f"{name}{suffix}", files)


def found(path, **wanted):
    """(source, images or faults, labels)."""
    source = folders.find(path, made.request(**wanted))
    return (source, *made.read(source.part(0, source.count)))


@pytest.mark.parametrize("around", ["", "train/", "images/", "data/images/train/"])
def test_class_folders(store, around):
    path = store({f"{around}{name}": data for name, data in CLASSES.items()} | {f"{around}cat/notes.txt": b"text"})
    source, images, labels = found(path)
    assert np.array_equal(images, PICTURES) and labels == [0, 0, 1, 1, 2]
    assert source.class_names == ("cat", "dog", "eel") and "class folders" in source.origin.kind
    assert source.origin.files == 5 and source.origin.bytes == sum(map(len, ENCODED))
    assert source.origin.path == str(path.resolve()) and source.note == "1 other file is left aside"
    for start, stop in ((0, 2), (1, 4), (4, 5), (2, 2)):
        part_images, part_labels = made.read(source.part(start, stop))
        assert np.array_equal(np.array(part_images).reshape(-1, 3, 8, 8), PICTURES[start:stop])
        assert part_labels == labels[start:stop]


def test_without_labels(store):
    source, images, labels = found(store(CLASSES), labels="none")
    assert np.array_equal(images, PICTURES) and labels == [None] * 5 and source.class_names == ()
    assert "folder of images" in source.origin.kind


def test_images_beside_folders_have_no_classes(store):
    path = store({**CLASSES, "zoo.png": ENCODED[0]})
    source, images, _ = found(path)
    assert source.class_names == () and np.array_equal(images, [*PICTURES, PICTURES[0]])
    for wanted in ({"labels": "source"}, {"num_class": 3}):
        with pytest.raises(DataError, match="holds 1 images that are in no class's folder: .*--labels none"):
            found(path, **wanted)


def test_one_folder_is_no_class_unless_asked_for(store):
    path = store({"cat/1.png": ENCODED[0]})
    assert found(path)[0].class_names == ()
    assert found(path, labels="source")[0].class_names == ("cat",)


def test_flat_images(store):
    source, images, _ = found(store({f"{i}.png": data for i, data in enumerate(ENCODED)}))
    assert np.array_equal(images, PICTURES) and source.class_names == ()


def test_splits(store):
    both = {f"train/{name}": data for name, data in CLASSES.items()}
    path = store({**both, "val/cat/7.png": ENCODED[3], "val/dog/8.png": ENCODED[4], "notes.txt": b""})
    assert found(path)[0].count == 5 and not found(path)[0].note
    for split in ("validation", "val"):
        source, images, labels = found(path, split=split)
        assert np.array_equal(images, PICTURES[3:]) and labels == [0, 1] and source.class_names == ("cat", "dog")
    with pytest.raises(DataError, match="has no folder test with images: name the folder .* split test"):
        found(path, split="test")


def test_a_folder_named_as_its_split_is_that_split(tmp_path):
    assert found(made.write_files(tmp_path / "test", CLASSES), split="test")[0].count == 5


def test_trains_are_a_class_too(store):
    path = store({"bus/1.png": ENCODED[0], "train/2.png": ENCODED[1]})
    source, images, labels = found(path)
    assert source.class_names == ("bus", "train") and labels == [0, 1] and np.array_equal(images, PICTURES[:2])


def test_of_several_splits_beside_another_folder_one_is_taken(store):
    path = store({"train/1.png": ENCODED[0], "test/2.png": ENCODED[1], "train_masks/1.png": ENCODED[2]})
    for split, number in (("train", 0), ("test", 1)):
        source, images, labels = found(path, split=split)
        assert source.class_names == () and labels == [None] and np.array_equal(images, PICTURES[number : number + 1])


def test_links_of_a_tar_of_a_point_are_named_in_its_split(tmp_path):
    root = made.write_files(tmp_path / "root", {f"train/{name}": data for name, data in CLASSES.items()})
    (root / "train/cat/link.png").symlink_to("1.png")
    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        tar.add(root, ".")
    _, images, _ = found(tmp_path / "images.tar")
    assert sum(isinstance(image, str) for image in images) == 1 and len(images) == 6


def test_a_class_without_images_is_named(store):
    path = store({**CLASSES, "fox/readme.txt": b""})
    with pytest.raises(DataError, match=r"images.*/fox holds no images \(.bmp, .*\)"):
        found(path)
    source, _, _ = found(path, labels="none")
    assert source.count == 5


def test_an_empty_folder_is_named(tmp_path):
    (made.write_files(tmp_path / "images", CLASSES) / "gnu").mkdir()
    with pytest.raises(DataError, match=r"images/gnu holds no images"):
        found(tmp_path / "images")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="nothing holds no images"):
        found(tmp_path / "nothing")
    assert folders.find(tmp_path / "nothing", Request(CIFAR)) is None
    (tmp_path / "nothing" / "images.tar.gz").touch()
    with pytest.raises(DataError, match="nothing holds no images but archives such as images.tar.gz: unpack"):
        found(tmp_path / "nothing")


def test_a_known_data_set_must_have_its_classes(store):
    names = [f"{name}/1.png" for name in CIFAR.class_names]
    source = folders.find(store(dict.fromkeys(names, ENCODED[0])), Request(CIFAR))
    assert source.class_names == CIFAR.class_names and source.size == (32, 32) and source.count == 10
    path = store(dict.fromkeys([*names, "zebra/1.png"], ENCODED[0]), "eleven")
    with pytest.raises(DataError, match="eleven.* holds 11 folders where 10 classes are expected: airplane, "):
        folders.find(path, Request(CIFAR))
    path = store({"1.png": ENCODED[0]}, "flat")
    with pytest.raises(DataError, match="holds 1 images that are in no class's folder"):
        folders.find(path, Request(CIFAR))


def test_what_is_broken_comes_first(tmp_path):
    """A conversion that stops at the first fault stops at once."""
    root = made.write_files(tmp_path / "images", CLASSES)
    (root / "dog" / "lost.png").symlink_to(tmp_path / "nowhere")
    os.truncate(root / "eel" / "a.png", 30)
    source, images, labels = found(root)
    assert source.count == 6 and labels == [None, 0, 0, 1, 1, 2]
    assert images[0] == f"{root}/dog/lost.png is a link to nothing"
    assert "eel/a.png is truncated" in images[5]
    second, _ = made.read(source.part(1, 3))
    assert np.array_equal(second, PICTURES[:2])


def test_dangerous_members_are_named_wherever_they_are(tmp_path):
    path = tmp_path / "x.tar"
    members = [(f"train/{name}", data) for name, data in CLASSES.items()]
    path.write_bytes(made.tar_bytes([*members, ("../../etc/cron.d/x", b"")]))
    _, images, _ = found(path)
    assert images[0] == f"{path}: ../../etc/cron.d/x points outside its archive"
    assert np.array_equal(images[1:], PICTURES)


def test_parts_say_when_they_change(store):
    path = store(CLASSES)
    source = found(path)[0]
    assert source.part(0, 2).state() == found(path)[0].part(0, 2).state() != source.part(0, 3).state()
    assert found(path, labels="none")[0].part(0, 2).state() != source.part(0, 2).state()
    file = path / "cat" / "1.png" if path.is_dir() else path
    os.utime(file, ns=(1, 1))
    assert found(path)[0].part(0, 2).state() != source.part(0, 2).state()


def test_images_of_other_modes_become_rgb(tmp_path):
    grey = PICTURES[0, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    _, images, _ = found(tmp_path)
    assert np.array_equal(images[0], np.stack([grey] * 3))


def test_other_files_are_no_folders(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"content")
    assert folders.find(tmp_path / "x.bin", made.request()) is None


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "A.NPZ", "a"])
@pytest.mark.parametrize("data", ["imagenet", "stl10", "celeba"])
def test_arrays_are_named_for_what_they_are(tmp_path, name, data):
    from mmdgan.data.preparation.prepare import prepare

    array = np.zeros((4, 8, 8), np.uint8)
    with (tmp_path / name).open("wb") as file:
        np.save(file, array) if name == "a.npy" else np.savez(file, x_train=array, y_train=np.arange(4))
    with pytest.raises(DataError, match=rf"{name} holds arrays, not pictures: prepare them as a data set of their own"):
        prepare(data, source=str(tmp_path / name), data_root=tmp_path / "Data", say=lambda text: None)
    own = prepare(f"folder:{tmp_path / name}", name="mine", data_root=tmp_path / "Data", say=lambda text: None)
    assert own.count == 4 and own.labels == (name != "a.npy")
