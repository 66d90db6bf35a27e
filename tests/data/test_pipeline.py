"""The stream of batches: every image once an epoch, random access, the same under every NumPy."""

from __future__ import annotations

import handmade
import numpy as np
import pytest

from mmdgan.data import ImageData, Pipeline
from mmdgan.data.pipeline import channels_last
from mmdgan.data.shuffling import permutation, raw_words, uniform
from mmdgan.errors import ConfigError, DataError


@pytest.fixture
def data():
    """50 images; the first pixel of image i is i, and its label i % 10."""
    pictures = handmade.images(50, shape=(3, 4, 5))
    pictures[:, 0, 0, 0] = np.arange(50)
    return ImageData("numbered", pictures, np.arange(50) % 10, tuple("abcdefghij"), 10)


def numbers(batch):
    return batch["x"][:, 0, 0, 0].tolist()


def test_every_image_once_an_epoch_also_when_batches_straddle_epochs(data):
    pipeline = Pipeline(data, 8, seed=3)
    stream = sum((numbers(pipeline.batch(step)) for step in range(50)), [])
    epochs = [stream[start : start + 50] for start in range(0, 400, 50)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_random_access_equals_the_stream(data):
    stream = [numbers(Pipeline(data, 8, seed=3).batch(step)) for step in range(30)]
    other = Pipeline(data, 8, seed=3)
    assert [numbers(other.batch(step)) for step in reversed(range(30))] == stream[::-1]
    assert numbers(Pipeline(data, 8, seed=4).batch(0)) != stream[0]


def test_a_batch_larger_than_the_data_set(data):
    batch = numbers(Pipeline(data, 120).batch(1))
    stream = sum((numbers(Pipeline(data, 10).batch(step)) for step in range(24)), [])
    assert batch == stream[120:240]


def test_layouts_and_labels(data):
    first = Pipeline(data, 8, data_format="channels_first", labels=True).batch(2)
    last = Pipeline(data, 8, labels=True).batch(2)
    assert first["x"].shape == (8, 3, 4, 5) and last["x"].shape == (8, 4, 5, 3)
    for i, number in enumerate(numbers(last)):
        assert np.array_equal(first["x"][i], data.images[number])
        for channel in range(3):
            assert np.array_equal(last["x"][i, :, :, channel], data.images[number, channel])
        assert last["y"][i, 0] == number % 10
    assert last["y"].dtype == np.int32 and last["y"].shape == (8, 1)
    assert "y" not in Pipeline(data, 8).batch(0)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_tensorflow_data_set_is_the_same_stream(data, data_format):
    pipeline = Pipeline(data, 8, seed=1, data_format=data_format, labels=True)
    elements = iter(pipeline.dataset(5))
    for step in range(5, 12):
        element, batch = next(elements), pipeline.batch(step)
        assert element["x"].shape == batch["x"].shape
        assert np.array_equal(element["x"], batch["x"]) and np.array_equal(element["y"], batch["y"])


def test_real_images_are_different_ones_in_an_order_of_their_own(data):
    pipeline = Pipeline(data, 8, seed=1, data_format="channels_first")
    chosen = pipeline.real_images(50, seed=1)
    assert chosen.shape == (50, 4, 5, 3) and chosen.dtype == np.uint8
    assert sorted(chosen[:, 0, 0, 0].tolist()) == list(range(50))
    assert chosen[:8, 0, 0, 0].tolist() != numbers(pipeline.batch(0))
    assert np.array_equal(pipeline.real_images(7, seed=1), chosen[:7])
    with pytest.raises(DataError, match="51 different images of numbered are wanted; it holds 50"):
        pipeline.real_images(51)


def test_mistakes_are_named(data):
    with pytest.raises(ConfigError, match="batch_size is 0"):
        Pipeline(data, 0)
    with pytest.raises(ConfigError, match="'NHWC'; give channels_last or channels_first"):
        Pipeline(data, 8, data_format="NHWC")
    with pytest.raises(DataError, match="bare has no labels"):
        Pipeline(ImageData("bare", data.images), 8, labels=True)
    with pytest.raises(DataError, match="bare holds no images"):
        Pipeline(ImageData("bare", data.images[:0]), 8)


def test_image_data_checks_itself(data):
    with pytest.raises(DataError, match=r"float32 \(50, 3, 4, 5\); give uint8"):
        ImageData("x", data.images.astype(np.float32))
    with pytest.raises(DataError, match="for 50 images"):
        ImageData("x", data.images, data.labels[:3], num_class=10)
    with pytest.raises(DataError, match="from 0 to 9; 9 classes need 0 to 8"):
        ImageData("x", data.images, data.labels, num_class=9)


def test_the_fingerprint_sees_images_and_labels(data):
    same = ImageData("other name", data.images.copy(), data.labels.copy(), num_class=10)
    assert same.fingerprint() == data.fingerprint()
    changed = data.images.copy()
    changed[49, 2, 3, 4] ^= 1
    assert ImageData("x", changed, data.labels, num_class=10).fingerprint() != data.fingerprint()
    assert ImageData("x", data.images, data.labels[::-1], num_class=10).fingerprint() != data.fingerprint()


def philox(count: int, key: tuple[int, int]) -> list[int]:
    """Philox4x64-10 of Salmon et al. 2011, in plain integers; NumPy's counter starts at 1."""
    mask = 2**64 - 1
    words = []
    for block in range(1, count // 4 + 2):
        counter, k0, k1 = [block, 0, 0, 0], *key
        for _ in range(10):
            high = [counter[0] * 0xD2E7470EE14C6C93, counter[2] * 0xCA5A826395121157]
            counter = [
                (high[1] >> 64) ^ counter[1] ^ k0,
                high[1] & mask,
                (high[0] >> 64) ^ counter[3] ^ k1,
                high[0] & mask,
            ]
            k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
        words += counter
    return words[:count]


def test_random_words_are_philox():
    for seed, stream in ((0, 0), (7, 3), (2**63, 2**63 + 5)):
        words = philox(21, (seed, stream))
        assert raw_words(21, seed, stream).tolist() == words
        assert permutation(21, seed, stream).tolist() == sorted(range(21), key=words.__getitem__)
        np.testing.assert_allclose(uniform(21, seed, stream), np.array(words) / 2**64, atol=2**-53)


def test_channels_last_is_the_transpose():
    pictures = handmade.images(3, shape=(2, 5, 7))
    result = channels_last(pictures)
    assert np.array_equal(result, np.moveaxis(pictures, 1, -1)) and result.flags.c_contiguous
