"""Features of a set: the same with and without the cache, once for all, and never of anything else."""

import json
import multiprocessing
import os
import pathlib
import time
import types

import numpy as np
import pytest

from mmdgan import metrics
from mmdgan.core import progress
from mmdgan.metrics.features import cache as feature_cache
from mmdgan.metrics.features.cache import cache_folder, compute_features, release
from mmdgan.metrics.sets import ArraySet

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 4, 4, 3), dtype=np.uint8)


class Pixels:
    """Features are the pixels of the first rows, logits those of the last one."""

    label = "pixels"
    feature_count = 36
    resize = "none"
    batch_size = 5

    def __init__(self, content="1", resize="none", logits=12):
        self.facts = {"features": self.label, "feature_hash": content, "resize": resize, "feature_source": "here"}
        self.logits, self.asked = logits, []

    def protocol(self):
        return self.facts

    def extract(self, images, progress=None):
        self.asked.append(len(images))
        rows = images.reshape(len(images), -1).astype(np.float32)
        return rows[:, :36], rows[:, 36 : 36 + self.logits]


def _check(found, images, logits=12):
    rows = images.reshape(len(images), -1)
    np.testing.assert_array_equal(found.features, rows[:, :36])
    np.testing.assert_array_equal(found.logits, rows[:, 36 : 36 + logits])
    assert found.features.dtype == found.logits.dtype == np.float32 and found.seconds >= 0


@pytest.mark.parametrize("logits", [12, 0])
def test_once_for_all(tmp_path, logits):
    network, cache = Pixels(logits=logits), tmp_path / "new" / "cache"
    without = compute_features(ArraySet(IMAGES), network, cache=None)
    assert network.asked == [5, 5, 5, 5, 3] and not without.cached
    _check(without, IMAGES, logits)
    first = compute_features(ArraySet(IMAGES), network, cache=cache)
    assert len(network.asked) == 10 and not first.cached
    second = compute_features(ArraySet(IMAGES.copy()), network, cache=cache)
    assert len(network.asked) == 10 and second.cached
    for found in (first, second):
        _check(found, IMAGES, logits)
        assert isinstance(found.features, np.memmap) and not found.features.flags.writeable
    assert [path.name for path in cache.iterdir()] == [next(cache.iterdir()).name]
    np.testing.assert_array_equal(np.load(next(cache.iterdir()) / "features.npy"), first.features)


def test_anything_else_is_computed_anew(tmp_path):
    others = [
        (IMAGES, Pixels("2")),
        (IMAGES, Pixels(resize="clean")),
        (IMAGES[:-1], Pixels()),
        (IMAGES[::-1], Pixels()),
        (IMAGES.reshape(23, 2, 8, 3), Pixels()),
    ]
    compute_features(ArraySet(IMAGES), Pixels(), cache=tmp_path)
    for images, network in others:
        found = compute_features(ArraySet(images), network, cache=tmp_path)
        assert network.asked and not found.cached
        _check(found, images)
    assert len(list(tmp_path.iterdir())) == 6


def test_a_new_recipe_is_another_entry(tmp_path, monkeypatch):
    compute_features(ArraySet(IMAGES), Pixels(), cache=tmp_path)
    monkeypatch.setattr(feature_cache, "RECIPE", 0)
    assert not compute_features(ArraySet(IMAGES), Pixels(), cache=tmp_path).cached


def _flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "a bit of the features": lambda entry: _flip(entry / "features.npy", -5),
    "a bit of the logits": lambda entry: _flip(entry / "logits.npy", 200),
    "the header": lambda entry: _flip(entry / "features.npy", 2),
    "half a file": lambda entry: os.truncate(entry / "features.npy", 500),
    "no file": lambda entry: (entry / "logits.npy").unlink(),
    "no facts": lambda entry: (entry / "facts.json").unlink(),
    "broken facts": lambda entry: (entry / "facts.json").write_text("[1"),
    "facts that are a list": lambda entry: (entry / "facts.json").write_text("[1]"),
    "facts of other images": lambda entry: _other_facts(entry / "facts.json"),
}


def _other_facts(path):
    path.write_text(json.dumps({**json.loads(path.read_text()), "images": "another"}))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_computed_anew(tmp_path, damage):
    compute_features(ArraySet(IMAGES), Pixels(), cache=tmp_path)
    DAMAGES[damage](next(tmp_path.iterdir()))
    network = Pixels()
    found = compute_features(ArraySet(IMAGES), network, cache=tmp_path)
    assert network.asked and not found.cached
    _check(found, IMAGES)
    assert compute_features(ArraySet(IMAGES), Pixels(), cache=tmp_path).cached
    assert len(list(tmp_path.iterdir())) == 1


def test_the_cache_keeps_what_was_used_last(tmp_path, monkeypatch):
    def compute(number):
        found = compute_features(ArraySet(IMAGES ^ number), Pixels(), cache=tmp_path)
        _check(found, IMAGES ^ number)
        return found

    def use(number, when):
        before = set(tmp_path.iterdir())
        compute(number)
        (entry,) = set(tmp_path.iterdir()) - before
        os.utime(entry / "facts.json", (when, when))
        return entry

    now = time.time()
    entries = [use(number, now - 100 + number) for number in range(3)]
    size = sum(file.stat().st_size for file in entries[0].iterdir())
    monkeypatch.setattr(feature_cache, "MAX_BYTES", int(3.5 * size))
    assert compute(0).cached  # so that 1 is the one of longest ago
    compute(3)
    assert not entries[1].exists() and entries[0].exists() and entries[2].exists()
    monkeypatch.setattr(feature_cache, "MAX_BYTES", size // 2)
    compute(4)  # used, though it is more than the cache may hold
    assert not list(tmp_path.iterdir())


def test_abandoned_drafts_are_removed_and_fresh_ones_left(tmp_path):
    for name, age in (("old", 2 * 24 * 3600), ("fresh", 60)):
        draft = tmp_path / f"{name}.tmp"
        draft.mkdir()
        os.utime(draft, (time.time() - age,) * 2)
    (tmp_path / "notes.txt").write_text("not an entry")
    compute_features(ArraySet(IMAGES), Pixels(), cache=tmp_path)
    assert (
        not (tmp_path / "old.tmp").exists() and (tmp_path / "fresh.tmp").exists() and (tmp_path / "notes.txt").exists()
    )


def test_an_interrupted_computation_leaves_nothing(tmp_path):
    class Interrupted(Pixels):
        def extract(self, images, progress=None):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().extract(images)

    with pytest.raises(KeyboardInterrupt):
        compute_features(ArraySet(IMAGES), Interrupted(), cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_costs_only_the_cache(tmp_path, monkeypatch):
    said = []
    (tmp_path / "file").write_text("")
    _check(compute_features(ArraySet(IMAGES), Pixels(), cache=tmp_path / "file", say=said.append), IMAGES)
    assert "features of images cannot be kept in" in said[-1] and "computed again next time" in said[-1]
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=100))
    _check(compute_features(ArraySet(IMAGES), Pixels(), cache=tmp_path / "full", say=said.append), IMAGES)
    assert "more than are free" in said[-1] and not list((tmp_path / "full").iterdir())


def test_an_error_of_the_images_is_no_error_of_the_cache(tmp_path):
    class Gone(ArraySet):
        def take(self, indices):
            raise FileNotFoundError("picture.png")

    with pytest.raises(FileNotFoundError, match="picture.png"):
        compute_features(Gone(IMAGES), Pixels(), cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_progress_says_what_is_left(monkeypatch):
    class Slow(Pixels):
        """Takes six seconds a batch."""

        def extract(self, images, progress=None):
            clock.append(clock[-1] + 6)
            return super().extract(images)

    clock, said = [0], []
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: clock[-1]))
    compute_features(ArraySet(IMAGES, name="mine"), Slow(), cache=None, say=said.append)
    assert said == [
        "Features of mine: 10 of 23 images, 16 s left",
        "Features of mine: 20 of 23 images, 4 s left",
    ]


def _compute_often(folder, barrier, queue):
    barrier.wait()
    for number in range(20):
        found = compute_features(ArraySet(IMAGES ^ number), Pixels(), cache=folder)
        rows = (IMAGES ^ number).reshape(23, -1)
        if not np.array_equal(found.features, rows[:, :36]):
            queue.put(number)
    queue.put(None)


def test_processes_share_a_cache(tmp_path, monkeypatch):
    """Three at once, with room for a few entries only, so that each removes what others use."""
    monkeypatch.setattr(feature_cache, "MAX_BYTES", 20_000)
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_compute_often, args=(tmp_path, barrier, queue)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=30) for _ in workers] == [None] * 3
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert not list(tmp_path.glob("*.tmp"))


def test_where_the_cache_is(tmp_path, monkeypatch):
    monkeypatch.delenv("MMDGAN_FEATURE_CACHE", raising=False)
    assert cache_folder(tmp_path) == tmp_path / "features"
    monkeypatch.setenv("MMDGAN_FEATURE_CACHE", str(tmp_path / "elsewhere"))
    assert cache_folder("Data") == tmp_path / "elsewhere"
    monkeypatch.setenv("MMDGAN_FEATURE_CACHE", "none")
    assert cache_folder("Data") is None


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
