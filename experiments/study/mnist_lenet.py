"""LeNet-5 as a classifier of a data set of 1x28x28 images: trained once, its weights kept beside the data.

    python -m study.mnist_lenet fashion_mnist Data

Source of the network: `architectures/mnist.py`, LENET_CLASSIFIER. Two passes with Adam at 1e-3 over all images but a
held-out tenth; the same seed gives the same weights on one machine.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import DataError
from mmdgan.runs.experiment import Experiment

if TYPE_CHECKING:
    import keras

PASSES, BATCH, RATE = 2, 64, 1e-3


@dataclasses.dataclass(frozen=True)
class LeNetExperiment(Experiment):
    """An experiment whose critic begins with LeNet's weights, which are trained before it if they are not there."""

    def resolved(self) -> Experiment:
        experiment = super().resolved()
        return dataclasses.replace(experiment, critic_weights=self.critic_weights or str(self._file))

    def run(self, callbacks: Sequence[keras.callbacks.Callback] = ()) -> dict[str, Any]:
        if self.critic_weights is None and not self._file.is_file():
            ensure(self.data, self.data_root, self.source)
        return super().run(callbacks)

    @property
    def _file(self) -> Path:
        return weights_file(self.data, self.data_root)


def weights_file(data: str, data_root: str = "Data") -> Path:
    """Where the weights of a data set's LeNet are kept."""
    return Path(data_root) / data / "lenet.npz"


def ensure(data: str, data_root: str = "Data", source: str | None = None) -> Path:
    """The file of weights; trains the network in a process of its own if there is none.

    Raises:
        DataError: it cannot be trained; the process has said why.
    """
    path = weights_file(data, data_root)
    if not path.is_file():
        # Of its own: the run that wants the weights has yet to choose TensorFlow's devices and seeds.
        words = [sys.executable, "-m", "study.mnist_lenet", data, str(data_root), *([source] if source else [])]
        if subprocess.run(words, check=False).returncode or not path.is_file():
            raise DataError(f"LeNet could not be trained on {data}; what is wrong stands above.")
    return path


def train(data: str, data_root: str = "Data", source: str | None = None, seed: int = 0, passes: int = PASSES) -> float:
    """Trains LeNet on the labelled images of a data set and keeps its weights.

    Args:
        data: name of a data set of 1x28x28 images in 10 classes.
        data_root: where it is.
        source: a copy of it to convert.
        seed: of weights and order.
        passes: over the images.

    Returns:
        The share of held-out images whose class is found.

    Raises:
        DataError: images of another size, or without labels.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from mmdgan import data as data_sets
    from mmdgan.design.files import load_dictionary
    from mmdgan.metrics.features.classifier import split_indices
    from mmdgan.networks import weights
    from mmdgan.networks.network import build_network

    images = data_sets.open_data(data, data_root=data_root, source=source)
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


def main(words: list[str]) -> None:
    """Trains with the data set, its root and its source as words, and says how well."""
    given: Any = words
    accuracy = train(*given)
    print(f"LeNet finds the class of {accuracy:.1%} of the held-out images of {words[0]}: {weights_file(*words[:2])}")


if __name__ == "__main__":
    main(sys.argv[1:])
