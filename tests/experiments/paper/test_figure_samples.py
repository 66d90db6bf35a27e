"""Figure S2: each panel is the first of the run's own fixed codes, beside real images."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdgan.core.errors import ConfigError
from mmdgan.report.facts import RunFacts
from paper import figureS2_samples
from paper.figureS2_samples import SampleFigureOptions, in_order, make


@pytest.fixture
def drawn(monkeypatch) -> list:
    """The panels that the figure is made of."""
    found, draw = [], figureS2_samples.draw

    def keep(panels, *rest):
        found.extend(panels)
        return draw(panels, *rest)

    monkeypatch.setattr(figureS2_samples, "draw", keep)
    return found


def test_panels_are_the_grids_of_training_beside_images_of_the_data_set(tiny_run, conditional_run, tmp_path, drawn):
    runs = (str(conditional_run[1]), str(tiny_run[1]))
    output = make(SampleFigureOptions(out=str(tmp_path), runs=runs, rows=2, columns=3))
    assert [file.name for file in output.files] == [f"figureS2_samples{ending}" for ending in (".png", ".pdf", ".csv")]
    # What differs between the runs is in their labels.
    assert [panel.label for panel in drawn] == [
        "real images (sample)",
        f"MMD-rep-b, seed 0, {tiny_run[0].architecture}, 4 steps, lr 5e-04/2e-04",
        f"rep_gp, seed 0, {conditional_run[0].architecture}, 2 steps, lr 5e-04/5e-02",
    ]
    # The tiny run's grid of 2 x 3 was written in training, by the same codes.
    grid = np.asarray(Image.open(Path(tiny_run[1]) / "samples" / "4.png"))
    tiles = grid.reshape(2, 32, 3, 32, 3).transpose(0, 2, 1, 3, 4).reshape(6, 32, 32, 3)
    assert np.abs(tiles.astype(int) - drawn[1].images).max() <= 1
    from mmdgan.data import open_data
    from mmdgan.data.pipeline import channels_last

    every = channels_last(open_data("sample", data_root="Data").images)
    assert all((every == image).all(axis=(1, 2, 3)).any() for image in drawn[0].images)
    assert len(np.unique(drawn[0].images, axis=0)) == 6
    rows = list(csv.DictReader((tmp_path / "figureS2_samples.csv").open()))
    assert [(row["run"], row["loss"], row["seed"], row["step"]) for row in rows[1:]] == [
        (Path(tiny_run[1]).name, "rep_b", "0", "4"),
        (Path(conditional_run[1]).name, "rep_gp", "0", "2"),
    ]
    assert {row["images"] for row in rows} == {"6"}


def test_an_older_checkpoint_says_its_step(tiny_run, tmp_path, drawn):
    make(SampleFigureOptions(out=str(tmp_path), runs=(str(tiny_run[1]),), rows=1, columns=2, step=2))
    assert drawn[1].label == "MMD-rep-b, seed 0, step 2"


@pytest.mark.slow
def test_quick_trains_what_it_shows(tiny_architecture, tmp_path, drawn):
    options = SampleFigureOptions(
        out=str(tmp_path), quick=True, architecture=tiny_architecture, max_step=1, batch_size=8, rows=2, columns=2
    )
    make(options)
    assert [panel.label for panel in drawn[1:]] == ["MMD-rbf, seed 0", "MMD-rep, seed 0"]


def test_methods_come_in_the_papers_order(tiny_run):
    first = RunFacts.of(tiny_run[1])
    losses = [("wasserstein", 0), ("rep", 1), ("hinge", 0), ("rep", 0), ("logistic", 3)]
    runs = [dataclasses.replace(first, experiment=first.experiment | {"loss": a, "seed": b}) for a, b in losses]
    order = [(run.experiment["loss"], run.experiment["seed"]) for run in in_order(runs)]
    assert order == [("logistic", 3), ("hinge", 0), ("rep", 0), ("rep", 1), ("wasserstein", 0)]


def test_mistakes_are_named(tiny_run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((Path(tiny_run[1]) / "config.json").read_text())
    config["experiment"]["data"] = "mnist"
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="other on mnist"):
        make(SampleFigureOptions(out=str(tmp_path), runs=(str(tiny_run[1]), str(other))))
    with pytest.raises(ConfigError, match="rows, columns and across are at least 1"):
        make(SampleFigureOptions(out=str(tmp_path), runs=(str(tiny_run[1]),), rows=0))
