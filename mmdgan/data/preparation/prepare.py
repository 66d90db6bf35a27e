"""One command from any image data to a data set of this library: what `python -m mmdgan prepare` does."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdgan.core.errors import ConfigError, DataError
from mmdgan.data import sources
from mmdgan.data.catalog import CATALOG, DataInfo, info, unfinished
from mmdgan.data.preparation import matching
from mmdgan.data.preparation.geometry import BrokenImage, Geometry, is_grey, shape_of
from mmdgan.data.sidecar import Sidecar, read_sidecar
from mmdgan.data.sources.base import ImageSource, Item, Request

CROPS = ("center", "none")
LABELS = ("auto", "none", "source", "folders")
_OWN = ("folder", "tfds")
_LONGEST_NAME = 190  # that of a file with everything before and after it has 255 at most
_LOOKS = 16  # images that are looked at to tell whether a set of TensorFlow Datasets is grey


@dataclass(frozen=True)
class _Asked:
    """The options of `prepare` that say what the data set is to be, as they were given."""

    name: str | None
    source: str | Path | None
    download: bool
    split: str
    size: int | None
    crop: str
    labels: str
    attributes: tuple[str, ...]
    mapping: str | Path | None
    skip_broken: bool


@dataclass(frozen=True)
class _Wish:
    """What a person asked for, resolved: one data set under one name.

    Attributes:
        name: the data set's name, and its folder's.
        request: what is asked of the source; its `info` is the catalogue's entry, or that of a set of one's own.
        geometry: how images are resized and cropped.
        path: the source that was named; None for TensorFlow Datasets.
        shape: (C, H, W) of one image; what the images have to say is 0.
    """

    name: str
    request: Request
    geometry: Geometry
    path: Path | None
    shape: tuple[int, int, int]

    @property
    def own(self) -> bool:
        """Whether it is not one of the catalogue's."""
        return self.request.info.name not in CATALOG

    def options(self, labelled: bool) -> dict[str, Any]:
        """What the sidecar says about how the images were made."""
        options: dict[str, Any] = {
            "split": self.request.split,
            "labels": "source" if labelled else "none",
            "resize": list(self.geometry.resize) if self.geometry.resize else None,
            "crop": list(self.geometry.crop) if self.geometry.crop else None,
        }
        if self.name != self.request.info.name:
            options["data"] = self.request.info.name
        if self.request.attributes:
            options["attributes"] = list(self.request.attributes)
        if self.request.mapping:
            options["mapping"] = str(self.request.mapping.resolve())
        return options


def prepare(
    what: str,
    *,
    name: str | None = None,
    source: str | Path | None = None,
    download: bool = False,
    data_root: str | Path = "Data",
    split: str = "train",
    size: int | None = None,
    crop: str = "center",
    labels: str = "auto",
    attributes: Sequence[str] = (),
    mapping: str | Path | None = None,
    skip_broken: bool = False,
    checksum: bool = False,
    workers: int | None = None,
    progress: Callable[[str], object] = print,
) -> Sidecar:
    """Makes a data set in `<data_root>/<name>/`, unless it is there already.

    Args:
        what: a name of the catalogue; "folder:PATH" for a folder, zip or tar of images; "tfds:NAME" for any image
            data set of TensorFlow Datasets.
        name: the data set's name; by default the catalogue's or TensorFlow Datasets', with "_<split>" after it for
            another split than train. A folder must be given one.
        source: a catalogue set's official files, or images in folders; without it TensorFlow Datasets is asked.
        download: TensorFlow Datasets may download what it does not have.
        data_root: the folder of the data sets.
        split: the part of the data set, such as "test".
        size: images are scaled to cover size x size pixels. By default a catalogue set is made as the original makes
            it, and other images stay as they are: all must be of one size.
        crop: "center" to cut the middle of size x size pixels out of them; "none" not to.
        labels: "auto" for those that the source has (CelebA's only when asked for), "none" for none, "source" (or
            "folders") for an error when it has none.
        attributes: of CelebA, that make the classes.
        mapping: the file that says the classes of ImageNet's validation images.
        skip_broken: leave broken images out and list them in the sidecar, instead of stopping at the first.
        checksum: compare the official files of the source with their publishers' checksums first.
        workers: number of processes; all cores by default.
        progress: takes lines of text.

    Returns:
        the data set's sidecar.

    Raises:
        ConfigError: options that contradict each other.
        DataError: no such data, broken data, or a data set of this name that was made otherwise.
    """
    asked = _Asked(name, source, download, split, size, crop, labels, tuple(attributes), mapping, skip_broken)
    _check_asked(what, asked, checksum, workers)
    if checksum:
        from mmdgan.data.sources import checksums

        assert source is not None  # as _check_asked has seen
        checksums.check(Path(source).expanduser(), what, progress)
    root = Path(data_root)
    there = _made_before(what, root)
    if there is not None:
        _check_only_named(what, asked)
        return _already(there, root, progress)
    wish = _wish(what, asked, root)
    folder = root / wish.name
    there = read_sidecar(folder, wish.name)
    if there is not None:
        _check_same(wish, there, folder)
        return _already(there, root, progress)
    found = _find(wish, download, root, progress)
    shape = wish.shape if all(wish.shape) else _probe(found, wish, skip_broken)
    from mmdgan.data.preparation.convert import convert

    entry = wish.request.info
    return convert(
        found,
        replace(entry, name=wish.name, shape=shape),
        folder,
        geometry=wish.geometry,
        options=wish.options(bool(found.class_names)),
        skip_broken=skip_broken,
        workers=workers,
        progress=progress,
    )


def _check_asked(what: str, asked: _Asked, checksum: bool, workers: int | None) -> None:
    """Raises a ConfigError when options contradict each other or what is to be prepared."""
    source, size, crop, labels = asked.source, asked.size, asked.crop, asked.labels
    kind = what.partition(":")[0] if ":" in what else ""
    if kind and (kind not in _OWN or not what.partition(":")[2]):
        raise ConfigError(f"there is no data {what}; give a name, folder:PATH or tfds:NAME.")
    if crop not in CROPS or labels not in LABELS:
        raise ConfigError(f"crop is {crop} of {', '.join(CROPS)} and labels {labels} of {', '.join(LABELS)}.")
    if size is not None and size < 1:
        raise ConfigError(f"size is {size}; give at least 1 pixel.")
    if size is None and crop != "center" and what in CATALOG:
        raise ConfigError("crop is none without a size; give --size too, or leave --crop out.")
    if source is not None and kind:
        raise ConfigError(f"{what} says where the images are; leave --source out.")
    if source is not None and asked.download:
        raise ConfigError("a source and a download exclude each other; give --source or --download.")
    if kind == "folder" and asked.download:
        raise ConfigError("a folder is not downloaded; leave --download out.")
    if asked.attributes and what != "celeba" and kind != "tfds":
        raise ConfigError(f"attributes make classes of celeba, not of {what}; leave them out.")
    if asked.mapping is not None and what != "imagenet":
        raise ConfigError(f"a mapping gives the classes of imagenet, not of {what}; leave it out.")
    if asked.attributes and labels == "none":
        raise ConfigError("attributes make classes, and labels is none; leave one of them out.")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; give at least 1 process.")
    if checksum and source is None:
        raise ConfigError("checksums are those of official files; name these with --source.")


def _wish(what: str, asked: _Asked, data_root: Path) -> _Wish:
    """Resolves what was asked for."""
    name, split, size = asked.name, asked.split, asked.size
    kind, _, place = what.rpartition(":") if ":" not in what else what.partition(":")
    if not split.strip():
        raise ConfigError("split is empty; name a part of the data set, such as train.")
    if kind == "tfds":
        place = matching.tfds_name(place)
    if kind == "folder" and name is None:
        proposal = _as_name(Path(place).expanduser().absolute().name) or "mine"
        raise ConfigError(f"a folder's images need a name of their own; give --name, such as --name={proposal}.")
    if name is None:
        name = _as_name(place) if split == "train" else f"{_as_name(place)}_{_as_name(split)}"
    if kind:
        _check_own_name(name, kind)
        # Whether a set of TensorFlow Datasets is grey, its images say; a person's own become RGB.
        entry = DataInfo(name, (0, 0, 0), tfds=place) if kind == "tfds" else DataInfo(name, (3, 0, 0))
    else:
        entry = CATALOG[place] if place in CATALOG else info(place, data_root)
        _check_name(name)
    if entry.name == "sample":
        raise DataError("The data set sample is made on the spot; there is nothing to prepare.")
    geometry, shape = _geometry(entry, size, asked.crop)
    if size is not None:  # any size of the source's images will do
        entry = replace(entry, size=None)
    return _Wish(
        name=name,
        request=Request(
            info=entry,
            split=split,
            labels="source" if asked.labels == "folders" or asked.attributes else asked.labels,
            attributes=asked.attributes,
            mapping=Path(asked.mapping).expanduser() if asked.mapping is not None else None,
        ),
        geometry=geometry,
        path=Path(place) if kind == "folder" else Path(asked.source) if asked.source is not None else None,
        shape=shape,
    )


def _geometry(entry: DataInfo, size: int | None, crop: str) -> tuple[Geometry, tuple[int, int, int]]:
    """The geometry, and the shape as far as it is known before an image is read."""
    if size is None:
        return Geometry(entry.resize, entry.crop), entry.shape
    square = (size, size)
    if crop == "center":
        return Geometry(square, square), (entry.shape[0], size, size)
    return Geometry(square), (entry.shape[0], 0, 0)


def _as_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).strip("._-")


def _check_name(name: str) -> None:
    if name != _as_name(name) or not name:
        raise ConfigError(f"name is {name!r}; a data set's name consists of letters, digits, '_', '-' and '.'.")
    if len(name) > _LONGEST_NAME:
        raise ConfigError(f"name has {len(name)} characters; give at most {_LONGEST_NAME}.")


def _check_own_name(name: str, kind: str) -> None:
    _check_name(name)
    if name in CATALOG:
        # The catalogue's sets come from TensorFlow Datasets by themselves.
        other = f"prepare {name}" if kind == "tfds" else f"the images as its --source (prepare {name} --source PATH)"
        raise ConfigError(f"{name} is the name of a data set of the catalogue: give another --name, or {other}.")


def _made_before(what: str, data_root: Path) -> Sidecar | None:
    """The data set of this name, if it is one of a person's own that is there."""
    if what in CATALOG or what != _as_name(what) or len(what) > _LONGEST_NAME:
        return None
    return read_sidecar(data_root / what, what)


def _check_only_named(what: str, asked: _Asked) -> None:
    """Raises a ConfigError when more is asked of a data set that is there than its name says."""
    usual = inspect.signature(prepare).parameters
    more = [f"--{option}" for option, value in vars(asked).items() if value != usual[option].default]
    if more:
        raise ConfigError(
            f"{what} is a data set that is there already; leave {', '.join(more)} out, or say what to make it from: a "
            f"name of the catalogue, folder:PATH or tfds:NAME, with --name={what}."
        )


def _already(sidecar: Sidecar, data_root: Path, progress: Callable[[str], object]) -> Sidecar:
    """The data set that is there, and says so."""
    from mmdgan.data.preparation.staging import clear_leftovers

    folder = data_root / sidecar.name
    matching.check_files(sidecar, folder)
    clear_leftovers(folder)
    images = f"{sidecar.count:,} image{'s' * (sidecar.count != 1)}"
    progress(f"{sidecar.name} is in {folder} already: {images}, made from {sidecar.origin}")
    return sidecar


def _check_same(wish: _Wish, sidecar: Sidecar, folder: Path) -> None:
    """Raises a DataError when the data set that is there was made from something else, or otherwise."""
    labels = wish.request.labels
    matching.check_options({**wish.options(False), "labels": labels}, sidecar, folder)
    if wish.path is not None:
        same = matching.is_from(sidecar, wish.path, wish.request)
    else:  # a catalogue set without --source is content with whatever it was made from
        same = not wish.own or matching.is_from_tfds(sidecar.origin, wish.request.info.tfds)
    if not same:
        raise DataError(
            f"The records in {folder} were made from {sidecar.origin} ({sidecar.origin.files:,} files, "
            f"{sidecar.origin.bytes:,} bytes), not from {wish.path or wish.request.info.tfds} as it is now: move "
            f"{folder} aside to make it anew, or give this one another --name."
        )


def _find(wish: _Wish, download: bool, data_root: Path, progress: Callable[[str], object]) -> ImageSource:
    """The source of the images, as it was named or as TensorFlow Datasets has it."""
    if wish.path is not None:
        return sources.find(wish.path, wish.request)
    from mmdgan.data.sources import tfds

    try:
        return tfds.fetch(wish.request.info, wish.request, progress, download=download)
    except DataError as error:
        raise DataError(_nothing_fetched(wish, str(error), download, data_root)) from error


def _nothing_fetched(wish: _Wish, reason: str, download: bool, data_root: Path) -> str:
    """The one sentence that names all the ways to come by a data set that is not there."""
    entry = wish.request.info
    network = "connect to the network" if download else "let it be downloaded with --download"
    if wish.own:
        return f"TensorFlow Datasets could not fetch {entry.tfds} ({reason}): {network}, or ask for another."
    places = ", ".join(str(data_root / place) for place in (wish.name, *entry.legacy))
    again = f"that of the unfinished conversion in {data_root / wish.name}, to go on with it; or else "
    forms = (again if unfinished(wish.name, data_root) else "") + sources.recognised(entry.name)
    return (
        f"There is no data for {wish.name}: no records in {places}, no source named, and TensorFlow Datasets could not "
        f"fetch it ({reason}); name a copy with --source PATH ({forms}), {network}, or train "
        "on the embedded set with --data sample."
    )


def _probe(source: ImageSource, wish: _Wish, skip_broken: bool) -> tuple[int, int, int]:
    """The shape (C, H, W) of the first image, once it is resized and cropped.

    Where neither the wish nor the source says C, it is 1 if the images are grey that are looked at.
    """
    channels = wish.shape[0] or source.channels or (1 if all(is_grey(item) for item in _spread(source)) else 3)
    for item in source.part(0, source.count).items():
        try:
            return shape_of(item, wish.geometry, channels)
        except BrokenImage as error:
            if not skip_broken:
                raise DataError(f"{item.name} {error.reason}.") from error
    raise DataError(f"{source.origin} holds no image that is not broken.")


def _spread(source: ImageSource) -> Iterator[Item]:
    looks = min(_LOOKS, source.count)
    for look in range(looks):
        start = look * source.count // looks
        yield from source.part(start, start + 1).items()
