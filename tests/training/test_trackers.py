"""mmdgan.training.trackers, with the real packages offline: what a run wrote is there, and a resumed run goes on."""

from __future__ import annotations

import dataclasses
import json
import logging
import struct

import numpy as np
import pytest

from mmdgan.core.errors import ConfigError
from mmdgan.report.facts import RunFacts
from mmdgan.report.section_setup import _facts
from mmdgan.training import trackers
from mmdgan.training.event_files import read_scalars


@pytest.fixture
def experiment(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    changes = {"results": str(tmp_path), "max_step": 2, "rounds": 1, "query_step": 1, "run_name": "tracked"}
    return dataclasses.replace(tiny_run[0], **changes, metrics=("swd",), score_count=30)


def test_mlflow_has_settings_curves_scores_and_samples(experiment):
    mlflow = pytest.importorskip("mlflow")
    said: list[str] = []
    run = dataclasses.replace(experiment, log=("mlflow",)).run(say=said.append)
    kept = trackers.addresses(run.folder)["mlflow"]
    assert any(sentence.startswith(f"mlflow: {kept['address']}") for sentence in said)
    client = mlflow.MlflowClient()  # another test may have set the address for this process
    found = client.get_run(kept["id"])
    assert found.info.status == "FINISHED" and found.info.run_name == "tracked"
    assert found.data.params["loss"] == "rep_b" and found.data.params["max_step"] == "2"
    for tag, curve in read_scalars(run.folder).items():
        history = client.get_metric_history(kept["id"], trackers._plain(tag))
        got = {point.step: point.value for point in history}
        np.testing.assert_allclose([got[step] for step in curve.steps], curve.values, rtol=1e-6, err_msg=tag)
    assert client.list_artifacts(kept["id"], "images/samples")
    dataclasses.replace(experiment, log=("mlflow",), max_step=3).run()
    assert trackers.addresses(run.folder)["mlflow"] == kept
    assert max(point.step for point in client.get_metric_history(kept["id"], "loss/critic")) == 3
    assert ("mlflow", kept["address"]) in _facts(RunFacts.of(run.folder))


def test_wandb_has_settings_and_curves(experiment):
    wandb = pytest.importorskip("wandb")
    run = dataclasses.replace(experiment, log=("wandb",)).run()
    [file] = run.folder.glob("wandb/offline-run-*/*.wandb")
    config, points = wandb_file(file)
    assert config["loss"] == "rep_b" and config["max_step"] == 2 and wandb.run is None
    for tag, curve in read_scalars(run.folder).items():
        got = {point["step"]: point[tag] for point in points if tag in point}
        np.testing.assert_allclose([got[step] for step in curve.steps], curve.values, rtol=1e-6, err_msg=tag)
    assert any("images/samples/path" in point for point in points)
    assert trackers.addresses(run.folder)["wandb"]["id"] == file.stem.removeprefix("run-")


def wandb_file(path):
    """The settings and the logged points in a run's file: a log of LevelDB's form, in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, config, points, whole = path.read_bytes(), 7, {}, [], b""
    while place + 7 <= len(content):
        left = 2**15 - place % 2**15
        if left < 7:
            place += left
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind not in (1, 4):  # a whole record, or the last part of one
            continue
        record, whole = Record.FromString(whole), b""
        config |= {each.key: json.loads(each.value_json) for each in record.run.config.update}
        if record.HasField("history"):
            items = record.history.item
            points.append({each.key or "/".join(each.nested_key): json.loads(each.value_json) for each in items})
    return config, points


def test_what_is_not_installed_or_fails_is_said(experiment, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"pip install 'mmdgan\[wandb\]'"):
        dataclasses.replace(experiment, log=("wandb",)).run()
    with pytest.raises(ConfigError, match="log is wandbs; the valid values are wandb, mlflow"):
        dataclasses.replace(experiment, log=("wandbs",)).run()

    class Failing(trackers.Tracker):
        id, address = "1", "nowhere"

        def _scalars(self, step, values):
            raise OSError("no network")

        _image = _close = _scalars

    monkeypatch.setitem(trackers.TRACKERS, "mlflow", Failing)
    with caplog.at_level(logging.WARNING, "mmdgan"):
        assert dataclasses.replace(experiment, log=("mlflow",), run_name="failing").run().step == 2
    assert caplog.text.count("takes nothing more of this run: no network") == 1
