"""The training loop: resuming, saving, signals, divergence, callbacks."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.errors import CheckpointError, DataError
from mmdgan.data import Pipeline
from mmdgan.training.checkpoints import Checkpoints
from mmdgan.training.signals import STOPPING
from mmdgan.training.tensorboard import Monitor, read_scalars
from mmdgan.training.trainer import Diverged, Interrupted, Progress, Trainer
from tests.helpers import signals
from tests.helpers.fake_gan import FakeGan, small_pipeline


def trainer_of(gan, folder=None, **options):
    checkpoints = None if folder is None else Checkpoints(folder, gan.state())
    options.setdefault("progress", Progress(stream=None))
    return Trainer(gan, small_pipeline(), checkpoints=checkpoints, **options)


def values(state):
    return {name: variable.numpy() for name, variable in state.items()}


def assert_same(state, expected):
    for name, value in expected.items():
        np.testing.assert_array_equal(state[name].numpy(), value, err_msg=name)


def test_fit_reports_what_it_did():
    gan = FakeGan()
    trainer = trainer_of(gan, log_every=7)
    result = trainer.fit(20)
    assert (result["step"], result["steps"]) == (20, 20)
    assert set(result["losses"]) == {"loss_gen", "loss_dis"}
    assert result["losses"]["loss_gen"] == -result["losses"]["loss_dis"]
    assert 0 < result["seconds"] < 60
    assert result["images_per_second"] > 4 * 19 / result["seconds"]


def test_every_step_gets_its_own_batch():
    seen = []

    class Recorder(FakeGan):
        def step(self, real, labels=None):
            seen.append(real.numpy())
            return super().step(real, labels)

    gan = Recorder()
    trainer = trainer_of(gan)
    trainer.fit(3)
    trainer.fit(9)
    pipeline = small_pipeline()
    np.testing.assert_array_equal(seen, [pipeline.batch(step)["x"] for step in range(9)])


def test_a_resumed_run_equals_an_undisturbed_one(tmp_path):
    whole = FakeGan()
    expected_losses = trainer_of(whole).fit(30)["losses"]
    first = FakeGan()
    trainer_of(first, tmp_path).fit(13)
    second = FakeGan()
    trainer = trainer_of(second, tmp_path)
    assert trainer.checkpoints.restore() == 13
    assert trainer.fit(30)["losses"] == expected_losses
    assert_same(second.state(), values(whole.state()))


class Crash(BaseException):
    """Stands for kill -9."""


@pytest.mark.parametrize("end", ["SIGTERM", "kill"])
def test_curves_of_a_resumed_run_are_those_of_an_undisturbed_one(tmp_path, end):
    """What was written of steps that come again does not count; no point is missing, none is added."""

    def crash():
        raise Crash

    def train(folder, gan, stops):
        monitor = Monitor(tmp_path / folder / "logs")
        options = {"monitor": monitor, "save_every": 8, "log_every": 5, "query_step": 6}
        trainer = trainer_of(gan, tmp_path / folder / "checkpoints", **options)
        if trainer.checkpoints.latest():
            trainer.checkpoints.restore()
        for stop in stops:
            trainer.fit(stop)
        monitor.close()

    train("whole", FakeGan(), (13, 30))
    if end == "SIGTERM":
        with pytest.raises(Interrupted):
            train("part", FakeGan(at={13: lambda: os.kill(os.getpid(), signal.SIGTERM)}), (13, 30))
        assert Checkpoints(tmp_path / "part" / "checkpoints", {}).steps() == [8, 13]
    else:
        with pytest.raises(Crash):
            train("part", FakeGan(at={23: crash}, losses={17: tf.constant(9.0), 20: tf.constant(9.0)}), (13, 30))
        assert Checkpoints(tmp_path / "part" / "checkpoints", {}).steps() == [13, 16]
    train("part", FakeGan(), (13, 30))
    whole, part = (read_scalars(tmp_path / folder) for folder in ("whole", "part"))
    assert whole["GANLoss/gen"].steps.tolist() == [1, 5, 10, 13, 15, 20, 25, 30]
    assert whole["rep_b/kxx"].steps.tolist() == [6, 12, 13, 18, 24, 30]
    for tag in ("GANLoss/gen", "GANLoss/dis", "rep_b/kxx"):
        np.testing.assert_array_equal(part[tag].steps, whole[tag].steps)
        np.testing.assert_array_equal(part[tag].values, whole[tag].values)


def test_curves_are_on_the_disk_before_the_checkpoint_is(tmp_path):
    """A kill -9 right after saving must not lose points that no later process repeats."""
    monitor = Monitor(tmp_path / "logs")
    trainer = trainer_of(FakeGan(), tmp_path / "checkpoints", monitor=monitor, log_every=1, save_every=3)
    there, save = [], trainer.checkpoints.save

    def look(step):
        there.append(read_scalars(tmp_path / "logs", "GANLoss/gen").steps.tolist())
        return save(step)

    trainer.checkpoints.save = look
    trainer.fit(6)
    assert there == [[1, 2, 3], [1, 2, 3, 4, 5, 6]]


def tiny_gan():
    from mmdgan import build_discriminator, build_generator
    from mmdgan.training import GanStep

    up = {"op": "tc", "kernel": 4, "strides": 2}
    architecture = {
        "input": [(3, 8, 8)],
        "code": [(4, "linear")],
        "generator": [
            {"name": "l1", "op": "d", "out": 32, "out_reshape": [8, 2, 2]},
            {"name": "l2_up", "out": 6, "act": "relu", "act_nm": "bn", **up},
            {"name": "l3_up", "out": 3, "act": "tanh", **up},
        ],
        "discriminator": [
            {
                "name": "l1",
                "out": 8,
                "act": "lrelu",
                "w_nm": "s",
                "kernel": 4,
                "strides": 4,
                "out_reshape": [32],
            },
            {"name": "l2_s", "op": "d", "out": 4, "w_nm": "s"},
        ],
    }
    keras.utils.set_random_seed(3)
    networks = build_generator(architecture), build_discriminator(architecture)
    return GanStep(*networks, "rep_b", 5e-3, 2e-3, seed=1)


def test_a_resumed_run_of_real_networks_equals_an_undisturbed_one(tmp_path):
    from mmdgan.data import ImageData

    images = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    pipeline = Pipeline(ImageData("random", images), 8)
    losses = []

    def train(gan, until):
        checkpoints = Checkpoints(tmp_path, gan.state())
        if checkpoints.latest():
            checkpoints.restore()
        callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: losses.append(logs))
        trainer = Trainer(gan, pipeline, checkpoints=checkpoints, progress=Progress(stream=None))
        return trainer.fit(until, [callback])

    whole = tiny_gan()
    initial = values(whole.state())
    train(whole, 6)
    undisturbed, final = losses[:], values(whole.state())
    losses.clear()
    for file in tmp_path.iterdir():
        file.unlink()
    train(tiny_gan(), 4)
    resumed = tiny_gan()
    resumed.generator.weights[0].assign(tf.zeros_like(resumed.generator.weights[0]))
    train(resumed, 6)
    assert losses == undisturbed
    assert_same(resumed.state(), final)
    changed = [name for name, value in final.items() if not np.array_equal(value, initial[name])]
    assert changed == list(final), "training changes all of the state"


def test_saves_at_the_asked_steps_and_at_the_end(tmp_path):
    gan = FakeGan()
    saves = []
    trainer = trainer_of(gan, tmp_path, save_every=4, log_every=100)
    save = trainer.checkpoints.save
    trainer.checkpoints.save = lambda step: saves.append((step, int(gan.iterations))) or save(step)
    trainer.fit(10)
    trainer.fit(10)
    trainer.fit(12)
    assert saves == [(4, 4), (8, 8), (10, 10), (12, 12)]


def test_saves_after_some_seconds(tmp_path, monkeypatch):
    seconds = [0.0]
    gan = FakeGan(at=dict.fromkeys(range(1, 11), lambda: seconds.append(seconds[-1] + 0.05)))
    clock = types.SimpleNamespace(monotonic=lambda: seconds[-1], perf_counter=time.perf_counter)
    monkeypatch.setattr("mmdgan.training.trainer.time", clock)
    trainer = trainer_of(gan, tmp_path, save_every=None, save_secs=0.18)
    saves = []
    trainer.checkpoints.save = saves.append
    trainer.fit(10)
    assert saves == [4, 8, 10]


def test_training_before_existing_checkpoints_is_refused(tmp_path):
    trainer_of(FakeGan(), tmp_path).fit(3)
    with pytest.raises(CheckpointError, match="a checkpoint of step 3, but training would begin after step 0"):
        trainer_of(FakeGan(), tmp_path).fit(5)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_finishes_the_step_and_saves(tmp_path, number):
    gan = FakeGan(at={7: lambda: os.kill(os.getpid(), number)})
    trainer = trainer_of(gan, tmp_path)
    with signals.handled(number, signals.default_handler(number)):
        before = [signal.getsignal(stopping) for stopping in STOPPING]
        with pytest.raises(Interrupted, match="after step 7") as stop:
            trainer.fit(30)
        assert [signal.getsignal(stopping) for stopping in STOPPING] == before
    assert (stop.value.step, stop.value.signal) == (7, number)
    assert trainer.checkpoints.steps() == [7]
    whole = FakeGan()
    trainer_of(whole).fit(7)
    assert_same(gan.state(), values(whole.state()))


def test_a_second_interrupt_does_not_wait(tmp_path):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    trainer = trainer_of(FakeGan(at={7: twice}), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(30)
    assert trainer.checkpoints.steps() == []


def test_a_hang_up_that_is_ignored_stays_so(tmp_path):
    """As under nohup."""
    with signals.handled(signal.SIGHUP, signal.SIG_IGN):
        trainer = trainer_of(FakeGan(at={7: lambda: os.kill(os.getpid(), signal.SIGHUP)}), tmp_path)
        assert trainer.fit(9)["step"] == 9
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_terminal_that_has_gone_does_not_keep_the_state_from_being_saved(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    trainer = trainer_of(FakeGan(), tmp_path, progress=Progress(stream=os.fdopen(writer, "w")))
    trainer.fit(3)
    assert trainer.checkpoints.steps() == [3]


def test_trains_in_another_thread_without_touching_signals():
    gan = FakeGan(at={2: lambda: handlers.append(signal.getsignal(signal.SIGTERM))})
    handlers = [signal.getsignal(signal.SIGTERM)]
    thread = threading.Thread(target=lambda: trainer_of(gan).fit(3))
    thread.start()
    thread.join()
    assert int(gan.iterations) == 3
    assert handlers[0] == handlers[1]


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_loss_that_is_no_number_stops_before_the_next_checkpoint(tmp_path, value):
    gan = FakeGan(losses={13: tf.constant(value)})
    trainer = trainer_of(gan, tmp_path, save_every=5, log_every=1000)
    with pytest.raises(Diverged, match="diverged at step 13: loss_gen is") as stop:
        trainer.fit(30)
    assert (stop.value.step, stop.value.name) == (13, "loss_gen")
    assert trainer.checkpoints.steps() == [5, 10]
    assert stop.value.path == tmp_path / "diverged-13"
    assert Path(f"{stop.value.path}.index").is_file()
    fresh = FakeGan()
    assert Checkpoints(tmp_path, fresh.state()).restore() == 10


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    gan = FakeGan(losses=dict.fromkeys(range(30), tf.constant(0.5)))
    gan.at = {8: lambda: gan.moments.assign([np.nan, 0.0])}
    gan.step = _without_loss_dis(gan.step)
    trainer = trainer_of(gan, tmp_path, save_every=5)
    with pytest.raises(Diverged, match="diverged at step 10: gen/w is nan"):
        trainer.fit(30)
    assert trainer.checkpoints.steps() == [5]


def _without_loss_dis(step):
    return lambda *args, **kwargs: {"loss_gen": step(*args, **kwargs)["loss_gen"]}


@pytest.mark.parametrize(("query_step", "last"), [(None, 9), (7, 7), (None, 0)])
def test_images_that_cannot_be_read_leave_what_was_trained(tmp_path, query_step, last):
    """In the stream, or in the batch that is inspected; nothing is saved before the first step."""
    sound = small_pipeline()

    class Damaged:
        batch_size, order, steps = sound.batch_size, sound.order, None

        def dataset(self, first_step):
            for step in range(first_step, 9 if last else 0):
                yield sound.batch(step)
            raise DataError("Record 36 is corrupt.")

        def batch(self, step):
            raise DataError(f"Batch {step} is corrupt.")

    monitor, whole = Monitor(tmp_path / "logs"), FakeGan()
    trainer = trainer_of(FakeGan(), tmp_path / "checkpoints", monitor=monitor, query_step=query_step)
    trainer.pipeline = Damaged()
    with pytest.raises(DataError, match="Batch 7" if query_step else "Record 36"):
        trainer.fit(30)
    assert trainer.checkpoints.steps() == ([last] if last else [])
    if last:
        trainer_of(whole).fit(last)
        again = trainer_of(FakeGan(), tmp_path / "checkpoints")
        assert again.checkpoints.restore() == last
        assert_same(again.gan.state(), values(whole.state()))


def test_training_ends_with_a_pipeline_that_does(tmp_path):
    pipeline = Pipeline(small_pipeline().data, 5, epochs=2)  # 24 images twice: nine batches of five, and one of three
    gan, monitor = FakeGan(), Monitor(tmp_path / "logs")
    trainer = trainer_of(gan, tmp_path / "checkpoints", monitor=monitor, query_step=4)
    trainer.pipeline = pipeline
    assert trainer.fit(30)["step"] == trainer.checkpoints.latest() == 10
    assert [step for step, _ in gan.inspected] == [4, 8]
    assert trainer.fit(30)["steps"] == 0


def test_a_loss_beyond_the_limit_is_divergence():
    losses = {3: tf.constant(-29.0), 4: tf.constant(-31.0)}
    with pytest.raises(Diverged, match="step 4: loss_gen is -31$"):
        trainer_of(FakeGan(losses=losses), divergence_limit=30).fit(10)
    trainer_of(FakeGan(losses={4: tf.constant(1e30)})).fit(10)


def test_losses_are_not_waited_for_at_each_step():
    read = []

    class Lazy:
        def __init__(self, step):
            self.step = step

        def __float__(self):
            read.append((self.step, int(gan.iterations)))
            return 0.0

    gan = FakeGan(losses={step: Lazy(step) for step in range(1, 26)})
    trainer_of(gan, log_every=10).fit(25)
    assert read == [(step, 1 if step == 1 else min(-(-step // 10) * 10, 25)) for step in range(1, 26)]


def test_keras_callbacks_see_steps_losses_and_epochs():
    calls = []
    record = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: calls.append("begin"),
        on_epoch_begin=lambda epoch, logs: calls.append(f"epoch {epoch}"),
        on_train_batch_begin=lambda batch, logs: calls.append(f"batch {batch}, step {record.params['step']}"),
        on_train_batch_end=lambda batch, logs: calls.append((record.params["step"], logs)),
        on_epoch_end=lambda epoch, logs: calls.append((f"end {epoch}", logs)),
        on_train_end=lambda logs: calls.append("end"),
    )
    gan = FakeGan(losses={step: tf.constant(float(step)) for step in range(1, 9)})
    trainer_of(gan).fit(8, [record])  # 24 images in batches of 4: six steps an epoch
    assert record.model is gan.generator
    order = [call if isinstance(call, str) else call[0] for call in calls]
    steps = [[f"batch {(step - 1) % 6}, step {step}", step] for step in range(1, 9)]
    assert order == [
        "begin",
        "epoch 0",
        *sum(steps[:6], []),
        "end 0",
        "epoch 1",
        *sum(steps[6:], []),
        "end 1",
        "end",
    ]
    logged = {call[0]: call[1] for call in calls if not isinstance(call, str)}
    assert logged[3]["loss_gen"] == 3.0
    assert isinstance(logged[3]["loss_dis"], float)
    assert logged["end 0"]["loss_gen"] == pytest.approx(3.5)
    assert logged["end 1"]["loss_gen"] == pytest.approx(7.5)


def test_callbacks_stop_the_training(tmp_path):
    gan = FakeGan(losses={step: tf.constant(float(step)) for step in range(1, 100)})
    history = keras.callbacks.History()
    early = keras.callbacks.EarlyStopping(monitor="loss_gen", mode="min", patience=1)
    trainer = trainer_of(gan, tmp_path)
    assert trainer.fit(99, [early, history])["step"] == 12
    assert trainer.checkpoints.latest() == 12
    assert history.history["loss_gen"] == pytest.approx([3.5, 9.5])
    assert trainer.fit(20)["step"] == 20

    def stop(batch, logs):
        gan.generator.stop_training = stopping.params["step"] == 23

    stopping = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    assert trainer.fit(99, [stopping])["step"] == 23


CHILD = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from tests.helpers.fake_gan import FakeGan, small_pipeline
    from mmdgan.training.checkpoints import Checkpoints
    from mmdgan.training.trainer import Progress
    from mmdgan.training.trainer import Trainer

    gan = FakeGan()
    checkpoints = Checkpoints(sys.argv[2], gan.state())
    if checkpoints.latest() is not None:
        print("resumed", checkpoints.restore(), flush=True)
    save = checkpoints.save

    def tell(step):
        save(step)
        print("saved", step, flush=True)

    checkpoints.save = tell
    options = {"save_every": 2, "log_every": 2, "progress": Progress(stream=None)}
    Trainer(gan, small_pipeline(), checkpoints=checkpoints, **options).fit(100_000)
"""


@pytest.mark.slow
def test_kill_9_at_random_moments_loses_no_checkpoint(tmp_path):
    """Three processes in turn save as often as they can, and are killed while they do."""
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(Path(__file__).parents[2]), str(tmp_path)]
    saved = 0
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        first = process.stdout.readline()
        if saved:
            # The kill may fall between the renaming of the index and the line that tells of it.
            assert first in (f"resumed {saved}\n", f"resumed {saved + 2}\n")
            first = process.stdout.readline()
        assert first.startswith("saved")
        time.sleep(random.uniform(0.05, 0.5))
        process.kill()
        lines = [first, *process.stdout.read().splitlines(keepends=True)]
        process.wait()
        saved = max(int(line.split()[1]) for line in lines if line.endswith("\n"))
    gan = FakeGan()
    step = Checkpoints(tmp_path, gan.state()).restore()
    assert step in (saved, saved + 2)
    undisturbed = FakeGan()
    trainer_of(undisturbed).fit(step)
    assert_same(gan.state(), values(undisturbed.state()))
