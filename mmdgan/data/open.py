"""Opens a data set by name: where its records are looked for, and what happens when there are none."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdgan.core.errors import ConfigError, DataError
from mmdgan.core.progress import Say, log
from mmdgan.core.text import command
from mmdgan.data.catalog import DataInfo, info, loose_records, unfinished
from mmdgan.data.dataset import ImageData, StoredImages
from mmdgan.data.memory import CACHES, choose_cache
from mmdgan.data.records.reader import RecordFile, missing_shards, read_records
from mmdgan.data.sidecar import Shard, Sidecar, read_sidecar


def open_data(
    name: str,
    *,
    data_root: str | Path = "Data",
    source: str | Path | None = None,
    cache: str = "auto",
    say: Say = log,
) -> ImageData | StoredImages:
    """Opens a data set, after converting it if necessary.

    It is looked for in this order: records in `<data_root>/<name>/`; the original's files below `data_root`;
    `source`; TensorFlow Datasets. A source that is named is preferred to records that do not say what they were
    made from, such as the original's; these stay where they are.

    Args:
        name: A name of the catalogue, or of a data set that was prepared below the data folder.
        data_root: The folder of the data sets.
        source: Images to convert, in any form that `python -m mmdgan prepare` recognises.
        cache: "memory" to read all images into memory, "stream" to read them as they are needed, or "auto" for
            memory if they take at most half of what is free.
        say: Takes lines of text.

    Returns:
        The images.

    Raises:
        DataError: An unknown name, no data, broken data, or records that were made from another source.
        ConfigError: An unknown way to cache.
    """
    if cache not in CACHES:
        raise ConfigError(f"cache is {cache!r}; give one of {', '.join(CACHES)}.")
    entry = info(name, data_root)
    if name == "sample":
        if source is not None:
            raise DataError(f"The data set sample is made on the spot and takes no source; leave {source} out.")
        from mmdgan.data.sample import make_sample

        return make_sample()
    folder = Path(data_root) / name
    sidecar = read_sidecar(folder, name)
    if sidecar is not None:
        if source is not None:
            from mmdgan.data.preparation.prepare import check_origin

            check_origin(source, sidecar, folder)
        return _open_prepared(sidecar, folder, cache, say)
    loose = loose_records(entry, data_root)
    if loose and source is None:
        return _open_loose(entry, loose, cache, say)
    if loose:
        say(f"{loose[0]} is left aside, because the source {source} is named.")
    return _open_prepared(_convert(entry, folder, source, say), folder, cache, say)


def check_complete(files: Sequence[Path]) -> None:
    """Raises a DataError when a file `...-<shard>-of-<shards>`, or of the original's `<name>_<number>`, is missing."""
    for missing, file in missing_shards(files).items():
        raise DataError(f"{missing} is missing next to {file.name}; convert the data set again.")
    matches = [re.fullmatch(r"(.*_)(\d{3,})", file.stem) for file in files]
    numbered = [match for match in matches if match is not None]
    if len(numbered) < len(files):
        return
    for place, (file, match) in enumerate(zip(files, numbered, strict=True)):
        if int(match[2]) != place:
            missing = file.with_name(f"{match[1]}{place:03d}{file.suffix}")
            raise DataError(f"{missing} is missing next to {file.name}; get it again, or convert the data set again.")


def _open_prepared(sidecar: Sidecar, folder: Path, cache: str, say: Say) -> ImageData | StoredImages:
    """The records that a sidecar describes, and no others in its folder."""
    shards = [shard for shard in sidecar.shards if shard.count]
    files = [folder / shard.file for shard in shards]
    if not files:
        raise DataError(
            f"The data set {sidecar.name} in {folder} holds no images; move {folder} aside to convert again."
        )
    if RecordFile(files[0], math.prod(sidecar.shape), shards[0]).labelled != sidecar.labels:
        raise DataError(f"The records in {folder} and their sidecar disagree on labels; convert them again.")
    return _read(
        files,
        sidecar.shape,
        cache,
        say,
        shards=shards,
        name=sidecar.name,
        class_names=sidecar.class_names,
        num_class=len(sidecar.class_names),
        folder=folder,
        source=str(sidecar.origin),
        digest=sidecar.fingerprint(),
    )


def _open_loose(entry: DataInfo, files: list[Path], cache: str, say: Say) -> ImageData | StoredImages:
    """Records of which only their place says what they are."""
    check_complete(files)
    labelled = RecordFile(files[0], math.prod(entry.shape)).labelled
    if labelled and not entry.num_class:
        raise DataError(
            f"The records in {files[0].parent} hold labels, but {entry.name} has no names of classes: convert it again "
            f"with {command('prepare', entry.name, '--labels', 'source')}."
        )
    data = _read(
        files,
        entry.shape,
        cache,
        say,
        name=entry.name,
        class_names=entry.class_names if labelled else (),
        num_class=entry.num_class if labelled else 0,
        folder=files[0].parent,
        source=f"records {files[0].resolve()}",
    )
    whole = f" of {entry.count:,}" if entry.count not in (None, data.count) else ""
    what = f"{data.count:,}{whole} images {'with' if labelled else 'without'} labels"
    say(f"Read {what} from records in {files[0].parent} that do not say what they were made from")
    return data


def _read(
    files: Sequence[Path],
    shape: tuple[int, int, int],
    cache: str,
    say: Say,
    shards: Sequence[Shard] | None = None,
    **about: Any,
) -> ImageData | StoredImages:
    """Opens files of records in memory or for streaming; `about` are the fields that both classes have."""
    if cache == "auto":
        cache = choose_cache(sum(file.stat().st_size for file in files if file.is_file()))
    if cache == "memory":
        images, labels = read_records(files, shape, shards, say)
        return ImageData(images=images, labels=labels, **about)
    known: Sequence[Shard | None] = shards or [None] * len(files)
    records = [RecordFile(file, math.prod(shape), shard) for file, shard in zip(files, known, strict=True)]
    return StoredImages(shape=shape, files=records, **about)


def _convert(entry: DataInfo, folder: Path, source: str | Path | None, say: Say) -> Sidecar:
    from mmdgan.data.preparation.prepare import prepare

    if source is None:
        begun = unfinished(entry.name, folder.parent)
        rest = f"{folder} holds an unfinished conversion" if begun else f"{entry.name} is not in {folder}"
        say(f"{rest}; asking TensorFlow Datasets")
    return prepare(entry.name, source=source, download=source is None, data_root=folder.parent, say=say)
