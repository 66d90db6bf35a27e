"""How library code reports what it does: through one callable that takes a sentence, instead of printing."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

Say = Callable[[str], object]
"""Takes a sentence for the user. The command line passes `print`; the default from Python is `log`."""


def log(sentence: str) -> None:
    """Passes a sentence to the logger "mmdgan"; in a notebook that does not log at its level, prints it in the cell."""
    logger = logging.getLogger("mmdgan")
    if in_notebook() and not logger.isEnabledFor(logging.INFO):
        sys.stdout.write(f"{sentence}\n")
    else:
        logger.info(sentence)


def in_notebook() -> bool:
    """Whether the program runs in a notebook, where standard output is shown in a cell."""
    return "ipykernel" in sys.modules and type(sys.stdout).__module__.startswith(("ipykernel", "google.colab"))


class Ticker:
    """Tells when the next report is due: `if ticker.due(): say(...)`, at most once in every `seconds`."""

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self.begun = self._last = time.monotonic()

    def due(self) -> bool:
        """Whether so many seconds have passed since the last report (or since the ticker was made)."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True

    @property
    def elapsed(self) -> float:
        """Seconds since the ticker was made."""
        return time.monotonic() - self.begun


def counter(what: str, say: Say = log) -> Callable[[int, int], None]:
    """A progress callback (done, total) that says "what: done of total", at most once in ten seconds."""
    ticker = Ticker()

    def report(done: int, total: int) -> None:
        if done < total and ticker.due():
            say(f"{what}: {done:,} of {total:,}")

    return report
