"""The plan of a study, its runs as a sweep, and its page; no network is trained here."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmdgan.cli.flags import parse
from mmdgan.core.errors import ConfigError
from mmdgan.pictures.grid import save_png
from mmdgan.report.blocks import Section, Text
from mmdgan.sweeps import worker
from mmdgan.sweeps.folder import Outcome
from study import mnist
from study.mnist import ROWS, Study, budget_seconds, budgets, run_study
from study.report import write_report
from tests.conftest import script_environment


@pytest.fixture
def study(tmp_path):
    return Study(out=str(tmp_path / "study"), rows=("pixels", "dcgan"), budget_minutes=10.0)


@pytest.fixture
def trained(monkeypatch):
    """Stands in for training, in this process; the experiments that were trained, and the time each was given."""
    done = []

    def train(experiment, callbacks):
        for budget in callbacks:
            budget.used = budget.left
        done.append((experiment, [budget.left for budget in callbacks]))
        return {"status": "finished", "step": experiment.max_step if not callbacks else 50}

    monkeypatch.setattr(worker, "_train", train)
    monkeypatch.setattr(worker, "_budget", lambda seconds: Budget(seconds))
    monkeypatch.setattr(worker, "write_hparams", lambda _: None)
    monkeypatch.setattr(mnist, "train_missing", functools.partial(mnist.train_missing, in_process=True))
    return done


@dataclasses.dataclass
class Budget:
    left: float
    used: float = 0.0


def finish(study, run, fd, seconds=12.3):
    """Leaves what a finished run leaves."""
    folder, step = run.folder, study.steps or 400
    folder.path.mkdir(parents=True)
    folder.config_file.write_text(json.dumps({"experiment": {}, "architecture": {}}))
    base = {"count": 500, "count_real": 500, "split": "train", "feature_source": "a classifier"}
    base |= {"classifier_accuracy": 0.9, "classifier_test_count": 100}
    values = {"FD[classifier]": fd, "CS[classifier]": 3.0, "recall[classifier]": 0.1, "FD[classifier] real-real": 0.5}
    folder.append(step, "train", [{"metric": name, "value": value, **base} for name, value in values.items()])
    save_png(folder.grid_file(step), np.zeros((28, 56), np.uint8))
    outcome = Outcome(run.name, "finished", step, processor_seconds=seconds, training_seconds=8.0)
    study.folder().write(outcome)


def test_each_run_gets_equal_time(study):
    assert budget_seconds(study) == 10 * 60 * 2 / 4
    assert budgets(study) == {"pixels": 300.0, "dcgan": 300.0}
    # What was planned stays: another row would leave less time for each.
    more = dataclasses.replace(study, rows=(*study.rows, "bounded"))
    assert budgets(more) == {"pixels": 300.0, "dcgan": 300.0, "bounded": 200.0}


def test_a_run_is_the_row_with_the_studys_settings(study):
    experiment = study.experiment("dcgan", 1)
    assert (experiment.seed, experiment.max_step, experiment.query_step) == (1, 1_000_000, 500)
    assert dataclasses.replace(study, budget_minutes=None, steps=400).experiment("dcgan", 1).max_step == 400
    assert experiment.architecture == ROWS["dcgan"].experiment.architecture
    assert study.experiment("lenet", 0).critic_weights.endswith("lenet.npz")
    run = study.runs()[3]
    assert (run.name, run.row, run.seed) == ("dcgan_seed1", "dcgan", 1) and not run.finished and not run.records()
    assert run.folder.path == Path(study.out) / "runs" / "fashion_mnist" / "dcgan_seed1"
    colour = dataclasses.replace(study, data="sample", rows=("drift",))
    colour.check()
    found = colour.experiment("drift", 0)
    assert (found.architecture, found.loss, found.lr_gen) == ("sample/RANDOM_FEATURES", "drift", 1e-3)
    half = dataclasses.replace(study, half=True)
    for row in ROWS:
        whole, thin = (s.experiment(row, 0).architecture for s in (study, half))
        assert thin == (f"{whole}_HALF" if "DCGAN" in whole else whole)
        half.experiment(row, 0).resolved()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rows": ("pixel",)}, "did you mean pixels"),
        ({"rows": ()}, "rows is empty"),
        ({"seeds": (1, 1)}, "seeds is 1,1; give one or more, each once"),
        ({"steps": 5}, "either --budget_minutes or --steps"),
        ({"budget_minutes": -1.0}, "budget_minutes is -1.0"),
        ({"jobs": 0}, "at least 1"),
        ({"points_seconds": 0.0}, "points_seconds is 0.0"),
        ({"data": "sample"}, "The row pixels is not for --data sample; give --rows random_features,drift,bounded"),
        ({"data": "cifar10"}, "makes images of"),
    ],
)
def test_what_cannot_be_done_is_said(study, changed, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(study, **changed).check()


def test_another_study_in_the_folder_is_refused(study):
    budgets(study)
    of_a_call = {"jobs": 1, "seeds": (0, 1, 2), "points": (), "points_rows": ("drift",), "points_seconds": 20.0}
    budgets(dataclasses.replace(study, **of_a_call))
    with pytest.raises(ConfigError, match=r"budget_minutes \(10.0 there, 20.0 now\)"):
        budgets(dataclasses.replace(study, budget_minutes=20.0))
    file = Path(study.out) / "study.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "calibration": {}}))
    with pytest.raises(ConfigError, match="version 0.1, which cannot be continued; give another --out"):
        budgets(study)


def test_a_budget_is_the_default_unless_steps_are_given(study, tmp_path):
    free = dataclasses.replace(study, budget_minutes=None)
    assert budget_seconds(free) == 50 * 60 * 2 / 4
    parsed = parse(Study(), ["--steps=7", f"--out={tmp_path}", "--rows=pixels"], usage="").options
    parsed.check()
    assert parsed.budget() is None and parsed.experiment("pixels", 0).max_step == 7 and budgets(parsed) == {}
    # Given or left out, the usual budget is the same study, and one of so many steps is another.
    assert budgets(dataclasses.replace(study, budget_minutes=50.0)) == budgets(free)
    with pytest.raises(ConfigError, match=r"budget_minutes \(50.0 there, None now\), steps \(None there, 7 now\)"):
        budgets(dataclasses.replace(free, steps=7))


def test_finished_runs_are_not_repeated_and_time_is_kept(study, trained):
    finish(study, study.runs()[0], 5.0)
    study.folder().write(Outcome("pixels_seed0", "finished", 400, training_seconds=300.0))
    run_study(study)
    names = [experiment.run_name for experiment, _ in trained]
    assert names == ["dcgan_seed0", "pixels_seed1", "dcgan_seed1"]
    assert [given for _, given in trained] == [[300.0]] * 3
    # Of a run that was interrupted both parts count.
    study.folder().write(Outcome("dcgan_seed1", "interrupted", 20, training_seconds=100.0))
    [run] = run_study(dataclasses.replace(study, rows=("dcgan",), seeds=(1,)))
    assert trained[3:] == [(trained[2][0], [200.0])] and run.outcome.training_seconds == 300.0
    run_study(study)
    assert len(trained) == 4


def test_with_steps_each_run_has_them(study, trained):
    steps = dataclasses.replace(study, budget_minutes=None, steps=7)
    assert [run.outcome.step for run in run_study(steps)] == [7] * 4
    assert [(experiment.max_step, given) for experiment, given in trained] == [(7, [])] * 4


def test_lenet_is_trained_before_the_runs_that_want_it(study, trained, monkeypatch):
    asked = []
    monkeypatch.setattr(mnist, "ensure", lambda *words: asked.append((words, len(trained))))
    run_study(study)
    assert asked == []
    run_study(dataclasses.replace(study, rows=("lenet",), seeds=(0,)))
    assert asked == [(("fashion_mnist", "Data", None), 4)] and len(trained) == 5


def test_a_failed_run_is_told(study, monkeypatch, trained, capsys):
    fail = {"status": "failed", "error": "no such thing"}
    train = worker._train
    monkeypatch.setattr(worker, "_train", lambda e, c: fail if e.seed else train(e, c))
    monkeypatch.setattr(mnist.StudyRun, "records", lambda self: {})
    assert [run.outcome.status for run in run_study(study)] == ["finished", "failed", "finished", "failed"]
    assert "pixels_seed1: failed: no such thing" in capsys.readouterr().out
    monkeypatch.setattr(worker, "_train", lambda *_: fail)
    with pytest.raises(ConfigError, match=r"(pixels|dcgan)_seed0: no such thing"):
        run_study(dataclasses.replace(study, out=study.out + "2"))


def test_the_page(study):
    budgets(study)
    runs = study.runs()
    for run, fd in zip(runs[:3], (5.0, 6.0, 20.0), strict=True):
        finish(study, run, fd)
    extra = [Section("points", "Points in the plane", (Text("rings & stars"),))]
    page = write_report(study, study.runs(), extra, witness=False)
    html = page.read_text()
    assert "runs that are not finished: dcgan_seed1" in html
    assert html.count("data:image/png") == 3 and 'src="http' not in html
    assert "rings &amp; stars" in html and 'name="viewport"' in html
    assert "5.5 (5, 6)" in html and "real-real 0.5" in html
    assert "300 s of one processor&#x27;s time for the training of a run" in html.replace("&#39;", "&#x27;")
    for name in ("What the numbers support", "Protocol", "experiments/mnist_pixels.py"):
        assert name in html
    assert re.search("<td[^>]*>20.0</td>", html)  # 8 s of 400 steps
    assert (page.parent / "table.csv").read_text().count("\n") == 4
    assert "| fixed kernel on pixels |" in (page.parent / "table.md").read_text()
    colour = dataclasses.replace(study, out=study.out + "3", data="sample", rows=("drift", "bounded"))
    finish(colour, colour.runs()[0], 5.0)
    html = write_report(colour, colour.runs(), witness=False).read_text()
    assert "sample/RANDOM_FEATURES, fixed" in html and "random convolutions" not in html
    assert "python experiments/mmd_study.py --data sample --rows drift" in html and "Adam at 0.001" in html
    empty = dataclasses.replace(study, out=study.out + "2", steps=7, budget_minutes=None, report_only=True)
    assert "nothing to compare yet" in write_report(empty, run_study(empty), witness=False).read_text()


def test_the_command_line_needs_no_tensorflow_to_say_what_is_wrong():
    code = (
        "import sys\n"
        "from study.mnist import main\n"
        "from mmdgan.errors import ConfigError\n"
        "try:\n    main(['--rows=pixel'])\n"
        "except ConfigError as error:\n    assert 'did you mean pixels' in str(error)\n"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=script_environment(), check=True)
