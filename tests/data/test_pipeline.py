"""The stream of batches: every image once an epoch, random access, from memory and disk, the same under every NumPy."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from mmdgan.core.errors import ConfigError, DataError
from mmdgan.core.shuffling import permutation
from mmdgan.data import ImageData, Pipeline
from mmdgan.data.dataset import StoredImages
from mmdgan.data.pipeline import ReadAhead, channels_last
from mmdgan.data.records.reader import RecordFile
from tests.helpers import handmade


@pytest.fixture
def data():
    """50 images; the first pixel of image i is i, and its label i % 10."""
    pictures = handmade.images(50, shape=(3, 4, 5))
    pictures[:, 0, 0, 0] = np.arange(50)
    return ImageData("numbered", pictures, np.arange(50) % 10, tuple("abcdefghij"), 10)


@pytest.fixture
def disk(data, tmp_path):
    """The same on disk, in three files, with chunks of 4 images and windows of 16."""
    files = []
    for k, (start, stop) in enumerate(((0, 7), (7, 30), (30, 50))):
        path = handmade.record_file(tmp_path / f"{k}.tfrecords", data.images[start:stop], data.labels[start:stop])
        files.append(RecordFile(path, 60))
    sizes = {"chunk_bytes": 4 * 60, "window_bytes": 16 * 60}
    return StoredImages("numbered", data.shape, files, class_names=data.class_names, num_class=10, **sizes)


@pytest.fixture(params=["memory", "stream"])
def either(request, data, disk):
    return data if request.param == "memory" else disk


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
    with pytest.raises(DataError, match="51 images of numbered are wanted, but it holds 50"):
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


def test_the_order_in_memory_is_that_of_former_versions(data):
    """Published numbers and resumed runs depend on it."""
    stream = np.concatenate([permutation(50, 3, epoch) for epoch in range(4)])
    pipeline = Pipeline(data, 12, seed=3)
    for step in range(16):
        assert np.array_equal(pipeline.indices(step), stream[12 * step : 12 * step + 12])
    assert stream[:12].tolist() == [43, 6, 13, 31, 26, 1, 34, 18, 29, 42, 47, 44]


def test_a_stored_set_has_every_image_once_an_epoch_and_random_access(disk):
    pipeline = Pipeline(disk, 8, seed=3, labels=True)
    batches = [pipeline.batch(step) for step in range(50)]
    stream = sum((numbers(batch) for batch in batches), [])
    epochs = [stream[start : start + 50] for start in range(0, 400, 50)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs)
    assert all(np.array_equal(np.array(numbers(batch)) % 10, batch["y"][:, 0]) for batch in batches)
    other = Pipeline(disk, 8, seed=3, labels=True)
    assert [numbers(other.batch(step)) for step in (49, 3, 20)] == [numbers(batches[step]) for step in (49, 3, 20)]


STREAMS = [
    {},
    {"flip": True, "labels": True, "data_format": "channels_first"},
    {"same_class": True, "labels": True},
    {"only_class": 3, "skip": 11},
    {"skip": 5, "worker": (1, 4), "flip": True},
    {"epochs": 2, "labels": True},
    {"epochs": 3, "worker": (2, 4), "flip": True},
    {"same_class": True, "worker": (3, 4), "labels": True},
]


@pytest.mark.parametrize("options", STREAMS, ids=lambda options: "-".join(options) or "plain")
@pytest.mark.parametrize("first", [0, 5])
def test_the_tensorflow_data_set_is_the_same_stream_with_every_option(either, options, first):
    pipeline = Pipeline(either, 8, seed=1, **options)
    last = 23 if pipeline.steps is None else pipeline.steps
    elements = iter(pipeline.dataset(first))
    for step in range(first, last):
        element, batch = next(elements), pipeline.batch(step)
        assert element.keys() == batch.keys() == ({"x", "y"} if "labels" in options else {"x"})
        assert all(np.array_equal(element[name], batch[name]) for name in batch), step
    if pipeline.steps is not None:
        assert next(elements, None) is None and last < 20


def test_a_batch_larger_than_windows_and_epochs(disk):
    pipeline = Pipeline(disk, 120)
    element = next(iter(pipeline.dataset(1)))
    assert numbers(pipeline.batch(1)) == element["x"][:, 0, 0, 0].numpy().tolist()
    assert np.bincount(numbers(pipeline.batch(1)), minlength=50).tolist().count(2) >= 20


def test_flips_mirror_half_of_the_images_each_by_its_own_coin(either):
    plain, flipped = (Pipeline(either, 8, seed=2, flip=flip) for flip in (False, True))
    mirrored = []
    for step in range(40):
        for before, after in zip(plain.batch(step)["x"], flipped.batch(step)["x"], strict=True):
            same, turned = np.array_equal(after, before), np.array_equal(after, before[:, ::-1])
            assert same != turned
            mirrored.append(turned)
    assert abs(np.mean(mirrored) - 0.5) < 0.11  # four standard deviations
    other = Pipeline(either, 10, seed=2, flip=True)
    merged = np.concatenate([flipped.batch(step)["x"] for step in range(5)])
    assert np.array_equal(merged, np.concatenate([other.batch(step)["x"] for step in range(4)]))
    assert either.take(np.arange(50))[0][:, 0, 0, 0].tolist() == list(range(50)), "the data themselves were flipped"


def test_batches_of_one_class(either):
    pipeline = Pipeline(either, 4, same_class=True, labels=True)
    epoch = [pipeline.batch(step) for step in range(20)]  # ten classes of five images: two batches each
    assert all(len(set(batch["y"][:, 0].tolist())) == 1 for batch in epoch)
    seen = sum((numbers(batch) for batch in epoch), [])
    assert sorted(set(seen)) == list(range(50)) and np.bincount(seen).max() == 2


def test_one_class_only(either):
    pipeline = Pipeline(either, 5, only_class=7, labels=True)
    for step in range(4):
        batch = pipeline.batch(step)
        assert sorted(numbers(batch)) == [7, 17, 27, 37, 47] and set(batch["y"][:, 0].tolist()) == {7}
    assert sorted(pipeline.real_images(5)[:, 0, 0, 0].tolist()) == [7, 17, 27, 37, 47]


def test_skipped_images_never_come(either):
    seen = numbers(Pipeline(either, 88, skip=6).batch(0))
    assert np.bincount(seen, minlength=50).tolist() == [0] * 6 + [2] * 44


def test_passes_end_with_a_smaller_batch(either):
    pipeline = Pipeline(either, 8, epochs=3)
    assert pipeline.steps == 19
    batches = [numbers(pipeline.batch(step)) for step in range(19)]
    assert [len(batch) for batch in batches] == [8] * 18 + [6]
    assert np.bincount(sum(batches, [])).tolist() == [3] * 50
    shapes = [element["x"].shape for element in pipeline.dataset(17)]
    assert shapes == [(8, 4, 5, 3), (6, 4, 5, 3)]
    assert list(pipeline.dataset(19)) == []
    for step in (-1, 19):
        with pytest.raises(ConfigError, match=f"no batch {step}: the stream has 19"):
            pipeline.batch(step)


@pytest.mark.parametrize("options", [{}, {"epochs": 2}, {"same_class": True}])
def test_workers_share_each_batch_and_read_no_others(either, options, monkeypatch):
    whole = Pipeline(either, 12, seed=5, **options)
    workers = [Pipeline(either, 12, seed=5, worker=(i, 3), **options) for i in range(3)]
    for step in range(8):
        parts = [numbers(worker.batch(step)) for worker in workers]
        assert sum(parts, []) == numbers(whole.batch(step))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    if either.mode == "stream" and not options:
        read, original = [], StoredImages.read
        monkeypatch.setattr(
            StoredImages,
            "read",
            lambda self, numbers, *rest: read.extend(numbers.tolist()) or original(self, numbers, *rest),
        )
        elements = iter(workers[1].dataset())
        for _ in range(4):
            next(elements)
        del elements
        gc.collect()
        wanted = {number for step in range(12) for number in workers[1].indices(step).tolist()}
        assert set(read) <= wanted | set(workers[1].indices(12).tolist())
        assert len(read) <= 13 * 4  # nothing twice; how far it reads ahead depends on the machine's pace


def test_a_stored_set_is_read_a_window_ahead_and_no_further(disk, monkeypatch):
    read, original = [], StoredImages.read

    def spy(self, numbers, *rest):
        read.append(numbers.tolist())
        return original(self, numbers, *rest)

    monkeypatch.setattr(StoredImages, "read", spy)
    monkeypatch.setattr("mmdgan.data.pipeline.PREFETCH", 1)
    pipeline = Pipeline(disk, 2, seed=4)
    elements = iter(pipeline.dataset(25 + 10))  # position 70: 20 of the second epoch, 4 into its window
    next(elements)
    time.sleep(0.3)
    order = pipeline.order.epoch(1)
    assert read == [sorted(order[20:32].tolist()), sorted(order[32:48].tolist())]
    for _ in range(6):
        next(elements)
    time.sleep(0.3)
    assert read[2:] == [sorted(order[48:].tolist())]


def test_reading_ends_with_the_iteration(disk):
    def readers():
        return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]

    for _ in range(2):
        elements = iter(Pipeline(disk, 8).dataset())
        next(elements)
        assert readers()
        del elements
        for _ in range(50):
            gc.collect()
            if not readers():
                break
            time.sleep(0.05)
        assert not readers()


@pytest.mark.parametrize("derived", [False, True])
def test_nothing_keeps_the_images_once_the_iteration_is_dropped(data, derived):
    """TensorFlow keeps the generator functions that it is given for good."""
    pipeline = Pipeline(data, 8)
    stream = pipeline.dataset().map(lambda batch: batch["x"]) if derived else pipeline.dataset()
    elements, left = iter(stream), weakref.ref(pipeline)
    del stream, pipeline
    gc.collect()
    assert [len(next(elements)) for _ in range(20)] == [8 if derived else 1] * 20  # as long as it is read, it goes on
    del elements
    for _ in range(50):
        gc.collect()
        if left() is None:
            break
        time.sleep(0.05)
    assert left() is None


def test_reading_ends_within_a_window(disk, monkeypatch):
    """Four images are a block here; the reader is held in its second one."""
    read, reached, closed, original = [], threading.Event(), threading.Event(), StoredImages.read

    def slow(self, numbers, *rest):
        read.append(len(numbers))
        if len(read) == 2:
            reached.set()
            closed.wait(10)
        return original(self, numbers, *rest)

    monkeypatch.setattr(StoredImages, "read", slow)
    monkeypatch.setattr("mmdgan.data.pipeline._READ_BYTES", 4 * 60)
    with ReadAhead(disk, Pipeline(disk, 8).order, 0):
        assert reached.wait(10)
        threading.Timer(0.2, closed.set).start()
    assert closed.is_set() and read == [4, 4]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_a_damaged_record_is_named_when_its_window_comes(disk, tmp_path, capfd):
    path = tmp_path / "1.tfrecords"
    content = bytearray(path.read_bytes())
    content[4 * (len(content) // 23) + 60] ^= 1  # image 11
    path.write_bytes(content)
    pipeline, steps = Pipeline(disk, 2, seed=4), 0
    with pytest.raises(DataError, match="Record 4 of .*1.tfrecords is corrupt") as caught:
        for _ in pipeline.dataset():
            steps += 1
    position = pipeline.order.epoch(0).tolist().index(11)
    assert steps == position // 16 * 16 // 2, "batches of the windows before are whole"
    assert not isinstance(caught.value.__context__, Exception) and "Traceback" not in capfd.readouterr().err
    stream = pipeline.dataset()
    watched = iter(stream)
    next(watched)
    with pytest.raises(Exception, match="Record 4 of .*1.tfrecords is corrupt"):
        list(stream.take(100))  # a data set over ours must not end as if all were well, even while ours is read
    with pytest.raises(DataError, match="Record 4 of"):
        list(watched)
    with pytest.raises(DataError, match="Record 4 of"):
        pipeline.real_images(50)


def test_stored_real_images_are_those_of_memory(data, disk):
    for count, seed in ((50, 1), (7, 2)):
        expected = Pipeline(data, 8).real_images(count, seed)
        assert np.array_equal(Pipeline(disk, 3, seed=9, flip=True).real_images(count, seed), expected)


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"skip": -1}, ConfigError, "skip is -1; give 0 or more"),
        ({"skip": 50}, DataError, "skip is 50, but the data set numbered holds 50 images"),
        ({"epochs": 0}, ConfigError, "epochs is 0; give at least 1"),
        ({"only_class": 10}, ConfigError, "only_class is 10; numbered has the classes 0 to 9"),
        ({"only_class": 3, "skip": 44}, DataError, "holds no images of class 3"),
        ({"worker": (3, 3)}, ConfigError, r"worker is \(3, 3\)"),
        ({"worker": (0, 3)}, ConfigError, "batch_size is 8, which 3 workers cannot share"),
    ],
)
def test_options_out_of_range_are_named(either, options, error, sentence):
    with pytest.raises(error, match=sentence):
        Pipeline(either, 8, **options)


@pytest.mark.parametrize("options", [{"labels": True}, {"same_class": True}, {"only_class": 1}])
def test_what_needs_labels_says_so(data, options):
    with pytest.raises(DataError, match="bare has no labels"):
        Pipeline(ImageData("bare", data.images), 8, **options)


def test_image_data_checks_itself(data):
    with pytest.raises(DataError, match=r"float32 \(50, 3, 4, 5\); give uint8"):
        ImageData("x", data.images.astype(np.float32))
    with pytest.raises(DataError, match="where 50 images need integers"):
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


def test_channels_last_is_the_transpose():
    pictures = handmade.images(3, shape=(2, 5, 7))
    result = channels_last(pictures)
    assert np.array_equal(result, np.moveaxis(pictures, 1, -1)) and result.flags.c_contiguous


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("size", [(4, 5), (9, 7), (2, 3), (1, 1), (8, 1)])
def test_resizing_while_reading_is_the_original_s(data, size, data_format):
    import tensorflow as tf

    pipeline = Pipeline(data, 8, seed=3, data_format=data_format, flip=True, resize=size)
    plain = Pipeline(data, 8, seed=3, flip=True).batch(2)["x"]
    expected = tf.compat.v1.image.resize_bilinear(plain / 127.5 - 1, size, align_corners=True).numpy()
    expected = expected.transpose(0, 3, 1, 2) if data_format == "channels_first" else expected
    found = pipeline.batch(2)["x"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    element = next(iter(pipeline.dataset(2)))["x"]
    assert element.shape == expected.shape and np.array_equal(element, found)


def test_a_size_to_read_in_must_be_one(data):
    with pytest.raises(ConfigError, match=r"resize is \(0, 4\); give \(height, width\)"):
        Pipeline(data, 8, resize=(0, 4))
