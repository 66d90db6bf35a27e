"""Scores of generated images against real ones, each with the protocol it was computed by.

As in the original: scores of the generated and of the real images, the distance between them, and the distance between
two halves of the real ones, which is about what a perfect generator would get.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdgan.errors import MetricError
from mmdgan.metrics import METRICS

if TYPE_CHECKING:
    from mmdgan.metrics.features import Extractor

PACKAGES = ("tensorflow", "keras", "tensorflow-gan", "numpy")


@dataclass(frozen=True)
class ImageSets:
    """Features and logits of both image sets.

    Attributes:
        features_gen, features_real: (N, F) and (M, F).
        logits_gen, logits_real: (N, K) and (M, K).
        force: compute Fréchet distances of too few images.
    """

    features_gen: np.ndarray
    logits_gen: np.ndarray
    features_real: np.ndarray
    logits_real: np.ndarray
    force: bool = False


def evaluate_images(
    generated: np.ndarray,
    real: np.ndarray,
    extractor: Extractor,
    metrics: Iterable[str] = METRICS,
    *,
    seed: int,
    step: int,
    data: str = "",
    labels: np.ndarray | None = None,
    force: bool = False,
    progress: Callable | None = None,
) -> list[dict]:
    """Computes scores.

    Args:
        generated: uint8 (N, H, W, C).
        real: uint8 (M, H, W, C), in random order, from the images that the generator was trained on.
        extractor: as `mmdgan.metrics.resolve` finds it.
        metrics: any of "fid", "is", "kid".
        seed: the seed of the latent codes and of the choice of real images, for the record.
        step: the training step of the generator, for the record.
        data: name of the real images, for the record.
        labels: integers (N, 1), the classes that the generated images were asked for; then the share of images in
            which a classifier of the same classes finds them is a score too.
        force: compute Fréchet distances of fewer images than features + 1, and mark them.
        progress: takes one sentence at a time.

    Returns:
        One record per score, ready for JSON: "metric" (its name), "value" (None where it has none), "count" and
        "count_real" (images on each side), "seconds", and the protocol. A classifier's view of the classes comes last.

    Raises:
        MetricError: an unknown metric, or too few images.
    """
    metrics = tuple(metrics)
    check_request(metrics, min(len(generated), len(real)), extractor, force=force)
    begun = time.perf_counter()
    protocol = extractor.protocol()
    sets = ImageSets(*extractor.extract(generated, progress), *extractor.extract(real, progress), force)
    protocol = {
        **protocol,
        "data": data,
        "split": "train",
        "image_shape": list(generated.shape[1:]),
        "seed": int(seed),
        "step": int(step),
        "feature_seconds": round(time.perf_counter() - begun, 3),
        "versions": versions(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    records = []
    for metric in metrics:
        records.extend(_timed(_SCORES[metric](sets, extractor.label)))
    if hasattr(extractor, "class_names"):
        records.extend(_timed(_classes(sets, extractor)))
        if labels is not None and extractor.label == "classifier":
            records.extend(_timed(_asked_classes(sets, extractor, labels)))
    return [{**record, **protocol} for record in records]


def check_request(metrics: Iterable[str], count: int, extractor: Extractor, *, force: bool = False) -> None:
    """Refuses what cannot be computed; worth calling before training.

    Args:
        metrics: their identifiers.
        count: the number of images in the smaller set.
        extractor: where the features come from.
        force: allow Fréchet distances of too few images.

    Raises:
        MetricError: an unknown metric, or fewer images than features + 1 for a Fréchet distance.
    """
    unknown = [metric for metric in metrics if metric not in _SCORES]
    if unknown:
        raise MetricError(f"There is no metric {unknown[0]!r}: choose from {', '.join(_SCORES)}.")
    if "fid" in metrics and not force:
        from mmdgan.metrics.scores import require_samples

        require_samples(count, extractor.feature_count)


def score_name(metric: str, label: str) -> str:
    """The honest name of a score: FID, IS and KID only with the 2015 Inception graph, else such as "FD[classifier]".

    Args:
        metric: "fid", "is" or "kid".
        label: the features' label.
    """
    published, general = {"fid": ("FID", "FD"), "is": ("IS", "CS"), "kid": ("KID", "KD")}[metric]
    return published if label == "inception" else f"{general}[{label}]"


def versions() -> dict[str, str]:
    """The versions that a score may depend on."""
    import mmdgan

    found = {"mmdgan": getattr(mmdgan, "__version__", "unknown"), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "unknown"  # TensorFlow also comes as tensorflow-cpu and the like
    return found


def append_jsonl(path: str | Path, records: Iterable[dict]) -> None:
    """Appends records to a file, one line of JSON each; an unfinished last line is closed first.

    Args:
        path: the file; it and its folder are made if missing.
        records: dictionaries of what JSON can hold.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records)
    with open(path, "ab+") as file:
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode())


def format_table(records: list[dict]) -> str:
    """The scores as a table of text, with their protocol below.

    Args:
        records: of one evaluation, as `evaluate_images` returns them.
    """
    if not records:
        return "No scores were asked for."
    rows = [("score", "value", "images")]
    for record in records:
        value = "-" if record["value"] is None else f"{record['value']:.4g}"
        images = f"{record['count']:,}" + (f" and {record['count_real']:,}" if record["count_real"] else "")
        note = f"  {record['note']}" if record.get("note") else ""
        rows.append((record["metric"], value, images + note))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{name:<{widths[0]}}  {value:>{widths[1]}}  {images}" for name, value, images in rows]
    first = records[0]
    accuracy = f", test accuracy {first['classifier_accuracy']:.1%}" if "classifier_accuracy" in first else ""
    lines.append(
        f"Features: {first['feature_source']} ({first['feature_hash']}{accuracy}); resize: {first['resize']}; "
        f"real images: {first['data'] or 'unnamed'}, {first['split']}; seed {first['seed']}, step {first['step']:,}."
    )
    return "\n".join(lines)


def _fid(sets: ImageSets, label: str) -> Iterator[dict]:
    from mmdgan.metrics.scores import frechet_distance

    name, count_features = score_name("fid", label), sets.features_gen.shape[1]
    generated, real = sets.features_gen, sets.features_real
    record = _record(name, frechet_distance(real, generated, force=sets.force), len(generated), len(real))
    if min(len(generated), len(real)) <= count_features:
        record["note"] = f"forced: fewer images than {count_features} features + 1, so the value means little"
    yield record
    half = len(real) // 2
    if half > count_features:
        yield _record(f"{name} real-real", frechet_distance(real[:half], real[-half:]), half, half)
    else:
        record = _record(f"{name} real-real", None, half, half)
        yield {**record, "note": f"needs {2 * (count_features + 1):,} real images"}


def _is(sets: ImageSets, label: str) -> Iterator[dict]:
    from mmdgan.metrics.scores import classifier_score

    name = score_name("is", label)
    for suffix, logits in (("", sets.logits_gen), (" real", sets.logits_real)):
        yield {**_record(name + suffix, classifier_score(logits), len(logits)), "score_splits": 1}


def _kid(sets: ImageSets, label: str) -> Iterator[dict]:
    from mmdgan.metrics.scores import kernel_distance

    value = kernel_distance(sets.features_real, sets.features_gen)
    yield _record(score_name("kid", label), value, len(sets.features_gen), len(sets.features_real))


_SCORES: dict[str, Callable[[ImageSets, str], Iterator[dict]]] = {"fid": _fid, "is": _is, "kid": _kid}


def _classes(sets: ImageSets, extractor: Extractor) -> Iterator[dict]:
    """How the classifier divides the generated images: the share of the rarest class shows a collapse."""
    names = extractor.class_names
    shares, shares_real = (
        np.bincount(logits.argmax(axis=1), minlength=len(names)) / len(logits)
        for logits in (sets.logits_gen, sets.logits_real)
    )
    rarest = int(shares.argmin())
    record = _record(f"classes[{extractor.label}]", float(shares[rarest]), len(sets.logits_gen), len(sets.logits_real))
    yield {
        **record,
        "note": f"share of the rarest class, {names[rarest]} ({shares_real[rarest]:.1%} of the real images)",
        "shares": dict(zip(names, shares.tolist(), strict=True)),
        "shares_real": dict(zip(names, shares_real.tolist(), strict=True)),
    }


def _asked_classes(sets: ImageSets, extractor: Extractor, labels: np.ndarray) -> Iterator[dict]:
    """In what share of the generated images the classifier finds the class that was asked for."""
    asked = np.asarray(labels).reshape(-1)
    found = sets.logits_gen.argmax(axis=1) == asked
    shares = {name: float(found[asked == i].mean()) for i, name in enumerate(extractor.class_names) if i in asked}
    worst = min(shares, key=lambda name: shares[name])
    yield {
        **_record(f"asked class[{extractor.label}]", float(found.mean()), len(found)),
        "note": f"share of images in which the asked class is found; least for {worst} ({shares[worst]:.1%})",
        "shares": shares,
    }


def _record(metric: str, value: float | None, count: int, count_real: int | None = None) -> dict:
    """The entries that every score has. JSON has no infinities: they become None."""
    finite = value is not None and math.isfinite(value)
    return {"metric": metric, "value": float(value) if finite else None, "count": count, "count_real": count_real}


def _timed(records: Iterator[dict]) -> Iterator[dict]:
    """Adds to each record the seconds that it took."""
    begun = time.perf_counter()
    for record in records:
        yield {**record, "seconds": round(time.perf_counter() - begun, 3)}
        begun = time.perf_counter()
