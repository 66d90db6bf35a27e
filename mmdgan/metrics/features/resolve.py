"""Which features are computed from: the 2015 Inception graph, a Keras network, or a classifier trained here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mmdgan.core.errors import MetricError

if TYPE_CHECKING:
    from mmdgan.data import ImageData
    from mmdgan.data.dataset import StoredImages
    from mmdgan.metrics.features.classifier import ClassifierFeatures

CHOICES = ("auto", "inception", "classifier", "keras:NAME", "keras:PATH.keras")


class Extractor(Protocol):
    """What turns images into features and logits.

    A `class_names` beside these says what classes the logits stand for, a `batch_size` how many images are best given
    at a time, and a `logit_count` K, where that may be 0.

    Attributes:
        label: "inception", "classifier", "classifier:NAME" or "keras:NAME"; the scores' names follow from it.
        feature_count: F, known before the first image is seen.
        resize: how images are brought to the network's size: a method of `resizing`, or the classifier's own.
    """

    label: str
    feature_count: int
    resize: str

    def protocol(self) -> dict:
        """Where the features come from, as JSON-able entries of every score's record."""

    def extract(self, images: np.ndarray, progress: Callable | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Runs the images, uint8 (N, H, W, C), through the network: features (N, F) and logits (N, K), float32.

        K is 0 for a network without logits.
        """


def resolve(
    features: str,
    data: ImageData | StoredImages | None,
    *,
    inception: str | Path | None = None,
    classifier_data: str | None = None,
    data_root: str | Path = "Data",
    resize: str | None = None,
    progress: Callable = print,
) -> Extractor:
    """Finds the features to score with, and says which. Call it before training: what is missing shows here.

    Args:
        features: "inception", "classifier", "keras:NAME" or "keras:PATH.keras" (see `keras_features`), or "auto":
            inception if its graph is at hand or can be fetched, else classifier.
        data: the real images; the classifier needs their labels. None where they are not a data set.
        inception: a frozen graph (.pb), an archive (.tar.gz) or a SavedModel folder of the 2015 Inception graph. None:
            looked for in `data_root`/inception, then at tensorflow-gan's own address.
        classifier_data: name of a labelled data set to train the classifier on; None for `data` itself.
        data_root: the folder of all data sets.
        resize: a method of `resizing`: "legacy", "tfgan" or "clean". None for what is usual: "legacy" for inception,
            "clean" for Keras networks, antialiased bilinear for the classifier.
        progress: takes one sentence at a time.

    Returns:
        The extractor. A classifier is trained, or read from its cache, when it is first used.

    Raises:
        MetricError: an unknown choice, a network that is missing or broken, or data without labels.
    """
    if resize is not None:
        from mmdgan.metrics.features.resizing import check_method

        check_method(resize)
    if features.startswith("keras:") and len(features) > len("keras:"):
        from mmdgan.metrics.features.keras import KerasFeatures

        network = KerasFeatures(features, resize)
        progress(f"Scores use the features of {network.label}, so they are not FID and IS.")
        return network
    if features not in CHOICES[:3]:
        raise MetricError(f"There are no features {features!r}: choose one of {', '.join(CHOICES)}.")
    classifier = _Classifier(data, classifier_data, data_root, resize, progress)
    if features == "classifier":
        return classifier.found()
    from mmdgan.metrics.features.inception import InceptionFeatures
    from mmdgan.metrics.features.inception_files import fetch_graph, find_graph

    path = find_graph(inception, data_root)
    if path is None:
        try:
            path = fetch_graph(data_root, progress)
        except MetricError as missing:
            if features == "inception":
                raise
            return classifier.instead(missing)
    extractor = InceptionFeatures(path, resize)
    progress(f"Scores use the 2015 Inception graph {path}.")
    return extractor


class _Classifier:
    """The classifier that would be taken, by the arguments of `resolve`."""

    def __init__(
        self,
        data: ImageData | StoredImages | None,
        name: str | None,
        data_root: str | Path,
        resize: str | None,
        progress: Callable,
    ) -> None:
        self._data, self._name, self._root, self._resize, self._progress = data, name, data_root, resize, progress

    def instead(self, missing: MetricError) -> ClassifierFeatures:
        """What `auto` takes when there is no Inception graph, with the sentence that says so."""
        try:
            extractor = self.found()
        except MetricError as error:
            raise MetricError(f"{error} ({missing})") from missing
        self._progress(f"Scores use the features of the {extractor.label}, so they are not FID and IS. {missing}")
        return extractor

    def found(self) -> ClassifierFeatures:
        """The extractor, with its data checked."""
        from mmdgan.metrics.features.classifier import ClassifierFeatures

        data, label = self._data, "classifier"
        if self._name and (data is None or self._name != data.name):
            from mmdgan.data import open_data

            data = open_data(self._name, data_root=self._root, say=self._progress)
            label = f"classifier:{self._name}"
        if data is None:
            raise MetricError(
                "The images are no data set with labels to train a classifier on: name one with --classifier_data, "
                "give the 2015 Inception graph with --inception, or another network by --features=keras:NAME."
            )
        self._check(data)
        folder = data.folder or Path(self._root) / data.name
        return ClassifierFeatures(data, folder, label=label, resize=self._resize, progress=self._progress)

    def _check(self, data: ImageData | StoredImages) -> None:
        if not data.labelled:
            raise MetricError(
                f"The data set {data.name} has no labels to train a classifier on: name a labelled one with "
                "--classifier_data, give the 2015 Inception graph with --inception, or train without scores by "
                "--metrics=."
            )
        if data.num_class < 2:
            raise MetricError(
                f"The data set {data.name} has a single class, on which no classifier can be trained: name another one "
                "with --classifier_data, or give the 2015 Inception graph with --inception."
            )
        if self._data is not None and data.shape[0] != self._data.shape[0]:
            raise MetricError(
                f"The images of {data.name} have {data.shape[0]} channels, and those to score "
                f"{self._data.shape[0]}: name a data set of the same kind with --classifier_data."
            )
