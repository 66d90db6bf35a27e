"""The MD5 sums of the official files, as their publishers or torchvision give them.

A gzip file that was compressed again, such as Debian's Fashion-MNIST, is known by the sum of its content.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from mmdgan.core.errors import DataError
from mmdgan.core.progress import Say, Ticker, log
from mmdgan.data.sources.byte_ranges import ByteRange, Contents, unpacked_file, whole_file

_REPORT_SECONDS = 5.0
_CHUNK = 2**22

SUMS: Mapping[str, Mapping[str, str]] = {
    "cifar10": {
        "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
        "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    "stl10": {
        "stl10_binary.tar.gz": "91f7769df0f17e558f3565bffb0c7dfb",
        "unlabeled_X.bin": "5242ba1fed5e4be9e1e742405eb56ca4",
        "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
        "train_y.bin": "5a34089d4802c674881badbb80307741",
        "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
        "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
    },
    "celeba": {
        "img_align_celeba.zip": "00d2c5bc6d35e252742224ab0c1e8fcb",
        "list_attr_celeba.txt": "75e246fa4810816ffd6ee81facbd244c",
    },
    "imagenet": {
        "ILSVRC2012_img_train.tar": "1d675b47d978889d74fa0da5fadfb00e",
        "ILSVRC2012_img_val.tar": "29b22e2961454d5413ddabcf34fc5622",
    },
    "mnist": {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}


def check(source: Path, name: str, say: Say = log) -> tuple[Path, ...]:
    """Compares the files of a source with the published sums of a data set.

    Args:
        source: A file, or a folder that is searched with the folders in it.
        name: The data set's name.
        say: Takes lines of text: which files were compared, and which have no published sum.

    Returns:
        The files that were compared.

    Raises:
        DataError: A file has another sum, or cannot be read.
    """
    sums = SUMS.get(name, {})
    compared, others = [], []
    for file in _files(source):
        if file.name in sums:
            _compare(file, sums, say)
            compared.append(file)
        else:
            others.append(file.name)
    if compared:
        say(f"As published: {', '.join(file.name for file in compared)}")
    if others:
        listed = ", ".join(others[:5]) + (f" and {len(others) - 5:,} more" if len(others) > 5 else "")
        say(f"No checksum of {name} is published for {listed}")
    return tuple(compared)


def owner(content: ByteRange, file_name: str) -> str | None:
    """The data set that publishes a file of this name with this content, if any."""
    known = {sums[file_name]: name for name, sums in SUMS.items() if file_name in sums}
    return known.get(_md5(content)) if known else None


def _files(source: Path) -> list[Path]:
    if not source.exists():
        raise DataError(f"The source {source} does not exist: name a file or a folder.")
    if source.is_file():
        return [source]
    return sorted(Path(folder) / name for folder, _, names in os.walk(source) for name in names)


def _compare(file: Path, sums: Mapping[str, str], say: Say) -> None:
    expected = sums[file.name]
    found = _md5(whole_file(file), say)
    inside = sums.get(file.name.removesuffix(".gz"))
    if found == expected or (inside != expected and inside and _md5(unpacked_file(file), say) == inside):
        return
    raise DataError(
        f"{file} is not the published file (MD5 {found} where {expected} is published): download it again, or leave "
        "out --checksum if you changed it on purpose."
    )


def _md5(content: ByteRange, say: Say = log) -> str:
    digest, ticker = hashlib.md5(usedforsecurity=False), Ticker(_REPORT_SECONDS)
    with Contents() as contents:
        for start in range(0, content.size, _CHUNK):
            digest.update(contents.read(content, start, min(_CHUNK, content.size - start)))
            if ticker.due():
                say(f"{content.path.name}: {start / 1e9:.1f} of {content.size / 1e9:.1f} GB compared")
    return digest.hexdigest()
