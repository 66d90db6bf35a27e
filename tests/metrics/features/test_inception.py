"""The loading of Inception's graph, by tiny graphs with the same tensor names in every form that people have."""

import hashlib
import http.server
import io
import tarfile
import threading

import numpy as np
import pytest
import tensorflow as tf

from mmdgan.core.errors import MetricError
from mmdgan.metrics.features import inception
from mmdgan.metrics.features.extractor import resize_images
from mmdgan.metrics.features.inception import InceptionFeatures, fetch_graph, find_graph

WEIGHTS = np.random.default_rng(3).normal(size=(12, 5)).astype(np.float32)


def _network(images):
    """The mean colours of four quarters, and a linear map of them."""
    pool = tf.nn.avg_pool2d(images, 149, 149, "VALID")
    logits = tf.matmul(tf.reshape(pool, (-1, 12)), tf.constant(WEIGHTS), name="logits")
    return tf.reshape(pool, (-1, 1, 1, 12), name="pool_3"), logits


def _frozen(before=False):
    with tf.Graph().as_default() as graph:
        if before:  # as in the graph of 2015: `Mul` is computed, and must be fed all the same
            start = tf.compat.v1.placeholder(tf.float32, (None, 299, 299, 3))
            images = tf.multiply(start, 7.0, name="Mul")
        else:
            images = tf.compat.v1.placeholder(tf.float32, (None, 299, 299, 3), name="Mul")
        _network(images)
    return graph.as_graph_def().SerializeToString()


class _Module(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 299, 299, 3), tf.float32)])
    def __call__(self, images):
        pool, logits = _network(images)
        return {"pool_3": pool, "logits": logits}


def _make(tmp_path, form):
    path = tmp_path / "graph.pb"
    if form in ("frozen", "frozen, Mul computed", "archive of a frozen graph"):
        path.write_bytes(_frozen(form == "frozen, Mul computed"))
    elif form == "SavedModel, callable" or form == "archive of a SavedModel":
        path = tmp_path / "module"
        tf.saved_model.save(_Module(), path)
    else:
        module, path = _Module(), tmp_path / "module"
        holder = tf.Module()
        holder.run = tf.function(module.__call__.python_function, input_signature=module.__call__.input_signature)
        tf.saved_model.save(holder, path, signatures={"default": holder.run})
    if form.startswith("archive"):
        archive = tmp_path / "graph.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(path, arcname="." if path.is_dir() else path.name)
        return archive
    return path


FORMS = [
    "frozen",
    "frozen, Mul computed",
    "archive of a frozen graph",
    "SavedModel, callable",
    "SavedModel, signature",
    "archive of a SavedModel",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_graph(tmp_path, form):
    extractor = InceptionFeatures(_make(tmp_path, form))
    images = np.random.default_rng(0).integers(0, 256, (3, 299, 299, 3), dtype=np.uint8)
    features, logits = extractor.extract(images)
    quarters = images[:, :298, :298].reshape(3, 2, 149, 2, 149, 3).mean(axis=(2, 4), dtype=np.float64) / 127.5 - 1
    np.testing.assert_allclose(features, quarters.reshape(3, 12), atol=1e-5)
    np.testing.assert_allclose(logits, quarters.reshape(3, 12) @ WEIGHTS, atol=1e-4)
    protocol = extractor.protocol()
    assert extractor.feature_count == protocol["feature_count"] == 12
    assert extractor.label == protocol["features"] == "inception" and len(protocol["feature_hash"]) == 16


@pytest.mark.parametrize("resize", ["legacy", "tfgan", "clean"])
def test_the_resize_is_what_is_asked_for_and_said(tmp_path, resize):
    extractor = InceptionFeatures(_make(tmp_path, "frozen"), resize)
    images = np.random.default_rng(0).integers(0, 256, (3, 150, 150, 1), dtype=np.uint8)
    resized = resize_images(tf.constant(images), (299, 299), resize).numpy()[:, :298, :298]
    quarters = resized.reshape(3, 2, 149, 2, 149).mean(axis=(2, 4), dtype=np.float64) / 127.5 - 1
    expected = np.repeat(quarters.reshape(3, 4), 3, axis=1)
    features, _ = extractor.extract(images)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    others = {"legacy", "tfgan", "clean"} - {resize}
    for other in others:
        other = InceptionFeatures(tmp_path / "graph.pb", other).extract(images)[0]
        assert np.abs(other - expected).max() > 1e-4
    assert extractor.resize == resize and extractor.protocol()["resize"].startswith(f"{resize} ")
    assert InceptionFeatures(tmp_path / "graph.pb").resize == "legacy"


@pytest.mark.parametrize("resize", ["legacy", "tfgan", "clean"])
def test_sets_of_other_sizes_and_channels_in_any_order(tmp_path, resize):
    """A set's features do not depend on the sets before it; grey images are as their three equal channels."""
    path, random = _make(tmp_path, "frozen"), np.random.default_rng(4)
    shapes = [(9, 8, 3), (8, 9, 3), (299, 299, 3), (9, 8, 1), (16, 16, 1), (16, 16, 3)]
    sets = [random.integers(0, 256, (count, *shape), dtype=np.uint8) for shape in shapes for count in (3, 2)]
    expected = [InceptionFeatures(path, resize).extract(images) for images in sets]
    for images, outputs in zip(sets, expected, strict=True):
        if images.shape[-1] == 1:
            colours = InceptionFeatures(path, resize).extract(images.repeat(3, axis=-1))
            np.testing.assert_allclose(outputs[0], colours[0], atol=1e-5)
    extractor = InceptionFeatures(path, resize)
    for order in (range(len(sets)), reversed(range(len(sets)))):
        for number in order:
            for found, outputs in zip(extractor.extract(sets[number]), expected[number], strict=True):
                np.testing.assert_allclose(found, outputs, atol=1e-5)


def test_another_resize_is_refused(tmp_path):
    with pytest.raises(MetricError, match="no resize 'nearest': choose one of legacy, tfgan, clean"):
        InceptionFeatures(_make(tmp_path, "frozen"), "nearest")


def test_a_module_of_many_signatures(tmp_path):
    """The one that gives both outputs is taken, whatever its name; so are names of tensors instead of operations."""
    module, holder = _Module(), tf.Module()
    form = module.__call__.input_signature
    both = module.__call__.python_function
    holder.features = tf.function(lambda images: {"pool_3": both(images)["pool_3"]}, input_signature=form)
    holder.whole = tf.function(
        lambda images: {f"{name}:0": output for name, output in both(images).items()}, input_signature=form
    )
    signatures = {"default": holder.features, "image_classification": holder.whole}
    tf.saved_model.save(holder, tmp_path / "module", signatures=signatures)
    assert InceptionFeatures(tmp_path / "module").feature_count == 12


def test_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(InceptionFeatures, "batch_size", 4)
    extractor = InceptionFeatures(_make(tmp_path, "frozen"))
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
    together, _ = extractor.extract(images)
    np.testing.assert_allclose(together[9:], extractor.extract(images[9:])[0], atol=1e-6)
    assert together.shape == (10, 12)


def test_the_resize_has_no_half_pixel_centres():
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 1), dtype=np.uint8)
    position = [np.arange(299) * side / 299 for side in (5, 7)]
    low = [np.floor(p).astype(int) for p in position]
    high = [np.minimum(index + 1, side - 1) for index, side in zip(low, (5, 7), strict=True)]
    y, x = (position[0] - low[0])[:, None, None], (position[1] - low[1])[:, None]
    top = images[:, low[0]][:, :, low[1]] * (1 - x) + images[:, low[0]][:, :, high[1]] * x
    bottom = images[:, high[0]][:, :, low[1]] * (1 - x) + images[:, high[0]][:, :, high[1]] * x
    expected = np.repeat((top * (1 - y) + bottom * y) / 127.5 - 1, 3, axis=-1)
    np.testing.assert_allclose(inception._prepare(tf.constant(images), "legacy"), expected, atol=2e-5)


def test_what_is_not_the_graph_is_refused_by_name(tmp_path):
    path = tmp_path / "other.pb"
    path.write_bytes(b"this is no graph")
    with pytest.raises(MetricError, match="other.pb cannot be used"):
        InceptionFeatures(path)
    with tf.Graph().as_default() as graph:
        tf.compat.v1.placeholder(tf.float32, (None, 299, 299, 3), name="Mul")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(MetricError, match="no operation logits, pool_3"):
        InceptionFeatures(path)
    archive = tmp_path / "empty.tar.gz"
    with tarfile.open(archive, "w:gz"):
        pass
    with pytest.raises(MetricError, match="holds no .pb file"):
        InceptionFeatures(archive)
    archive.write_bytes(b"no archive")
    with pytest.raises(MetricError, match="empty.tar.gz cannot be used"):
        InceptionFeatures(archive)
    holder = tf.Module()
    holder.run = tf.function(lambda images: {"pool_3": images}, [tf.TensorSpec((None, 299, 299, 3))])
    tf.saved_model.save(holder, tmp_path / "half", signatures={"default": holder.run})
    with pytest.raises(MetricError, match=r"gives \['pool_3'\], without logits"):
        InceptionFeatures(tmp_path / "half")


def test_where_the_graph_is_looked_for(tmp_path):
    assert find_graph(None, tmp_path) is None
    with pytest.raises(MetricError, match="no Inception graph at .*nowhere.pb"):
        find_graph(tmp_path / "nowhere.pb", tmp_path)
    folder = tmp_path / "inception"
    folder.mkdir()
    (folder / "notes.txt").write_text("")
    (folder / "0123.tmp").mkdir()
    (folder / "0123.tmp" / "saved_model.pb").write_bytes(b"")
    assert find_graph(None, tmp_path) is None
    (folder / "graph.tar.gz").write_bytes(b"")
    assert find_graph(None, tmp_path) == folder / "graph.tar.gz"
    assert find_graph(tmp_path / "inception", tmp_path) == folder


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of one archive, which stands in for tensorflow-gan's address; its `content` and `asked` for tests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802  # http.server's name
            self.server.asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.content)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("localhost", 0), Handler) as served:
        served.content, served.asked = b"", []
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setattr(inception, "ADDRESS", f"http://localhost:{served.server_port}/inception/1")
        monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
        yield served
        served.shutdown()


def _archive(tmp_path):
    tf.saved_model.save(_Module(), tmp_path / "made")
    with tarfile.open(tmp_path / "made.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "made", "./")
    return (tmp_path / "made.tar.gz").read_bytes()


@pytest.mark.parametrize("by_variable", [False, True])
def test_the_graph_is_fetched_once_and_then_found(by_variable, server, tmp_path, monkeypatch):
    server.content, said = _archive(tmp_path), []
    folder = tmp_path / "inception"
    if by_variable:
        folder = tmp_path / "elsewhere"
        monkeypatch.setenv("TFHUB_CACHE_DIR", str(folder))
    fetched = fetch_graph(tmp_path, said.append)
    assert fetched == folder / hashlib.sha1(inception.ADDRESS.encode()).hexdigest()
    assert len(said) == 1 and set(server.asked) == {"/inception/1?tf-hub-format=compressed"}
    assert InceptionFeatures(fetched).feature_count == 12
    assert [path.name for path in folder.iterdir()] == [fetched.name]
    asked = len(server.asked)
    assert fetch_graph(tmp_path, said.append) == fetched and len(server.asked) == asked and len(said) == 1
    assert by_variable or find_graph(None, tmp_path) == fetched


def test_downloads_that_are_not_whole_leave_nothing(server, tmp_path):
    whole = _archive(tmp_path)
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w:gz"):
        pass
    for content in (whole[:-1], whole[: len(whole) // 2], b"", b"<html>no archive</html>", empty.getvalue()):
        server.content = content
        with pytest.raises(MetricError, match="give its path with --inception"):
            fetch_graph(tmp_path, print)
        assert not list((tmp_path / "inception").iterdir())


def test_no_network_is_one_sentence_with_two_ways(tmp_path, monkeypatch):
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)

    def unreachable(request, timeout):
        assert request.full_url.startswith(inception.ADDRESS)
        raise OSError("no route to host")

    monkeypatch.setattr(inception.urllib.request, "urlopen", unreachable)
    with pytest.raises(
        MetricError,
        match=r"cannot be reached \(no route to host\): give its path with --inception .*connect to the network",
    ):
        fetch_graph(tmp_path, print)
