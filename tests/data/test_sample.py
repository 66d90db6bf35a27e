"""The embedded set: its form, its determinism, and that its digits can be told apart."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmdgan.data.sample import DIM, VARIANTS, digits_and_photographs, enlarge, make_sample
from tests.conftest import script_environment


@pytest.fixture(scope="module")
def sample():
    return make_sample()


def test_form(sample):
    assert sample.shape == (3, 32, 32) and sample.count == 1797 * VARIANTS
    assert sample.images.dtype == np.uint8 and sample.labels.dtype == np.int64
    assert sample.folder is None and sample.num_class == 10 and len(sample.class_names) == 10
    share = np.bincount(sample.labels, minlength=10) / sample.count
    assert 0.09 < share.min() and share.max() < 0.11


def test_digits_and_photographs_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits, load_sample_images

    pictures, labels, photographs = digits_and_photographs()
    assert np.array_equal(pictures, load_digits().images) and np.array_equal(labels, load_digits().target)
    assert [photograph.dtype for photograph in photographs] == [np.uint8] * 2
    assert all(map(np.array_equal, photographs, load_sample_images().images))


def test_the_set_is_made_without_importing_scikit_learn():
    code = "import sys; from mmdgan.data.sample import make_sample; make_sample(); print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=script_environment(), capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_two_calls_give_the_same_pictures(sample):
    again = make_sample()
    assert np.array_equal(again.images, sample.images)
    assert again.fingerprint() == sample.fingerprint()


def test_a_group_is_one_digit_seen_several_times(sample):
    assert np.array_equal(np.bincount(sample.groups), np.full(1797, VARIANTS))
    for group in (0, 900, 1796):
        mine = sample.groups == group
        assert len(np.unique(sample.labels[mine])) == 1
        assert len(np.unique(sample.images[mine], axis=0)) == VARIANTS


def test_light_digits_on_dim_photographs(sample):
    brightest = sample.images.max(axis=(1, 2, 3))
    assert brightest.min() == 255
    assert (sample.images.max(axis=1) <= round(DIM * 255)).mean() > 0.5
    border = np.concatenate([sample.images[:, :, 0], sample.images[:, :, :, -1]], axis=-1)
    assert (border.max(axis=(1, 2)) <= round(DIM * 255)).mean() > 0.6  # most digits stay clear of the border


def test_a_simple_classifier_reads_digits_it_never_saw(sample):
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline

    ink = sample.images.max(axis=1).astype(np.float32)
    ink = np.maximum(ink - DIM * 255, 0).reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4)).reshape(sample.count, -1)
    test = sample.groups % 5 == 0
    model = make_pipeline(PCA(40, svd_solver="randomized", random_state=0), KNeighborsClassifier(3))
    model.fit(ink[~test], sample.labels[~test])
    right = model.predict(ink[test]) == sample.labels[test]
    assert 0.8 < right.mean() <= 1.0
    for label in range(10):
        assert right[sample.labels[test] == label].mean() > 0.5


@pytest.mark.parametrize("size", [12, 24, 31])
def test_enlarging_is_bilinear(size):
    picture = np.random.default_rng(1).random((8, 8)).astype(np.float32)
    expected = np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(enlarge(picture[None], size)[0], expected, atol=1e-5)
