"""Paths between latent codes: how images change from one to the next (White 2016, "Sampling Generative Networks")."""

from __future__ import annotations

import numpy as np

from mmdgan.errors import ConfigError
from mmdgan.flags import nearest
from mmdgan.sampling import random_codes, slerp

_PATHS = 7  # separates these codes from those that `sampling` draws with the same seed


def paths(mode: str, rows: int, frames: int, code_size: int, seed: int = 0, *, loop: bool = False) -> np.ndarray:
    """Codes along paths between random codes.

    Row r goes from random code r to code r + 1, so that the rows, read one after another, are one long way. A loop
    goes on to code r + 2 and back to code r, and its last frame is one step before its first.

    Args:
      mode: how to go from code a to code b, t from 0 to 1: "slerp", along the arc between them (`sampling.slerp`);
        "linear", (1 - t) a + t b, whose middle is shorter than codes from N(0, 1) are; "sine",
        cos(t pi/2) a + sin(t pi/2) b, whose points are all distributed as N(0, 1).
      rows: paths, R.
      frames: codes of each, F: at least 2, of a loop 3.
      code_size: length of the codes, D.
      seed: of the random codes; more rows do not change the first ones.
      loop: whether paths come back to where they begin.

    Returns:
      float32 (R, F, D).

    Raises:
      ConfigError: an unknown mode, or too few rows or frames.
    """
    check(mode, rows, frames, loop=loop)
    codes = random_codes(rows + 2, code_size, (seed, _PATHS)).astype(np.float64)
    # In units of one code to the next: which pair of codes a frame is between, and how far from the first of them.
    position = np.arange(frames) * 3 / frames if loop else np.linspace(0, 1, frames)
    pair = np.floor(position).astype(int) if loop else np.zeros(frames, int)
    result = np.empty((rows, frames, code_size), np.float32)
    for row in range(rows):
        for number in np.unique(pair):
            start, end = codes[row + number], codes[row + (number + 1) % 3]
            result[row, pair == number] = MODES[mode](start, end, position[pair == number] - number)
    return result


def check(mode: str, rows: int, frames: int, *, loop: bool = False) -> None:
    """Refuses what `paths` does not make: a ConfigError names the valid values."""
    if mode not in MODES:
        raise ConfigError(f"mode is {mode!r}{nearest(mode, list(MODES))}; the modes are {', '.join(MODES)}.")
    if rows < 1:
        raise ConfigError(f"rows is {rows}; give at least 1 path.")
    if frames < (3 if loop else 2):
        raise ConfigError(f"frames is {frames}; a {'loop' if loop else 'path'} has at least {3 if loop else 2}.")


def _linear(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    return (1 - share)[:, None] * start + share[:, None] * end


def _sine(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    angle = share[:, None] * np.pi / 2
    return np.cos(angle) * start + np.sin(angle) * end


MODES = {"slerp": slerp, "linear": _linear, "sine": _sine}
