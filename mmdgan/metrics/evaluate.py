"""Scores of generated images against real ones, each with the protocol by which it was computed.

As in the original: scores of the generated and of the real images, the distance between them, and the distance between
two halves of the real ones, which is about what a perfect generator would get.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.core.progress import Say, log
from mmdgan.metrics.context import Context, EvaluateOptions, Facts, Side
from mmdgan.metrics.moments import Moments, check_statistics
from mmdgan.metrics.records import merge_repeats, versions
from mmdgan.metrics.registry import get, identifiers, implied, needs_features
from mmdgan.metrics.sets import ArraySet, ImageSet, InColour

if TYPE_CHECKING:
    from mmdgan.metrics.features.extractor import Extractor

_NO_FEATURES = dict.fromkeys(("features", "feature_source", "feature_hash", "feature_count"))


def evaluate_sets(
    generated: ImageSet | Sequence[ImageSet],
    real: ImageSet | Moments,
    extractor: Extractor | None,
    metrics: Iterable[str] | None = None,
    *,
    options: EvaluateOptions | None = None,
    training: ImageSet | None = None,
    seed: int = 0,
    step: int | None = None,
    data: str = "",
    split: str = "train",
    cache: Path | None = None,
    say: Say = log,
) -> list[dict]:
    """Computes scores of images, or of several sets of images of one generator.

    All sets must be in random order, as those of `open_images`, `DataSet` and `GeneratedSet` are: some metrics divide
    them into parts.

    Args:
        generated: The images; or sets of the same size and generator, from different seeds ("repeats").
        real: Images to compare them with, or stored statistics, of which fid and fid_infinity are computed.
        extractor: Computes the features, as `mmdgan.metrics.resolve` finds it; None if no metric `needs_features`.
        metrics: Identifiers of metrics; None for all of `mmdgan.metrics.METRICS`.
        options: How the metrics are computed.
        training: All images that the generator was trained on, for nn and intra_fid; `real` by default.
        seed: Seed of the latent codes (of the first repeat) and of random choices, for the record.
        step: Training step of the generator, for the record; None for images of unknown origin.
        data: Name of the real images, for the record.
        split: Part of the data set that they are, for the record.
        cache: Folder of computed features; None to keep none.
        say: Takes one sentence at a time.

    Returns:
        One record per score, ready for JSON: "metric" (its name), "identifier" (the metric's), "value" (None where it
        has none; of several sets the mean), "values" (of each set), "spread" and "spread_of", "count" and "count_real"
        (images on each side), "seconds" without those for features ("feature_seconds"), and the protocol. A
        classifier's view of the classes comes last.

    Raises:
        MetricError: As `check_sets`.
    """
    metrics = identifiers() if metrics is None else tuple(metrics)
    options = options or EvaluateOptions()
    sets = list(generated) if isinstance(generated, Sequence) else [generated]
    check_sets(metrics, sets, real, extractor, options=options, training=training)
    sets, real, training = _in_one_colour(sets, real, training)
    real_side: Side | Moments
    training_side: Side | None = None
    if isinstance(real, Moments):
        real_side = real
    else:
        real_side = Side(real, extractor, cache, say)
        training_side = real_side if training is None else Side(training, extractor, cache, say)
    repeats, seconds = [], 0.0
    for number, images in enumerate(sets):
        side = Side(images, extractor, cache, say)
        context = Context(side, real_side, training_side, extractor, options, seed + number)
        if len(sets) > 1:
            say(f"Repeat {number + 1} of {len(sets)}.")
        if needs_features(metrics):
            seconds += _prepare(context)
        repeats.append(list(_records(metrics, context, first=number == 0, say=say)))
    protocol = {
        "images": sets[0].name,
        "data": data,
        "split": split,
        "image_shape": list(sets[0].shape),
        "seed": int(seed),
        "step": None if step is None else int(step),
        "repeats": len(sets),
        "set_count": sets[0].count,
        "set_hash": ",".join(images.fingerprint()[:16] for images in sets),
        "real_hash": real.feature_hash if isinstance(real, Moments) else real.fingerprint()[:16],
        "feature_seconds": round(seconds, 3),
        "versions": versions(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    return [{**record, **protocol} for record in _merged(repeats)]


def evaluate_images(
    generated: np.ndarray,
    real: np.ndarray,
    extractor: Extractor | None,
    metrics: Iterable[str] = ("fid", "is", "kid"),
    *,
    seed: int,
    step: int | None,
    data: str = "",
    labels: np.ndarray | None = None,
    force: bool = False,
    say: Say = log,
) -> list[dict]:
    """Computes scores of images in arrays.

    Args:
        generated: uint8 (N, H, W, C).
        real: uint8 (M, H, W, C), in random order, from the images that the generator was trained on.
        labels: Integers (N, 1), the classes that the generated images were asked for.
        force: Whether to compute Fréchet distances of fewer images than features + 1, and mark them.
        extractor, metrics, seed, step, data, say: As for `evaluate_sets`, which also says what is returned.
    """
    return evaluate_sets(
        ArraySet(generated, labels, name="generated"),
        ArraySet(real, name=data or "real"),
        extractor,
        metrics,
        options=EvaluateOptions(force=force),
        seed=seed,
        step=step,
        data=data,
        say=say,
    )


def check(
    metrics: Iterable[str], facts: Facts, extractor: Extractor | None, leave_out: Callable | None = None
) -> tuple[str, ...]:
    """Checks whether metrics can be computed; works before training, when there are no images yet.

    Args:
        metrics: Identifiers of metrics.
        facts: What is known of the images; the facts about features are taken from the extractor.
        extractor: Computes the features; None if no metric needs any.
        leave_out: Takes a sentence for each metric that cannot be computed; None to raise it as an error.

    Returns:
        The metrics, without those that are left out.

    Raises:
        MetricError: A metric is unknown; or one, or with `leave_out` every one, cannot be computed.
    """
    metrics, possible = tuple(metrics), []
    chosen = list(map(get, metrics))
    if needs_features(metrics):
        if extractor is None:
            raise MetricError(f"The metrics {', '.join(metrics)} need features: give an extractor.")
        logits = getattr(extractor, "logit_count", None) != 0
        facts = dataclasses.replace(facts, label=extractor.label, features=extractor.feature_count, logits=logits)
    for metric in chosen:
        try:
            if facts.statistics and not metric.statistics:
                raise MetricError(
                    "Stored statistics hold a mean and a covariance, from which fid and fid_infinity can be computed "
                    f"and {metric.identifier} cannot: give one of these, or a folder or data set as the reference."
                )
            metric.check(facts)
        except MetricError as error:
            if leave_out is None:
                raise
            leave_out(f"Without {metric.identifier}. {error}")
        else:
            possible.append(metric.identifier)
    if metrics and not possible:
        raise MetricError(f"None of the metrics {', '.join(metrics)} can be computed of these images.")
    return tuple(possible)


def check_sets(
    metrics: Iterable[str],
    generated: Sequence[ImageSet],
    real: ImageSet | Moments,
    extractor: Extractor | None,
    *,
    options: EvaluateOptions | None = None,
    training: ImageSet | None = None,
    leave_out: Callable | None = None,
) -> tuple[str, ...]:
    """As `check`, of image sets as `evaluate_sets` takes them; no image is looked at.

    Raises:
        MetricError: As `check`; or statistics are of other features, or generated sets differ in size.
    """
    metrics, first, options = tuple(metrics), generated[0], options or EvaluateOptions()
    if any((images.count, images.shape) != (first.count, first.shape) for images in generated):
        raise MetricError("Repeats are sets of as many images of one size: draw them with different seeds alone.")
    if isinstance(real, Moments):
        facts = Facts(first.count, real.count, 0, options, first.shape, statistics=True)
        metrics = check(metrics, facts, extractor, leave_out)
        assert extractor is not None  # only metrics of features take statistics
        check_statistics(real, extractor)
        return metrics
    whole = real if training is None else training
    # Labels of stored images are read when they are asked for.
    labels: dict = {"labels": first.labels, "labels_training": whole.labels} if "intra_fid" in metrics else {}
    names: dict = {"class_names": first.class_names, "class_names_training": whole.class_names}
    facts = Facts(first.count, real.count, whole.count, options, first.shape, real.shape, **labels, **names)
    return check(metrics, facts, extractor, leave_out)


def _in_one_colour(
    generated: list[ImageSet], real: ImageSet | Moments, training: ImageSet | None
) -> tuple[list[ImageSet], ImageSet | Moments, ImageSet | None]:
    """The sets with grey ones as RGB, if some of them are grey and some are not."""

    def coloured(images: Any) -> Any:
        return InColour(images) if isinstance(images, ImageSet) and images.shape[-1] == 1 else images

    channels = {images.shape[-1] for images in (*generated, real, training) if isinstance(images, ImageSet)}
    if len(channels) < 2:
        return generated, real, training
    return [coloured(images) for images in generated], coloured(real), coloured(training)


def _prepare(context: Context) -> float:
    """Computes the features of both sides, so that no score's seconds include them; returns the seconds it took."""
    sides = [side for side in (context.generated, context.real) if isinstance(side, Side)]
    begun = [side.seconds for side in sides]
    for side in sides:
        _ = side.features
    return sum(side.seconds for side in sides) - sum(begun)


def _records(metrics: Sequence[str], context: Context, first: bool, say: Say) -> Iterator[dict]:
    """Records of one generated set; with the first one also those of the real images alone."""
    for metric in [*map(get, metrics), *(implied() if needs_features(metrics) else ())]:
        if metric.slow:
            say(f"Computing {metric.identifier}.")
        yield from _complete(metric.compute(context), metric.identifier, context.extractor)
        if first:
            yield from _complete(metric.compute_real(context), metric.identifier, context.extractor)


def _complete(records: Iterator[dict], identifier: str, extractor: Extractor | None) -> Iterator[dict]:
    """Adds to each record its metric's identifier, the seconds that it took and where its features come from."""
    begun = time.perf_counter()
    for record in records:
        seconds = round(time.perf_counter() - begun, 3)
        # A record that says how its images were resized is one of pixels.
        source = _NO_FEATURES if "resize" in record or extractor is None else extractor.protocol()
        yield {**record, "identifier": identifier, "seconds": seconds, **source}
        begun = time.perf_counter()


def _merged(repeats: Sequence[Sequence[dict]]) -> Iterator[dict]:
    """The records of several generated sets, merged by their names, in the order of the first set."""
    found: dict[str, list[dict]] = {}
    for record in (record for records in repeats for record in records):
        found.setdefault(record["metric"], []).append(record)
    yield from (merge_repeats(records) for records in found.values())
