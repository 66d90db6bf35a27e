"""Divergence: the error that stops training, the evidence saved with the state, and the rollbacks of a run.

A run goes back at most `MOST_ROLLBACKS` times, each time with other random numbers: those of `attempt_seed`. Each
divergence is a line in the run's `divergences.jsonl`, from which a resumed run knows its attempt. This module imports
neither TensorFlow nor NumPy.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmdgan.core.files import append_jsonl, write_json

LIMIT = 30_000.0
"""A loss beyond this has diverged: the limit of the original's debug mode (original.md E.6)."""

MOST_ROLLBACKS = 3
FILE = "divergences.jsonl"
_SCORES = {"x/sx": "data", "x/sg": "gen"}


class Diverged(Exception):
    """Training stopped by a loss or a weight that is not finite, or a loss beyond the limit.

    Attributes:
        step: Step at which it was noticed.
        name: Name of the loss or variable.
        value: The loss; NaN for a variable.
        path: Where the state was saved, or None.
        attempts: Number of times that the run had gone back before.
    """

    attempts = 0

    def __init__(self, step: int, name: str, value: float, path: Path | None = None) -> None:
        where = f"; the state is in {path}, what led to it in {path}.json" if path else ""
        super().__init__(f"training diverged at step {step}: {name} is {value:.6g}{where}")
        self.step = step
        self.name = name
        self.value = value
        self.path = path


def attempt_seed(seed: int, attempt: int) -> int:
    """The seed of a run's random numbers and data order after it has gone back `attempt` times."""
    import numpy as np

    return seed if attempt == 0 else int(np.random.SeedSequence([seed, attempt]).generate_state(1)[0])


def summary(step: int, inspected: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The part of `GanStep.inspect` that may explain a divergence: kernels' norms and the range of critic's scores.

    Returns:
        "step"; "sigma", by kernel (of several norms, the least and the largest); "scores" of "data" and "gen": min,
        mean, max.
    """
    import numpy as np

    found = {**inspected.get("scalars", {}), **inspected.get("histograms", {})}
    norms = {tag: np.asarray(value) for tag, value in found.items() if tag.startswith("kernel_norm/")}
    scores = {who: np.asarray(found[tag], np.float64) for tag, who in _SCORES.items() if tag in found}
    return {
        "step": step,
        "sigma": {
            tag.partition("/")[2]: float(value) if value.ndim == 0 else [float(value.min()), float(value.max())]
            for tag, value in norms.items()
        },
        "scores": {
            who: {"min": float(value.min()), "mean": float(value.mean()), "max": float(value.max())}
            for who, value in scores.items()
        },
    }


def write_evidence(
    path: Path,
    error: Mapping[str, Any],
    losses: Iterable[tuple[int, Mapping[str, float]]],
    inspections: Iterable[dict | None],
) -> None:
    """Writes what led to a divergence as `<path>.json`; numbers that are not finite are the words nan, inf, -inf.

    Args:
        path: Where the state was saved.
        error: What diverged, and where the states are.
        losses: (step, losses by name) of the last steps, oldest first.
        inspections: Summaries of the last inspections (`summary`).
    """
    evidence = {
        **error,
        "losses": [{"step": step, **values} for step, values in losses],
        "looks": [found for found in inspections if found is not None],
    }
    with contextlib.suppress(OSError):  # report the divergence even if the disk is full
        write_json(f"{path}.json", _in_words(evidence))


def record(folder: Path, error: Diverged, back_to: int | None, attempt: int) -> None:
    """Adds a divergence to a run's records.

    Args:
        folder: The run directory.
        error: What happened.
        back_to: Step from which the run goes on; None if it stops.
        attempt: Number of times that it has gone back, this time included.
    """
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "step": error.step,
        "name": error.name,
        "value": error.value,
        "state": None if error.path is None else error.path.name,
        "action": "stop" if back_to is None else "rollback",
        "back_to": back_to,
        "attempt": attempt,
    }
    append_jsonl(folder / FILE, [_in_words(line)])


def records(folder: Path) -> list[dict[str, Any]]:
    """A run's divergences, oldest first, without lines that a crash has cut off."""
    file = folder / FILE
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def attempts(folder: Path) -> int:
    """The number of times that a run has gone back."""
    return sum(line["action"] == "rollback" for line in records(folder))


def _in_words(value: Any) -> Any:
    """The value for JSON, which has no NaN and no infinity."""
    if isinstance(value, Mapping):
        return {key: _in_words(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_in_words(held) for held in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
