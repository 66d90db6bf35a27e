"""The verb `train`: settings of files and runs by --config, printed by --dry_run --format json."""

import json
import sys

import pytest

from mmdgan.cli import program
from mmdgan.core.errors import ConfigError
from mmdgan.runs.experiment import Experiment
from tests.helpers.command_line import status


def dry(capsys, *argv):
    """The experiment that a command would train."""
    assert status("train", *argv, "--dry_run", "--format=json") == 0
    return json.loads(capsys.readouterr().out)["experiment"]


def test_a_form_without_a_dry_run_is_refused(capsys):
    assert status("train", "--data=sample", "--format=json") == program.BAD_USE
    assert "--format is the form of --dry_run" in capsys.readouterr().err


def test_a_file_gives_the_settings_and_flags_change_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = {"data": "sample", "architecture": "sample/DCGAN_SMALL", "loss": "rep_b", "metrics": ["fid"], "seed": 5}
    (tmp_path / "my.json").write_text(json.dumps(settings))
    found = dry(capsys, "--config", "my.json", "--seed=7")
    assert found == json.loads(json.dumps(Experiment(**settings | {"seed": 7}).config()["experiment"]))
    assert dry(capsys, "--config=my.json", "--loss=hinge")["score_size"] == 1
    if sys.version_info >= (3, 11):
        text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
        (tmp_path / "my.toml").write_text(text)
        assert dry(capsys, "--config", "my.toml", "--seed=7") == found


def test_what_is_printed_is_taken_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--data=sample", "--architecture=sample/DCGAN_SMALL", "--loss=rep_b_gp", "--score_size=8", "--run_name=a"]
    first = dry(capsys, *flags, "--ema=0.99")
    (tmp_path / "again.json").write_text(json.dumps({"experiment": first}))
    assert dry(capsys, "--config=again.json") == first
    other = dry(capsys, "--config=again.json", "--loss=hinge")
    assert (other["score_size"], other["penalty_weight"], other["rep_weights"]) == (8, None, None)
    assert (other["run_name"], other["ema"]) == ("a", 0.99)


def test_a_runs_settings_make_another_run(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    experiment, folder = tiny_run
    same = dry(capsys, "--config", str(folder))
    networks = {"architecture": str(folder / "config.json")}  # as they were, whatever has become of their file
    assert same == json.loads((folder / "config.json").read_text())["experiment"] | networks
    other = dry(capsys, "--config", str(folder / "config.json"), "--loss=hinge")
    assert other["score_size"] == 1 and other["run_name"].startswith("sngan_hinge_")
    assert Experiment.read(folder).run_name is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"los": "rep"}', "c.json has 'los', which is no field of an experiment (did you mean loss?)."),
        ("[1]", "c.json does not hold fields of an experiment by name"),
        ("{", "c.json does not hold fields of an experiment by name"),
        ('{"max_step": 10.5}', "max_step is 10.5; it takes a whole number."),
        (None, "c.json cannot be read (No such file or directory); config is a .json or .toml file, or a RUN."),
    ],
)
def test_wrong_files(tmp_path, monkeypatch, capsys, text, sentence):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "c.json").write_text(text)
    assert status("train", "--config=c.json", "--dry_run") == program.BAD_USE
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


def test_a_run_or_its_settings(tiny_run, capsys):
    assert status("train", str(tiny_run[1]), f"--config={tiny_run[1]}") == program.BAD_USE
    assert "leave it or --config out" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="nowhere/config.json cannot be read"):
        Experiment.read("nowhere")
