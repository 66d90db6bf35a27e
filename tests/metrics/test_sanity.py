"""Do the scores say what people take them to say? Known damages to images of known classes, and their order."""

import functools

import numpy as np
import pytest

from mmdgan import metrics
from mmdgan.metrics.evaluate import EvaluateOptions
from mmdgan.metrics.intervals import of_share
from mmdgan.metrics.sets import ArraySet, DataSet

CLASSES = 8
COUNT = 1500
FAST = EvaluateOptions(block_size=250, swd_count=512)
"""Smaller blocks and fewer patches than usual, which are enough for these differences."""


class Patches:
    """Features: mean colour and roughness of an image's quarters. Logits: the brightest quarter and channel."""

    label = "classifier"
    feature_count = 20
    class_names = tuple("abcdefgh")

    def protocol(self):
        return {"features": self.label, "feature_source": "quarters", "feature_hash": "1", "resize": "none"}

    def extract(self, images, progress=None):
        quarters = images.astype(np.float32).reshape(len(images), 2, 8, 2, 8, 3).transpose(0, 1, 3, 2, 4, 5) / 255
        means = quarters.mean(axis=(3, 4))
        rough = [np.abs(np.diff(quarters, axis=axis)).mean(axis=(3, 4, 5)) for axis in (3, 4)]
        features = np.concatenate([part.reshape(len(images), -1) for part in (means, *rough)], axis=1)
        return features, 20 * means[..., :2].reshape(len(images), CLASSES)


def _images(count, seed, classes=CLASSES):
    """uint8 (count, 16, 16, 3) and labels: noise of a random brightness, and a quarter in a colour, by class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    images = random.normal(60, 8, (count, 16, 16, 3)) + random.normal(0, 8, (count, 1, 1, 3))
    for quarter in range(4):
        rows, columns = slice(quarter // 2 * 8, quarter // 2 * 8 + 8), slice(quarter % 2 * 8, quarter % 2 * 8 + 8)
        for channel in range(2):
            chosen = labels == 2 * quarter + channel
            images[chosen, rows, columns, channel] += 100 + random.normal(0, 15, (chosen.sum(), 1, 1))
    return np.clip(np.rint(images), 0, 255).astype(np.uint8), labels


def _noisy(images, level, seed=9):
    noise = np.random.default_rng(seed).normal(0, level, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def _blurred(images, radius):
    """Means over squares of 2 radius + 1 pixels, edges repeated."""
    blurred = images.astype(np.float64)
    for axis in (1, 2):
        margins = [(radius, radius) if i == axis else (0, 0) for i in range(4)]
        padded = np.pad(blurred, margins, mode="edge")
        moved = [padded.take(range(i, i + images.shape[axis]), axis) for i in range(2 * radius + 1)]
        blurred = np.mean(moved, axis=0)
    return np.rint(blurred).astype(np.uint8)


@functools.cache
def _real():
    return ArraySet(*_images(COUNT, 0))


def _scores(images, names, real=None, options=FAST):
    """Records by their names; of several arrays, "values" has a value of each."""
    sets = [ArraySet(part) for part in images] if isinstance(images, list) else ArraySet(images)
    records = metrics.evaluate_sets(sets, real or _real(), Patches(), names, options=options)
    return {record["metric"].replace("[classifier]", ""): record for record in records}


def _values(series, names, *scores):
    records = _scores(series, names)
    return [records[score]["values"] for score in scores]


def _rising(values, factor=1.0):
    return all(after > factor * before for before, after in zip(values, values[1:], strict=False))


def _damaged(damage, levels):
    clean, _ = _images(COUNT, 1)
    return [damage(clean, level) for level in levels]


@pytest.mark.parametrize(("damage", "levels"), [(_noisy, (0, 8, 20, 50)), (_blurred, (0, 1, 2, 4))])
def test_distances_grow_with_noise_and_blur(damage, levels):
    names = ("fid", "kid", "prdc", "swd")
    fd, kd, precision, density, swd = _values(
        _damaged(damage, levels), names, "FD", "KD", "precision", "density", "SWD mean"
    )
    # A kernel distance saturates where everything is blurred away.
    assert _rising(fd, 1.2) and _rising(kd, 1.05) and _rising(swd, 1.02), (fd, kd, swd)
    assert fd[1] > 3 * fd[0] and abs(kd[0]) < kd[1] / 5
    assert precision[0] > 0.9 and precision[-1] < 0.2 and precision == sorted(precision, reverse=True), precision
    assert density[0] == pytest.approx(1, abs=0.1) and density[-1] < 0.05, density


def test_scores_fall_when_classes_are_dropped():
    series = [_images(COUNT, 1, classes)[0] for classes in (8, 6, 4, 2)]
    names = ("fid", "kid", "is", "prdc")
    fd, kd, cs, recall, coverage, precision, rarest = _values(
        series, names, "FD", "KD", "CS", "recall", "coverage", "precision", "classes"
    )
    assert _rising(fd, 1.5) and _rising(kd, 1.5) and _rising(cs[::-1], 1.2), (fd, kd, cs)
    assert cs == pytest.approx([8, 6, 4, 2], rel=0.1)
    assert _rising(recall[::-1], 1.2) and _rising(coverage[::-1], 1.2), (recall, coverage)
    assert recall == pytest.approx([recall[0] * share for share in (1, 3 / 4, 1 / 2, 1 / 4)], abs=0.05)
    assert min(precision) > 0.9 * precision[0]  # what is left is as good as before
    assert rarest[0] > 0.1 and rarest[1:] == [0, 0, 0]


def test_ms_ssim_rises_as_images_become_alike():
    options = EvaluateOptions(pairs=12, all_pairs_of=5)
    one = np.repeat(_images(1, 3)[0], 40, axis=0)
    found = [
        _scores(images, ("ms_ssim",), ArraySet(_images(40, 2)[0]), options=options)
        for images in (_images(40, 1)[0], _noisy(one, 10), one)
    ]
    for name in ("MS-SSIM", "MS-SSIM all pairs"):
        values = [records[name]["value"] for records in found]
        assert _rising(values) and values[-1] == pytest.approx(1, abs=1e-5), values
        assert values[0] == pytest.approx(
            found[0][name.replace("pairs", "pairs real") if "all" in name else "MS-SSIM real"]["value"], abs=0.15
        )


def test_two_halves_of_the_real_images_are_near():
    clean, _ = _images(COUNT, 1)
    records = _scores(_noisy(clean, 20), ("fid", "swd"))
    halves, distance = records["FD real-real"]["value"], records["FD"]["value"]
    assert 0 < halves < distance / 5
    assert 0 < records["SWD mean real-real"]["value"] < records["SWD mean"]["value"]


@pytest.mark.slow
def test_the_interval_of_the_kernel_distance_covers_zero_for_equal_sets():
    """Two standard errors over ten blocks cover the true value, 0, about 92 times in 100 (Student's t)."""
    covered, errors = 0, []
    for seed in range(25):
        real = ArraySet(_images(1000, 200 + seed)[0])
        record = _scores(_images(1000, 100 + seed)[0], ("kid",), real, EvaluateOptions())["KD"]
        assert record["blocks"] == 10
        covered += abs(record["value"]) <= 2 * record["spread"]
        errors.append(record["spread"])
    assert covered >= 20
    distance = _scores(_noisy(_images(1000, 1)[0], 20), ("kid",))["KD"]
    assert distance["value"] > 4 * max(errors)  # an interval that covers everything would say nothing


def test_copied_training_images_are_found():
    from mmdgan.data import open_data

    training = DataSet(open_data("sample"), 4000, seed=1)
    chosen = np.random.default_rng(0).permutation(training.count)
    kept = training.chosen(np.setdiff1d(np.arange(training.count), chosen[:300]))  # the others stand for generated ones
    fresh = training.take(chosen[:300])
    copies, near = chosen[300:315], chosen[315:330]
    images = fresh.copy()
    images[:15], images[15:30] = training.take(copies), _noisy(training.take(near), 2)
    extractor = _SampleFeatures()
    options = EvaluateOptions(nn_count=300)
    found = [
        {record["metric"]: record for record in records}
        for records in (
            metrics.evaluate_sets(ArraySet(part), kept, extractor, ("nn",), options=options) for part in (fresh, images)
        )
    ]
    for name in ("near copies[pixels]", "near copies[block]"):
        clean, copied = (records[name] for records in found)
        width = np.diff(of_share(clean["value"], 150)[:2])  # the threshold is of 300 others
        assert np.diff(clean["interval"]) == pytest.approx(width)
        assert clean["value"] < 0.04 and copied["value"] == pytest.approx(clean["value"] + 0.1, abs=0.02), name
        pairs = {(pair["generated"], pair["training"]) for pair in copied["closest"]}
        assert len(pairs) == 8 and pairs <= set(enumerate(training.indices[copies].tolist()))
        assert [pair["distance"] for pair in copied["closest"]] == [0] * 8
        assert clean["median_ratio"] == pytest.approx(1, abs=0.15)
    assert found[0]["near copies[pixels]"]["copies"] == 0
    assert found[1]["near copies[pixels]"]["copies"] == 15


class _SampleFeatures:
    """Features of 32x32 images: mean colours of squares of 4x4 pixels."""

    label = "block"
    feature_count = 192

    def protocol(self):
        return {"features": self.label, "feature_source": "means", "feature_hash": "2", "resize": "none"}

    def extract(self, images, progress=None):
        means = images.reshape(len(images), 8, 4, 8, 4, 3).mean(axis=(2, 4), dtype=np.float32)
        return means.reshape(len(images), -1), np.empty((len(images), 0), np.float32)


@pytest.mark.slow
def test_the_classifier_of_the_sample_ranks_noise_blur_and_dropped_classes(tmp_path):
    """The same with features that are really used, and images that are no drawing board."""
    from mmdgan.data import open_data

    data = open_data("sample")
    extractor = metrics.resolve("classifier", data, data_root=tmp_path, say=lambda sentence: None)
    whole = DataSet(data, seed=1)
    order = np.arange(data.count)
    real, held = whole.chosen(order[:5000]), whole.chosen(order[5000:10000])
    images = held.take(np.arange(5000))

    def scores(part):
        records = metrics.evaluate_sets(ArraySet(part), real, extractor, ("fid", "kid", "prdc"), cache=tmp_path)
        return {record["metric"].replace("[classifier]", ""): record["value"] for record in records}

    for damage, levels in ((_noisy, (0, 20, 40, 60)), (_blurred, (0, 1, 2, 4))):
        found = [scores(damage(images, level)) for level in levels]
        assert _rising([score["FD"] for score in found], 1.5), (damage, [score["FD"] for score in found])
        assert _rising([score["KD"] for score in found]), (damage, found)
        assert _rising([score["coverage"] for score in found][::-1]), (damage, [score["coverage"] for score in found])
    found = [scores(images[held.labels < classes]) for classes in (10, 7, 4, 1)]
    assert _rising([score["FD"] for score in found], 1.5) and _rising([score["recall"] for score in found][::-1]), found
    assert found[0]["FD"] < 2 * found[0]["FD real-real"]
