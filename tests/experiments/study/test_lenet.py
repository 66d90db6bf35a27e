"""LeNet's training, on images whose class is where the square is."""

from __future__ import annotations

import numpy as np
import pytest

from mmdgan import data
from mmdgan.core.errors import DataError
from mmdgan.data.dataset import ImageData
from study import lenet


def squares(count, side=28, labelled=True):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, count)
    images = rng.integers(0, 40, (count, 1, side, side), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 4)
        image[0, 3 + 8 * row : 9 + 8 * row, 1 + 7 * column : 6 + 7 * column] = 220
    more = {"labels": labels, "class_names": tuple("0123456789"), "num_class": 10} if labelled else {}
    return ImageData("squares", images, **more)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_which_tell_classes(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "open_data", lambda *_, **__: squares(2000))
    accuracy = lenet.train("squares", str(tmp_path / "a"), passes=4)
    assert lenet.train("squares", str(tmp_path / "b"), passes=4) == accuracy
    assert 0.9 < accuracy <= 1
    files = [lenet.weights_file("squares", str(tmp_path / place)) for place in "ab"]
    one, other = (np.load(file) for file in files)
    assert set(one) == set(other) and "logits/kernel/kernel" in one
    for name in one:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("images", [squares(20, side=32), squares(20, labelled=False)])
def test_other_images_are_refused(monkeypatch, tmp_path, images):
    monkeypatch.setattr(data, "open_data", lambda *_, **__: images)
    with pytest.raises(DataError, match="LeNet tells 10 classes of 1x28x28 images"):
        lenet.train("squares", str(tmp_path))


def test_it_is_trained_once(monkeypatch, tmp_path):
    path = lenet.weights_file("squares", str(tmp_path))
    called = []

    def run_jobs(function, jobs, workers, report):
        called.append((function.__module__, jobs, workers))
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
        return [(0, 0.5)]

    monkeypatch.setattr(lenet, "run_jobs", run_jobs)
    for _ in range(2):
        assert lenet.ensure("squares", str(tmp_path), "a.zip") == path
    assert called == [("study.lenet", [("squares", str(tmp_path), "a.zip")], 1)]


@pytest.mark.slow
def test_it_is_trained_in_a_process_of_its_own(tmp_path):
    """Which finds the module wherever this process has found it, and says what is wrong."""
    with pytest.raises(DataError, match="LeNet tells 10 classes of 1x28x28 images; sample has"):
        lenet.ensure("sample", str(tmp_path))
