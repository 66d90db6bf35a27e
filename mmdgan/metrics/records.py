"""The records of scores: their entries, their honest names, the table a person reads, the file they are kept in."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdgan.core.versions import VERSION

PACKAGES = ("tensorflow", "keras", "tensorflow-gan", "numpy")

_PUBLISHED = {
    "fid": ("FID", "FD"),
    "is": ("IS", "CS"),
    "kid": ("KID", "KD"),
    "intra_fid": ("intra FID", "intra FD"),
}


def score_name(metric: str, label: str) -> str:
    """The honest name of a score of features: FID, IS and KID only with the 2015 Inception graph.

    Args:
        metric: "fid", "is", "kid" or "intra_fid"; or the name of a score that says itself what it is of, such as
            "precision".
        label: the features' label.

    Returns:
        Such as "FID", "FD[classifier]", "precision[inception]".
    """
    if metric not in _PUBLISHED:
        return f"{metric}[{label}]"
    published, general = _PUBLISHED[metric]
    return published if label == "inception" else f"{general}[{label}]"


def make_record(
    metric: str,
    value: float | None,
    count: int,
    count_real: int | None = None,
    *,
    spread: float | None = None,
    spread_of: str | None = None,
    note: str | None = None,
    **details: object,
) -> dict:
    """The entries that every score has. JSON has neither infinities nor NaN: they become None.

    Args:
        metric: the score's name.
        value: the score; None where it has none, which the note explains.
        count: images on the one side.
        count_real: images on the other side; None where there is none.
        spread: how far the value would scatter, in the same units.
        spread_of: what the spread is: "standard error over 10 blocks", ...
        note: what a reader must know.
        details: more entries, ready for JSON.
    """
    spread = finite(spread)
    return {
        "metric": metric,
        "value": finite(value),
        "spread": spread,
        "spread_of": None if spread is None else spread_of,
        "count": int(count),
        "count_real": None if count_real is None else int(count_real),
        **({"note": note} if note else {}),
        **details,
    }


def finite(value: float | None) -> float | None:
    """A number as JSON can hold it: None for NaN and infinities."""
    return None if value is None or not math.isfinite(value) else float(value)


def merge_repeats(repeats: Sequence[dict]) -> dict:
    """One record of the same score of several generated sets.

    Args:
        repeats: its record for each set.

    Returns:
        The mean as value, the values, and over several sets their standard deviation (n - 1) as spread; all other
        entries are of the first set.
    """
    first, count = repeats[0], len(repeats)
    values = [record["value"] for record in repeats]
    merged = {**first, "values": values, "seconds": round(sum(record["seconds"] for record in repeats), 3)}
    if count == 1:
        return merged
    if None in values:
        return {**merged, "value": None, "spread": None, "spread_of": None}
    mean = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    return {**merged, "value": mean, "spread": spread, "spread_of": f"standard deviation of {count} repeats"}


def versions() -> dict[str, str]:
    """The versions that a score may depend on."""
    found = {"mmdgan": VERSION, "python": platform.python_version()}
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


def format_table(records: Sequence[dict]) -> str:
    """The scores as tables of text, one for each step, each with its protocol below.

    Args:
        records: as `evaluate_sets` returns them; lines written by earlier versions will do.
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
    """A score's value with its spread, such as "12.34 ± 0.41"; "-" where it has none."""
    if record["value"] is None:
        return "-"
    spread = record.get("spread")
    return f"{record['value']:.4g}" + ("" if spread is None else f" ± {spread:.2g}")


def _table(records: Sequence[dict]) -> str:
    rows = [("score", "value", "images")]
    for record in records:
        images = f"{record['count']:,}" + (f" and {record['count_real']:,}" if record["count_real"] else "")
        note = f"  {record['note']}" if record.get("note") else ""
        rows.append((record["metric"], format_value(record), images + note))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{name:<{widths[0]}}  {value:>{widths[1]}}  {images}" for name, value, images in rows]
    spreads = dict.fromkeys(record["spread_of"] for record in records if record.get("spread_of"))
    lines += [f"±: {'; '.join(spreads)}."] if spreads else []
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
    text = f"{generated}real images: {last['data'] or 'unnamed'}{split}; {seeds}{step}."
    return [*lines, text[0].upper() + text[1:]]
