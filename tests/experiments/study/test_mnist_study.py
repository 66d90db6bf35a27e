"""The plan of a study, its processes, and its page; no network is trained here."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest

from mmdgan.cli.flags import parse
from mmdgan.core.errors import ConfigError
from mmdgan.core.processes import Supervisor
from mmdgan.pictures.grid import save_png
from mmdgan.report.blocks import Section, Text
from study import mnist_running
from study.mnist import ROWS
from study.mnist_plan import SHORTEST, Study, StudyFile, steps_of
from study.mnist_running import StudyError, budget_seconds, planned, run_study
from study.report import write_report


@pytest.fixture
def study(tmp_path):
    return Study(out=str(tmp_path / "study"), rows=("pixels", "dcgan"), budget_minutes=10.0)


def finish(run, fd):
    """Leaves what a finished run leaves."""
    folder = run.folder
    folder.path.mkdir(parents=True)
    folder.config_file.write_text(json.dumps({"experiment": {}, "architecture": {}}))
    base = {"count": 500, "count_real": 500, "split": "train", "feature_source": "a classifier"}
    base |= {"classifier_accuracy": 0.9, "classifier_test_count": 100}
    values = {"FD[classifier]": fd, "CS[classifier]": 3.0, "recall[classifier]": 0.1, "FD[classifier] real-real": 0.5}
    folder.append(run.steps, "train", [{"metric": name, "value": value, **base} for name, value in values.items()])
    save_png(folder.grid_file(run.steps), np.zeros((28, 56), np.uint8))


def test_equal_time_becomes_steps(study):
    file = StudyFile(study)
    assert budget_seconds(study) == 10 * 60 * 2 / 4
    file.put("calibration", "pixels", {"step": 0.02, "rest": 100.0})
    file.put("calibration", "dcgan", {"step": 0.5, "rest": 100.0})
    runs = planned(study, StudyFile(study))
    assert [(run.row, run.seed, run.steps) for run in runs] == [
        ("pixels", 0, 10_000), ("pixels", 1, 10_000), ("dcgan", 0, 400), ("dcgan", 1, 400)
    ]  # fmt: skip
    assert steps_of(20.0, {"step": 0.5, "rest": 100.0}) == SHORTEST
    # What was planned stays: another row would leave less time for each.
    more = dataclasses.replace(study, rows=(*study.rows, "bounded"))
    again = StudyFile(more)
    again.put("calibration", "bounded", {"step": 0.5, "rest": 100.0})
    assert {run.row: run.steps for run in planned(more, again)} == {"pixels": 10_000, "dcgan": 400, "bounded": 200}


def test_a_run_is_the_row_with_the_studys_settings(study):
    run = study.run("dcgan", 1, 400)
    experiment = run.experiment
    assert (experiment.seed, experiment.max_step, experiment.run_name) == (1, 400, "dcgan_seed1")
    assert experiment.architecture == ROWS["dcgan"].experiment.architecture
    from mmdgan.cli import flags
    from mmdgan.runs.experiment import Experiment

    parsed = flags.parse(Experiment(), run.command(), usage="").options
    assert parsed == experiment
    lenet = study.run("lenet", 0, 400)
    assert flags.parse(Experiment(), lenet.command(), usage="").options.critic_weights.endswith("lenet.npz")
    assert not run.records()
    half = dataclasses.replace(study, half=True)
    for row in ROWS:
        whole, thin = (s.run(row, 0, 5).experiment.architecture for s in (study, half))
        assert thin == (f"{whole}_HALF" if "DCGAN" in whole else whole)
        half.run(row, 0, 5).experiment.resolved()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rows": ("pixel",)}, "did you mean pixels"),
        ({"rows": ()}, "rows is empty"),
        ({"seeds": (1, 1)}, "seeds is 1,1; give one or more, each once"),
        ({"steps": 5}, "either --budget_minutes or --steps"),
        ({"budget_minutes": -1.0}, "budget_minutes is -1.0"),
        ({"jobs": 0}, "at least 1"),
        ({"data": "cifar10"}, "makes images of"),
    ],
)
def test_what_cannot_be_done_is_said(study, changed, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(study, **changed).check()


def test_another_study_in_the_folder_is_refused(study):
    StudyFile(study).put("seconds", "rest", 3.0)
    StudyFile(dataclasses.replace(study, jobs=1, seeds=(0, 1, 2)))
    with pytest.raises(ConfigError, match=r"budget_minutes \(10.0 there, 20.0 now\)"):
        StudyFile(dataclasses.replace(study, budget_minutes=20.0))


def test_a_budget_is_the_default_unless_steps_are_given(study, tmp_path):
    free = dataclasses.replace(study, budget_minutes=None)
    assert budget_seconds(free) == 50 * 60 * 2 / 4
    parsed = parse(Study(), ["--steps=7", f"--out={tmp_path}", "--rows=pixels"], usage="").options
    parsed.check()
    assert parsed.budget() is None and [run.steps for run in planned(parsed, StudyFile(parsed))] == [7, 7]
    # Given or left out, the usual budget is the same study, and one of so many steps is another.
    StudyFile(dataclasses.replace(study, budget_minutes=50.0)).put("seconds", "rest", 3.0)
    assert StudyFile(free).get("seconds", "rest") == 3.0
    with pytest.raises(ConfigError, match=r"budget_minutes \(50.0 there, None now\), steps \(None there, 7 now\)"):
        StudyFile(dataclasses.replace(free, steps=7))


def fake_training(monkeypatch, body):
    """Replaces what a run's process does."""
    monkeypatch.setattr(mnist_running.StudyRun, "command", lambda run: [run.name])
    monkeypatch.setattr(mnist_running.sys, "executable", sys.executable)
    real = Supervisor.run
    monkeypatch.setattr(
        Supervisor, "run", lambda self, words, log: real(self, [sys.executable, "-c", body, words[-1]], log)
    )


def calibrated(study):
    file = StudyFile(study)
    for row in study.rows:
        file.put("calibration", row, {"step": 0.02, "rest": 1.0})


def test_finished_runs_are_not_repeated_and_time_is_kept(study, monkeypatch, tmp_path):
    calibrated(study)
    log = tmp_path / "log"
    body = f"import sys; open({str(log)!r}, 'a').write(sys.argv[1] + ' '); [x * x for x in range(3_000_000)]"
    fake_training(monkeypatch, body)
    finish(planned(study, StudyFile(study))[0], 5.0)
    run_study(study)
    assert sorted(log.read_text().split()) == ["dcgan_seed0", "dcgan_seed1", "pixels_seed1"]
    seconds = StudyFile(study).values["seconds"]
    assert set(seconds) == {"dcgan_seed0", "dcgan_seed1", "pixels_seed1"}
    assert all(0.02 < value < 20 for value in seconds.values())
    # Of a run that was interrupted both parts count.
    run_study(dataclasses.replace(study, rows=("dcgan",), seeds=(1,)))
    assert StudyFile(study).get("seconds", "dcgan_seed1") > seconds["dcgan_seed1"]


def test_a_failed_run_is_told_with_its_last_lines(study, monkeypatch):
    calibrated(study)
    fake_training(monkeypatch, "import sys; print('no such thing'); sys.exit(2)")
    with pytest.raises(StudyError, match=r"(pixels|dcgan)_seed0 ended with status 2 .*no such thing"):
        run_study(study)


def test_the_page(study):
    calibrated(study)
    file = StudyFile(study)
    runs = planned(study, file)
    for run, fd in zip(runs[:3], (5.0, 6.0, 20.0), strict=True):
        finish(run, fd)
        file.put("seconds", run.name, 12.3)
    extra = [Section("points", "Points in the plane", (Text("rings & stars"),))]
    page = write_report(study, runs, extra, witness=False)
    html = page.read_text()
    assert "runs that are not finished: dcgan_seed1" in html
    assert html.count("data:image/png") == 3 and 'src="http' not in html
    assert "rings &amp; stars" in html and 'name="viewport"' in html
    assert "5.5 (5, 6)" in html and "real-real 0.5" in html
    for name in ("What the numbers support", "Protocol", "experiments/mnist_pixels.py"):
        assert name in html
    assert (page.parent / "table.csv").read_text().count("\n") == 4
    assert "| fixed kernel on pixels |" in (page.parent / "table.md").read_text()
    empty = dataclasses.replace(study, out=study.out + "2", steps=7, budget_minutes=None, report_only=True)
    assert "nothing to compare yet" in write_report(empty, run_study(empty), witness=False).read_text()


def test_the_command_line_needs_no_tensorflow_to_say_what_is_wrong():
    import subprocess

    code = (
        "import sys\n"
        "from study.mnist_command import study\n"
        "from mmdgan.errors import ConfigError\n"
        "try:\n    study(['--rows=pixel'])\n"
        "except ConfigError as error:\n    assert 'did you mean pixels' in str(error)\n"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
