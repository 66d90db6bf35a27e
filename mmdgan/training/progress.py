"""The line that tells a person how training goes."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Literal, TextIO

from mmdgan.core.text import duration

_TERMINAL_SECONDS = 0.2


class Pace:
    """Seconds per training step, over the last measured stretches.

    Pauses (saving, inspecting, the first step's compilation) do not count: the caller measures around them.
    """

    def __init__(self, stretches: int = 10) -> None:
        self._recent: deque[tuple[int, float]] = deque(maxlen=stretches)
        self._mark: float | None = None
        self.steps = 0
        self.seconds = 0.0

    def resume(self) -> None:
        """Starts measuring."""
        self._mark = time.perf_counter()

    def count(self, steps: int) -> None:
        """Adds the steps done since the last call of `resume` or `count`."""
        now = time.perf_counter()
        if self._mark is not None and steps:
            self._recent.append((steps, now - self._mark))
            self.steps += steps
            self.seconds += now - self._mark
        self._mark = now

    @property
    def seconds_per_step(self) -> float | None:
        """Over the recent stretches; None before the first."""
        steps = sum(count for count, _ in self._recent)
        return sum(seconds for _, seconds in self._recent) / steps if steps else None

    @property
    def mean_seconds_per_step(self) -> float | None:
        """Over everything measured; None if that is nothing."""
        return self.seconds / self.steps if self.steps else None


class Progress:
    """Writes step, losses, images per second and the time left.

    On a terminal the line is rewritten in place; elsewhere (a file, a pipe) a new one comes every `interval`.
    """

    def __init__(
        self, total: int | None = None, stream: TextIO | Literal["stderr"] | None = "stderr", interval: float = 10.0
    ) -> None:
        """Nothing is written yet.

        Args:
          total: the step at which all training ends; by default the one given to each `Trainer.fit`.
          stream: where to write, by default what standard error is now; None for silence.
          interval: seconds between two lines when the stream is no terminal.
        """
        self.total = total
        self.stream = sys.stderr if stream == "stderr" else stream
        self._in_place = self.stream is not None and self.stream.isatty()
        self._every = _TERMINAL_SECONDS if self._in_place else interval
        self._last_time: float | None = None
        self._last_line = ""
        self._pending = ""

    def update(
        self,
        step: int,
        losses: Mapping[str, float],
        images_per_second: float | None = None,
        seconds_per_step: float | None = None,
        last_step: int | None = None,
    ) -> None:
        """Shows the state after a step, if it is time to.

        Args:
          step: the number of steps trained so far.
          losses: shown in their order, by name.
          images_per_second: left out when None.
          seconds_per_step: gives the time left; left out when None.
          last_step: stands in for `total` where that is None.
        """
        total = self.total or last_step
        parts = [f"step {step}/{total}" if total else f"step {step}"]
        parts += [f"{name} {value:.4g}" for name, value in losses.items()]
        if images_per_second is not None:
            parts.append(f"{images_per_second:.1f} images/s")
        if seconds_per_step is not None and total:
            parts.append(f"{duration(max(total - step, 0) * seconds_per_step)} left")
        self._pending = "  ".join(parts)
        now = time.monotonic()
        if self._last_time is None or now - self._last_time >= self._every:
            self._write(self._pending)
            self._last_time = now

    def close(self) -> None:
        """Writes the last state if it has not been shown, and ends the line."""
        if self._pending and self._pending != self._last_line:
            self._write(self._pending)
        if self._in_place and self._last_line:
            self._print()
        self._last_line = self._pending = ""
        self._last_time = None

    def _write(self, line: str) -> None:
        if self._in_place:
            self._print(f"\r{line:<{len(self._last_line)}}", end="")
        else:
            self._print(line)
        self._last_line = line

    def _print(self, text: str = "", end: str = "\n") -> None:
        if self.stream is not None:
            try:
                print(text, end=end, file=self.stream, flush=True)
            except OSError:  # the terminal, or who read the pipe, has gone: training need not end with it
                self.stream = None
