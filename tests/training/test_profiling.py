"""Profiles of training steps."""

import gzip
import json

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.training.profiling import Profile


@tf.function
def step(x):
    return tf.linalg.matmul(x, x)


def run(callback, first, last):
    for batch, number in enumerate(range(first, last + 1)):
        callback.set_params({"step": number})
        callback.on_train_batch_begin(batch)
        value = tf.reduce_sum(step(tf.constant(np.eye(64, dtype=np.float32))))
        callback.on_train_batch_end(batch, {"loss": value})
    callback.on_train_end()


def steps_seen(folder):
    """How many calls of `step` the Chrome trace shows; and that the profile is there."""
    (trace,) = folder.glob("plugins/profile/*/trace.json.gz")
    assert len(list(trace.parent.glob("*.xplane.pb"))) == 1
    events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    found = [event for event in events if event["name"] == "step"]
    assert all(event["ph"] == "X" and event["dur"] > 0 and event["ts"] > 0 for event in found)
    return len(found)


@pytest.mark.parametrize(
    ("steps", "first", "last", "expected"),
    [((3, 5), 1, 8, 3), ((4,), 101, 120, 4), ((7, 20), 1, 8, 2), ((2, 5), 4, 8, 2)],
)
def test_the_steps_asked_for_are_in_the_trace(steps, first, last, expected, tmp_path):
    run(Profile(tmp_path, steps), first, last)
    assert steps_seen(tmp_path) == expected


def test_steps_that_are_past_are_not_profiled(tmp_path):
    run(Profile(tmp_path, (3, 5)), 6, 8)
    assert not list(tmp_path.iterdir())
