"""What metrics are computed from: both image sets, with features that are computed once, and what is known before."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np
from mmdgan.core.progress import Say

if TYPE_CHECKING:
    from mmdgan.metrics.features.cache import Features
    from mmdgan.metrics.features.extractor import Extractor
    from mmdgan.metrics.moments import Moments
    from mmdgan.metrics.sets import ImageSet

# Features of a set that take more bytes are not kept, but computed block by block as they are needed.
LARGEST_FEATURES = 2**30
BLOCK = 500


@dataclass(frozen=True)
class EvaluateOptions:
    """How metrics are computed; each record says what applies to it.

    Attributes:
        k: Number of neighbours for precision, recall, density and coverage.
        splits: Number of parts for the second classifier score.
        block_size: The largest number of images in a block of the kernel distance.
        pairs: Number of random pairs of images for MS-SSIM.
        all_pairs_of: Number of images whose pairs MS-SSIM all compares.
        swd_count: The largest number of images on each side of the sliced Wasserstein distance.
        nn_count: Number of generated (and of real) images whose nearest training images are looked for.
        force: Whether to compute Fréchet distances of fewer images than features + 1, and mark them.
    """

    k: int = 5
    splits: int = 10
    block_size: int = 1024
    pairs: int = 1000
    all_pairs_of: int = 50
    swd_count: int = 8192
    nn_count: int = 1000
    force: bool = False


class Side:
    """One set of images, with its features.

    Attributes:
        images: The set.
        count: Number of images N.
        seconds: Seconds that computing the features took; 0 if they were not needed or came from the cache.
    """

    def __init__(self, images: ImageSet, extractor: Extractor | None, cache: Path | None, say: Say) -> None:
        """Computes nothing yet. `extractor` may be None where no metric needs features; `cache` is a folder of them."""
        self.images, self.count = images, images.count
        self.seconds = 0.0
        self._extractor: Any = extractor
        self._cache, self._say = cache, say

    @property
    def features(self) -> np.ndarray:
        """float32 (N, F), memory-mapped or not."""
        return self._computed.features

    @property
    def logits(self) -> np.ndarray:
        """float32 (N, K)."""
        return self._computed.logits

    def random(self, count: int, seed: int = 0) -> np.ndarray:
        """The places of `count` different images, int64, at random; always the same for one seed."""
        return np.random.default_rng((seed, self.count)).permutation(self.count)[:count]

    def blocks(self) -> Iterator[np.ndarray]:
        """Features of all images in their order, in blocks, float32 (n, F); those of a large set are not kept."""
        if self._fits:
            for start in range(0, self.count, BLOCK):
                yield self.features[start : start + BLOCK]
            return
        for images in self.images.batches(BLOCK):
            yield self._extractor.extract(images)[0]

    def features_of(self, places: np.ndarray) -> np.ndarray:
        """Features of some images, float32 (n, F)."""
        if self._fits:
            return self.features[places]
        parts = [places[start : start + BLOCK] for start in range(0, len(places), BLOCK)]
        return np.concatenate([self._extractor.extract(self.images.take(part))[0] for part in parts])

    @property
    def _fits(self) -> bool:
        return self.count * self._extractor.feature_count * 4 <= LARGEST_FEATURES

    @functools.cached_property
    def _computed(self) -> Features:
        from mmdgan.metrics.features.cache import compute_features

        computed = compute_features(self.images, self._extractor, cache=self._cache, say=self._say)
        self.seconds = 0.0 if computed.cached else computed.seconds
        return computed


@dataclass(frozen=True)
class Facts:
    """What is known of a comparison before anything is computed.

    Attributes:
        count: Number of generated images.
        count_real: Number of real images, or of those that stored statistics are of; 0 where that is unknown.
        count_training: Number of training images.
        options: How metrics are computed.
        shape, shape_real: (H, W, C) of the images; None where that is unknown.
        label: Label of the features; "" where no metric needs any.
        features: Number of features F.
        logits: Whether the features come with logits.
        labels, labels_training: Classes of the generated and of the training images, int64 (N,); None where there are
            none.
        class_names, class_names_training: Names of these classes; empty where there are none.
        statistics: Whether stored statistics take the place of the real images.
    """

    count: int
    count_real: int
    count_training: int
    options: EvaluateOptions
    shape: tuple[int, int, int] | None = None
    shape_real: tuple[int, int, int] | None = None
    label: str = ""
    features: int = 0
    logits: bool = True
    labels: np.ndarray | None = None
    labels_training: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    class_names_training: tuple[str, ...] = ()
    statistics: bool = False

    def require_equal_shapes(self, why: str) -> None:
        """Raises a MetricError if generated and real images differ in height or width."""
        if self.shape and self.shape_real and tuple(self.shape[:2]) != tuple(self.shape_real[:2]):
            sizes = [f"{height}x{width}" for height, width, _ in (self.shape, self.shape_real)]
            raise MetricError(
                f"{why}, and the images are {sizes[0]} and the real ones {sizes[1]}: bring them to one size, or leave "
                f"{why.split()[0]} out of the metrics."
            )


def pair_classes(labels: np.ndarray, names: Sequence[str], others: Sequence[str]) -> tuple[np.ndarray, bool]:
    """Labels of one set of images in the numbering of another set.

    Classes are paired by name, and names that are numbers by value: "07" is "7". If only one of the sets has names, or
    if the names are numbers in only one of them, classes are paired by number: the value of a name that is a number, or
    else the place among the names.

    Args:
        labels: int64 (N,).
        names: Names of their classes; empty where there are none.
        others: Names of the other set's classes; empty where there are none.

    Returns:
        int64 (N,), with -1 for a class that the other set does not name; and whether they were paired by number, though
        there are names.
    """
    if tuple(names) == tuple(others):
        return labels, False
    ours, theirs = (_numbers(part) for part in (names, others))
    by_name = bool(names and others) and (ours is None) == (theirs is None)
    keys: Sequence[Any] = ours or (names if by_name else range(len(names)))
    places = {key: place for place, key in enumerate(theirs or (others if by_name else range(len(others))))}
    paired = np.empty_like(labels)
    for label in np.unique(labels).tolist():
        key = label if not names else keys[label] if 0 <= label < len(names) else None
        paired[labels == label] = -1 if key is None else places.get(key, -1) if others else key
    return paired, not by_name


def class_name(label: int, names: Sequence[str]) -> str:
    """The name of a class; its number where it has none."""
    return names[label] if 0 <= label < len(names) else str(label)


def _numbers(names: Sequence[str]) -> list[int] | None:
    """The values of names that are all different whole numbers; None for other names."""
    if not names or not all(name.isdecimal() for name in names):
        return None
    values = [*map(int, names)]
    return values if len(set(values)) == len(values) else None


@dataclass
class Context:
    """Both sides of a comparison.

    Attributes:
        generated: The images to score.
        real: What they are compared with: images, or stored statistics of their features.
        training: All images that the generator may have memorised; the real ones where those are unknown.
        extractor: An `Extractor`, which computes features; None where no metric needs any.
        options: How metrics are computed.
        seed: Seed of random choices.
    """

    generated: Side
    real: Side | Moments
    training: Side | None
    extractor: Any
    options: EvaluateOptions
    seed: int

    @property
    def label(self) -> str:
        """Label of the features."""
        return self.extractor.label

    @property
    def real_side(self) -> Side:
        """The real images, for metrics that need images."""
        assert isinstance(self.real, Side)  # as `mmdgan.metrics.evaluate.check_sets` has seen
        return self.real

    @property
    def training_side(self) -> Side:
        """The training images, for metrics that need them."""
        assert self.training is not None
        return self.training
