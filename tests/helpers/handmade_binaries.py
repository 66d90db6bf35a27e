"""Official files made byte by byte, without the library under test: pickled batches, STL-10's, IDX, archives."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np

from tests.helpers.handmade import CIFAR_NAMES, CLASSES, cifar_batches
from tests.helpers.handmade_archives import write_files as folder

__all__ = ["folder"]


def _text(content: bytes) -> bytes:
    """A short str of Python 2."""
    return b"U" + bytes([len(content)]) + content


def python2_batch(pictures: np.ndarray, labels) -> bytes:
    """A batch of CIFAR-10's Python version, as Python 2 and its NumPy write it with protocol 2.

    Args:
        pictures: uint8 (n, 3, 32, 32), n below 65,536.
        labels: n numbers below 256.
    """
    count, content = struct.pack("<H", len(pictures)), pictures.tobytes()
    head = b"\x80\x02}q\x01(" + _text(b"batch_label") + b"q\x02" + _text(b"training batch 1 of 5") + b"q\x03"
    head += _text(b"labels") + b"q\x04]q\x05(" + b"".join(b"K" + bytes([int(label)]) for label in labels) + b"e"
    array = _text(b"data") + b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\t"
    array += _text(b"b") + b"\x87Rq\n(K\x01M" + count + b"M\x00\x0c\x86cnumpy\ndtype\nq\x0b" + _text(b"u1")
    array += b"K\x00K\x01\x87Rq\x0c(K\x03" + _text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    array += b"T" + struct.pack("<I", len(content)) + content + b"tb"
    names = _text(b"filenames") + b"q\r]q\x0e(" + _text(b"leptodactylus_s_000004.png") * len(pictures) + b"e"
    return head + array + names + b"u."


def python2_names() -> bytes:
    """batches.meta of CIFAR-10's Python version, byte for byte (its published MD5 is that of this)."""
    content = (
        b"\x80\x02}q\x01(" + _text(b"num_cases_per_batch") + b"q\x02M\x10'" + _text(b"label_names") + b"q\x03]q\x04("
    )
    for number, name in enumerate(CLASSES, 5):
        content += _text(name.encode()) + b"q" + bytes([number])
    return content + b"e" + _text(b"num_vis") + b"q\x0fM\x00\x0cu."


def cifar_python(pictures: np.ndarray, labels, tests: int = 3) -> dict[str, bytes]:
    """The files of the Python version: five batches, and a test batch of the first pictures."""
    parts = np.array_split(np.arange(len(pictures)), 5)
    files = {f"data_batch_{k}": python2_batch(pictures[part], labels[part]) for k, part in enumerate(parts, 1)}
    files["test_batch"] = python2_batch(pictures[:tests], labels[:tests])
    return {**files, "batches.meta": python2_names(), "readme.html": b"<html>"}


def cifar_binary(pictures: np.ndarray, labels, tests: int = 3) -> dict[str, bytes]:
    """The files of the binary version: five batches, and a test batch of the first pictures."""
    files = {f"data_batch_{k}.bin": batch for k, batch in enumerate(cifar_batches(pictures, labels), 1)}
    files["test_batch.bin"] = b"".join(cifar_batches(pictures[:tests], labels[:tests]))
    return {**files, "batches.meta.txt": CIFAR_NAMES, "readme.html": b"<html>"}


def tar(files: dict[str, bytes], around: str = "", gz: bool = True, form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar or tar.gz: a folder, a hard link, and these files, in disorder as in the official Python version."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        entry = tarfile.TarInfo(around or "all")
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
        link = tarfile.TarInfo("latest")
        link.type, link.linkname, link.size = tarfile.LNKTYPE, around, 5000  # of what it links to: nothing follows
        archive.addfile(link)
        for name in sorted(files, key=lambda name: (name[::-1], name)):
            entry = tarfile.TarInfo(f"{around}/{name}" if around else name)
            entry.size = len(files[name])
            archive.addfile(entry, io.BytesIO(files[name]))
    return gzip.compress(stream.getvalue(), 1, mtime=0) if gz else stream.getvalue()


def stl_images(pictures: np.ndarray) -> bytes:
    """Pictures (n, 3, 96, 96) as STL-10's files have them: channel by channel, each column by column."""
    return b"".join(channel[:, column].tobytes() for picture in pictures for channel in picture for column in range(96))


def idx(values: np.ndarray) -> bytes:
    """Bytes of any rank as an IDX file."""
    return struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape) + values.tobytes()


def gathered(source, step: int = 4) -> tuple[np.ndarray, np.ndarray | None]:
    """All that a source holds, read part by part as other processes would: images (n, C, H, W), labels or None."""
    items = []
    for start in range(0, source.count, step):
        stop = min(start + step, source.count)
        part = pickle.loads(pickle.dumps(source.part(start, stop)))
        items += list(part.items())
        assert len(part) == stop - start and len(items) == stop
    assert all(item.fault is None and item.pixels.dtype == np.uint8 for item in items)
    labels = [item.label for item in items]
    images = np.stack([item.pixels for item in items]).transpose(0, 3, 1, 2)
    return images, None if None in labels else np.array(labels)
