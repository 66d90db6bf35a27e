"""mmdgan.runs.plan: an experiment resolved once, and a dry run that says what the real command would do."""

from __future__ import annotations

import dataclasses
import logging
import re

import pytest

from mmdgan.cli import program
from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.core.lock import FolderLock
from mmdgan.core.options import changed_flags
from mmdgan.runs.experiment import Experiment
from tests.helpers.command_line import status


@pytest.fixture
def counted(tiny_run, tmp_path):
    """An experiment whose architecture file counts how often it is executed: (experiment, the count so far)."""
    file, log = tmp_path / "counted.py", tmp_path / "executions"
    source = open(tiny_run[0].architecture.rpartition(":")[0], encoding="utf-8").read()
    file.write_text(f"with open({str(log)!r}, 'a') as log:\n    log.write('x')\n{source}", encoding="utf-8")
    experiment = dataclasses.replace(tiny_run[0], architecture=f"{file}:TINY", results=str(tmp_path / "results"))

    def count() -> int:
        executions = len(log.read_text())
        log.unlink()
        return executions

    return experiment, count


def test_a_command_executes_the_architecture_file_once(counted, capsys):
    experiment, count = counted
    words = changed_flags(dataclasses.replace(experiment, max_step=2, rounds=1))
    assert status("train", "--dry_run", *words) == 0 and count() == 1
    assert status("train", *words) == 0 and count() == 1
    assert "Done: 2 steps." in capsys.readouterr().out
    assert status("train", "--dry_run", *words) == 0 and count() == 1
    assert "(exists: the run would be resumed)" in capsys.readouterr().out
    assert dataclasses.replace(experiment, max_step=3, rounds=1).run()["step"] == 3 and count() == 1


def test_a_plan_holds_what_the_methods_return(counted):
    experiment, count = counted
    plan = experiment.plan()
    assert count() == 1
    assert plan.asked is experiment and plan.experiment == experiment.resolved() == plan.experiment.resolved()
    assert (plan.architecture, plan.generator, plan.critic) == experiment.networks()
    assert plan.folder == experiment.folder() and plan.config() == experiment.config()
    assert plan.dry_run() == experiment.dry_run()
    assert plan.loss.options == plan.experiment.loss_function().options and plan.aids == plan.experiment.aids()


def test_a_dry_run_refuses_what_the_run_refuses(tiny_run, capsys):
    experiment, path = tiny_run
    other = dataclasses.replace(experiment, batch_size=16)
    with pytest.raises(ConfigError, match=r"another configuration: batch_size \(8 there, 16 now\)") as refused:
        other.run()
    text = other.dry_run()
    assert f"{path} (exists: the run would be refused)\nrefused           {refused.value}\n" in text
    assert status("train", "--dry_run", *changed_flags(other)) == program.BAD_USE
    assert text in capsys.readouterr().out
    assert f"{path} (exists: it would be moved aside)" in dataclasses.replace(other, restart=True).dry_run()
    assert f"{path} (exists: the run would be resumed)" in experiment.dry_run()
    longer = dataclasses.replace(experiment, max_step=9, end_lr=1e-5)
    assert "would be resumed" in longer.dry_run(), "adam has no use for end_lr"
    with FolderLock(path):
        assert f"refused           another process is training in {path}" in experiment.dry_run()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"init": "nowhere"}, "nowhere is no run directory"),
        ({"init": "nowhere.npz"}, "There is no file of weights nowhere.npz"),
        ({"init": "pretrained:nothing"}, "there is no pretrained generator 'nothing'"),
        ({"critic_weights": "nowhere.npz"}, "There is no file of weights nowhere.npz"),
        ({"results": "file/Results"}, r"the run directory .* cannot be written \(Not a directory\)"),
    ],
)
def test_a_dry_run_looks_for_weights_and_the_right_to_write(tiny_architecture, tmp_path, monkeypatch, changes, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    experiment = Experiment(architecture=tiny_architecture, data="sample", batch_size=8, max_step=1, metrics=())
    assert experiment.plan().refusal() is None
    experiment = dataclasses.replace(experiment, **changes)
    assert re.search(reason, experiment.plan().refusal())
    assert "(new: the run would be refused)" in experiment.dry_run()
    with pytest.raises((CheckpointError, ConfigError), match=reason):
        experiment.run()
    assert not (tmp_path / "Results").exists()


def test_a_run_is_quiet_but_for_the_logger(tiny_run, capfd, caplog):
    with caplog.at_level(logging.INFO, logger="mmdgan"):
        tiny_run[0].run()
    assert capfd.readouterr() == ("", "")
    assert f"Resuming {tiny_run[1]} after step 4." in caplog.messages


def test_networks_are_known_without_the_data_set():
    architecture, generator, critic = Experiment(data="not_prepared_yet").networks()
    assert set(architecture) >= {"generator", "discriminator"}
    assert tuple(generator.output_shape) == tuple(critic.input_shape) == (3, 32, 32)


def test_none_keeps_no_best_checkpoint():
    assert Experiment(keep_best="none").judge() is None
    assert Experiment(keep_best="none").plan().experiment.judge() is None
    assert Experiment().judge() == "fid"
