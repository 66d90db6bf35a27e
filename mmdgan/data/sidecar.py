"""The JSON file beside converted records: what they hold and where they came from.

It is written last, so records without it are an unfinished conversion.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

from mmdgan.errors import DataError

FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """What a data set was made from.

    Attributes:
        kind: in words, such as "class folders".
        path: the absolute path of the source, or its name and version in TensorFlow Datasets.
        files: number of files read; 0 when not counted.
        bytes: their total size; 0 when not counted.
    """

    kind: str
    path: str
    files: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


@dataclass(frozen=True)
class Shard:
    """One file of records, by its name in the folder."""

    file: str
    count: int


@dataclass(frozen=True)
class Sidecar:
    """The description of a folder of records.

    Attributes:
        name: the data set's name.
        shape: (C, H, W) of one image.
        labels: whether every record holds a label 'y'.
        class_names: one name per class; empty without labels.
        origin: what the images were made from.
        shards: the files in the order of their images.
    """

    name: str
    shape: tuple[int, int, int]
    labels: bool
    class_names: tuple[str, ...]
    origin: Origin
    shards: tuple[Shard, ...]

    @property
    def count(self) -> int:
        """The number of images in all shards."""
        return sum(shard.count for shard in self.shards)

    def write(self, folder: Path) -> None:
        """Writes `<name>.json` into a folder, under a temporary name first."""
        content = {"format": FORMAT, "count": self.count, **dataclasses.asdict(self)}
        temporary = folder / f"{self.name}.json.{os.getpid()}.part"
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        temporary.replace(sidecar_path(folder, self.name))


def sidecar_path(folder: Path, name: str) -> Path:
    """Where the sidecar of a data set is."""
    return folder / f"{name}.json"


def read_sidecar(folder: Path, name: str) -> Sidecar | None:
    """Reads `<name>.json` of a folder.

    Returns:
        the sidecar, or None when there is no such file.

    Raises:
        DataError: a file that is not a sidecar, or one of a newer format.
    """
    path = sidecar_path(folder, name)
    if not path.is_file():
        return None
    remedy = f"move {folder} aside and convert the data set again"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, count = content.pop("format"), content.pop("count")
        if version == FORMAT:
            sidecar = Sidecar(
                **{
                    **content,
                    "shape": tuple(int(side) for side in content["shape"]),
                    "class_names": tuple(content["class_names"]),
                    "origin": Origin(**content["origin"]),
                    "shards": tuple(Shard(**shard) for shard in content["shards"]),
                }
            )
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DataError(f"{path} does not describe a data set ({error}); {remedy}.") from error
    if version != FORMAT:
        raise DataError(f"{path} has format {version}, this version reads format {FORMAT}; {remedy}.")
    if sidecar.count != count or sidecar.name != name or len(sidecar.shape) != 3:
        raise DataError(f"{path} contradicts itself; {remedy}.")
    return sidecar
