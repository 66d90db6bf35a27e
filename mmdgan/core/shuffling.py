"""Random numbers that are a function of their key alone, the same under every version of NumPy.

NumPy promises a stable stream only for its bit generators (NEP 19), not for `Generator.permutation` and the
like; so the raw words of Philox, a counter-based generator (Salmon et al. 2011), are used directly.
"""

from __future__ import annotations

import numpy as np


def raw_words(count: int, seed: int, stream: int) -> np.ndarray:
    """Random words, uint64 (count,), from the key (seed, stream)."""
    key = np.array([seed % 2**64, stream % 2**64], np.uint64)
    return np.random.Philox(key=key).random_raw(count)


def permutation(count: int, seed: int, stream: int) -> np.ndarray:
    """A permutation of 0 .. count - 1, int64 (count,), from the key (seed, stream)."""
    return np.argsort(raw_words(count, seed, stream), kind="stable")


def uniform(count: int, seed: int, stream: int) -> np.ndarray:
    """Uniform numbers in [0, 1), float64 (count,), from the key (seed, stream)."""
    return (raw_words(count, seed, stream) >> np.uint64(11)) * 2.0**-53
