"""mmdgan.runs.run: a run opened from Python gives what its files and the command line give."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import mmdgan
from mmdgan.core.errors import CheckpointError, ConfigError
from mmdgan.runs.folder import RunFolder
from tests.helpers.command_line import status

KEYS = {"folder", "step", "grid", "scores", "best"}


def test_an_opened_run_reads_the_directory(tiny_run):
    experiment, path = tiny_run
    run = mmdgan.open_run(path)
    assert run.folder == path and run.step == 4 and run.scores == [] and repr(run) == f"Run({str(path)!r}, step=4)"
    assert run.config == json.loads((path / "config.json").read_text()) and run.config["experiment"]["loss"] == "rep_b"
    assert set(run) == KEYS and len(run) == 5 and run["grid"] == path / "samples" / "4.png" and run["scores"] == {}
    assert run["best"] is None and dict(run)["step"] == 4
    with pytest.raises(KeyError):
        run["loss"]
    loss = run.curves["loss/generator"]
    np.testing.assert_array_equal(run.curves["GANLoss/gen"].values, loss.values)  # the original's name of it
    assert loss.steps[-1] == 4 and np.isfinite(loss.values).all() and run.critic.name and run.generator is run.generator
    assert dataclasses.replace(experiment).run().step == 4  # nothing is left to do


def test_samples_are_those_of_the_command_line(tiny_run, tmp_path):
    run = mmdgan.open_run(tiny_run[1])
    images = run.sample(5, seed=3)
    assert images.dtype == np.uint8 and images.shape[0] == 5 and images.shape[-1] == 3
    assert status("sample", str(tiny_run[1]), "--count=7", "--seed=3", f"--out={tmp_path / 'a.npz'}") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["images"][:5], images)
    assert (run.sample(5, seed=3, step=2) != images).any() and (run.sample(5, seed=4) != images).any()
    assert (run.sample(5, seed=3, truncation=0.1) != images).any()
    assert status("sample", str(tiny_run[1]), "--count=5", "--truncation=0.5", f"--out={tmp_path / 'b.npz'}") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "b.npz")["images"], run.sample(5, truncation=0.5))
    for wrong, said in (({"n": 0}, "n is 0"), ({"class_": 1}, "unconditional")):
        with pytest.raises(ConfigError, match=said):
            run.sample(**wrong)
    with pytest.raises(CheckpointError, match="no checkpoint of step 3"):
        run.sample(1, step=3)


def test_a_conditional_run_samples_its_classes(conditional_run, tmp_path):
    run = mmdgan.open_run(conditional_run[1])
    assert status("sample", str(conditional_run[1]), "--count=12", f"--out={tmp_path / 'a.npz'}") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["images"], run.sample(12))
    assert (run.sample(2, class_=1)[1:] == run.sample(2)[1:]).all() and (run.sample(1, class_=1) != run.sample(1)).any()
    with pytest.raises(ConfigError, match="has the classes 0 to"):
        run.sample(2, class_=99)


def test_a_run_without_checkpoint_says_so(tiny_run, tmp_path):
    (tmp_path / "config.json").write_bytes((tiny_run[1] / "config.json").read_bytes())
    run = mmdgan.open_run(tmp_path)
    assert run.step == 0 and run.curves == {} and run["grid"] is None and RunFolder(tmp_path) == run.files
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        run.sample(1)
    with pytest.raises(ConfigError, match="did you mean"):
        mmdgan.open_run(tiny_run[1].parent)


def test_an_experiment_prints_what_is_not_a_default_and_documents_its_fields():
    experiment = mmdgan.Experiment(loss="rep_b", max_step=5)
    assert repr(experiment) == "Experiment(loss='rep_b', max_step=5)"
    for field in dataclasses.fields(experiment):
        assert f"    {field.name}: {field.metadata['help']}." in mmdgan.Experiment.__doc__
