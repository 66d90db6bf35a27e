"""Scores of generated images: from which features, by tensorflow-gan, and with the protocol of each.

Names load on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdgan.core import lazy

if TYPE_CHECKING:  # for checkers and editors; at run time names load on first use
    from mmdgan.metrics.evaluate import (
        append_jsonl as append_jsonl,
        evaluate_images as evaluate_images,
        evaluate_sets as evaluate_sets,
        format_table as format_table,
    )
    from mmdgan.metrics.features.resolve import resolve as resolve
    from mmdgan.metrics.image_sets import open_images as open_images
    from mmdgan.metrics.moments import Moments as Moments, read_moments as read_moments
    from mmdgan.metrics.neighbours import nearest_neighbours as nearest_neighbours, prdc as prdc
    from mmdgan.metrics.scores import (
        classifier_score as classifier_score,
        frechet_distance as frechet_distance,
        kernel_distance as kernel_distance,
    )
    from mmdgan.metrics.similarity import ms_ssim as ms_ssim
    from mmdgan.metrics.sliced import sliced_wasserstein as sliced_wasserstein

METRICS = ("fid", "is", "kid", "prdc", "ms_ssim", "swd", "intra_fid", "nn")
"""Identifiers of the scores; without imports, so that a command line can be checked at once."""

__getattr__, __dir__, __all__ = lazy.attach(__name__)
__all__ += ["METRICS"]
