"""The records of scores: their entries, the mean of repeats, and the table that users read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmdgan.core import text
from mmdgan.core.versions import VERSION, versions as installed
from mmdgan.metrics.intervals import Interval

PACKAGES = ("tensorflow", "keras", "tensorflow-gan", "numpy")


def make_record(
    metric: str,
    value: float | None,
    count: int,
    count_real: int | None = None,
    *,
    spread: float | None = None,
    spread_of: str | None = None,
    interval: Interval | None = None,
    note: str | None = None,
    **details: object,
) -> dict:
    """The entries that every score has. JSON has neither infinities nor NaN: they become None.

    Args:
        metric: The score's name.
        value: The score; None where it has none, which the note explains.
        count, count_real: Number of images on the one side, and on the other one if there is one.
        spread: How far the value would scatter, in the same units.
        interval: The value's 95% confidence interval; None where none is known.
        spread_of: What the spread is: "standard error over 10 blocks", ...
        note: What a reader must know.
        details: More entries, ready for JSON.
    """
    spread = finite(spread)
    return {
        "metric": metric,
        "value": finite(value),
        "spread": spread,
        "spread_of": None if spread is None else spread_of,
        "interval": None if interval is None else [float(interval.low), float(interval.high)],
        "interval_of": None if interval is None else f"95%, {interval.method}",
        "count": int(count),
        "count_real": None if count_real is None else int(count_real),
        **({"note": note} if note else {}),
        **details,
    }


def finite(value: float | None) -> float | None:
    """A number as JSON can hold it: None for NaN and infinities."""
    return None if value is None or not math.isfinite(value) else float(value)


def merge_repeats(repeats: Sequence[dict]) -> dict:
    """One record from those of the same score of several generated sets.

    The value is the mean, "values" lists them, and the spread of several sets is their standard deviation (n - 1); all
    other entries are those of the first set.
    """
    first, count = repeats[0], len(repeats)
    values = [record["value"] for record in repeats]
    merged = {**first, "values": values, "seconds": round(sum(record["seconds"] for record in repeats), 3)}
    if count == 1:
        return merged
    if None in values:
        return {**merged, "value": None, "spread": None, "spread_of": None, "interval": None, "interval_of": None}
    mean = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    ends = [record.get("interval") for record in repeats]
    if None in ends:
        merged |= {"interval": None, "interval_of": None}
    else:  # the real images are the same in all: the interval does not shrink with the repeats
        merged |= {"interval": [math.fsum(end) / count for end in zip(*ends, strict=True)]}
    return {**merged, "value": mean, "spread": spread, "spread_of": f"standard deviation of {count} repeats"}


def versions() -> dict[str, str]:
    """The versions that a score may depend on; TensorFlow also comes as other packages, whose version is "unknown"."""
    return {"mmdgan": VERSION, **installed("python", *PACKAGES, missing="unknown")}


def format_table(records: Sequence[dict]) -> str:
    """The scores as tables of text, one for each step, each with its protocol below.

    Args:
        records: Records as `evaluate_sets` returns them, or lines written by earlier versions.
    """
    if not records:
        return "No scores were asked for."
    tables: dict[int | None, list[dict]] = {}
    for record in records:
        tables.setdefault(record.get("step"), []).append(record)
    several = len(tables) > 1
    return "\n\n".join(
        (f"After step {step:,}:\n" if several and step is not None else "") + _table(part)
        for step, part in tables.items()
    )


def format_value(record: Mapping[str, Any]) -> str:
    """A score's value with its spread and interval, such as "12.34 ± 0.41 [11.5, 13.2]"; "-" where it has none."""
    if record["value"] is None:
        return "-"
    spread, interval = record.get("spread"), record.get("interval")
    text = f"{record['value']:.4g}" + ("" if spread is None else f" ± {spread:.2g}")
    return text + ("" if interval is None else " [{:.4g}, {:.4g}]".format(*interval))


def legend(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What the signs in scores' values mean: "±" and "[low, high]", as far as any record has them."""
    spreads: dict[str, None] = {}
    methods: dict[str, None] = {}
    for record in records:
        spreads |= {record["spread_of"]: None} if record.get("spread_of") else {}
        methods |= {record["interval_of"].removeprefix("95%, "): None} if record.get("interval_of") else {}
    found = {"±": "; ".join(spreads), "[low, high]": "95% interval; " + "; ".join(methods) if methods else ""}
    return {sign: text for sign, text in found.items() if text}


def _table(records: Sequence[dict]) -> str:
    rows = [("score", "value", "images")]
    for record in records:
        images = f"{record['count']:,}" + (f" and {record['count_real']:,}" if record["count_real"] else "")
        note = f"  {record['note']}" if record.get("note") else ""
        rows.append((record["metric"], format_value(record), images + note))
    lines = [text.table(rows, left=(0, 2))]
    lines += [f"{sign}: {text}." for sign, text in legend(records).items()]
    return "\n".join([*lines, *_protocol(records)])


def _protocol(records: Sequence[dict]) -> list[str]:
    """What the scores were computed from, in one or two lines."""
    lines = []
    first = next((record for record in records if record.get("feature_source")), None)
    if first:
        accuracy = f", test accuracy {first['classifier_accuracy']:.1%}" if first.get("classifier_accuracy") else ""
        lines.append(
            f"Features: {first['feature_source']} ({first['feature_hash']}{accuracy}); resize: {first['resize']}."
        )
    last = records[0]
    step = "" if last.get("step") is None else f", step {last['step']:,}"
    seeds = f"seed {last['seed']}" + (f", {last['repeats']} repeats" if last.get("repeats", 1) > 1 else "")
    generated = f"images: {last['images']}; " if last.get("images") else ""
    split = f", {last['split']}" if last["split"] else ""
    sentence = f"{generated}real images: {last['data'] or 'unnamed'}{split}; {seeds}{step}."
    return [*lines, sentence[0].upper() + sentence[1:]]
