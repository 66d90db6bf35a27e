"""Sliced Wasserstein distance of patches, per level of a Laplacian pyramid: Karras et al. 2018, section 5.

The pyramid is tensorflow-gan's, and so are the choices: patches of 7x7 pixels, each normalised to mean 0 and variance
1, random directions (or the singular vectors). Its whole function divides patches without variance by zero, holds all
patches in memory, takes colour images only and draws from NumPy's global generator; this one avoids all four.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

from mmdgan.core.errors import MetricError
from mmdgan.core.lazy import np, tf
from mmdgan.metrics.context import Context, Facts
from mmdgan.metrics.features import tfgan
from mmdgan.metrics.intervals import around, jackknife
from mmdgan.metrics.records import make_record
from mmdgan.metrics.registry import LOWER, Metric, Score, register
from mmdgan.metrics.scores.ms_ssim import brightness

PATCH = 7
SMALLEST = 16
"""The pyramid ends at this side, or before it goes below."""
MEMORY = 2**28
"""Bytes of projected patches that are held at once."""
GROUPS, JACKKNIFED = 10, 24
"""Groups of images that a jackknife leaves out, and directions along which it does."""
_BATCH_VALUES = 2**21  # brightness values of the images of a batch


@register
class SlicedWasserstein(Metric):
    """Sliced Wasserstein distance between both sets, and between as many real images and as many other ones."""

    identifier = "swd"
    scores = (
        Score("SWD mean", LOWER, judge="swd", words="sliced Wasserstein distance of patches, mean of all resolutions"),
        Score("SWD", LOWER, words="sliced Wasserstein distance of patches at one resolution"),
    )
    place = 6
    features = False
    slow = True

    def check(self, facts: Facts) -> None:
        facts.require_equal_shapes("swd compares patches of pixels")
        if facts.count_real < 2:
            raise MetricError("swd also compares real images with other real ones: give at least 2 of them.")
        if facts.shape is None:
            return
        height, width = facts.shape[:2]
        if height != width:
            raise MetricError(f"swd needs square images, and these are {height}x{width}: leave it out of the metrics.")
        try:
            levels(height)
        except MetricError as error:
            raise MetricError(f"swd cannot be computed of {height}x{width} pixels: {error}") from None

    def compute(self, context: Context) -> Iterator[dict]:
        count, chosen = _choice(context)
        generated = context.generated.images.take(context.generated.random(count, context.seed))
        yield from _records(context, generated, context.real_side.images.take(chosen[:count]), "")

    def compute_real(self, context: Context) -> Iterator[dict]:
        count, chosen = _choice(context)
        take = context.real_side.images.take
        yield from _records(context, take(chosen[:count]), take(chosen[-count:]), " real-real")


def _records(context: Context, x: np.ndarray, y: np.ndarray, suffix: str) -> Iterator[dict]:
    values, without, scatter = sliced_wasserstein_without(x, y, seed=context.seed)
    names = ["mean", *(f"{side}x{side}" for side in levels(x.shape[1]))]
    method = f"Student's quantiles of a jackknife over {GROUPS} groups of images, with the scatter of directions"
    groups, scatters = [without.mean(axis=0), *without], [np.linalg.norm(scatter) / len(scatter), *scatter]
    for name, value, parts, other in zip(names, [np.mean(values), *values], groups, scatters, strict=True):
        error = math.hypot(jackknife(parts), other) if len(x) >= GROUPS else math.nan
        interval = around(float(value), error, method, GROUPS - 1, least=0.0)
        yield make_record(f"SWD {name}{suffix}", float(value), len(x), len(y), interval=interval, resize="none")


def _choice(context: Context) -> tuple[int, np.ndarray]:
    """Number of images on each side, and the places of twice as many real ones.

    The number is the same for all distances, because a distance shrinks as it grows.
    """
    real = context.real_side
    most = max(1, 2**28 // int(np.prod(real.images.shape)))
    count = min(context.options.swd_count, most, context.generated.count, real.count // 2)
    return count, real.random(2 * count, context.seed)


def sliced_wasserstein(
    x: np.ndarray,
    y: np.ndarray,
    *,
    patches_per_image: int = 64,
    projections: int = PATCH * PATCH * 3,
    seed: int = 0,
    svd: bool = False,
    epsilon: float = 1e-8,
    legacy: bool = False,
) -> np.ndarray:
    """Sliced Wasserstein distance of two image sets at each level of a Laplacian pyramid.

    Args:
        x, y: Images (N, H, H, C) and (M, H, H, C), uint8, or float in [-1, 1]; the larger set is cut to equal counts.
        patches_per_image: Number of patches of each image and level, at random places.
        projections: Number of random directions.
        seed: Seed of places and directions; NumPy's global generator is left alone.
        svd: Whether to project onto the singular vectors of both sets' patches, without centring, instead of random
            directions; the original's choice, and tensorflow-gan's `use_svd`.
        epsilon: Added to each patch's variance, in squared units of brightness (0 to 255).
        legacy: Whether to take (x + 1) * 128.5 as brightness, as the original.

    Returns:
        (levels,) float64, from fine to coarse, as `levels` names them: mean distance of sorted projections.

    Raises:
        MetricError: The images do not fit together, are not square, or have a side that cannot be halved.
    """
    return sliced_wasserstein_without(x, y, seed, 0, patches_per_image, projections, svd, epsilon, legacy)[0]


def sliced_wasserstein_without(
    x: np.ndarray,
    y: np.ndarray,
    seed: int,
    jackknifed: int = JACKKNIFED,
    patches_per_image: int = 64,
    projections: int = PATCH * PATCH * 3,
    svd: bool = False,
    epsilon: float = 1e-8,
    legacy: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `sliced_wasserstein`, and the distances without each of `GROUPS` groups of images, for a jackknife.

    Returns:
        (levels,) float64; (levels, GROUPS) float64, the mean over the first `jackknifed` directions without each
        group of both sets; and (levels,) float64, the standard error over directions.
    """
    x, y = np.asanyarray(x), np.asanyarray(y)
    if x.ndim != 4 or y.ndim != 4 or x.shape[1:] != y.shape[1:] or x.shape[1] != x.shape[2] or not (len(x) and len(y)):
        raise MetricError(f"Two sets of square images (N, H, H, C) are needed, not {x.shape} and {y.shape}.")
    sides, count = levels(x.shape[1]), min(len(x), len(y))
    random = np.random.default_rng(seed)
    sets = [
        _Patches(images[:count], _draw_places(random, count * patches_per_image, sides), epsilon, legacy)
        for images in (x, y)
    ]
    size = PATCH * PATCH * x.shape[3]
    directions = (
        _singular_vectors(sets, len(sides), size) if svd else _draw_directions(random, (len(sides), size, projections))
    )
    columns = max(1, MEMORY // (2 * len(sides) * count * patches_per_image * 4))
    parts = (directions[:, :, start : start + columns] for start in range(0, directions.shape[2], columns))
    first, second = sets
    distances, without = [], np.zeros((len(sides), GROUPS))
    for number, part in enumerate(parts):
        found, left_out = _distances(first, second, part, jackknifed if number == 0 else 0)
        distances.append(found)
        without += left_out
    along = np.concatenate(distances, axis=1)
    return along.mean(axis=1), without, along.std(axis=1) / math.sqrt(max(1, along.shape[1] - 1))


def levels(side: int) -> list[int]:
    """Sides in pixels of the pyramid's levels, from fine to coarse: as many as tensorflow-gan takes.

    Args:
        side: Side of the images. 64 gives 64, 32, 16; 48 gives 48, 24.

    Raises:
        MetricError: The side cannot be halved as often, or is smaller than a patch.
    """
    if side < PATCH:
        raise MetricError(f"Patches of {PATCH} pixels need images of at least {PATCH} pixels a side, not {side}.")
    count = int(math.log2(side)) - int(math.log2(min(SMALLEST, side))) + 1
    if side % 2 ** (count - 1):
        raise MetricError(
            f"A Laplacian pyramid of {count} levels needs images whose side is a multiple of {2 ** (count - 1)}, "
            f"not {side}: resize them."
        )
    return [side >> level for level in range(count)]


class _Patches:
    """The normalised patches of an image set, made again in each pass over the images."""

    def __init__(self, images: np.ndarray, places: list[np.ndarray], epsilon: float, legacy: bool):
        # places: for each level the upper left corners (row, column) of patches, (N * patches_per_image, 2).
        self.images, self.places, self.epsilon, self.legacy = images, places, epsilon, legacy
        self.per_image = len(places[0]) // len(images)

    def projected(self, directions: np.ndarray) -> list[np.ndarray]:
        """Projections onto directions (levels, size, P): for each level (P, patches) float32."""
        found = [np.empty((directions.shape[2], len(places)), np.float32) for places in self.places]
        for level, rows, patches in self:
            found[level][:, rows] = directions[level].T @ patches.T
        return found

    def __iter__(self) -> Iterator[tuple[int, slice, np.ndarray]]:
        """Level, place among the level's patches, and patches (n, PATCH * PATCH * C), batch by batch."""
        maps = _pyramid_maps(self.images.shape[1], len(self.places))
        batch = max(1, _BATCH_VALUES // math.prod(self.images.shape[1:]))
        for start in range(0, len(self.images), batch):
            images = np.moveaxis(brightness(self.images[start : start + batch], self.legacy), 3, 1)
            rows = slice(start * self.per_image, (start + len(images)) * self.per_image)
            for level, (reduced, coarse) in enumerate(maps):
                planes = reduced @ images @ reduced.T
                if coarse is not None:
                    planes -= coarse @ images @ coarse.T
                yield level, rows, self._cut(planes, self.places[level][rows])

    def _cut(self, images: np.ndarray, places: np.ndarray) -> np.ndarray:
        windows = np.moveaxis(np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(2, 3)), 1, 3)
        owner = np.repeat(np.arange(len(images)), self.per_image)
        patches = windows[owner, places[:, 0], places[:, 1]].transpose(0, 2, 3, 1).reshape(len(owner), -1)
        patches -= patches.mean(axis=1, keepdims=True)
        variance = np.square(patches).mean(axis=1, keepdims=True)
        patches /= np.sqrt(variance + np.float32(self.epsilon))
        return patches


def _distances(x: _Patches, y: _Patches, directions: np.ndarray, jackknifed: int) -> tuple[np.ndarray, np.ndarray]:
    """Wasserstein distances (levels, P) along directions (levels, size, P).

    And (levels, GROUPS), the mean over the first `jackknifed` of them without each group of images.
    """
    found, without = [], np.zeros((len(x.places), GROUPS))
    groups = np.arange(len(x.places[0])) // x.per_image * GROUPS // len(x.images)
    for level, (a, b) in enumerate(zip(x.projected(directions), y.projected(directions), strict=True)):
        for one, other in zip(a[:jackknifed], b[:jackknifed], strict=True):
            without[level] += _without_groups(one, other, groups) / min(jackknifed, len(a))
        a[jackknifed:].sort(axis=1)
        b[jackknifed:].sort(axis=1)
        a -= b
        found.append(np.abs(a, out=a).mean(axis=1, dtype=np.float64))
    return np.array(found), without


def _without_groups(a: np.ndarray, b: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sorts values (n,) and (n,); their mean distance without those of each group of `groups` (n,): (GROUPS,)."""
    order_a, order_b = np.argsort(a), np.argsort(b)
    a[:], b[:], of_a, of_b = a[order_a], b[order_b], groups[order_a], groups[order_b]
    return np.array([np.abs(a[of_a != g] - b[of_b != g]).mean(dtype=np.float64) for g in range(GROUPS)])


@functools.cache
def _pyramid_maps(side: int, count: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Tensorflow-gan's Laplacian pyramid of square images as matrices, which take a tenth of its convolutions' time.

    It is linear, the same along rows and along columns, and keeps what is constant: its images of the unit vectors
    along rows, constant along columns, hold the matrices.

    Returns:
        For each of `count` levels (R, S): its image of X is R X R' - S X S', without the second term at the last one.
    """
    pyramid = tfgan.load("sliced_wasserstein").laplacian_pyramid
    units = tf.constant(np.broadcast_to(np.eye(side, dtype=np.float32)[..., None, None], (side, side, side, 1)))

    def of_level(levels: int, level: int) -> np.ndarray:
        return pyramid(units, levels)[level].numpy()[:, :, 0, 0].T

    reduced = [of_level(level + 1, level) for level in range(count)]
    return [(r, r - of_level(count, level) if level < count - 1 else None) for level, r in enumerate(reduced)]


def _draw_places(random: np.random.Generator, count: int, sides: list[int]) -> list[np.ndarray]:
    """Upper left corners (count, 2) of patches for each level, anywhere that a patch fits."""
    return [random.integers(0, side - PATCH + 1, (count, 2)).astype(np.int16) for side in sides]


def _draw_directions(random: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """Unit vectors (levels, size, projections)."""
    directions = random.normal(size=shape)
    return (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)


def _singular_vectors(sets: list[_Patches], count: int, size: int) -> np.ndarray:
    """Right singular vectors (levels, size, size) of the patches of both sets, from their products in float64."""
    products = np.zeros((count, size, size))
    for patches in sets:
        for level, _, part in patches:
            part = part.astype(np.float64)
            products[level] += part.T @ part
    return np.linalg.eigh(products)[1].astype(np.float32)
