"""Several steps per call of the loop, which change nothing; the progress line, on a terminal and in a file."""

import fcntl
import io
import os
import struct
import termios
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core import text
from mmdgan.core.errors import ConfigError
from mmdgan.training import Checkpoints, Trainer, trainer
from mmdgan.training.step import repeated
from mmdgan.training.trainer import Pace, Progress
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


def test_arrays_and_data_sets_of_tensorflow_are_no_pipelines():
    for given in (np.zeros((8, 4, 4, 3), np.uint8), tf.data.Dataset.range(3).batch(2)):
        with pytest.raises(ConfigError, match=rf"pipeline is a {type(given).__name__}; .*ImageData.*gan.step"):
            Trainer(FakeGan(), given)


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


def test_workers_agree_in_every_call_that_passes_a_tenth_step(tmp_path):
    asked: list[int] = []
    options = {"save_every": 1000, "query_step": None, "steps_per_call": 16}

    def agree(*values):
        asked.append(len(gan.calls))
        return values

    gan = Several()
    Trainer(gan, small_pipeline(), agree=agree, progress=Progress(stream=None), **options).fit(64)
    assert gan.calls == [16] * 4 and asked == [1, 2, 3, 4]


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


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_says_step_losses_speed_and_time_left():
    stream = io.StringIO()
    Progress(2000, stream).update(500, {"loss_gen": -0.12345678, "loss_dis": 1234.5}, 98.76, 0.5)
    assert stream.getvalue() == "step 500/2000  loss_gen -0.1235  loss_dis 1234  98.8 images/s  12:30 left\n"


def test_a_file_gets_a_line_now_and_then_and_the_last_one():
    stream = io.StringIO()
    progress = Progress(None, stream, interval=0.2)
    progress.update(1, {}, last_step=9)
    progress.update(2, {}, last_step=9)
    time.sleep(0.25)
    progress.update(3, {}, last_step=9)
    progress.update(4, {}, last_step=9)
    progress.close()
    progress.close()
    assert stream.getvalue() == "step 1/9\nstep 3/9\nstep 4/9\n"


def test_a_terminal_gets_one_line_rewritten():
    stream = Terminal()
    progress = Progress(9, stream)
    progress.update(1, {"loss_gen": -0.25})
    time.sleep(0.25)
    progress.update(2, {"loss_gen": 5})
    progress.close()
    long, short = (
        f"[{bar:.<30}]  step {step}" for bar, step in (("===", "1/9  loss_gen -0.25"), ("=" * 6, "2/9  loss_gen 5"))
    )
    assert stream.getvalue() == f"\r{long}\r{short}{' ' * (len(long) - len(short))}\n"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (160, "[=======.......................]  step 500/2000  {losses}  loss_r1 2  98.8 images/s  12:30 left"),
        (99, "[==........]  step 500/2000  {losses}  loss_r1 2  98.8 images/s  12:30 left"),
        (91, "[===..........]  step 500/2000  {losses}  98.8 images/s  12:30 left"),
        (80, "[===.........]  step 500/2000  gen -0.1235  dis 1234  98.8 images/s  12:30 left"),
        (64, "step 500/2000  gen -0.1235  dis 1234  98.8 images/s  12:30 left"),
        (50, "step 500/2000  gen -0.1235  dis 1234  12:30 left"),
        (39, "step 500/2000  gen -0.1235  12:30 left"),
        (30, "step 500/2000  12:30 left"),
        (20, "step 500/2000  12:3"),
    ],
)
def test_a_line_is_cut_to_the_width_of_the_terminal(monkeypatch, columns, line):
    monkeypatch.setattr(trainer, "terminal_columns", lambda stream: columns)
    stream, losses = Terminal(), {"loss_gen": -0.12345678, "loss_dis": 1234.5, "loss_r1": 2.0}
    Progress(2000, stream).update(500, losses, 98.76, 0.5)
    shown = stream.getvalue().removeprefix("\r")
    assert shown == line.format(losses="loss_gen -0.1235  loss_dis 1234") and len(shown) < columns


def test_a_terminal_is_asked_for_its_width():
    parent, child = os.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 57, 0, 0))
    with os.fdopen(child, "w") as stream:
        assert text.terminal_columns(stream) == 57
    os.close(parent)
    assert text.terminal_columns(io.StringIO()) == 80


def test_a_notebook_gets_one_line_of_standard_output(monkeypatch, capsys):
    monkeypatch.setattr(trainer, "in_notebook", lambda: True)
    progress = Progress(9)
    progress.update(1, {})
    progress.close()
    assert capsys.readouterr() == ("\r[===...........................]  step 1/9\n", "")


def test_silence():
    progress = Progress(9, None)
    progress.update(1, {"loss_gen": 1.0}, 2.0, 3.0)
    progress.close()


def test_the_default_is_what_standard_error_is_at_the_time(capsys):
    Progress(9).update(1, {})
    assert capsys.readouterr() == ("", "step 1/9\n")


def test_pace_leaves_pauses_out():
    pace = Pace(window=2)
    assert pace.seconds_per_step is None
    assert pace.mean_seconds_per_step is None
    time.sleep(0.2)
    pace.resume()
    time.sleep(0.1)
    pace.count(10)
    time.sleep(0.2)
    pace.resume()
    pace.count(10)
    assert pace.seconds == pytest.approx(0.1, abs=0.05)
    assert pace.mean_seconds_per_step == pytest.approx(0.005, abs=0.0025)
    pace.count(10)
    assert pace.seconds_per_step < 0.001
