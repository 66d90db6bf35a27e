"""Whether a data set that is there already matches what is asked for now."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdgan.core.errors import DataError
from mmdgan.data import sources
from mmdgan.data.catalog import CATALOG, DataInfo
from mmdgan.data.sidecar import Origin, Sidecar
from mmdgan.data.sources.base import Request


def check_files(sidecar: Sidecar, folder: Path) -> None:
    """Raises a DataError when a file of a data set is missing or has another size; no file is read."""
    for shard in sidecar.shards:
        file = folder / shard.file
        size = file.stat().st_size if file.is_file() else None
        if size is None or shard.bytes not in (None, size):
            fault = "is missing" if size is None else f"has {size:,} bytes where {shard.bytes:,} are expected"
            raise DataError(f"{file} {fault}: move {folder} aside and make the data set again.")


def check_options(wanted: Mapping[str, Any], sidecar: Sidecar, folder: Path) -> None:
    """Raises a DataError when a data set was made otherwise.

    Args:
        wanted: The options that its sidecar should have; "labels" may be "auto", which matches any.
        sidecar: The data set's sidecar.
        folder: The data set's folder.
    """
    labels = "source" if sidecar.labels else "none"
    made = {**wanted, "labels": labels, "channels": sidecar.shape[0], **sidecar.options}
    for option, value in wanted.items():
        if made[option] != value and (option, value) != ("labels", "auto"):
            raise DataError(
                f"The records in {folder} have {option} {_text(made[option])}, not {_text(value)}: move {folder} aside "
                "to make it again, or give this one another --name."
            )


def is_from(sidecar: Sidecar, path: Path, request: Request) -> bool:
    """Whether a data set was made from the source at a path, as it is now; if it is gone, whether it was there."""
    path = path.expanduser()
    if str(path.resolve()) != sidecar.origin.path:
        return False
    if not path.exists():
        return True
    found = sources.find(path, request).origin
    return (found.files, found.bytes) == (sidecar.origin.files, sidecar.origin.bytes)


def is_from_tfds(origin: Origin, name: str) -> bool:
    """Whether a data set was made from NAME[/CONFIG][:VERSION] of TensorFlow Datasets."""
    parts: Any = re.fullmatch(r"(.*?)(?::([\d.*]+))?", tfds_name(name))  # which every name matches
    made, _, version = origin.path.rpartition("/")
    wanted = parts[1].split("/")
    return made.split("/")[: len(wanted)] == wanted and fnmatch.fnmatch(version, parts[2] or "*")


def tfds_name(text: str) -> str:
    """A name as TensorFlow Datasets spells it: it takes `OxfordFlowers102` for `oxford_flowers102`."""
    name = re.split("[/:]", text, maxsplit=1)[0]
    snake = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()
    return snake + text[len(name) :]


def check_origin(source: str | Path, sidecar: Sidecar, folder: Path) -> None:
    """Raises a DataError when records were made from another source than the one that is named now."""
    origin, options = sidecar.origin, sidecar.options
    request = Request(
        CATALOG.get(options.get("data", sidecar.name)) or DataInfo(sidecar.name, sidecar.shape),
        split=options.get("split", "train"),
        labels=options.get("labels", "auto"),
        attributes=tuple(options.get("attributes", ())),
        mapping=Path(options["mapping"]) if "mapping" in options else None,
    )
    if not is_from(sidecar, Path(source), request):
        raise DataError(
            f"The records in {folder} were made from {origin} ({origin.files:,} files, {origin.bytes:,} bytes), not "
            f"from {source} as it is now: leave the source out to use them, or move {folder} aside to convert again."
        )


def _text(value: object) -> str:
    if isinstance(value, list):
        return (" x " if all(isinstance(part, int) for part in value) else ", ").join(map(str, value))
    return "none" if value is None else str(value)
