"""Random numbers that are the same under every NumPy, against the published generator in plain integers."""

from __future__ import annotations

import numpy as np

from mmdgan.core.shuffling import permutation, raw_words, uniform


def philox(count: int, key: tuple[int, int]) -> list[int]:
    """Philox4x64-10 of Salmon et al. 2011, in plain integers; NumPy's counter starts at 1."""
    mask = 2**64 - 1
    words = []
    for block in range(1, count // 4 + 2):
        counter, k0, k1 = [block, 0, 0, 0], *key
        for _ in range(10):
            high = [counter[0] * 0xD2E7470EE14C6C93, counter[2] * 0xCA5A826395121157]
            counter = [
                (high[1] >> 64) ^ counter[1] ^ k0,
                high[1] & mask,
                (high[0] >> 64) ^ counter[3] ^ k1,
                high[0] & mask,
            ]
            k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
        words += counter
    return words[:count]


def test_random_words_are_philox():
    for seed, stream in ((0, 0), (7, 3), (2**63, 2**63 + 5)):
        words = philox(21, (seed, stream))
        assert raw_words(21, seed, stream).tolist() == words
        assert permutation(21, seed, stream).tolist() == sorted(range(21), key=words.__getitem__)
        np.testing.assert_allclose(uniform(21, seed, stream), np.array(words) / 2**64, atol=2**-53)
