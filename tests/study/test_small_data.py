"""The study of small data: its images, its time, its table; the runs themselves are a slow test."""

import dataclasses
import os

import numpy as np
import pytest
from PIL import Image

from mmdgan import data
from mmdgan.errors import ConfigError
from mmdgan.study import small_data
from mmdgan.study.small_data import Results, SmallDataOptions
from mmdgan.study.small_data_figure import make


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


@pytest.mark.skipif("MMDGAN_LONG" not in os.environ, reason="minutes of training; MMDGAN_LONG=1 runs it")
@pytest.mark.slow
def test_a_tiny_study_trains_each_row_for_its_time_and_goes_on_where_it_was(options, tiny_architecture):
    tiny = dataclasses.replace(
        options, architecture=tiny_architecture, minutes=0.5, parts=1, metrics=("swd",), features="classifier"
    )
    output = make(tiny)
    found = small_data.run(tiny)
    assert [one["row"] for one in found] == ["none", "diffaugment", "ada"]
    assert all(one["step"] > 5 and 25 < one["minutes"] * 60 < 60 for one in found)
    assert [one["ada_p"] is not None for one in found] == [False, False, True]
    pictures = [file for file in output.files if file.suffix == ".png"]
    assert np.asarray(Image.open(pictures[0])).std() > 20
