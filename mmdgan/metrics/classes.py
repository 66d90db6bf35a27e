"""Scores by class: Fréchet distances within each, and how a classifier divides the generated images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mmdgan.core.errors import MetricError
from mmdgan.metrics.context import Context, Facts, Side
from mmdgan.metrics.records import finite, make_record, score_name


def intra_fid(context: Context) -> Iterator[dict]:
    """The mean over the classes of the Fréchet distance between generated and training images of one class.

    Source: Miyato and Koyama 2018; the original's intra_fid (original.md F.4).
    """
    from mmdgan.metrics.scores import frechet_distance, frechet_method

    generated, training, options = context.generated, context.training_side, context.options
    assert generated.labels is not None and training.labels is not None  # as `check_intra_fid` has seen
    features = context.extractor.feature_count
    values: dict[str, float | None] = {}
    fewest = min(_smallest(generated.labels)[1], _smallest(training.labels)[1])
    for label in np.unique(generated.labels):
        name = _class_name(training, label)
        of_class = [side.features_of(np.flatnonzero(side.labels == label)) for side in (generated, training)]
        values[name] = finite(frechet_distance(*of_class, force=options.force))
    known = [value for value in values.values() if value is not None]
    note = f"mean of {len(values)} classes"
    if fewest <= features:
        note += f"; forced: {fewest} images in the smallest class for {features} features, so the value means little"
    yield make_record(
        score_name("intra_fid", context.label),
        float(np.mean(known)) if len(known) == len(values) else None,
        generated.count,
        training.count,
        note=note,
        per_class=values,
        count_per_class=_smallest(generated.labels)[1],
        count_real_per_class=_smallest(training.labels)[1],
        method=frechet_method(features),
    )


def check_intra_fid(facts: Facts) -> None:
    """Raises a MetricError unless both sides have labels and enough images of each class."""
    if facts.labels is None:
        raise MetricError(
            "intra_fid compares images class by class, and the generated ones have no classes: leave it out of the "
            "metrics, or score a conditional generator (or images with labels)."
        )
    if facts.labels_training is None:
        raise MetricError("intra_fid needs labels of the real images, which have none: leave it out of the metrics.")
    if missing := sorted(set(np.unique(facts.labels)) - set(np.unique(facts.labels_training))):
        raise MetricError(
            f"intra_fid finds no real images of class {missing[0]}, of which there are generated ones: compare with "
            "a data set of the same classes."
        )
    of_asked = facts.labels_training[np.isin(facts.labels_training, facts.labels)]
    for side, labels in (("generated", facts.labels), ("real", of_asked)):
        label, count = _smallest(labels)
        least = 2 if facts.options.force else facts.features + 1
        if count < least:
            raise MetricError(
                f"intra_fid of {facts.features} features needs at least {least:,} images of each class, and of class "
                f"{label} there are {count:,} {side} ones: give more images, choose fewer features, leave "
                "intra_fid out, or have it computed and marked all the same (`evaluate --force`)."
            )


def class_shares(context: Context) -> Iterator[dict]:
    """How the classifier divides the generated images: the share of the rarest class shows a collapse."""
    names, generated, real = context.extractor.class_names, context.generated, context.real
    shares = _shares(generated, len(names))
    rarest = int(shares.argmin())
    note = f"share of the rarest class, {names[rarest]}"
    details: dict[str, Any] = {}
    if isinstance(real, Side):
        shares_real = _shares(real, len(names))
        note += f" ({shares_real[rarest]:.1%} of the real images)"
        details = {"shares_real": dict(zip(names, shares_real.tolist(), strict=True))}
    yield make_record(
        score_name("classes", context.label),
        float(shares[rarest]),
        generated.count,
        real.count if isinstance(real, Side) else None,
        note=note,
        shares=dict(zip(names, shares.tolist(), strict=True)),
        **details,
    )


def asked_classes(context: Context) -> Iterator[dict]:
    """In what share of the generated images the classifier finds the class that was asked for."""
    asked, names = context.generated.labels, context.extractor.class_names
    assert asked is not None
    found = context.generated.logits.argmax(axis=1) == asked
    shares = {name: float(found[asked == i].mean()) for i, name in enumerate(names) if i in asked}
    worst = min(shares, key=lambda name: shares[name])
    yield make_record(
        score_name("asked class", context.label),
        float(found.mean()),
        len(found),
        note=f"share of images in which the asked class is found; least for {worst} ({shares[worst]:.1%})",
        shares=shares,
    )


def _shares(side: Side, classes: int) -> np.ndarray:
    """The share of each class in what the classifier finds, (classes,)."""
    return np.bincount(side.logits.argmax(axis=1), minlength=classes) / side.count


def _smallest(labels: np.ndarray) -> tuple[int, int]:
    """The class of which there are fewest, and how many."""
    found, counts = np.unique(labels, return_counts=True)
    return int(found[counts.argmin()]), int(counts.min())


def _class_name(side: Side, label: int) -> str:
    names = side.images.class_names
    return names[label] if label < len(names) else str(label)
