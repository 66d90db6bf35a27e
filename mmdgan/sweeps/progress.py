"""The lines that a sweep prints: one per run that has ended, with the time left."""

from __future__ import annotations

import math
from collections.abc import Callable

from mmdgan.sweeps.folder import DIVERGED, FINISHED, INTERRUPTED, STOPPED, Outcome

_WORD = 60.0, 3600.0


class SweepProgress:
    """Tells how a sweep goes on.

    Args:
      total: runs of the sweep.
      done: of them, those that had been done before.
      jobs: runs at a time.
      metric: the score to show, a name such as "fid" or "FD[classifier]".
      write: takes each line.
    """

    def __init__(self, total: int, done: int, jobs: int, metric: str, write: Callable[[str], object] = print):
        self._total, self._done, self._jobs, self._metric, self._write = total, done, jobs, metric, write
        self._seconds: list[float] = []

    def ended(self, outcome: Outcome, again: bool = False) -> None:
        """A run has ended; `again`: it will be tried once more."""
        if not again and outcome.status != INTERRUPTED:
            self._done += 1
            self._seconds.append(outcome.seconds)
        width = len(str(self._total))
        head = f"[{self._done:{width}} of {self._total}] {outcome.run}"
        self._write(f"{head}: {describe(outcome, self._metric)}{'; it is tried again' if again else self._left()}")

    def _left(self) -> str:
        rest = self._total - self._done
        if not rest or not self._seconds:
            return ""
        # At most `jobs` runs go on at a time: the last ones take as long as a single one.
        per_run = sum(self._seconds) / len(self._seconds)
        return f"; about {duration(per_run * math.ceil(rest / self._jobs))} left"


def describe(outcome: Outcome, metric: str) -> str:
    """What came of a run, in some words: "FD[classifier] 34.2, 31 s"."""
    if outcome.status in (FINISHED, STOPPED):
        from mmdgan.sweeps.table import find_score

        name = find_score(outcome, metric)
        value = outcome.value(name) if name else None
        what = f"{name} {value:.4g}" if value is not None else f"finished, without {metric}"
        ended = duration(outcome.seconds) if outcome.status == FINISHED else f"stopped after step {outcome.step:,}"
        return f"{what}, {ended}"
    if outcome.status == DIVERGED:
        return f"diverged at step {outcome.step:,} ({outcome.error}), {duration(outcome.seconds)}"
    if outcome.status == INTERRUPTED:
        return f"interrupted after step {outcome.step:,}" if outcome.step else "interrupted"
    return f"{outcome.status}: {outcome.error}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: "31 s", "12 min", "3 h 20 min"."""
    minute, hour = _WORD
    if seconds < 2 * minute:
        return f"{seconds:.0f} s"
    if seconds < 2 * hour:
        return f"{seconds / minute:.0f} min"
    hours, rest = divmod(seconds, hour)
    return f"{hours:.0f} h {rest / minute:.0f} min"
