"""Figure 4: the numbers of class separation against double loops, and the figure of tiny runs."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mmdgan.core.errors import ConfigError
from paper.figure4_scores import ScoreFigureOptions, effective_dimension, make, separation


def silhouette_by_loops(points, labels) -> float:
    """Rousseeuw 1987: (b - a) / max(a, b), a the mean distance within the class, b to the nearest other class."""
    values = []
    for i, own in enumerate(labels):
        distances = {}
        for j, other in enumerate(labels):
            if i != j:
                distances.setdefault(other, []).append(float(np.linalg.norm(points[i] - points[j])))
        a, b = np.mean(distances[own]), min(np.mean(d) for label, d in distances.items() if label != own)
        values.append((b - a) / max(a, b))
    return float(np.mean(values))


def accuracy_by_loops(points, labels, k) -> float:
    hits = 0
    for i in range(len(points)):
        order = sorted((j for j in range(len(points)) if j != i), key=lambda j: np.linalg.norm(points[i] - points[j]))
        votes = Counter(labels[j] for j in order[:k])
        most = max(votes.values())
        # Classes with equally many votes: here the test's data have none, which is checked.
        assert sum(count == most for count in votes.values()) == 1 or k > 1
        winner = next(labels[j] for j in order[:k] if votes[labels[j]] == most)
        hits += winner == labels[i]
    return hits / len(points)


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(5)
    labels = np.repeat([3, 7, 9], [20, 25, 15])
    return rng.normal(size=(60, 4)) + 1.2 * labels[:, None], labels


@pytest.mark.parametrize("neighbours", [1, 5])
def test_separation_is_that_of_double_loops(clouds, neighbours):
    points, labels = clouds
    found = separation(points, labels, neighbours)
    assert found.silhouette == pytest.approx(silhouette_by_loops(points, labels), abs=1e-9)
    if neighbours == 1:
        assert found.accuracy == pytest.approx(accuracy_by_loops(points, labels, 1), abs=1e-12)
    assert 0.4 < found.silhouette < 1 and 0.9 < found.accuracy <= 1
    assert found.largest_class == pytest.approx(25 / 60)
    assert abs(found.silhouette_chance) < 0.1 and 0.2 < found.accuracy_chance < 0.5
    assert found.accuracy_se == pytest.approx((found.accuracy * (1 - found.accuracy) / 60) ** 0.5)


def test_votes_are_of_the_others_alone_and_ties_go_to_the_nearer():
    # Two points of each class far apart from their own: no point may vote for itself.
    line, labels = np.array([[0.0], [1.0], [10.0], [11.5]]), np.array([0, 1, 0, 1])
    assert separation(line, labels, 1).accuracy == 0
    # Of the two neighbours one of each class, the nearer is of the own class in all but the second and fifth point.
    line, labels = np.array([[0.0], [1.0], [2.9], [10.0], [11.2], [13.0]]), np.array([0, 0, 1, 1, 1, 0])
    assert separation(line, labels, 2).accuracy == pytest.approx(4 / 6)
    assert accuracy_by_loops(line, labels, 2) == pytest.approx(4 / 6)


def test_effective_dimension_counts_the_directions_of_spread():
    line = np.outer(np.linspace(-1, 1, 50), [1.0, -2.0, 0.5])
    assert effective_dimension(line) == pytest.approx(1)
    assert effective_dimension(line[:, :1]) == pytest.approx(1)
    # Variances along the axes of a turned cross are 4 : 1 : 0, so that it is 25 / 17.
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    cross = np.array([[2.0, 0, 0], [-2, 0, 0], [0, 1, 0], [0, -1, 0]]) @ turn
    assert effective_dimension(cross) == pytest.approx(25 / 17)


@pytest.mark.slow
def test_quick_trains_both_and_writes_picture_numbers_and_points(tiny_architecture, tmp_path):
    options = ScoreFigureOptions(
        out=str(tmp_path), quick=True, architecture=tiny_architecture, max_step=2, batch_size=8, count=40, neighbours=3
    )
    output = make(options)
    assert {file.name for file in output.files} == {
        f"figure4_scores{ending}" for ending in (".png", ".pdf", ".csv", "_points.csv")
    }
    rows = list(csv.DictReader((tmp_path / "figure4_scores.csv").open()))
    assert [(row["method"], row["space"]) for row in rows] == [
        ("MMD-rbf", "scores"),
        ("MMD-rbf", "embedding"),
        ("MMD-rep", "scores"),
        ("MMD-rep", "embedding"),
        ("the images themselves", "pixels"),
    ]
    assert all(1 <= float(row["effective_dimension"]) <= 16 for row in rows if row["space"] == "scores")
    assert all(0 <= float(row["accuracy"]) <= 1 and -1 <= float(row["silhouette"]) <= 1 for row in rows)
    points = list(csv.DictReader((tmp_path / "figure4_scores_points.csv").open()))
    assert len(points) == 80
    by_run = [[(p["image"], p["label"]) for p in points if p["run"].startswith(f"figures_{n}_")] for n in LOSS_NAMES]
    assert by_run[0] == by_run[1] and len(set(by_run[0])) == 40
    # The embedding in the CSV has the numbers that the other CSV says.
    xy = np.array([[float(p["x"]), float(p["y"])] for p in points[:40]])
    labels = np.array([int(p["label"]) for p in points[:40]])
    assert float(rows[1]["silhouette"]) == pytest.approx(silhouette_by_loops(xy, labels), abs=1e-4)


LOSS_NAMES = ("mmd_g", "rep")


def test_mistakes_are_named(tiny_run, tmp_path):
    run = Path(tiny_run[1])
    with pytest.raises(ConfigError, match="neighbours is 40"):
        make(ScoreFigureOptions(out=str(tmp_path), runs=(str(run),), count=40, neighbours=40))
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((run / "config.json").read_text())
    config["data"]["fingerprint"] = "another"
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="were trained on different images"):
        make(ScoreFigureOptions(out=str(tmp_path), runs=(str(run), str(other)), count=20))
    shutil.rmtree(other)
    with pytest.raises(ConfigError, match="does not exist"):
        make(ScoreFigureOptions(out=str(tmp_path), runs=(str(other),), count=20))
