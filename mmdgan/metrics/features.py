"""Which features the scores are computed from: the 2015 Inception graph, or a classifier trained on labelled data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mmdgan.errors import MetricError

if TYPE_CHECKING:
    from mmdgan.data import ImageData
    from mmdgan.data.stored import StoredImages
    from mmdgan.metrics.classifier import ClassifierFeatures

CHOICES = ("auto", "inception", "classifier")


class Extractor(Protocol):
    """What turns images into features and logits.

    Attributes:
        label: "inception", "classifier" or "classifier:NAME"; the scores' names follow from it.
        feature_count: F, known before the first image is seen.
    """

    label: str
    feature_count: int

    def protocol(self) -> dict:
        """Where the features come from, as JSON-able entries of every score's record."""

    def extract(self, images: np.ndarray, progress: Callable | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Runs the images, uint8 (N, H, W, C), through the network: features (N, F) and logits (N, K), float32."""


def resolve(
    features: str,
    data: ImageData | StoredImages,
    *,
    inception: str | Path | None = None,
    classifier_data: str | None = None,
    data_root: str | Path = "Data",
    progress: Callable = print,
) -> Extractor:
    """Finds the features to score with, and says which. Call it before training: what is missing shows here.

    Args:
        features: "inception", "classifier", or "auto": inception if its graph is at hand or can be fetched, else
            classifier.
        data: the real images; the classifier needs their labels.
        inception: a frozen graph (.pb), an archive (.tar.gz) or a SavedModel folder of the 2015 Inception graph. None:
            looked for in `data_root`/inception, then at tensorflow-gan's own address.
        classifier_data: name of a labelled data set to train the classifier on; None for `data` itself.
        data_root: the folder of all data sets.
        progress: takes one sentence at a time.

    Returns:
        The extractor. A classifier is trained, or read from its cache, when it is first used.

    Raises:
        MetricError: an unknown choice, an Inception graph that is missing or broken, or data without labels.
    """
    if features not in CHOICES:
        raise MetricError(f"There are no features {features!r}: choose one of {', '.join(CHOICES)}.")
    if features == "classifier":
        return _classifier(data, classifier_data, data_root, progress)
    from mmdgan.metrics.inception import InceptionFeatures, fetch_graph, find_graph

    path = find_graph(inception, data_root)
    if path is None:
        try:
            path = fetch_graph(data_root, progress)
        except MetricError as missing:
            if features == "inception":
                raise
            return _instead(missing, data, classifier_data, data_root, progress)
    extractor = InceptionFeatures(path)
    progress(f"Scores use the 2015 Inception graph {path}.")
    return extractor


def _instead(
    missing: MetricError,
    data: ImageData | StoredImages,
    classifier_data: str | None,
    data_root: str | Path,
    progress: Callable,
) -> ClassifierFeatures:
    """The classifier that `auto` takes when there is no Inception graph, and the sentence that says so."""
    try:
        extractor = _classifier(data, classifier_data, data_root, progress)
    except MetricError as error:
        raise MetricError(f"{error} ({missing})") from missing
    progress(f"Scores use the features of the {extractor.label}, so they are not FID and IS. {missing}")
    return extractor


def _classifier(
    data: ImageData | StoredImages, classifier_data: str | None, data_root: str | Path, progress: Callable
) -> ClassifierFeatures:
    from mmdgan.metrics.classifier import ClassifierFeatures

    label, channels = "classifier", data.shape[0]
    if classifier_data and classifier_data != data.name:
        from mmdgan.data import open_data

        data = open_data(classifier_data, data_root=data_root, progress=progress)
        label = f"classifier:{classifier_data}"
    if not data.labelled:
        raise MetricError(
            f"The data set {data.name} has no labels to train a classifier on: name a labelled one with "
            "--classifier_data, give the 2015 Inception graph with --inception, or train without scores by --metrics=."
        )
    if data.num_class < 2:
        raise MetricError(
            f"The data set {data.name} has a single class, on which no classifier can be trained: name another one "
            "with --classifier_data, or give the 2015 Inception graph with --inception."
        )
    if data.shape[0] != channels:
        raise MetricError(
            f"The images of {data.name} have {data.shape[0]} channels, and those to score {channels}: name a data "
            "set of the same kind with --classifier_data."
        )
    folder = data.folder or Path(data_root) / data.name
    return ClassifierFeatures(data, folder, label=label, progress=progress)
