"""LeNet-5 as a classifier of a data set of 1x28x28 images: trained once, its weights kept with the data.

Source of the network: `architectures/mnist.py`, LENET_CLASSIFIER. Two passes with Adam at 1e-3 over all images but a
held-out tenth; the same seed gives the same weights on one machine.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mmdgan.core.errors import DataError
from mmdgan.core.workers import run_jobs
from mmdgan.runs.experiment import Experiment

PASSES, BATCH, RATE = 2, 64, 1e-3


def with_lenet(experiment: Experiment, train: bool = False) -> Experiment:
    """An experiment whose critic begins with the weights of its data's LeNet, unless it has others.

    Args:
        experiment: The experiment.
        train: Whether to train LeNet if its weights are not there.

    Raises:
        DataError: LeNet cannot be trained on these data.
    """
    if experiment.critic_weights is not None:
        return experiment
    file = weights_file(experiment.data, experiment.data_root)
    if train:
        ensure(experiment.data, experiment.data_root, experiment.source)
    return dataclasses.replace(experiment, critic_weights=str(file))


def weights_file(data: str, data_root: str = "Data") -> Path:
    """Where the weights of a data set's LeNet are kept."""
    return Path(data_root) / data / "lenet.npz"


def ensure(data: str, data_root: str = "Data", source: str | None = None) -> Path:
    """The file of weights; trains the network in a process of its own if there is none.

    Raises:
        DataError: It cannot be trained.
    """
    path = weights_file(data, data_root)
    if not path.is_file():
        print(f"Training LeNet on {data}.", flush=True)
        # In its own process: this one has yet to choose TensorFlow's devices and seeds.
        [(_, accuracy)] = run_jobs(_train_job, [(data, data_root, source)], 1, lambda _: None)
        print(f"LeNet finds the class of {accuracy:.1%} of the held-out images of {data}: {path}", flush=True)
    return path


def _train_job(job: tuple[str, str, str | None], _: Any) -> float:
    return train(*job)


def train(data: str, data_root: str = "Data", source: str | None = None, seed: int = 0, passes: int = PASSES) -> float:
    """Trains LeNet on the labelled images of a data set and keeps its weights.

    Args:
        data: Name of a data set of 1x28x28 images in 10 classes.
        data_root: Folder of the data sets.
        source: A copy of it to convert.
        seed: Seed of weights and order.
        passes: Passes over the images.

    Returns:
        The share of held-out images whose class is found.

    Raises:
        DataError: Images of another size, or without labels.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from mmdgan import data as data_sets
    from mmdgan.design.files import load_dictionary
    from mmdgan.metrics.features.classifier import split_indices
    from mmdgan.networks import weights
    from mmdgan.networks.network import build_network

    images = data_sets.open_data(data, data_root=data_root, source=source, say=print)
    if tuple(images.shape) != (1, 28, 28) or not images.labelled or images.num_class != 10:
        raise DataError(
            f"LeNet tells 10 classes of 1x28x28 images; {data} has {images.shape}, {images.num_class} classes."
        )
    keras.utils.set_random_seed(seed)
    network = build_network(load_dictionary("mnist/LENET_CLASSIFIER"), (1, 28, 28), data_format="channels_last")
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(network.trainable_variables)

    def prepare(chosen: Any) -> Any:
        pixels, labels = images.take(chosen)
        return tf.constant(pixels.transpose(0, 2, 3, 1).astype(np.float32) / 127.5 - 1.0), tf.constant(labels)

    @tf.function(autograph=False)
    def step(pixels: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = network(pixels, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)
        return loss

    train_on, test_on = split_indices(images)
    order = np.random.default_rng(seed)
    for _ in range(passes):
        shuffled = order.permutation(train_on)
        for start in range(0, len(shuffled) - BATCH + 1, BATCH):
            step(*prepare(shuffled[start : start + BATCH]))
    right = 0
    for start in range(0, len(test_on), 500):
        pixels, labels = prepare(test_on[start : start + 500])
        right += int(np.sum(np.argmax(network(pixels, training=False), axis=1) == labels.numpy()))
    weights.save(network, weights_file(data, data_root))
    return right / len(test_on)
