"""The best checkpoint over a run's rounds, and what a crash may leave of them."""

from __future__ import annotations

import dataclasses
import random
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.text import installed_name
from mmdgan.runs import train
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.scoring import Scorer, feature_cache
from mmdgan.training import Checkpoints


class Crash(BaseException):
    """Stands for kill -9."""


@pytest.fixture
def values(monkeypatch, block_means) -> dict[int, float]:
    """By step, the FD that scoring finds; steps without one are scored by the images. Holds the calls under -step."""
    given: dict[int, float] = {}
    score = Scorer.score

    def scripted(self, generator, step, repeats=1):
        given[-step] = given.get(-step, 0) + 1
        records = score(self, generator, step, repeats)
        return [{**records[0], "value": given.get(step, records[0]["value"])}, *records[1:]]

    monkeypatch.setattr(Scorer, "score", scripted)
    return given


@pytest.fixture
def experiment(tiny_run, tmp_path):
    """Four rounds of one step, scored by FD of 30 images."""
    changes = {"metrics": ("fid",), "score_count": 30, "rounds": 4, "keep": 2, "keep_rounds": False}
    return dataclasses.replace(tiny_run[0], results=str(tmp_path), **changes)


def test_the_best_checkpoint_stays_beside_the_newest(experiment, values, capsys):
    values |= {1: 5.0, 2: 1.0, 3: 4.0, 4: 3.0}
    result = experiment.run(say=print)
    folder = RunFolder(result["folder"])
    assert folder.steps() == [2, 3, 4] and folder.best_step() == result["best"] == 2
    text = capsys.readouterr().out
    header = dict(line.split(maxsplit=1) for line in text.splitlines()[1:6])
    assert list(header) == ["device", "data", "networks", "plan", "watch"]
    assert header["device"].startswith("CPU (") and header["device"].endswith(f" cores), {experiment.precision}")
    assert header["data"] == "sample: 10,782 images, 32x32, 3 channels, 10 classes"  # 6 for each of the 1,797 digits
    sizes = [f"{spec.parameters:,}" for spec in experiment.networks()[1:]]
    assert header["networks"].endswith(f": generator {sizes[0]} parameters, critic {sizes[1]}")
    assert header["plan"] == f"steps 1 to 4 of {experiment.batch_size} images; samples and fid after 1, 2, 3, 4"
    assert header["watch"] == f"tensorboard --logdir {folder.path}"
    assert "ckpt-2   the best checkpoint kept: FD[classifier] 1\n" in text
    assert f"{installed_name()} report {folder.path}\n" in text and "--step best --count 5000" in text
    assert "Comparison" not in text  # with no other run

    values |= {5: 2.0, 6: 0.5}
    longer = dataclasses.replace(experiment, max_step=6, score_steps=(5, 6))
    assert longer.run()["best"] == 6
    assert folder.steps() == [5, 6] and folder.best_step() == 6
    assert [values[-step] for step in range(1, 7)] == [1] * 6

    assert dataclasses.replace(longer, keep_best=None).run(say=print)["best"] is None
    assert folder.best_step() == 6 and "the best checkpoint" not in capsys.readouterr().out.rpartition("Done: 6")[2]

    other = shutil.copytree(folder.path, folder.path.with_name("other"))
    longer.run(say=print)
    compared = f"Comparison:   {installed_name()} compare {other} {folder.path} --out compare"
    assert compared in capsys.readouterr().out.splitlines()
    dataclasses.replace(longer, run_dir=str(folder.path)).run(say=print)
    assert "Comparison" not in capsys.readouterr().out


def test_a_crash_before_the_best_is_marked_is_made_good(experiment, values, monkeypatch):
    values |= {1: 5.0, 2: 1.0, 3: 4.0, 4: 0.5}
    keep_best = Checkpoints.keep_best

    def crash(self, step):
        if step == 2:
            raise Crash
        keep_best(self, step)

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(Checkpoints, "keep_best", crash)
        experiment.run()
    folder = experiment.folder()
    assert folder.best_step() == 1 and folder.steps() == [1, 2]
    shorter = dataclasses.replace(experiment, max_step=2)
    assert shorter.run()["best"] == folder.best_step() == 2
    assert values[-2] == 1, "scored again"

    whole = folder.metrics_file.read_bytes()
    folder.metrics_file.write_bytes(whole[:-40])  # the last line of the last evaluation is cut off
    assert {record["step"] for record in folder.records()} == {1}
    assert shorter.run()["best"] == 2
    assert values[-2] == 2 and len(folder.latest_scores(2)) == len(folder.latest_scores(1)) == 2
    assert [record["step"] for record in folder.records()] == [1, 1, 2, 2]


def test_scores_that_need_no_features_look_for_none(experiment, values, block_means):
    result = dataclasses.replace(experiment, metrics=("swd",), keep_best="swd", max_step=1, rounds=1).run()
    assert result["best"] == 1 and result["scores"]["SWD mean"] > 0
    assert "features" not in block_means


def test_features_are_looked_for_as_the_experiment_says(experiment, values, block_means, tmp_path):
    changes = {"features": "keras:MobileNet", "resize": "clean", "feature_cache": str(tmp_path / "kept"), "max_step": 1}
    dataclasses.replace(experiment, metrics=("fid",), rounds=1, **changes).run()
    assert (block_means["features"], block_means["resize"]) == ("keras:MobileNet", "clean")
    assert len(list((tmp_path / "kept").iterdir())) == 2, "real and generated images"


def test_the_folder_of_features(monkeypatch, tmp_path):
    monkeypatch.delenv("MMDGAN_FEATURE_CACHE", raising=False)
    assert feature_cache(None, str(tmp_path)) == tmp_path / "features"
    assert feature_cache("off", str(tmp_path)) is None
    assert feature_cache(str(tmp_path / "mine"), "Data") == tmp_path / "mine"


def test_the_callers_random_numbers_and_those_of_the_run_are_apart(tiny_run, tmp_path, monkeypatch, gans):
    monkeypatch.setattr(train, "make_gan", gans.make)  # networks of its own for each thread

    def drawn(action):
        random.seed(3)
        np.random.seed(3)
        tf.random.set_seed(3)
        action()
        return random.random(), np.random.rand(), float(tf.random.uniform(()))

    def kernels(name):
        reader = tf.train.load_checkpoint(str(next(tmp_path.rglob(name)) / "checkpoints" / "ckpt-1"))
        names = sorted(n for n in reader.get_variable_to_shape_map() if "kernel" in n and "OPTIMIZER" not in n)
        return np.concatenate([reader.get_tensor(name).ravel() for name in names])

    changes = {"results": str(tmp_path), "metrics": (), "max_step": 1, "rounds": 1}
    run = lambda name: dataclasses.replace(tiny_run[0], run_name=name, **changes).run()  # noqa: E731
    assert drawn(lambda: run("first")) == drawn(lambda: None)
    random.seed(99)
    threads = [threading.Thread(target=run, args=(name,)) for name in ("second", "third")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(kernels("second"), kernels("first"), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(kernels("third"), kernels("first"), rtol=1e-4, atol=1e-6)


def test_batches_of_one_train_with_losses_that_compare_nothing(tiny_run, tmp_path):
    changes = {"results": str(tmp_path), "metrics": (), "max_step": 1, "rounds": 1, "batch_size": 1}
    assert dataclasses.replace(tiny_run[0], loss="hinge", run_name="one", **changes).run()["step"] == 1
