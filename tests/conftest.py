"""Fixtures shared by the tests of the command line: a tiny network, and one tiny run of it per session."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent

TINY = """
TINY = {
    "input": [(3, 32, 32)],
    "code": [(8, "linear")],
    "generator": [
        {"name": "l1", "op": "d", "out": 128, "out_reshape": [8, 4, 4]},
        {"name": "l2", "op": "tc", "out": 6, "kernel": 4, "strides": 4, "act": "relu", "act_nm": "bn"},
        {"name": "l3", "op": "tc", "out": 3, "kernel": 4, "strides": 2, "act": "tanh"},
    ],
    "discriminator": [
        {"name": "l1", "out": 4, "kernel": 4, "strides": 4, "act": "lrelu", "w_nm": "s", "act_k": 2.0},
        {"name": "l2", "out": 4, "act": "lrelu", "w_nm": "s", "act_k": 2.0, "out_reshape": [256]},
        {"name": "l3_s", "op": "d", "out": 16, "w_nm": "s", "act_k": 2.0},
    ],
}

CONDITIONAL = {
    **TINY,
    "generator": [
        TINY["generator"][0],
        {**TINY["generator"][1], "act_nm": "cbn"},
        TINY["generator"][2],
    ],
    "discriminator": [
        *TINY["discriminator"][:2],
        {"name": "l3_s", "type": "project", "op": "d", "out": 1, "w_nm": "s", "act_k": 2.0},
    ],
}
"""


@pytest.fixture(scope="session")
def tiny_architecture(tmp_path_factory) -> str:
    """The reference of a network that trains in milliseconds."""
    file = tmp_path_factory.mktemp("architectures") / "tiny.py"
    file.write_text(TINY, encoding="utf-8")
    return f"{file}:TINY"


@pytest.fixture(scope="session")
def tiny_run(tiny_architecture, tmp_path_factory):
    """A finished run of four steps in two rounds, without scores: (its experiment, its directory)."""
    from mmdgan.runs.experiment import Experiment

    experiment = Experiment(
        architecture=tiny_architecture,
        data="sample",
        loss="rep_b",
        batch_size=8,
        max_step=4,
        rounds=2,
        grid=(2, 3),
        metrics=(),
        results=str(tmp_path_factory.mktemp("results")),
        keep=1,
        keep_rounds=True,
    )
    return experiment, experiment.run()["folder"]


@pytest.fixture(scope="session")
def conditional_run(tiny_architecture, tmp_path_factory):
    """A finished class-conditional run of two steps, without scores: (its experiment, its directory)."""
    from mmdgan.runs.experiment import Experiment

    experiment = Experiment(
        architecture=tiny_architecture.replace(":TINY", ":CONDITIONAL"),
        data="sample",
        num_class=10,
        loss="rep_gp",
        batch_size=8,
        max_step=2,
        rounds=1,
        grid=(2, 12),
        metrics=(),
        lr_gen=0.05,
        results=str(tmp_path_factory.mktemp("results")),
    )
    return experiment, experiment.run()["folder"]


class BlockMeans:
    """Features that need no training: the mean colours of an image's quarters, and as many logits."""

    label = "classifier"
    feature_count = 12

    def protocol(self) -> dict:
        return {"features": self.label, "feature_source": "means", "feature_hash": "0", "resize": "none"}

    def extract(self, images, progress=None):
        quarters = images.reshape(len(images), 2, 16, 2, 16, 3).mean(axis=(2, 4)).reshape(len(images), 12)
        return quarters.astype("float32"), (quarters / 20).astype("float32")


@pytest.fixture
def block_means(monkeypatch) -> dict:
    """Replaces the search for features, of which none are kept; returns what it was asked for."""
    monkeypatch.setenv("MMDGAN_FEATURE_CACHE", "none")
    asked = {}

    def resolve(features, data, **options):
        asked.update(features=features, data=data.name, **options)
        return BlockMeans()

    monkeypatch.setattr("mmdgan.metrics.features.resolve.resolve", resolve)
    return asked


@pytest.fixture
def tensorflow_warnings():
    """What TensorFlow's logger says in the test: what a notebook would show in red."""
    said: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            said.append(record.getMessage())
        return True

    logger = logging.getLogger("tensorflow")
    logger.addFilter(keep)
    yield said
    logger.removeFilter(keep)


@pytest.fixture
def run_script(tmp_path):
    """Runs a script or module as a person would, in an empty folder: (words) -> CompletedProcess."""

    def run(*words: str, timeout: float = 120, **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=script_environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            **options,
        )

    return run


def script_environment() -> dict[str, str]:
    """The environment of a subprocess that finds this checkout's mmdgan, paper and study, installed or not."""
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "experiments"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def pytest_collection_finish(session) -> None:
    """Gives TensorFlow two logical CPUs, so that tests can run two replicas on any machine.

    Only where a test module has imported it: tests that need no TensorFlow start without it.
    """
    if "tensorflow" not in sys.modules:
        return
    import tensorflow as tf

    [cpu] = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    except RuntimeError as error:
        message = "A test module computes with TensorFlow while it is imported; let a test or fixture do that."
        raise pytest.UsageError(message) from error
