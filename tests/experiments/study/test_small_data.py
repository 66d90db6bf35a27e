"""The study of small data: its images, its time, its table; the runs themselves are a slow test."""

import contextlib
import dataclasses
import functools
import json
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdgan import data
from mmdgan.core.errors import ConfigError
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from mmdgan.sweeps import worker
from study import small_data
from study.small_data import ROWS, SmallDataOptions, make


@pytest.fixture
def options(tmp_path):
    return SmallDataOptions(
        work=str(tmp_path / "work"), out=str(tmp_path / "out"), data="sample", images=70, score_count=30
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rows": ("nothing",)}, "rows has 'nothing'.*none, diffaugment, ada"),
        ({"rows": ()}, "rows is empty"),
        ({"minutes": 0.0}, "minutes must be positive"),
        ({"parts": 0}, "parts a whole number"),
        ({"images": 63}, "images is 63, less than a batch of 64"),
    ],
)
def test_what_cannot_be_is_told(fields, words):
    with pytest.raises(ConfigError, match=words):
        SmallDataOptions(**fields).check()


def test_the_small_set_and_the_held_out_images_have_none_in_common(options):
    name = small_data.prepare_images(options)
    assert name == "sample_70"
    small = data.open_data(name, data_root=f"{options.work}/Data")
    with np.load(f"{options.work}/held_out.npz") as held:
        others = held["images"]
    assert small.count == 70 and others.shape == (30, 32, 32, 3)
    training = {image.tobytes() for image in small.images.transpose(0, 2, 3, 1)}
    whole = {image.tobytes() for image in data.open_data("sample").images.transpose(0, 2, 3, 1)}
    assert len(training) == 70 and training <= whole
    assert not training & {image.tobytes() for image in others} and {image.tobytes() for image in others} <= whole
    with pytest.raises(ConfigError, match="images and score_count are 40,030 together"):
        small_data.prepare_images(dataclasses.replace(options, images=40_000, work=options.work + "2"))


def test_a_folder_is_of_one_study(options, monkeypatch):
    monkeypatch.setattr(small_data, "prepare_images", lambda _: "name")
    monkeypatch.setattr(small_data, "train_missing", lambda *_, **__: [])
    nothing = {"seeds": ()}
    monkeypatch.setattr(SmallDataOptions, "check", lambda self: None)
    small_data.run(dataclasses.replace(options, **nothing))
    small_data.run(dataclasses.replace(options, rows=("ada",), **nothing))
    with pytest.raises(ConfigError, match=r"holds a study with other settings: loss \(rep_b there, hinge now\)"):
        small_data.run(dataclasses.replace(options, loss="hinge", **nothing))
    file = Path(options.work) / "results.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "scores": {}}))
    with pytest.raises(ConfigError, match="of version 0.1, which cannot be continued; give another --work"):
        small_data.run(dataclasses.replace(options, **nothing))


def test_the_table_has_the_means_over_seeds():
    found = [
        {
            "row": row,
            "seed": seed,
            "part": 1,
            "minutes": 2.0,
            "step": 100 + seed,
            "ada_p": p,
            "record": {"KD": {"value": v}},
        }
        for row, seed, p, v in (("none", 0, None, 3.0), ("none", 2, None, 5.0), ("ada", 0, 0.25, 1.0))
    ]
    assert small_data.table(found).splitlines() == [
        "| images changed | minutes | steps | KD | p |",
        "|---|---|---|---|---|",
        "| none | 2.0 | 101 | 4 (3 to 5) |  |",
        "| ada | 2.0 | 100 | 1 | 0.25 |",
    ]


def test_a_row_is_fields_of_an_experiment():
    rows = {row: Experiment(**SmallDataOptions(ada_target=0.5).aids(row)) for row in ROWS}
    assert rows["none"] == Experiment()
    assert rows["diffaugment"] == Experiment(augment=("color", "translation", "cutout"))
    assert rows["ada"] == dataclasses.replace(rows["diffaugment"], ada=0.5, ada_images=50_000)


def test_each_part_gets_what_is_left_of_its_time(options, monkeypatch):
    given = []

    def train(experiment, budget):
        given.append((experiment.run_name, budget.left))
        budget.used = budget.left + 1.0
        return {"status": "finished", "step": len(given)}

    monkeypatch.setattr(worker, "_train", lambda experiment, callbacks: train(experiment, *callbacks))
    monkeypatch.setattr(worker, "_budget", lambda seconds: types.SimpleNamespace(left=seconds))
    monkeypatch.setattr(worker, "write_hparams", lambda _: None)
    monkeypatch.setattr(small_data, "train_missing", functools.partial(small_data.train_missing, in_process=True))
    monkeypatch.setattr(small_data, "prepare_images", lambda _: "sample")
    monkeypatch.setattr(small_data, "_scored", lambda options, point, outcome, part: {"step": outcome.step})
    plan = dataclasses.replace(options, rows=("none", "ada"), minutes=0.5, parts=2)
    found = small_data.run(plan)
    assert given == [("none_seed0", 15.0), ("ada_seed0", 15.0), ("none_seed0", 14.0), ("ada_seed0", 14.0)]
    assert [(one["row"], one["part"]) for one in found] == [("none", 1), ("none", 2), ("ada", 1), ("ada", 2)]
    assert [one["step"] for one in found] == [1, 3, 2, 4]
    assert [one["row"] for one in small_data.run(plan)] == ["none", "none", "ada", "ada"] and len(given) == 4


def test_a_training_that_fails_or_diverges_is_an_error(options, monkeypatch):
    ends = {"status": "failed", "error": "no room"}
    monkeypatch.setattr(worker, "_train", lambda *_: ends)
    monkeypatch.setattr(worker, "write_hparams", lambda _: None)
    monkeypatch.setattr(small_data, "train_missing", functools.partial(small_data.train_missing, in_process=True))
    monkeypatch.setattr(small_data, "prepare_images", lambda _: "sample")
    with pytest.raises(ConfigError, match="training of none_seed0: no room"):
        small_data.run(options)


@pytest.mark.slow
def test_a_study_goes_on_where_it_was_stopped(options, tiny_architecture, monkeypatch):
    """A real study but for worker processes and time: three steps each; stopped when the second run is scored."""
    done, stops = [], {"ada"}
    real, train = small_data.main, Experiment.run

    def main(words):
        if words[0] == "evaluate" and any("/ada_" in word for word in words) and stops:
            stops.clear()
            raise KeyboardInterrupt
        done.append((next(row for row in ROWS if f"/{row}_seed0" in " ".join(words)), words[0]))
        return real(words)

    def run(experiment, callbacks=(), say=None):
        done.append((experiment.run_name.partition("_")[0], "train"))
        # What the log of its process would be.
        log = Path(options.work, "runs", "logs", f"{experiment.run_name}.log")
        with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            return train(dataclasses.replace(experiment, max_step=3, query_step=1, score_steps=()), (), print)

    monkeypatch.setattr(small_data, "main", main)
    monkeypatch.setattr(Experiment, "run", run)
    monkeypatch.setattr(worker, "_budget", lambda seconds: types.SimpleNamespace(used=seconds))
    monkeypatch.setattr(small_data, "train_missing", functools.partial(small_data.train_missing, in_process=True))
    tiny = dataclasses.replace(
        options, architecture=tiny_architecture, rows=("none", "ada"), minutes=0.5, parts=1, metrics=("swd",)
    )
    with pytest.raises(KeyboardInterrupt):
        make(tiny)
    trained = [("none", "train"), ("ada", "train"), ("none", "sample"), ("none", "evaluate"), ("ada", "sample")]
    assert done == trained
    output = make(tiny)
    assert done[5:] == [("ada", "sample"), ("ada", "evaluate")]
    found = small_data.run(tiny)
    assert len(done) == 7 and [one["row"] for one in found] == ["none", "ada"]
    assert [one["step"] for one in found] == [3, 3] and [one["minutes"] for one in found] == [0.5, 0.5]
    assert [one["ada_p"] is not None for one in found] == [False, True]
    assert all(0 < one["record"]["SWD mean"]["value"] < 2 for one in found)
    pictures = [file for file in output.files if file.suffix == ".png"]
    assert np.asarray(Image.open(pictures[0])).std() > 20


@pytest.mark.slow
def test_a_run_ends_when_its_time_is_used_up_and_keeps_its_steps(options, tiny_architecture, monkeypatch):
    """By a worker process, as always."""
    monkeypatch.setattr(small_data, "_scored", lambda options, point, outcome, part: {"outcome": outcome})
    tiny = dataclasses.replace(options, architecture=tiny_architecture, rows=("none",), minutes=0.05, parts=1)
    [found] = small_data.run(tiny)
    outcome = found["outcome"]
    assert 3.0 <= outcome.training_seconds < 30 and outcome.threads == 1 and outcome.engine == "local"
    steps = RunFolder(Path(options.work) / "runs" / "sample_70" / "none_seed0").steps()
    assert steps == [outcome.step] and outcome.step > 5
