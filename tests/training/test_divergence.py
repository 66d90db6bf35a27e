"""Divergence: what is written, and how a run goes back."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.training import divergence
from mmdgan.training.checkpoints import Checkpoints
from mmdgan.training.divergence import Diverged, attempt_seed
from mmdgan.training.trainer import Progress, Trainer
from tests.helpers.fake_gan import FakeGan, small_pipeline


class Watched(FakeGan):
    """A FakeGan that shows scores and norms."""

    def inspect(self, real, labels=None):
        inspected = super().inspect(real, labels)
        scores = tf.reshape(self.weights, (2, 1))
        inspected["scalars"] = {"kernel_norm/dis/l1": tf.constant(2.5), "kernel_norm/dis/l2": tf.constant(np.inf)}
        inspected["histograms"] = {
            "x/sx": scores,
            "x/sg": 2 * scores,
            "kernel_norm/gen/c": tf.constant([3.0, 1.0, 2.0]),
        }
        return inspected


def diverging(folder, gan, **options):
    trainer = Trainer(
        gan,
        small_pipeline(),
        checkpoints=Checkpoints(folder, gan.state()),
        progress=Progress(stream=None),
        **options,
    )
    with pytest.raises(Diverged) as stop:
        trainer.fit(50)
    return stop.value


def test_what_led_to_a_divergence_is_written_beside_the_state(tmp_path):
    gan = Watched(losses={28: tf.constant(np.nan), 29: tf.constant(np.nan)})
    error = diverging(tmp_path, gan, save_every=12, log_every=10, divergence_limit=99.0)
    assert error.path == tmp_path / "diverged-28"
    assert "the state is in" in str(error) and f"{error.path}.json" in str(error)
    told = json.loads((tmp_path / "diverged-28.json").read_text())
    assert (told["step"], told["name"], told["value"], told["limit"]) == (28, "loss_gen", "nan", 99.0)
    assert told["last_checkpoint"] == 24 and told["state_of_step"] == 30
    assert [losses["step"] for losses in told["losses"]] == list(range(9, 29))
    assert told["losses"][-1]["loss_gen"] == "nan" and isinstance(told["losses"][-2]["loss_gen"], float)
    (seen,) = told["looks"]
    low, high = sorted(gan.weights.numpy().astype(float))
    assert seen["step"] == 30 and seen["sigma"] == {"dis/l1": 2.5, "dis/l2": "inf", "gen/c": [1.0, 3.0]}
    assert seen["scores"]["data"] == pytest.approx({"min": low, "mean": (low + high) / 2, "max": high})
    assert seen["scores"]["gen"]["max"] == pytest.approx(2 * high)


def test_the_state_before_is_saved_if_it_was_sound(tmp_path, monkeypatch):
    """The copy of the state after step 20 is good; that after step 30 holds a NaN which no loss shows yet."""
    monkeypatch.setattr("mmdgan.training.trainer._SNAPSHOT_SECONDS", 0.0)
    gan = Watched(losses=dict.fromkeys(range(1, 34), tf.constant(0.5)) | {34: tf.constant(np.inf)})
    at_20 = []
    gan.at = {21: lambda: at_20.append(gan.weights.numpy()), 25: lambda: gan.moments.assign([np.nan, 0.0])}
    step = gan.step
    gan.step = lambda *args, **kwargs: {"loss_gen": step(*args, **kwargs)["loss_gen"]}
    diverging(tmp_path, gan, save_every=None)
    told = json.loads((tmp_path / "diverged-34.json").read_text())
    assert told["state_before_of_step"] == 20 and told["last_checkpoint"] is None
    before = tf.train.load_checkpoint(str(tmp_path / "diverged-34-before"))
    np.testing.assert_array_equal(before.get_tensor("state/gen.Sw/.ATTRIBUTES/VARIABLE_VALUE"), at_20[0])


def test_a_full_disk_does_not_hide_a_divergence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    error = diverging(tmp_path, Watched(losses={3: tf.constant(np.nan)}), save_every=None)
    assert (error.step, error.path) == (3, None)


def test_each_attempt_has_random_numbers_of_its_own():
    seeds = [attempt_seed(seed, attempt) for seed in (0, 1, 2**32 - 1) for attempt in range(4)]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**32 for seed in seeds)
    assert [attempt_seed(7, 0), attempt_seed(7, 2)] == [7, attempt_seed(7, 2)]


@pytest.fixture
def experiment(tiny_run, tmp_path):
    changes = {"max_step": 6, "rounds": 2, "save_every": 2, "keep": 9, "seed": 3}
    return dataclasses.replace(tiny_run[0], results=str(tmp_path), on_divergence="rollback", **changes)


@pytest.fixture
def fail(monkeypatch):
    """By seed, the step from which losses are no numbers; and the (seed, step) that were trained."""
    from mmdgan.training import GanStep

    failing: dict[int, int] = {}
    step, seen = GanStep.step, []

    def scripted(self, *args, **kwargs):
        losses = step(self, *args, **kwargs)
        seen.append((self.seed, int(self.iterations)))
        first = failing.get(self.seed)
        return losses if first is None or int(self.iterations) < first else {**losses, "loss_dis": tf.constant(np.nan)}

    monkeypatch.setattr(GanStep, "step", scripted)
    return failing, seen


def test_a_run_goes_back_with_other_random_numbers(experiment, fail, capsys):
    """Once from step 5 to step 4; a later resumption goes on with the second attempt's numbers."""
    failing, seen = fail
    failing[3] = 5
    result = experiment.run(say=print)
    other = attempt_seed(3, 1)
    assert result["step"] == 6 and seen == [*((3, step) for step in range(1, 7)), (other, 5), (other, 6)]
    assert "Training diverged at step 5: loss_dis is nan" in (said := capsys.readouterr().out)
    assert "going back to step 4 with other random numbers, 1 of at most 3 times." in said
    (line,) = divergence.records(result["folder"])
    assert (line["action"], line["step"], line["back_to"], line["attempt"]) == ("rollback", 5, 4, 1)
    assert (line["name"], line["value"], line["state"]) == ("loss_dis", "nan", "diverged-5")

    from mmdgan.runs.train import TrainingRun

    seen.clear()
    run = TrainingRun(dataclasses.replace(experiment, max_step=7).plan())
    assert run.trainer.pipeline.seed == other
    run.execute()
    assert seen == [(other, 7)]


@pytest.mark.slow
def test_a_run_goes_back_three_times_at_most(experiment, fail):
    failing, seen = fail
    failing |= {attempt_seed(3, attempt): 1 for attempt in range(4)}
    with pytest.raises(Diverged, match="step 1: loss_dis is nan") as stop:
        experiment.run()
    assert stop.value.attempts == 3
    assert [seed for seed, step in seen if step == 1] == [attempt_seed(3, attempt) for attempt in range(4)]
    lines = divergence.records(experiment.folder().path)
    assert [(line["action"], line["back_to"], line["attempt"]) for line in lines] == [
        ("rollback", 0, 1),
        ("rollback", 0, 2),
        ("rollback", 0, 3),
        ("stop", None, 3),
    ]
