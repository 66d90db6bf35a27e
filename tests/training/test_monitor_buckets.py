"""Histograms of values that are nearly the same."""

import numpy as np
import pytest

from mmdgan.training.tensorboard import _buckets


@pytest.mark.parametrize("start", [1.0, 1e-20, 3e4])
def test_neighbouring_numbers_have_a_histogram(start):
    first = np.float32(start)
    values = np.array([first, np.nextafter(first, np.float32(np.inf)), first], np.float32)
    found = _buckets(values)
    assert found[:, 2].sum() == 3 and found[0, 2] == 2 and found[-1, 2] == 1
    assert found[0, 0] == values.min() and found[-1, 1] == values.max()
