"""Scores of any two sets of images in one call, from Python.

found = mmdgan.metrics.score("generated.npz", "photos/", metrics=("fid", "prdc"), features="inception")
print(found)                # a table with the protocol
found["FID"]                # one number
found.records[0]["count"]   # its protocol
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdgan.core.errors import MetricError
from mmdgan.core.progress import Say, log
from mmdgan.metrics.evaluate import EvaluateOptions, check_sets, evaluate_sets
from mmdgan.metrics.features.resolve import resolve
from mmdgan.metrics.opened_sets import open_images
from mmdgan.metrics.records import format_table
from mmdgan.metrics.registry import get, identifiers, needs_features
from mmdgan.metrics.sets import ArraySet, DataSet, ImageSet, check_count, random_order

if TYPE_CHECKING:
    from mmdgan.metrics.features.extractor import Extractor

Images = np.ndarray | str | os.PathLike | ImageSet
"""What `score` compares: an array, a folder, an archive, a .npz file, the name of a data set, or an opened set."""


class Scores(dict[str, float | None]):
    """Scores by their names; printed, a table.

    Attributes:
        records: One per score, with its protocol, as `evaluate_sets` returns them.
        notes: What a reader should know, such as which metrics were left out.
    """

    def __init__(self, records: Sequence[dict[str, Any]], notes: Iterable[str] = ()) -> None:
        super().__init__((record["metric"], record["value"]) for record in records)
        self.records, self.notes = list(records), tuple(notes)

    def __str__(self) -> str:
        return "\n".join([format_table(self.records), *self.notes])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))  # what a notebook shows


def score(
    generated: Images,
    real: Images,
    metrics: Iterable[str] | None = None,
    features: str | Extractor = "auto",
    *,
    count: int | None = None,
    seed: int = 0,
    options: EvaluateOptions | None = None,
    data_root: str | Path = "Data",
    inception: str | Path | None = None,
    classifier_data: str | None = None,
    resize: str | None = None,
    cache: str | os.PathLike | None = None,
    say: Say = log,
) -> Scores:
    """Scores images against real ones: any two sets, each given as an array or a path.

    Args:
        generated: uint8 (N, H, W, C); or a folder of pictures, a .zip or .tar of one, a .npz file, or the name of a
            data set.
        real: What to compare them with, in the same forms.
        metrics: Identifiers of `mmdgan.metrics.METRICS`. None: fid, is and kid if there are features for them, else
            those that need no features; the notes say which were left out and why.
        features: As `--features` of the command line: "auto", "inception", "classifier" or "keras:NAME"; or an
            extractor, as `mmdgan.metrics.resolve` returns them.
        count: Number of images of each set, chosen at random; None: all.
        seed: Seed of the order of the images and of random choices.
        options: How the metrics are computed.
        data_root: Folder of data sets, of the Inception graph and of trained classifiers.
        inception, classifier_data, resize: As of `mmdgan.metrics.resolve`.
        cache: Folder for computed features, which makes a second call quick; None keeps none.
        say: Takes one sentence at a time.

    Returns:
        The scores by name, such as {"FID": 12.3, ...}, with their records.

    Raises:
        DataError: One of the sets is not images, or holds fewer than `count`.
        MetricError: A metric is unknown or cannot be computed, or there are no features for one that was asked for.
    """
    sets = [
        _open(images, name, data_root, count, seed, say) for images, name in ((generated, "generated"), (real, "real"))
    ]
    notes: list[str] = []
    leave_out = notes.append if metrics is None else None
    wanted = tuple(metrics) if metrics is not None else ("fid", "is", "kid")
    extractor: Extractor | None = None
    if needs_features(wanted):
        data = next((images.data for images in reversed(sets) if isinstance(images, DataSet)), None)
        places: dict[str, Any] = {"inception": inception, "classifier_data": classifier_data, "resize": resize}
        try:
            extractor = (
                resolve(features, data, data_root=data_root, **places, say=say)
                if isinstance(features, str)
                else features
            )
        except MetricError as error:
            if metrics is not None or features != "auto":
                raise
            wanted = tuple(name for name in identifiers() if not get(name).features)
            notes.append(f"Without fid, is and kid, which need features. {error}")
    options = options or EvaluateOptions()
    wanted = check_sets(wanted, sets[:1], sets[1], extractor, options=options, leave_out=leave_out)
    for note in notes:
        say(note)
    records = evaluate_sets(
        sets[0],
        sets[1],
        extractor,
        wanted,
        options=options,
        seed=seed,
        data=sets[1].name,
        split="",
        cache=None if cache is None else Path(cache),
        say=say,
    )
    return Scores(records, notes)


def _open(images: Images, name: str, data_root: str | Path, count: int | None, seed: int, say: Say) -> ImageSet:
    """A set of images in random order."""
    if isinstance(images, str | os.PathLike):
        return open_images(os.fspath(images), data_root=data_root, count=count, seed=seed, say=say)
    opened = images if isinstance(images, ImageSet) else ArraySet(np.asarray(images), name=name)
    count = opened.count if count is None else count
    check_count(count, opened.name, opened.count)
    # Arrays are often sorted by class; some metrics need each part of a set to be like the whole.
    order = np.arange(count) if opened is images else random_order(opened.count, seed)[:count]
    return opened.chosen(order)
