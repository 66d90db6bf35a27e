"""Named experiments as a sweep, and its budget of processor time."""

from __future__ import annotations

import dataclasses
import json

import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.runs.experiment import Experiment
from mmdgan.sweeps import worker
from mmdgan.sweeps.folder import SweepFolder
from mmdgan.sweeps.run import EngineOptions, train_missing
from tests.helpers.sweep_helpers import tiny_base


def test_a_run_ends_when_its_processor_time_is_used_up_and_goes_on_with_more(tiny_architecture, tmp_path):
    endless = tiny_base(tiny_architecture, max_step=1_000_000, query_step=1_000_000, save_every=None)
    lines = []

    def train(seconds):
        [(point, outcome)] = train_missing(
            tmp_path, {"mine": endless}, seconds=seconds, in_process=True, say=lines.append
        )
        assert point.experiment.folder().path == tmp_path / "sample" / "mine"
        assert point.experiment.folder().steps() == [outcome.step] and outcome.status == "finished"
        assert point.experiment.folder().grid_file(outcome.step).is_file()
        return outcome

    first = train(0.5)
    assert 0 < first.step < 1_000_000 and 0.5 <= first.training_seconds < 10
    assert first.training_seconds < first.processor_seconds
    assert f"[1 of 1] mine: {first.step:,} steps" in lines[-1]
    assert train(0.5) == first == train(0.1)
    second = train(first.training_seconds + 0.2)
    assert second.step > first.step and second.attempt == 2
    assert first.training_seconds + 0.2 <= second.training_seconds
    held = json.loads((tmp_path / "sweep.json").read_text())
    assert held["points"][0]["seconds"] == first.training_seconds + 0.2
    assert held["points"][0]["values"]["batch_size"] == 8


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "sweep.json").mkdir()
    with pytest.raises(ConfigError, match=r"the sweep's folder \S+ cannot be written \(.+\); give another --results\."):
        SweepFolder(tmp_path).begin("s", "fid", Experiment(), [])


def test_more_steps_go_on_and_other_settings_are_refused(tiny_architecture, tmp_path, monkeypatch):
    trained = []

    def fake_training(experiment, _):
        trained.append((experiment.run_name, experiment.max_step))
        status = "diverged" if experiment.loss == "hinge" else "finished"
        return {"status": status, "step": experiment.max_step}

    monkeypatch.setattr(worker, "_train", fake_training)
    monkeypatch.setattr(worker, "write_hparams", lambda _: None)
    base = tiny_base(tiny_architecture, max_step=1)
    experiments = {"a": base, "b": dataclasses.replace(base, loss="hinge")}

    def train(**changes):
        asked = {name: dataclasses.replace(one, **changes) for name, one in experiments.items()}
        return [(o.run, o.status, o.step) for _, o in train_missing(tmp_path, asked, in_process=True)]

    assert train() == [("a", "finished", 1), ("b", "diverged", 1)]
    with pytest.raises(ConfigError, match=r"holds a with other settings: batch_size \(8 there, 16 now\)"):
        train(batch_size=16)
    with pytest.raises(ConfigError, match=r"a: lr_dis is -1.0"):
        train(lr_dis=-1.0)
    for _ in range(2):
        assert train(max_step=2) == [("a", "finished", 2), ("b", "diverged", 1)]
    assert trained == [("a", 1), ("b", 1), ("a", 2)]


def test_options_that_cannot_be_are_refused():
    for changes, words in (({"jobs": 0}, "jobs is 0"), ({"retries": -1}, "none of them less than 0")):
        with pytest.raises(ConfigError, match=words):
            EngineOptions(**changes).check()
    with pytest.raises(ConfigError, match="scheduler is for Ray alone"):
        EngineOptions(scheduler="asha").check()
    EngineOptions(engine="ray", scheduler="asha").check()
