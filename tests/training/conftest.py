"""Fixtures of the tests of training."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.replicas import images


@pytest.fixture
def real() -> np.ndarray:
    """Six images for a step."""
    return images(6)


@pytest.fixture(scope="module", autouse=True)
def shared_gans_are_freed(request):
    """The networks that the tests of a file share do not stay in memory for the next one's."""
    yield
    if hasattr(request.module, "shared_gan"):
        request.module.shared_gan.clear()
