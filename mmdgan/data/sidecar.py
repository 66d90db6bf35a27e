"""The sidecar: the JSON file next to converted records that says what they hold and what they were made from.

It is written last, so records without it are an unfinished conversion.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdgan.core.errors import DataError
from mmdgan.core.files import read_text, write_json

FORMAT = 2
_READABLE = (1, FORMAT)  # format 1 has neither sizes and checksums of shards nor the options


@dataclass(frozen=True)
class Origin:
    """What a data set was made from."""

    kind: str  # what it is, in words, such as "class folders"
    path: str  # the absolute path of the source, or its name and version in TensorFlow Datasets
    files: int = 0  # number of files that were read; 0 if unknown
    bytes: int = 0  # their total size; 0 if unknown

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


@dataclass(frozen=True)
class Shard:
    """One file of records."""

    file: str  # its name in the folder
    count: int  # number of its images; 0 only if all of them were skipped
    bytes: int | None = None  # its size; None in sidecars of format 1
    sha256: str | None = None  # the hexadecimal SHA-256 of its content; None in sidecars of format 1


@dataclass(frozen=True)
class Skipped:
    """An image that was left out, and why, as the rest of a sentence that begins with its name."""

    name: str
    reason: str


@dataclass(frozen=True)
class Sidecar:
    """The description of a folder of records."""

    name: str  # the data set's name
    shape: tuple[int, int, int]  # (C, H, W) of one image
    labels: bool  # whether every record holds a label 'y'
    class_names: tuple[str, ...]  # one name per class; empty without labels
    origin: Origin  # what the images were made from
    shards: tuple[Shard, ...]  # the files in the order of their images
    # how the images were made: "split", "labels", "resize" and "crop" as [width, height] or None; of image files
    # "orientation": "exif", for they are turned as EXIF says (0.1 wrote none, and turned TIFF files only)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()  # the broken images that were left out
    version: str = ""  # the version of this library that wrote the records

    @property
    def count(self) -> int:
        """The number of images in all shards."""
        return sum(shard.count for shard in self.shards)

    def fingerprint(self) -> str | None:
        """A hexadecimal digest of what the records hold; None if their checksums are unknown."""
        sums = [shard.sha256 for shard in self.shards if shard.sha256 is not None]
        if len(sums) < len(self.shards):
            return None
        digest = hashlib.blake2b(repr(self.shape).encode(), digest_size=16)
        for checksum in sums:
            digest.update(bytes.fromhex(checksum))
        return digest.hexdigest()

    def write(self, folder: Path) -> None:
        """Writes `<name>.json` into a folder."""
        content = {"format": FORMAT, "count": self.count, **dataclasses.asdict(self)}
        write_json(sidecar_path(folder, self.name), content)


def sidecar_path(folder: Path, name: str) -> Path:
    """Where the sidecar of a data set is."""
    return folder / f"{name}.json"


def read_sidecar(folder: Path, name: str) -> Sidecar | None:
    """Reads `<name>.json` of a folder, if it is there; DataError if it is not a sidecar, or of a newer format."""
    path = sidecar_path(folder, name)
    if not path.is_file():
        return None
    remedy = f"move {folder} aside and convert the data set again"
    try:
        content = json.loads(read_text(path))
        version, count = content.pop("format"), content.pop("count")
        sidecar = _sidecar(content) if version in _READABLE else None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DataError(f"{path} does not describe a data set ({error}); {remedy}.") from error
    if sidecar is None:
        raise DataError(f"{path} has format {version}, this version reads formats up to {FORMAT}; {remedy}.")
    if sidecar.count != count or sidecar.name != name:
        raise DataError(f"{path} contradicts itself; {remedy}.")
    return sidecar


def _sidecar(content: dict[str, Any]) -> Sidecar:
    """The sidecar with a file's content; ValueError, KeyError or TypeError if it is something else."""
    sidecar = Sidecar(
        **{
            **content,
            "shape": tuple(content["shape"]),
            "class_names": tuple(content["class_names"]),
            "origin": Origin(**content["origin"]),
            "shards": tuple(Shard(**shard) for shard in content["shards"]),
            "skipped": tuple(Skipped(**skipped) for skipped in content.get("skipped", ())),
        }
    )
    if len(sidecar.shape) != 3 or not all(_is_count(side) and side for side in sidecar.shape):
        raise ValueError("its shape is not (C, H, W)")
    if not isinstance(sidecar.labels, bool) or not all(isinstance(name, str) for name in sidecar.class_names):
        raise ValueError("its labels or class names are of another kind")
    for shard in sidecar.shards:
        if not isinstance(shard.file, str) or Path(shard.file).name != shard.file or not _is_count(shard.count):
            raise ValueError(f"{shard.file!r} with {shard.count!r} images is not a shard")
        if not (shard.bytes is None or _is_count(shard.bytes)):
            raise ValueError(f"the size of {shard.file} is no number of bytes")
        if shard.sha256 is not None and len(bytes.fromhex(shard.sha256)) != 32:
            raise ValueError(f"the checksum of {shard.file} is no SHA-256")
    return sidecar


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
