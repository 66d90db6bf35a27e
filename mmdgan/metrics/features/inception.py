"""Features of the 2015 Inception graph, which FID and IS are defined by; where the graph is, and how it is loaded.

Input `Mul:0` (N, 299, 299, 3) in [-1, 1]; outputs `logits:0` (N, 1008) and `pool_3:0` (N, 1, 1, 2048). The original
resizes with TensorFlow 1's bilinear method (`legacy`) and runs a hundred images at a time; so does this module, unless
another method is asked for.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from mmdgan.core.errors import MetricError
from mmdgan.core.files import literal
from mmdgan.core.network import unreachable
from mmdgan.core.progress import Say
from mmdgan.core.text import first_line
from mmdgan.metrics.features.extractor import METHODS, Extractor, check_method, resize_images

SIDE = 299
INPUT, LOGITS, POOL = "Mul", "logits", "pool_3"
ADDRESS = "https://tfhub.dev/tensorflow/tfgan/eval/inception/1"
"""Where tensorflow-gan takes the graph from."""

_COMPRESSED = "tf-hub-format=compressed"
_STALLED = 30  # seconds without a byte after which a download is given up
ARCHIVES = (".tar.gz", ".tgz", ".tar")


class InceptionFeatures(Extractor):
    """The extractor of the 2015 Inception graph; in the real graph F is 2048."""

    label = "inception"

    def __init__(self, path: Path, resize: str | None = None) -> None:
        """Loads the graph and tries it on two images.

        Args:
            path: A frozen graph (.pb), an archive of one or of a SavedModel (.tar.gz), or a SavedModel folder.
            resize: One of `METHODS`, which brings images to 299x299; None for "legacy".

        Raises:
            MetricError: The file is not such a graph, or there is no such method.
        """
        self._source, self.resize = str(path), check_method(resize or "legacy")
        self._resize_text = f"{METHODS[self.resize]} to {SIDE}x{SIDE}, grey repeated to 3 channels"
        try:
            self._graph = load_graph(path)
            features, _ = self._compute(tf.zeros((2, 8, 8, 3), tf.uint8))
        except (tf.errors.OpError, ValueError, TypeError, OSError, DecodeError, tarfile.TarError) as error:
            raise MetricError(f"The Inception graph {path} cannot be used: {first_line(error)}") from error
        self.feature_count = int(features.shape[1])
        self._hash = _digest_files(path)

    def _compute(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _outputs(self._graph, _prepare(images, self.resize))


def find_graph(inception: str | Path | None, data_root: str | Path) -> Path | None:
    """The path of the graph: the given one, or that in `data_root`/inception; None if there is none.

    Raises:
        MetricError: Nothing is at the given path.
    """
    if inception:
        path = Path(inception)
        if not path.exists():
            raise MetricError(
                f"There is no Inception graph at {path}: --inception names a .pb, .tar.gz or SavedModel folder."
            )
        return path
    folder = Path(data_root) / "inception"
    if not folder.is_dir():
        return None
    if _is_saved_model(folder):
        return folder
    # Downloads are unpacked in .tmp folders, which stay behind when a process is killed.
    whole = (path for path in sorted(folder.iterdir()) if path.suffix != ".tmp")
    return next((path for path in whole if _is_saved_model(path) or path.name.endswith((".pb", *ARCHIVES))), None)


def fetch_graph(data_root: str | Path, say: Say) -> Path:
    """Fetches the graph from tensorflow-gan's own address into `data_root`/inception (or TFHUB_CACHE_DIR, if set).

    Args:
        data_root: Folder of all data sets.
        say: Takes one sentence.

    Returns:
        The SavedModel folder.

    Raises:
        MetricError: The address cannot be reached, or what it gives cannot be unpacked.
    """
    folder = Path(data_root) / "inception"
    place = f"give its path with --inception (or put it into {folder})"
    cache = Path(os.environ.get("TFHUB_CACHE_DIR") or folder)
    found = cache / hashlib.sha1(ADDRESS.encode()).hexdigest()  # as tensorflow-hub names it
    if found.is_dir():
        return found
    try:
        if reason := unreachable(f"{ADDRESS}?{_COMPRESSED}"):
            raise OSError(reason)
        say(f"Fetching the 2015 Inception graph from {ADDRESS} into {cache}.")
        _download(f"{ADDRESS}?{_COMPRESSED}", found)
    except (OSError, http.client.HTTPException, tarfile.TarError, EOFError, zlib.error) as error:
        raise MetricError(
            f"The 2015 Inception graph is not on this machine, and {ADDRESS} cannot be reached "
            f"({first_line(error)}): {place}, or connect to the network."
        ) from error
    return found


def load_graph(path: Path) -> Callable:
    """The graph as a function of images (N, 299, 299, 3) that returns a dict with `logits` and `pool_3`."""
    if path.is_dir():
        return _load_saved_model(path)
    if path.name == "saved_model.pb":
        return _load_saved_model(path.parent)
    if not path.name.endswith(ARCHIVES):
        return _load_frozen(path.read_bytes())
    with tarfile.open(path) as archive, tempfile.TemporaryDirectory() as folder:
        archive.extractall(folder, filter="data")
        graphs = sorted(Path(folder).rglob("*.pb"))
        saved = [graph.parent for graph in graphs if graph.name == "saved_model.pb"]
        if saved:
            return _load_saved_model(saved[0])
        if not graphs:
            raise ValueError("the archive holds no .pb file.")
        return _load_frozen(graphs[0].read_bytes())


def _outputs(run: Callable, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Features (N, F) and logits (N, K) of prepared images."""
    outputs = run(images)
    if not isinstance(outputs, dict):
        raise ValueError(f"it gives no outputs by the names {POOL} and {LOGITS}.")
    outputs = {name.removesuffix(":0"): output for name, output in outputs.items()}
    missing = {LOGITS, POOL} - set(outputs)
    if missing:
        raise ValueError(f"it gives {sorted(outputs)}, without {', '.join(sorted(missing))}.")
    count = tf.shape(images)[0]
    pool, logits = outputs[POOL], outputs[LOGITS]
    features = tf.reshape(pool, (count, int(np.prod(pool.shape[1:]))))
    return features, tf.reshape(logits, (count, int(np.prod(logits.shape[1:]))))


def _prepare(images: tf.Tensor, resize: str) -> tf.Tensor:
    """uint8 (N, H, W, C) to float32 (N, 299, 299, 3) in [-1, 1]."""
    scaled = resize_images(images, (SIDE, SIDE), resize) / 127.5 - 1.0
    return tf.repeat(scaled, 3, axis=-1) if images.shape[-1] == 1 else scaled


def _digest_files(path: Path) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a file, or of all files of a folder."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _load_frozen(content: bytes) -> Callable:
    definition = tf.compat.v1.GraphDef.FromString(content)
    missing = {INPUT, LOGITS, POOL} - {node.name for node in definition.node}
    if missing:
        raise ValueError(f"it has no operation {', '.join(sorted(missing))}; the graph of 2015-12-05 with logits has.")
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
    return whole.prune(f"{INPUT}:0", {LOGITS: f"{LOGITS}:0", POOL: f"{POOL}:0"})


def _load_saved_model(folder: Path) -> Callable:
    # TensorFlow 1's TF-Hub format has one graph without tags, and the file tfhub_module.pb.
    tags: list[str] | None = [] if (folder / "tfhub_module.pb").exists() else None
    with literal(folder) as place:
        model = tf.saved_model.load(place, tags=tags)
    if callable(model):
        return model
    signatures = {name: model.signatures[name] for name in model.signatures}
    usual = [name for name in ("serving_default", "default") if name in signatures]
    whole = [name for name in (*usual, *signatures) if {LOGITS, POOL} <= set(_names(signatures[name]))]
    chosen = (whole or usual or [None])[0]
    if chosen is None:
        raise ValueError(
            f"the SavedModel can neither be called nor has it a signature that gives {POOL} and {LOGITS}, only "
            f"{sorted(signatures)}."
        )
    signature = signatures[chosen]
    (argument,) = signature.structured_input_signature[1]

    def run(images: tf.Tensor) -> dict:
        assert model is not None  # kept here: a signature does not keep its variables alive
        return signature(**{argument: images})

    return run


def _names(signature: Any) -> list[str]:
    """The names of a signature's outputs."""
    outputs = signature.structured_outputs
    return [name.removesuffix(":0") for name in outputs] if isinstance(outputs, dict) else []


def _is_saved_model(path: Path) -> bool:
    return (path / "saved_model.pb").exists()


def _download(address: str, folder: Path) -> None:
    """Unpacks the compressed SavedModel at an address into a folder, which appears when it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", suffix=".tmp", dir=folder.parent) as staging:
        unpacked = Path(staging) / "module"
        with urllib.request.urlopen(address, timeout=_STALLED) as answer, gzip.GzipFile(fileobj=answer) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                archive.extractall(unpacked, filter="data")
            while stream.read(2**20):  # up to the checksum at the end
                pass
        if not _is_saved_model(unpacked):
            raise tarfile.TarError("the archive holds no SavedModel")
        try:
            unpacked.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process has fetched it meanwhile
                raise
