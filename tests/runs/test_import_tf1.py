"""mmdgan.runs.import_tf1: runs made of the original's checkpoints sample, are scored, and go on training."""

import dataclasses
import json
import pprint

import numpy as np
import pytest

import mmdgan
from mmdgan import design
from mmdgan.cli import program
from mmdgan.core.errors import CheckpointError, ConfigError, DesignError
from mmdgan.runs.experiment import Experiment
from mmdgan.runs.folder import RunFolder
from mmdgan.runs.import_tf1 import import_run
from mmdgan.runs.train import TrainingRun
from mmdgan.training import GanStep, checkpoints
from tests.helpers import golden_data
from tests.test_tf1 import arrays_of, write_checkpoint


@pytest.fixture
def experiment(tiny_architecture, tmp_path):
    """Settings of a tiny run on the embedded images."""
    settings = {"batch_size": 4, "max_step": 5, "rounds": 1, "grid": (2, 2), "metrics": (), "loss": "rep_b"}
    return Experiment(architecture=tiny_architecture, data="sample", results=str(tmp_path / "results"), **settings)


def original(experiment, prefix, score_size=None):
    """Writes a checkpoint of the original, 3 steps old, of random numbers; returns its GanStep."""
    dictionary = design.load_architecture(experiment.architecture)
    if score_size is not None:
        dictionary = design.with_score_size(dictionary, score_size)
    networks = mmdgan.build_generator(dictionary), mmdgan.build_discriminator(dictionary)
    gan, rng = GanStep(*networks, experiment.loss, 1e-3, 1e-3), np.random.default_rng(0)
    for variable in gan.state().values():
        variable.assign(rng.uniform(0.1, 0.2, variable.shape) if variable.dtype.is_floating else 3)
    write_checkpoint(prefix, arrays_of(gan))
    return gan


def test_the_originals_networks_do_what_they_did(tmp_path):
    """Images and scores of the golden checkpoint, through a run directory at an odd path; no images are at hand."""
    tmp_path = tmp_path / "a [b] *c? 50% é"
    tmp_path.mkdir()
    probe, prefix = golden_data.tf1_probe(), tmp_path / "cifar.ckpt-60"
    write_checkpoint(prefix, golden_data.tf1_checkpoint())
    dictionary = tmp_path / "probe.py"
    dictionary.write_text(f"PROBE = {pprint.pformat(probe['architecture'])}\n", encoding="utf-8")
    places = {"data_root": str(tmp_path / "no_data"), "results": str(tmp_path)}
    run = import_run(prefix, Experiment(architecture=f"{dictionary}:PROBE", **places))
    assert run == tmp_path / "cifar10" / "sngan_rep_5e-04_2e-04_k1.68_0.0_-1.0"

    generator, step = RunFolder.open(run).load_generator()
    critic = mmdgan.build_discriminator(probe["architecture"], data_format=generator.data_format)
    assert step == checkpoints.restore_model(run / "checkpoints", critic) == 60
    images = probe["images_uint8_nhwc"] / np.float32(127.5) - 1
    generated = np.asarray(generator(probe["codes"]))
    if generator.data_format == "channels_last":
        generated = generated.transpose(0, 3, 1, 2)
    else:
        images = images.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(generated, probe["generated_nchw"], rtol=0, atol=1e-5)
    largest = np.abs(probe["scores"]).max()
    np.testing.assert_allclose(critic(images), probe["scores"], rtol=0, atol=1e-5 * largest)


def test_it_samples_is_scored_and_goes_on_training(experiment, tmp_path, block_means):
    gan = original(experiment, tmp_path / "model.ckpt-3")
    run = import_run(tmp_path / "model.ckpt-3", experiment)
    assert "data" not in json.loads((run / "config.json").read_text())
    assert program.main(["sample", str(run), "--count=3", f"--out={tmp_path / 'images.npz'}"]) == 0
    assert np.load(tmp_path / "images.npz")["images"].shape == (3, 32, 32, 3)
    assert program.main(["evaluate", str(run), "--metrics=fid", "--count=20"]) == 0
    assert {record["step"] for record in RunFolder.open(run).records()} == {3}

    resumed = TrainingRun(experiment.plan())
    resumed.checkpoints.restore()
    for name, variable in gan.state().items():
        np.testing.assert_array_equal(resumed.gan.state()[name], variable, err_msg=name)
    assert resumed.execute()["step"] == 5
    assert RunFolder.open(run).read_config()["data"]["fingerprint"] == resumed.data.fingerprint()


def test_the_critic_has_the_dictionarys_outputs_unless_told_otherwise(experiment, tmp_path):
    prefix = tmp_path / "model.ckpt-3"
    experiment = dataclasses.replace(experiment, loss="logistic")  # for which training takes 1 output
    original(experiment, prefix)
    run = import_run(prefix, experiment)
    assert Experiment.load(run).score_size == 16
    with pytest.raises(ConfigError, match="score_size"):
        TrainingRun(experiment.plan())
    TrainingRun(dataclasses.replace(experiment, score_size=16).plan())

    original(experiment, prefix, score_size=1)
    again = dataclasses.replace(experiment, restart=True)
    with pytest.raises(CheckpointError, match=r"l3_s/kernel/kernel, \(256, 1\) instead of \(256, 16\)"):
        import_run(prefix, again)
    assert Experiment.load(import_run(prefix, dataclasses.replace(again, score_size=1))).score_size == 1


def test_an_existing_run_is_refused_or_moved_aside(experiment, tmp_path):
    original(experiment, tmp_path / "model.ckpt-3")
    run = import_run(tmp_path / "model.ckpt-3", experiment)
    with pytest.raises(ConfigError, match=r"exists already\. Give --restart"):
        import_run(tmp_path / "model.ckpt-3", experiment)
    assert import_run(tmp_path / "model.ckpt-3", dataclasses.replace(experiment, restart=True)) == run
    assert checkpoints.saved_steps(run.with_name(f"{run.name}-old-1") / "checkpoints") == [3]
    assert Experiment.load(run) == dataclasses.replace(experiment, score_size=16).resolved()


def test_nothing_is_left_where_it_fails(experiment, tmp_path, monkeypatch):
    prefix, results = tmp_path / "model.ckpt-3", tmp_path / "results"
    with pytest.raises(CheckpointError, match=r"no TensorFlow checkpoint .*model\.ckpt-3"):
        import_run(prefix, experiment)
    with pytest.raises(DesignError, match="nowhere"):
        import_run(prefix, dataclasses.replace(experiment, architecture="nowhere.py:NONE"))
    original(experiment, prefix)
    with pytest.raises(CheckpointError, match="RMSProp_0"):
        import_run(prefix, dataclasses.replace(experiment, optimizer="rmsprop"))
    assert not results.exists()

    def full(self, step, permanent=False):
        self.folder.mkdir()
        raise CheckpointError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "save", full)
        with pytest.raises(CheckpointError, match="disk full"):
            import_run(prefix, experiment)
    assert import_run(prefix, experiment).is_dir()
