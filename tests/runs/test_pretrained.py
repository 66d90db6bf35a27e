"""mmdgan.runs.pretrained: generators that come along are those of their runs, and other trainings begin with them."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil

import numpy as np
import pytest

import mmdgan
from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.layers.spectral import exact_spectral_norm
from mmdgan.networks import weights
from mmdgan.runs import pretrained
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.scores import retire_scores
from mmdgan.sampling import random_codes
from tests.helpers.command_line import status


@pytest.mark.parametrize("name", pretrained.names())
def test_what_comes_along_is_small_and_whole(name):
    folder = pretrained.Pretrained.named(name)
    content = (folder.path / "weights.npz").read_bytes()
    card = folder.card()
    assert len(content) < 2**20 and hashlib.sha256(content).hexdigest() == card["sha256"]
    assert card["command"].startswith("python") and folder.steps() == [card["step"]]
    assert {record["step"] for record in folder.records()} == {card["step"]} and folder.latest_scores()
    model = mmdgan.load_pretrained(name)
    codes, classes = random_codes(2, model.spec.input_shape[0]), model.spec.num_class
    images = model({"x": codes, "y": np.zeros((2, 1), np.int32)} if classes else codes).numpy()
    assert np.abs(images).max() <= 1 and images.std() > 0.1


@pytest.fixture
def made(tiny_run, monkeypatch, tmp_path):
    """The tiny run's generator, as one that comes along."""
    monkeypatch.setattr(pretrained, "ROOT", tmp_path / "pretrained")
    return pretrained.save(tiny_run[1], "sample/tiny", "python train.py", note="tiny")


def test_a_stored_generator_gives_the_images_of_its_run(made, tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert status("pretrained") == 0 and "pretrained:sample/tiny" in capsys.readouterr().out
    images = mmdgan.open_run("pretrained:sample/tiny").sample(5)
    assert np.abs(images.astype(int) - mmdgan.open_run(tiny_run[1]).sample(5)).max() <= 1  # float16
    assert status("sample", "pretrained:sample/tiny", "--count=5", "--out=x.npz") == 0
    np.testing.assert_array_equal(np.load("x.npz")["images"], images)
    assert status("interpolate", "pretrained:sample/tiny", "--rows=2", "--frames=3") == 0
    assert status("export", "pretrained:sample/tiny") == 0
    before = sorted(file.name for file in made.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export", "pretrained", "samples", "x.npz"]
    assert status("evaluate", "pretrained:sample/tiny", "--metrics=swd", "--count=30", "--out=s.jsonl") == 0
    assert (tmp_path / "s.jsonl").is_file() and sorted(file.name for file in made.iterdir()) == before


def test_the_card_has_the_scores_of_the_stored_weights(tiny_run, tmp_path, monkeypatch, capsys):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run[1], run.path)
    distance = {"metric": "FD[classifier]", "value": 5.0, "count": 8}
    run.append(4, "train", [{**distance, "value": 1.0}])
    retire_scores(run.metrics_file, 2)  # training went back, and came to step 4 again
    run.append(4, "evaluate", [distance])
    run.append(4, "evaluate", [{**distance, "value": 3.0, "weights": "last"}])
    run.append(4, "evaluate", [{"metric": "near copies[pixels]", "value": 0.25, "count": 8}])
    monkeypatch.setattr(pretrained, "ROOT", tmp_path / "pretrained")
    pretrained.save(run.path, "sample/tiny", "python train.py")
    assert [record["value"] for record in pretrained.Pretrained.named("sample/tiny").records(abandoned=True)] == [
        5.0,
        0.25,
    ]
    assert status("pretrained") == 0 and " FD[classifier] 5 " in capsys.readouterr().out


def test_what_is_not_there_is_said(made):
    with pytest.raises(ConfigError, match="did you mean sample/tiny"):
        mmdgan.load_pretrained("sample/tony")
    run = mmdgan.open_run("pretrained:sample/tiny")
    with pytest.raises(CheckpointError, match="generator alone"):
        _ = run.critic
    with pytest.raises(CheckpointError, match="no checkpoint of step 3"):
        run.sample(1, step=3)


def test_a_training_begins_with_the_weights_of_another(made, tiny_run, tmp_path):
    experiment = dataclasses.replace(tiny_run[0], results=str(tmp_path), max_step=1, rounds=1, lr_dis=1e-9, lr_gen=1e-9)
    said: list[str] = []
    after = mmdgan.open_run(
        dataclasses.replace(experiment, init=str(tiny_run[1]), run_name="a").run(say=said.append).folder
    )
    for part, load in (("generator", RunFolder.load_generator), ("critic", RunFolder.load_critic)):
        source = weights.arrays(load(RunFolder(tiny_run[1]))[0])
        for name, array in weights.arrays(load(after.files)[0]).items():
            if not name.endswith(("in_rand", "moving_mean", "moving_variance")):  # these change without gradients
                np.testing.assert_allclose(array, source[name], atol=1e-6, err_msg=f"{part} {name}")
        assert any(part in sentence and "begin with" in sentence for sentence in said)
    dataclasses.replace(experiment, init="pretrained:sample/tiny", run_name="b", ema=0.9).run(say=said.append)
    assert "critic" not in said[-1]
    with pytest.raises(ConfigError, match="no pretrained generator"):
        dataclasses.replace(experiment, init="pretrained:x", run_name="c").run()
    np.savez(tmp_path / "other.npz", **{"elsewhere/kernel/kernel": np.zeros(3)})
    with pytest.raises(ConfigError, match="no layer of the generator fits: l1 .not there."):
        dataclasses.replace(experiment, init=str(tmp_path / "other.npz"), run_name="c").run()
    for parts in (("critic",), ()):
        with pytest.raises(ConfigError, match=f"has none of init_parts={','.join(parts)} to begin with"):
            dataclasses.replace(experiment, init="pretrained:sample/tiny", init_parts=parts, run_name="c").run()
    assert not (tmp_path / "sample" / "c").exists()  # so that the mended command is not another configuration


def test_layers_that_do_not_fit_begin_fresh(tiny_run):
    one, other = (
        mmdgan.build_network(
            [{"name": "a", "op": "d", "out": 4}, {"name": "without", "op": "i"}, {"name": "b", "op": "d", "out": n}],
            (3,),
        )
        for n in (2, 5)
    )
    before = weights.arrays(other)
    found, left = weights.fitting(other.spec, {**weights.arrays(one), "c/kernel": np.zeros(3)})
    assert list(left) == ["b"] and "(4, 2) there, (4, 5) here" in left["b"]
    assert weights.assign(other, found) == ["a"]
    after = weights.arrays(other)
    for name in after:
        expected = weights.arrays(one)[name] if name.startswith("a/") else before[name]
        np.testing.assert_array_equal(after[name], expected)


def test_frozen_layers_stay(tiny_run, tmp_path):
    experiment = dataclasses.replace(tiny_run[0], results=str(tmp_path), max_step=2, rounds=1, freeze=("l1", "l2"))
    with pytest.raises(ConfigError, match="freeze has 'x'"):
        dataclasses.replace(experiment, freeze=("x",)).plan()
    begun = weights.arrays(RunFolder(tiny_run[1]).load_critic()[0])
    run = dataclasses.replace(experiment, init=str(tiny_run[1]), run_name="f").run()
    ended = weights.arrays(run.critic)
    changed = {name.split("/")[0] for name in ended if not np.array_equal(ended[name], begun[name])}
    assert changed and not changed & {"l1", "l2"}


def test_images_of_another_size_keep_kernels_and_get_vectors_of_their_own():
    layers = [{"name": "a", "out": 4, "kernel": 3, "w_nm": "s"}]
    one, other = (mmdgan.build_network(layers, (3, side, side)) for side in (8, 16))
    found, left = weights.fitting(other.spec, weights.arrays(one))
    assert not left and weights.assign(other, found) == ["a"]
    after = weights.arrays(other)
    np.testing.assert_array_equal(after["a/kernel/kernel"], weights.arrays(one)["a/kernel/kernel"])
    layer = other.blocks[0].sublayers["kernel"]
    exact = exact_spectral_norm("c", layer.kernel, **layer.operator())
    np.testing.assert_allclose(other.sigmas()["net/a/kernel"], exact, rtol=0.02)  # frozen layers keep this one
