"""Tar and zip archives: what is dangerous or damaged in them is named."""

from __future__ import annotations

import pickle
import tarfile
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

from mmdgan.core.errors import DataError
from mmdgan.data.sources import containers, folders
from mmdgan.data.sources.archives import Tars, recognise
from tests.helpers import handmade, handmade_archives as made
from tests.helpers.handmade_archives import contents, faults


def test_a_slice_of_many_archives_holds_only_its_own(tmp_path):
    paths = [tmp_path / f"{number:03d}.tar" for number in range(200)]
    for number, path in enumerate(paths):
        path.write_bytes(made.tar_bytes({"1.png": b"%d" % number}))
    files = Tars.of(paths, [path.stem for path in paths]).listing().files
    part = files.slice(120, 122)
    assert list(part.read()) == [b"120", b"121"] and part.where(1) == f"{paths[121]}: 1.png"
    assert len(pickle.dumps(part)) < 1000 + len(pickle.dumps(paths[:2]))


def test_members_that_lead_elsewhere_are_faults(tmp_path):
    path = tmp_path / "x.tar"
    header = made.tar_header
    path.write_bytes(
        made.tar_bytes([("a.png", b"1"), ("../out.png", b"2"), ("/etc/x.png", b"3"), ("b/../../c", b"4")], b"")
        + made.tar_bytes([("./b//c.png", b"5"), ("a.png", b"6"), ("C:/d.png", b"7")], b"")
        + header("sym.png", kind=b"2", link="/etc/passwd")
        + header("hard.png", kind=b"1", link="a.png")
        + header("device", kind=b"3")
        + header("b", kind=b"5")
        + header("empty/", kind=b"5")
        + bytes(1024)
    )
    assert contents(path) == {"a.png": b"1", "b/c.png": b"5"}
    assert recognise(path).listing().empty == ("empty",)
    found = faults(path)
    assert list(found) == [
        "../out.png",
        "/etc/x.png",
        "b/../../c",
        "C:/d.png",
        "sym.png",
        "hard.png",
        "device",
        "a.png",
    ]
    assert found["../out.png"] == found["b/../../c"] == "points outside its archive"
    assert "absolute path" in found["/etc/x.png"] and "absolute path" in found["C:/d.png"]
    assert "link" in found["sym.png"] and "link" in found["hard.png"] and "device" in found["device"]
    assert found["a.png"] == "is there more than once"


def test_sizes_in_tars(tmp_path):
    """A pax header's size counts instead of the member's; that of links and folders says nothing."""
    path = tmp_path / "x.tar"
    record = b"12 size=700\n"
    path.write_bytes(
        made.tar_header("link.png", 5000, b"2", "a.png")
        + made.tar_header("folder", 5000, b"5")
        + made.tar_bytes({"a.png": b"1"}, b"")
        + made.tar_header("x", len(record), b"x")
        + record.ljust(512, b"\0")
        + made.tar_header("b.png", 0)
        + (b"2" * 700).ljust(1024, b"\0")
        + made.tar_bytes({"c.png": b"3"})
    )
    assert contents(path) == {"a.png": b"1", "b.png": b"2" * 700, "c.png": b"3"}
    with tarfile.open(path) as archive:
        assert archive.extractfile("b.png").read() == b"2" * 700


@pytest.mark.parametrize("nested", [False, True])
def test_every_truncation_of_a_tar_is_named(tmp_path, nested):
    path = tmp_path / "x.tar"
    members = {"a.png": b"1" * 700, "b.png": b"2"}
    content = made.tar_bytes({"in.tar": made.tar_bytes(members, bytes(512))}) if nested else made.tar_bytes(members)
    whole = len(content) - 512  # one block of zeros is end enough
    for length in range(0, whole, 128):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match="x.tar.* is truncated (after|in) .*download broke off"):
            Tars.of([path]).listing(inner=True)
    inner = made.tar_bytes(members, b"")
    path.write_bytes(made.tar_bytes({"in.tar": inner}))
    with pytest.raises(DataError, match="x.tar: in.tar is truncated after b.png"):
        Tars.of([path]).listing(inner=True)


def test_damaged_tars_are_named(tmp_path):
    path = tmp_path / "x.tar"
    content = made.tar_bytes({"a.png": b"1" * 700, "b.png": b"2"})

    def fault(data):
        path.write_bytes(data)
        with pytest.raises(DataError) as error:
            recognise(path).listing()
        return str(error.value)

    assert "faulty header at byte 1,536, after a.png" in fault(content[:1540] + b"x" + content[1541:])
    assert "faulty header at byte 0, after its beginning" in fault(b"x" + content[1:])
    assert "has 1,536 bytes after its end mark, which follows a.png" in fault(
        content[:1536] + bytes(512) + content[2048:]
    )
    assert "has 2,000,384 bytes after its end mark" in fault(content[:2560] + bytes(2_000_896))
    huge = made.tar_header("b.png", size_field=b"\x80" + (2**40).to_bytes(11, "big"))
    assert "is truncated in b.png, which should have 1,099,511,627,776 bytes" in fault(huge + bytes(1024))
    for field in (b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-0000000001\0", b"0o000000001\0", b"9" * 11 + b"\0"):
        assert "faulty header at byte 0" in fault(made.tar_header("b.png", size_field=field) + bytes(1024))
    assert "sparse" in fault(made.tar_header("b.png", kind=b"S") + bytes(1024))
    assert "has a name of 2,097,152 bytes" in fault(made.tar_header("n", 2**21, b"L") + bytes(2**21 + 1024))
    for record in (b"99 path=a\n", b"0 path=a\n", b"path=a\n", b"11 path=abc", b"x path=a\n"):
        data = made.tar_header("x", len(record), b"x") + record.ljust(512, b"\0")
        assert "faulty pax header after its beginning" in fault(data + content)
    path.write_bytes(bytes(10240))
    assert not contents(path)


def test_a_thousand_flips_in_a_tar_of_pngs(tmp_path):
    pictures = handmade.images(6, shape=(3, 8, 8))
    names = [f"class_{i % 2}/{i}.png" for i in range(6)]
    content = made.tar_bytes({name: made.encoded(p) for name, p in zip(names, pictures, strict=True)})
    originals = {name: picture.tobytes() for name, picture in zip(names, pictures, strict=True)}
    path, rng, outcomes = tmp_path / "x.tar", np.random.default_rng(1), {"same": 0, "item": 0, "archive": 0}
    for _ in range(1000):
        flipped = bytearray(content)
        flipped[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            source = folders.find(path, made.request())
            items = list(source.part(0, source.count).items())
        except DataError as error:
            assert "x.tar" in str(error)
            outcomes["archive"] += 1
            continue
        assert len(items) == 6
        results = [made.pixels_or_fault(item, (3, 8, 8)) for item in items]
        for item, result in zip(items, results, strict=True):
            name = item.name.removeprefix(f"{path}: ")
            assert item.name in result if isinstance(result, str) else result.tobytes() == originals[name]
        outcomes["item" if any(isinstance(result, str) for result in results) else "same"] += 1
    assert min(outcomes.values()) > 100, outcomes


def test_flips_in_a_zip_of_pngs(tmp_path):
    pictures = handmade.images(4, shape=(3, 8, 8))
    path = tmp_path / "x.zip"
    made.write_zip(path, {f"{i}.png": made.encoded(picture) for i, picture in enumerate(pictures)})
    content, rng, named = path.read_bytes(), np.random.default_rng(2), 0
    originals = {picture.tobytes() for picture in pictures}
    for _ in range(500):
        flipped = bytearray(content)
        flipped[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            source = folders.find(path, made.request())
            results, _ = made.read(source.part(0, source.count))
        except DataError as error:
            assert "x.zip" in str(error)
            results = [str(error)]
        assert all(isinstance(result, str) or result.tobytes() in originals for result in results)
        named += any(isinstance(result, str) for result in results)
    assert 250 < named < 500


def test_zip_bombs_are_named(tmp_path, monkeypatch):
    path, noise = tmp_path / "x.zip", bytes(range(256))
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(bytes(10**6)) + packer.flush()
    right = (10**6, zlib.crc32(bytes(10**6)), 8)
    first = made.zip_member(b"a.png", packed, *right, 0)
    at = len(first[0])
    second = made.zip_member(b"b.png", packed, 1000, right[1], 8, at)  # more than it claims
    third = made.zip_member(b"c.png", noise, 600 * 2**20, zlib.crc32(noise), 8, at + len(second[0]))
    path.write_bytes(made.zip_bytes([first, second, third]))
    found = contents(path)
    assert found["a.png"] == bytes(10**6)
    assert found["b.png"] == "has another size or checksum than its archive's directory says"
    assert found["c.png"] == "claims to hold 629,145,600 bytes, which is no image"
    path.write_bytes(made.zip_bytes([first, (b"", made.zip_member(b"b.png", packed, *right, 0)[1])]))
    assert list(contents(path)) == ["a.png"] and faults(path) == {"b.png": "shares its bytes with another member"}
    monkeypatch.setattr(containers, "MAX_BYTES", 999_999)
    assert contents(path)["a.png"] == "claims to hold 1,000,000 bytes, which is no image"


def test_zip_members_that_are_not_read_are_faults(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("bzip2.png", b"1", zipfile.ZIP_BZIP2)
        archive.writestr("..\\out.png", b"2")
        archive.writestr("b\\c.png", b"3")
        archive.writestr("empty/", b"")
    assert contents(path) == {"b/c.png": b"3"} and recognise(path).listing().empty == ("empty",)
    found = faults(path)
    assert "link" in found["link.png"] and "method 12" in found["bzip2.png"]
    assert found["../out.png"] == "points outside its archive"
    locked = made.zip_member(b"a.png", b"1", 1, zlib.crc32(b"1"), 0, 0, flags=1)
    path.write_bytes(made.zip_bytes([locked]))
    assert faults(path) == {"a.png": "is encrypted"}
    outside = made.zip_member(b"a.png", b"1", 1, zlib.crc32(b"1"), 0, 10**6)
    path.write_bytes(made.zip_bytes([outside]))
    assert faults(path) == {"a.png": "lies outside its archive"}


def test_zip_members_that_contradict_their_directory_are_named(tmp_path):
    path, crc = tmp_path / "x.zip", zlib.crc32(b"12")
    data, entry = made.zip_member(b"a.png", b"12", 2, crc, 0, 0)
    for content, reason in (
        (data.replace(b"12", b"13"), "has another size or checksum than its archive's directory says"),
        (data.replace(b"a.png", b"b.png"), "has another name in its header than in its archive's directory"),
        (data.replace(b"PK", b"KP"), "has no header where its archive's directory says"),
    ):
        path.write_bytes(made.zip_bytes([(content, entry)]))
        assert contents(path) == {"a.png": reason}


def test_a_zip_bomb_takes_no_more_memory_than_it_claims(tmp_path):
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(bytes(5 * 10**7)) + packer.flush()
    path = tmp_path / "x.zip"
    path.write_bytes(made.zip_bytes([made.zip_member(b"a.png", packed, 1000, 0, 8, 0)]))
    tracemalloc.start()
    try:
        assert contents(path)["a.png"].startswith("has another size")
        assert tracemalloc.get_traced_memory()[1] < 5 * 10**6
    finally:
        tracemalloc.stop()


def test_zips_of_many_members_have_another_directory(tmp_path):
    """More than 65,535 members make Python write Zip64."""
    path = made.write_zip(tmp_path / "x.zip", {f"{i}.png": b"" for i in range(65_600)}, zipfile.ZIP_STORED)
    files = recognise(path).listing().files
    assert len(files) == 65_600 and set(files.names) == {f"{i}.png" for i in range(65_600)}
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.png", "w", force_zip64=True) as stream:
        stream.write(b"1")
    assert contents(path) == {"a.png": b"1"}


def test_every_truncation_of_a_zip_is_named(tmp_path):
    path = made.write_zip(tmp_path / "x.zip", {"a.png": b"1" * 100, "b.png": b"2"})
    content = path.read_bytes()
    for broken in [content[:length] for length in range(len(content))] + [b"before" + content, content + b"after"]:
        path.write_bytes(broken)
        with pytest.raises(DataError, match="x.zip is not a sound zip archive"):
            recognise(path).listing()


@pytest.mark.parametrize(
    "start", [b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!"]
)
def test_compressed_archives_are_to_be_unpacked(tmp_path, start):
    path = tmp_path / "images.tar.x"
    path.write_bytes(start + bytes(600))
    with pytest.raises(DataError, match="images.tar.x is compressed by .*: unpack it first"):
        recognise(path)


@pytest.mark.slow
def test_a_listing_of_many_members_takes_seconds(tmp_path):
    """100,000 members, against Python's own reader."""
    path = tmp_path / "x.tar"
    path.write_bytes(made.tar_bytes({f"n{i % 10}/{i:06d}.png": b"%d" % i for i in range(100_000)}))
    files = recognise(path).listing().files
    with tarfile.open(path) as archive:
        assert sorted(files.names, key=lambda name: name[3:]) == archive.getnames()
    assert list(files.slice(50_000, 50_001).read()) == [b"5"]
    assert len(pickle.dumps(files.slice(50_000, 50_682))) < 50_000
