"""Features of Keras networks: of small files, and of an application whose weights lie in a temporary cache."""

import urllib.error

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras.src.legacy.saving import legacy_h5_format

from mmdgan.core.errors import MetricError
from mmdgan.metrics.context import EvaluateOptions, Facts
from mmdgan.metrics.evaluate import check
from mmdgan.metrics.features import keras as keras_features
from mmdgan.metrics.features.extractor import resize_images
from mmdgan.metrics.features.keras import KerasFeatures

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 12, 12, 3), dtype=np.uint8)


def _save(path, outputs="features", side=12, channels=3):
    images = keras.Input((side, side, channels))
    features = layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3, activation="relu")(images))
    logits = layers.Dense(4)(features)
    made = {
        "features": features,
        "pair": [features, logits],
        "dictionary": {"logits": logits, "features": features},
        "other names": {"pool": features, "logits": logits},
        "three": [features, logits, logits],
        "map": layers.Conv2D(5, 3)(images),
    }[outputs]
    model = keras.Model(images, made)
    model.save(path)
    return model


def _expected(model, images):
    found = model(tf.constant(images, tf.float32), training=False)
    return [found["features"], found["logits"]] if isinstance(found, dict) else found


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("outputs", ["features", "pair", "dictionary"])
def test_a_network_of_ones_own(tmp_path, outputs, suffix, monkeypatch):
    monkeypatch.setattr(keras_features, "_BATCH_PIXELS", 3 * 12 * 12)
    model = _save(tmp_path / f"mine{suffix}", outputs)
    extractor = KerasFeatures(f"keras:{tmp_path / 'mine'}{suffix}")
    features, logits = extractor.extract(IMAGES)
    expected = _expected(model, IMAGES)
    if outputs == "features":
        expected = [expected, np.zeros((7, 0))]
    np.testing.assert_allclose(features, expected[0], rtol=1e-5)
    np.testing.assert_allclose(logits, expected[1], rtol=1e-4, atol=1e-3)
    assert features.dtype == logits.dtype == np.float32
    assert (extractor.label, extractor.feature_count, extractor.batch_size) == ("keras:mine", 5, 3)
    protocol = extractor.protocol()
    assert protocol["features"] == "keras:mine" and protocol["feature_source"] == str(tmp_path / f"mine{suffix}")
    assert protocol["resize"] == "clean antialiased bicubic to 12x12, grey repeated to 3 channels"


def test_a_network_without_logits_has_no_classifier_score(tmp_path):
    for outputs in ("features", "pair"):
        _save(tmp_path / f"{outputs}.keras", outputs)
    extractors = [KerasFeatures(f"keras:{tmp_path / outputs}.keras") for outputs in ("features", "pair")]
    assert [extractor.logit_count for extractor in extractors] == [0, 4]
    facts = Facts(20, 20, 20, EvaluateOptions())
    with pytest.raises(MetricError, match="keras:features come without logits"):
        check(("is",), facts, extractors[0])
    assert check(("is",), facts, extractors[1]) == ("is",)
    assert check(("fid", "is"), facts, extractors[0], leave_out=print) == ("fid",)


def test_the_hash_is_that_of_the_network(tmp_path):
    model = _save(tmp_path / "one.keras")
    model.save(tmp_path / "copy.keras")
    weights = model.get_weights()
    model.set_weights([weights[0] * 1.001, weights[1]])
    model.save(tmp_path / "other.keras")
    hashes = [
        KerasFeatures(f"keras:{tmp_path / name}.keras").protocol()["feature_hash"] for name in ("one", "copy", "other")
    ]
    assert hashes[0] == hashes[1] != hashes[2] and len(hashes[0]) == 16


@pytest.mark.parametrize("resize", [None, "legacy", "tfgan", "clean"])
def test_images_are_resized_and_grey_ones_repeated(tmp_path, resize):
    model = _save(tmp_path / "mine.keras")
    extractor = KerasFeatures(f"keras:{tmp_path / 'mine.keras'}", resize)
    grey = np.random.default_rng(1).integers(0, 256, (3, 20, 9, 1), dtype=np.uint8)
    resized = tf.repeat(resize_images(tf.constant(grey), (12, 12), resize or "clean"), 3, axis=-1)
    np.testing.assert_allclose(extractor.extract(grey)[0], model(resized, training=False), rtol=1e-4, atol=1e-3)
    assert extractor.resize == (resize or "clean")


def test_a_network_of_any_size_and_a_grey_one(tmp_path):
    model = _save(tmp_path / "free.keras", side=None, channels=1)
    extractor = KerasFeatures(f"keras:{tmp_path / 'free.keras'}")
    np.testing.assert_allclose(extractor.extract(IMAGES[..., :1])[0], model(IMAGES[..., :1].astype("f4")), rtol=1e-5)
    assert extractor.protocol()["resize"] == "none: the network takes any size"
    with pytest.raises(MetricError, match="free.keras takes images of 1 channel, not 3: name another one"):
        extractor.extract(IMAGES)


@pytest.mark.parametrize("resize", ["legacy", "tfgan", "clean"])
@pytest.mark.parametrize("sides", [(12, 12), (None, None), (None, 12)])
def test_sets_of_other_sizes_and_channels_in_any_order(tmp_path, resize, sides):
    images = keras.Input((*sides, 3))
    features = layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3, activation="relu")(images))
    keras.Model(images, features).save(tmp_path / "net.keras")
    extractor, random = KerasFeatures(f"keras:{tmp_path}/net.keras", resize), np.random.default_rng(4)
    network = keras.models.load_model(tmp_path / "net.keras")
    shapes = [(12, 12, 3), (20, 12, 3), (12, 20, 3), (12, 12, 1), (9, 7, 1), (9, 7, 3)]
    sets = [random.integers(0, 256, (4, *shape), dtype=np.uint8) for shape in shapes]
    for number in [*range(6), *reversed(range(6)), 3, 0, 5, 2]:
        colours = np.broadcast_to(sets[number], (*sets[number].shape[:3], 3))
        size = tuple(side or own for side, own in zip(sides, colours.shape[1:3], strict=True))
        expected = network(resize_images(tf.constant(colours), size, resize), training=False)
        np.testing.assert_allclose(extractor.extract(sets[number])[0], expected, rtol=1e-4, atol=1e-3)
    if sides[0] is None:
        with pytest.raises(MetricError, match="keras:net features cannot be computed of 2x2x3 images"):
            extractor.extract(sets[0][:, :2, :2])


def test_networks_that_do_not_fit_are_refused_by_what_they_return(tmp_path):
    for outputs, reason in (
        ("other names", r"returns \['logits', 'pool'\] of the shapes .*; it must return features \(F,\)"),
        ("three", r"returns the shapes \[\(5,\), \(4,\), \(4,\)\] for each image; it must"),
        ("map", r"returns the shapes \[\(10, 10, 5\)\] for each image"),
    ):
        _save(tmp_path / "odd.keras", outputs)
        with pytest.raises(MetricError, match=f"odd.keras {reason}"):
            KerasFeatures(f"keras:{tmp_path / 'odd.keras'}")
    points = keras.Input((2,))
    keras.Model(points, layers.Dense(3)(points)).save(tmp_path / "points.keras")
    with pytest.raises(MetricError, match=r"points.keras takes \(None, 2\); features need one input of images"):
        KerasFeatures(f"keras:{tmp_path / 'points.keras'}")
    (tmp_path / "broken.keras").write_bytes(b"no network")
    with pytest.raises(MetricError, match=r"broken.keras cannot be loaded \(.*\): save it by model.save"):
        KerasFeatures(f"keras:{tmp_path / 'broken.keras'}")
    with pytest.raises(MetricError, match="no network at .*gone.keras: --features keras:PATH names a .keras or .h5"):
        KerasFeatures(f"keras:{tmp_path / 'gone.keras'}")
    with pytest.raises(MetricError, match="'mobilenetv2' in keras.applications: did you mean keras:MobileNetV2"):
        KerasFeatures("keras:mobilenetv2")


@pytest.fixture
def keras_cache(tmp_path, monkeypatch):
    """Keras' own folder of weights, empty, and no network."""
    from keras.src.backend import config
    from keras.src.utils import file_utils

    def unreachable(*args):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
    monkeypatch.setattr(file_utils, "urlretrieve", unreachable)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_an_application_from_the_cache_of_its_weights(keras_cache):
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNet(weights=None, classifier_activation=None)
    name = "mobilenet_1_0_224_tf.h5"
    with h5py.File(keras_cache / name, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    extractor = KerasFeatures("keras:MobileNet", "tfgan")
    features, logits = extractor.extract(IMAGES[:2])
    prepared = tf.image.resize(IMAGES[:2].astype("f4"), (224, 224)) / 127.5 - 1.0
    pooled = keras.Model(model.input, model.get_layer("conv_pw_13_relu").output)(prepared).numpy().mean(axis=(1, 2))
    for found, expected in ((features, pooled), (logits, model(prepared).numpy())):
        size = np.abs(expected).max()  # far below 1 with weights that nobody trained
        np.testing.assert_allclose(found / size, expected / size, atol=1e-3)
    assert features.shape == (2, 1024) and logits.shape == (2, 1000)
    assert extractor.label == "keras:MobileNet" and extractor.feature_count == 1024
    assert extractor.protocol()["feature_source"] == "keras.applications MobileNet, ImageNet weights"
    again = KerasFeatures("keras:MobileNet", "tfgan")  # of whose layers Keras numbers some anew
    assert again.protocol()["feature_hash"] == extractor.protocol()["feature_hash"]


def test_weights_that_cannot_be_had_are_one_sentence_with_the_remedies(keras_cache):
    with pytest.raises(
        MetricError,
        match=r"ImageNet weights of MobileNetV2 cannot be loaded \(URL fetch failure .*mobilenet_v2.*\): connect to "
        rf"the network, put that file into {keras_cache}, or give a network of your own as keras:PATH.keras\.",
    ):
        KerasFeatures("keras:MobileNetV2")


def test_networks_without_a_pool_and_with_a_pool_of_maps():
    """VGG flattens its last map, and MobileNet pools to (1, 1, F)."""
    images = keras.Input((8, 8, 3))
    hidden = layers.Conv2D(5, 3, name="last")(images)
    flat = keras.Model(images, layers.Dense(2)(layers.Dense(7)(layers.Flatten()(hidden))))
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(3, 1)(hidden))
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(layers.Multiply()([layers.Conv2D(3, 3)(hidden), squeezed]))
    maps = keras.Model(images, layers.Flatten()(layers.Conv2D(2, 1)(pooled)))
    batch = IMAGES[:, :8, :8].astype("f4")
    features, logits = keras_features._with_features(flat)(batch)
    means = keras.Model(images, hidden)(batch).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(features, means, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(logits, flat(batch), rtol=1e-5)
    features, _ = keras_features._with_features(maps)(batch)
    np.testing.assert_allclose(features, keras.Model(images, pooled)(batch)[:, 0, 0], rtol=1e-4)
