"""The command line as a person uses it: verbs, scripts, exit statuses, sentences for mistakes."""

from __future__ import annotations

import dataclasses
import json
import re
import resource
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmdgan.cli import program
from mmdgan.cli.flags import parse
from mmdgan.core.errors import DataError
from mmdgan.core.text import command, installed_name, program as called
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from tests.conftest import PROJECT, script_environment
from tests.helpers import signals
from tests.helpers.command_line import all_flags, script_status, status

CIFAR_SCRIPT = str(PROJECT / "experiments" / "my_test_cifar.py")

# A copy of the CIFAR-10 network, an eighth as wide, as a person would write it down.
COPY = """
ACT_K = 64.0 ** (1 / 8)
UP = {"op": "tc", "kernel": 4, "strides": 2, "act": "relu", "act_nm": "bn"}
CRITIC = {"act": "lrelu", "w_nm": "s", "act_k": ACT_K}
DOWN = {**CRITIC, "kernel": 4, "strides": 2}

MINE = {
    "input": [(3, 32, 32)],
    "code": [(128, "linear")],
    "generator": [
        {"name": "l1", "op": "d", "out": 1024, "out_reshape": [64, 4, 4]},
        {"name": "l2_up", "out": 32, **UP},
        {"name": "l3_up", "out": 16, **UP},
        {"name": "l4_up", "out": 8, **UP},
        {"name": "l5_t32", "out": 3, "act": "tanh"},
    ],
    "discriminator": [
        {"name": "l1_f32", "out": 8, **CRITIC},
        {"name": "l2_ds", "out": 16, **DOWN},
        {"name": "l3", "out": 16, **CRITIC},
        {"name": "l4_ds", "out": 32, **DOWN},
        {"name": "l5", "out": 32, **CRITIC},
        {"name": "l6_ds", "out": 64, **DOWN},
        {"name": "l7", "out": 64, **CRITIC, "out_reshape": [1024]},
        {"name": "l8_s", "op": "d", "out": 16, "w_nm": "s", "act_k": ACT_K},
    ],
}
"""


@pytest.mark.parametrize("words", [["-m", "mmdgan", "--help"], [CIFAR_SCRIPT, "--help"]])
def test_help_is_quick(run_script, words, monkeypatch):
    """In seconds of the processor, so that other programs do not matter; from compiled files, as Python keeps them."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = run_script(*words)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
        assert done.returncode == 0 and done.stdout.startswith(("usage: python ", "usage: mmdgan ")), done.stderr
    assert min(seconds) < 0.3


def test_help_names_every_verb(capsys):
    assert status("--help") == 0
    text = capsys.readouterr().out
    assert all(f"\n  {verb} " in text for verb in program.VERBS)
    for verb in program.VERBS:
        assert status(verb, "--help") == 0
        assert capsys.readouterr().out.startswith("usage: ")


def test_help_of_train_shows_a_dozen_flags_and_helpfull_all(run_script, capsys):
    often = "data loss architecture batch_size max_step lr_dis lr_gen ema precision strategy results run_name config "
    often += "dry_run format"
    for words in (["-m", "mmdgan", "train"], [CIFAR_SCRIPT]):
        text = run_script(*words, "--help").stdout
        assert re.findall(r"^  --(\w+)", text, flags=re.MULTILINE) == often.split()
        flags = len(dataclasses.fields(Experiment)) + 3  # and --config, --dry_run, --format
        assert f"\n--helpfull lists all {flags} flags, by group." in text and flags > 80
    assert f"{installed_name()} train --data sample" in run_script("-m", "mmdgan", "train", "--help").stdout
    assert status("train", "--helpfull") == 0
    names = [field.name for field in dataclasses.fields(Experiment)]
    text = capsys.readouterr().out
    assert re.findall(r"^  --(\w+)", text, flags=re.MULTILINE) == [*names, "config", "dry_run", "format"]
    assert "\ntraining aids:\n" in text


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["trian"], "no verb 'trian' (did you mean train?)"),
        (["train", "--los=rep"], "no flag --los (did you mean --loss?)"),
        (["train", "--max_step=many"], "--max_step=many"),
        (["train", "--loss=repp"], "no loss named 'repp'"),
        (["train", "--data=smaple", "--metrics="], "no data set named 'smaple'"),
        (["train", "--architecture=cifar10/DCGANN"], "DCGAN"),
        (["sample"], "takes a RUN, the directory of a training; `"),
        (["sample", "nowhere"], "nowhere is no run directory, it does not exist"),
        (["evaluate", "nowhere"], "nowhere is no run directory"),
        (["summary", "cifar10/NONE"], "NONE"),
        (["summary", "cifar10/DCGAN", "--input_shape=3,32,32"], "cifar10/DCGAN is an architecture"),
        (["summary", "sample/PROJECTION_SMALL"], "num_class"),
        (["train", "--architecture=sample/PROJECTION_SMALL", "--data=sample"], "give --num_class=10"),
        (["train", "--loss=rep", "--penalty_weight=1"], "loss rep has no penalty"),
        (["losses", "rep"], "takes no words"),
        (["import-tf1"], "takes PREFIX; it was given none"),
    ],
)
def test_mistakes_exit_with_2_and_one_sentence(argv, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert status(*argv) == program.BAD_USE
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.startswith("mmdgan: ")
    assert captured.err.count("\n") == 1 and "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_no_words_print_the_help_and_exit_with_2(capsys):
    assert status() == program.BAD_USE
    assert "train" in capsys.readouterr().out


def test_no_data_and_no_network_exits_with_2(monkeypatch, capsys, tmp_path):
    def offline(*_, **__):
        raise DataError("the address cannot be reached")

    monkeypatch.setattr("mmdgan.data.sources.tfds.fetch", offline)
    monkeypatch.chdir(tmp_path)
    assert status("train", "--loss=rep_b") == program.BAD_USE
    sentence = capsys.readouterr().err
    assert "Data/cifar10" in sentence and "--source PATH" in sentence and "--data sample" in sentence


def test_scripts_share_the_flags_and_their_presets(run_script):
    done = run_script(CIFAR_SCRIPT, "--dry_run")
    assert done.returncode == 0, done.stderr
    assert "16 outputs of critic layer l8_s, because rep" in done.stdout
    assert "loss              rep\n" in done.stdout and "max_step          100000" in done.stdout
    quick = run_script(str(PROJECT / "experiments" / "my_test_sample.py"), "--dry_run", "--seed=4")
    assert "data              sample" in quick.stdout and "seed              4\n" in quick.stdout


def test_editing_the_dictionary_is_all_it_takes(run_script, tmp_path, monkeypatch):
    """Two widths are changed and a layer is added, in a file of one's own."""
    added = '        {"name": "l3_more", "out": 12, "kernel": 5, **CRITIC},\n'
    edited = COPY.replace('"l4_ds", "out": 32', '"l4_ds", "out": 40').replace(
        '"l2_up", "out": 32', '"l2_up", "out": 24'
    )
    edited = edited.replace('        {"name": "l4_ds"', added + '        {"name": "l4_ds"')
    (tmp_path / "my.py").write_text(edited)
    command = [CIFAR_SCRIPT, "--architecture", "my.py:MINE", "--data", "sample", "--max_step", "3"]
    monkeypatch.chdir(tmp_path)
    assert script_status(*command, "--rounds=1", "--batch_size=8", "--metrics=") == 0
    (path,) = (tmp_path / "Results" / "sample").iterdir()
    assert (path / "samples" / "3.png").is_file()
    critic = json.loads((path / "config.json").read_text())["architecture"]["discriminator"]
    assert [layer["out"] for layer in critic] == [8, 16, 16, 12, 40, 32, 64, 64, 16]

    (tmp_path / "my.py").write_text(edited.replace('"kernel": 5', '"kernels": 5'))
    wrong = run_script(*command)
    assert wrong.returncode == 2
    for word in ("dis", "l3_more", "kernels", "kernel"):
        assert word in wrong.stderr
    assert wrong.stderr.count("\n") == 1 and "Traceback" not in wrong.stderr


@pytest.mark.parametrize(
    ("sent", "status"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_interrupting_saves_and_says_how_to_resume(tiny_run, tmp_path, sent, status):
    experiment = dataclasses.replace(tiny_run[0], results=str(tmp_path), max_step=1_000_000, rounds=1, restart=True)
    command = [sys.executable, "-m", "mmdgan", "train", *all_flags(experiment)]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=script_environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            if line.startswith("step "):
                break
        process.send_signal(sent)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, stderr
    folder = RunFolder.open(experiment.folder().path)
    _, step = folder.load_generator()
    assert step > 0
    hint = next(line for line in stderr.splitlines() if "to go on" in line)
    assert f"{installed_name()} train" in hint and "--max_step=1000000" in hint and "--restart" not in hint
    assert "Traceback" not in stderr


def test_a_diverged_run_exits_with_3(monkeypatch, capsys):
    from mmdgan.training import Diverged

    def diverge(argv):
        raise Diverged(12, "loss_dis", float("nan"))

    with pytest.raises(SystemExit) as stop:
        program.run_main(diverge, [])
    assert stop.value.code == program.DIVERGED
    message = capsys.readouterr().err
    assert "step 12" in message and "loss_dis" in message and "--lr_dis" in message


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGHUP, 129),
        (signal.SIGUSR1, 138),
        (signal.SIGUSR2, 140),
    ],
)
def test_signals_outside_the_steps_say_how_to_go_on_too(capsys, sent, status):
    former = signal.getsignal(signal.SIGTERM)

    def scoring(argv):
        signal.raise_signal(sent)

    with signals.handled(sent, signals.default_handler(sent)), pytest.raises(SystemExit) as stop:
        program.run_main(scoring, [])
    assert stop.value.code == status
    assert f"interrupted; to go on: {called()}" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is former


def test_under_nohup_a_hang_up_stops_nothing(capsys):
    """Neither outside of the steps (here) nor within them (tests/training/test_trainer.py)."""

    def scoring(argv):
        signal.raise_signal(signal.SIGHUP)
        print("scored")
        return 0

    with signals.handled(signal.SIGHUP, signal.SIG_IGN), pytest.raises(SystemExit) as stop:
        program.run_main(scoring, [])
    assert stop.value.code == 0 and capsys.readouterr().out == "scored\n"


def test_other_errors_keep_their_traceback():
    def broken(argv):
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        program.run_main(broken, [])


@pytest.mark.parametrize("level", [None, "3"])
def test_tensorflow_starts_without_chatter(run_script, monkeypatch, level):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    if level is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
    code = "from mmdgan.startup import prepare_tensorflow; prepare_tensorflow(); import tensorflow; print('up')"
    done = run_script("-c", code)
    assert done.stdout == "up\n" and done.stderr == ""
    failing = "import os\nfrom mmdgan.startup import quiet\nwith quiet():\n    os.write(2, b'why')\n"
    assert run_script("-c", failing).stderr == ""
    assert run_script("-c", failing + "    raise SystemExit(1)").stderr == "why"


def test_the_first_try_is_one_that_is_there(capsys, monkeypatch, tmp_path):
    script = PROJECT / "experiments" / "my_test_sample.py"
    monkeypatch.chdir(tmp_path)
    assert status("--help") == 0
    python, word = capsys.readouterr().out.split("First try: ")[1].split()
    assert python == "python" and (tmp_path / word).resolve() == script
    # A wheel has no scripts: its command trains what the script does.
    monkeypatch.setattr(program, "__file__", str(tmp_path / "site-packages" / "mmdgan" / "cli.py"))
    assert status("--help") == 0
    words = capsys.readouterr().out.split("First try: ")[1].split()
    asked = parse(Experiment(), words[words.index("train") + 1 :], usage="").options
    preset = runpy.run_path(str(script))["PRESET"]
    for name in ("data", "architecture", "loss", "batch_size", "lr_dis", "lr_gen", "max_step"):
        assert getattr(asked, name) == getattr(preset, name), name


def test_help_in_a_deleted_folder_and_without_docstrings(tmp_path):
    code = (
        "import os, sys\nfrom mmdgan.cli.program import main, run_main\nos.chdir(sys.argv[1])\nos.rmdir(sys.argv[1])\n"
        "run_main(main, sys.argv[2:])\n"
    )
    for words in (["--help"], ["losses", "--help"], ["train", "--helpfull"], ["report", str(tmp_path / "none")]):
        gone = tmp_path / "gone"
        gone.mkdir()
        command = [sys.executable, "-OO", "-c", code, str(gone), *words]
        done = subprocess.run(command, env=script_environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode == (2 if words[0] == "report" else 0) and "Traceback" not in done.stderr, done.stderr
        assert "None" not in done.stdout.splitlines()


def test_the_command_that_goes_on_does_not_start_again(monkeypatch):
    restarts = ["--restart", "--restart=1", "--restart=True", "-restart=yes"]
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "mmdgan", "train", *restarts, "--results=my results"])
    assert program._same_command() == f"{installed_name()} train '--results=my results'"
    monkeypatch.setattr(sys, "orig_argv", ["python", "-u", "experiments/my x.py", "--restart", "--seed=1"])
    assert program._same_command() == "python 'experiments/my x.py' --seed=1"
    monkeypatch.setattr(sys, "orig_argv", ["python", "/usr/bin/mmdgan", "train", "--seed=1"])
    assert program._same_command() == "mmdgan train --seed=1"
    monkeypatch.setattr(sys, "orig_argv", ["/bin/mmdgan", "-m", "mmdgan"])
    assert command("report", Path("my results")) == f"{installed_name()} report 'my results'"
