"""Features of a small classifier trained on the labelled data set itself.

They stand in for Inception's where its graph is not available, or where images are unlike photographs. Training happens
once per data set: the weights are stored next to the data, with the accuracy on a tenth of the images that is held out.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from mmdgan.core.errors import MetricError
from mmdgan.core.files import atomic
from mmdgan.core.gradients import free_with_graphs
from mmdgan.core.progress import Say, Ticker, log
from mmdgan.data.pipeline import channels_last
from mmdgan.metrics.features.extractor import METHODS, Extractor, check_method, digest_arrays, resize_images

if TYPE_CHECKING:
    import keras

    from mmdgan.data import ImageData
    from mmdgan.data.dataset import StoredImages

RECIPE = 1  # part of the cache's name: raise it with any change to the network or its training
FEATURES = 128
LARGEST_SIDE = 64
HELD_OUT = 0.1
BATCH = 100
EXTRACT_BATCH = 500
# Images shown in training: four times each, but no fewer than the first number, nor more than the second (CIFAR-10's).
PASSES = 4
PRESENTATIONS = (40_000, 180_000)
PEAK_RATE = 3e-3
SEED = 20190521  # its own, so that no user's choice of images happens to be the held-out ones


class ClassifierFeatures(Extractor):
    """The extractor of a classifier: features are its last hidden layer, logits its outputs.

    Its label is "classifier" when it is trained on the data at hand, "classifier:NAME" when on another set.

    Attributes:
        class_names: The classes that the logits stand for.
    """

    feature_count = FEATURES
    batch_size = EXTRACT_BATCH

    def __init__(
        self,
        data: ImageData | StoredImages,
        folder: Path,
        *,
        label: str = "classifier",
        resize: str | None = None,
        say: Say = log,
    ) -> None:
        """Nothing is trained or read before the first use.

        Args:
            data: Labelled images.
            folder: Where the trained weights are stored.
            label: As above.
            resize: One of `METHODS` for the images that are scored; None for antialiased bilinear, which the
                classifier is trained with in any case.
            say: Takes one sentence at a time.
        """
        self.label, self.resize = label, check_method(resize) if resize else "antialiased"
        self.class_names = tuple(data.class_names) or tuple(str(i) for i in range(data.num_class))
        self._data, self._folder, self._say = data, Path(folder), say
        channels, height, width = data.shape
        self._input_shape = (min(height, LARGEST_SIDE), min(width, LARGEST_SIDE), channels)
        self._model: Any = None  # a keras.Model, once prepared
        self._facts: dict = {}

    def prepare(self) -> None:
        """Reads the classifier from its cache, or trains it and writes it there."""
        if self._model is not None:
            return
        model = build_classifier(self._input_shape, self._data.num_class)
        path = self._folder / f"classifier-{RECIPE}-{self._data.fingerprint()[:12]}.npz"
        facts = _read(path, model)
        if facts is None:
            with contextlib.suppress(OSError):  # a damaged file must not be taken for that of a faster process
                path.unlink()
            facts = train_classifier(model, self._data, self._say)
            facts = _keep(path, model, facts, self._say)
        self._model, self._facts = model, facts

    def protocol(self) -> dict:
        self.prepare()
        height, width, _ = self._input_shape
        return {
            "features": self.label,
            "feature_source": f"classifier of {self._data.name}, trained on {self._facts['trained_on']:,} images",
            "feature_hash": self._facts["hash"],
            "feature_count": self.feature_count,
            "classifier_accuracy": self._facts["accuracy"],
            "classifier_test_count": self._facts["tested_on"],
            "resize": f"{METHODS.get(self.resize, 'antialiased bilinear')} to {height}x{width} where the size differs",
        }

    def _check_channels(self, channels: int) -> None:
        if channels != self._input_shape[-1]:
            raise MetricError(
                f"The {self.label} takes images of {self._input_shape[-1]} channels, not {channels}: name a data set "
                "of the same kind with --classifier_data."
            )

    def _compute(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self.resize in METHODS:
            prepared = resize_images(images, self._input_shape[:2], self.resize) / 127.5 - 1.0
        else:
            prepared = _prepare(images, self._input_shape)
        return self._model(prepared, training=False)

    def extract(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.prepare()
        return super().extract(images)


def build_classifier(input_shape: tuple[int, int, int], num_class: int) -> keras.Model:
    """The network, from images in [-1, 1], float32 (N, H, W, C), to [features (N, 128), logits (N, K)].

    Three convolutions, 32 to 128 channels, down to an eighth of the side, and two dense layers. Every name, seed and
    type is given: building it changes neither Keras' counters nor other random numbers.
    """
    from keras import Input, Model, initializers, layers

    def settings(name: str, seed: int) -> dict:
        return {"name": name, "dtype": "float32", "kernel_initializer": initializers.HeNormal(seed=seed)}

    def normalise(hidden: Any, name: str) -> Any:
        hidden = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm", dtype="float32")(hidden)
        return layers.ReLU(name=f"{name}_relu", dtype="float32")(hidden)

    def convolve(hidden: Any, name: str, channels: int, kernel: int, stride: int, seed: int) -> Any:
        made = layers.Conv2D(channels, kernel, stride, "same", "channels_last", use_bias=False, **settings(name, seed))
        return normalise(made(hidden), name)

    def pool(hidden: Any, name: str) -> Any:
        return layers.MaxPooling2D(padding="same", data_format="channels_last", name=name, dtype="float32")(hidden)

    images = Input(input_shape, name="images", dtype="float32")
    hidden = convolve(images, "conv_1", 32, 4, 2, seed=1)
    hidden = pool(convolve(hidden, "conv_2", 64, 3, 1, seed=2), "pool_2")
    hidden = pool(convolve(hidden, "conv_3", 128, 3, 1, seed=3), "pool_3")
    hidden = layers.Flatten(data_format="channels_last", name="flat", dtype="float32")(hidden)
    hidden = layers.Dense(FEATURES, use_bias=False, **settings("dense_4", 4))(hidden)
    features = normalise(hidden, "features")
    logits = layers.Dense(num_class, **settings("logits", 5))(features)
    return Model(images, [features, logits], name="classifier")


def train_classifier(model: keras.Model, data: ImageData | StoredImages, say: Say) -> dict:
    """Trains the classifier with Adam and a cosine schedule, on all but a tenth of the images.

    Returns:
        {"accuracy": on the held-out images, "trained_on": count, "tested_on": count}.
    """
    train, test = split_indices(data)
    shape = tuple(model.input_shape[1:])
    steps = int(np.clip(PASSES * len(train), *PRESENTATIONS)) // BATCH
    step = _training_step(model, steps)
    order = np.random.default_rng((SEED, 1))
    queue = np.empty(0, np.int64)
    task = f"Training the scores' classifier on {data.name}"
    say(f"{task}, once: {len(train):,} images, {steps:,} steps.")
    with Ticker() as ticker:
        for number in range(1, steps + 1):
            while len(queue) < BATCH:
                queue = np.concatenate([queue, order.permutation(train)])
            chosen, queue = queue[:BATCH], queue[BATCH:]
            images, labels = _take(data, chosen)
            loss = step(_prepare(images, shape), tf.constant(labels))
            if ticker.due():
                left = ticker.elapsed / number * (steps - number)
                ticker.report(f"{task}: step {number:,}/{steps:,}, loss {float(loss):.3f}, {left:.0f} s left", say)
    right = 0
    for start in range(0, len(test), EXTRACT_BATCH):
        chosen = test[start : start + EXTRACT_BATCH]
        images, labels = _take(data, chosen)
        _, logits = model(_prepare(images, shape), training=False)
        right += int(np.sum(np.argmax(logits, axis=1) == labels))
    accuracy = right / len(test)
    say(f"Trained in {ticker.elapsed:.0f} s: {accuracy:.1%} of {len(test):,} held-out images are right.")
    return {"accuracy": accuracy, "trained_on": len(train), "tested_on": len(test)}


def split_indices(data: ImageData | StoredImages) -> tuple[np.ndarray, np.ndarray]:
    """Divides a data set into images to train on and a held-out tenth; images of one of its `groups` stay together.

    Returns:
        The indices of both parts, sorted.

    Raises:
        MetricError: All images are of one group, or there is a single image.
    """
    groups = getattr(data, "groups", None)
    groups = np.arange(data.count) if groups is None else np.asarray(groups)
    names = np.random.default_rng((SEED, 0)).permutation(np.unique(groups))
    if len(names) < 2:
        raise MetricError(f"The data set {data.name} is too small to train a classifier on: give --classifier_data.")
    held_out = np.isin(groups, names[: max(1, round(HELD_OUT * len(names)))])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _training_step(model: keras.Model, steps: int) -> Callable:
    from keras import optimizers

    warm_up = max(1, steps // 5)
    rate = optimizers.schedules.CosineDecay(
        PEAK_RATE / 10, max(1, steps - warm_up), warmup_target=PEAK_RATE, warmup_steps=warm_up
    )
    optimizer = optimizers.Adam(rate, name="classifier_adam")
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False, reduce_retracing=True)
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            _, logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        free_with_graphs()
        return loss

    return step


def _take(data: ImageData | StoredImages, chosen: np.ndarray) -> tuple[np.ndarray, Any]:
    """The chosen images, uint8 (n, H, W, C), and their labels, int64 (n,)."""
    images, labels = data.take(chosen)
    return channels_last(images), labels


def _prepare(images: np.ndarray | tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """uint8 (n, H, W, C) to float32 in [-1, 1] of the classifier's size."""
    scaled = tf.cast(images, tf.float32) / 127.5 - 1.0
    if tuple(scaled.shape[1:3]) == shape[:2]:
        return scaled
    return tf.image.resize(scaled, shape[:2], "bilinear", antialias=True)


def _read(path: Path, model: keras.Model) -> dict | None:
    """Sets the weights stored at `path` and returns their facts; None if there is no complete, matching file."""
    try:
        with np.load(path) as file:
            facts = json.loads(str(file["facts"]))
            weights = [file[f"w{i}"] for i in range(len(model.weights))]
        if digest_arrays(weights) != facts["hash"]:
            return None
        model.set_weights(weights)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return facts


def _keep(path: Path, model: keras.Model, facts: dict, say: Say) -> dict:
    """Stores the weights, unless another process was faster: then takes its weights, so that both score alike."""
    weights = model.get_weights()
    facts = {**facts, "hash": digest_arrays(weights)}
    try:
        with atomic(path, first=True) as partial:
            np.savez(partial, facts=json.dumps(facts), **{f"w{i}": array for i, array in enumerate(weights)})
    except OSError as error:
        say(f"The classifier cannot be kept at {path} ({error}), and is trained again next time.")
    return _read(path, model) or facts
