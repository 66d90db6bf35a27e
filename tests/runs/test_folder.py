"""mmdgan.runs and mmdgan.runs.scores: lines of scores, the best checkpoint, and what is loaded from a run."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.metrics.evaluate import evaluate_images
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder, find_runs
from mmdgan.runs.scores import JUDGES, best_of, preferred
from tests.helpers.report_records import make_run

OLD_LINE = {
    "time": "2025-01-02T03:04:05+0000",
    "step": 500,
    "by": "train",
    "scores": {"FD[classifier]": 7.5, "CS[classifier]": 2.0},
    "records": [
        {"metric": "FD[classifier]", "value": 7.5, "count": 64, "step": 500, "time": "2025-01-02T03:04:00+0000"},
        {"metric": "CS[classifier]", "value": 2.0, "count": 64, "step": 500, "time": "2025-01-02T03:04:01+0000"},
    ],
}


def score(metric, value, **details):
    return {"metric": metric, "value": value, "spread": None, "note": "für jede Klasse", **details}


def test_there_is_one_line_per_score(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.records() == folder.latest_scores() == []
    folder.append(1, "train", [score("FID", 3.0), score("KID", 0.1)])
    folder.append(2, "train", [score("FID", 2.0)])
    folder.append(1, "evaluate", [score("FID", 4.0)])
    lines = [json.loads(line) for line in folder.metrics_file.read_text(encoding="utf-8").split("\n")[:-1]]
    assert lines == folder.records()
    assert [(r["step"], r["by"], r["metric"], r["value"]) for r in lines] == [
        (1, "train", "FID", 3.0),
        (1, "train", "KID", 0.1),
        (2, "train", "FID", 2.0),
        (1, "evaluate", "FID", 4.0),
    ]
    first, second, third, fourth = (r["evaluation"] for r in lines)
    assert first == second and len({first, third, fourth}) == 3 and all(r["time"] for r in lines)
    assert folder.latest_scores() == folder.latest_scores(1) == lines[3:]
    assert folder.latest_scores(2) == lines[2:3] and folder.latest_scores(3) == []


def test_lines_of_the_version_before_are_the_same_list(tmp_path):
    folder = RunFolder(tmp_path)
    folder.metrics_file.write_text(json.dumps(OLD_LINE) + "\n" + json.dumps({**OLD_LINE, "step": 600}) + "\n")
    folder.append(700, "evaluate", [score("FID", 2.0)])
    records = folder.records()
    assert [(r["step"], r["metric"], r["value"], r["by"]) for r in records] == [
        (500, "FD[classifier]", 7.5, "train"),
        (500, "CS[classifier]", 2.0, "train"),
        (500, "FD[classifier]", 7.5, "train"),  # its records say 500, whatever the line says
        (500, "CS[classifier]", 2.0, "train"),
        (700, "FID", 2.0, "evaluate"),
    ]
    assert len({r["evaluation"] for r in records}) == 3
    assert [r["metric"] for r in folder.latest_scores(500)] == ["FD[classifier]", "CS[classifier]"]
    assert records[0]["time"] == "2025-01-02T03:04:00+0000"


def test_a_file_that_an_editor_has_saved_again_holds_the_same_scores(tmp_path):
    folder = RunFolder(tmp_path)
    folder.metrics_file.write_text(json.dumps(OLD_LINE) + "\n" + json.dumps({**OLD_LINE, "step": 600}) + "\n")
    scores, text = folder.records(), folder.metrics_file.read_text()
    assert scores
    for encoding in ("utf-8-sig", "utf-16"):
        folder.metrics_file.write_bytes(text.replace("\n", "\r\n").encode(encoding))
        assert folder.records() == scores, encoding


def test_an_evaluation_cut_off_at_any_byte_is_as_good_as_none(tmp_path):
    folder = RunFolder(tmp_path)
    folder.append(1, "train", [score("FID", 3.0), score("KID", 0.1)])
    kept, size = folder.records(), folder.metrics_file.stat().st_size
    folder.append(2, "train", [score("FID", 2.0), score("KID", 0.2), score("IS", 9.0)])
    whole = folder.metrics_file.read_bytes()
    for end in range(size, len(whole) - 1):
        folder.metrics_file.write_bytes(whole[:end])
        assert folder.records() == kept, end
        if end % 37 == 0:
            folder.append(2, "train", [score("FID", 2.5)])
            assert [r["value"] for r in folder.latest_scores()] == [2.5] and len(folder.records()) == 3
    folder.metrics_file.write_bytes(whole[:-1])  # only the end of the line is missing
    assert len(folder.records()) == 5
    folder.metrics_file.write_bytes(whole + b'[1]\n3\n{"step": 4}\n')
    assert len(folder.records()) == 5


def test_the_preferred_scores_are_the_newest_of_averaged_weights(tmp_path):
    folder = RunFolder(tmp_path)
    folder.append(1, "train", [score("FID", 9.0, weights="ema"), score("IS", 2.0, weights="ema")])
    folder.append(1, "evaluate", [score("FID", 8.0, weights="ema")])
    folder.append(1, "evaluate", [score("FID", 7.0, weights="last"), score("KID", 0.1, weights="last")])
    folder.append(2, "train", [score("FID", 6.0)])
    found = {(record["step"], record["metric"]): record["value"] for record in preferred(folder.records())}
    assert found == {(1, "FID"): 8.0, (1, "IS"): 2.0, (1, "KID"): 0.1, (2, "FID"): 6.0}


def rounds(values, metric="FID", **details):
    same = {"count": 10, "count_real": 10, "feature_hash": "a", "resize": "legacy"} | details
    return [score(metric, value, step=step, **same) for step, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("metric", "judge", "best"),
    [("FID", "fid", 3), ("FD[x]", "fid", 3), ("IS", "is", 1), ("KD[keras:a/b.keras]", "kid", 3), ("SWD mean", "swd", 3)]
    + [(f"{name}[inception]", name, 1) for name in ("precision", "recall", "density", "coverage")]
    + [("intra FID", "intra_fid", 3)],
)
def test_the_best_is_the_lowest_or_the_highest(metric, judge, best):
    found = best_of(rounds([5.0, None, 1.0, 2.0], metric), judge, [1, 2, 3, 4])
    assert found == (best, metric, {1: 5.0, 3: 1.0}[best])


def test_only_comparable_scores_of_checkpoints_that_exist_compete():
    scores = rounds([1.0, 5.0, 2.0, 4.0, 4.0])
    assert best_of(scores, "fid", [1, 2, 3, 4, 5]).step == 1
    assert best_of(scores, "fid", [2, 4, 5]).step == 4, "of equal ones the first"
    for details in ({"count": 9}, {"count_real": 9}, {"feature_hash": "b"}, {"resize": "clean"}):
        others = rounds([0.5], **details)
        assert best_of(others + scores[1:], "fid", [1, 2, 3]).step == 3, details
    noise = rounds([0.1], "FID real-real") + rounds([0.1], "FD[classifier]") + rounds([9.0], "IS")
    assert best_of(noise + scores, "fid", [1, 3]) == (1, "FID", 1.0)
    assert best_of(scores, "kid", [1]) is best_of(scores, "fid", []) is best_of([], "fid", [1]) is None


class Means:
    """Features and logits without a network: 4 mean colours."""

    label, feature_count, resize = "means", 4, "none"

    def protocol(self):
        return {"features": self.label, "feature_source": "", "feature_hash": "0", "feature_count": 4, "resize": "none"}

    def extract(self, images, progress=None):
        means = images.reshape(len(images), 4, -1).mean(axis=2, dtype=np.float32)
        return means, means / 100


def test_every_judge_finds_its_score_among_those_of_an_evaluation():
    """The names in the records are the evaluation's business; here they meet."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (2, 60, 16, 16, 3), np.uint8), np.arange(60) % 2
    records = {}
    for metric in ("fid", "is", "kid", "mind", "prdc", "swd"):
        records[metric] = evaluate_images(*images, Means(), (metric,), seed=0, step=3, labels=labels)
    names = {
        "fid": "FD[means]",
        "is": "CS[means]",
        "kid": "KD[means]",
        "mind": "MD[means]",
        "swd": "SWD mean",
        **{name: f"{name}[means]" for name in ("precision", "recall", "density", "coverage")},
    }
    for judge, name in names.items():
        found = best_of(records[JUDGES[judge].metric], judge, [3])
        [record] = [record for record in records[JUDGES[judge].metric] if record["metric"] == name]
        assert found == (3, name, record["value"]), judge
    assert set(JUDGES) == {*names, "intra_fid", "cmmd"}


@pytest.fixture
def run(tiny_run, tmp_path) -> RunFolder:
    """A run of one's own with checkpoints of the steps 2 and 4."""
    shutil.copytree(tiny_run[1], tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_networks_are_loaded_by_step_or_as_the_best(run):
    assert (run.steps(), run.best_step()) == ([2, 4], None)
    (run.checkpoints / "ckpt-2.best").touch()
    assert run.best_step() == 2
    for load in (run.load_generator, run.load_critic):
        networks = {which: load(which) for which in (None, 2, 4, "best")}
        assert {which: step for which, (_, step) in networks.items()} == {None: 4, 2: 2, 4: 4, "best": 2}
        first = {which: model.get_weights() for which, (model, _) in networks.items()}
        for same, other in ((None, 4), ("best", 2)):
            assert all(np.array_equal(a, b) for a, b in zip(first[same], first[other], strict=True))
        assert not all(np.array_equal(a, b) for a, b in zip(first[2], first[4], strict=True))


def test_the_critic_scores_as_in_training(tiny_run, run):
    from mmdgan.runs.train import make_gan
    from mmdgan.training import Checkpoints

    experiment = Experiment.load(run.path)
    assert experiment.loss == "rep_b" and experiment.resolved() == tiny_run[0].resolved()
    gan = make_gan(experiment.plan())
    Checkpoints(run.checkpoints, gan.state()).restore(2)
    images = np.random.default_rng(0).uniform(-1, 1, (5, 32, 32, 3)).astype("float32")
    critic, step = run.load_critic(2)
    assert step == 2 and critic.name == "dis"
    np.testing.assert_array_equal(critic(images, training=False), gan.discriminator(images, training=False))


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (3, r"run has no checkpoint of step 3; it has those of the steps 2, 4\.$"),
        ("best", r"run has no best checkpoint \(training with scores keeps one, by --keep_best\); .* steps 2, 4\.$"),
    ],
)
def test_missing_checkpoints_are_a_sentence(run, step, sentence):
    for load in (run.load_generator, run.load_critic):
        with pytest.raises(CheckpointError, match=sentence):
            load(step)


def test_a_run_without_checkpoints_is_a_sentence(run):
    shutil.rmtree(run.checkpoints)
    assert run.steps() == [] and run.best_step() is None
    with pytest.raises(CheckpointError, match="run has no checkpoint yet; train it first"):
        run.load_critic("best")


def test_class_names_are_those_of_the_prepared_set(tmp_path):
    from PIL import Image

    from mmdgan.data.preparation.prepare import prepare

    for name in ("1", "2", "10"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pictures" / name / "a.png")
    prepare(f"folder:{tmp_path / 'pictures'}", name="mine", data_root=tmp_path / "Data", say=lambda text: None)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    experiment = {"data": "mine", "data_root": str(tmp_path / "Data"), "num_class": 3}

    def configure(**changes):
        folder.config_file.write_text(json.dumps({"experiment": experiment | changes, "architecture": {}}))

    configure()
    assert folder.class_names() == ("1", "10", "2")
    found = [folder.find_class(word) for word in (None, "1", "02", "10", 0, 2)]
    assert found == [None, 0, 2, 1, 0, 2]  # a text is a name, an integer the number
    for unknown in ("0", "3", 3, -1):
        with pytest.raises(ConfigError, match=f"class is {unknown}; .* has the classes 1, 10, 2"):
            folder.find_class(unknown)
    for changes in ({"data": "gone"}, {"num_class": 5}, {"data_root": str(tmp_path)}):
        configure(**changes)
        assert folder.class_names() == ()
    assert folder.find_class("2") == 2


def test_a_list_of_one_value_is_that_value(tmp_path):
    folder = RunFolder(tmp_path)
    folder.prepare({"experiment": {"omega": 0.5}, "architecture": {}}, restart=False)
    same, other = ({"experiment": {"omega": (value,)}, "architecture": {}} for value in (0.5, 0.6))
    folder.check(same, {"omega": None})
    with pytest.raises(ConfigError, match=r"omega \(0.5 there, \[0.6\] now\)"):
        folder.check(other, {"omega": None})


def test_a_configuration_to_be_given_away_names_no_folder_of_this_machine(tmp_path):
    config = {
        "experiment": {"results": "/home/me/R", "data_root": "../Data", "loss": "rep"},
        "architecture": {},
        "data": {"source": "CIFAR-10 binary /home/me/my own/cifar.tar"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert RunFolder(tmp_path).public_config() == {
        "experiment": {"results": "Results", "data_root": "Data", "loss": "rep"},
        "architecture": {},
        "data": {"source": "CIFAR-10 binary cifar.tar"},
    }


def test_what_is_kept_of_a_run_is_not_listed_as_one(tiny_run, tmp_path):
    shutil.copytree(tiny_run[1], tmp_path / "sample" / "whole")
    (tmp_path / "published" / "kept").mkdir(parents=True)
    shutil.copy(tiny_run[1] / "config.json", tmp_path / "published" / "kept")
    assert [run.path for run in find_runs(tmp_path)] == [tmp_path / "sample" / "whole"]


def test_the_name_of_a_run_alone_is_answered_with_its_directory(tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_run[1], tmp_path / "Results" / "sample" / "mine")
    with pytest.raises(ConfigError, match="mine is no run directory, it does not exist; did you mean .*sample/mine.$"):
        RunFolder.open("mine")
    with pytest.raises(ConfigError, match="yours is no run directory, it does not exist; a run directory is what"):
        RunFolder.open("yours")


def test_the_best_score_is_of_the_first_metric_that_ranks_runs(tiny_run, tmp_path):
    scores = {step: [score(name, float(step), count=9) for name in ("FD[c]", "SWD mean")] for step in (1, 2)}
    for number, (expected, fields) in enumerate(
        [
            ("SWD mean", {"metrics": ["ms_ssim", "swd"]}),
            ("FD[c]", {"metrics": ["swd", "fid"]}),
            ("SWD mean", {"metrics": ["swd", "fid"], "keep_best": "swd"}),
            ("FD[c]", {"metrics": []}),
        ]
    ):
        folder = make_run(tmp_path / str(number), tiny_run[1], scores, **fields)
        assert folder.best_score()[:3] == (1, expected, 1)


def test_the_command_of_tensorboard_can_be_pasted_and_names_the_run():
    folder = RunFolder(Path("my results") / "it's [a] *run?")
    assert shlex.split(folder.tensorboard) == ["tensorboard", "--logdir", str(folder.path)]
