"""LSUN's bedrooms as the database that is published and as exported images."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data import info
from mmdgan.data.sources import lsun
from mmdgan.data.sources.base import Request
from tests.helpers import handmade, handmade_archives as made

LSUN = replace(info("lsun", "nowhere"), count=5)
PICTURES = handmade.images(5, shape=(3, 8, 8))
KEYS = sorted(f"{number:040x}" for number in (16**39, 5, 16**20, 3 * 16**39, 7 * 16**38))
IMAGES = [made.encoded(picture, "webp", lossless=True) for picture in PICTURES]


def found(path, **wanted):
    source = lsun.find(path, Request(LSUN, **wanted))
    return (source, *made.read(source.part(0, source.count)))


@pytest.mark.parametrize("named", ["bedroom_train_lmdb", "", "bedroom_train_lmdb/data.mdb"])
def test_the_published_database(tmp_path, named):
    made.write_lmdb(tmp_path / "bedroom_train_lmdb", dict(zip(KEYS, IMAGES, strict=True)))
    source, images, labels = found(tmp_path / named)
    assert np.array_equal(images, PICTURES) and labels == [None] * 5 and source.class_names == ()
    assert source.origin.kind == "LMDB database" and not source.note
    part = source.part(2, 4)
    assert np.array_equal(made.read(part)[0], PICTURES[2:4])
    assert [item.name[-40:] for item in part.items()] == KEYS[2:4]
    os.utime(tmp_path / "bedroom_train_lmdb" / "data.mdb", ns=(1, 1))
    with pytest.raises(DataError, match="has changed since it was listed"):
        list(part.items())


def test_the_database_of_the_other_split(tmp_path):
    made.write_lmdb(tmp_path / "bedroom_val_lmdb", dict(zip(KEYS, IMAGES, strict=True)))
    assert found(tmp_path, split="validation")[0].count == 5
    with pytest.raises(DataError, match="bedroom_val_lmdb/data.mdb is not LSUN's split train"):
        found(tmp_path / "bedroom_val_lmdb")


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
@pytest.mark.parametrize("nested", [False, True])
def test_exported_images(tmp_path, form, nested):
    names = [f"{'/'.join(key[:3])}/{key}.webp" if nested else f"{key}.webp" for key in KEYS]
    write = {"folder": made.write_files, "zip": made.write_zip, "tar": made.write_tar}[form]
    source, images, labels = found(write(tmp_path / f"x.{form}", dict(zip(names, IMAGES, strict=True))))
    assert np.array_equal(images, PICTURES) and labels == [None] * 5 and source.class_names == ()


def test_what_is_no_source_of_bedrooms(tmp_path):
    assert lsun.find(tmp_path, Request(LSUN)) is None
    path = made.write_zip(tmp_path / "bedroom_train_lmdb.zip", {"bedroom_train_lmdb/data.mdb": b""})
    with pytest.raises(DataError, match="holds the database bedroom_train_lmdb/data.mdb: unpack it first"):
        found(path)
    with pytest.raises(DataError, match="have no labels"):
        found(tmp_path, labels="source")
