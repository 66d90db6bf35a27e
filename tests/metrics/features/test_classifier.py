"""The classifier: trained once, kept, read again, and a good neighbour."""

import random
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.errors import MetricError
from mmdgan.data import ImageData
from mmdgan.metrics.features import classifier
from mmdgan.metrics.features.classifier import ClassifierFeatures
from mmdgan.metrics.features.extractor import resize_images


def make_data(count=240, side=8, name="stripes", groups=None):
    """Noise with a bright third: the top, the middle or the bottom, according to the class."""
    noise = np.random.default_rng(5)
    labels = noise.integers(0, 3, count)
    images = noise.integers(0, 200, (count, 3, side, side)).astype(np.uint8)
    for third in range(3):
        rows = slice(third * side // 3, (third + 1) * side // 3)
        images[labels == third, :, rows] += 55
    return ImageData(name, images, labels.astype(np.int64), ("top", "middle", "bottom"), 3, groups=groups)


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    monkeypatch.setattr(classifier, "PRESENTATIONS", (6_000, 6_000))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a classifier of `make_data()`."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "PRESENTATIONS", (6_000, 6_000))
        ClassifierFeatures(make_data(), folder).prepare()
    return folder


def test_it_is_trained_once_and_kept_beside_the_data(tmp_path, monkeypatch):
    data, said = make_data(), []
    images = np.ascontiguousarray(data.images.transpose(0, 2, 3, 1))
    first = ClassifierFeatures(data, tmp_path / "stripes", say=said.append)
    assert not said  # nothing is trained before it is needed
    features, logits = first.extract(images)
    assert features.shape == (240, 128) and logits.shape == (240, 3)
    assert features.dtype == logits.dtype == np.float32
    protocol = first.protocol()
    assert protocol["classifier_accuracy"] >= 0.8 and protocol["classifier_test_count"] == 24
    assert protocol["features"] == "classifier" and len(protocol["feature_hash"]) == 16
    assert "216 images, 60 steps" in said[0] and "24 held-out images" in said[-1]
    assert len(list((tmp_path / "stripes").iterdir())) == 1

    monkeypatch.setattr(classifier, "train_classifier", lambda *args: pytest.fail("trained again"))
    second = ClassifierFeatures(make_data(), tmp_path / "stripes")
    np.testing.assert_array_equal(second.extract(images)[0], features)
    assert second.protocol() == protocol


def test_other_data_or_a_damaged_file_mean_new_training(tmp_path, monkeypatch):
    data, trained = make_data(), []
    facts = {"accuracy": 0.5, "trained_on": 1, "tested_on": 1}
    monkeypatch.setattr(classifier, "train_classifier", lambda model, data, progress: trained.append(data) or facts)
    ClassifierFeatures(data, tmp_path).prepare()
    ClassifierFeatures(data, tmp_path).prepare()
    assert len(trained) == 1
    other = make_data()
    other.images[0, 0, 0, 0] ^= 1
    ClassifierFeatures(other, tmp_path).prepare()
    assert len(trained) == 2
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    ClassifierFeatures(data, tmp_path).prepare()
    assert len(trained) == 3


def test_of_two_processes_that_train_at_once_both_keep_the_first_ones(tmp_path, monkeypatch):
    """Each has trained weights of its own when both come to store theirs, whatever lay there before."""
    data, barrier = make_data(), threading.Barrier(2, timeout=60)
    images = np.ascontiguousarray(data.images[:5].transpose(0, 2, 3, 1))

    def train(model, data, say):
        model.set_weights([weight + np.random.default_rng().normal(0, 0.1, weight.shape) for weight in model.weights])
        barrier.wait()
        return {"accuracy": 0.5, "trained_on": 1, "tested_on": 1}

    def save(*args, **arrays):
        real_save(*args, **arrays)
        barrier.wait()  # both are written, and neither is in its place

    real_save = np.savez
    monkeypatch.setattr(classifier, "train_classifier", train)
    monkeypatch.setattr(np, "savez", save)
    path = tmp_path / f"classifier-{classifier.RECIPE}-{data.fingerprint()[:12]}.npz"
    for before in (None, b"damaged"):
        path.unlink(missing_ok=True)
        if before:
            path.write_bytes(before)
        extractors = [ClassifierFeatures(data, tmp_path) for _ in range(2)]
        threads = [threading.Thread(target=extractor.prepare) for extractor in extractors]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        later = ClassifierFeatures(data, tmp_path)
        hashes = {extractor.protocol()["feature_hash"] for extractor in (*extractors, later)}
        assert len(hashes) == 1
        first, second, third = (extractor.extract(images)[0] for extractor in (*extractors, later))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, third)


def test_it_changes_nobodys_random_numbers_or_names(tmp_path):
    def draw(meanwhile):
        keras.utils.set_random_seed(1)
        meanwhile()
        layer = keras.layers.Dense(2)
        layer.build((None, 2))
        kernel = layer.kernel.numpy().tolist()
        return random.random(), np.random.rand(), keras.random.normal((2,)).numpy().tolist(), kernel

    def number_of(name):
        return int(name.split("_")[-1]) if "_" in name else 0

    before = number_of(keras.layers.Conv2D(2, 3).name), number_of(keras.optimizers.Adam().name)
    assert draw(ClassifierFeatures(make_data(), tmp_path, say=lambda text: None).prepare) == draw(lambda: None)
    after = number_of(keras.layers.Conv2D(2, 3).name), number_of(keras.optimizers.Adam().name)
    assert after == (before[0] + 1, before[1] + 1)


def test_images_of_one_group_stay_together():
    groups = np.arange(240) // 6
    train, test = classifier.split_indices(make_data(groups=groups))
    assert len(test) == 24 and len(train) == 216
    assert not set(groups[train]) & set(groups[test])
    assert sorted([*train, *test]) == list(range(240))
    with pytest.raises(MetricError, match="stripes is too small"):
        classifier.split_indices(make_data(groups=np.zeros(240, int)))


def test_images_of_another_size_are_resized_and_of_another_kind_refused(trained):
    data = make_data()
    extractor = ClassifierFeatures(data, trained, label="classifier:stripes")
    images = np.ascontiguousarray(data.images.transpose(0, 2, 3, 1))
    same, larger = extractor.extract(images)[1], extractor.extract(images.repeat(2, axis=1).repeat(2, axis=2))[1]
    assert np.mean(same.argmax(1) == larger.argmax(1)) > 0.9
    with pytest.raises(MetricError, match="classifier:stripes takes images of 3 channels, not 1"):
        extractor.extract(images[..., :1])


def test_a_folder_that_cannot_be_written_costs_only_the_cache(tmp_path):
    (tmp_path / "file").write_text("")
    said = []
    extractor = ClassifierFeatures(make_data(), tmp_path / "file", say=said.append)
    assert extractor.protocol()["classifier_accuracy"] > 0.5
    assert "trained again next time" in said[-1]


def test_the_resize_can_be_chosen_and_changes_nothing_unless_asked_for(trained):
    data = make_data()
    images = np.ascontiguousarray(data.images.transpose(0, 2, 3, 1)).repeat(2, axis=1).repeat(2, axis=2)
    usual = ClassifierFeatures(data, trained)
    features, _ = usual.extract(images)
    assert usual.resize == "antialiased" and usual.protocol()["resize"].startswith("antialiased bilinear to 8x8")
    scaled = tf.image.resize(images / np.float32(127.5) - 1, (8, 8), "bilinear", antialias=True)
    np.testing.assert_allclose(features, usual._model(scaled, training=False)[0], atol=1e-5)
    for resize in ("legacy", "tfgan", "clean"):
        chosen = ClassifierFeatures(data, trained, resize=resize, say=lambda text: pytest.fail("trained again"))
        scaled = resize_images(tf.constant(images), (8, 8), resize) / 127.5 - 1.0
        np.testing.assert_allclose(chosen.extract(images)[0], usual._model(scaled, training=False)[0], atol=1e-5)
        assert chosen.protocol()["resize"].startswith(f"{resize} ") and chosen.resize == resize
        assert np.abs(chosen.extract(images)[0] - features).max() > 1e-3
        assert chosen.protocol()["feature_hash"] == usual.protocol()["feature_hash"]
    with pytest.raises(MetricError, match="no resize 'box'"):
        ClassifierFeatures(data, trained, resize="box")
