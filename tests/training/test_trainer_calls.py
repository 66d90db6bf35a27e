"""Several steps per call of the loop: the same steps, checkpoints, inspections and callbacks as one by one."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.training import Checkpoints, Trainer
from mmdgan.training.step import repeated
from mmdgan.training.trainer import Progress
from tests.helpers.fake_gan import FakeGan, small_pipeline


class Several(FakeGan):
    """A fake that can take several steps at once, and remembers how many."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def steps(self, real, labels=None):
        self.calls.append(len(real))
        taken = [self.step(batch) for batch in real]
        return {name: tf.stack([losses[name] for losses in taken]) for name in taken[0]}


class Seen(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.steps = []

    def on_train_batch_begin(self, batch, logs=None):
        self.steps.append(self.params["step"])

    def on_train_batch_end(self, batch, logs=None):
        assert self.params["step"] == self.steps[-1]
        self.steps.append(float(logs["loss_gen"]))


def train(folder, last=17, **options):
    gan, seen = Several(), Seen()
    checkpoints = Checkpoints(folder, gan.state(), keep=10)
    options = {"save_every": 8, "query_step": 6, "progress": Progress(stream=None)} | options
    trainer = Trainer(gan, small_pipeline(), checkpoints=checkpoints, monitor=Monitored(), **options)
    result = trainer.fit(last, [seen])
    return gan, seen, checkpoints, result


class Monitored:
    """A monitor that writes nothing."""

    def __getattr__(self, name):
        return lambda *_: None


def test_calls_end_at_checkpoints_inspections_and_the_last_step(tmp_path):
    one, seen, checkpoints, result = train(tmp_path / "one")
    many, seen_many, checkpoints_many, result_many = train(tmp_path / "many", steps_per_call=5)
    assert many.calls == [5, 2, 4, 4]  # 5, then 1 to step 6, 2 to 8, 4 to 12, 4 to 16, 1 to 17
    assert checkpoints_many.steps() == checkpoints.steps() == [8, 16, 17]
    assert [step for step, _ in many.inspected] == [step for step, _ in one.inspected]
    assert seen_many.steps == seen.steps
    assert result_many["losses"] == result["losses"]
    assert result_many["step"] == 17
    np.testing.assert_array_equal(many.weights, one.weights)


def test_losses_inside_of_a_call_are_looked_at(tmp_path):
    from mmdgan.training import Diverged

    gan = Several()
    gan.losses = {4: tf.constant(np.nan)}
    with pytest.raises(Diverged, match="step 4"):
        Trainer(gan, small_pipeline(), steps_per_call=5, progress=Progress(stream=None)).fit(10)


def test_repeated_keeps_the_order():
    state = tf.Variable(1.0)

    def step(x):
        state.assign(state * 2 + x)
        return {"value": state + 0.0}

    @tf.function
    def run(batches):
        return repeated(step, {"value": tf.constant(0.0)}, batches)

    np.testing.assert_array_equal(run(tf.constant([1.0, 2.0, 3.0]))["value"], [3, 8, 19])
