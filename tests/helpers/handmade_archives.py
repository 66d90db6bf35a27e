"""Archives and tables in the layouts that are published, made byte by byte or by Python's own writers."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdgan.data.catalog import DataInfo
from mmdgan.data.preparation.geometry import BrokenImage, Geometry, load_image
from mmdgan.data.sources.archives import recognise
from mmdgan.data.sources.base import Item, Part, Request

AS_THEY_ARE = Geometry()


def encoded(picture: np.ndarray, form: str = "png", **options) -> bytes:
    """An image uint8 (C, H, W) as a file; PNG and lossless WebP keep every value."""
    stream = io.BytesIO()
    Image.fromarray(picture.transpose(1, 2, 0)).save(stream, form, **options)
    return stream.getvalue()


def tar_header(name: str, size: int = 0, kind: bytes = b"0", link: str = "", size_field: bytes = b"") -> bytes:
    """A member's header as POSIX.1-1988 says; `size_field` replaces the octal size."""
    header = bytearray(512)
    header[: len(name)] = name.encode()
    header[100:108] = b"0000644\0"
    header[108:124] = b"0000000\0" * 2
    header[124:136] = size_field or b"%011o\0" % size
    header[136:148] = b"00000000000\0"
    header[148:156] = b" " * 8
    header[156:157] = kind
    header[157 : 157 + len(link)] = link.encode()
    header[257:265] = b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def tar_bytes(members: Mapping[str, bytes] | Sequence[tuple[str, bytes]], end: bytes = bytes(1024)) -> bytes:
    """A tar archive of files."""
    pairs = members.items() if isinstance(members, Mapping) else members
    return b"".join(tar_header(name, len(data)) + data + bytes(-len(data) % 512) for name, data in pairs) + end


def write_tar(path: Path, members: Mapping[str, bytes], form: int = tarfile.GNU_FORMAT) -> Path:
    """A tar archive by Python's writer."""
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip archive by Python's writer."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def write_files(folder: Path, members: Mapping[str, bytes]) -> Path:
    """The files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zip_member(name: bytes, data: bytes, size: int, crc: int, method: int, offset: int, flags: int = 0):
    """(local header with data, entry of the central directory) of a zip archive, whatever they claim."""
    fields = struct.pack("<5H3L2H", 20, flags, method, 0, 0, crc, len(data), size, len(name), 0)
    entry = b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<3H2L", 0, 0, 0, 0, offset)
    return b"PK\3\4" + fields + name + data, entry + name


def zip_bytes(members: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A zip archive of `zip_member`s."""
    data, entries = (b"".join(part) for part in zip(*members, strict=True))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(members), len(members), len(entries), len(data), 0)
    return data + entries + end


def contents(path: Path) -> dict[str, bytes | str]:
    """{name: content or reason} of a container, in its order."""
    files = recognise(path).listing().files
    found = [content if isinstance(content, bytes) else str(content) for content in files.read()]
    return dict(zip(files.names, found, strict=True))


def faults(path: Path) -> dict[str, str]:
    """{name: reason} of what cannot be read."""
    return dict(recognise(path).listing().faults)


def request(name: str = "mine", num_class: int = 0, **wanted) -> Request:
    """What is wanted of a person's own images, or of a data set with so many classes."""
    return Request(DataInfo(name, (3, 8, 8), num_class), **wanted)


def read(part: Part, shape: tuple[int, int, int] = (3, 8, 8)) -> tuple[list[np.ndarray | str], list[int | None]]:
    """Each image of a part as pixels, or "NAME REASON"; and the labels."""
    items = list(part.items())
    assert len(items) == len(part)
    return [pixels_or_fault(item, shape) for item in items], [item.label for item in items]


def pixels_or_fault(item: Item, shape: tuple[int, int, int]) -> np.ndarray | str:
    """What becomes of an item in a conversion."""
    try:
        return load_image(item, AS_THEY_ARE, shape)
    except BrokenImage as fault:
        return f"{item.name} {fault.reason}"


def write_lmdb(folder: Path, values: Mapping[str, bytes]) -> Path:
    """An LMDB database by its own library, in a folder as LSUN's."""
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(folder), map_size=2**30) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
    return folder


def celeba_table(names: Sequence[str], values: np.ndarray, attributes: Sequence[str]) -> str:
    """list_attr_celeba.txt as published: values (n, k) of 1 and -1, in columns of three characters."""
    rows = [f"{name} {' '.join(f'{value:2d}' for value in row)}" for name, row in zip(names, values, strict=True)]
    return "\n".join([str(len(names)), " ".join(attributes) + " ", *rows]) + "\n"
