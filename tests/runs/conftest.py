"""Fixtures of the tests of runs."""

from __future__ import annotations

import pytest

from mmdgan.runs import train
from tests.helpers.shared import SharedGans


@pytest.fixture(scope="package")
def gans() -> SharedGans:
    return SharedGans(train.make_gan)


@pytest.fixture(autouse=True)
def shared_gans(gans, monkeypatch) -> None:
    monkeypatch.setattr(train, "make_gan", gans)
