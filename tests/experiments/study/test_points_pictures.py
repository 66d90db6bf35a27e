"""Pictures of the plane, and what the two scripts write."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from paper.output import new_figure
from study import plane, points, points_training
from study.points_options import FixedOptions, LearnedOptions, PointsSettings, fixed_settings, learned_settings
from study.points_training import train

QUICK = {"steps": 100, "batch_size": 16, "snapshots": 3, "samples": 60, "permutations": 19}


@pytest.fixture(scope="module")
def run():
    return train(PointsSettings("mine", loss_options={"sigma": [0.3]}, **QUICK))


def test_the_window_is_a_square_around_the_points():
    view = plane.window(np.array([[0.0, 0.0], [4.0, 2.0]]), margin=0.5)
    assert view == (-1.0, 5.0, -2.0, 4.0)
    x, y, mesh = view.mesh(3)
    assert (x.tolist(), y.tolist()) == ([-1, 2, 5], [-2, 1, 4])
    assert mesh[1].tolist() == [2, -2] and mesh[3].tolist() == [-1, 1]


def test_colours_are_symmetric_around_zero():
    assert plane.symmetric_limit(np.array([-3.0, 1.0, np.nan])) == 3
    assert plane.symmetric_limit(np.zeros(3)) == 1


def test_the_witness_is_drawn_the_right_way_up_and_zero_is_white(run, monkeypatch):
    """A height of y + 1/2: green, the data's colour, above; purple below; one straight zero line, where it is white."""
    monkeypatch.setattr(type(run), "height", lambda self, snapshot, mesh: mesh[:, 1] + 0.5)
    figure = new_figure(3, 3)
    axes = figure.subplots()
    view = plane.Window(-1.0, 1.0, -1.0, 1.0)
    assert plane.draw_witness(axes, run, run.snapshots[-1], view, side=30) == pytest.approx(1.5)
    axes.set_axis_off()
    image = plane.pixels(figure, 60).astype(int)
    rows, middle = len(image), image.shape[1] // 2
    excess = [image[rows * part // 100, middle][1] - image[rows * part // 100, middle][0] for part in (25, 50, 72, 94)]
    assert excess[0] > excess[1] > 15 > abs(excess[2]) and excess[3] < -5
    lines = [path for item in axes.collections[1:] for path in item.get_paths() if len(path.vertices)]
    assert len(lines) == 1 and np.abs(lines[0].vertices[:, 1] + 0.5).max() < 1e-9


def test_arrows_are_forces(run):
    axes = new_figure(3, 3).subplots()
    plane.draw_force(axes, run.snapshots[-1])
    arrows = axes.collections[-1]
    np.testing.assert_allclose(np.stack([arrows.U, arrows.V], 1), run.snapshots[-1].force[:120])
    np.testing.assert_allclose(arrows.XY, run.snapshots[-1].samples[:120])


def test_ways_go_through_all_snapshots(run):
    axes = new_figure(3, 3).subplots()
    plane.draw_paths(axes, run, plane.window(run.held_out(100)))
    way = axes.lines[0].get_xydata()
    np.testing.assert_allclose(way, [snapshot.samples[0] for snapshot in run.snapshots])


def test_a_film_has_a_frame_per_snapshot_and_a_panel_per_run(run):
    shorter = dataclasses.replace(run, snapshots=run.snapshots[:2])
    one, two = plane.film([run], dpi=40), plane.film([shorter, run], dpi=40)
    assert len(one) == len(two) == len(run.snapshots) == 3 and two.shape[2] == pytest.approx(2 * one.shape[2], abs=2)
    assert not np.array_equal(one[0], one[-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fixed", "learned"])
def test_scripts_write_pictures_and_tables(kind, tmp_path, capsys):
    given = {"steps": 25, "batch_size": 8, "snapshots": 2, "quick": True, "out": str(tmp_path), "points": "grid"}
    if kind == "fixed":
        options = FixedOptions(sigma=(0.1, 1.0), **given)
        settings = fixed_settings(options)
    else:
        options = LearnedOptions(loss=("rep_b", "hinge"), **given)
        settings = learned_settings(options)
    output = points.compare(settings, options, f"points_{kind}")
    names = [f"points_{kind}_grid{ending}" for ending in (".csv", "_curves.csv", ".png", ".pdf", ".gif")]
    assert [file.name for file in output.files] == names
    with open(output.files[0], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [run.name for run in settings]
    assert all(row["modes"] == "25" and float(row["energy"]) > 0 for row in rows)
    assert Image.open(output.files[4]).n_frames == 2
    printed = capsys.readouterr().out
    assert "modes covered" in printed and all(run.name in printed for run in settings)


def test_a_run_of_the_study_has_one_small_picture(run, tmp_path, monkeypatch):
    settings = PointsSettings("ring, fixed, sigma 0.3", loss_options={"sigma": [0.3]}, **QUICK)
    trained = []
    monkeypatch.setattr(points_training, "train", lambda asked: trained.append(asked) or run)
    result = points.run(settings, tmp_path)
    assert result.picture == tmp_path / "ring_ring_fixed_sigma_0.3_seed0.png"
    assert result.files[0] == result.picture and all(file.exists() for file in result.files)
    assert result.picture.stat().st_size < 60_000
    assert points.run(settings).picture is None and trained == [settings, settings]
