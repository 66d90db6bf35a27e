"""Callbacks of a whole run, and its row in TensorBoard's HParams tab, read by TensorBoard itself."""

from __future__ import annotations

import csv
import dataclasses

import keras
import pytest
import tensorflow as tf

from mmdgan.core.errors import ConfigError
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from mmdgan.training import tensorboard
from mmdgan.training.divergence import Diverged
from tests.conftest import PROJECT
from tests.helpers.document_blocks import blocks
from tests.helpers.hparams_table import hparams_table


@pytest.fixture
def experiment(tiny_run, tmp_path, block_means):
    """Two rounds of two steps with scores."""
    changes = {"metrics": ("swd",), "score_count": 30, "results": str(tmp_path), "keep": 3, "keep_rounds": False}
    return dataclasses.replace(tiny_run[0], keep_best=None, **changes)


def swd(folder, step):
    """The mean sliced Wasserstein distance that a run has in its records of a step."""
    [value] = [one["value"] for one in folder.records() if one["step"] == step and one["metric"] == "SWD mean"]
    return value


def test_all_rounds_are_one_training(experiment, tmp_path):
    calls, rates = [], []

    def on_train_batch_end(batch, logs):
        calls.append(record.params["step"])
        rates.append(float(record.model.optimizer.learning_rate))

    record = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: calls.append("begin"),
        on_train_batch_end=on_train_batch_end,
        on_train_end=lambda logs: calls.append(sorted(logs)),
    )
    logger = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    folder = RunFolder(experiment.run(callbacks=[record, logger])["folder"])
    assert calls[:-1] == ["begin", 1, 2, 3, 4] and {"SWD mean", "loss_dis", "loss_gen"} <= set(calls[-1])
    assert rates == pytest.approx([experiment.lr_gen] * 4)
    with open(tmp_path / "log.csv", newline="", encoding="utf-8") as file:
        [row] = csv.DictReader(file)  # the epoch is not over, but the training is
    assert row["epoch"] == "0" and float(row["SWD mean"]) == pytest.approx(swd(folder, 4))


def test_a_callback_that_stops_the_training_gets_samples_and_scores(experiment, capsys):
    def stop(batch, logs):
        record.model.stop_training = record.params["step"] == 1

    record = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    result = experiment.run(callbacks=[record], say=print)
    folder = RunFolder(result["folder"])
    assert result["step"] == 1 and folder.steps() == [1] and folder.grid_file(1).is_file()
    assert {score["step"] for score in folder.records()} == {1} and swd(folder, 1) > 0
    assert "A callback has stopped the training after step 1." in capsys.readouterr().out
    assert experiment.run()["step"] == 4  # the same run without it goes on


def test_a_callback_that_cannot_work_is_told_before_anything_is_done(experiment):
    with pytest.raises(ConfigError, match="callbacks has ReduceLROnPlateau"):
        experiment.run(callbacks=[keras.callbacks.ReduceLROnPlateau()])
    assert not experiment.folder().path.exists()


def test_tensorboard_compares_runs(experiment, tmp_path):
    first = RunFolder(experiment.run()["folder"])
    dataclasses.replace(experiment, loss="hinge", lr_dis=1e-3).run()
    longer = dataclasses.replace(experiment, max_step=6)
    longer.run()  # the same run, further: no second row
    columns, metrics, rows = hparams_table(tmp_path)
    leading, others = set(columns[: columns.index("seed")]), set(columns[columns.index("seed") :])
    assert {"architecture", "batch_size", "data", "loss", "lr_dis", "lr_gen"} <= leading
    assert {"spectral", "max_step", "precision", "flip"} <= others  # as by default
    assert "score/SWD mean" in metrics and metrics[-2:] == ["loss/generator", "loss/critic"]
    assert len(rows) == 2 and all(status == 1 for status, _, _ in rows)  # success
    by_loss = {values["loss"]: (values, found) for _, values, found in rows}
    values, found = by_loss["rep_b"]
    assert values["max_step"] == 6 and values["lr_dis"] == experiment.lr_dis
    assert by_loss["hinge"][0]["lr_dis"] == pytest.approx(1e-3)
    assert found["score/SWD mean"] == pytest.approx(swd(first, 6), rel=1e-6)


def test_weights_and_biases(experiment, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    from wandb.integration.keras import WandbMetricsLogger

    monkeypatch.setenv("WANDB_MODE", "offline")
    run = wandb.init(project="mmdgan", config=dataclasses.asdict(experiment), dir=str(tmp_path))
    folder = RunFolder(experiment.run(callbacks=[WandbMetricsLogger(log_freq=1)])["folder"])
    assert run.summary["epoch/SWD mean"] == pytest.approx(swd(folder, 4))
    assert run.summary["epoch/learning_rate"] == pytest.approx(experiment.lr_gen)
    wandb.finish()


def test_mlflow(experiment, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow.keras")
    import mlflow as client

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client.set_tracking_uri((tmp_path / "mlruns").as_uri())
    with client.start_run() as run:
        folder = RunFolder(experiment.run(callbacks=[mlflow.MlflowCallback(run)])["folder"])
    assert client.get_run(run.info.run_id).data.metrics["SWD mean"] == pytest.approx(swd(folder, 4))


def test_the_program_of_the_guide(experiment, tmp_path, monkeypatch, capsys):
    """As it is printed, but for the size of the run."""
    [program] = [block for block in blocks(PROJECT / "docs" / "howto" / "callbacks.md") if block.title]
    given = {name: getattr(experiment, name) for name in ("batch_size", "score_count", "grid", "results", "metrics")}
    given |= {"max_step": 4, "rounds": 4, "architecture": experiment.architecture, "keep_best": None}
    monkeypatch.setattr("mmdgan.experiment.Experiment", lambda **fields: Experiment(**{**fields, **given}))
    monkeypatch.chdir(tmp_path)
    exec(compile(program.text, program.title, "exec"), {})
    with open("watched.csv", newline="", encoding="utf-8") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0"]
    assert capsys.readouterr().out.splitlines()[-1].startswith("4 {'SWD")


def test_a_diverged_run_is_a_failure(experiment, tmp_path):
    with pytest.raises(Diverged):
        dataclasses.replace(experiment, divergence_limit=1e-9).run()
    [(status, values, _)] = hparams_table(tmp_path)[2]
    assert status == 2 and values["loss"] == "rep_b"


def test_a_divergence_is_told_when_tensorboards_files_cannot_be_written(experiment, monkeypatch):
    write_run = tensorboard.write_run

    def full(folder, values, metrics, *, succeeded=None, **options):
        if succeeded is False:
            raise tf.errors.ResourceExhaustedError(None, None, "no space left")
        write_run(folder, values, metrics, succeeded=succeeded, **options)

    monkeypatch.setattr(tensorboard, "write_run", full)
    with pytest.raises(Diverged):
        dataclasses.replace(experiment, divergence_limit=1e-9).run()
