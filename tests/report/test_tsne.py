"""Critic scores in the plane."""

from __future__ import annotations

import numpy as np
import pytest

from mmdgan.core.errors import ConfigError, MetricError
from mmdgan.report import CriticView, embed_scores


def view_of(score_data, score_gen) -> CriticView:
    count = len(score_data)
    pictures = np.zeros((count, 2, 2, 3), np.uint8)
    witness = np.zeros(count, np.float32)
    return CriticView(5, pictures, pictures, score_data, score_gen, None, None, (), witness, witness, "witness")


@pytest.fixture(scope="module")
def apart():
    rng = np.random.default_rng(0)
    data, gen = rng.normal(size=(2, 40, 8)).astype(np.float32)
    return view_of(data, gen + 12)


def test_points_are_real_then_generated_and_a_function_of_the_seed(apart):
    points = embed_scores(apart, seed=1)
    assert points.shape == (80, 2) and np.isfinite(points).all()
    np.testing.assert_array_equal(points, embed_scores(apart, seed=1))
    # Principal components begin alike for every seed; single scores begin with random points.
    single = view_of(apart.score_data[:, :1], apart.score_gen[:, :1])
    points = embed_scores(single, seed=1)
    np.testing.assert_array_equal(points, embed_scores(single, seed=1))
    assert not np.allclose(points, embed_scores(single, seed=2))


def test_sets_that_lie_apart_stay_apart(apart):
    points = embed_scores(apart)
    distances = np.linalg.norm(points[:, None] - points, axis=2) + 1e9 * np.eye(80)
    same_side = (np.argmin(distances, axis=1) < 40) == (np.arange(80) < 40)
    assert same_side.all()


def test_few_points_and_single_scores_are_embedded():
    rng = np.random.default_rng(1)
    for shape in ((2, 4, 16), (2, 4, 1), (2, 12, 1), (2, 5, 2)):
        data, gen = rng.normal(size=shape).astype(np.float32)
        points = embed_scores(view_of(data, gen))
        assert points.shape == (2 * shape[1], 2) and np.isfinite(points).all()


def test_mistakes_are_named():
    ones = np.ones((4, 3), np.float32)
    with pytest.raises(MetricError, match="All images have the same critic score at step 5"):
        embed_scores(view_of(ones, ones))
    with pytest.raises(MetricError, match="critic's scores at step 5 are not finite"):
        embed_scores(view_of(ones, ones * np.nan))
    with pytest.raises(ConfigError, match="perplexity is 0"):
        embed_scores(view_of(ones, ones), perplexity=0)
