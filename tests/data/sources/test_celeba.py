"""CelebA in the layouts that its publisher, TensorFlow Datasets and Kaggle give it, with attributes as classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data import info
from mmdgan.data.sources import celeba
from mmdgan.data.sources.attributes import attribute_class, chosen_attributes, class_names
from mmdgan.data.sources.base import Request
from tests.helpers import handmade, handmade_archives as made

CELEBA = replace(info("celeba", "nowhere"), count=4)
SHAPE = (3, 218, 178)
PICTURES = handmade.images(4, shape=SHAPE)
NAMES = [f"{number:06d}.jpg" for number in range(1, 5)]
ATTRIBUTES = ["5_o_Clock_Shadow", "Male", "Smiling", "Young"]
VALUES = np.array([[-1, 1, 1, 1], [1, -1, -1, 1], [-1, 1, -1, -1], [-1, -1, 1, 1]])
TABLE = made.celeba_table(NAMES, VALUES, ATTRIBUTES)
# PNG content under the published names: Pillow goes by content, and no value is lost.
FILES = {name: made.encoded(picture, compress_level=0) for name, picture in zip(NAMES, PICTURES, strict=True)}


def wanted(**more):
    return Request(CELEBA, **more)


def found(path, **more):
    source = celeba.find(path, wanted(**more))
    return (source, *made.read(source.part(0, source.count), SHAPE))


@pytest.fixture(params=["zip", "folder around", "folder", "png", "Img", "kaggle"])
def layout(request, tmp_path):
    """(what a person names, where the table goes)"""
    if request.param == "zip":
        return made.write_zip(
            tmp_path / "img_align_celeba.zip", {f"img_align_celeba/{n}": d for n, d in FILES.items()}
        ), ""
    if request.param == "Img":
        (tmp_path / "Img").mkdir()
        made.write_zip(tmp_path / "Img" / "img_align_celeba.zip", FILES)
        made.write_files(tmp_path, {"Img/img_celeba/in_the_wild.jpg": b"other"})
        return tmp_path, "Anno/"
    if request.param == "kaggle":
        made.write_files(tmp_path / "img_align_celeba" / "img_align_celeba", FILES)
        return tmp_path, ""
    if request.param == "png":
        files = {name.replace("jpg", "png"): data for name, data in FILES.items()}
        return made.write_files(tmp_path / "img_align_celeba_png", files), ""
    folder = made.write_files(tmp_path / "img_align_celeba", FILES)
    return (folder if request.param == "folder" else tmp_path), ""


def test_every_layout(layout, tmp_path):
    path, place = layout
    made.write_files(tmp_path, {f"{place}list_attr_celeba.txt": TABLE.encode()})
    for labels in ("auto", "none"):
        source, images, classes = found(path, labels=labels)
        assert np.array_equal(images, PICTURES) and classes == [None] * 4 and source.class_names == ()
    assert source.size == (178, 218) and not source.note and "CelebA" in source.origin.kind
    source, images, classes = found(path, labels="source")
    assert np.array_equal(images, PICTURES) and classes == [1, 0, 1, 0]
    assert source.class_names == ("not Male", "Male")
    second, labels = made.read(source.part(1, 3), SHAPE)
    assert np.array_equal(second, PICTURES[1:3]) and labels == [0, 1]


def test_several_attributes(tmp_path):
    path = made.write_files(tmp_path / "img_align_celeba", FILES)
    (tmp_path / "list_attr_celeba.txt").write_text(TABLE)
    source, _, classes = found(path, labels="source", attributes=("male", "Smiling"))
    assert source.class_names == (
        "not Male, not Smiling",
        "not Male, Smiling",
        "Male, not Smiling",
        "Male, Smiling",
    )
    bits = VALUES[:, 1:3] > 0
    assert classes == (2 * bits[:, 0] + bits[:, 1]).tolist() == [3, 0, 2, 1]
    source, _, classes = found(path, labels="source", attributes=("5 o clock shadow",))
    assert classes == [0, 1, 0, 0] and source.class_names[1] == "5_o_Clock_Shadow"


def test_the_table_of_kaggle(tmp_path):
    path = made.write_files(tmp_path / "img_align_celeba", FILES)
    rows = [",".join([name, *map(str, row)]) for name, row in zip(NAMES, VALUES, strict=True)]
    text = "\n".join([",".join(["image_id", *ATTRIBUTES]), *rows]) + "\n"
    for change in (text, text.replace("\n", "\r\n"), text.replace(",", ";"), text.replace(",", "\t")):
        for encoding in ("utf-8", "utf-8-sig", "utf-16"):
            (tmp_path / "list_attr_celeba.csv").write_bytes(change.encode(encoding))
            assert found(path, labels="source", attributes=("Young",))[2] == [1, 1, 0, 1]
    (tmp_path / "list_attr_celeba.csv").unlink()
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "list_attr_celeba.txt").write_bytes(TABLE.replace("\n", "\r\n").encode(encoding))
        assert found(path, labels="source", attributes=("Young",))[2] == [1, 1, 0, 1]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (("Smilling",), "has no attribute 'Smilling' .did you mean Smiling"),
        (("Zorro",), "has no attribute 'Zorro'; it has 5_o_Clock_Shadow, Male, Smiling, Young"),
        (("Male", "male"), "attributes Male, Male cannot make classes: name at most 8, each once"),
    ],
)
def test_attributes_that_make_no_classes(attributes, message):
    with pytest.raises(DataError, match=message):
        chosen_attributes(attributes, ATTRIBUTES)
    many = [f"a{number}" for number in range(9)]
    with pytest.raises(DataError, match="at most 8"):
        chosen_attributes(many, many)


def test_class_names_are_in_the_order_of_their_numbers():
    for values in np.ndindex(2, 2, 2):
        name = class_names(("a", "b", "c"))[attribute_class(values)]
        assert name == ", ".join(word if value else f"not {word}" for word, value in zip("abc", values, strict=True))


def test_images_and_table_must_fit(tmp_path):
    path = made.write_files(tmp_path / "img_align_celeba", {**FILES, "000009.jpg": FILES[NAMES[0]]})
    with pytest.raises(DataError, match="attributes are missing: put list_attr_celeba.txt in .*celeba or next to it"):
        found(path, labels="source")
    table = tmp_path / "list_attr_celeba.txt"
    table.write_text(TABLE)
    source, images, classes = found(path, labels="source")
    assert images[0] == f"{path}/000009.jpg has no row in list_attr_celeba.txt" and classes == [None, 1, 0, 1, 0]
    assert np.array_equal(images[1:], PICTURES)
    table.write_text(TABLE.replace("0000", "1000"))
    with pytest.raises(DataError, match="has a row for none of the images"):
        found(path, labels="source")
    made.write_files(path, {"png/000001.png": b""})
    with pytest.raises(DataError, match=r"holds the image 000001 twice \(000001.jpg and png/000001.png\)"):
        found(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("4\n", "5\n", 1), "holds 4 rows where it says 5"),
        (lambda text: text[:-10], "Line 6 of .* is not one image with 4 attributes of 1 or -1"),
        (lambda text: text.replace("000003.jpg -1  1", "000003.jpg -1  2"), "Line 5 of .* is not one image"),
        (lambda text: text.replace("000003", "000001"), "Line 5 of .* is not one image"),
        (lambda text: text.partition("\n")[2], "does not begin as CelebA's table"),
        (lambda text: "", "does not begin as CelebA's table"),
    ],
)
def test_faulty_tables_are_named(tmp_path, change, message):
    table = tmp_path / "list_attr_celeba.txt"
    table.write_text(change(TABLE))
    with pytest.raises(DataError, match=message):
        celeba.read_attributes(table, ())


def test_what_is_no_celeba(tmp_path):
    assert celeba.find(tmp_path, wanted()) is None
    path = made.write_files(tmp_path / "img_align_celeba", FILES)
    with pytest.raises(DataError, match="has no split test"):
        found(path, split="test")
    (path / NAMES[0]).unlink()
    assert found(path)[0].note == "3 images where 4 were published"
