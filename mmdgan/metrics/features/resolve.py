"""Which features the scores use: the 2015 Inception graph, a Keras network, or a classifier trained here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmdgan.core.errors import MetricError
from mmdgan.core.progress import Say, log
from mmdgan.metrics.features.extractor import Extractor, check_method

if TYPE_CHECKING:
    from mmdgan.data import ImageData
    from mmdgan.data.dataset import StoredImages
    from mmdgan.metrics.features.classifier import ClassifierFeatures

CHOICES = ("auto", "inception", "classifier", "dinov2", "clip", "hub:PRESET", "keras:NAME", "keras:PATH.keras")


def resolve(
    features: str,
    data: ImageData | StoredImages | None,
    *,
    inception: str | Path | None = None,
    classifier_data: str | None = None,
    data_root: str | Path = "Data",
    resize: str | None = None,
    say: Say = log,
) -> Extractor:
    """Finds the features to score with, and says which. Call it before training, which shows what is missing.

    Args:
        features: "inception", "classifier", "dinov2", "clip", "hub:PRESET", "keras:NAME" or "keras:PATH.keras" (see
            `features.keras`), or "auto": inception if its graph is at hand or can be fetched, else classifier.
        data: The real images; the classifier needs their labels. None where they are not a data set.
        inception: A frozen graph (.pb), an archive (.tar.gz) or a SavedModel folder of the 2015 Inception graph. None:
            looked for in `data_root`/inception, then at tensorflow-gan's own address.
        classifier_data: Name of a labelled data set to train the classifier on; None for `data` itself.
        data_root: Folder of all data sets.
        resize: "legacy", "tfgan" or "clean". None for the usual one: "legacy" for inception, "clean" for Keras
            networks, antialiased bilinear for the classifier.
        say: Takes one sentence at a time.

    Returns:
        The extractor. A classifier is trained, or read from its cache, when it is first used.

    Raises:
        MetricError: The choice is unknown, a network is missing or broken, or the data have no labels.
    """
    if resize is not None:
        check_method(resize)
    kind, _, network = features.partition(":")
    if features in ("dinov2", "clip") or kind in ("keras", "hub") and network:
        from mmdgan.metrics.features.keras import KerasFeatures

        extractor = KerasFeatures(features, resize)
        say(f"Scores use the features of {extractor.label}, so they are not FID and IS.")
        return extractor
    if features not in CHOICES[:3]:
        raise MetricError(f"There are no features {features!r}: choose one of {', '.join(CHOICES)}.")
    if features == "classifier":
        return _classifier(data, classifier_data, data_root, resize, say)
    from mmdgan.metrics.features.inception import InceptionFeatures, fetch_graph, find_graph

    path = find_graph(inception, data_root)
    if path is None:
        try:
            path = fetch_graph(data_root, say)
        except MetricError as missing:
            if features == "inception":
                raise
            try:
                classifier = _classifier(data, classifier_data, data_root, resize, say)
            except MetricError as error:
                raise MetricError(f"{error} ({missing})") from missing
            what = "a small classifier trained on " + (classifier_data or "the images themselves")
            say(f"Scores use {what}, and are named FD[{classifier.label}] and so on, not FID. {missing}")
            return classifier
    inception_features = InceptionFeatures(path, resize)
    say(f"Scores use the 2015 Inception graph {path}.")
    return inception_features


def _classifier(
    data: ImageData | StoredImages | None, name: str | None, data_root: str | Path, resize: str | None, say: Say
) -> ClassifierFeatures:
    """The classifier of the data set `name`, or else of the images to score; its data are checked."""
    from mmdgan.data import open_data
    from mmdgan.metrics.features.classifier import ClassifierFeatures

    scored, label = data, "classifier"
    if name and (data is None or name != data.name):
        data, label = open_data(name, data_root=data_root, say=say), f"classifier:{name}"
    if data is None:
        raise MetricError(
            "The images are not a data set with labels to train a classifier on: name one with --classifier_data, "
            "give the 2015 Inception graph with --inception, or another network by --features=keras:NAME."
        )
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
    if scored is not None and data.shape[0] != scored.shape[0]:
        raise MetricError(
            f"The images of {data.name} have {data.shape[0]} channels, and those to score {scored.shape[0]}: name a "
            "data set of the same kind with --classifier_data."
        )
    folder = data.folder or Path(data_root) / data.name
    return ClassifierFeatures(data, folder, label=label, resize=resize, say=say)
