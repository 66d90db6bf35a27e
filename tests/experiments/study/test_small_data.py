"""The study of small data: its images, its time, its table; the runs themselves are a slow test."""

import contextlib
import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdgan import data
from mmdgan.cli import program
from mmdgan.cli.flags import parse
from mmdgan.core.errors import ConfigError
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from study import small_data
from study.small_data import ROWS, Results, SmallDataError, SmallDataOptions, make


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


def test_results_are_of_one_study(options):
    results = Results(options)
    results.put("seconds", "none_seed0", 3.5)
    again = Results(dataclasses.replace(options, seeds=(0, 1), rows=("ada",)))
    assert again.values["seconds"] == {"none_seed0": 3.5}
    with pytest.raises(ConfigError, match="holds a study with another loss; give another --work"):
        Results(dataclasses.replace(options, loss="hinge"))


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


def test_a_row_is_flags_of_train():
    rows = {row: parse(Experiment(), SmallDataOptions(ada_target=0.5).aids(row), usage="").options for row in ROWS}
    assert rows["none"] == Experiment()
    assert rows["diffaugment"] == Experiment(augment=("color", "translation", "cutout"))
    assert rows["ada"] == dataclasses.replace(rows["diffaugment"], ada=0.5, ada_images=50_000)


def test_time_that_ends_before_the_first_step_is_told(options, monkeypatch, tmp_path):
    monkeypatch.setattr(small_data, "_run", lambda *_: (small_data._STOPPED, 4.0, tmp_path / "log"))
    with pytest.raises(SmallDataError, match=r"none_seed0 has not done a step in 4 s .* more --minutes"):
        small_data.run(options)


def test_each_part_gets_what_is_left_of_its_time(options, monkeypatch, tmp_path):
    given = []

    def run(options, name, command, seconds):
        given.append(seconds)
        return small_data._STOPPED, seconds + 1.0, tmp_path / "log"

    monkeypatch.setattr(small_data, "_run", run)
    monkeypatch.setattr(small_data, "prepare_images", lambda _: "name")
    monkeypatch.setattr(small_data, "_score", lambda *_: {"step": len(given)})
    monkeypatch.setattr(RunFolder, "steps", lambda _: [1])
    plan = dataclasses.replace(options, rows=("none", "ada"), minutes=0.5, parts=2)
    found = small_data.run(plan)
    assert given == [15.0, 14.0] * 2
    assert [(one["row"], one["part"]) for one in found] == [("none", 1), ("none", 2), ("ada", 1), ("ada", 2)]
    assert small_data.run(plan) == found and len(given) == 4


@pytest.mark.slow
def test_a_study_goes_on_where_it_was_stopped(options, tiny_architecture, monkeypatch):
    done, stops = [], {("ada_seed0_scores", "evaluate")}

    def run(options, name, command, seconds):
        """What the child would do, but for the seconds that it takes to start, and for three steps."""
        assert command[:3] == [sys.executable, "-m", "mmdgan"]
        verb, words = command[3], command[4:]
        if (name, verb) in stops:
            stops.clear()
            raise KeyboardInterrupt
        done.append((name, verb))
        log = Path(options.work, "logs", f"{name}.log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            if verb != "train":
                return program.main([verb, *words]), 1.0, log
            experiment = parse(Experiment(), words, usage="").options
            dataclasses.replace(experiment, max_step=3, query_step=1, score_steps=()).run()
        return small_data._STOPPED, seconds, log

    monkeypatch.setattr(small_data, "_run", run)
    tiny = dataclasses.replace(
        options, architecture=tiny_architecture, rows=("none", "ada"), minutes=0.5, parts=1, metrics=("swd",)
    )
    with pytest.raises(KeyboardInterrupt):
        make(tiny)
    trained = [("none_seed0", "train"), ("none_seed0_scores", "sample"), ("none_seed0_scores", "evaluate")]
    assert done == [*trained, ("ada_seed0", "train"), ("ada_seed0_scores", "sample")]
    output = make(tiny)
    assert done[5:] == [("ada_seed0_scores", "sample"), ("ada_seed0_scores", "evaluate")]
    found = small_data.run(tiny)
    assert len(done) == 7 and [one["row"] for one in found] == ["none", "ada"]
    assert [one["step"] for one in found] == [3, 3] and [one["minutes"] for one in found] == [0.5, 0.5]
    assert [one["ada_p"] is not None for one in found] == [False, True]
    assert all(0 < one["record"]["SWD mean"]["value"] < 2 for one in found)
    pictures = [file for file in output.files if file.suffix == ".png"]
    assert np.asarray(Image.open(pictures[0])).std() > 20


@pytest.mark.slow
def test_a_run_is_stopped_when_its_time_is_used_up_and_keeps_its_steps(options, tiny_architecture):
    for minutes in (0.2, 1.0):  # the longer time for machines where starting takes all of the shorter
        tiny = dataclasses.replace(
            options, architecture=tiny_architecture, minutes=minutes, parts=1, work=f"{options.work}_{minutes}"
        )
        name, results = small_data.prepare_images(tiny), Results(tiny)
        with contextlib.suppress(SmallDataError):
            small_data._train(tiny, results, name, "none", 0, 1)
            break
    assert minutes * 60 - 1.5 <= results.values["seconds"]["none_seed0"] < minutes * 60 + 30
    assert RunFolder(small_data.run_folder(tiny, name, "none", 0)).steps()[-1] > 5
