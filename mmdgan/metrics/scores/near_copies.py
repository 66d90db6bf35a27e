"""Near copies: generated images that are suspiciously near to a training image, which would show memorisation.

The training images say what is near: the distance within which one in a hundred of them has another one. Of a generator
that copies nothing, about one image in a hundred is nearer than that to a training image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.metrics.context import BLOCK, Context, Facts, Side
from mmdgan.metrics.intervals import of_share
from mmdgan.metrics.neighbours import nearest_neighbours
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import Metric, Score, register

SIDE = 32
PERCENTILE = 1.0
SHOWN = 8

_EXPECTED = "without copying about 0.01 are expected"


@register
class NearCopies(Metric):
    """The share of generated images that are nearer to a training image than 99% of training images to another one.

    Distances are of pixels, and then of features. The record holds the nearest pairs, each by the image's number in its
    data set or array, or among the sorted files of its folder.
    """

    identifier = "nn"
    scores = (Score("near copies[{}]", words="share of images suspiciously near to a training image"),)
    place = 8
    training = True
    slow = True

    def check(self, facts: Facts) -> None:
        facts.require_equal_shapes("nn compares pixels")
        if facts.count_training < 3:
            raise MetricError(
                "nn looks for near training images and needs at least 3 of them: name a larger reference."
            )

    def compute(self, context: Context) -> Iterator[dict]:
        generated, training, most = context.generated, context.training_side, context.options.nn_count
        chosen, others = (side.random(min(most, side.count), context.seed) for side in (generated, training))
        # The distance that counts as near is a quantile of the others', and scatters as a share of these does.
        independent = 1 / (1 / len(chosen) + 1 / len(others))

        images, known = generated.images.take(chosen), training.images.take(others)
        blocks = (_vectors(part) for part in training.images.batches(BLOCK))
        nearest = _search(_vectors(images), _vectors(known), blocks, others)
        factor, copies = shrinking_factor(generated.images.shape), _copies(images, training, nearest.numbers)
        yield make_record(
            self.scores[0].of("pixels"),
            nearest.share(),
            len(chosen),
            training.count,
            interval=of_share(nearest.share(), independent),
            note=f"{copies:,} exact copies; {_EXPECTED}",
            copies=copies,
            resize="none" if factor == 1 else f"means of {factor}x{factor} pixels",
            **nearest.details(generated, chosen, training),
        )

        nearest = _search(generated.features_of(chosen), training.features_of(others), training.blocks(), others)
        yield make_record(
            self.scores[0].of(context.label),
            nearest.share(),
            len(chosen),
            training.count,
            interval=of_share(nearest.share(), independent),
            note=_EXPECTED,
            **nearest.details(generated, chosen, training),
        )


def shrinking_factor(shape: tuple[int, int, int]) -> int:
    """By how much images are shrunk before their pixels are compared: to at most 32x32."""
    return -(-max(shape[:2]) // SIDE)


def shrink(images: np.ndarray, factor: int) -> np.ndarray:
    """Means of images, uint8 (N, H, W, C), over squares of factor x factor pixels, or over what is left of one.

    Returns:
        float32 (N, ceil(H / factor), ceil(W / factor), C), in [0, 255].
    """
    shrunk: np.ndarray = images.astype(np.float32)
    for axis in (1, 2) if factor > 1 else ():
        edges = np.arange(0, images.shape[axis], factor)
        sizes = np.diff(edges, append=images.shape[axis]).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(4)]
        shrunk = np.add.reduceat(shrunk, edges, axis=axis) / sizes.reshape(shape)
    return shrunk


class _Nearest(NamedTuple):
    """The nearest training images.

    Attributes:
        distances, numbers: Of the generated images, (N,): how far the nearest training image is, and which it is.
        among: Of some training images, (M,): how far the nearest other one is.
    """

    distances: np.ndarray
    numbers: np.ndarray
    among: np.ndarray

    @property
    def threshold(self) -> float:
        return float(np.percentile(self.among, PERCENTILE))

    def share(self) -> float:
        """The share of generated images nearer than the threshold.

        Where training images come twice, the threshold is 0, and equal images count as near.
        """
        near = self.distances < self.threshold if self.threshold > 0 else self.distances <= 0
        return float(np.mean(near))

    def details(self, generated: Side, chosen: np.ndarray, training: Side) -> dict:
        median = float(np.median(self.among))
        numbers, places = _original(training, self.numbers), _original(generated, chosen)
        closest = np.argsort(self.distances, kind="stable")[:SHOWN]
        return {
            "threshold": self.threshold,
            "median_ratio": float(np.median(self.distances)) / median if median > 0 else None,
            "closest": [
                {
                    "generated": int(places[i]),
                    "training": int(numbers[i]),
                    "distance": round(float(self.distances[i]), 4),
                }
                for i in closest
            ],
        }


def _vectors(images: np.ndarray) -> np.ndarray:
    """Shrunk images as vectors, float32 (N, D)."""
    return shrink(images, shrinking_factor(images.shape[1:])).reshape(len(images), -1)


def _search(generated: np.ndarray, known: np.ndarray, blocks: Iterable[np.ndarray], others: np.ndarray) -> _Nearest:
    """Finds the nearest training images of generated ones and of some training images, in one pass over `blocks`."""
    exclude = np.concatenate([np.full(len(generated), -1), others])
    distances, numbers = nearest_neighbours(np.concatenate([generated, known]), blocks, k=1, exclude=exclude)
    split = len(generated)
    return _Nearest(distances[:split, 0], numbers[:split, 0], distances[split:, 0])


def _original(side: Side, places: np.ndarray) -> np.ndarray:
    """What images at some places of a set are called outside: their numbers in the data set, file or folder."""
    indices = getattr(side.images, "indices", None)
    return places if indices is None else indices[places]


def _copies(images: np.ndarray, training: Side, numbers: np.ndarray) -> int:
    """How many images equal their nearest training image in every pixel."""
    copies = 0
    for start in range(0, len(images), BLOCK):
        part = slice(start, start + BLOCK)
        copies += int((images[part] == training.images.take(numbers[part])).all(axis=(1, 2, 3)).sum())
    return copies
