"""mmdgan.experiment: checks, names, the dry run, resuming, and what a run leaves behind."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from mmdgan.core.errors import CheckpointError, ConfigError, DataError, DesignError, MetricError
from mmdgan.runs import experiment as experiment_module
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.train import make_gan


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"loss": "rep"}, "sngan_rep_5e-04_2e-04_k1.68_0.0_-1.0"),  # the original's example
        ({"loss": "rep_b", "rep_lambda": -1.0}, "sngan_rep_b_5e-04_2e-04_k1.68_2.0_1.0"),
        ({"loss": "rmb", "rep_weights": (0.5, -0.5)}, "sngan_rmb_5e-04_2e-04_k1.68_0.5_-0.5"),
        ({"loss": "mmd_g", "lr_dis": 1e-4}, "sngan_mmd_g_1e-04_2e-04_k1.68"),
        ({"loss": "hinge", "gain": 256.0}, "sngan_hinge_5e-04_2e-04_k2"),
        ({"loss": "rep_gp", "penalty_weight": 3.0}, "sngan_rep_gp_5e-04_2e-04_k1.68_0.0_-1.0"),
        ({"loss": "wasserstein"}, "sngan_wasserstein_5e-04_2e-04_k1.68"),
    ],
)
def test_run_names_are_the_originals(changes, name):
    assert Experiment(**changes).folder().path.name == name


@pytest.mark.parametrize(("loss", "outputs"), [("rep", 16), ("mmd_t_gp", 16), ("hinge", 1), ("logistic", 1)])
def test_score_size_follows_the_loss(loss, outputs):
    assert Experiment(loss=loss).networks()[2].output_shape == (outputs,)
    assert Experiment(loss=loss, score_size=5).networks()[2].output_shape == (5,)


def test_gain_spreads_over_the_critics_layers():
    layers = Experiment(gain=3.0).networks()[2].layers
    np.testing.assert_allclose(np.prod([layer.act_k for layer in layers]), 3.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss": "repp"}, "no loss named 'repp'.*rep"),
        ({"loss": "hinge", "rep_lambda": 1.0}, "rep_lambda"),
        ({"penalty_weight": 1.0}, "penalty_weight is 1.0, but loss rep has no penalty.*rep_gp"),
        ({"penalty_weight": -1.0, "loss": "rep_gp"}, "penalty_weight is -1.0; give a positive number"),
        ({"loss": "rand_g", "omega": (0.9, 0.1)}, "omega"),
        ({"loss": "rep", "omega": (0.5,)}, "no option 'omega'"),
        ({"num_class": 9}, "num_class is 9, but cifar10 has 10 classes; give 10"),
        ({"num_class": 10}, "no layer of architecture cifar10/DCGAN depends on class labels"),
        ({"run_name": ".."}, "run_name is '..'; give a folder's name"),
        ({"run_name": "."}, "run_name is '.'; give a folder's name"),
        ({"run_name": "a/b"}, "run_name is 'a/b'; give a folder's name"),
        ({"run_name": "é" * 100}, "give a folder's name without slashes, not dots alone, under 200 bytes"),
        ({"grid": (1_000_000, 1_000_000)}, "grid is 1000000,1000000, a picture of .* pixels"),
        ({"grid": (296, 296)}, "grid is 296,296, a picture of 89,718,784 pixels"),
        ({"architecture": "points/MLP"}, r"makes images of \(2,\).*those of cifar10 are \(3, 32, 32\)"),
        ({"strategy": "multi_worker", "workers": ("a:1", "b:65536"), "worker_index": 0}, "workers has 'b:65536'"),
        ({"lr_gen": "fast"}, "lr_gen is 'fast'; it takes a number"),
        ({"imbalanced_update": "dinamic"}, "imbalanced_update is 'dinamic'; it takes 2 values.* 'dynamic', or None"),
        ({"imbalanced_update": (1,)}, r"imbalanced_update is \(1,\); it takes 2 values, each a whole number"),
        ({"rep_weights": (0.0, 1.0)}, "w0 - w1 = 1"),
        ({"batch_size": 1}, "batch_size is 1; give at least 2, for the loss 'rep' compares samples"),
        ({"batch_size": 1, "loss": "mmd_g_gp"}, "batch_size is 1; give at least 2"),
        ({"batch_size": 0, "loss": "hinge"}, "batch_size is 0"),
        ({"max_step": 0}, "max_step is 0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"lr_dis": 0.0}, "lr_dis is 0.0; give a positive number"),
        ({"lr_gen": float("nan")}, "lr_gen is nan"),
        ({"spectral": "exact"}, "spectral is exact; the valid values are pico, pim"),
        ({"precision": "half"}, "precision is half; the valid values are float32"),
        ({"imbalanced_update": (2, 3)}, "imbalanced_update is 2,3"),
        ({"imbalanced_update": (1, 0)}, "imbalanced_update is 1,0"),
        ({"imbalanced_update": (1, 2), "steps_per_call": 2}, "steps_per_call is 2, but imbalanced_update decides"),
        ({"steps_per_call": 0}, "steps_per_call is 0; give a whole number of at least 1"),
        ({"profile": (5, 3)}, "profile is 5,3; give FIRST,LAST or a number of steps"),
        ({"profile": (0,)}, "profile is 0; give FIRST,LAST"),
        ({"profile": (1, 2, 3)}, "profile is 1,2,3; give FIRST,LAST"),
        ({"score_steps": (0, 5)}, "score_steps is 0,5; give steps from 1"),
        ({"score_steps": (5,), "max_step": 4}, "score_steps is 5"),
        ({"grid": (0, 4)}, "grid is 0,4"),
        ({"seed": -1}, "seed is -1; give a whole number from 0"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"run_name": "a/b"}, "run_name is 'a/b'"),
        ({"features": "inceptoin"}, "features is inceptoin; the valid values are auto, inception, classifier, .*keras"),
        ({"features": "keras:"}, "features is keras:; the valid values"),
        ({"resize": "linear"}, "resize is linear; the valid values are legacy, tfgan, clean, none"),
        ({"feature_cache": ""}, "feature_cache is empty; give a folder, off"),
        (
            {"metrics": ("fdi",)},
            r"metrics has 'fdi' \(did you mean fid\?\); the valid values are fid, .*is, .*kid, .*prdc",
        ),
        ({"metrics": ("fid", "intra_fid")}, "intra_fid.*unconditional.*train a conditional run"),
        ({"keep_best": "ms_ssim"}, "keep_best is ms_ssim; the valid values are auto, none, fid"),
        ({"keep_best": "precision"}, "keep_best is precision, but metrics is fid,is,kid; add prdc.* or kid or none"),
        ({"keep_best": "fid", "metrics": ()}, "keep_best is fid, but metrics is empty; add fid"),
    ],
)
def test_bad_values_are_named(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Experiment(**changes).resolved()


def test_one_value_does_for_a_list():
    assert (Experiment(metrics="fid").metrics, Experiment(score_steps=5).score_steps) == (("fid",), (5,))


def test_unknown_architecture_is_a_design_error():
    with pytest.raises(DesignError, match="cifar10"):
        Experiment(architecture="cifar10/DCGANN").resolved()


def test_every_setting_reaches_the_training_step(tiny_architecture):
    experiment = Experiment(
        architecture=tiny_architecture.replace(":TINY", ":CONDITIONAL"),
        data="sample",
        num_class=10,
        loss="sgm_gp",
        mix_threshold=0.7,
        penalty_weight=2.5,
        legacy=True,
        imbalanced_update="dynamic",
        lr_dis=0.5,
        lr_gen=0.25,
        seed=7,
    )
    gan = make_gan(experiment.plan())
    assert (gan.penalty_weight, gan.legacy, gan.num_class, gan.seed) == (2.5, True, 10, 7)
    assert gan.generator.legacy and gan.discriminator.legacy
    assert gan.loss.options["mix_threshold"] == 0.7 and "schedule/loss_gen" in gan.state()
    assert [float(o.learning_rate) for o in (gan.optimizer_dis, gan.optimizer_gen)] == [0.5, 0.25]


@pytest.mark.parametrize(
    ("changes", "stops"),
    [
        ({}, [12_500 * i for i in range(1, 9)]),
        ({"max_step": 10, "rounds": 3}, [3, 6, 10]),
        ({"max_step": 2, "rounds": 8}, [1, 2]),
        ({"max_step": 2000, "score_steps": (1000, 500)}, [500, 1000, 2000]),
    ],
)
def test_rounds(changes, stops):
    assert Experiment(**changes).stops() == stops


def test_dry_run_says_what_would_happen(tmp_path):
    text = Experiment(loss="hinge", data_root=str(tmp_path), results=str(tmp_path / "r")).dry_run()
    assert "1 output of critic layer l8_s, because hinge judges each score by itself" in text
    fixed = Experiment(loss="hinge", fixed_critic=True).dry_run()
    assert "16 outputs of critic layer l8_s, as the architecture has it" in fixed
    assert "50,000 images" in text and "--source" in text and "(new)" in text
    for number in ("3,811,907", "5,860,865"):  # spec H.1; the critic with 1 instead of 16 outputs
        assert number in text
    for field in dataclasses.fields(Experiment):
        assert f"\n  {field.name} " in text
    assert list(tmp_path.iterdir()) == []
    as_told = Experiment(score_size=4, data="sample").dry_run()
    assert "4 outputs of critic layer l8_s, as --score_size says" in as_told and "made on the spot" in as_told


def test_a_run_leaves_its_directory(tiny_run):
    experiment, path = tiny_run
    assert path == RunFolder.open(path).path == experiment.folder().path
    assert path.parts[-2:] == ("sample", "sngan_rep_b_5e-04_2e-04_k2_0.0_-1.0")
    config = json.loads((path / "config.json").read_text())
    assert config["experiment"]["score_size"] == 16 and config["experiment"]["rep_weights"] == [0.0, -1.0]
    assert config["architecture"]["discriminator"][0]["out"] == 4
    assert config["data"]["count"] == 10_782 and "tensorflow" in config["versions"]
    for step in (2, 4):
        assert np.array(Image.open(path / "samples" / f"{step}.png")).shape == (64, 96, 3)
    assert list((path / "logs").glob("events.out.tfevents.*"))
    assert not list(path.rglob(".*"))
    loaded = Experiment.load(path)
    assert dataclasses.replace(loaded, run_name=None) == dataclasses.replace(experiment.resolved(), run_name=None)


def test_kept_rounds_are_different_generators(tiny_run):
    folder = RunFolder.open(tiny_run[1])
    first, step = folder.load_generator(2)
    newest, last = folder.load_generator()
    assert (step, last) == (2, 4)
    difference = [np.abs(a - b).max() for a, b in zip(first.get_weights(), newest.get_weights(), strict=True)]
    assert max(difference) > 1e-5
    with pytest.raises(CheckpointError, match="step 3.*2, 4"):
        folder.load_generator(3)


def test_resuming_equals_an_undisturbed_run(tiny_run, tmp_path):
    experiment, whole = tiny_run
    shorter = dataclasses.replace(experiment, results=str(tmp_path), max_step=2, rounds=1)
    assert shorter.run()["step"] == 2
    resumed = dataclasses.replace(experiment, results=str(tmp_path)).run()
    assert resumed["step"] == 4
    ours, theirs = (RunFolder.open(path).load_generator()[0] for path in (resumed["folder"], whole))
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-6)


def test_a_finished_run_is_left_as_it_is(tiny_run, capsys, monkeypatch):
    experiment, path = tiny_run
    before = {f: f.stat().st_mtime_ns for f in path.glob("samples/*")}
    assert experiment.run(say=print)["step"] == 4
    assert {f: f.stat().st_mtime_ns for f in path.glob("samples/*")} == before
    text = capsys.readouterr().out
    assert str(path / "samples" / "4.png") in text and f"tensorboard --logdir {path}" in text

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("mmdgan.core.text.terminal_columns", lambda stream: 40)
    experiment.run(say=print)
    narrow = capsys.readouterr().out.partition("\nDone")[0].splitlines()
    [watch] = [line for line in narrow[1:] if len(line) > 40 and len(line[12:].split()) > 1]  # words are left whole
    assert watch.endswith(f"tensorboard --logdir {path}")
    header = text.partition("\nDone")[0].split()
    assert len(narrow) > 8 and " ".join(narrow).split() == header


def test_another_configuration_is_refused_and_restart_moves_the_run_aside(tiny_run, tmp_path):
    experiment, _ = tiny_run
    one = dataclasses.replace(experiment, results=str(tmp_path), max_step=1, rounds=1)
    path = one.run()["folder"]
    other = dataclasses.replace(one, batch_size=16, seed=5)
    with pytest.raises(ConfigError, match=r"batch_size \(8 there, 16 now\); seed \(0 there, 5 now\).*--restart"):
        other.run()
    assert dataclasses.replace(other, restart=True).run()["folder"] == path
    assert json.loads((path / "config.json").read_text())["experiment"]["seed"] == 5
    aside = path.with_name(path.name + "-old-1")
    assert json.loads((aside / "config.json").read_text())["experiment"]["seed"] == 0
    assert (aside / "checkpoints").is_dir()


def test_an_edited_dictionary_is_noticed(tmp_path, tiny_architecture):
    file = tmp_path / "my.py"
    text = open(tiny_architecture.rpartition(":")[0], encoding="utf-8").read()
    file.write_text(text)
    experiment = Experiment(architecture=f"{file}:TINY", results=str(tmp_path))
    folder = experiment.folder()
    folder.prepare(experiment.config(), restart=False)
    folder.check(experiment.config(), experiment_module.IDENTITY)
    file.write_text(text.replace('"out": 6', '"out": 7'))
    with pytest.raises(ConfigError, match="the networks.*--restart"):
        folder.check(experiment.config(), experiment_module.IDENTITY)


def test_images_of_another_size_are_refused(tmp_path):
    small = {
        "input": [(3, 16, 16)],
        "code": [(8, "linear")],
        "generator": [{"name": "g", "op": "d", "out": 768, "out_reshape": [3, 16, 16]}],
        "discriminator": [{"name": "s", "op": "d", "in_reshape": [768], "out": 4}],
    }
    (tmp_path / "small.py").write_text(f"SMALL = {small}")
    experiment = Experiment(architecture=f"{tmp_path}/small.py:SMALL", data="sample", results=str(tmp_path))
    with pytest.raises(ConfigError, match=r"\(3, 16, 16\).*\(3, 32, 32\)"):
        experiment.run()


def test_results_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written .*give another --results"):
        RunFolder(tmp_path / "file" / "run").prepare({}, restart=False)


def test_no_data_and_no_network_is_one_sentence(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise DataError("the address cannot be reached")

    monkeypatch.setattr("mmdgan.data.sources.tfds.fetch", offline)
    experiment = Experiment(data_root=str(tmp_path / "Data"), results=str(tmp_path / "Results"))
    with pytest.raises(DataError, match="--source PATH.*--data sample"):
        experiment.run()
    assert not (tmp_path / "Results").exists()


def test_scores_are_written_after_each_round(tiny_run, tmp_path, block_means, capsys):
    experiment = dataclasses.replace(
        tiny_run[0], results=str(tmp_path), metrics=("fid", "is"), score_count=30, max_step=2, rounds=2
    )
    result = experiment.run(say=print)
    folder = RunFolder.open(result["folder"])
    records = folder.records()
    names = ["FD[classifier]", "FD[classifier] real-real", "CS[classifier]", "CS[classifier] real"]
    assert [(r["step"], r["by"]) for r in records if r["metric"] == names[0]] == [(1, "train"), (2, "train")]
    assert {r["metric"] for r in folder.latest_scores(1)} >= set(names)
    assert all(r["count"] == 30 for r in records if "real-real" not in r["metric"])
    assert result["scores"] == {r["metric"]: r["value"] for r in folder.latest_scores()}
    assert block_means["data"] == "sample" and "FD[classifier]" in capsys.readouterr().out
    written = b"".join(event_file.read_bytes() for event_file in folder.logs.glob("events*"))
    assert b"score/FD[classifier]" in written and b"score_spread/CS[classifier] (10 splits)" in written
    assert b"score_interval/CS[classifier]/low" in written and b"score_interval/CS[classifier]/high" in written
    assert "Fréchet distance from the real images' features; lower is better. metrics.jsonl".encode() in written
    experiment.run()
    assert len(folder.records()) == len(records), "a finished round is scored again"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"metrics": ("fidd",)}, "fidd.*fid, .*is, .*kid"), ({"score_count": 12, "metrics": ("fid",)}, "at least 13")],
)
def test_scores_that_cannot_be_made_stop_the_run_before_training(tiny_run, tmp_path, block_means, changes, sentence):
    experiment = dataclasses.replace(tiny_run[0], results=str(tmp_path), **changes)
    with pytest.raises((ConfigError, MetricError), match=sentence):
        experiment.run()
    assert list(tmp_path.iterdir()) == []


def test_too_many_images_to_score_are_refused_before_training(tiny_run, tmp_path):
    experiment = dataclasses.replace(tiny_run[0], results=str(tmp_path), metrics=("fid",), score_count=20_000)
    with pytest.raises(ConfigError, match="20,000 images are asked for, but sample holds 10,782"):
        experiment.run()
    assert not list(tmp_path.rglob("ckpt*"))


def test_a_run_beyond_max_step_says_so(tiny_run, tmp_path, capsys):
    experiment, path = tiny_run
    shutil.copytree(path, tmp_path / "sample" / path.name)
    result = dataclasses.replace(experiment, results=str(tmp_path), max_step=3, rounds=1).run(say=print)
    assert result["step"] == 4
    assert "4 steps, beyond max_step 3" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_damaged_configuration_is_named(tmp_path, text):
    folder = RunFolder(tmp_path)
    folder.config_file.write_text(text)
    with pytest.raises(ConfigError, match="config.json is no run's configuration.*--restart"):
        folder.read_config()


def test_other_images_of_the_same_name_are_noticed(tiny_run, tmp_path):
    experiment, path = tiny_run
    shutil.copytree(path, tmp_path / "sample" / path.name)
    folder = RunFolder(tmp_path / "sample" / path.name)
    config = folder.read_config()
    config["data"] |= {"fingerprint": "0", "source": "elsewhere"}
    folder.prepare(config, restart=False)
    with pytest.raises(ConfigError, match="the images.*from elsewhere there.*--restart"):
        dataclasses.replace(experiment, results=str(tmp_path)).run()
