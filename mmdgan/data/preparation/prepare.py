"""Prepares any image data as a data set of this library: what `python -m mmdgan prepare` does."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from mmdgan.core.errors import ConfigError, DataError
from mmdgan.core.options import check_limits, plain
from mmdgan.core.progress import Say, log
from mmdgan.data import sources
from mmdgan.data.catalog import CATALOG, DataInfo, info, unfinished
from mmdgan.data.preparation.convert import REMEDY, clear_leftovers, convert
from mmdgan.data.preparation.geometry import BrokenImage, Geometry, is_grey, shape_of
from mmdgan.data.sidecar import Origin, Sidecar, read_sidecar
from mmdgan.data.sources import checksums, tfds
from mmdgan.data.sources.attributes import DEFAULT
from mmdgan.data.sources.base import ImageSource, PrepareOptions, Request
from mmdgan.data.sources.containers import printable

_OWN = ("folder", "tfds")
_LONGEST_NAME = 190  # that of a file with everything before and after it has 255 at most
_LOOKS = 16  # images that are examined to find out whether a set of TensorFlow Datasets is grey
_HARMLESS = ("data_root", "workers", "checksum")  # options that do not say what the data set is


def prepare(what: str, options: PrepareOptions | None = None, *, say: Say = log, **changes: Any) -> Sidecar:
    """Makes a data set in `<data_root>/<name>/`, unless it is there already.

        prepare("cifar10", source="cifar-10-binary.tar.gz")

    Args:
        what: A name of the catalogue; "folder:PATH" for a folder, zip or tar of images; "tfds:NAME" for any image
            data set of TensorFlow Datasets.
        options: How it is made; by default as `PrepareOptions` says.
        say: Takes lines of text.
        **changes: Fields of the options, given by name.

    Returns:
        The data set's sidecar.

    Raises:
        ConfigError: Options contradict each other.
        DataError: No such data, broken data, or a data set of this name that was made otherwise.
    """
    options = replace(options or PrepareOptions(), **changes)
    options = replace(options, **{name: plain(value) for name, value in vars(options).items()})
    check_limits(options)
    if isinstance(options.attributes, str):
        options = replace(options, attributes=(options.attributes,))
    _check(what, options)
    if options.checksum:
        assert options.source is not None  # as `_check` has seen
        checksums.check(Path(options.source).expanduser(), what, say)
    root = Path(options.data_root)
    existing = _made_before(what, root)
    if existing is not None:
        _check_only_named(what, options)
        return _already(existing, root, say)
    request = _request(what, options)
    name = str(request.name)
    geometry, shape = _geometry(request)
    folder = root / name
    existing = read_sidecar(folder, name)
    if existing is not None:
        _check_same(request, geometry, shape[0], existing, folder)
        return _already(existing, root, say)
    source = _find(request, say)
    if _is_own(request) and options.channels is None and shape[0] == 3:
        if source.channels == 1 or source.count and _looks_grey(source):
            grey = "the images seem to be grey and are stored as RGB: --channels 1 stores one channel"
            source = replace(source, note=", ".join(filter(None, (source.note, grey))))
    if not all(shape):
        shape = _first_shape(source, geometry, shape[0], options.skip_broken)
    return convert(
        source,
        replace(request.info, name=name, shape=shape),
        folder,
        geometry=geometry,
        options=_made(request, geometry, "source" if source.class_names else "none")
        | ({"orientation": "exif"} if source.encoded else {}),
        skip_broken=options.skip_broken,
        workers=options.workers,
        say=say,
    )


def _check(what: str, options: PrepareOptions) -> None:
    """Raises a ConfigError when options contradict each other or what is to be prepared."""
    source, size = options.source, options.size
    kind, place = _divided(what)
    if ":" in what and (kind not in _OWN or not place):
        raise ConfigError(f"there is no data {what}; give a name, folder:PATH or tfds:NAME.")
    if options.channels not in (None, 1, 3):
        raise ConfigError(f"channels is {options.channels}; give 1 for grey images or 3 for RGB.")
    if size is None and options.crop != "center" and what in CATALOG:
        raise ConfigError("crop is none without a size; give --size too, or leave --crop out.")
    if source is not None and kind:
        raise ConfigError(f"{what} says where the images are; leave --source out.")
    if source is not None and options.download:
        raise ConfigError("a source and a download exclude each other; give --source or --download.")
    if kind == "folder" and options.download:
        raise ConfigError("a folder is not downloaded; leave --download out.")
    if options.attributes and what != "celeba" and kind != "tfds":
        raise ConfigError(f"attributes make classes of celeba, not of {what}; leave them out.")
    if options.mapping is not None and what != "imagenet":
        raise ConfigError(f"a mapping gives the classes of imagenet, not of {what}; leave it out.")
    if options.attributes and options.labels == "none":
        raise ConfigError("attributes make classes, and labels is none; leave one of them out.")
    if options.checksum and source is None:
        raise ConfigError("checksums are those of official files; name these with --source.")
    if not options.split.strip():
        raise ConfigError("split is empty; name a part of the data set, such as train.")


def _divided(what: str) -> tuple[str, str]:
    """Splits "folder:PATH" into ("folder", PATH); a name of the catalogue becomes ("", name)."""
    kind, colon, place = what.partition(":")
    return (kind, place) if colon else ("", what)


def _request(what: str, options: PrepareOptions) -> Request:
    """What is asked of the source: the options with the data set's name, and what is known of the data set."""
    name, split = options.name, options.split
    kind, place = _divided(what)
    if kind == "tfds":
        place = tfds_name(place)
    if kind == "folder" and name is None:
        proposal = _as_name(Path(place).expanduser().absolute().name) or "mine"
        raise ConfigError(f"a folder's images need a name of their own; give --name, such as --name={proposal}.")
    if name is None:
        name = _as_name(place) if split == "train" else f"{_as_name(place)}_{_as_name(split)}"
    if kind == "tfds":  # whether it is grey, its images say
        entry = DataInfo(name, (0, 0, 0), tfds=place)
    elif kind == "folder":  # the user's own images become RGB
        entry = DataInfo(name, (3, 0, 0))
    else:
        entry = CATALOG[place] if place in CATALOG else info(place, options.data_root)
    _check_name(name, kind)
    if entry.name == "sample":
        raise DataError("The data set sample is made on the spot; there is nothing to prepare.")
    if options.channels is not None:
        entry = replace(entry, shape=(options.channels, *entry.shape[1:]))
    if options.size is not None:  # the source's images may have any size
        entry = replace(entry, size=None)
    given = replace(
        options,
        name=name,
        source=place if kind == "folder" else options.source,
        labels="source" if options.labels == "folders" or options.attributes else options.labels,
        mapping=None if options.mapping is None else Path(options.mapping).expanduser(),
    )
    return Request(entry, **{field.name: getattr(given, field.name) for field in fields(PrepareOptions)})


def _is_own(request: Request) -> bool:
    """Whether the data set is not one of the catalogue's."""
    return request.info.name not in CATALOG


def _geometry(request: Request) -> tuple[Geometry, tuple[int, int, int]]:
    """The geometry, and the shape (C, H, W) of an image, with 0 for what the images have to say."""
    entry, size = request.info, request.size
    if size is None:
        return Geometry(entry.resize, entry.crop), entry.shape
    if request.crop == "center":
        return Geometry((size, size), (size, size)), (entry.shape[0], size, size)
    return Geometry((size, size)), (entry.shape[0], 0, 0)


def _made(request: Request, geometry: Geometry, labels: str) -> dict[str, Any]:
    """The sidecar's options: how the images are made."""
    options: dict[str, Any] = {
        "split": request.split,
        "labels": labels,
        "resize": list(geometry.resize) if geometry.resize else None,
        "crop": list(geometry.crop) if geometry.crop else None,
    }
    if request.name != request.info.name:
        options["data"] = request.info.name
    if request.attributes:
        options["attributes"] = list(request.attributes)
    if request.mapping:
        options["mapping"] = str(Path(request.mapping).resolve())
    return options


def _as_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).strip("._-")


def _check_name(name: str, kind: str) -> None:
    if name != _as_name(name) or not name:
        raise ConfigError(f"name is {name!r}; a data set's name consists of letters, digits, '_', '-' and '.'.")
    if len(name) > _LONGEST_NAME:
        raise ConfigError(f"name has {len(name)} characters; give at most {_LONGEST_NAME}.")
    if kind and name in CATALOG:
        # The catalogue's sets come from TensorFlow Datasets by themselves.
        other = f"prepare {name}" if kind == "tfds" else f"the images as its --source (prepare {name} --source PATH)"
        raise ConfigError(f"{name} is the name of a data set of the catalogue: give another --name, or {other}.")


def _made_before(what: str, data_root: Path) -> Sidecar | None:
    """The data set of this name, if it is one of the user's own that is there."""
    if what in CATALOG or what != _as_name(what) or len(what) > _LONGEST_NAME:
        return None
    return read_sidecar(data_root / what, what)


def _check_only_named(what: str, options: PrepareOptions) -> None:
    """Raises a ConfigError when options are given with the name of a data set that is there."""
    more = [
        f"--{field.name}"
        for field in fields(options)
        if field.name not in _HARMLESS and getattr(options, field.name) != field.default
    ]
    if more:
        raise ConfigError(
            f"{what} is a data set that is there already; leave {', '.join(more)} out, or say what to make it from: a "
            f"name of the catalogue, folder:PATH or tfds:NAME, with --name={what}."
        )


def _already(sidecar: Sidecar, data_root: Path, say: Say) -> Sidecar:
    """The data set that is there, once its files are found complete."""
    folder = data_root / sidecar.name
    check_files(sidecar, folder)
    clear_leftovers(folder)
    images = f"{sidecar.count:,} image{'s' * (sidecar.count != 1)}"
    say(f"{sidecar.name} is in {folder} already: {images}, made from {sidecar.origin}")
    return sidecar


def _check_same(request: Request, geometry: Geometry, channels: int, sidecar: Sidecar, folder: Path) -> None:
    """Raises a DataError when the data set that is there was made from something else, or otherwise."""
    wanted = _made(request, geometry, request.labels) | ({"channels": channels} if channels else {})
    if request.labels == "source":
        wanted.setdefault("attributes", [*DEFAULT])
    check_options(wanted, sidecar, folder)
    if request.source is not None:
        same = is_from(sidecar, Path(request.source), request)
    else:  # any origin will do for a catalogue set without --source
        same = not _is_own(request) or is_from_tfds(sidecar.origin, request.info.tfds)
    if not same:
        raise DataError(
            f"The records in {folder} were made from {sidecar.origin} ({sidecar.origin.files:,} files, "
            f"{sidecar.origin.bytes:,} bytes), not from {request.source or request.info.tfds} as it is now: move "
            f"{folder} aside to make it again, or give this one another --name."
        )


def _find(request: Request, say: Say) -> ImageSource:
    """The source that is named, or TensorFlow Datasets."""
    if request.source is not None:
        return sources.find(request.source, request)
    try:
        return tfds.fetch(request.info, request, say, download=request.download)
    except DataError as error:
        raise DataError(_nothing_fetched(request, str(error))) from error


def _nothing_fetched(request: Request, reason: str) -> str:
    """The sentence that names all ways to get a data set that is not there."""
    entry, root = request.info, Path(request.data_root)
    network = "connect to the network" if request.download else "let it be downloaded with --download"
    if _is_own(request):
        return f"TensorFlow Datasets could not fetch {entry.tfds} ({reason}): {network}, or ask for another."
    places = ", ".join(f"{root}/{place}" for place in (request.name, *entry.legacy))
    forms = sources.recognised(entry.name)
    if unfinished(str(request.name), root):
        forms = f"that of the unfinished conversion in {root}/{request.name}, to continue it; or else {forms}"
    return (
        f"There is no data for {request.name}: no records in {places}, no source named, and TensorFlow Datasets could "
        f"not fetch it ({reason}); name a copy (from {entry.homepage}) with --source PATH ({forms}), {network}, or "
        "train on the embedded set with --data sample."
    )


def _first_shape(source: ImageSource, geometry: Geometry, channels: int, skip_broken: bool) -> tuple[int, int, int]:
    """The shape (C, H, W) of the first image, once it is resized and cropped.

    If neither the caller nor the source gives C, it is 1 if some images that are examined are all grey.
    """
    channels = channels or source.channels or (1 if _looks_grey(source) else 3)
    for item in source.part(0, source.count).items():
        try:
            return shape_of(item, geometry, channels)
        except BrokenImage as error:
            if not skip_broken:
                raise DataError(f"{item.name} {error.reason}; {REMEDY}.") from error
    raise DataError(f"{source.origin} holds no image that is not broken.")


def _looks_grey(source: ImageSource) -> bool:
    """Whether some images, from all over a source, are all grey."""
    looks = min(_LOOKS, source.count)
    starts = [look * source.count // looks for look in range(looks)]
    return all(is_grey(item) for start in starts for item in source.part(start, start + 1).items())


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
    left_out = {"data": sidecar.name, "attributes": [*DEFAULT], "mapping": None} if sidecar.options else {}
    made = {**wanted, **left_out, "labels": labels, "channels": sidecar.shape[0], **sidecar.options}
    for option, value in wanted.items():
        if made[option] != value and (option, value) != ("labels", "auto"):
            raise DataError(
                f"The records in {folder} have {option} {_text(made[option])}, not {_text(value)}: move {folder} aside "
                "to make it again, or give this one another --name."
            )


def is_from(sidecar: Sidecar, path: Path, request: Request) -> bool:
    """Whether a data set was made from the source at a path, as it is now; if it is gone, whether it was there."""
    path, made = path.expanduser(), sidecar.origin
    if made.path not in (str(path.resolve()), printable(str(path.resolve()))):
        return False
    if not path.exists():
        return True
    found = sources.find(path, request)
    if sidecar.labels and found.class_names not in ((), sidecar.class_names):
        return False
    return (found.origin.files, found.origin.bytes) == (made.files, made.bytes)


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
