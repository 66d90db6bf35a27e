"""The command line as a person uses it: verbs, scripts, exit statuses, sentences for mistakes."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from mmdgan.cli import program
from mmdgan.core.errors import DataError
from mmdgan.core.text import format_value
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from tests.conftest import PROJECT, script_environment
from tests.helpers import signals

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


def _status(*argv: str) -> int:
    """The exit status of `python -m mmdgan argv...`, run in this process."""
    with pytest.raises(SystemExit) as stop:
        program.run_main(program.main, list(argv))
    return stop.value.code


def _flags(experiment: Experiment) -> list[str]:
    fields = dataclasses.fields(experiment)
    return [f"--{field.name}={format_value(getattr(experiment, field.name))}" for field in fields]


@pytest.mark.parametrize("words", [["-m", "mmdgan", "--help"], [CIFAR_SCRIPT, "--help"]])
def test_help_is_quick(run_script, words):
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        done = run_script(*words)
        seconds.append(time.perf_counter() - begin)
        assert done.returncode == 0 and done.stdout.startswith("usage: python "), done.stderr
    assert min(seconds) < 0.5


def test_help_names_every_verb(capsys):
    assert _status("--help") == 0
    text = capsys.readouterr().out
    assert all(f"\n  {verb} " in text for verb in program.VERBS)
    for verb in program.VERBS:
        assert _status(verb, "--help") == 0
        assert capsys.readouterr().out.startswith("usage: ")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["trian"], "no verb 'trian' (did you mean train?)"),
        (["train", "--los=rep"], "no flag --los (did you mean --loss?)"),
        (["train", "--max_step=many"], "--max_step=many"),
        (["train", "--loss=repp"], "no loss named 'repp'"),
        (["train", "--data=smaple", "--metrics="], "no data set named 'smaple'"),
        (["train", "--architecture=cifar10/DCGANN"], "DCGAN"),
        (["sample"], "takes RUN; it was given none"),
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
    assert _status(*argv) == program.BAD_USE
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.startswith("mmdgan: ")
    assert captured.err.count("\n") == 1 and "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_no_words_print_the_help_and_exit_with_2(capsys):
    assert _status() == program.BAD_USE
    assert "train" in capsys.readouterr().out


def test_no_data_and_no_network_exits_with_2(monkeypatch, capsys, tmp_path):
    def offline(*_, **__):
        raise DataError("the address cannot be reached")

    monkeypatch.setattr("mmdgan.data.sources.tfds.fetch", offline)
    monkeypatch.chdir(tmp_path)
    assert _status("train", "--loss=rep_b") == program.BAD_USE
    sentence = capsys.readouterr().err
    assert "Data/cifar10" in sentence and "--source PATH" in sentence and "--data sample" in sentence


@pytest.mark.parametrize("step", [None, 2])
def test_sample_in_every_form(tiny_run, tmp_path, step, capsys):
    run, at = str(tiny_run[1]), [] if step is None else [f"--step={step}"]
    assert _status("sample", run, "--count=7", f"--out={tmp_path}/a.npz", *at) == 0
    assert _status("sample", run, "--count=7", f"--out={tmp_path}/folder", *at) == 0
    assert _status("sample", run, "--count=7", f"--out={tmp_path}/a.png", *at) == 0
    assert set(np.load(tmp_path / "a.npz")) == {"images"}
    images = np.load(tmp_path / "a.npz")["images"]
    assert images.dtype == np.uint8 and images.shape == (7, 32, 32, 3)
    files = sorted((tmp_path / "folder").iterdir())
    np.testing.assert_array_equal(np.stack([np.array(Image.open(file)) for file in files]), images)
    assert np.array(Image.open(tmp_path / "a.png")).shape == (96, 96, 3)
    assert f"7 samples of step {step or 4}" in capsys.readouterr().out


def test_samples_of_a_conditional_run(conditional_run, tmp_path, capsys):
    run, out = str(conditional_run[1]), tmp_path / "a.npz"

    def arrays(*argv: str) -> tuple[np.ndarray, np.ndarray]:
        assert _status("sample", run, f"--out={out}", *argv) == 0
        made = np.load(out)
        return made["images"], made["labels"]

    images, labels = arrays("--count=23")
    assert labels.dtype == np.int32 and labels.tolist() == [i % 10 for i in range(23)]
    threes, labels = arrays("--count=23", "--class=3")
    assert labels.tolist() == [3] * 23
    np.testing.assert_array_equal(threes[3::10], images[3::10])
    assert (threes[4::10] != images[4::10]).any()
    assert _status("sample", run, "--count=9", f"--out={tmp_path}/a.png") == 0
    grid = np.array(Image.open(tmp_path / "a.png")).reshape(3, 32, 3, 32, 3).transpose(0, 2, 1, 3, 4)
    for column in range(3):  # three columns: the classes 0, 1, 2
        of_class, _ = arrays("--count=9", f"--class={column}")
        np.testing.assert_array_equal(grid[:, column], of_class[column::3])
    assert _status("sample", run, "--count=2", "--class=7") == 0
    assert "2_2_class7.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("run", "number", "sentence"),
    [
        ("conditional_run", 10, "class is 10; .* has the classes 0 to 9"),
        ("conditional_run", -1, "class is -1; .* has the classes 0 to 9"),
        ("tiny_run", 0, "class is 0, but .* is unconditional"),
    ],
)
def test_classes_that_a_run_does_not_have(run, number, sentence, request, capsys):
    assert _status("sample", str(request.getfixturevalue(run)[1]), f"--class={number}") == program.BAD_USE
    assert re.search(sentence, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--out={folder}/a.jpg"], "a.jpg would be a folder; name a .npz, a .png"),
        (["--out={folder}/file/a.npz"], "file/a.npz cannot be written"),
        (["--out={folder}/file/a.PNG"], "file/a.PNG cannot be written"),
        (["--seed=-1"], "seed is -1"),
    ],
)
def test_samples_that_cannot_be_made_or_written(tiny_run, tmp_path, capsys, flags, sentence):
    (tmp_path / "file").write_text("")
    argv = [flag.format(folder=tmp_path) for flag in flags]
    assert _status("sample", str(tiny_run[1]), "--count=2", *argv) == program.BAD_USE
    assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_negative_seed_of_scores_is_refused(tiny_run, capsys):
    assert _status("evaluate", str(tiny_run[1]), "--metrics=is", "--seed=-1") == program.BAD_USE
    assert "seed is -1" in capsys.readouterr().err


def test_samples_depend_on_seed_and_step_alone(tiny_run, tmp_path):
    run, out = str(tiny_run[1]), tmp_path / "a.npz"

    def images(*argv: str) -> np.ndarray:
        assert _status("sample", run, f"--out={out}", *argv) == 0
        return np.load(out)["images"]

    five = images("--count=5")
    np.testing.assert_array_equal(images("--count=9")[:5], five)
    assert not np.array_equal(images("--count=5", "--seed=1"), five)
    assert not np.array_equal(images("--count=5", "--step=2"), five)


def test_sample_of_a_missing_step_names_those_that_exist(tiny_run, capsys):
    assert _status("sample", str(tiny_run[1]), "--step=3") == program.BAD_USE
    assert "2, 4" in capsys.readouterr().err


def test_evaluate_prints_a_table_and_adds_lines(tiny_run, tmp_path, block_means, capsys):
    run = str(shutil.copytree(tiny_run[1], tmp_path / "run"))  # other tests want it without scores
    argv = ["--steps=2", "--count=26", "--metrics=fid,is", "--features=classifier", "--seed=3"]
    assert _status("evaluate", run, *argv) == 0
    assert block_means["features"] == "classifier" and block_means["data"] == "sample"
    record = RunFolder.open(run).latest_scores()[0]
    assert (record["step"], record["by"]) == (2, "evaluate") and record["value"] > 0
    assert (record["metric"], record["count"], record["seed"]) == ("FD[classifier]", 26, 3)
    text = capsys.readouterr().out
    assert "FD[classifier]" in text and "CS[classifier]" in text and "metrics.jsonl" in text


def test_scripts_share_the_flags_and_their_presets(run_script):
    done = run_script(CIFAR_SCRIPT, "--dry_run")
    assert done.returncode == 0, done.stderr
    assert "16 outputs of critic layer l8_s, because rep" in done.stdout
    assert "loss              rep\n" in done.stdout and "max_step          100000" in done.stdout
    quick = run_script(str(PROJECT / "experiments" / "my_test_sample.py"), "--dry_run", "--seed=4")
    assert "data              sample" in quick.stdout and "seed              4\n" in quick.stdout


def test_editing_the_dictionary_is_all_it_takes(run_script, tmp_path):
    """Two widths are changed and a layer is added, in a file of one's own."""
    added = '        {"name": "l3_more", "out": 12, "kernel": 5, **CRITIC},\n'
    edited = COPY.replace('"l4_ds", "out": 32', '"l4_ds", "out": 40').replace(
        '"l2_up", "out": 32', '"l2_up", "out": 24'
    )
    edited = edited.replace('        {"name": "l4_ds"', added + '        {"name": "l4_ds"')
    (tmp_path / "my.py").write_text(edited)
    command = [CIFAR_SCRIPT, "--architecture", "my.py:MINE", "--data", "sample", "--max_step", "3"]
    done = run_script(*command, "--rounds=1", "--batch_size=8", "--metrics=")
    assert done.returncode == 0, done.stderr
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


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupting_saves_and_says_how_to_resume(tiny_run, tmp_path, sent, status):
    experiment = dataclasses.replace(tiny_run[0], results=str(tmp_path), max_step=1_000_000, rounds=1, restart=True)
    command = [sys.executable, "-m", "mmdgan", "train", *_flags(experiment)]
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
    assert "python -m mmdgan train" in hint and "--max_step=1000000" in hint and "--restart" not in hint
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
    assert "interrupted; to go on: python" in capsys.readouterr().err
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


def test_tensorflow_starts_without_chatter(run_script, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    code = "from mmdgan.startup import prepare_tensorflow; prepare_tensorflow(); import tensorflow; print('up')"
    done = run_script("-c", code)
    assert done.stdout == "up\n" and done.stderr == ""
    failing = "import os\nfrom mmdgan.startup import quiet\nwith quiet():\n    os.write(2, b'why')\n"
    assert run_script("-c", failing).stderr == ""
    assert run_script("-c", failing + "    raise SystemExit(1)").stderr == "why"
