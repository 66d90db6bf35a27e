"""Runs whose critic is fixed, has no weights, or begins with those of a file."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.design import load_architecture, parse_architecture
from mmdgan.networks import weights
from mmdgan.networks.network import build_discriminator
from mmdgan.runs.experiment import IDENTITY, Experiment
from mmdgan.runs.folder import RunFolder

MORE = """
PIXELS = {**TINY, "discriminator": [{"name": "pixels", "op": "i", "out_reshape": [3072]}]}
FEATURES = {**TINY, "discriminator": TINY["discriminator"][:2]}
OTHER = {**TINY, "discriminator": [{"name": "l1", "out": 5, "kernel": 4, "strides": 4}, *TINY["discriminator"][1:]]}
APART = {**TINY, "discriminator": [{"name": "x" + layer["name"], **{k: v for k, v in layer.items() if k != "name"}}
                                   for layer in TINY["discriminator"]]}
"""


@pytest.fixture(scope="module")
def architectures(tmp_path_factory):
    from tests.conftest import TINY

    file = tmp_path_factory.mktemp("critics") / "critics.py"
    file.write_text(TINY + MORE, encoding="utf-8")
    return lambda name: f"{file}:{name}"


@pytest.fixture
def experiment(architectures, tmp_path):
    return Experiment(
        architecture=architectures("FEATURES"),
        data="sample",
        loss="mmd_g",
        batch_size=8,
        max_step=4,
        rounds=2,
        grid=(2, 3),
        metrics=(),
        results=str(tmp_path / "results"),
        keep=1,
        keep_rounds=True,
        fixed_critic=True,
    )


def weights_file(architecture, path, seed=5):
    """A file of weights of a critic, and the critic."""
    critic = build_discriminator(load_architecture(architecture))
    rng = np.random.default_rng(seed)
    for variable in critic.trainable_variables:
        variable.assign(rng.standard_normal(variable.shape) * 0.1)
    return weights.save(critic, path), critic


def values(run, step):
    """Every array of a checkpoint by its variable's name."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"ckpt-{step}"))
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    keys = [key for key in reader.get_variable_to_shape_map() if key.endswith(end)]
    return {key.removesuffix(end).replace(".S", "/").partition("/")[2]: reader.get_tensor(key) for key in keys}


@pytest.mark.slow
def test_a_fixed_critic_with_weights_of_a_file(experiment, architectures, tmp_path):
    file, critic = weights_file(architectures("TINY"), tmp_path / "weights" / "critic.npz")
    experiment = dataclasses.replace(experiment, critic_weights=str(file))
    assert experiment.resolved().score_size == 256
    run = experiment.run()["folder"]
    saved = Experiment.load(run)
    assert saved.fixed_critic and saved.critic_weights == str(file)
    for step in (2, 4):
        state = values(run, step)
        for name in ("l1/kernel/kernel", "l1/bias/bias", "l2/kernel/kernel"):
            expected = next(v for v in critic.variables if v.path == f"dis/{name}")
            np.testing.assert_array_equal(state[f"dis/{name}"], expected)
    np.testing.assert_array_equal(
        values(run, 2)["dis/l1/kernel/SN/in_rand"], values(run, 4)["dis/l1/kernel/SN/in_rand"]
    )

    # The file is needed once.
    file.unlink()
    longer = dataclasses.replace(experiment, max_step=6, rounds=1)
    assert longer.run()["step"] == 6
    with pytest.raises(ConfigError, match="critic_weights"):
        dataclasses.replace(longer, critic_weights=None).run()


@pytest.mark.slow
def test_a_resumed_run_is_the_undisturbed_one(experiment, tmp_path):
    experiment = dataclasses.replace(experiment, deterministic=True)
    whole = experiment.run()["folder"]
    parts = dataclasses.replace(experiment, results=str(tmp_path / "parts"))
    dataclasses.replace(parts, max_step=2, rounds=1).run()
    resumed = parts.run()["folder"]
    one, other = values(whole, 4), values(resumed, 4)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(other[name], value, err_msg=name)


def test_a_critic_without_weights(experiment, architectures, block_means):
    experiment = dataclasses.replace(
        experiment,
        architecture=architectures("PIXELS"),
        variance=(200.0, 800.0),
        fixed_critic=False,
        metrics=("is",),
        keep_best=None,
        score_count=20,
    )
    resolved = experiment.resolved()
    assert (resolved.score_size, resolved.variance) == (3072, None)
    assert resolved.sigma == pytest.approx((200**0.5, 800**0.5))
    assert "--score_size" not in experiment.dry_run()
    result = experiment.run()
    assert result["step"] == 4 and result["grid"].is_file() and result["scores"]
    assert dataclasses.replace(experiment, max_step=5, rounds=1).run()["step"] == 5
    assert RunFolder.open(result["folder"]).load_generator()[1] == 5
    with pytest.raises(ConfigError, match="sigma"):
        dataclasses.replace(experiment, variance=(2.0,)).run()


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("PIXELS", {"score_size": 4}, "score_size is 4, but the critic .* ends in layer 'pixels' and has 3072 outputs"),
        ("TINY", {"score_size": 4, "fixed_critic": True}, "score_size is 4, but the critic .* is fixed and has 16"),
        ("PIXELS", {"loss": "rep_gp"}, "rep_gp regularises the critic, .* choose rep,"),
        ("TINY", {"loss": "wasserstein", "fixed_critic": True}, "wasserstein regularises the critic"),
        ("PIXELS", {"imbalanced_update": (5, 1)}, "imbalanced_update is 5,1, but the critic .* does not learn"),
        ("TINY", {"sigma": (1.0,), "variance": (1.0,)}, "both sigma and variance"),
    ],
)
def test_what_a_fixed_critic_has_no_use_for(architectures, name, more, message):
    with pytest.raises(ConfigError, match=message):
        Experiment(architecture=architectures(name), data="sample", **{"loss": "mmd_g", **more}).resolved()


def test_weights_that_do_not_fit(experiment, architectures, tmp_path):
    file, _ = weights_file(architectures("TINY"), tmp_path / "critic.npz")
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK no")
    lacking = tmp_path / "lacking.npz"
    with np.load(file) as arrays:
        np.savez(lacking, **{name: arrays[name] for name in arrays if name != "l2/bias/bias"})
    for name, path, message in (
        ("OTHER", file, r"l1/kernel/kernel is \(4, 4, 3, 4\) in .*critic.npz, but \(4, 4, 3, 5\) in dis"),
        ("APART", file, r"layers l1, l2, l3_s, and none of them is in dis \(xl1, xl2, xl3_s\)"),
        ("FEATURES", lacking, "has no l2/bias/bias, which layer 'l2' of dis needs"),
        ("FEATURES", broken, "is not a file of weights"),
        ("FEATURES", tmp_path / "none.npz", "There is no file of weights"),
    ):
        wrong = dataclasses.replace(experiment, architecture=architectures(name), critic_weights=str(path))
        with pytest.raises(CheckpointError, match=message):
            wrong.run()
        assert not wrong.folder().path.exists()


def test_weights_go_to_the_layers_of_their_names(architectures, tmp_path):
    file, critic = weights_file(architectures("TINY"), tmp_path / "critic.npz")
    features = build_discriminator(load_architecture(architectures("FEATURES")))
    arrays = weights.read(file, parse_architecture(load_architecture(architectures("FEATURES")))[1])
    assert not [name for name in arrays if name.startswith("l3_s")]
    assert weights.assign(features, arrays) == ["l1", "l2"]
    images = np.random.default_rng(0).standard_normal((3, 32, 32, 3)).astype("float32")
    x = images
    for block in critic.blocks[:2]:
        x = block(x)
    np.testing.assert_allclose(features(images), x, rtol=1e-5, atol=1e-6)
    with pytest.raises(CheckpointError, match="dis/l1/bias/bias"):
        weights.assign(features, {"l1/bias/bias": np.zeros(3)})


@pytest.mark.slow
def test_a_run_of_the_version_before_is_resumed(tiny_run, tmp_path):
    import shutil

    experiment, path = tiny_run
    old = tmp_path / "sample" / path.name
    shutil.copytree(path, old)
    config = json.loads((old / "config.json").read_text())
    for name in ("fixed_critic", "critic_weights", "variance", "add_dot", "biased"):
        del config["experiment"][name]
    (old / "config.json").write_text(json.dumps(config))
    assert not {"biased", "add_dot", "fixed_critic", "critic_weights"} - set(IDENTITY)
    longer = dataclasses.replace(experiment, results=str(tmp_path), max_step=5, rounds=1)
    assert longer.run()["step"] == 5
    with pytest.raises(ConfigError, match="biased .false there, true now"):
        dataclasses.replace(longer, biased=True).run()
