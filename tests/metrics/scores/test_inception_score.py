"""Classifier scores against NumPy, in float64, and against tensorflow-gan's whole function."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from mmdgan import metrics
from mmdgan.metrics.features import tfgan
from mmdgan.metrics.scores import inception_score


@pytest.mark.parametrize("splits", [1, 3])
def test_classifier_score_equals_numpy(splits):
    logits = 3 * np.random.default_rng(0).normal(size=(100, 6))
    expected = []
    for part in np.array_split(logits, splits):
        p = scipy.special.softmax(part, axis=1)
        expected.append(np.exp(np.mean(np.sum(p * np.log(p / p.mean(0)), axis=1))))
    assert metrics.classifier_score(logits, splits) == pytest.approx(np.mean(expected), rel=1e-12)


def test_classifier_score_equals_tensorflow_gans_whole_function(monkeypatch):
    logits = (3 * np.random.default_rng(0).normal(size=(100, 6))).astype(np.float32)
    theirs = tfgan.load().classifier_score_from_logits(tf.constant(logits, tf.float64))
    monkeypatch.setattr(inception_score, "_LOGIT_ROWS", 32)
    assert metrics.classifier_score(logits) == pytest.approx(float(theirs), rel=1e-12)


def test_classifier_score_spread_is_over_the_parts():
    logits = 3 * np.random.default_rng(0).normal(size=(100, 6))
    parts = [metrics.classifier_score(part) for part in np.split(logits, 10)]
    assert np.std(parts) > 0.1
    assert inception_score.classifier_score_spread(logits) == pytest.approx((np.mean(parts), np.std(parts)), rel=1e-12)


def test_classifier_score_runs_from_one_to_the_number_of_classes():
    assert metrics.classifier_score(np.zeros((50, 5))) == pytest.approx(1.0, abs=1e-12)
    assert metrics.classifier_score(50.0 * np.eye(5).repeat(10, axis=0)) == pytest.approx(5.0, abs=1e-9)
