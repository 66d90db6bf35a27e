"""Records, CIFAR files and images made byte by byte, without the library under test."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

SHAPE = (3, 32, 32)
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
CIFAR_NAMES = ("\n".join(CLASSES) + "\n\n").encode()


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def masked_crc32c(data: bytes) -> int:
    """The checksum of the TFRecord format: CRC-32C (RFC 3720), rotated by 15 bits, plus a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def framed(data: bytes) -> bytes:
    """One record of a TFRecord file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


def unframed(content: bytes) -> list[bytes]:
    """The records of a TFRecord file, every checksum verified."""
    records, position = [], 0
    while position < len(content):
        (size,) = struct.unpack_from("<Q", content, position)
        data = content[position + 12 : position + 12 + size]
        assert content[position : position + 16 + size] == framed(data)
        records.append(data)
        position += 16 + size
    return records


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def feature(name: str, value: bytes | int) -> bytes:
    """One entry of an Example's map: a bytes feature or an int64 feature of one value."""
    if isinstance(value, int):
        kind = _field(3, _field(1, _varint(value)))
    else:
        kind = _field(1, _field(1, value))
    return _field(1, _field(1, name.encode()) + _field(2, kind))


def example(*entries: bytes) -> bytes:
    """A tf.train.Example of these features."""
    return _field(1, b"".join(entries))


def images(count: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Random images uint8 (count, C, H, W)."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def record_file(path: Path, pictures: np.ndarray, labels=None) -> Path:
    """A file of records as the original writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as stream:
        for i, picture in enumerate(pictures):
            entries = [feature("x", picture.tobytes())]
            if labels is not None:
                entries.insert(i % 2, feature("y", int(labels[i])))  # a map has no order
            stream.write(framed(example(*entries)))
    return path


def cifar_batches(pictures: np.ndarray, labels) -> list[bytes]:
    """The five files of CIFAR-10's official binary version."""
    parts = np.array_split(np.arange(len(pictures)), 5)
    return [b"".join(bytes([int(labels[i])]) + pictures[i].tobytes() for i in part) for part in parts]


def cifar_folder(folder: Path, pictures: np.ndarray, labels, pattern: str = "data_batch_{}.bin") -> Path:
    """CIFAR-10's official binary version: five files, and the names of the classes with a blank last line."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, batch in enumerate(cifar_batches(pictures, labels), 1):
        (folder / pattern.format(k)).write_bytes(batch)
    (folder / "batches.meta.txt").write_bytes(CIFAR_NAMES)
    return folder


def class_folders(folder: Path, pictures: np.ndarray, labels, extension: str = "png") -> Path:
    """One folder of images per class, named as CIFAR-10's classes are."""
    from PIL import Image

    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        image = Image.fromarray(picture.transpose(1, 2, 0))
        image.save(folder / CLASSES[int(label)] / f"{i:04d}{'ba'[i // 10 % 2]}.{extension}")
    return folder
