"""The protocol of a run and its scores next to that of the published scores (Wang et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mmdgan import design
from mmdgan.core.errors import DesignError
from mmdgan.core.text import rate
from mmdgan.losses import registry as losses
from mmdgan.report.facts import RunFacts
from mmdgan.report.scores import Record

SAME, DIFFERS, UNKNOWN = "same", "differs", "unknown"

_STEPS, _BATCH, _COUNTS = 100_000, 64, (49_984, 50_000)
_INCEPTION = "the 2015 Inception graph"
_RESIZE = "legacy bilinear to 299 x 299"
_ONE_SPLIT = "1 (all images at once)"


@dataclass(frozen=True)
class ProtocolPoint:
    """One point of both protocols, in words; `mark` is SAME, DIFFERS or UNKNOWN."""

    what: str
    published: str
    run: str
    mark: str

    @classmethod
    def of(cls, what: str, published: str, run: str, same: bool | None = None) -> ProtocolPoint:
        """Compares the words of both, unless `same` says whether they mean the same."""
        same = published == run if same is None else same
        return cls(what, published, run, SAME if same else DIFFERS)


def against_published(facts: RunFacts, record: Record | None) -> list[ProtocolPoint]:
    """Compares a run and one of its scores with the published protocol.

    Args:
        facts: The run.
        record: A score of the run; None leaves out what depends on scores.
    """
    e, point = facts.experiment, ProtocolPoint.of
    return [
        *(_score_points(record) if record else []),
        *_network_points(facts),
        point("steps", f"{_STEPS:,}", f"{record['step']:,}" if record else "none scored"),
        point("batch", str(_BATCH), str(e["batch_size"])),
        point("optimiser", "adam", e["optimizer"]),
        point("learning rates", "best of 16 pairs", f"{rate(e['lr_dis'])}, {rate(e['lr_gen'])}"),
        point("gain K", "16 to 256", f"{facts.gain:.3g}", 15.5 < facts.gain < 257),
        point("classes", "unconditional", f"{e['num_class']} classes" if e["num_class"] else "unconditional"),
        point("flips", "none", "at random" if e["flip"] else "none"),
        point("convolutions in", "float32", e["precision"]),
        ProtocolPoint("images came from", "not stated", facts.data.get("source", "not recorded"), UNKNOWN),
        ProtocolPoint("lossy re-encoding (JPEG)", "not stated", "not recorded", UNKNOWN),
    ]


def in_short(points: Iterable[ProtocolPoint]) -> str:
    """The points that differ, as one phrase."""
    return "; ".join(f"{point.what} {point.run}, not {point.published}" for point in points if point.mark == DIFFERS)


def _score_points(record: Record) -> list[ProtocolPoint]:
    label, resize, split = record.get("features", "unknown"), record.get("resize", "unknown"), record.get("split")
    inception, legacy = label == "inception", str(resize).startswith("legacy")
    features = _INCEPTION if inception else f"{label}: {record.get('feature_source', 'unknown')}"
    counts = [count for count in (record.get("count", 0), record.get("count_real")) if count is not None]
    splits = record.get("score_splits", 1)
    real = {"train": "training images", None: "not recorded"}.get(split, str(split))
    point = ProtocolPoint.of
    return [
        point("features", _INCEPTION, features),
        point("resize", _RESIZE, _RESIZE if legacy else str(resize), legacy and inception),
        point(
            "images scored",
            "50,000 against 50,000",
            " against ".join(f"{count:,}" for count in counts),
            all(count in _COUNTS for count in counts),
        ),
        point("splits of IS", _ONE_SPLIT, _ONE_SPLIT if splits == 1 else str(splits)),
        point("real images", "training images", real),
    ]


def _network_points(facts: RunFacts) -> list[ProtocolPoint]:
    """The images and the networks against those of the paper for this data set and this kind of loss."""
    size, architecture = "{} x {} x {}".format(*facts.image_shape), facts.experiment["architecture"]
    try:
        published = _published_networks(facts)
    except DesignError:
        return [
            ProtocolPoint.of("image size", "not known here", size),
            ProtocolPoint("networks", "not known here", str(architecture), UNKNOWN),
        ]
    channels, height, width = published[0].output_shape
    own = zip(("generator", "critic"), facts.networks, published, strict=True)
    return [
        ProtocolPoint.of("image size", f"{height} x {width} x {channels}", size),
        *(
            ProtocolPoint.of(name, f"{other.parameters:,} parameters", f"{mine.parameters:,} parameters")
            for name, mine, other in own
        ),
        ProtocolPoint.of("critic's outputs", str(published[1].output_shape[0]), str(facts.score_size)),
    ]


def _published_networks(facts: RunFacts) -> tuple[design.NetworkSpec, design.NetworkSpec]:
    architecture = design.load_architecture(f"{facts.experiment['data']}/DCGAN")
    size = losses.score_size(facts.experiment["loss"])
    return design.parse_architecture(design.with_score_size(architecture, size), 0)
