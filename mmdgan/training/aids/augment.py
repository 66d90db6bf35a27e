"""What the critic sees of images, real and generated alike: random changes and noise, through which gradients pass.

Augmentation as Zhao et al. 2020 (DiffAugment): a critic that never sees the images themselves cannot memorise a small
data set; the generator learns through the changes, so that it does not copy them. The kinds, in the order in which they
apply:

| kind | change |
|---|---|
| color | brightness: a number of U(-1/2, 1/2) is added; saturation: a pixel's difference from the mean of its
channels is multiplied by U(0, 2); contrast: that from the image's mean by U(1/2, 3/2) |
| translation | by whole pixels, uniform up to 1/8 of height and width (rounded) either way; zeros (grey) come in |
| cutout | a square of half of height and width (rounded), centred anywhere in the image, becomes zero (grey) |

Each image has its own numbers, functions of (seed, step, index in the batch of all replicas). With a probability p < 1
(Karras et al. 2020) each kind changes an image, or leaves it as it is, by a toss of its own.

Instance noise is Gaussian noise on real and generated images, so that both distributions overlap (Arjovsky and Bottou
2017, section 3; Sønderby et al. 2017, section 4, who let it decay linearly, as here).

The probability p may be adapted while training goes on (`AdaptiveProbability`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from mmdgan.core import random
from mmdgan.core.errors import ConfigError
from mmdgan.losses.mmd import witness
from mmdgan.losses.registry import Loss
from mmdgan.training.aids.settings import KINDS, Aids

REAL, GENERATED = range(2)
"""Streams of random numbers: real and generated images are changed in the same ways, by different numbers."""

_AUGMENT, _NOISE = range(2)

Draw = Callable[[int | tf.Tensor, Callable[[int | tf.Tensor], tf.Tensor]], tf.Tensor]
"""(number of this replica's images, function that draws for the images of all replicas) -> this replica's rows."""

_NUMBERS = {"color": 3, "translation": 2, "cutout": 2}
"""How many numbers of U(0, 1) a kind takes for each image, besides that of its toss."""

INTERVAL = 4
"""Steps between two moves of p."""

_UNDECIDED_AT_ZERO = ("logistic", "minimax", "hinge")


class CriticInput:
    """Makes of images what the critic sees.

    Args:
        aids: Settings, of which it takes `augment` and `instance_noise`.
        data_format: Data format of the images.
        shape: Shape of one of the critic's inputs: (C, H, W) in either format, or (features,).
        dtype: Dtype of these inputs.
        step: Number of steps taken, on which the noise depends.
        probability: Probability of each kind of change; None: always.

    Raises:
        ConfigError: `augment` for a critic that takes no images.
    """

    def __init__(
        self,
        aids: Aids,
        data_format: str,
        shape: tuple[int, ...],
        dtype: str,
        step: tf.Variable,
        probability: tf.Variable | None,
    ) -> None:
        if aids.augment and len(shape) != 3:
            raise ConfigError(f"augment changes images, but the critic takes vectors of {shape[0]}; leave it out.")
        self._aids = aids
        self._data_format, self._shape, self._dtype = data_format, shape, dtype
        self._step = step
        self._probability = probability

    def draw(self, count: int | tf.Tensor, which: int, seed: tf.Tensor, draw: Draw) -> tuple:
        """Draws the numbers (count, ...) by which images are changed: those of the augmentation, and the noise.

        Args:
            count: Number of images of this replica.
            which: `REAL` or `GENERATED`.
            seed: This step's seed, (2,) integers.
            draw: Draws for all replicas, and takes this one's rows.
        """
        kinds, numbers, noise = self._aids.augment, None, None
        if kinds:
            own = random.stream(random.stream(seed, which), _AUGMENT)
            numbers = draw(count, lambda total: draw_numbers(total, kinds, own))
        if self._aids.instance_noise is not None:
            other = random.stream(random.stream(seed, which), _NOISE)
            noise = draw(count, lambda total: self._normal(total, other))
        return numbers, noise

    def __call__(self, images: tf.Tensor, numbers: tf.Tensor | None, noise: tf.Tensor | None) -> tf.Tensor:
        """Changes images (n, ...) in [-1, 1] by their rows of what `draw` has drawn; gradients pass through."""
        if numbers is not None:
            images = augment(images, self._aids.augment, numbers, self._data_format, self._read_probability())
        if noise is not None:
            images = images + tf.cast(self._sigma(), images.dtype) * noise
        return images

    def _normal(self, count: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Standard normal numbers like the images; the same ones in either data format."""
        if len(self._shape) == 1:
            return random.normal((count, *self._shape), seed, self._dtype)
        channels, height, width = self._shape
        drawn = random.normal((count, height, width, channels), seed, self._dtype)
        return drawn if self._data_format == "channels_last" else tf.transpose(drawn, (0, 3, 1, 2))

    def _sigma(self) -> tf.Tensor:
        """The noise's standard deviation: from the first one linearly to 0 after so many steps."""
        assert self._aids.instance_noise is not None
        first, steps = self._aids.instance_noise
        with random.outside():
            done = tf.cast(self._step, tf.float64) / steps
            return first * tf.maximum(1.0 - done, 0.0)

    def _read_probability(self) -> tf.Tensor | None:
        if self._probability is None:
            return None
        with random.outside():
            return tf.convert_to_tensor(self._probability)


def augment(
    images: tf.Tensor,
    kinds: tuple[str, ...],
    numbers: tf.Tensor,
    data_format: str = "channels_last",
    probability: tf.Tensor | float | None = None,
) -> tf.Tensor:
    """Changes each image by its own random numbers.

    Args:
        images: (N, H, W, C) or, with channels_first, (N, C, H, W); floating-point, with grey at 0.
        kinds: Some of `KINDS`; they apply in the order of `KINDS`.
        numbers: (N, `count_numbers(kinds)`) of U(0, 1).
        data_format: "channels_last" or "channels_first".
        probability: Probability p with which each kind changes an image; None for 1.

    Returns:
        The changed images; differentiable in `images`.
    """
    axes = (1, 2, 3) if data_format == "channels_last" else (2, 3, 1)
    numbers = tf.cast(numbers, images.dtype)
    start = 0
    for kind in (kind for kind in KINDS if kind in kinds):
        end = start + _NUMBERS[kind]
        drawn, toss, start = numbers[:, start:end], numbers[:, end], end + 1
        changed = _FUNCTIONS[kind](images, drawn, axes)
        if probability is not None:
            taken = tf.reshape(toss < tf.cast(probability, toss.dtype), (-1, 1, 1, 1))
            changed = tf.where(taken, changed, images)
        images = changed
    return images


def count_numbers(kinds: tuple[str, ...]) -> int:
    """How many random numbers an image takes."""
    return sum(_NUMBERS[kind] + 1 for kind in kinds)


def draw_numbers(count: int | tf.Tensor, kinds: tuple[str, ...], seed: tf.Tensor) -> tf.Tensor:
    """The numbers of `count` images, (count, `count_numbers(kinds)`): a function of the seed, (2,) integers."""
    return random.uniform((count, count_numbers(kinds)), seed)


def _color(images: tf.Tensor, drawn: tf.Tensor, axes: tuple[int, int, int]) -> tf.Tensor:
    brightness, saturation, contrast = (drawn[:, i][:, None, None, None] for i in range(3))
    images = images + (brightness - 0.5)
    grey = tf.reduce_mean(images, axes[2], keepdims=True)
    images = grey + (images - grey) * (2.0 * saturation)
    mean = tf.reduce_mean(images, (1, 2, 3), keepdims=True)
    return mean + (images - mean) * (0.5 + contrast)


def _translation(images: tf.Tensor, drawn: tf.Tensor, axes: tuple[int, int, int]) -> tf.Tensor:
    for axis, number in zip(axes[:2], (drawn[:, 0], drawn[:, 1]), strict=True):
        size = images.shape[axis]
        most = round(size / 8)
        shift = _whole(number, -most, most)
        # Pixel i comes from i - shift, or is grey. A product with a 0-1 matrix, whose gradient is another: XLA and all
        # of TensorFlow's devices have it.
        source = tf.range(size)[None, :, None] - shift[:, None, None]
        matrix = tf.cast(tf.equal(source, tf.range(size)[None, None, :]), images.dtype)
        equation = {1: "nij,njab->niab", 2: "nij,najb->naib", 3: "nij,nabj->nabi"}[axis]
        images = tf.einsum(equation, matrix, images)
    return images


def _cutout(images: tf.Tensor, drawn: tf.Tensor, axes: tuple[int, int, int]) -> tf.Tensor:
    inside = tf.ones((1, 1, 1, 1), tf.bool)
    for axis, number in zip(axes[:2], (drawn[:, 0], drawn[:, 1]), strict=True):
        size = images.shape[axis]
        length = round(size / 2)
        start = _whole(number, 0, size - length % 2) - length // 2
        place = tf.range(size)[None, :] - start[:, None]
        row = tf.logical_and(place >= 0, place < length)
        inside = tf.logical_and(inside, tf.reshape(row, [-1] + [size if a == axis else 1 for a in (1, 2, 3)]))
    return tf.where(inside, tf.zeros((), images.dtype), images)


def _whole(number: tf.Tensor, least: int, most: int) -> tf.Tensor:
    """Uniform whole numbers from `least` to `most`, of numbers of U(0, 1)."""
    count = most - least + 1
    return least + tf.minimum(tf.cast(number * count, tf.int32), count - 1)


_FUNCTIONS: dict[str, Callable[[tf.Tensor, tf.Tensor, tuple[int, int, int]], tf.Tensor]] = {
    "color": _color,
    "translation": _translation,
    "cutout": _cutout,
}


class AdaptiveProbability(tf.Module):
    """Adaptive augmentation (ADA): the probability p of the changes follows how far the critic overfits.

    Karras et al. 2020 (section 3): every 4 steps p moves by a fixed amount, up if the mean of the measure over these
    steps (`overfitting`) is above the target, else down, within [0, 1]; the amount is such that p goes from 0 to 1 over
    500,000 real images.

    Args:
        target: Target of the measure.
        images: Number of real images over which p goes from 0 to 1 if it only rises.

    Attributes:
        probability: Probability p (tf.Variable, float32).
    """

    def __init__(self, target: float, images: int) -> None:
        super().__init__(name="ada")
        self.target = float(target)
        self.images = int(images)
        self.probability = tf.Variable(0.0, trainable=False, name="probability")
        self._sum = tf.Variable(0.0, trainable=False, name="sum")
        self._steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="steps")

    def state(self) -> dict[str, tf.Variable]:
        """Returns what a checkpoint must hold."""
        return {"ada/probability": self.probability, "ada/sum": self._sum, "ada/steps": self._steps}

    def update(self, measure: tf.Tensor, images: int | tf.Tensor) -> None:
        """Adds one step's measure; moves p after every `INTERVAL` steps.

        Args:
            measure: The measure r, a scalar.
            images: Number of real images in a step.
        """
        total, steps = self._sum + tf.cast(measure, tf.float32), self._steps + 1
        due = steps >= INTERVAL
        amount = tf.cast(images, tf.float32) * (INTERVAL / self.images)
        moved = self.probability + amount * tf.sign(total / INTERVAL - self.target)
        self.probability.assign(tf.where(due, tf.clip_by_value(moved, 0.0, 1.0), self.probability))
        self._sum.assign(tf.where(due, 0.0, total))
        self._steps.assign(tf.where(due, tf.zeros_like(steps), steps))


def overfitting(
    loss: Loss,
    score_gen: tf.Tensor,
    score_data: tf.Tensor,
    seed: tf.Tensor | None = None,
    state: Mapping[str, tf.Tensor] | None = None,
) -> tf.Tensor:
    """The measure r of one batch, from -1 to 1: about 0 if the critic cannot tell real images from generated ones.

    - logistic, minimax and hinge losses: r_t = mean sign D(real) of Karras et al. 2020, for a score of 0 is where the
      critic is undecided.
    - MMD losses have no such score: D gives d numbers whose distances count. Their critic's verdict on an image is the
      witness f(z) = mean_j k(z, x_j) - mean_j k(z, y_j) of its scores z against those of real images x and generated
      ones y (Gretton et al. 2012, section 2.3), taken against images that z is not among: the batch is cut in halves,
      each of which is judged by the other. The sign of f is of no use: a repulsive critic spreads the scores of real
      images out, so that most witnesses are negative, the real images' less so. Its order is: r = mean sign(f(real) -
      f(generated)) over all pairs of a half, which is 2 AUC - 1 of the witness as a classifier (the statistic of Mann
      and Whitney).
    - wasserstein: the same of the scores themselves, which have no zero either.

    Like r_t, this is high whenever the critic wins, also against a generator that is merely bad: at the beginning.

    Args:
        loss: The critic's loss.
        score_gen: (N, d) scores of generated images, N >= 2.
        score_data: (N, d) scores of real ones.
        seed, state: As the loss takes them, for the width of a random-width loss.
    """
    if loss.canonical in _UNDECIDED_AT_ZERO:
        return tf.reduce_mean(tf.sign(score_data))
    kernel = loss.penalty_kernel(score_gen, score_data, seed, state)
    if not kernel:
        return _order(tf.reduce_mean(score_data, 1), tf.reduce_mean(score_gen, 1))
    kind = "rational_quadratic" if "alpha" in kernel else "gaussian"
    halves = [(score_data[half::2], score_gen[half::2]) for half in range(2)]
    found = []
    for own, other in (halves, halves[::-1]):
        values = [witness(scores, *other, kind, **kernel) for scores in own]
        found.append(_order(*values))
    return tf.add_n(found) / 2


def _order(real: tf.Tensor, generated: tf.Tensor) -> tf.Tensor:
    """The mean of sign(real - generated) over all pairs."""
    return tf.reduce_mean(tf.sign(real[:, None] - generated[None, :]))
