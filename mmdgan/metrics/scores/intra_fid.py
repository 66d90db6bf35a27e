"""Fréchet distance within each class: Miyato and Koyama 2018, and the original's intra_fid (original.md F.4)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.metrics.context import Context, Facts, class_name, pair_classes
from mmdgan.metrics.intervals import around
from mmdgan.metrics.moments import Moments
from mmdgan.metrics.records import finite, make_record
from mmdgan.metrics.registry import LOWER, Metric, Score, register
from mmdgan.metrics.scores.fid import clipped_note, frechet_error, frechet_method, unclipped_distance


@register
class IntraClassDistance(Metric):
    """The mean over the classes of the Fréchet distance between generated and training images of one class."""

    identifier = "intra_fid"
    scores = (Score("intra FID", LOWER, "intra FD[{}]", "intra_fid", "Fréchet distance within each class, averaged"),)
    place = 7
    training = True
    slow = True

    def check(self, facts: Facts) -> None:
        if facts.labels is None:
            raise MetricError(
                "intra_fid compares images class by class, and the generated ones have no classes: leave it out of the "
                "metrics, or score a conditional generator (or images with labels)."
            )
        if facts.labels_training is None:
            raise MetricError(
                "intra_fid needs labels of the real images, which have none: leave it out of the metrics."
            )
        names, real_names = facts.class_names, facts.class_names_training
        asked, _ = pair_classes(facts.labels, names, real_names)
        if missing := np.unique(facts.labels[~np.isin(asked, facts.labels_training)]).tolist():
            there = _listed(np.unique(facts.labels_training).tolist(), real_names)
            raise MetricError(
                f"intra_fid finds no real images of class {_listed(missing, names)}, which some generated images have: "
                f"compare with a data set of the same classes (this one has {there}), or name the classes alike."
            )
        least = 2 if facts.options.force else facts.features + 1
        of_asked = facts.labels_training[np.isin(facts.labels_training, asked)]
        for side, labels in (("generated", asked), ("real", of_asked)):
            label, count = _smallest(labels)
            if count < least:
                raise MetricError(
                    f"intra_fid of {facts.features} features needs at least {least:,} images of each class, and of "
                    f"class {class_name(label, real_names)} there are {count:,} {side} ones: give more images, choose "
                    "fewer features, leave intra_fid out, or have it computed and marked all the same (`evaluate "
                    "--force`)."
                )

    def compute(self, context: Context) -> Iterator[dict]:
        generated, training, force = context.generated, context.training_side, context.options.force
        labels, labels_training = generated.images.labels, training.images.labels
        assert labels is not None and labels_training is not None  # as `check` has seen
        features, names = context.extractor.feature_count, training.images.class_names
        asked, by_number = pair_classes(labels, generated.images.class_names, names)
        values: dict[str, float | None] = {}
        below, variance = 0.0, 0.0
        for label in np.unique(asked).tolist():
            places = (np.flatnonzero(classes == label) for classes in (asked, labels_training))
            of_class = [side.features_of(part) for side, part in zip((generated, training), places, strict=True)]
            moments = [Moments.of(part) for part in of_class]
            value = unclipped_distance(*moments, force=force)
            values[class_name(label, names)], below = finite(max(value, 0.0)), min(below, value)
            enough = all(len(part) > features for part in of_class)
            variance += frechet_error(moments, of_class) ** 2 if enough else math.nan
        known = [value for value in values.values() if value is not None]
        of_asked = labels_training[np.isin(labels_training, asked)]
        count, count_real = _smallest(asked)[1], _smallest(of_asked)[1]
        note = f"mean of {len(values)} classes"
        note += ", paired by number" if by_number else ""
        if left := np.setdiff1d(labels_training, asked).tolist():
            note += f"; no images of class {_listed(left, names)}"
        note += f"; {clipped_note(below)}" if below < 0 else ""
        if min(count, count_real) <= features:
            note += f"; forced: {min(count, count_real)} images in the smallest class for {features} features, so the "
            note += "value means little"
        mean = float(np.mean(known)) if len(known) == len(values) else None
        error = math.sqrt(variance) / len(values)
        yield make_record(
            self.scores[0].of(context.label),
            mean,
            generated.count,
            training.count,
            interval=around(mean, error, "delta method over the images of both sets, class by class", least=0.0),
            note=note,
            per_class=values,
            count_per_class=count,
            count_real_per_class=count_real,
            method=frechet_method(features),
        )


def _listed(labels: Sequence[int], names: Sequence[str], most: int = 5) -> str:
    """Classes by name: "cat, dog and 8 others"."""
    more = f" and {len(labels) - most} others" if len(labels) > most + 1 else ""
    return ", ".join(class_name(label, names) for label in labels[: most if more else None]) + more


def _smallest(labels: np.ndarray) -> tuple[int, int]:
    """The class with the fewest images, and how many it has."""
    found, counts = np.unique(labels, return_counts=True)
    return int(found[counts.argmin()]), int(counts.min())
