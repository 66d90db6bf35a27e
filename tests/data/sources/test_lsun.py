"""LSUN's bedrooms as the database that is published and as exported images."""

from __future__ import annotations

import os
import pickle
import struct
from dataclasses import replace

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data import info
from mmdgan.data.sources import lsun
from mmdgan.data.sources.base import Request
from mmdgan.data.sources.lsun import Lmdb
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


def test_exported_images_of_two_splits(tmp_path):
    names = [f"{'train' if number < 3 else 'val'}/{key}.webp" for number, key in enumerate(KEYS)]
    path = made.write_files(tmp_path, dict(zip(names, IMAGES, strict=True)) | {"train/1.heic": b"1"})
    source, images, _ = found(path)
    assert np.array_equal(images, PICTURES[:3]) and "1.heic" in source.note
    assert np.array_equal(found(path, split="val")[1], PICTURES[3:])


def test_what_is_no_source_of_bedrooms(tmp_path):
    assert lsun.find(tmp_path, Request(LSUN)) is None
    path = made.write_zip(tmp_path / "bedroom_train_lmdb.zip", {"bedroom_train_lmdb/data.mdb": b""})
    with pytest.raises(DataError, match="holds the database bedroom_train_lmdb/data.mdb: unpack it first"):
        found(path)
    with pytest.raises(DataError, match="have no labels"):
        found(tmp_path, labels="source")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """(folder, values): three levels of pages; values inside pages and beside them, some removed and rewritten."""
    lmdb = pytest.importorskip("lmdb")
    rng = np.random.default_rng(4)
    values = {rng.bytes(20).hex(): rng.bytes(int(rng.integers(0, 7000))) for _ in range(2500)}
    folder = made.write_lmdb(tmp_path_factory.mktemp("lmdb") / "x", values)
    with lmdb.open(str(folder), map_size=2**30) as environment, environment.begin(write=True) as transaction:
        for key in list(values)[::7]:
            transaction.delete(key.encode())
            del values[key]
        for key in list(values)[::5]:
            values[key] = rng.bytes(9000)
            transaction.put(key.encode(), values[key])
    return folder, values


def test_every_value_in_the_order_of_the_keys(database):
    folder, values = database
    listed = Lmdb.of(folder / "data.mdb")
    pairs = sorted(values.items())
    assert len(listed) == len(pairs)
    for start, stop in ((0, len(pairs)), (0, 1), (700, 1000), (len(pairs) - 1, len(pairs)), (5, 5)):
        part = pickle.loads(pickle.dumps(listed.part(start, stop)))
        items = [(item.name.rpartition(": ")[2], item.encoded) for item in part.items()]
        assert items == pairs[start:stop] and len(part) == stop - start
    assert len(pickle.dumps(listed.part(100, 130))) < 1000
    assert listed.part(0, 5).state() != listed.part(0, 6).state() == listed.part(0, 6).state()


def test_an_empty_database(tmp_path):
    assert len(Lmdb.of(made.write_lmdb(tmp_path / "x", {}) / "data.mdb")) == 0


def test_truncated_databases_are_named(tmp_path, database):
    content = (database[0] / "data.mdb").read_bytes()
    path = tmp_path / "data.mdb"
    for length in (0, 100, 4096, 8192, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match="data.mdb is not a sound LMDB database .* get it again"):
            Lmdb.of(path)
    for number in (2**63, 2**52, 10**6):  # the page that the tree begins with
        changed = bytearray(content)
        changed[128:136] = changed[4096 + 128 : 4096 + 136] = number.to_bytes(8, "little")
        path.write_bytes(changed)
        with pytest.raises(DataError, match="data.mdb is not a sound LMDB database"):
            Lmdb.of(path)
    path.write_bytes(b"text" * 5000)
    with pytest.raises(DataError, match="does not begin as one of format 1 does"):
        Lmdb.of(path)


def test_damaged_pages_are_named(tmp_path, database):
    content, path = (database[0] / "data.mdb").read_bytes(), tmp_path / "data.mdb"
    page = 4096 * int(Lmdb.of(database[0] / "data.mdb").leaves[7])
    first, second = struct.unpack_from("<2H", content, page + 16)
    for at, value, message in (
        (page + 16, struct.pack("<2H", second, first), "has keys that are not in order"),
        (page + 18, struct.pack("<H", first), "has nodes that are not side by side"),
        (page + first + 6, struct.pack("<H", 38), "has nodes that"),  # a key of 38 letters
        (page + 10, b"\1", "is not the page [0-9]+ that it should be"),
    ):
        path.write_bytes(content[:at] + value + content[at + len(value) :])
        with pytest.raises(DataError, match=f"data.mdb.*{message}"):
            list(Lmdb.of(path).part(0, 2000).items())


def test_flips_in_a_database(tmp_path, database):
    """In the headers and the nodes' addresses of pages with keys: named, or without effect on any value."""
    folder, values = database
    content = (folder / "data.mdb").read_bytes()
    path, rng, named = tmp_path / "data.mdb", np.random.default_rng(5), 0
    expected = [value for _, value in sorted(values.items())]
    pages = Lmdb.of(folder / "data.mdb").leaves * 4096
    for _ in range(60):
        flipped = bytearray(content)
        flipped[pages[rng.integers(len(pages))] + rng.integers(22)] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            listed = Lmdb.of(path)
            items = list(listed.part(0, len(listed)).items())
        except DataError as error:
            assert "data.mdb" in str(error)
            named += 1
            continue
        assert all(item.fault or item.encoded == value for item, value in zip(items, expected, strict=True))
        named += any(item.fault for item in items)
    assert 30 < named < 60
