"""A run's metrics.jsonl: one line per score; which lines belong together, and which step has the best score.

A line is a score's record (name, value and protocol, as `mmdgan.metrics.evaluate_sets` returns them) with its step, the
time, and

    by            "train" or "evaluate"; "abandoned": by training, which then went back before this step
    evaluation    shared by the scores that were computed together
    part, parts   1 and 5: the first of the five lines of its evaluation

An evaluation that a crash has left with fewer than `parts` lines is ignored. The first versions wrote an evaluation as
one line, with the key "records"; it is read as the same list.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmdgan.core.files import append_jsonl, read_text, write_text
from mmdgan.metrics.registry import is_judged, judges

_COMPARABLE = ("metric", "count", "count_real", "feature_hash", "resize")

JUDGES = judges()
"""The scores that `keep_best` may name."""


class Best(NamedTuple):
    """The checkpoint with the best score.

    Attributes:
        step: Its step.
        metric: Name of the score, such as "FD[classifier]".
        value: The score.
    """

    step: int
    metric: str
    value: float


def append_scores(file: Path, step: int, by: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Appends the scores of one evaluation, in a single write; see `RunFolder.append`."""
    evaluation, now = uuid.uuid4().hex[:12], time.strftime("%Y-%m-%dT%H:%M:%S%z")
    shared = {"time": now, "step": int(step), "by": by, "evaluation": evaluation}
    parts = [{**shared, "part": part, "parts": len(records), **record} for part, record in enumerate(records, 1)]
    append_jsonl(file, parts)


def read_scores(file: Path, abandoned: bool = False) -> list[dict[str, Any]]:
    """The scores of all complete evaluations, oldest first; [] if there is no such file.

    Args:
        file: metrics.jsonl.
        abandoned: Also those by "abandoned", whose networks are gone.
    """
    if not file.is_file():
        return []
    # A crash may cut a line off anywhere, even within a character.
    text = read_text(file, errors="replace")
    scores = [score for number, line in enumerate(text.split("\n"), 1) for score in _scores_of(line, number)]
    found = Counter(score["evaluation"] for score in scores)
    complete = [score for score in scores if found[score["evaluation"]] >= score["parts"]]
    return [score for score in complete if abandoned or score.get("by") != "abandoned"]


def retire_scores(file: Path, step: int) -> None:
    """Marks the scores of rounds after a step as "abandoned" instead of "train", because the run goes back to it."""
    if not file.is_file():
        return
    lines = read_text(file, errors="replace").split("\n")
    for number, line in enumerate(lines):
        with contextlib.suppress(ValueError):
            held = json.loads(line)
            if isinstance(held, dict) and held.get("by") == "train" and held.get("step", 0) > step:
                lines[number] = json.dumps({**held, "by": "abandoned"}, ensure_ascii=False)
    write_text(file, "\n".join(lines))


def preferred(scores: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The newest record of each score at each step, of averaged weights where there is one."""
    ranked = sorted(scores, key=lambda score: score.get("weights") != "last")  # which `evaluate --noema` adds
    return [*{(score["step"], score["metric"]): score for score in ranked}.values()]


def newest(scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The scores that belong to the evaluation of the last one."""
    return [dict(score) for score in scores if score["evaluation"] == scores[-1]["evaluation"]]


def best_of(scores: Sequence[Mapping[str, Any]], judge: str, steps: Sequence[int]) -> Best | None:
    """The best checkpoint among some steps, by the scores that are comparable with the newest one.

    Args:
        scores: As `read_scores` returns them, of any steps.
        judge: A key of `JUDGES`.
        steps: Steps of the existing checkpoints.

    Returns:
        The best one, of equal ones the first; None if none has the score.
    """
    known = [score for score in scores if score["value"] is not None and is_judged(score["metric"], judge)]
    alike = [s for s in known if [s.get(key) for key in _COMPARABLE] == [known[-1].get(key) for key in _COMPARABLE]]
    sign = 1 if JUDGES[judge].lower else -1
    rest = [score for score in alike if score["step"] in steps]
    best = min(rest, key=lambda score: (sign * score["value"], score["step"]), default=None)
    return None if best is None else Best(best["step"], best["metric"], best["value"])


def _scores_of(line: str, number: int) -> Iterator[dict[str, Any]]:
    """The scores of a line: one, or several in the first versions' format; none if it is cut off."""
    try:
        held = json.loads(line)
    except ValueError:
        return
    if not isinstance(held, dict):
        return
    if "records" not in held:
        if {"evaluation", "parts", "step", "metric"} <= held.keys():
            yield held
        return
    shared = {name: held.get(name) for name in ("time", "step", "by")}
    shared |= {"evaluation": f"line {number}", "parts": len(held["records"])}
    for part, record in enumerate(held["records"], 1):
        yield {**shared, "part": part, **record}
