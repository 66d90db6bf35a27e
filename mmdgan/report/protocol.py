"""How scores were computed, and what differs: between scores of runs, and from those of the paper.

Two scores are comparable only if the features, the images and their numbers are the same; a difference is always said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmdgan import design
from mmdgan.core.errors import DesignError
from mmdgan.losses import registry as losses
from mmdgan.report.facts import RunFacts

SAME, DIFFERS, UNKNOWN = "same", "differs", "unknown"

_FIELDS = {
    "features": "features",
    "feature_source": "feature source",
    "feature_hash": "features' hash",
    "resize": "resize",
    "data": "real images",
    "split": "split",
    "image_shape": "image shape",
    "count": "images",
    "count_real": "real images' number",
    "real_hash": "choice of real images",
    "score_splits": "splits",
    "k": "neighbours k",
    "pairs": "pairs",
    "repeats": "repeats",
}
"""What belongs to the protocol of a score (`mmdgan.metrics.evaluate`), with the words of a footnote."""

_HIGHER = ("IS", "CS", "precision", "recall", "density", "coverage", "classes", "asked class")
_LOWER = ("FID", "FD", "KID", "KD", "MS-SSIM", "SWD", "intra FID", "intra FD")
_IDENTIFIERS = {
    "fid": ("FID", "FD"),
    "is": ("IS", "CS"),
    "kid": ("KID", "KD"),
    "classes": ("classes",),
    "asked_class": ("asked class",),
}
"""Of lines that were written before lines said the identifiers of their metrics."""

_STEPS, _BATCH, _COUNTS = 100_000, 64, (49_984, 50_000)
_INCEPTION = "the 2015 Inception graph"
_REAL = {"train": "training images", None: "not recorded"}


@dataclass(frozen=True)
class Line:
    """One point of the published protocol beside a run's: what, both in words, and SAME, DIFFERS or UNKNOWN."""

    what: str
    published: str
    run: str
    mark: str


def kind(metric: str) -> str:
    """A score's name without its features: "FD" of "FD[classifier]", "FID real-real" of "FID real-real"."""
    before, bracket, after = metric.partition("[")
    return (before + after.partition("]")[2] if bracket else metric).strip()


def direction(metric: str) -> int:
    """1 if higher values are better, -1 if lower ones are, 0 if neither (a score of the real images themselves)."""
    name = kind(metric)
    if is_of_real(metric):
        return 0
    for sign, names in ((1, _HIGHER), (-1, _LOWER)):
        if any(f"{name} ".startswith(f"{known} ") for known in names):
            return sign
    return 0


def is_of_real(metric: str) -> bool:
    """Whether a score is one of real images alone, such as "CS[classifier] real" and "FID real-real"."""
    return " real" in kind(metric)


def of_real(metric: str, records: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The score of real images that belongs to a score: "CS[a] real (10 splits)" to "CS[a] (10 splits)".

    Args:
        metric: the score's name.
        records: of one evaluation, by their names.
    """
    name, bracket, rest = metric.partition(" (")
    found = (records.get(f"{name} {words}{bracket}{rest}") for words in ("real-real", "real"))
    return next((record for record in found if record is not None), None)


def identifier(record: Mapping[str, Any]) -> str:
    """Which of `mmdgan.metrics.METRICS` a score belongs to, or "classes", "asked_class"; "" for an unknown score."""
    if found := record.get("identifier"):
        return found
    name = kind(record["metric"])
    return next((i for i, names in _IDENTIFIERS.items() if any(f"{name} ".startswith(f"{n} ") for n in names)), "")


def differences(record: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    """What of a score's protocol is not as in another score of the same name: "images 2,000, not 10,000".

    A field that only one of the two has counts as different, too: what is not known is not the same.
    """
    differing = {name for name in _FIELDS if record.get(name) != reference.get(name)}
    if differing & {"data", "split", "count_real"}:
        differing.discard("real_hash")  # goes without saying
    return [
        f"{words} {_text(record.get(name))}, not {_text(reference.get(name))}"
        for name, words in _FIELDS.items()
        if name in differing
    ]


def against_published(facts: RunFacts, record: Mapping[str, Any] | None) -> list[Line]:
    """The protocol of the published scores beside that of a run and of one of its scores.

    Args:
        facts: of the run.
        record: a score of its; None: what depends on scores is left out.
    """
    e = facts.experiment
    lines = _score_lines(record) if record else []
    return [
        *lines,
        _line("image size", _published_size(facts), "{} x {} x {}".format(*facts.image_shape)),
        *_network_lines(facts),
        _line("steps", f"{_STEPS:,}", f"{record['step']:,}" if record else "none scored"),
        _line("batch", str(_BATCH), str(e["batch_size"])),
        _line("optimiser", "adam", e["optimizer"]),
        Line("learning rates", "best of 16 pairs", f"{e['lr_dis']:.0e}, {e['lr_gen']:.0e}", DIFFERS),
        _gain_line(facts),
        _line("classes", "unconditional", f"{e['num_class']} classes" if e["num_class"] else "unconditional"),
        _line("flips", "none", "at random" if e["flip"] else "none"),
        _line("convolutions in", "float32", e["precision"]),
        Line("images came from", "not stated", facts.data.get("source", "not recorded"), UNKNOWN),
        Line("lossy re-encoding (JPEG)", "not stated", "not recorded", UNKNOWN),
    ]


def in_short(lines: list[Line]) -> str:
    """The lines that differ, as one phrase."""
    return "; ".join(f"{line.what} {line.run}, not {line.published}" for line in lines if line.mark == DIFFERS)


def _score_lines(record: Mapping[str, Any]) -> list[Line]:
    label, resize = record.get("features", "unknown"), record.get("resize", "unknown")
    inception = label == "inception"
    features = _INCEPTION if inception else f"{label}: {record.get('feature_source', 'unknown')}"
    count = record.get("count", 0)
    numbers = [n for n in (count, record.get("count_real")) if n is not None]
    same_count = all(n in _COUNTS for n in numbers)
    same_size = str(resize).startswith("legacy")
    words = "legacy bilinear to 299 x 299"
    return [
        _line("features", _INCEPTION, features),
        Line("resize", words, words if same_size else str(resize), SAME if same_size and inception else DIFFERS),
        Line(
            "images scored",
            "50,000 against 50,000",
            " against ".join(f"{n:,}" for n in numbers),
            SAME if same_count else DIFFERS,
        ),
        _line("splits of IS", "1 (all images at once)", _splits(record)),
        _line("real images", "training images", _REAL.get(record.get("split"), str(record.get("split")))),
    ]


def _splits(record: Mapping[str, Any]) -> str:
    splits = record.get("score_splits", 1)
    return "1 (all images at once)" if splits == 1 else str(splits)


def _published_size(facts: RunFacts) -> str:
    try:
        channels, height, width = _published_networks(facts)[0].output_shape
    except DesignError:
        return "not known here"
    return f"{height} x {width} x {channels}"


def _network_lines(facts: RunFacts) -> list[Line]:
    """The size of the networks beside that of the paper's for this data set and this kind of loss."""
    lines = []
    try:
        published = _published_networks(facts)
    except DesignError:
        return [Line("networks", "not known here", str(facts.experiment["architecture"]), UNKNOWN)]
    for name, own, other in zip(("generator", "critic"), facts.networks, published, strict=True):
        lines.append(_line(name, f"{other.parameters:,} parameters", f"{own.parameters:,} parameters"))
    lines.append(_line("critic's outputs", str(published[1].output_shape[0]), str(facts.score_size)))
    return lines


def _published_networks(facts: RunFacts) -> tuple[design.NetworkSpec, design.NetworkSpec]:
    architecture = design.load_architecture(f"{facts.experiment['data']}/DCGAN")
    size = losses.score_size(facts.experiment["loss"])
    return design.parse_architecture(design.with_score_size(architecture, size), 0)


def _gain_line(facts: RunFacts) -> Line:
    fits = 15.5 < facts.gain < 257
    return Line("gain K", "16 to 256", f"{facts.gain:.3g}", SAME if fits else DIFFERS)


def _line(what: str, published: str, run: str) -> Line:
    return Line(what, published, run, SAME if published == run else DIFFERS)


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, (list, tuple)):
        return " x ".join(map(_text, value))
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
