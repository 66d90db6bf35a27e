"""mmdgan.sampling: codes that depend on seed and index alone, images that depend on their code alone."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from mmdgan import build_generator, load_architecture
from mmdgan.sampling import (
    cycled_labels,
    generate,
    grid_codes,
    random_codes,
    score_codes,
    score_labels,
    to_uint8,
)


def test_codes_are_standard_normal_and_reproducible():
    codes = random_codes(20_000, 4, seed=3)
    assert codes.dtype == np.float32 and codes.shape == (20_000, 4)
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(codes.T), np.eye(4), atol=0.05)
    np.testing.assert_array_equal(codes, random_codes(20_000, 4, seed=3))
    assert not np.array_equal(codes, random_codes(20_000, 4, seed=4))


def test_more_codes_begin_with_the_same_ones():
    np.testing.assert_array_equal(random_codes(50, 128, 1)[:7], random_codes(7, 128, 1))


def test_grid_scores_and_samples_use_different_codes():
    streams = [make(5, 8, 0) for make in (grid_codes, score_codes, random_codes)]
    for first in range(3):
        for second in range(first):
            assert np.abs(streams[first] - streams[second]).max() > 0.1


def test_labels_of_a_grid_cycle_by_column():
    labels = cycled_labels(15, 3, columns=5)
    assert labels.dtype == np.int32 and labels.shape == (15, 1)
    np.testing.assert_array_equal(labels.reshape(3, 5), [[0, 1, 2, 0, 1]] * 3)
    np.testing.assert_array_equal(cycled_labels(7, 3)[:, 0], [0, 1, 2, 0, 1, 2, 0])


def test_labels_of_scores_are_uniform_and_begin_alike():
    labels = score_labels(6000, 4, seed=3)
    assert labels.dtype == np.int32 and labels.shape == (6000, 1)
    np.testing.assert_allclose(np.bincount(labels[:, 0]) / 6000, 1 / 4, atol=0.03)
    np.testing.assert_array_equal(score_labels(50, 4, seed=3), labels[:50])
    assert (score_labels(50, 4, seed=4) != labels[:50]).any()


@pytest.mark.parametrize("num_class", [0, 1])
def test_unconditional_generators_get_no_labels(num_class):
    assert cycled_labels(5, num_class) is None
    assert score_labels(5, num_class) is None


def test_pixels_are_rounded_clipped_and_inverted_exactly():
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(pixels.astype(np.float32) / 127.5 - 1), pixels)
    np.testing.assert_array_equal(to_uint8(np.array([-3.0, 0.0, 1.001, 5.0])), [0, 128, 255, 255])


@pytest.fixture(scope="module")
def generator(tiny_architecture):
    return build_generator(load_architecture(tiny_architecture))


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_images_do_not_depend_on_the_batch(generator, batch_size):
    codes = random_codes(7, 8)
    direct = generator(codes, training=False).numpy()
    images = generate(generator, codes, batch_size=batch_size)
    assert images.shape == (7, 32, 32, 3) and images.dtype == np.uint8
    expected = np.clip(direct, -1, 1) * 127.5 + 127.5
    assert np.abs(images - expected).max() <= 0.5 + 1e-3


def test_channels_first_models_give_the_same_pictures(generator):
    codes = random_codes(4, 8)

    class Transposed:
        """What a channels_first generator returns, on a CPU that cannot run one."""

        data_format = "channels_first"

        def __call__(self, inputs, training):
            import tensorflow as tf

            return tf.transpose(generator(inputs, training=training), (0, 3, 1, 2))

    np.testing.assert_array_equal(generate(Transposed(), codes), generate(generator, codes))


def test_a_conditional_generator_gets_its_labels(tiny_architecture):
    architecture = load_architecture(tiny_architecture.replace(":TINY", ":CONDITIONAL"))
    conditional = build_generator(architecture, num_class=3)
    for variable in conditional.trainable_variables:
        if variable.path.endswith("scale"):  # ones: classes would not differ
            variable.assign([[[[1.0] * 6]], [[[2.0] * 6]], [[[3.0] * 6]]])
    codes, labels = random_codes(5, 8), np.array([[0], [1], [2], [0], [1]])
    direct = conditional({"x": codes, "y": labels}, training=False).numpy()
    np.testing.assert_array_equal(generate(conditional, codes, labels, batch_size=2), to_uint8(direct))
    assert (generate(conditional, codes, labels * 0) != to_uint8(direct)).any()


def test_many_rounds_of_samples_bring_no_warning(generator, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("tensorflow"), "propagate", True)
    for _ in range(8):
        generate(generator, random_codes(2, 8), batch_size=2)
    assert "retracing" not in caplog.text


def test_progress_counts_to_the_end(generator):
    seen = []
    generate(generator, random_codes(7, 8), batch_size=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 7), (6, 7), (7, 7)]
