"""Fixtures of the tests of runs."""

from __future__ import annotations

import pytest

from mmdgan.runs import train
from tests.helpers.shared_runs import SharedGans


@pytest.fixture(scope="session")
def gans() -> SharedGans:
    return SharedGans()


@pytest.fixture(autouse=True)
def shared_gans(gans, monkeypatch) -> None:
    monkeypatch.setattr(train, "make_gan", gans)
