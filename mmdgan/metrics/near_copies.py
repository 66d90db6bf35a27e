"""The nearest training images of generated ones, which would show what the generator has learnt by heart.

How near is near is what the training images say: the distance to which one in a hundred of them has another one. In a
generator that copies nothing, about one image in a hundred is nearer than that to a training image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from mmdgan.core.errors import MetricError
from mmdgan.metrics.context import BLOCK, Context, Facts, Side
from mmdgan.metrics.records import make_record, score_name

SIDE = 32
PERCENTILE = 1.0
SHOWN = 8

_EXPECTED = "without copying about 0.01 are expected"


def nearest_pixels(context: Context) -> Iterator[dict]:
    """The share of generated images that are nearer to a training image than 99% of training images to another one.

    Distances are of pixels. The record holds the nearest pairs: `training` is the image's number in the data set (or
    among the sorted files of a folder), and `generated` the place in the set of generated images.
    """
    generated, training = context.generated, context.training_side
    chosen, others = _chosen(context)
    images, known = generated.images.take(chosen), training.images.take(others)
    blocks = (_vectors(part) for part in training.images.batches(BLOCK))
    found = _search(_vectors(images), _vectors(known), blocks, others)
    factor, copies = shrinking_factor(generated.images.shape), _copies(images, training, found[1])
    yield make_record(
        "near copies[pixels]",
        _share(found),
        len(chosen),
        training.count,
        note=f"{copies:,} exact copies; {_EXPECTED}",
        copies=copies,
        resize="none" if factor == 1 else f"means of {factor}x{factor} pixels",
        **_details(found, generated, chosen, training),
    )


def nearest_features(context: Context) -> Iterator[dict]:
    """The same with distances of features."""
    generated, training = context.generated, context.training_side
    chosen, others = _chosen(context)
    found = _search(generated.features_of(chosen), training.features_of(others), training.blocks(), others)
    details = _details(found, generated, chosen, training)
    name = score_name("near copies", context.label)
    yield make_record(name, _share(found), len(chosen), training.count, note=_EXPECTED, **details)


def check_nearest(facts: Facts) -> None:
    """Raises a MetricError unless generated and training images can be compared pixel by pixel."""
    facts.require_equal_shapes("nn compares pixels")
    if facts.count_training < 3:
        raise MetricError("nn looks for near training images and needs at least 3 of them: name a larger reference.")


def shrinking_factor(shape: tuple[int, int, int]) -> int:
    """By how much images are shrunk before their pixels are compared: to at most 32x32."""
    return -(-max(shape[:2]) // SIDE)


def shrink(images: np.ndarray, factor: int) -> np.ndarray:
    """Means over squares of factor x factor pixels; at the right and lower edge maybe over what is left of one.

    Args:
        images: uint8 (N, H, W, C).
        factor: 1 for no change.

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


def _chosen(context: Context) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the generated and of the training images whose nearest ones are looked for."""
    sides, most = (context.generated, context.training_side), context.options.nn_count
    chosen, others = (side.random(min(most, side.count), context.seed) for side in sides)
    return chosen, others


def _vectors(images: np.ndarray) -> np.ndarray:
    """Shrunk images as vectors, float32 (N, D)."""
    return shrink(images, shrinking_factor(images.shape[1:])).reshape(len(images), -1)


def _search(
    generated: np.ndarray, known: np.ndarray, blocks: Iterable[np.ndarray], others: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances (N,) and numbers (N,) of the nearest training images; and distances (M,) of training images to others.

    One pass over the training images serves both.
    """
    from mmdgan.metrics.neighbours import nearest_neighbours

    queries = np.concatenate([generated, known])
    exclude = np.concatenate([np.full(len(generated), -1), others])
    distances, numbers = nearest_neighbours(queries, blocks, k=1, exclude=exclude)
    split = len(generated)
    return distances[:split, 0], numbers[:split, 0], distances[split:, 0]


def _threshold(among: np.ndarray) -> float:
    return float(np.percentile(among, PERCENTILE))


def _share(found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
    """The share of generated images nearer than the threshold.

    Where training images come twice, the threshold is 0, and equal images count as near.
    """
    distances, _, among = found
    threshold = _threshold(among)
    near = distances < threshold if threshold > 0 else distances <= 0
    return float(np.mean(near))


def _details(
    found: tuple[np.ndarray, np.ndarray, np.ndarray], generated: Side, chosen: np.ndarray, training: Side
) -> dict:
    distances, numbers, among = found
    median = float(np.median(among))
    numbers, places = _original(training, numbers), _original(generated, chosen)
    closest = np.argsort(distances, kind="stable")[:SHOWN]
    return {
        "threshold": _threshold(among),
        "median_ratio": float(np.median(distances)) / median if median > 0 else None,
        "closest": [
            {"generated": int(places[i]), "training": int(numbers[i]), "distance": round(float(distances[i]), 4)}
            for i in closest
        ],
    }


def _original(side: Side, places: np.ndarray) -> np.ndarray:
    """What images at some places of a set are called outside: their numbers in the data set, file or folder."""
    indices = getattr(side.images, "indices", None)
    return places if indices is None else indices[places]


def _copies(images: np.ndarray, training: Side, numbers: np.ndarray) -> int:
    """How many images equal their nearest training image in every pixel."""
    return sum(
        int(np.array_equal(a, b))
        for start in range(0, len(images), BLOCK)
        for a, b in zip(
            images[start : start + BLOCK], training.images.take(numbers[start : start + BLOCK]), strict=True
        )
    )
