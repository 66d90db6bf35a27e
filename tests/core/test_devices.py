"""Choices of devices and workers that contradict themselves, and where workers are found."""

import dataclasses
import json
import re
import types

import pytest

from mmdgan.core import devices
from mmdgan.core.devices import check_batch, check_devices, check_towers
from mmdgan.core.errors import ConfigError
from mmdgan.runs.experiment import Experiment
from mmdgan.training import distribution
from mmdgan.training.distribution import make_strategy

TWO = ("a:1", "b:2")


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"strategy": "many"}, "strategy is many; the valid values are auto, one, mirrored, multi_worker, tpu"),
        ({"strategy": "auto", "devices": 0}, "devices is 0; give a whole number of at least 1"),
        ({"strategy": "one", "devices": 2}, "devices is 2, but strategy is one; give --strategy=mirrored"),
        ({"strategy": "tpu", "devices": 2}, "strategy is tpu; leave it out"),
        ({"strategy": "mirrored", "workers": TWO}, "workers is given, but strategy is mirrored"),
        ({"strategy": "auto", "worker_index": 0}, "worker_index is given, but strategy is auto"),
        ({"strategy": "multi_worker"}, "nothing names the workers; give --workers=host:port"),
        ({"strategy": "multi_worker", "worker_index": 1}, "worker_index is 1, but workers is empty"),
        ({"strategy": "multi_worker", "workers": ("a", "b:2"), "worker_index": 0}, "workers has 'a'; give host:port"),
        ({"strategy": "multi_worker", "workers": ("a:1", "a:1"), "worker_index": 0}, "another host or port"),
        ({"strategy": "multi_worker", "workers": TWO}, "worker_index is not given; .* 0 to 1"),
        ({"strategy": "multi_worker", "workers": TWO, "worker_index": 2}, "worker_index is 2; .* 0 to 1"),
    ],
)
def test_contradictions_are_named(choice, message):
    with pytest.raises(ConfigError, match=message):
        check_devices(**choice)
    with pytest.raises(ConfigError):
        Experiment(data="sample", architecture="sample/DCGAN_SMALL", **choice).resolved()


def test_choices_that_agree_pass(monkeypatch):
    check_devices("auto")
    check_devices("auto", devices=2)
    check_devices("multi_worker", None, TWO, 1)
    monkeypatch.setenv("TF_CONFIG", "{}")
    check_devices("multi_worker")
    monkeypatch.delenv("TF_CONFIG")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "1")
    check_devices("multi_worker")


def test_a_batch_that_replicas_cannot_share_names_those_they_can():
    check_batch(64, 4)
    with pytest.raises(ConfigError, match="batch_size is 64, which 3 replicas cannot share equally; .* 63 or 66"):
        check_batch(64, 3)
    with pytest.raises(ConfigError, match="which 3 replicas cannot share equally; give a multiple: 3"):
        check_batch(2, 3)
    check_towers(6, 3)
    with pytest.raises(ConfigError, match="batch_size 4 leaves 4 replicas less than 2 images each"):
        check_towers(4, 4)


def test_a_run_does_not_remember_where_it_was_trained():
    experiment = Experiment(
        data="sample", architecture="sample/DCGAN_SMALL", strategy="multi_worker", workers=TWO, worker_index=0
    )
    saved = experiment.config()["experiment"]
    assert (saved["strategy"], saved["workers"], saved["worker_index"]) == ("auto", (), None)
    assert saved["replica_losses"] == "gathered"


def test_devices_that_are_not_there_are_named():
    assert make_strategy("auto") is None and make_strategy("one") is None
    assert make_strategy("auto", devices=2).num_replicas_in_sync == 2
    with pytest.raises(
        ConfigError, match="devices is 3, but TensorFlow has started with 2 logical CPU; give --devices to a new"
    ):
        make_strategy("mirrored", devices=3)
    with pytest.raises(ConfigError, match="devices is 2, but a worker of several has one CPU"):
        make_strategy("multi_worker", devices=2, workers=TWO, worker_index=0)
    with pytest.raises(ConfigError, match="TensorFlow was at work before the strategy multi_worker was made"):
        make_strategy("multi_worker", workers=TWO, worker_index=0)


@pytest.mark.slow
def test_a_run_on_two_devices_goes_on_with_one(tiny_architecture, tmp_path, capsys):
    experiment = Experiment(
        architecture=tiny_architecture,
        data="sample",
        loss="rep_b",
        batch_size=8,
        max_step=4,
        rounds=2,
        query_step=2,
        grid=(2, 3),
        metrics=(),
        results=str(tmp_path),
        strategy="mirrored",
        devices=2,
    )
    done = experiment.run(say=print)
    assert done["step"] == 4 and done["grid"].is_file()
    assert "2 replicas, 4 images each" in capsys.readouterr().out
    done = dataclasses.replace(experiment, strategy="one", devices=None, max_step=6, rounds=3).run(say=print)
    assert done["step"] == 6 and "Resuming" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="batch_size is 9, which 2 replicas cannot share equally"):
        dataclasses.replace(experiment, batch_size=9, restart=True).run()
    with pytest.raises(ConfigError, match=r'replica_losses \("gathered" there, "local" now\)'):
        dataclasses.replace(experiment, replica_losses="local").run()


def test_workers_are_those_of_tf_config(monkeypatch):
    cluster = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 1}}))
    found = distribution._cluster((), None)
    assert (found.spec.as_dict(), found.job, found.number) == (cluster, "worker", 1)
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}))
    with pytest.raises(ConfigError, match="TF_CONFIG has the jobs ps"):
        distribution._cluster((), None)
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 7}}))
    with pytest.raises(ConfigError, match="TF_CONFIG names no cluster with this process as its task"):
        distribution._cluster((), None)


def test_workers_are_the_tasks_of_a_slurm_step(monkeypatch):
    step = {"NODELIST": "node[01-02]", "TASKS_PER_NODE": "2(x2)", "NUM_TASKS": "4"}
    for name, value in step.items():
        monkeypatch.setenv(f"SLURM_STEP_{name}", value)
    monkeypatch.setenv("SLURM_PROCID", "2")
    monkeypatch.setenv("SLURM_JOB_ID", "20005")
    monkeypatch.setenv("SLURMD_NODENAME", "node02")
    found = distribution._cluster((), None)
    hosts = ["node01:12005", "node01:12006", "node02:12005", "node02:12006"]
    assert (found.spec.as_dict(), found.job, found.number) == ({"worker": hosts}, "worker", 2)
    monkeypatch.setenv("SLURMD_NODENAME", "node01")
    with pytest.raises(ConfigError, match="takes this task for one on node02, but it is on node01"):
        distribution._cluster((), None)
    monkeypatch.delenv("SLURM_STEP_NODELIST")
    with pytest.raises(ConfigError, match="Slurm's variables do not name the workers .*; start them by srun"):
        distribution._cluster((), None)


@pytest.mark.parametrize(
    ("gpus", "answer", "hidden", "sentence"),
    [
        (0, None, None, "the CPU: no NVIDIA GPU in this machine"),
        (2, "GPUs 2", None, "2 of 2 NVIDIA GPUs"),
        (2, "GPUs 0", None, r"TensorFlow sees none of the 2 NVIDIA GPUs of this machine; install .*'mmdgan\[gpu\]'"),
        (1, "", None, "TensorFlow sees none of the 1 NVIDIA GPUs"),
        (1, "GPUs 0", "-1", "CUDA_VISIBLE_DEVICES is '-1': unset it"),
    ],
)
def test_the_devices_are_named_with_a_remedy(gpus, answer, hidden, sentence, monkeypatch, tmp_path):
    for number in range(gpus):
        (tmp_path / f"0000:0{number}:00.0").mkdir()
    monkeypatch.setattr(devices, "_DRIVER", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    told = types.SimpleNamespace(stdout=answer)
    monkeypatch.setattr(devices.subprocess, "run", lambda *_, **__: told if answer is not None else pytest.fail())
    assert re.search(sentence, devices.visible_devices())
