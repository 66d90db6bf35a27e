"""The average of the generator's weights: its closed form, what it leaves alone, and what is made with it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mmdgan import sampling
from mmdgan.cli import program
from mmdgan.core.errors import ConfigError
from mmdgan.pictures.grid import image_grid
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from mmdgan.tf1 import original_name
from mmdgan.training.aids.settings import Aids
from tests.helpers.networks import SMALLEST
from tests.helpers.replicas import images, small_gan, values

DECAY = 0.7
NORMED = {
    **SMALLEST,
    "generator": [{**SMALLEST["generator"][0], "w_nm": "s", "act_k": 2.0}, *SMALLEST["generator"][1:]],
}


def averaged_gan(**options):
    return small_gan("rep", architecture=NORMED, lr=0.1, aids=Aids(ema=DECAY), **options)


def generator_values(gan, network=None):
    return {original_name(v): v.numpy().copy() for v in (network or gan.generator).variables}


def test_the_average_is_the_corrected_one_of_all_steps_and_changes_nothing_else():
    """In float64 and by the sum, not the recursion; the initial weights have no part in it."""
    gan, plain = averaged_gan(), small_gan("rep", architecture=NORMED, lr=0.1)
    before = generator_values(gan)
    history = []
    for step in range(5):
        gan.step(images(4, step))
        plain.step(images(4, step))
        history.append(generator_values(gan))
    weights = DECAY ** np.arange(4, -1, -1)
    found = generator_values(gan, gan.sampling_generator)
    assert found.keys() == before.keys() and any(name.endswith("moving_variance") for name in found)
    for name, value in found.items():
        expected = sum(w * h[name].astype(np.float64) for w, h in zip(weights, history, strict=True)) / weights.sum()
        if name.endswith("in_rand"):
            expected = history[-1][name]
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7, err_msg=name)
    kernel = "gen/l2/kernel/kernel"
    assert np.abs(found[kernel] - history[-1][kernel]).max() > 1e-4
    state = values(gan)
    for name, value in values(plain).items():
        np.testing.assert_array_equal(state.pop(name), value, err_msg=name)
    assert state.keys() == {f"ema/{name}" for name in (*before, "count")}


def test_before_the_first_step_and_after_it_the_average_is_the_generator():
    gan = averaged_gan()
    gan.average.reset()
    for _ in range(2):
        for name, value in generator_values(gan, gan.sampling_generator).items():
            np.testing.assert_array_equal(value, generator_values(gan)[name], err_msg=name)
        gan.step(images(4))


def test_it_averages_over_the_generators_updates_alone():
    gan = averaged_gan(imbalanced_update=(1, 2))
    for step in range(5):
        gan.step(images(4, step))
    assert int(gan.average.count) == 3  # at the steps 0, 2 and 4


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1])
def test_no_decay(decay):
    with pytest.raises(ConfigError, match="ema is .*; give a decay between 0 and 1"):
        Experiment(ema=decay).resolved()


@pytest.fixture(scope="module")
def run(tiny_architecture, tmp_path_factory):
    """A run of four steps whose generator moves fast, with its average: (its experiment, its directory)."""
    experiment = Experiment(
        architecture=tiny_architecture,
        data="sample",
        batch_size=8,
        max_step=4,
        rounds=2,
        grid=(2, 3),
        metrics=("swd",),
        score_count=64,
        keep_best="swd",
        lr_gen=0.05,
        ema=0.6,
        results=str(tmp_path_factory.mktemp("results")),
        keep_rounds=True,
    )
    return experiment, experiment.run()["folder"]


def test_samples_and_scores_of_a_run_are_of_the_average(run, tmp_path, capsys):
    experiment, path = run
    folder = RunFolder.open(path)
    codes = sampling.grid_codes(6, 8, 0)
    averaged, last = (sampling.generate(folder.load_generator(ema=ema)[0], codes) for ema in (None, False))
    assert np.abs(averaged.astype(int) - last).max() > 10
    np.testing.assert_array_equal(np.asarray(Image.open(folder.grid_file(4))), image_grid(averaged, 3))
    assert {record["weights"] for record in folder.records()} == {"ema"}
    assert "the generator's weights averaged (decay 0.6)" in experiment.dry_run()
    for flag, name in ((None, "6"), ("--ema", "6_ema"), ("--noema", "6_noema")):
        assert program.main(["sample", str(path), "--count=6", *([flag] if flag else [])]) == 0
        capsys.readouterr()
        assert folder.grid_file(4).with_name(f"4_{name}.png").is_file()
    program.main(["evaluate", str(path), "--noema"])
    assert folder.records()[-1]["weights"] == "last" and folder.records()[-1]["value"] != folder.records()[0]["value"]


def test_a_run_that_was_cut_in_two_ends_in_the_same_state(run, tmp_path):
    experiment, path = run
    half = dataclasses.replace(experiment, results=str(tmp_path), max_step=2, rounds=1, metrics=(), keep_best=None)
    half.run()
    cut = dataclasses.replace(half, max_step=4).run()["folder"]
    whole, again = (tf.train.load_checkpoint(str(folder / "checkpoints" / "ckpt-4")) for folder in (path, cut))
    names = [name for name in whole.get_variable_to_shape_map() if "ema.S" in name]
    assert len(names) > 8
    for name in names:
        np.testing.assert_array_equal(again.get_tensor(name), whole.get_tensor(name), err_msg=name)
    with pytest.raises(ConfigError, match=r"ema \(0\.6 there, null now\)"):
        dataclasses.replace(half, ema=None).run()


def test_runs_without_an_average_have_none_to_sample_with(tiny_run):
    with pytest.raises(ConfigError, match="ema is true, but .* was trained without --ema"):
        program.main(["sample", str(tiny_run[1]), "--ema"])
