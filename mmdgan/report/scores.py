"""Which scores of runs can be compared: the same score, in the same protocol, of one step or over the steps.

Two scores are comparable only if their features, their images and the numbers of images are the same. A record is a
line of metrics.jsonl (`RunFolder.records`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from mmdgan.core.errors import ConfigError
from mmdgan.metrics.registry import direction, get, identifier_of
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.scores import preferred

Record: TypeAlias = Mapping[str, Any]

_PROTOCOL = {
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
    "weights": "generator's weights",
}
"""The entries of a record that are its protocol (`mmdgan.metrics.evaluate`), with their words in a footnote."""


def choose(folder: RunFolder, by: int | str | None = None, metrics: Sequence[str] | None = None) -> list[Record]:
    """The scores of a run at one step: the newest record of each score, of averaged weights where there is one.

    Args:
        folder: The run.
        by: The step; "best": the step of the best checkpoint; None: the newest step that was scored.
        metrics: Identifiers of metrics; all by default.

    Returns:
        Records; [] if the run has none (at this step).

    Raises:
        ConfigError: There is no best checkpoint, or `by` is another word.
        MetricError: There is no such metric.
    """
    for metric in metrics or ():
        get(metric)
    records = folder.records()
    if by == "best":
        step = folder.best_step()
        if step is None:
            raise ConfigError(f"{folder.path} has no best checkpoint; give --by=STEP, or leave it out.")
    elif by is not None and not str(by).isdecimal():
        raise ConfigError(f"by is {by!r}; give a step, or 'best', or leave it out.")
    else:
        step = max((record["step"] for record in records), default=None) if by is None else int(by)
    newest = preferred(record for record in records if record["step"] == step)
    return [record for record in newest if not metrics or identifier(record) in metrics]


def of_real(metric: str, records: Mapping[str, Record]) -> Record | None:
    """The score of real images that belongs to a score: "CS[a] real (10 splits)" to "CS[a] (10 splits)".

    Args:
        metric: Name of the score.
        records: Records of one evaluation, by the names of their scores.
    """
    name, bracket, rest = metric.partition(" (")
    found = (records.get(f"{name} {words}{bracket}{rest}") for words in ("real-real", "real"))
    return next((record for record in found if record is not None), None)


def identifier(record: Record) -> str:
    """The identifier of the metric that gave a score, which old records do not say; "" for an unknown score."""
    return record.get("identifier") or identifier_of(record["metric"])


def differences(record: Record, reference: Record) -> list[str]:
    """How a score's protocol differs from that of another score of the same name: "images 2,000, not 10,000".

    An entry that only one of the two has counts as different: what is unknown is not the same.
    """
    own, other = _entries(record), _entries(reference)
    differing = {name for name in _PROTOCOL if own[name] != other[name]}
    if differing & {"data", "split", "count_real"}:
        differing.discard("real_hash")  # it follows from the others
    return [
        f"{words} {_shown(own[name])}, not {_shown(other[name])}"
        for name, words in _PROTOCOL.items()
        if name in differing
    ]


def protocol_of(record: Record) -> str:
    """What is equal of two scores of one name between which there are no `differences`."""
    return repr(_entries(record))


def alike(records: Sequence[Record], record: Record) -> list[Record]:
    """The records of the same score in the same protocol, oldest first."""
    return [one for one in records if one["metric"] == record["metric"] and not differences(one, record)]


def longest_curve(records: Sequence[Record], metric: str) -> list[Record]:
    """The records of a score in the protocol that has values at the most steps, the newest of equals; oldest first."""
    groups: dict[str, list[Record]] = {}
    for record in reversed(records):
        if record["metric"] == metric:
            groups.setdefault(protocol_of(record), []).append(record)
    curves = [[one for one in reversed(group) if one["value"] is not None] for group in groups.values()]
    return max(curves, key=lambda curve: len({one["step"] for one in curve}), default=[])


def best(records: Sequence[Record]) -> Record | None:
    """The record with the best value; None if fewer than two steps have a value, or no value is better than another."""
    scored = [record for record in records if record["value"] is not None]
    if len({record["step"] for record in scored}) < 2:
        return None
    sign = direction(scored[0]["metric"])
    return max(scored, key=lambda record: sign * record["value"]) if sign else None


def _entries(record: Record) -> dict[str, Any]:
    """The protocol of a record. Only `evaluate --noema` takes other weights than training does."""
    weights = "last" if record.get("weights") == "last" else "as in training"
    return {name: record.get(name) for name in _PROTOCOL} | {"weights": weights}


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, (list, tuple)):
        return " x ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
