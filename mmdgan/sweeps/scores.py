"""Which score of a run a metric's name means, and whether more of it is better."""

from __future__ import annotations

from collections.abc import Iterable

from mmdgan.run_scores import JUDGES
from mmdgan.sweeps.folder import Outcome


def find_score(outcome: Outcome, metric: str) -> str | None:
    """The name of the score that a metric means in a run's record.

    Args:
      outcome: the record.
      metric: a score's name as records have it, such as "FD[classifier]", or one of `JUDGES`, such as "fid", which
        means FID, FD[classifier] or whatever the run's features make of it.

    Returns:
      None if the run has no such score.
    """
    names = [score["metric"] for score in outcome.scores]
    if metric in names:
        return metric
    return next((name for name in names if is_score(name, metric)), None)


def score_names(outcomes: Iterable[Outcome], metric: str) -> list[str]:
    """All names that a metric has in some records, each once."""
    return list(dict.fromkeys(name for one in outcomes if (name := find_score(one, metric))))


def is_score(name: str, metric: str) -> bool:
    """Whether a score of this name is what a metric means."""
    if name == metric:
        return True
    if metric not in JUDGES:
        return False
    if metric == "swd":
        return name == "SWD mean"
    from mmdgan.metrics.evaluate import score_name

    label = name.partition("[")[2].removesuffix("]") or "inception"
    return name == score_name(metric, label)


def lower_is_better(name: str) -> bool:
    """Whether less of a score is better; True for scores of which nobody says so."""
    return next((judge.lower for metric, judge in JUDGES.items() if is_score(name, metric)), True)
