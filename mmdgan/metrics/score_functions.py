"""Each score by its identifier: what it can be computed of, and the function that computes it.

A function takes a `Context` and yields records. Scores of the real images alone, which show what a perfect generator
would get, are computed once, however many generated sets there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mmdgan.core.errors import MetricError
from mmdgan.metrics.classes import check_intra_fid, intra_fid
from mmdgan.metrics.context import Context, Facts, Side
from mmdgan.metrics.near_copies import check_nearest, nearest_features, nearest_pixels
from mmdgan.metrics.records import make_record, score_name
from mmdgan.metrics.score_statistics import unknown_of_statistics


class Part(NamedTuple):
    """Some of a metric's records.

    Attributes:
        compute: yields them.
        once: whether they are of the real images alone.
        features: whether they are computed from features.
    """

    compute: Callable[[Context], Iterator[dict]]
    once: bool = False
    features: bool = True


class Score(NamedTuple):
    """How one metric is computed.

    Attributes:
        parts: the first record of the first one holds the metric's main value.
        check: raises a MetricError where it cannot be computed.
        slow: whether people should be told that it begins.
    """

    parts: tuple[Part, ...]
    check: Callable[[Facts], None]
    slow: bool = False


def fid(context: Context) -> Iterator[dict]:
    """Fréchet distance between the features of both sets (Heusel et al. 2017)."""
    from mmdgan.metrics.scores import frechet_distance, frechet_method

    generated, real, force = context.generated, context.real, context.options.force
    count_real, features = real.count, context.extractor.feature_count
    value = frechet_distance(context.real_features, generated.features, force=force)
    notes = [] if isinstance(real, Side) else unknown_of_statistics(real)
    if generated.count <= features or 0 < count_real <= features:
        notes.append(f"forced: fewer images than {features} features + 1, so the value means little")
    yield make_record(
        score_name("fid", context.label),
        value,
        generated.count,
        count_real or None,
        note="; ".join(notes),
        method=frechet_method(features),
    )


def fid_of_halves(context: Context) -> Iterator[dict]:
    """Fréchet distance between two halves of the real images, as the original reports it."""
    from mmdgan.metrics.scores import frechet_distance, frechet_method

    if not isinstance(context.real, Side):
        return
    name = score_name("fid", context.label) + " real-real"
    features = context.extractor.feature_count
    half = context.real.count // 2
    if half <= features:
        yield make_record(name, None, half, half, note=f"needs {2 * (features + 1):,} real images")
        return
    real = context.real.features
    value = frechet_distance(real[:half], real[-half:])
    yield make_record(name, value, half, half, method=frechet_method(features))


def classifier_scores(context: Context) -> Iterator[dict]:
    """Classifier (Inception) score of the generated images (Salimans et al. 2016)."""
    yield from _classifier_scores(context, context.generated, "")


def classifier_scores_of_real(context: Context) -> Iterator[dict]:
    """Classifier (Inception) score of the real images."""
    yield from _classifier_scores(context, context.real_side, " real")


def _classifier_scores(context: Context, side: Side, suffix: str) -> Iterator[dict]:
    """In one split, as the original computes it, and in several, as many papers do."""
    from mmdgan.metrics.scores import classifier_score, classifier_score_spread

    name, splits = score_name("is", context.label) + suffix, context.options.splits
    yield make_record(name, classifier_score(side.logits), side.count, score_splits=1)
    name = f"{name} ({splits} splits)"
    if side.count < splits:
        yield make_record(name, None, side.count, note=f"needs {splits} images", score_splits=splits)
        return
    value, spread = classifier_score_spread(side.logits, splits)
    of = f"standard deviation over {splits} splits"
    yield make_record(name, value, side.count, spread=spread, spread_of=of, score_splits=splits)


def kid(context: Context) -> Iterator[dict]:
    """Kernel distance between the features of both sets, unbiased (Bińkowski et al. 2018)."""
    from mmdgan.metrics.scores import kernel_distance, kernel_distance_error

    generated, real, largest = context.generated, context.real, context.options.block_size
    size, blocks = _kid_blocks(generated.count, real.count, largest)
    real_features = context.real_side.features
    value = kernel_distance(real_features, generated.features, block_size=largest)
    error = kernel_distance_error(real_features, generated.features, block_size=size)[1]
    yield make_record(
        score_name("kid", context.label),
        value,
        generated.count,
        real.count,
        spread=error if blocks > 1 else None,
        spread_of=f"standard error over {blocks} blocks",
        block_size=largest,
        spread_block_size=size,
        blocks=blocks,
    )


def _kid_blocks(count: int, count_real: int, largest: int) -> tuple[int, int]:
    """The size and number of the error's blocks: sets of a few thousand images get ten, so that there is an error."""
    most = max(count, count_real)
    size = min(largest, max(most // 10, 100))
    return size, -(-most // size)


def prdc(context: Context) -> Iterator[dict]:
    """Precision, recall (Kynkäänniemi et al. 2019), density, coverage (Naeem et al. 2020)."""
    from mmdgan.metrics.neighbours import prdc as compute

    k = context.options.k
    values = compute(context.real_side.features, context.generated.features, k=k)._asdict()
    for name in ("precision", "recall", "density", "coverage"):
        yield make_record(
            score_name(name, context.label), values[name], context.generated.count, context.real.count, k=k
        )


def ms_ssim(context: Context) -> Iterator[dict]:
    """MS-SSIM within the generated images: the lower, the more diverse they are (Odena et al. 2017)."""
    yield from _ms_ssim(context, context.generated, "")


def ms_ssim_of_real(context: Context) -> Iterator[dict]:
    """MS-SSIM within the real images."""
    yield from _ms_ssim(context, context.real_side, " real")


def _ms_ssim(context: Context, side: Side, suffix: str) -> Iterator[dict]:
    from mmdgan.metrics.similarity import ms_ssim_all_pairs, ms_ssim_random_pairs

    pairs, seed = context.options.pairs, context.seed
    # Each random pair has two images of its own, as far as there are enough.
    images = side.images.take(side.random(2 * pairs, seed))
    details: dict[str, Any] = {"resize": _ms_ssim_resize(side.images.shape)}
    value, error = ms_ssim_random_pairs(images, pairs=pairs, seed=seed)
    of = f"standard error over {pairs:,} random pairs"
    yield make_record(f"MS-SSIM{suffix}", value, len(images), spread=error, spread_of=of, pairs=pairs, **details)
    images = images[: context.options.all_pairs_of]
    pairs = len(images) * (len(images) - 1) // 2
    value, error = ms_ssim_all_pairs(images)
    of = f"standard error over all {pairs:,} pairs of {len(images)} images"
    name = f"MS-SSIM all pairs{suffix}"
    yield make_record(name, value, len(images), spread=error, spread_of=of, pairs=pairs, **details)


def _ms_ssim_resize(shape: tuple[int, int, int]) -> str:
    return "none" if tuple(shape[:2]) == (256, 256) else "bilinear to 256x256"


def swd(context: Context) -> Iterator[dict]:
    """Sliced Wasserstein distance of patches, per level of the Laplacian pyramid (Karras et al. 2018)."""
    count = _swd_count(context)
    generated = context.generated.images.take(context.generated.random(count, context.seed))
    yield from _swd(context, generated, context.real_side.images.take(_swd_real(context)[:count]), "")


def swd_of_halves(context: Context) -> Iterator[dict]:
    """The same between as many real images and as many other ones."""
    count, chosen = _swd_count(context), _swd_real(context)
    take = context.real_side.images.take
    yield from _swd(context, take(chosen[:count]), take(chosen[-count:]), " real-real")


def _swd(context: Context, x: np.ndarray, y: np.ndarray, suffix: str) -> Iterator[dict]:
    from mmdgan.metrics.sliced import levels, sliced_wasserstein

    values = sliced_wasserstein(x, y, seed=context.seed)
    yield make_record(f"SWD mean{suffix}", float(np.mean(values)), len(x), len(y), resize="none")
    for side, value in zip(levels(x.shape[1]), values, strict=True):
        yield make_record(f"SWD {side}x{side}{suffix}", float(value), len(x), len(y), resize="none")


def _swd_count(context: Context) -> int:
    """Images on each side: the same for all distances, because the distance shrinks as they grow in number."""
    most = max(1, 2**28 // int(np.prod(context.real_side.images.shape)))
    return min(context.options.swd_count, most, context.generated.count, context.real.count // 2)


def _swd_real(context: Context) -> np.ndarray:
    """The numbers of twice as many real images."""
    return context.real_side.random(2 * _swd_count(context), context.seed)


def _check_fid(facts: Facts) -> None:
    if not facts.options.force:
        from mmdgan.metrics.scores import require_samples

        counts = [count for count in (facts.count, facts.count_real) if count]
        require_samples(min(counts), facts.features)


def _check_is(facts: Facts) -> None:
    if not facts.logits:
        raise MetricError(
            f"The features {facts.label} come without logits, of which the metric 'is', the classifier score, is made: "
            "leave 'is' out of the metrics, or choose inception or classifier features."
        )


def _check_kid(facts: Facts) -> None:
    size, blocks = _kid_blocks(facts.count, facts.count_real, facts.options.block_size)
    if min(facts.count, facts.count_real) < 2 * blocks:
        raise MetricError(
            f"A kernel distance of {facts.count:,} and {facts.count_real:,} images in {blocks} blocks of up to {size} "
            "needs at least two images of each set in a block: give sets of similar size."
        )


def _check_prdc(facts: Facts) -> None:
    if min(facts.count, facts.count_real) <= facts.options.k:
        raise MetricError(
            f"Precision and recall with k = {facts.options.k} need more than that many images on each side and have "
            f"{min(facts.count, facts.count_real)}: give more images, or a smaller --k."
        )


def _check_ms_ssim(facts: Facts) -> None:
    if min(facts.count, facts.count_real) < 3:
        raise MetricError("ms_ssim compares images of one set: give at least 3 on each side.")


def _check_swd(facts: Facts) -> None:
    facts.require_equal_shapes("swd compares patches of pixels")
    if facts.count_real < 2:
        raise MetricError("swd compares real images with real ones besides: give at least 2 of them.")
    if facts.shape is None:
        return
    from mmdgan.metrics.sliced import levels

    height, width = facts.shape[:2]
    if height != width:
        raise MetricError(f"swd needs square images, and these are {height}x{width}: leave it out of the metrics.")
    try:
        levels(height)
    except MetricError as error:
        raise MetricError(f"swd cannot be computed of {height}x{width} pixels: {error}") from None


SCORES: dict[str, Score] = {
    "fid": Score((Part(fid), Part(fid_of_halves, once=True)), _check_fid),
    "is": Score((Part(classifier_scores), Part(classifier_scores_of_real, once=True)), _check_is),
    "kid": Score((Part(kid),), _check_kid),
    "prdc": Score((Part(prdc),), _check_prdc, slow=True),
    "ms_ssim": Score(
        (Part(ms_ssim, features=False), Part(ms_ssim_of_real, once=True, features=False)), _check_ms_ssim, slow=True
    ),
    "swd": Score((Part(swd, features=False), Part(swd_of_halves, once=True, features=False)), _check_swd, slow=True),
    "intra_fid": Score((Part(intra_fid),), check_intra_fid, slow=True),
    "nn": Score((Part(nearest_pixels, features=False), Part(nearest_features)), check_nearest, slow=True),
}
"""Every score, in the order in which `METRICS` names them."""
