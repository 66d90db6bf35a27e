"""How library code reports what it does: through one callable that takes a sentence, instead of printing."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

Say = Callable[[str], object]
"""Takes a sentence for the user. The command line passes `print`; the default from Python is `log`."""


def log(sentence: str) -> None:
    """Passes a sentence to the logger "mmdgan"; in a notebook that does not log at its level, prints it in the cell."""
    if _prints():
        sys.stdout.write(f"{sentence}\n")
    else:
        logging.getLogger("mmdgan").info(sentence)


def _prints() -> bool:
    """Whether `log` prints."""
    return in_notebook() and not logging.getLogger("mmdgan").isEnabledFor(logging.INFO)


def in_notebook() -> bool:
    """Whether the program runs in a notebook, where standard output is shown in a cell."""
    return "ipykernel" in sys.modules and type(sys.stdout).__module__.startswith(("ipykernel", "google.colab"))


@contextlib.contextmanager
def quiet_loggers(*names: str) -> Iterator[None]:
    """Lets these loggers report only errors."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class Ticker:
    """Tells when the next report is due, at most once in every `seconds`.

    with Ticker() as ticker:
        ...
        if ticker.due():
            ticker.report("step 3 of 9", say)
    """

    def __init__(self, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._covered = 0
        self.begun = self._last = time.monotonic()

    def __enter__(self) -> Ticker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def due(self) -> bool:
        """Whether so many seconds have passed since the last report (or since the ticker was made)."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True

    def report(self, sentence: str, say: Say) -> None:
        """Says how far a task is; in a notebook's cell on one line, which the next report renews."""
        if say is log and _prints():
            print(f"\r{sentence:<{self._covered}}", end="", flush=True)
            self._covered = len(sentence)
        else:
            say(sentence)

    def close(self) -> None:
        """Ends the line of the reports."""
        if self._covered:
            print()
        self._covered = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the ticker was made."""
        return time.monotonic() - self.begun


def counter(what: str, say: Say = log) -> Callable[[int, int], None]:
    """A progress callback (done, total) that says "what: done of total", at most once in ten seconds."""
    ticker = Ticker()

    def report(done: int, total: int) -> None:
        if done >= total:
            ticker.close()
        elif ticker.due():
            ticker.report(f"{what}: {done:,} of {total:,}", say)

    return report
