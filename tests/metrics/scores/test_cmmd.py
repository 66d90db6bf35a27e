"""CMMD against a loop of the published code, and how often its interval holds the expectation."""

import numpy as np
import pytest

from mmdgan.core.errors import MetricError
from mmdgan.metrics.context import EvaluateOptions, Facts
from mmdgan.metrics.registry import get
from mmdgan.metrics.scores.cmmd import clip_mmd


def published(x, y):
    """mmd(x, y) of the authors' distance.py, in float64: sigma 10, scale 1,000, plain means."""
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))

    def mean(a, b):
        return np.mean([np.exp(-np.sum((p - q) ** 2) / (2 * 10.0**2)) for p in a for q in b])

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


def test_against_the_published_code():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((30, 12)), rng.standard_normal((20, 12)) + 0.4
    value, (low, high) = clip_mmd(a.astype(np.float32), b.astype(np.float32))
    assert value == pytest.approx(published(a, b), rel=1e-5)
    assert low <= value <= high
    assert clip_mmd(a, a * 3)[0] == pytest.approx(0, abs=1e-10)
    with pytest.raises(MetricError, match="at least two images"):
        clip_mmd(a, b[:, :3])


def test_the_interval_holds_the_expectation():
    rng = np.random.default_rng(1)
    found = [clip_mmd(rng.standard_normal((60, 6)) + 0.5, rng.standard_normal((50, 6)) + 0.2) for _ in range(100)]
    truth = np.mean([value for value, _ in found])
    assert 90 <= sum(low <= truth <= high for _, (low, high) in found) <= 99


def test_other_features_are_refused():
    facts = Facts(10, 10, 10, EvaluateOptions(), label="classifier", features=4)
    with pytest.raises(MetricError, match="CLIP features, and these are classifier: give --features=clip"):
        get("cmmd").check(facts)
