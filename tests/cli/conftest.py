"""Fixtures of the verbs that make images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmdgan.runs.folder import RunFolder


@pytest.fixture(scope="session")
def generator(tiny_run):
    return RunFolder(tiny_run[1]).load_generator()[0]


@pytest.fixture(scope="session")
def conditional(conditional_run):
    return RunFolder(conditional_run[1]).load_generator()[0]


@pytest.fixture
def run(tiny_run, tmp_path) -> Path:
    """A copy of the run, to be written to."""
    return Path(shutil.copytree(tiny_run[1], tmp_path / "run"))
