"""Which features are taken when."""

import types

import numpy as np
import pytest

from mmdgan import metrics
from mmdgan.core.errors import MetricError
from mmdgan.data import ImageData
from mmdgan.metrics.features import inception


def _data(name="stripes", labels=True, num_class=2, folder=None):
    classes = np.arange(20) % num_class if labels else None
    images = np.zeros((20, 3, 8, 8), np.uint8)
    return ImageData(name, images, classes, tuple("ab"[:num_class]), num_class if labels else 0, folder=folder)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def fetch(data_root, progress):
        raise MetricError("The graph cannot be fetched: give its path with --inception, or connect to the network.")

    monkeypatch.setattr(inception, "fetch_graph", fetch)


@pytest.fixture
def graph(monkeypatch, tmp_path):
    """A file that stands for the graph, loaded by a stand-in."""

    class Loaded:
        label = "inception"

        def __init__(self, path, resize=None):
            self.path, self.resize = path, resize

    monkeypatch.setattr(inception, "InceptionFeatures", Loaded)
    path = tmp_path / "inception" / "graph.pb"
    path.parent.mkdir()
    path.write_bytes(b"")
    return path


def test_auto_takes_the_classifier_and_says_why(tmp_path):
    said = []
    extractor = metrics.resolve("auto", _data(), data_root=tmp_path, say=said.append)
    assert extractor.label == "classifier" and extractor.feature_count == 128
    assert said == [
        "Scores use a small classifier trained on the images themselves, and are named FD[classifier] and so on, "
        "not FID. "
        "The graph cannot be fetched: give its path with --inception, or connect to the network."
    ]
    assert not list(tmp_path.iterdir())  # trained on first use only


def test_auto_takes_a_graph_that_is_at_hand(tmp_path, graph):
    said = []
    assert metrics.resolve("auto", _data(), data_root=tmp_path, say=said.append).path == graph
    assert said == [f"Scores use the 2015 Inception graph {graph}."]
    other = graph.rename(tmp_path / "other.pb")
    assert metrics.resolve("auto", _data(labels=False), inception=other, data_root=tmp_path).path == other
    assert metrics.resolve("classifier", _data(), data_root=tmp_path).label == "classifier"


def test_a_graph_that_was_named_is_never_replaced(tmp_path):
    with pytest.raises(MetricError, match="no Inception graph at .*nowhere.pb"):
        metrics.resolve("auto", _data(), inception=tmp_path / "nowhere.pb", data_root=tmp_path)
    broken = tmp_path / "broken.pb"
    broken.write_bytes(b"this is no graph")
    with pytest.raises(MetricError, match="broken.pb cannot be used"):
        metrics.resolve("auto", _data(), inception=broken, data_root=tmp_path)
    with pytest.raises(MetricError, match="cannot be fetched"):
        metrics.resolve("inception", _data(), data_root=tmp_path)


def test_unlabelled_data_needs_other_data(tmp_path, monkeypatch):
    faces = _data("faces", labels=False)
    with pytest.raises(MetricError, match="faces has no labels .*--classifier_data.*--inception"):
        metrics.resolve("classifier", faces, data_root=tmp_path)
    with pytest.raises(MetricError, match="faces has no labels .*cannot be fetched"):
        metrics.resolve("auto", faces, data_root=tmp_path)
    opened = []

    def open_data(name, *, data_root, say):
        opened.append(name)
        return _data(name)

    monkeypatch.setattr("mmdgan.data.open_data", open_data)
    extractor = metrics.resolve("classifier", faces, classifier_data="stripes", data_root=tmp_path)
    assert extractor.label == "classifier:stripes" and opened == ["stripes"]
    assert metrics.resolve("classifier", _data(), classifier_data="stripes", data_root=tmp_path).label == "classifier"
    assert opened == ["stripes"]


def test_a_classifier_of_other_channels_is_refused_before_training(tmp_path, monkeypatch):
    grey, colours = _data("grey", labels=False), _data("stripes")
    grey.images = grey.images[:, :1]
    monkeypatch.setattr("mmdgan.data.open_data", lambda name, **options: colours)
    for features in ("classifier", "auto"):
        with pytest.raises(
            MetricError, match="images of stripes have 3 channels, and those to score 1: name.*same kind"
        ):
            metrics.resolve(features, grey, classifier_data="stripes", data_root=tmp_path)


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(MetricError, match="no features 'vgg': choose one of auto, inception, classifier"):
        metrics.resolve("vgg", _data(), data_root=tmp_path)
    with pytest.raises(MetricError, match="single class"):
        metrics.resolve("classifier", _data(num_class=1), data_root=tmp_path)


def test_images_that_are_no_data_set(tmp_path, graph, monkeypatch):
    assert metrics.resolve("auto", None, data_root=tmp_path, resize="clean").resize == "clean"
    graph.unlink()
    with pytest.raises(MetricError, match=r"not a data set with labels .*--classifier_data.*--inception.*keras:NAME"):
        metrics.resolve("classifier", None, data_root=tmp_path)
    with pytest.raises(MetricError, match=r"not a data set with labels .*cannot be fetched"):
        metrics.resolve("auto", None, data_root=tmp_path)
    monkeypatch.setattr("mmdgan.data.open_data", lambda name, **options: _data(name))
    for features in ("classifier", "auto"):
        extractor = metrics.resolve(features, None, classifier_data="stripes", data_root=tmp_path, resize="tfgan")
        assert extractor.label == "classifier:stripes" and extractor.resize == "tfgan"


def test_networks_of_keras(tmp_path, monkeypatch):
    from mmdgan.metrics.features import keras

    monkeypatch.setattr(keras, "KerasFeatures", lambda what, resize: types.SimpleNamespace(label=what, resize=resize))
    said = []
    extractor = metrics.resolve("keras:VGG16", None, data_root=tmp_path, resize="tfgan", say=said.append)
    assert (extractor.label, extractor.resize) == ("keras:VGG16", "tfgan")
    assert said == ["Scores use the features of keras:VGG16, so they are not FID and IS."]
    for features in ("keras:", "keras", "inception:x"):
        with pytest.raises(MetricError, match=f"no features '{features}': choose one of auto, .*keras:PATH.keras"):
            metrics.resolve(features, None, data_root=tmp_path)


def test_an_unknown_resize_is_refused_before_anything_else(tmp_path):
    with pytest.raises(MetricError, match="no resize 'lanczos': choose one of legacy, tfgan, clean"):
        metrics.resolve("auto", _data(), data_root=tmp_path, resize="lanczos")
