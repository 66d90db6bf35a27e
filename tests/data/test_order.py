"""The order of training: functions of seed and epoch, pinned, complete, local on disk, and of one class per batch."""

from __future__ import annotations

import numpy as np
import pytest

from mmdgan.core.shuffling import permutation, raw_words
from mmdgan.data import order


def test_in_memory_every_epoch_is_the_permutation_of_its_number():
    stream = order.shuffled(np.arange(10), seed=3).indices(0, 30)
    expected = [np.argsort(raw_words(10, 3, epoch), kind="stable") for epoch in range(3)]
    assert np.array_equal(stream, np.concatenate(expected))
    assert stream[:10].tolist() == [6, 1, 8, 5, 2, 7, 9, 4, 3, 0]


@pytest.mark.parametrize("pool", [np.arange(100), np.arange(50, 250, 2)])
@pytest.mark.parametrize("window", [20, 32, 33, 99])
def test_on_disk_every_image_comes_once_an_epoch(pool, window):
    made = order.windowed(pool, seed=1, chunk=8, window=window)
    for epoch in range(3):
        numbers = made.indices(100 * epoch, 100 * (epoch + 1))
        assert np.array_equal(np.sort(numbers), pool)
    assert not np.array_equal(made.epoch(0), made.epoch(1))
    assert not np.array_equal(made.epoch(0), order.windowed(pool, 2, 8, window).epoch(0))


def test_on_disk_a_window_holds_whole_chunks_and_mixes_their_images():
    made = order.windowed(np.arange(1000), seed=5, chunk=10, window=100)
    seen = []
    for start in range(0, 1000, 100):
        numbers = made.epoch(7)[start : start + 100]
        chunks = np.unique(numbers // 10)
        assert len(chunks) == 10
        assert np.abs(np.diff(numbers)).min() > 0 and np.mean(np.diff(numbers) == 1) < 0.1
        seen.append(chunks.tolist())
    assert sorted(sum(seen, [])) == list(range(100))
    assert seen != sorted(seen) and max(map(np.ptp, seen)) > 50  # chunks from all over the files


def test_the_order_on_disk_is_pinned():
    """Resumed runs depend on it: computed here from the raw words alone."""
    chunks = np.argsort(raw_words(3, 9, 2**61 + 4), kind="stable")
    neighbours = [number for chunk in chunks for number in range(4 * chunk, min(10, 4 * chunk + 4))]
    words = raw_words(10, 9, 4)
    expected = [neighbours[i] for i in sorted(range(6), key=lambda i: words[i])]
    expected += [neighbours[i] for i in sorted(range(6, 10), key=lambda i: words[i])]
    assert order.windowed(np.arange(10), seed=9, chunk=4, window=6).epoch(4).tolist() == expected


def test_a_set_of_one_window_has_the_same_order_on_disk_as_in_memory():
    small, memory = order.windowed(np.arange(100), 3, chunk=7, window=100), order.shuffled(np.arange(100), 3)
    assert np.array_equal(small.indices(37, 460), memory.indices(37, 460))
    assert not np.array_equal(order.windowed(np.arange(100), 3, chunk=7, window=99).epoch(0), memory.epoch(0))


@pytest.mark.parametrize(("position", "end"), [(0, 30), (29, 30), (30, 60), (95, 100), (100, 130), (190, 200)])
def test_windows_begin_anew_in_each_epoch(position, end):
    assert order.windowed(np.arange(100), 0, chunk=5, window=30).window_end(position) == end


@pytest.mark.parametrize("counts", [(5, 64, 17, 1), (8,), (3, 3)])
def test_batches_of_one_class(counts):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    made = order.same_class(np.arange(len(labels)), labels, seed=2, batch_size=8)
    assert made.length == sum(-(-count // 8) * 8 for count in counts)
    epochs = [made.epoch(epoch).reshape(-1, 8) for epoch in range(3)]
    for batches in epochs:
        assert np.array_equal(np.unique(batches), np.arange(len(labels)))
        classes = labels[batches]
        assert (classes == classes[:, :1]).all()
        for kind, count in enumerate(counts):
            _, times = np.unique(batches[classes[:, 0] == kind], return_counts=True)
            assert len(times) == count and times.max() - times.min() <= 1  # a class fills its last batch evenly
    if sum(counts) > 8:
        assert len({batches.tobytes() for batches in epochs}) == 3


def test_the_order_of_batches_of_one_class_is_pinned():
    """Resumed runs depend on it: computed here from the raw words alone."""
    labels, words = np.array([1, 0, 1, 1, 0]), raw_words(5, 9, 4)
    zeros, ones = (sorted(numbers, key=lambda i: words[i]) for numbers in ([1, 4], [0, 2, 3]))
    batches = [zeros, ones[:2], [ones[2], ones[0]]]
    expected = [batches[i] for i in np.argsort(raw_words(3, 9, 2**62 + 4), kind="stable")]
    assert order.same_class(np.arange(5), labels, seed=9, batch_size=2).epoch(4).reshape(-1, 2).tolist() == expected


def test_batches_of_all_classes_are_mixed():
    labels = np.repeat(np.arange(4), 400)
    classes = labels[order.same_class(np.arange(1600), labels, 1, 8).epoch(0).reshape(-1, 8)[:, 0]]
    assert np.bincount(classes[:100], minlength=4).min() > 10
    assert np.mean(np.diff(classes) == 0) < 0.4


def test_batches_of_one_class_take_the_pool_only():
    labels = np.arange(40) % 3
    pool = np.arange(10, 40)
    made = order.same_class(pool, labels, 0, 4)
    assert np.array_equal(np.unique(made.epoch(0)), pool)


def test_every_position_has_its_own_fair_coin():
    whole = order.coins(0, 20_000, seed=4)
    for start, stop in ((0, 1), (1, 9), (6, 6), (4093, 4109), (19_999, 20_000)):
        assert np.array_equal(order.coins(start, stop, seed=4), whole[start:stop])
    assert abs(whole.mean() - 0.5) < 0.015  # four standard deviations
    assert abs(np.mean(whole[1:] == whole[:-1]) - 0.5) < 0.015
    words = raw_words(20_000, 4, 2**63 + 1)
    assert np.array_equal(whole, words / 2**64 >= 0.5)
    assert abs(np.mean(whole == order.coins(0, 20_000, seed=5)) - 0.5) < 0.015


def test_positions_far_away_cost_nothing():
    made = order.windowed(np.arange(100), 0, chunk=5, window=30)
    far = 10**12 + 17
    assert np.array_equal(np.sort(made.indices(far - 17, far + 83)), np.arange(100))
    assert order.coins(far, far + 5, 0).shape == (5,)


def test_no_stream_of_random_words_is_used_twice():
    streams = [0, 2**61, 2**62, order.REAL_IMAGES, 2**63 + 1]
    firsts = {permutation(50, 1, stream).tobytes() for stream in streams}
    assert len(firsts) == len(streams)
