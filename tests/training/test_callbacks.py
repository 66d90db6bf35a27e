"""Keras's own callbacks in `Trainer.fit`, against the losses that the steps gave."""

from __future__ import annotations

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmdgan.core.errors import ConfigError
from mmdgan.training.callbacks import Callbacks
from mmdgan.training.checkpoints import Checkpoints
from mmdgan.training.trainer import Progress, Trainer
from tests.helpers.fake_gan import FakeGan, small_pipeline

LOSSES = {step: float(step * step) for step in range(1, 41)}
"""What is reported as loss_gen; six steps are an epoch."""


def trainer_of(gan, folder=None, **options):
    checkpoints = None if folder is None else Checkpoints(folder, gan.state())
    return Trainer(gan, small_pipeline(), checkpoints=checkpoints, progress=Progress(stream=None), **options)


def _mean(epoch: int, last: int = 10**9) -> float:
    steps = [step for step in range(6 * epoch + 1, 6 * epoch + 7) if step <= last]
    return float(np.mean([step * step for step in steps]))


def _rows(file):
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_csv_logger_has_the_means_of_each_epoch(tmp_path):
    gan = FakeGan(losses=LOSSES)
    trainer_of(gan).fit(15, [keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))])
    rows = _rows(tmp_path / "log.csv")
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert [float(row["loss_gen"]) for row in rows] == pytest.approx([_mean(0), _mean(1), _mean(2, 15)])
    assert all(np.isfinite(float(row["loss_dis"])) for row in rows)


def test_a_training_of_several_calls_begins_once_and_ends_once(tmp_path):
    calls = []
    record = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: calls.append("begin"),
        on_train_end=lambda logs: calls.append(("end", logs)),
        on_epoch_end=lambda epoch, logs: calls.append((epoch, logs)),
    )
    callbacks = Callbacks([record, keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))])
    trainer = trainer_of(FakeGan(losses=LOSSES))
    trainer.fit(8, callbacks)
    trainer.fit(14, callbacks)
    callbacks.scored({"FD[classifier]": 12.5})
    trainer.fit(20, callbacks)
    assert [call if isinstance(call, str) else call[0] for call in calls] == ["begin", 0, 1, 2]
    callbacks.close()
    callbacks.close()
    assert [call if isinstance(call, str) else call[0] for call in calls] == ["begin", 0, 1, 2, 3, "end"]
    means = [_mean(0), _mean(1), _mean(2), _mean(3, 20)]
    assert [float(row["loss_gen"]) for row in _rows(tmp_path / "log.csv")] == pytest.approx(means)
    assert ["FD[classifier]" in call[1] for call in calls[1:]] == [False, False, True, False, True]
    assert calls[-1][1]["FD[classifier]"] == 12.5 and calls[-1][1]["loss_gen"] == pytest.approx(_mean(3, 20))
    Callbacks([record]).close()
    assert len(calls) == 6  # it had not begun


def test_epochs_of_a_resumed_run_go_on():
    gan, seen = FakeGan(losses=LOSSES), []
    trainer_of(gan).fit(9)
    record = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss_gen"])))
    trainer_of(gan).fit(18, [record])
    assert seen == [(1, pytest.approx(np.mean([100.0, 121.0, 144.0]))), (2, pytest.approx(_mean(2)))]


def test_steps_that_a_rollback_undoes_are_not_counted():
    seen = []
    record = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss_gen"])))
    callbacks = Callbacks([record])
    trainer_of(FakeGan(losses=LOSSES)).fit(8, callbacks)
    again = FakeGan(losses=dict.fromkeys(LOSSES, 2.0))  # the networks are built anew
    again.iterations.assign(6)
    trainer_of(again).fit(12, callbacks)
    assert record.model is again.generator
    assert seen == [(0, pytest.approx(_mean(0))), (1, pytest.approx(2.0))]


def test_tensorboard_shows_batches_epochs_and_weights(tmp_path):
    board = keras.callbacks.TensorBoard(
        str(tmp_path), update_freq=1, histogram_freq=1, write_steps_per_second=True, write_graph=True, write_images=True
    )
    trainer_of(FakeGan(losses=LOSSES)).fit(12, [board])
    events = EventAccumulator(str(tmp_path / "train"), size_guidance={"tensors": 0}).Reload()
    tags = set(events.Tags()["tensors"])
    shown = {
        tag: {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)}
        for tag in tags
        if "loss" in tag
    }
    assert shown["batch_loss_gen"] == pytest.approx({step: step**2 for step in range(1, 13)})
    assert shown["epoch_loss_gen"] == pytest.approx({0: _mean(0), 1: _mean(1)})
    assert any(tag.endswith("/histogram") for tag in tags) and "epoch_steps_per_second" in tags


def test_model_checkpoint_saves_the_generator(tmp_path):
    gan = FakeGan(losses=LOSSES)
    gan.at = {step: (lambda step=step: gan.generator.set_weights([np.full((2, 1), float(step))])) for step in LOSSES}
    best = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "best.keras"), monitor="loss_gen", mode="min", save_best_only=True
    )
    weights = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "{epoch}-{batch}.weights.h5"), save_weights_only=True, save_freq=5
    )
    trainer_of(gan).fit(12, [best, weights])
    loaded = keras.saving.load_model(tmp_path / "best.keras")
    np.testing.assert_array_equal(loaded.get_weights()[0], np.full((2, 1), 6.0))  # of the end of epoch 0
    assert sorted(file.name for file in tmp_path.glob("*.h5")) == ["1-5.weights.h5", "2-4.weights.h5"]
    twin = FakeGan().generator
    twin.load_weights(tmp_path / "2-4.weights.h5")
    np.testing.assert_array_equal(twin.get_weights()[0], np.full((2, 1), 10.0))


def test_early_stopping_restores_the_best_generator(tmp_path):
    gan = FakeGan(losses=LOSSES)
    gan.at = {step: (lambda step=step: gan.generator.set_weights([np.full((2, 1), float(step))])) for step in LOSSES}
    early = keras.callbacks.EarlyStopping(
        monitor="loss_gen", mode="min", patience=2, restore_best_weights=True, start_from_epoch=1
    )
    trainer = trainer_of(gan, tmp_path)
    assert trainer.fit(40, [early])["step"] == 24  # best is epoch 1, patience is over after epoch 3
    np.testing.assert_array_equal(gan.generator.get_weights()[0], np.full((2, 1), 12.0))
    assert trainer.checkpoints.latest() == 24


def test_others_that_work(capsys):
    progress = keras.callbacks.ProgbarLogger()
    history = keras.callbacks.History()
    trainer_of(FakeGan(losses=LOSSES)).fit(12, [progress, keras.callbacks.TerminateOnNaN(), history])
    assert history.epoch == [0, 1] and history.history["loss_gen"] == pytest.approx([_mean(0), _mean(1)])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda folder: keras.callbacks.BackupAndRestore(folder),
            "BackupAndRestore, but it backs up the generator alone",
        ),
        (lambda folder: keras.callbacks.LearningRateScheduler(lambda epoch: 1.0), "--lr_schedule"),
        (lambda folder: keras.callbacks.ReduceLROnPlateau(), "--lr_schedule"),
        (lambda folder: keras.callbacks.SwapEMAWeights(), "--ema"),
        (lambda folder: "log.csv", "'log.csv', which is not a keras.callbacks.Callback"),
    ],
)
def test_what_cannot_work_is_told_before_the_first_step(tmp_path, make, words):
    gan = FakeGan()
    with pytest.raises(ConfigError, match=words):
        trainer_of(gan).fit(3, [make(str(tmp_path / "backup"))])
    assert int(gan.iterations) == 0


def test_losses_are_awaited_only_for_callbacks_that_look_at_steps():
    read = []

    class Lazy:
        """A loss that tells when it is made a number."""

        def __init__(self, step):
            self.step = step

        def __float__(self):
            read.append(self.step)
            return 0.0

        def __add__(self, other):
            return Lazy(other.step)

    gan = FakeGan(losses={step: Lazy(step) for step in range(1, 13)})
    trainer_of(gan, log_every=100).fit(12, [keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)])
    assert [step for step in read if step not in (6, 12)] in ([1], [1, *range(2, 6), *range(7, 12)])
    assert read.index(6) < 5  # at the end of the epoch, not of its steps


def test_each_training_tells_its_own_steps():
    """Of the same generator under another step; and nothing of either is left at it."""
    told = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: told.append(int(record.model.optimizer.iterations))
    )
    first, second = FakeGan(), FakeGan()
    second.generator = first.generator
    second.iterations.assign(10)
    cut = Callbacks([record])
    trainer_of(first).fit(2, cut)  # and never closed
    trainer_of(second).fit(12, [record])
    assert told == [1, 2, 11, 12] and second.generator.optimizer is None


def test_an_exception_ends_the_training_in_order():
    ended = []
    gan = FakeGan()
    record = keras.callbacks.LambdaCallback(on_train_end=lambda logs: ended.append(logs))

    def fail(batch, logs):
        if record.params["step"] == 4:
            raise RuntimeError("a mistake of the callback")

    with pytest.raises(RuntimeError, match="a mistake"):
        trainer_of(gan).fit(9, [record, keras.callbacks.LambdaCallback(on_train_batch_end=fail)])
    assert int(gan.iterations) == 4 and len(ended) == 1


class Begun(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.begun = self.steps = 0

    def on_train_begin(self, logs=None):
        self.begun += 1

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1


@pytest.mark.parametrize(
    "form",
    [
        lambda note: [note],
        lambda note: (note,),
        lambda note: {note},
        lambda note: note,
        lambda note: iter([note]),
        lambda note: (each for each in [note]),
        lambda note: keras.callbacks.CallbackList([note]),
        lambda note: keras.callbacks.CallbackList([note], add_history=True),
    ],
)
def test_callbacks_in_every_form(form):
    note = Begun()
    trainer_of(FakeGan(losses=LOSSES)).fit(4, form(note))
    assert (note.begun, note.steps) == (1, 4)


def test_no_callbacks():
    assert trainer_of(FakeGan(losses=LOSSES)).fit(4, None)["step"] == 4


@pytest.mark.parametrize("given", [3, "early", {"a": 1}, keras.callbacks.Callback, object()])
def test_what_are_no_callbacks(given):
    with pytest.raises(ConfigError, match="callbacks is "):
        trainer_of(FakeGan(losses=LOSSES)).fit(4, given)
