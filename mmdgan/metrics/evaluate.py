"""Scores of generated images against real ones, each with the protocol it was computed by.

As in the original: scores of the generated and of the real images, the distance between them, and the distance between
two halves of the real ones, which is about what a perfect generator would get.
"""

from __future__ import annotations

import dataclasses
import difflib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdgan.core.errors import MetricError
from mmdgan.metrics import METRICS
from mmdgan.metrics.classes import asked_classes, class_shares
from mmdgan.metrics.context import Context, EvaluateOptions, Facts, Side
from mmdgan.metrics.moments import Moments
from mmdgan.metrics.records import append_jsonl, format_table, merge_repeats, score_name, versions
from mmdgan.metrics.score_functions import SCORES
from mmdgan.metrics.score_statistics import check_metric_of_statistics, check_statistics

if TYPE_CHECKING:
    from mmdgan.metrics.features.resolve import Extractor
    from mmdgan.metrics.image_sets import ImageSet

__all__ = [
    "EvaluateOptions",
    "append_jsonl",
    "check_request",
    "check_sets",
    "evaluate_images",
    "evaluate_sets",
    "format_table",
    "needs_features",
    "score_name",
]

_UNKNOWN = object()
_NO_FEATURES = dict.fromkeys(("features", "feature_source", "feature_hash", "feature_count"))


def evaluate_sets(
    generated: ImageSet | Sequence[ImageSet],
    real: ImageSet | Moments,
    extractor: Extractor | None,
    metrics: Iterable[str] = METRICS,
    *,
    options: EvaluateOptions | None = None,
    training: ImageSet | None = None,
    seed: int = 0,
    step: int | None = None,
    data: str = "",
    split: str = "train",
    cache: Path | None = None,
    progress: Callable | None = None,
) -> list[dict]:
    """Computes scores of images, or of several sets of images of one generator.

    All sets must be in random order, as those of `open_images`, `DataSet` and `GeneratedSet` are: some scores divide
    them into parts.

    Args:
        generated: the images; or sets of the same size and generator, from different seeds ("repeats").
        real: images that they are compared with, or stored statistics, for which fid is the only metric.
        extractor: as `mmdgan.metrics.resolve` finds it; None if `needs_features` says that there is no need.
        metrics: identifiers, of `mmdgan.metrics.METRICS`.
        options: how the scores are computed.
        training: all images that the generator was trained on, for nn and intra_fid; `real` by default.
        seed: of the latent codes (of the first repeat) and of random choices, for the record.
        step: the training step of the generator, for the record; None for images of unknown origin.
        data: name of the real images, for the record.
        split: which part of the data set they are, for the record.
        cache: the folder of computed features; None to keep none.
        progress: takes one sentence at a time.

    Returns:
        One record per score, ready for JSON: "metric" (its name), "identifier" (of `metrics`), "value" (None where it
        has none; of several sets the mean), "values" (of each set), "spread" and "spread_of", "count" and "count_real"
        (images on each side), "seconds" without those for features ("feature_seconds"), and the protocol. A
        classifier's view of the classes comes last.

    Raises:
        MetricError: whatever `check_sets` refuses.
    """
    metrics, options = tuple(metrics), options or EvaluateOptions()
    sets = list(generated) if isinstance(generated, Sequence) else [generated]
    check_sets(metrics, sets, real, extractor, options=options, training=training)
    progress = progress or (lambda sentence: None)
    real_side: Side | Moments
    training_side: Side | None = None
    if isinstance(real, Moments):
        real_side = real
    else:
        real_side = Side(real, extractor, cache, progress)
        training_side = real_side if training is None else Side(training, extractor, cache, progress)
    repeats, seconds = [], 0.0
    for number, images in enumerate(sets):
        context = Context(
            Side(images, extractor, cache, progress), real_side, training_side, extractor, options, seed + number
        )
        if len(sets) > 1:
            progress(f"Repeat {number + 1} of {len(sets)}.")
        if needs_features(metrics):
            seconds += _prepare(context)
        repeats.append(list(_records(metrics, context, first=number == 0, progress=progress)))
    protocol = {
        "images": sets[0].name,
        "data": data,
        "split": split,
        "image_shape": list(sets[0].shape),
        "seed": int(seed),
        "step": None if step is None else int(step),
        "repeats": len(sets),
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
    progress: Callable | None = None,
) -> list[dict]:
    """Computes scores of images in arrays.

    Args:
        generated: uint8 (N, H, W, C).
        real: uint8 (M, H, W, C), in random order, from the images that the generator was trained on.
        labels: integers (N, 1), the classes that the generated images were asked for.
        force: compute Fréchet distances of fewer images than features + 1, and mark them.
        extractor, metrics, seed, step, data, progress: as for `evaluate_sets`.

    Returns:
        As `evaluate_sets`.
    """
    from mmdgan.metrics.image_sets import ArraySet

    return evaluate_sets(
        ArraySet(generated, labels, name="generated"),
        ArraySet(real, name=data or "real"),
        extractor,
        metrics,
        options=EvaluateOptions(force=force),
        seed=seed,
        step=step,
        data=data,
        progress=progress,
    )


def needs_features(metrics: Iterable[str]) -> bool:
    """Whether any of the metrics (of none: the view of the classes) needs an extractor."""
    metrics = tuple(metrics)
    return not metrics or any(part.features for metric in metrics for part in SCORES[metric].parts)


def check_request(
    metrics: Iterable[str],
    count: int,
    extractor: Extractor | None,
    *,
    force: bool = False,
    options: EvaluateOptions | None = None,
    shape: tuple[int, int, int] | None = None,
    labels: Any = _UNKNOWN,
    labels_training: np.ndarray | None = None,
    leave_out: Callable | None = None,
) -> tuple[str, ...]:
    """Refuses what cannot be computed; worth calling before training, when there is no image yet.

    Args:
        metrics: their identifiers.
        count: the number of images in the smaller set.
        extractor: where the features come from.
        force: allow Fréchet distances of too few images.
        options: how the scores are computed; `force` is then theirs.
        shape: (H, W, C) of the images.
        labels: classes that the generated images will be asked for, int (N,) or (N, 1); None for an unconditional
            generator. Unless they are given, intra_fid is not checked.
        labels_training: int (M,): the classes of the training images.
        leave_out: takes a sentence for each metric that cannot be computed; None to raise it as an error.

    Returns:
        The metrics, without those that are left out.

    Raises:
        MetricError: an unknown metric, or one that cannot be computed.
    """
    metrics = known_metrics(metrics)
    facts = Facts(count, count, count, options or EvaluateOptions(force=force), shape=shape, shape_real=shape)
    unchecked = ("intra_fid",) if labels is _UNKNOWN else ()
    if labels is not _UNKNOWN:
        labels = None if labels is None else np.reshape(labels, -1)
        facts = dataclasses.replace(facts, labels=labels, labels_training=labels_training)
    return _checked(metrics, _with_extractor(facts, metrics, extractor), leave_out, unchecked)


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
    """Refuses what cannot be computed of image sets; no image is touched.

    Args:
        metrics: their identifiers.
        generated: sets of one size.
        real, extractor, options, training: as for `evaluate_sets`.
        leave_out: takes a sentence for each metric that cannot be computed; None to raise it as an error.

    Returns:
        The metrics, without those that are left out.

    Raises:
        MetricError: an unknown metric; one that needs more images, images of another form, labels, logits, or images
            where there are stored statistics; statistics of other features; sets of different sizes.
    """
    metrics, options = known_metrics(metrics), options or EvaluateOptions()
    first = generated[0]
    if any((images.count, images.shape) != (first.count, first.shape) for images in generated):
        raise MetricError("Repeats are sets of as many images of one size: draw them with different seeds alone.")
    if isinstance(real, Moments):
        facts = _with_extractor(Facts(first.count, real.count, 0, options, first.shape), metrics, extractor)
        metrics = _checked(metrics, facts, leave_out, statistics=True)
        assert extractor is not None  # the only score of statistics is one of features
        check_statistics(real, extractor)
        return metrics
    whole = real if training is None else training
    facts = Facts(first.count, real.count, whole.count, options, first.shape, real.shape)
    if "intra_fid" in metrics:
        facts = dataclasses.replace(facts, labels=first.labels, labels_training=whole.labels)
    return _checked(metrics, _with_extractor(facts, metrics, extractor), leave_out)


def known_metrics(metrics: Iterable[str]) -> tuple[str, ...]:
    """The same metrics; MetricError for an identifier that no score has."""
    metrics = tuple(metrics)
    for metric in metrics:
        if metric not in SCORES:
            near = difflib.get_close_matches(metric, SCORES, 1, 0.5)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise MetricError(f"There is no metric {metric!r}{hint}: choose from {', '.join(SCORES)}.")
    return metrics


def _checked(
    metrics: tuple[str, ...],
    facts: Facts,
    leave_out: Callable | None,
    unchecked: tuple[str, ...] = (),
    statistics: bool = False,
) -> tuple[str, ...]:
    """The metrics that can be computed; what cannot is an error, or left out with a sentence."""
    possible = []
    for metric in metrics:
        try:
            if statistics:
                check_metric_of_statistics(metric)
            if metric not in unchecked:
                SCORES[metric].check(facts)
        except MetricError as error:
            if leave_out is None:
                raise
            leave_out(f"Without {metric}. {error}")
        else:
            possible.append(metric)
    if metrics and not possible:
        raise MetricError(f"None of the metrics {', '.join(metrics)} can be computed of these images.")
    return tuple(possible)


def _with_extractor(facts: Facts, metrics: Sequence[str], extractor: Extractor | None) -> Facts:
    if extractor is None:
        if needs_features(metrics):
            raise MetricError(f"The metrics {', '.join(metrics)} need features: give an extractor.")
        return facts
    logits = getattr(extractor, "logit_count", None) != 0
    return dataclasses.replace(facts, label=extractor.label, features=extractor.feature_count, logits=logits)


def _prepare(context: Context) -> float:
    """Computes the features of both sides, so that no score's seconds hold them; returns what it took."""
    sides = [side for side in (context.generated, context.real) if isinstance(side, Side)]
    begun = [side.seconds for side in sides]
    for side in sides:
        _ = side.features
    return sum(side.seconds for side in sides) - sum(begun)


def _records(metrics: Sequence[str], context: Context, first: bool, progress: Callable) -> Iterator[dict]:
    """Records of one generated set; with the first one also those of the real images alone."""
    for metric in metrics:
        if SCORES[metric].slow:
            progress(f"Computing {metric}.")
        for part in SCORES[metric].parts:
            if first or not part.once:
                yield from _complete(part.compute(context), metric, context.extractor if part.features else None)
    extractor = context.extractor
    if needs_features(metrics) and hasattr(extractor, "class_names") and context.generated.logits.shape[1]:
        yield from _complete(class_shares(context), "classes", extractor)
        if context.generated.labels is not None and extractor.label == "classifier":
            yield from _complete(asked_classes(context), "asked_class", extractor)


def _complete(records: Iterator[dict], identifier: str, extractor: Extractor | None) -> Iterator[dict]:
    """Adds to each record its metric's identifier, the seconds that it took and where its features come from."""
    begun = time.perf_counter()
    for record in records:
        seconds = round(time.perf_counter() - begun, 3)
        yield {
            **record,
            "identifier": identifier,
            "seconds": seconds,
            **(extractor.protocol() if extractor else _NO_FEATURES),
        }
        begun = time.perf_counter()


def _merged(repeats: Sequence[Sequence[dict]]) -> Iterator[dict]:
    """The records of several generated sets, merged by their names, in the order of the first set."""
    found: dict[str, list[dict]] = {}
    for record in (record for records in repeats for record in records):
        found.setdefault(record["metric"], []).append(record)
    yield from (merge_repeats(records) for records in found.values())
