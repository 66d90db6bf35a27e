"""Are pages of mapped features given back, and only those?"""

import pathlib

import numpy as np
import pytest

from mmdgan import metrics
from mmdgan.metrics.memmap import release

STATUS = pathlib.Path("/proc/self/status")


def _mapped_megabytes():
    """Pages of files that are in this process's memory."""
    return int(STATUS.read_text().split("RssFile:")[1].split()[0]) / 1000


@pytest.fixture
def file(tmp_path):
    random = np.random.default_rng(0)
    path = tmp_path / "features.npy"
    np.save(path, random.normal(size=(30_000, 256)).astype(np.float32))  # 31 MB
    return path


@pytest.mark.skipif(not STATUS.is_file(), reason="Linux tells what is in memory")
@pytest.mark.parametrize(
    "score",
    [
        lambda x: metrics.Moments.of(x),
        lambda x: metrics.kernel_distance(x, x[::-1], block_size=256),
        lambda x: metrics.nearest_neighbours(np.asarray(x[:4]), [x]),
    ],
)
def test_a_pass_over_a_file_leaves_little_of_it_in_memory(file, score):
    score(np.random.default_rng(0).normal(size=(3000, 256)).astype(np.float32))  # loads libraries
    features = np.load(file, mmap_mode="r")
    before = _mapped_megabytes()
    features.sum()
    assert _mapped_megabytes() > before + 25  # what is to be avoided
    release(features)
    assert _mapped_megabytes() < before + 5
    score(features)
    assert _mapped_megabytes() < before + 8


def test_views_are_released_and_changes_are_kept(file):
    features = np.load(file, mmap_mode="r")
    expected = np.load(file)
    release(features[5:, ::2])
    release(np.asarray(features))
    np.testing.assert_array_equal(features, expected)
    changed = np.load(file, mmap_mode="c")
    changed[0] = 7
    release(changed)
    assert (changed[0] == 7).all()
    release(expected)
    release(np.arange(3))
