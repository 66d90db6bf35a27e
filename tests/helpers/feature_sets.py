"""Feature sets for the tests of scores."""

import numpy as np


def mixed_features(count, size, seed, shift=0.0):
    """Correlated normal features (count, size); sets of one size are mixed by the same matrix."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(7).normal(size=(size, size))
    return random.normal(shift, 1.0 + shift, (count, size)) @ mixing
