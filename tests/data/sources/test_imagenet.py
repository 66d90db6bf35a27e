"""ImageNet's archives as they are published, and every form of the validation images' classes."""

from __future__ import annotations

import gzip
import pickle
from dataclasses import replace

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data import info, sources
from mmdgan.data.sources import imagenet
from mmdgan.data.sources.base import Request
from mmdgan.data.sources.imagenet import read_mapping
from tests.helpers import handmade, handmade_archives as made

IMAGENET = replace(info("imagenet", "nowhere"), num_class=3, count=6)
PICTURES = handmade.images(6, shape=(3, 8, 8))
IDS = ["n01440764", "n01443537", "n02105855"]
ENCODED = [made.encoded(picture) for picture in PICTURES]
BY_CLASS = {
    wnid: {f"{wnid}_{number}.JPEG": ENCODED[2 * k + i] for i, number in enumerate((10, 7))}
    for k, wnid in enumerate(IDS)
}
# Names are sorted as text: _10 before _7.
VALIDATION = {f"ILSVRC2012_val_{number:08d}.JPEG": data for number, data in enumerate(ENCODED, 1)}
CLASSES = [IDS[k] for k in (2, 0, 1, 0, 2, 1)]
NUMBERS = [2, 0, 1, 0, 2, 1]


def found(path, **wanted):
    source = imagenet.find(path, Request(IMAGENET, **wanted))
    return (source, *made.read(source.part(0, source.count)))


def inner_archives(classes=BY_CLASS):
    """The archives of the classes, not in their order."""
    return {f"{wnid}.tar": made.tar_bytes(files) for wnid, files in reversed(classes.items())}


@pytest.fixture(params=["tar of tars", "around", "folder of tars"])
def training(request, tmp_path):
    if request.param == "folder of tars":
        return made.write_files(tmp_path / "train", inner_archives())
    path = tmp_path / "ILSVRC2012_img_train.tar"
    path.write_bytes(made.tar_bytes(inner_archives()))
    return path if request.param == "tar of tars" else tmp_path


def test_training_archives(training):
    source, images, labels = found(training)
    assert np.array_equal(images, PICTURES) and labels == [0, 0, 1, 1, 2, 2]
    assert source.class_names == tuple(IDS) and not source.note and source.origin.files == 6
    part = pickle.loads(pickle.dumps(source.part(3, 5)))
    images, labels = made.read(part)
    assert np.array_equal(images, PICTURES[3:5]) and labels == [1, 2]
    assert next(part.items()).name.endswith(f"{IDS[1]}_7.JPEG") and f"{IDS[1]}" in next(part.items()).name
    source, images, labels = found(training, labels="none")
    assert np.array_equal(images, PICTURES) and labels == [None] * 6 and source.class_names == ()


def test_faulty_training_archives_are_named(tmp_path):
    path = tmp_path / "train.tar"
    two = {wnid: BY_CLASS[wnid] for wnid in IDS[:2]}
    path.write_bytes(made.tar_bytes(inner_archives(two)))
    with pytest.raises(DataError, match="holds the archives of 2 classes where 3 are expected: it is incomplete"):
        found(path)
    path.write_bytes(made.tar_bytes(inner_archives({**two, IDS[2]: {}})))
    with pytest.raises(DataError, match=f"{IDS[2]}.tar holds no images"):
        found(path)
    path.write_bytes(made.tar_bytes({**inner_archives(), "readme.txt": b""}))
    with pytest.raises(DataError, match="holds readme.txt among the archives of the classes"):
        found(path)
    archives = inner_archives()
    archives[f"{IDS[1]}.tar"] = archives[f"{IDS[1]}.tar"][:-1024]
    path.write_bytes(made.tar_bytes(archives))
    with pytest.raises(DataError, match=f"train.tar: {IDS[1]}.tar is truncated after {IDS[1]}_7.JPEG"):
        found(path)
    folder = made.write_files(tmp_path / "folder", archives)
    with pytest.raises(DataError, match=f"folder/{IDS[1]}.tar is truncated"):
        found(folder)
    outside = {**BY_CLASS, IDS[0]: {**BY_CLASS[IDS[0]], "../x.JPEG": b""}}
    path.write_bytes(made.tar_bytes(inner_archives(outside)))
    assert "points outside its archive" in found(path)[1][0]


def test_the_archives_of_the_other_split_are_told_apart(tmp_path):
    validation = made.write_tar(tmp_path / "b.tar", VALIDATION)
    with pytest.raises(DataError, match="b.tar holds ImageNet's validation images: ask .* --split validation"):
        found(validation)
    training = made.write_tar(tmp_path / "a.tar", inner_archives())
    with pytest.raises(DataError, match="a.tar holds the archives of ImageNet's training images: .* --split train"):
        found(training, split="validation")


def test_class_folders_are_found_too(tmp_path):
    files = {f"train/{wnid}/{name}": data for wnid, files in BY_CLASS.items() for name, data in files.items()}
    path = made.write_files(tmp_path / "x", files)
    assert imagenet.find(path, Request(IMAGENET)) is None
    source = sources.find(path, Request(IMAGENET))
    assert source.class_names == tuple(IDS) and np.array_equal(made.read(source.part(0, 6))[0], PICTURES)
    source = sources.find(made.write_tar(tmp_path / "x.tar", files), Request(IMAGENET))
    assert np.array_equal(made.read(source.part(0, 6))[0], PICTURES)


def lines(pattern, header=""):
    pairs = zip(VALIDATION, CLASSES, strict=True)
    return header + "".join(pattern.format(name, name[:-5], wnid) + "\n" for name, wnid in reversed(list(pairs)))


FORMS = {
    "names": lines("{0} {2}"),
    "tabs": lines("val/{0}\t{2}"),
    "kaggle": lines("{1},{2} 85 1 499 272 n09999999 1 2 3 4", "ImageId,PredictionString\n"),
    "script": lines("mv {0} {2}/", "#!/bin/bash\nmkdir -p n01440764\n\n"),
    "order": "\n".join(CLASSES),
    "pickle": dict(zip(VALIDATION, CLASSES, strict=True)),
    "tuple": (list(IDS), list(zip(VALIDATION, CLASSES, strict=True))),
}


def write_mapping(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else gzip.compress(pickle.dumps(content, 2)))
    return path


@pytest.fixture(params=["tar", "around", "folder", "flat"])
def validation(request, tmp_path):
    if request.param in ("tar", "around"):
        path = made.write_tar(tmp_path / "ILSVRC2012_img_val.tar", VALIDATION)
        return path if request.param == "tar" else tmp_path
    folder = made.write_files(tmp_path / "x" / "val", VALIDATION)
    return folder.parent if request.param == "folder" else folder


@pytest.mark.parametrize("form", FORMS)
def test_validation_images(validation, tmp_path_factory, form):
    mapping = write_mapping(tmp_path_factory.mktemp("mapping") / "mapping", FORMS[form])
    for split in ("validation", "val"):
        source, images, labels = found(validation, split=split, mapping=mapping)
        assert np.array_equal(images, PICTURES) and labels == NUMBERS
        assert source.class_names == tuple(IDS)


@pytest.mark.parametrize("form", [name for name, content in FORMS.items() if isinstance(content, str)])
def test_mappings_in_the_encodings_of_other_programs(tmp_path, form):
    path = made.write_tar(tmp_path / "ILSVRC2012_img_val.tar", VALIDATION)
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le"):
        (tmp_path / "mapping").write_bytes(FORMS[form].replace("\n", "\r\n").encode(encoding))
        assert found(path, split="validation", mapping=tmp_path / "mapping")[2] == NUMBERS


def test_validation_images_without_mapping(validation):
    source, images, labels = found(validation, split="validation")
    assert np.array_equal(images, PICTURES) and labels == [None] * 6 and "--mapping" in source.note
    assert not found(validation, split="validation", labels="none")[0].note
    with pytest.raises(DataError, match="does not say the classes .*: name the file that does with --mapping FILE"):
        found(validation, split="validation", labels="source")


def test_images_that_only_one_of_the_two_has(tmp_path):
    path = made.write_tar(tmp_path / "ILSVRC2012_img_val.tar", VALIDATION)
    pairs = list(zip(VALIDATION, CLASSES, strict=True))[1:] + [("ILSVRC2012_val_00000099.JPEG", IDS[0])]
    mapping = write_mapping(tmp_path / "mapping", "\n".join(" ".join(pair) for pair in pairs))
    _, images, labels = found(path, split="validation", mapping=mapping)
    assert images[0] == f"{path}: ILSVRC2012_val_00000001.JPEG has no class in {mapping}"
    assert images[1] == f"{path}: ILSVRC2012_val_00000099 is missing, but has a class in {mapping}"
    assert np.array_equal(images[2:], PICTURES[1:]) and labels[2:] == NUMBERS[1:]
    write_mapping(mapping, "\n".join(f"other_{i}.JPEG {wnid}" for i, wnid in enumerate(CLASSES)))
    with pytest.raises(DataError, match="names none of the images in"):
        found(path, split="validation", mapping=mapping)
    write_mapping(mapping, "\n".join(f"{name} {IDS[0]}" for name in VALIDATION))
    with pytest.raises(DataError, match="names 1 classes where 3 are expected"):
        found(path, split="validation", mapping=mapping)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.JPEG n01440764\nb.JPEG\n", "Line 2 of .* is not an image and its class"),
        ("a.JPEG n01440764\nb.JPEG 5\n", "Line 2 of .* is not an image and its class"),
        ("n01440764\ncat\n", "Line 2 of .* is not a class such as n01751748"),
        ("1\n2\n", "holds numbers, whose classes only ImageNet's development kit says"),
        ("n01440764\n", "holds 1 classes in order where there are 2 images"),
        ("a.JPEG n01440764\nx/a.JPEG n01443537", "Entry 2 of .* gives a a second class, n01443537"),
        ("", "is empty"),
        ("mv a.JPEG\n", "Line 1 of"),
    ],
)
def test_faulty_mappings_are_named(tmp_path, content, message):
    path = tmp_path / "mapping"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_mapping(path, ["a", "b"])
    with pytest.raises(DataError, match="mapping missing cannot be read"):
        read_mapping(type(path)("missing"), ["a"])
