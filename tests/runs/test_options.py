"""mmdgan.experiment: the options of losses and penalties, class-conditional runs, runs of earlier versions."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmdgan import data, losses, sampling
from mmdgan.core.errors import ConfigError, DataError, DesignError
from mmdgan.metrics import evaluate
from mmdgan.runs.experiment import IDENTITY, Experiment
from mmdgan.runs.folder import RunFolder


def test_a_label_projection_has_one_score_whatever_the_loss():
    experiment = Experiment(architecture="sample/PROJECTION_SMALL", data="sample", num_class=10, loss="rep")
    assert experiment.resolved().score_size == 1
    assert "1 output of critic layer l8_s, because a label projection has one" in experiment.dry_run()
    with pytest.raises(DesignError, match="l8_s.*out"):
        dataclasses.replace(experiment, score_size=2).resolved()


def test_conditional_layers_without_classes_name_the_flag():
    with pytest.raises(DesignError, match="PROJECTION_SMALL depends on class labels in gen/l2_up: give --num_class=10"):
        Experiment(architecture="sample/PROJECTION_SMALL", data="sample").resolved()


def test_other_mistakes_in_conditional_architectures_keep_their_sentence(tmp_path):
    (tmp_path / "wrong.py").write_text(
        "from architectures.sample import PROJECTION_SMALL as WRONG\nWRONG['generator'][4]['out'] = 4\n"
    )
    with pytest.raises(DesignError, match="gen.*l5_t32"):
        Experiment(architecture=f"{tmp_path}/wrong.py:WRONG", data="sample", num_class=10).resolved()


@pytest.mark.parametrize(
    ("loss", "weight", "words"),
    [
        ("rep", None, "\npenalty           none\n"),
        ("rep_b_gp", 0.1, "0.1 times the gradient penalty rmb_gp"),
        ("mmd_t_gp", 1.0, "1 times the gradient penalty fixed_t_gp"),
        ("wasserstein", 10.0, "10 times the gradient penalty wasserstein"),
        ("rep_ds", 0.1, "divided by 1 + 0.1 times its mean squared Jacobian"),
    ],
)
def test_the_default_weight_of_each_penalty_is_resolved_and_told(loss, weight, words):
    assert Experiment(loss=loss).resolved().penalty_weight == weight
    assert words in Experiment(loss=loss).dry_run()
    if weight:
        assert Experiment(loss=loss, penalty_weight=0.5).resolved().penalty_weight == 0.5
        assert Experiment(loss=loss).resolved().resolved() == Experiment(loss=loss).resolved()


def test_every_option_of_a_loss_is_a_flag():
    """One number reaches losses that take one, several those that take a list."""
    options = {option for name in losses.names() for option in losses.resolve_options(name)}
    assert options <= {field.name for field in dataclasses.fields(Experiment)}
    assert options <= set(IDENTITY)
    assert Experiment(loss="rep", sigma=(2.0,)).loss_function().options["sigma"] == 2.0
    assert Experiment(loss="mmd_g", sigma=(2.0, 3.0)).loss_function().options["sigma"] == (2.0, 3.0)
    assert Experiment(loss="rand_g", omega=(0.5,)).loss_function().options == losses.get("rand_g", omega=0.5).options
    assert Experiment(loss="rand_g", omega=(0.2, 0.4)).loss_function().options["omega"] == (0.2, 0.4)
    mixed = Experiment(loss="sgm", mix_threshold=0.7).loss_function()
    assert mixed.options["mix_threshold"] == 0.7
    assert Experiment(loss="sgm", mix_threshold=0.0).loss_function().options["mix_threshold"] == 0.0


def test_what_changes_the_numbers_must_be_the_same_in_a_resumed_run():
    """All of networks, data and training, but for where things are, and what resolves to another field."""
    groups = ("networks", "data", "loss", "options of the loss", "training", "training aids")
    fields = {f.name for f in dataclasses.fields(Experiment) if f.metadata["group"] in groups}
    free = {"architecture", "data_format", "data_root", "source", "cache", "rep_lambda", "variance"}
    assert set(IDENTITY) == fields - free


def _forget_new_fields(path):
    """Makes config.json what the version before conditional runs and penalties wrote."""
    config = json.loads((path / "config.json").read_text())
    old = ("num_class", "penalty_weight", "legacy", "omega", "ref_normal", "mix_threshold")
    new = ("deterministic", "divergence_limit", "on_divergence", "fallback")
    for name in (*old, *new, "keep_best", "resize", "feature_cache"):
        del config["experiment"][name]
    (path / "config.json").write_text(json.dumps(config))


def test_runs_of_the_version_before_are_loaded_and_resumed(tiny_run, tmp_path):
    experiment, path = tiny_run
    old = tmp_path / "sample" / path.name
    shutil.copytree(path, old)
    _forget_new_fields(old)
    assert Experiment.load(old).num_class == 0
    assert Experiment.load(old).keep_best == "auto"
    assert RunFolder.open(old).load_generator()[1] == 4
    longer = dataclasses.replace(experiment, results=str(tmp_path), max_step=5, rounds=1)
    assert longer.run()["step"] == 5
    with pytest.raises(ConfigError, match="legacy .false there, true now"):
        dataclasses.replace(longer, legacy=True).run()


def test_a_conditional_run(conditional_run):
    experiment, path = conditional_run
    config = json.loads((path / "config.json").read_text())["experiment"]
    assert config["num_class"] == 10 and config["penalty_weight"] == 0.1 and config["score_size"] == 1
    generator, step = RunFolder.open(path).load_generator()
    assert step == 2 and generator.spec.num_class == 10
    codes = sampling.grid_codes(24, 8, experiment.seed)
    labels = np.array([[column % 10] for _ in range(2) for column in range(12)])
    cells = np.array(Image.open(path / "samples" / "2.png")).reshape(2, 32, 12, 32, 3)
    images = cells.transpose(0, 2, 1, 3, 4).reshape(24, 32, 32, 3)
    np.testing.assert_array_equal(images, sampling.generate(generator, codes, labels))
    assert (images != sampling.generate(generator, codes, labels * 0)).any()
    with pytest.raises(ConfigError, match=r"penalty_weight \(0.1 there, 0.2 now\)"):
        dataclasses.replace(experiment, penalty_weight=0.2).run()


def test_images_without_labels_are_refused_before_training(conditional_run, tmp_path, monkeypatch):
    def without_labels(name, **_):
        return data.ImageData(name, np.zeros((20, 3, 32, 32), np.uint8), source="a copy")

    monkeypatch.setattr(data, "open_data", without_labels)
    experiment = dataclasses.replace(conditional_run[0], results=str(tmp_path))
    with pytest.raises(DataError, match="num_class is 10, but the images of sample .*a copy.* have no labels"):
        experiment.run()
    assert list(tmp_path.iterdir()) == []


def test_scores_of_a_conditional_run_are_of_uniform_labels(conditional_run, tmp_path, block_means, monkeypatch):
    seen, evaluate_sets = [], evaluate.evaluate_sets

    def spy(generated, *others, **options):
        seen.extend((images.labels, images.take(np.array([7, 399, 0]))) for images in generated)
        return evaluate_sets(generated, *others, **options)

    monkeypatch.setattr(evaluate, "evaluate_sets", spy)
    experiment = dataclasses.replace(
        conditional_run[0], results=str(tmp_path), metrics=("fid",), score_count=400, max_step=1
    )
    folder = experiment.run()["folder"]
    [(labels, images)] = seen
    expected = sampling.score_labels(400, 10, experiment.seed)
    np.testing.assert_array_equal(labels, expected[:, 0])
    generator, _ = RunFolder.open(folder).load_generator()
    codes = sampling.score_codes(400, 8, experiment.seed)
    np.testing.assert_array_equal(images, sampling.generate(generator, codes, expected)[[7, 399, 0]])


def test_a_field_without_effect_may_change_in_a_resumed_run():
    assert "end_lr" not in Experiment().identity()
    assert "end_lr" not in Experiment(optimizer="sgd", lr_schedule="constant").identity()
    for changes in ({"optimizer": "momentum"}, {"lr_schedule": "cosine"}):
        assert "end_lr" in Experiment(**changes).identity()
    assert "ada_images" not in Experiment(augment=("color",)).identity()
    assert "ada_images" in Experiment(augment=("color",), ada=0.6).identity()
    assert "lr_dis" not in Experiment(fixed_critic=True).identity()
    assert set(Experiment(fixed_critic=True, ada=0.6, optimizer="sgd").identity()) == set(IDENTITY) - {"lr_dis"}
