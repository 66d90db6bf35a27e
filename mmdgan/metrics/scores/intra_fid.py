"""Fréchet distance within each class: Miyato and Koyama 2018, and the original's intra_fid (original.md F.4)."""

from __future__ import annotations

from collections.abc import Iterator

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.metrics.context import UNKNOWN, Context, Facts
from mmdgan.metrics.records import finite, make_record
from mmdgan.metrics.registry import LOWER, Metric, Score, register
from mmdgan.metrics.scores.fid import frechet_distance, frechet_method


@register
class IntraClassDistance(Metric):
    """The mean over the classes of the Fréchet distance between generated and training images of one class."""

    identifier = "intra_fid"
    scores = (Score("intra FID", LOWER, other="intra FD[{}]", judge="intra_fid"),)
    place = 7
    training = True
    slow = True

    def check(self, facts: Facts) -> None:
        if facts.labels is UNKNOWN:
            return
        if facts.labels is None:
            raise MetricError(
                "intra_fid compares images class by class, and the generated ones have no classes: leave it out of the "
                "metrics, or score a conditional generator (or images with labels)."
            )
        if facts.labels_training is None:
            raise MetricError(
                "intra_fid needs labels of the real images, which have none: leave it out of the metrics."
            )
        if missing := sorted(set(np.unique(facts.labels)) - set(np.unique(facts.labels_training))):
            raise MetricError(
                f"intra_fid finds no real images of class {missing[0]}, which some generated images have: compare "
                "with a data set of the same classes."
            )
        least = 2 if facts.options.force else facts.features + 1
        of_asked = facts.labels_training[np.isin(facts.labels_training, facts.labels)]
        for side, labels in (("generated", facts.labels), ("real", of_asked)):
            label, count = _smallest(labels)
            if count < least:
                raise MetricError(
                    f"intra_fid of {facts.features} features needs at least {least:,} images of each class, and of "
                    f"class {label} there are {count:,} {side} ones: give more images, choose fewer features, leave "
                    "intra_fid out, or have it computed and marked all the same (`evaluate --force`)."
                )

    def compute(self, context: Context) -> Iterator[dict]:
        generated, training, force = context.generated, context.training_side, context.options.force
        assert generated.labels is not None and training.labels is not None  # as `check` has seen
        features, names = context.extractor.feature_count, training.images.class_names
        values: dict[str, float | None] = {}
        for label in np.unique(generated.labels):
            of_class = [side.features_of(np.flatnonzero(side.labels == label)) for side in (generated, training)]
            name = names[label] if label < len(names) else str(label)
            values[name] = finite(frechet_distance(*of_class, force=force))
        known = [value for value in values.values() if value is not None]
        count, count_real = _smallest(generated.labels)[1], _smallest(training.labels)[1]
        note = f"mean of {len(values)} classes"
        if min(count, count_real) <= features:
            note += f"; forced: {min(count, count_real)} images in the smallest class for {features} features, so the "
            note += "value means little"
        yield make_record(
            self.scores[0].of(context.label),
            float(np.mean(known)) if len(known) == len(values) else None,
            generated.count,
            training.count,
            note=note,
            per_class=values,
            count_per_class=count,
            count_real_per_class=count_real,
            method=frechet_method(features),
        )


def _smallest(labels: np.ndarray) -> tuple[int, int]:
    """The class with the fewest images, and how many it has."""
    found, counts = np.unique(labels, return_counts=True)
    return int(found[counts.argmin()]), int(counts.min())
